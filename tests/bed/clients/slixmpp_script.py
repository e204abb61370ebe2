"""A little slixmpp bot, run as a program by slixmpp_client.py: it logs in, says what it was told, and answers.

Its only argument is a JSON object with ``jid``, ``password``, ``port``, ``tls``, ``ca_file`` and ``say`` (a list of
[JID, text]). Each event is a line of JSON on standard output.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from slixmpp import ClientXMPP

ANSWER = "slixmpp heard: "
PROXY = "e2eproxy.localhost"  # its notices need no answer


def tell(event: str, **fields: str) -> None:
    """Write an event."""
    print(json.dumps({"event": event, **fields}), flush=True)


class Bot(ClientXMPP):
    """Says its lines once it is online, and answers to every chat message but an answer."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Configure slixmpp for one kind of connection."""
        super().__init__(settings["jid"], settings["password"])
        self.lines = settings["say"]
        tls = settings["tls"]
        self.enable_direct_tls = tls == "direct"
        self.enable_starttls = tls == "starttls"
        self.enable_plaintext = tls == "none"
        self.plugin["feature_mechanisms"].unencrypted_scram = tls == "none"
        self.ca_certs = Path(settings["ca_file"])
        for plugin in ("xep_0030", "xep_0115", "xep_0198", "xep_0199", "xep_0280"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", self.heard)
        self.add_event_handler("failed_auth", lambda _: tell("failed_auth"))
        self.add_event_handler("failed_all_auth", lambda _: tell("failed_all_auth"))
        self.add_event_handler(
            "stream_error", lambda error: tell("stream_error", condition=error["condition"])
        )
        self.add_event_handler("disconnected", lambda _: tell("disconnected"))

    def init_parser(self) -> None:
        """Let finished stanzas out at once, which slixmpp 1.17 by itself does not.

        From Python 3.13 on (expat 2.6) the parser holds a finished stanza back when it came in very small pieces,
        until more comes or somebody asks for it.
        """
        super().init_parser()
        parser: Any = self.parser
        if hasattr(parser, "flush"):
            feed = parser.feed

            def feed_and_flush(data: bytes) -> None:
                feed(data)
                parser.flush()

            parser.feed = feed_and_flush

    async def started(self, _event: object) -> None:
        """Go online and talk."""
        self.send_presence()
        await self.get_roster()
        mechanism = self.plugin["feature_mechanisms"].mech
        tell("session", jid=self.boundjid.full, mechanism=getattr(mechanism, "name", "") or "")
        for jid, text in self.lines:
            self.send_message(mto=jid, mbody=text, mtype="chat")

    def heard(self, message: Any) -> None:
        """Tell, and answer."""
        text = message["body"]
        if message["type"] not in {"chat", "normal"} or not text:
            return
        tell("message", sender=message["from"].bare, body=text)
        if not text.startswith(ANSWER) and message["from"].bare != PROXY:
            message.reply(ANSWER + text).send()


async def run(settings: dict[str, Any], kind: type[Bot] = Bot) -> None:
    """Live until SIGTERM."""
    bot = kind(settings)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    connecting = bot.connect("127.0.0.1", settings["port"])
    await ended.wait()
    if not connecting.done():
        connecting.cancel()
    await bot.disconnect(wait=2)


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
