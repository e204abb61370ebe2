"""A raw TCP relay in Twisted: bytes in, bytes out; the least that a Twisted proxy can cost.

Each leg is the other's producer, so that a peer that does not read costs a bounded buffer. The client is
paused until the server is reached. Nothing looks at the bytes.
"""

from __future__ import annotations

import relay_program
from twisted.internet.protocol import Factory, Protocol


class Leg(Protocol):
    """One side of a connection; ``other`` is the leg its bytes go to."""

    other = None

    def join(self, other: Leg) -> None:
        """Send what comes here to *other*, no faster than it takes it."""
        self.other = other
        other.transport.registerProducer(self.transport, streaming=True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.other.transport.write(data)

    def connectionLost(self, _reason) -> None:  # noqa: N802 - Twisted's name
        other, self.other = self.other, None
        if other is not None:
            other.transport.unregisterProducer()
            other.transport.loseConnection()


class UpstreamLeg(Leg):
    """The leg to the server: joined to the client's as soon as it is up."""

    def __init__(self, client: ClientLeg) -> None:
        self.client = client

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.transport.setTcpNoDelay(True)
        if self.client.gone:
            self.transport.loseConnection()
            return
        self.join(self.client)
        self.client.join(self)
        self.client.transport.resumeProducing()


class ClientLeg(Leg):
    """The leg to the client."""

    upstream_leg = UpstreamLeg
    gone = False

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.transport.setTcpNoDelay(True)
        self.transport.pauseProducing()
        reaching = self.factory.upstream.connect(Factory.forProtocol(lambda: self.upstream_leg(self)))
        reaching.addErrback(lambda _failure: self.transport.loseConnection())

    def connectionLost(self, _reason) -> None:  # noqa: N802 - Twisted's name
        self.gone = True
        super().connectionLost(_reason)


if __name__ == "__main__":
    factory = Factory.forProtocol(ClientLeg)
    factory.upstream = relay_program.upstream(relay_program.options(__doc__))
    relay_program.run(factory)
