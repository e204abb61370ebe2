"""Holds clients and does nothing: what one connected client costs in Twisted before any proxy is written.

For each client: its plain socket, a connection to the server of the kind asked for, and two expat parsers with the
settings a proxy needs, each of which has read one stream header and one stanza. One TLS context serves all
connections, handlers are shared functions, nothing is kept besides. The client gets one byte when all is up.
"""

from __future__ import annotations

from xml.parsers import expat

import relay_program
import wire
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer


def _ignore(*_event: object) -> None:
    """Take an event of the parser; without a handler expat would do less than in any real use."""


def parser(header: bytes) -> expat.XMLParserType:
    """Return a parser in the middle of a stream."""
    made = expat.ParserCreate("utf-8", "}")
    made.ordered_attributes = True
    made.StartElementHandler = _ignore
    made.EndElementHandler = _ignore
    made.Parse(header, False)
    made.Parse(wire.stanza(1), False)
    return made


@implementer(IHandshakeListener)
class Upstream(Protocol):
    """The connection to the server."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.parser = parser(wire.SERVER_HEADER)

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        if not hasattr(self.transport, "negotiatedProtocol"):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        self.client.transport.write(b".")

    def connectionLost(self, _reason) -> None:  # noqa: N802 - Twisted's name
        self.client.transport.loseConnection()


class Client(Protocol):
    """The client's connection."""

    upstream = None

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.parser = parser(wire.CLIENT_HEADER)
        self.factory.upstream.connect(Factory.forProtocol(lambda: Upstream(self))).addCallbacks(
            self.reached, lambda _failure: self.transport.loseConnection()
        )

    def reached(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def connectionLost(self, _reason) -> None:  # noqa: N802 - Twisted's name
        if self.upstream is not None:
            self.upstream.transport.loseConnection()


if __name__ == "__main__":
    factory = Factory.forProtocol(Client)
    factory.upstream = relay_program.upstream(relay_program.options(__doc__))
    relay_program.run(factory)
