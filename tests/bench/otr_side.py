"""One account's OTR as the daemon has it, in memory: the engine behind the door, and a view that knows one key.

Its CPU is what the engine takes from an event to its effects, the stanza having been parsed: that is what the proxy does in
any case, and what libotr is given and gives is the text alone.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Context
from e2eproxy.methods.otr.engine import OtrEngine
from e2eproxy.methods.otr.identity import new_key
from e2eproxy.methods.otr.own_key import IDENTITY, NAME
from e2eproxy.trust.values import IdentityKey
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from e2eproxy.xmpp.jid import JID

#: Between two handshakes of one session: an engine answers a few offers in ten seconds.
PAUSE_SECONDS = 60.0


class View:
    """What was persisted: a key of our own, and a tag. Whatever key a contact has is taken."""

    def __init__(self, account: JID) -> None:
        self.key = IdentityKey(
            account=str(account),
            method=NAME,
            name=IDENTITY,
            public=b"",
            secret=new_key(os.urandom).encoded(),
            created_at=0.0,
        )
        self.kept: dict[str, bytes] = {}

    def record(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def records(self, prefix: str) -> dict[str, bytes]:
        return {key: data for key, data in self.kept.items() if key.startswith(prefix)}

    def identity(self, name: str) -> IdentityKey | None:
        return self.key if name == IDENTITY else None

    def peer_keys(self, contact: JID) -> tuple[()]:  # noqa: ARG002 - as the door has it
        return ()

    def setting(self, contact: JID, name: str) -> str:  # noqa: ARG002 - as the door has it
        return ""

    def usable(self, contact: JID, fingerprint: object) -> bool:  # noqa: ARG002 - as the door has it
        return True


class Side:
    """The engine of *own* (full). ``spent`` is the CPU time in it, in nanoseconds, without what only the bench needs."""

    def __init__(self, own: JID) -> None:
        self.own = own
        self.view = View(own.bare)
        self.now = 1_800_000_000.0
        context = Context(account=own.bare, view=self.view, clock=lambda: self.now, random=os.urandom)
        self.engine = OtrEngine(context)
        self.spent = 0
        self.delivered = 0
        self.verified = 0
        self.refs = 0
        self._handle(events.Starting(own=own))

    def _handle(self, event: events.Event) -> list[str]:
        """Have *event* dealt with; return the texts of the messages that leave."""
        began = time.thread_time_ns()
        effects = self.engine.handle(event)
        self.spent += time.thread_time_ns() - began
        out = []
        for one in effects:
            if isinstance(one, e.Emit | e.Send):
                out.append(Stanza.parse(build("message", {}, one.payload)).tree.children[0].text)
            elif isinstance(one, e.Persist) and one.data is not None:
                self.view.kept[one.key] = one.data
            self.delivered += isinstance(one, e.Deliver)
            self.verified += isinstance(one, e.Verified) and one.holds
        return out

    def sees(self, peer: JID) -> None:
        self._handle(events.PeerPresence(own=self.own, peer=peer, available=True))

    def say(self, peer: JID, text: str) -> list[str]:
        self.refs += 1
        stanza = message(self.own, peer, text)
        return self._handle(
            events.Outbound(
                ref=events.Ref(f"{self.refs}"), own=self.own, peer=peer, stanza=stanza, required=True
            )
        )

    def take(self, peer: JID, text: str) -> list[str]:
        self.refs += 1
        stanza = message(peer, self.own, text)
        return self._handle(
            events.Inbound(
                ref=events.Ref(f"{self.refs}"),
                own=self.own,
                peer=peer,
                to=self.own,
                stanza=stanza,
                may_answer=True,
            )
        )

    def command(self, peer: JID, verb: str, *arguments: str) -> list[str]:
        return self._handle(events.Command(own=self.own, peer=peer, verb=verb, arguments=arguments))


def message(sender: JID, to: JID, text: str) -> Stanza:
    body = element("body", {}, escape_text(text).encode())
    return Stanza.parse(build("message", {"from": str(sender), "to": str(to), "type": "chat"}, body))
