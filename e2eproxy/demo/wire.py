"""Connections in memory: the demo opens no socket, so nothing of it can leave the machine, and nothing else can get in.

What is written waits until it is carried over, in an order that is always the same; so two runs with the same randomness
are the same run, and whatever was set off is over before the next thing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IProtocol
    from twisted.internet.task import Clock

#: Rounds in which everything that is under way has to have arrived; there are a few dozen in a handshake.
MOST_ROUNDS: Final = 1_000


@implementer(ITransport, IConsumer, IPushProducer)
class End:
    """One end of a connection, as Twisted's protocols know it. Made in pairs by ``Wires.connection``."""

    disconnecting = False
    peer: End

    def __init__(self) -> None:
        self._protocol: IProtocol | None = None
        self._arrived = bytearray()
        self._paused = False
        # Whether this end writes no more; whether it also reads no more; and whether its protocol knows that it is over.
        self._ended = False
        self._closed = False
        self._over = False

    def attach(self, protocol: IProtocol) -> None:
        """Connect *protocol*, which gets what has come already with the next carrying."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def carry(self) -> bool:
        """Hand what the other end wrote to this end's protocol; return whether there was anything."""
        protocol = self._protocol
        if protocol is None or self._over or (self._paused and not self._closed):
            return False
        if self._arrived and not self._closed:
            data = bytes(self._arrived)
            self._arrived.clear()
            protocol.dataReceived(data)
            return True
        if self._closed or self.peer._ended:  # noqa: SLF001 - the other half of one connection
            self._over = self._ended = True
            protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]  # Twisted's
            return True
        return False

    # -- what protocols call, by Twisted's names ---------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send *data*, unless this end is closed."""
        if not self._ended:
            self.peer._arrived += data  # noqa: SLF001 - the other half of one connection

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        """Send all of *data* in order."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read again."""
        self._paused = False

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read no more at all."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: ANN401, N802 - Twisted's
        """Take note of nothing: what is written here is never too much."""

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """As above."""

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Write no more; what comes is still read."""
        self._ended = True

    def loseConnection(self, _reason: object = None) -> None:  # noqa: N802 - Twisted's name
        """Close this end."""
        self._ended = self._closed = True

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close this end."""
        self.loseConnection()

    def getPeer(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        """Return an address for logs; there is no socket."""
        return IPv4Address("TCP", "127.0.0.1", 0)

    def getHost(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        """As above."""
        return self.getPeer()


class Wires:
    """All connections of the demo, and its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._ends: list[End] = []

    def connection(self) -> tuple[End, End]:
        """Return the two ends of a new connection."""
        one, other = End(), End()
        one.peer, other.peer = other, one
        self._ends += (one, other)
        return one, other

    def run(self) -> None:
        """Carry everything over until nothing moves any more. Raises AssertionError if that never happens."""
        for _ in range(MOST_ROUNDS):
            moved = 0
            for end in self._ends:
                moved += end.carry()
            now = self.clock.seconds()
            due = any(call.getTime() <= now for call in self.clock.getDelayedCalls())
            if due:
                self.clock.advance(0)
            elif not moved:
                return
        raise AssertionError("the demo's programs write to each other for ever")

    def wait(self, seconds: float, step: float = 60.0) -> None:
        """Let time pass, at most *step* seconds at once."""
        while seconds > 0:
            self.clock.advance(min(seconds, step))
            self.run()
            seconds -= step
