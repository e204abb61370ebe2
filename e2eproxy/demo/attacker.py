"""The demo's attacker: the server itself, which may do to what it carries whatever a server can do.

It has no secret of the two people. It can change what goes through its hands, and it can show one of them another person
under the other one's name: with a client, a proxy and keys of the attacker's own.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from e2eproxy.demo.server import Account, Server
from e2eproxy.testing.changes import parts
from e2eproxy.xmpp.stanza import Stanza, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from e2eproxy.demo.server_stream import Stream
    from e2eproxy.xmpp.jid import JID


def flipped(raw: bytes) -> bytes | None:
    """Return the message *raw* with one bit changed in the middle of its longest run of base64; None if it has none."""
    places = parts(raw)
    if not places:
        return None
    start, end = max(places, key=lambda place: place[1] - place[0])
    coded = raw[start:end]
    plain = coded.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    data = bytearray(base64.b64decode(plain + b"=" * (-len(plain) % 4)))
    data[len(data) // 2] ^= 1
    changed = base64.b64encode(bytes(data)).rstrip(b"=")[: len(plain)].ljust(len(plain), b"A")
    if b"-" in coded or b"_" in coded:
        changed = changed.replace(b"+", b"-").replace(b"/", b"_")
    return raw[:start] + changed + coded[len(plain) :] + raw[end:]


class Turncoat(Server):
    """An honest server until it is told otherwise. *changed* is told of each message that it changes, before and after."""

    def __init__(
        self,
        domain: str,
        users: Mapping[str, str],
        *,
        random: Callable[[int], bytes],
        seen: Callable[[JID, Stanza], None],
        changed: Callable[[Stanza, Stanza], None],
    ) -> None:
        super().__init__(domain, users, random=random, seen=seen)
        self._changed = changed
        self._changes = False
        self._victim: Account | None = None
        self._deceived: Account | None = None
        self._false: Account | None = None

    # -- changing what is carried ------------------------------------------------------------------------------------

    def change_next(self) -> None:
        """Change the next message that can be changed."""
        self._changes = True

    def deliver(self, stanza: Stanza, stream: Stream) -> None:
        """Bring *stanza* to *stream*, with a bit of its longest part changed if that is what is being done."""
        before = Stanza.parse(stanza.standalone())
        raw = flipped(before.raw) if self._changes and stanza.kind == "message" else None
        if raw is None:
            super().deliver(stanza, stream)
            return
        self._changes = False
        after = Stanza.parse(raw)
        self._changed(before, after)
        super().deliver(after, stream)

    # -- showing somebody else ---------------------------------------------------------------------------------------

    def show_another(self, victim: str, deceived: str, password: str) -> None:
        """Let whoever logs in as *victim* with *password* be *victim* for *deceived*; for all others nothing changes."""
        self._victim, self._deceived = self.accounts[victim], self.accounts[deceived]
        self._false = Account(self._victim.jid, password)
        for stream in self._victim.available:
            for one in self._deceived.available:
                head = {"type": "unavailable", "from": str(stream.jid), "to": str(one.jid)}
                super().deliver(Stanza.parse(build("presence", head)), one)

    def log_in(self, user: str, password: str) -> Account | None:
        """Let the impostor in, too."""
        false = self._false
        if false is not None and user == false.jid.local and password == false.password:
            return false
        return super().log_in(user, password)

    def find(self, jid: JID, asker: Account) -> Account | None:
        """Return the impostor where the deceived asks for the victim, or the impostor for itself."""
        found = super().find(jid, asker)
        lied_to = asker is self._deceived or asker is self._false
        return self._false if self._false is not None and lied_to and found is self._victim else found

    def contacts(self, account: Account) -> Iterable[Account]:
        """Return the impostor among the contacts of the deceived, and nobody else of the impostor's."""
        if self._false is None:
            return super().contacts(account)
        if account is self._false and self._deceived is not None:
            return (self._deceived,)
        if account is self._deceived:
            return [self._false if one is self._victim else one for one in super().contacts(account)]
        hidden = self._deceived if account is self._victim else None
        return [one for one in super().contacts(account) if one is not hidden]
