"""slixmpp as a client with a menu of commands (XEP-0050): a program whose only argument is JSON as for slixmpp_script.py.

It asks the proxy's contact what it is, lists its commands, executes one at once, one in a step and one in two, goes back, cancels,
and provokes an error. What came of each is a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from slixmpp.exceptions import IqError
from slixmpp_script import Bot, tell

PROXY = "e2eproxy.localhost"


class MenuUser(Bot):
    """Does its round once it is online."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Register what a menu needs."""
        super().__init__(settings)
        for plugin in ("xep_0004", "xep_0050", "xep_0054", "xep_0092"):
            self.register_plugin(plugin)
        self.done = asyncio.Event()
        self.contact = settings["contact"]

    async def started(self, event: object) -> None:
        """Go online, and do the round."""
        await super().started(event)
        try:
            await self.round()
        finally:
            self.done.set()

    async def round(self) -> None:
        """All steps."""
        info = await self["xep_0030"].get_info(jid=PROXY)
        tell("features", features=" ".join(sorted(info["disco_info"]["features"])))
        vcard = await self["xep_0054"].get_vcard(jid=PROXY)
        tell("vcard", name=vcard["vcard_temp"]["FN"])
        version = await self["xep_0092"].get_version(PROXY)
        tell("version", name=version["software_version"]["name"])
        items = await self["xep_0050"].get_commands(PROXY)
        tell("commands", nodes=" ".join(item[1] for item in items["disco_items"]["items"]))
        self.shown("status", await self.step("status"))
        first = await self.step("clear")
        self.shown("clear", await self.step("clear", first, contact=self.contact, word="session"))
        first = await self.step("policy")
        second = await self.step("policy", first, contact=self.contact, setting="when")
        back = await self.step("policy", second, action="prev")
        tell("back", fields=" ".join(back["command"]["form"].get_fields()))
        second = await self.step("policy", back, action="next", contact=self.contact, setting="when")
        self.shown("policy", await self.step("policy", second, action="complete", value="require"))
        first = await self.step("trust")
        cancelled = await self.step("trust", first, action="cancel")
        tell("cancelled", status=cancelled["command"]["status"])
        try:
            await self.step("trust", first, contact=self.contact)
        except IqError as error:
            tell("error", condition=error.condition)

    async def step(self, node: str, session: Any = None, action: str = "execute", **values: str) -> Any:
        """Execute *node*, or go on with the *session* of an earlier answer."""
        payload = None
        if values:
            payload = self["xep_0004"].make_form(ftype="submit")
            for name, value in values.items():
                payload.add_field(var=name, value=value)
        sessionid = None if session is None else session["command"]["sessionid"]
        return await self["xep_0050"].send_command(
            PROXY, node, action=action, payload=payload, sessionid=sessionid
        )

    def shown(self, node: str, answer: Any) -> None:
        """Tell what the completed command *node* shows."""
        command = answer["command"]
        text = command["form"].get_fields()["text"]["value"]
        tell(
            "done",
            node=node,
            status=command["status"],
            text=text if isinstance(text, str) else "\n".join(text),
        )


async def run(settings: dict[str, Any]) -> None:
    """One round."""
    bot = MenuUser(settings)
    bot.connect("127.0.0.1", settings["port"])
    await asyncio.wait_for(bot.done.wait(), 40)
    await bot.disconnect(wait=2)


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
