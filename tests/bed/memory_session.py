"""A session between two transports in memory: what goes in and comes out on each side, byte for byte, without sockets.

The transports behave as Twisted's do where the relay depends on it: they deliver nothing while they are paused, and
they pause the producer that is registered with them while their own peer does not read.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from e2eproxy.proxy.listener import ClientListener

DOMAIN = "example.test"


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One connection as the relay sees it; `deliver` and `written` are what its peer does and sees."""

    disconnecting = False
    half_closed = False

    def __init__(self):
        self.protocol = None
        self.written = bytearray()
        self.writes = 0
        self.paused = False
        self.finished = False
        self.full = False
        self.producer = None
        self.waiting: deque[bytes] = deque()

    # What the test does.

    def deliver(self, data: bytes) -> None:
        """The peer sends `data` in one piece."""
        self.waiting.append(data)
        self._drain()

    def stop_reading(self) -> None:
        """The peer does not read: the buffer towards it is full."""
        self.full = True
        if self.producer is not None:
            self.producer.pauseProducing()

    def read_on(self) -> None:
        """The peer has emptied the buffer."""
        if self.full:
            self.full = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def hang_up(self) -> None:
        """The peer closes its connection."""
        self.finished = True
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def _drain(self) -> None:
        while self.waiting and not self.paused and not self.finished:
            self.protocol.dataReceived(self.waiting.popleft())

    # What the relay does.

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        assert not self.finished, "written to a connection that is closed"
        self.writes += 1
        self.written += data

    def writeSequence(self, data) -> None:  # noqa: N802 - Twisted's name
        self.write(b"".join(data))

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.paused = False
        self._drain()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.loseConnection()

    def registerProducer(self, producer, streaming) -> None:  # noqa: N802 - Twisted's name
        assert streaming
        assert self.producer is None
        self.producer = producer
        if self.full:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        self.producer = None

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.finished = self.half_closed = True

    def loseConnection(self, _reason=None) -> None:  # noqa: N802 - Twisted's name
        self.finished = True

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.finished = True

    def getPeer(self):  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", "127.0.0.1", 40000)

    def getHost(self):  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", "127.0.0.1", 5222)


class MemoryUpstream:
    """The checked connection to the server of `domain`."""

    secure = True

    def __init__(self, transport: MemoryTransport, domain: str):
        self.transport = transport
        self.domain = domain
        self.description = "memory"

    def hand_over(self, protocol) -> None:
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        self.transport.resumeProducing()

    def abort(self) -> None:
        self.transport.abortConnection()


class MemorySession:
    """A client that has just connected, and a server that answers once `reach_server` is called."""

    def __init__(self):
        self.client = MemoryTransport()
        self.server = MemoryTransport()
        self.server.paused = True
        self.domains: list[str] = []
        self.clock = Clock()
        self._connecting: Deferred | None = None
        listener = ClientListener(self.clock, SimpleNamespace(connect=self._connect))
        self.client.protocol = listener.buildProtocol(self.client.getPeer())
        self.client.protocol.makeConnection(self.client)

    def _connect(self, domain, _redirect=None):
        self.domains.append(domain)
        self._connecting = Deferred()
        return self._connecting

    def reach_server(self) -> None:
        """The connection to the server stands."""
        self._connecting.callback(MemoryUpstream(self.server, DOMAIN))
