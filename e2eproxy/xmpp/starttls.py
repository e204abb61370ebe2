"""From the first byte to ``<proceed/>``: the proxy's own little stream before TLS (RFC 6120 section 5).

Sans-IO (law 7). Nothing here can be trusted, so nothing of it is passed on but a refusal: a server without STARTTLS, a
failure, an error or a byte in the clear behind ``<proceed/>`` ends the attempt and is never a reason to go on
without TLS.
"""

from __future__ import annotations

from typing import Final

from e2eproxy.errors import StreamError
from e2eproxy.xmpp import names, stream
from e2eproxy.xmpp.domain import unicode_domain
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, End, Header, Limits, Piece
from e2eproxy.xmpp.reaching import ConnectError, printable, unreachable, unsafe
from e2eproxy.xmpp.tree import Node, parse

#: Bytes a server may send before TLS.
MOST_BYTES: Final = 64 * 1024

_STARTTLS: Final = names.TLS + names.SEPARATOR + "starttls"
_FAILURE: Final = names.TLS + names.SEPARATOR + "failure"
_TEXT: Final = names.STREAM_ERRORS + names.SEPARATOR + "text"
_REQUEST: Final = f"<starttls xmlns='{names.TLS}'/>".encode()

#: Stream errors (RFC 6120 section 4.9.3) after which another machine of the same domain may do better.
_PASSING: Final = frozenset(
    ("connection-timeout", "internal-server-error", "remote-connection-failed", "reset", "resource-constraint",
     "system-shutdown")
)  # fmt: skip


class StartTLS:
    """One negotiation with the server of the prepared *domain*."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._framer = Framer(Limits(element_bytes=MOST_BYTES), restart_after=frozenset((names.TLS_PROCEED,)))
        self._received = 0
        self._cut = 0
        self._root = b""
        self._answer = b""
        self._asked = False
        self.proceed = False

    def opening(self) -> bytes:
        """Return the stream header to send first; it has no ``from``, which would tell who it is in the clear."""
        return stream.header(to=unicode_domain(self._domain))

    def receive(self, data: bytes) -> bytes:
        """Take what the server sent, return what to send now. When ``proceed`` is true, TLS is to begin.

        Raises ConnectError; the connection is of no use then.
        """
        self._received += len(data)
        if self._received > MOST_BYTES:
            raise unreachable(f"the server sent more than {MOST_BYTES} bytes before TLS")
        try:
            pieces = self._framer.receive(data)
        except StreamError as error:
            if self._asked:
                raise _clear_bytes() from None
            raise unreachable(f"what answers there is no XMPP server: {error.text.rstrip('.')}") from None
        for piece in pieces:
            self._cut += len(piece.raw)
            self._take(piece)
        if self.proceed and self._cut != self._received:
            raise _clear_bytes()
        answer, self._answer = self._answer, b""
        self._asked = self._asked or bool(answer)
        return answer

    def _take(self, piece: Piece) -> None:
        if self.proceed:
            raise _clear_bytes()
        if isinstance(piece, Header):
            self._root = piece.root
            if piece.attribute("version") is None:
                raise _no_starttls()
        elif isinstance(piece, End):
            raise unreachable("the server closed the stream before TLS")
        elif isinstance(piece, Element):
            self._take_element(piece)

    def _take_element(self, element: Element) -> None:
        if element.name == names.STREAM_ERROR:
            raise _stream_error(self._children(element))
        if element.name == _FAILURE:
            raise unsafe(
                "The server offers STARTTLS and then refuses it; without TLS no password is sent to it."
            )
        if element.name == names.FEATURES and not self._asked and not self._answer:
            if not any(child.name == _STARTTLS for child in self._children(element)):
                raise _no_starttls()
            self._answer = _REQUEST
        elif element.name == names.TLS_PROCEED and self._asked:
            self.proceed = True
        else:
            local = printable(names.split_name(element.name)[1], 40)
            raise unreachable(f"the server sent <{local}/> where STARTTLS has to be")

    def _children(self, element: Element) -> list[Node]:
        try:
            return parse(self._root, element.raw).children
        except StreamError as error:
            raise unreachable(f"what answers there is no XMPP server: {error.text.rstrip('.')}") from None


def _stream_error(children: list[Node]) -> ConnectError:
    condition, text = "undefined-condition", ""
    for child in children:
        namespace, local = names.split_name(child.name)
        if child.name == _TEXT:
            text = printable(child.text)
        elif namespace == names.STREAM_ERRORS:
            condition = printable(local, 40)
    if condition == "see-other-host":
        return unsafe(
            "The server wants to send us to another host before TLS, where anyone could say so: refused."
        )
    said = f"the server refused the stream with {condition}" + (f": {text}" if text else "")
    if condition in _PASSING:
        return ConnectError(condition, said)
    return ConnectError(condition, said[0].upper() + said[1:].rstrip(".") + ".", final=True)


def _no_starttls() -> ConnectError:
    return unsafe(
        "The server offers no STARTTLS there (or someone between has removed it); without TLS no password is sent to it."
    )


def _clear_bytes() -> ConnectError:
    return unsafe(
        "Something was sent in the clear where TLS had to begin: someone may be interfering with this connection."
    )
