"""One client's stream at the embedded server: login and binding, by RFC 6120 and as strict as it allows.

SASL PLAIN alone, for throw-away passwords on connections that never leave the process. Everything a client does out of
turn ends its stream with the defined condition.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from twisted.internet.protocol import Protocol, connectionDone

from e2eproxy.errors import RemoteError, StreamError
from e2eproxy.xmpp import names, stream
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.pieces import Element, End, Header, Limits, Part
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text
from e2eproxy.xmpp.tree import parse

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from e2eproxy.demo.server import Account, Server
    from e2eproxy.xmpp.pieces import Piece

#: Bytes of a client's longest element.
LONGEST: Final = 256 * 1024

_AUTH: Final = names.SASL + names.SEPARATOR + "auth"
_BIND: Final = names.BIND + names.SEPARATOR + "bind"
_RESOURCE: Final = names.BIND + names.SEPARATOR + "resource"
_MECHANISMS: Final = element("mechanisms", {"xmlns": names.SASL}, element("mechanism", {}, b"PLAIN"))
_FEATURES: Final = b"<stream:features>%s</stream:features>"


class Stream(Protocol):
    """A connection to *server*. ``jid`` is the full JID once it is bound; ``presence`` its last one, if it is available."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._framer = Framer(Limits(LONGEST))
        self._root = b""
        self._over = False
        self.account: Account | None = None
        self.jid: JID | None = None
        self.presence: Stanza | None = None

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take bytes of the client; whatever is wrong with them ends the stream with an error."""
        if self._over:
            return
        error = None
        try:
            pieces = self._framer.receive(data)
        except StreamError as broken:
            error, pieces = broken, self._framer.completed
        try:
            for piece in pieces:
                self._piece(piece)
        except StreamError as wrong:
            error = wrong
        except RemoteError as wrong:
            error = StreamError("invalid-xml", str(wrong))
        if error is not None and not self._over:
            self._end(stream.error(error.condition, error.text))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802 - Twisted's
        """The client is gone."""
        self._over = True
        self._leave()

    def send(self, raw: bytes) -> None:
        """Send a stanza, or what else belongs on the stream."""
        if not self._over and self.transport is not None:
            self.transport.write(raw)

    # -- pieces ------------------------------------------------------------------------------------------------------

    def _piece(self, piece: Piece) -> None:
        if self._over:
            return
        if isinstance(piece, Header):
            self._header(piece)
        elif isinstance(piece, Element):
            self._element(piece)
        elif isinstance(piece, End):
            self._end(b"")
        elif isinstance(piece, Part):
            raise StreamError("policy-violation", "An element is too long.")

    def _header(self, header: Header) -> None:
        self._root = header.root
        self.send(stream.header(sender=self._server.domain, stream_id=self._server.random(8).hex()))
        if header.attribute("to") != self._server.domain:
            raise StreamError("host-unknown", "This server has one domain, and that is another one.")
        if self.jid is not None:
            raise StreamError("not-authorized", "A bound stream does not begin anew.")
        offer = _MECHANISMS if self.account is None else element("bind", {"xmlns": names.BIND})
        self.send(_FEATURES % offer)

    def _element(self, piece: Element) -> None:
        if self.account is None:
            self._log_in(piece)
        elif self.jid is None:
            self._bind(piece, self.account)
        elif piece.name in names.STANZAS:
            self._server.take(self, Stanza.of(piece, self._root))
        else:
            raise StreamError("unsupported-stanza-type", "Only stanzas are understood here.")

    def _log_in(self, piece: Element) -> None:
        if piece.name != _AUTH:
            raise StreamError("not-authorized", "Log in first.")
        user, password = _plain(parse(self._root, piece.raw).text)
        known = self._server.log_in(user, password) if piece.attribute("mechanism") == "PLAIN" else None
        if known is None:
            failure = element("not-authorized", {})
            self._end(element("failure", {"xmlns": names.SASL}, failure))
            return
        self.account = known
        self.send(element("success", {"xmlns": names.SASL}))

    def _bind(self, piece: Element, account: Account) -> None:
        iq = parse(self._root, piece.raw) if piece.name == names.IQ else None
        wanted = None if iq is None or piece.attribute("type") != "set" else iq.child(_BIND)
        if wanted is None:
            raise StreamError("not-authorized", "Bind a resource first.")
        resource = wanted.child(_RESOURCE)
        text = self._server.random(8).hex() if resource is None else resource.text
        jid = JID.parse(f"{account.jid}/{text}")
        if jid.resource in account.streams:
            raise StreamError("conflict", "Somebody is logged in with this resource.")
        self.jid = jid
        account.streams[jid.resource] = self
        bound = element("jid", {}, escape_text(str(jid)).encode())
        head = {"type": "result", "id": piece.attribute("id")}
        self.send(build("iq", head, element("bind", {"xmlns": names.BIND}, bound)))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _end(self, last: bytes) -> None:
        self.send(last + stream.END)
        self._over = True
        self._leave()
        if self.transport is not None:
            self.transport.loseConnection()

    def _leave(self) -> None:
        account, jid, self.jid = self.account, self.jid, None
        if account is not None and jid is not None:
            del account.streams[jid.resource]
            self._server.left(self, jid, account)


def _plain(text: str) -> tuple[str, str]:
    """Return user and password of a PLAIN response (RFC 4616); both empty if it is none."""
    try:
        _, user, password = base64.b64decode(text, validate=True).decode().split("\0")
    except (ValueError, binascii.Error):
        return "", ""
    return user, password
