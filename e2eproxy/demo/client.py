"""A legacy client that follows a script: plain XMPP, and not a line that knows of encryption.

What it is shown is what a person at such a client would have on the screen. It says by service discovery what it was told
to announce, since the proxy does not announce a method in the place of its client.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from twisted.internet.protocol import Protocol

from e2eproxy.errors import LocalError
from e2eproxy.xmpp import names, stream
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, Header, Limits
from e2eproxy.xmpp.roster import ROSTER
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2eproxy.xmpp.jid import JID

DISCO: Final = "http://jabber.org/protocol/disco#info"

_LONGEST: Final = 1024 * 1024
_QUERY: Final = DISCO + names.SEPARATOR + "query"
_FAILURE: Final = names.SASL + names.SEPARATOR + "failure"


class Client(Protocol):
    """Logs in as *jid* (full) as soon as it is connected; *shown* is told each message that comes."""

    def __init__(
        self, jid: JID, password: str, announces: Iterable[str], shown: Callable[[Stanza], None]
    ) -> None:
        self.jid = jid
        self.online = False
        self._password = password
        self._announces = (DISCO, *announces)
        self._shown = shown
        self._framer = Framer(Limits(_LONGEST, strict=False), restart_after=frozenset((names.SASL_SUCCESS,)))
        self._root = b""
        self._authenticated = False
        self._number = 0

    # -- what its user does ------------------------------------------------------------------------------------------

    def say(self, to: JID, text: str) -> bytes:
        """Send a chat message; return it as it was written."""
        self._number += 1
        head = {"to": str(to), "type": "chat", "id": f"m{self._number}"}
        raw = build("message", head, element("body", {}, escape_text(text).encode()))
        self._write(raw)
        return raw

    def leave(self) -> None:
        """End the stream in good order."""
        self._write(stream.END)

    # -- the wire ----------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Begin."""
        self._write(stream.header(to=self.jid.domain))

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take bytes of the server, or who stands for it. Raises LocalError if the login fails."""
        for piece in self._framer.receive(data):
            if isinstance(piece, Header):
                self._root = piece.root
            elif isinstance(piece, Element):
                self._element(piece)

    def _write(self, raw: bytes) -> None:
        if self.transport is not None:
            self.transport.write(raw)

    def _element(self, piece: Element) -> None:
        if piece.name == names.FEATURES:
            self._write(self._bind() if self._authenticated else self._auth())
        elif piece.name == names.SASL_SUCCESS:
            self._authenticated = True
            self._write(stream.header(to=self.jid.domain))
        elif piece.name in {_FAILURE, names.STREAM_ERROR}:
            raise LocalError(f"{self.jid} could not log in at the demo's own server")
        elif piece.name in names.STANZAS:
            self._stanza(Stanza.of(piece, self._root))

    def _auth(self) -> bytes:
        response = base64.b64encode(f"\0{self.jid.local}\0{self._password}".encode())
        return element("auth", {"xmlns": names.SASL, "mechanism": "PLAIN"}, response)

    def _bind(self) -> bytes:
        resource = element("resource", {}, escape_text(self.jid.resource).encode())
        return build("iq", {"type": "set", "id": "bind"}, element("bind", {"xmlns": names.BIND}, resource))

    def _stanza(self, stanza: Stanza) -> None:
        if stanza.kind == "message":
            self._shown(stanza)
        elif stanza.kind == "iq" and stanza.id == "bind" and stanza.type == "result":
            self.online = True
            self._write(build("iq", {"type": "get", "id": "roster"}, element("query", {"xmlns": ROSTER})))
            self._write(build("presence", {}))
        elif stanza.kind == "iq" and stanza.type == "get":
            self._answer(stanza)

    def _answer(self, asked: Stanza) -> None:
        query = asked.child(_QUERY)
        head = {"to": asked.from_, "id": asked.id}
        if query is None:
            what = element("service-unavailable", {"xmlns": names.STANZA_ERRORS})
            self._write(build("iq", {**head, "type": "error"}, element("error", {"type": "cancel"}, what)))
            return
        kind = element("identity", {"category": "client", "type": "pc"})
        features = b"".join(element("feature", {"var": one}) for one in self._announces)
        about = {"xmlns": DISCO, "node": query.attributes.get("node")}
        self._write(build("iq", {**head, "type": "result"}, element("query", about, kind + features)))
