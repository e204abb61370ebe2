"""slixmpp as one who announces and verifies capabilities: a program whose only argument is JSON as for slixmpp_script.py.

It announces ``feature`` as well, and one more for each message "announce FEATURE" that it gets. Each check of somebody's hash
is an event with its outcome, and so is each notification of a PEP node. For a message "publish NODE" it publishes something there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from xml.etree import ElementTree as ET

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from slixmpp_script import Bot, run, tell

PUBSUB = "http://jabber.org/protocol/pubsub"
EVENT = f"{{{PUBSUB}#event}}"


class Announcer(Bot):
    """Tells what slixmpp's own check says of each hash that it meets."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Register what a menu needs."""
        super().__init__(settings)
        if settings.get("feature"):
            self["xep_0030"].add_feature(settings["feature"])
        caps = self["xep_0115"]
        check = caps._validate_caps

        async def checked(info: Any, hash_name: str, ver: str) -> bool:
            features = " ".join(sorted(info.get_features()))
            holds = await check(info, hash_name, ver)
            tell("caps", ver=ver, holds="yes" if holds else "no", features=features)
            return holds

        caps._validate_caps = checked
        self.register_handler(
            Callback("notification", MatchXPath(f"{{jabber:client}}message/{EVENT}event"), self.notified)
        )

    def notified(self, message: Any) -> None:
        """Tell of which node it was."""
        for items in message.xml.iter(f"{EVENT}items"):
            tell("pep", node=items.get("node", ""), sender=message["from"].bare)

    def heard(self, message: Any) -> None:
        """Do what is said."""
        verb, _, what = message["body"].partition(" ")
        if verb == "announce":
            self["xep_0030"].add_feature(what)
            self.task = asyncio.ensure_future(self["xep_0115"].update_caps())
        elif verb == "publish":
            self.publish(what)

    def publish(self, node: str) -> None:
        """Publish an item at *node* of the own account."""
        iq = self.make_iq_set()
        pubsub = ET.SubElement(iq.xml, f"{{{PUBSUB}}}pubsub")
        item = ET.SubElement(ET.SubElement(pubsub, f"{{{PUBSUB}}}publish", node=node), f"{{{PUBSUB}}}item")
        ET.SubElement(item, "{urn:e2eproxy:test}thing")
        self.sent = asyncio.ensure_future(iq.send())


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1]), Announcer))
