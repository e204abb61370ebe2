"""The two Twisted protocols of a session: the client's connection and the server's, and what pauses them.

A leg moves bytes and reports what happens to its connection; everything that is decided is decided in the session.
Back pressure: each leg reads only while the other one can write, so a peer that stops reading costs one bounded
buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from e2eproxy.xmpp.prompt import PromptTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from e2eproxy.proxy.session import Session

#: Seconds a closed connection may linger, so that the other side can read why it was closed.
LINGER_SECONDS: Final = 5.0


@implementer(IPushProducer)
class Reading:
    """Whether a leg reads: only while nobody holds it. The other leg's transport is one that may; see ``hold``."""

    __slots__ = ("_freed", "_holders", "_transport")

    def __init__(self, transport: Any) -> None:  # noqa: ANN401 - TCP, Unix or TLS, which share no interface
        self._transport = transport
        self._holders: set[str] = set()
        self._freed = False

    def hold(self, holder: str) -> None:
        """Stop reading until *holder* releases it."""
        if self._freed:
            return
        if not self._holders:
            self._transport.pauseProducing()
        self._holders.add(holder)

    def release(self, holder: str) -> None:
        """Take back *holder*'s ``hold``; read again if it was the last."""
        if holder in self._holders:
            self._holders.remove(holder)
            if not self._holders:
                self._transport.resumeProducing()

    def release_all(self) -> None:
        """Read again, whoever held it, and from now on whoever wants to."""
        self._freed = True
        if self._holders:
            self._holders.clear()
            self._transport.resumeProducing()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The other leg's buffer is full."""
        self.hold("buffer")

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The other leg's buffer has room again."""
        self.release("buffer")

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The other leg is gone; its ``connectionLost`` says so too, and the session acts on that."""


@implementer(IHalfCloseableProtocol)
class Leg(Protocol):
    """One connection of a session."""

    reading: Reading
    #: The transport. TCP, Unix and TLS transports share no interface that has all that is used of them.
    wire: Any
    #: Sends bytes, unless the connection is being closed. The wire's own while it is open: one call less for each stanza.
    write: Callable[[bytes], object]
    _session: Session | None
    _lingering: IDelayedCall | None = None
    _closing = False
    _silent = False

    def __init__(self, session: Session, clock: IReactorTime) -> None:
        self._session = session
        self._clock = clock

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Prepare the socket: small stanzas go at once, a vanished peer is noticed."""
        for setting in ("setTcpNoDelay", "setTcpKeepAlive"):
            switch = getattr(self.transport, setting, None)
            if switch is not None:
                switch(1)
        self.wire = self._wire()
        self.write = self.wire.write
        self.reading = Reading(self.transport)

    def _wire(self) -> Any:  # noqa: ANN401 - see ``wire``
        return self.transport

    def feed_from(self, other: Leg) -> None:
        """Let *other* read only while this leg can write."""
        self.wire.registerProducer(other.reading, True)

    def feed_from_nobody(self) -> None:
        """Take back ``feed_from``: this leg goes on, the other one does not."""
        self.wire.unregisterProducer()
        self.reading.release("buffer")

    def close(self) -> None:
        """Send what is under way, then close; wait a bounded time for the other side to close too."""
        if self._closing:
            return
        self._shut()
        self.wire.unregisterProducer()
        # What still comes is read and thrown away: unread bytes would make the kernel answer with a reset, which
        # can overtake the stream error the other side should read.
        self.reading.release_all()
        self._lingering = self._clock.callLater(LINGER_SECONDS, self.wire.abortConnection)
        self._finish()

    def _shut(self) -> None:
        """Take and send nothing from here on."""
        self._closing = True
        self.write = _into_nothing

    def _finish(self) -> None:
        self.wire.loseConnection()

    def abort(self) -> None:
        """Close at once, losing what is under way."""
        self._shut()
        self.wire.abortConnection()

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """The other side will send no more."""
        self._silent = True
        if self._closing or self._session is None:
            self.wire.loseConnection()
        else:
            self._silenced(self._session)

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """Our side has been closed; the rest is lingering."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        self._shut()
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        session, self._session = self._session, None
        if session is not None:
            self._gone(session, reason)

    def _silenced(self, session: Session) -> None:
        raise NotImplementedError

    def _gone(self, session: Session, reason: Failure) -> None:
        raise NotImplementedError


class ClientLeg(Leg):
    """The client's connection."""

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Tell the session."""
        super().connectionMade()
        if self._session is not None:
            self._session.client_connected()

    def _wire(self) -> Any:  # noqa: ANN401 - see ``wire``
        return PromptTransport(self.transport)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Pass bytes to the session."""
        if self._session is not None and not self._closing:
            self._session.client_sent(data)

    def _finish(self) -> None:
        # A TCP or Unix socket can be closed for writing alone; TLS, which only the server's leg has, cannot.
        if self._silent:
            self.wire.loseConnection()
        else:
            self.wire.loseWriteConnection()

    def _silenced(self, session: Session) -> None:
        session.client_silenced()

    def _gone(self, session: Session, reason: Failure) -> None:
        session.client_gone(reason)


class ServerLeg(Leg):
    """The server's connection."""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Pass bytes to the session."""
        if self._session is not None and not self._closing:
            self._session.server_sent(self, data)

    def _silenced(self, session: Session) -> None:
        session.server_gone(self)
        self.wire.loseConnection()

    def _gone(self, session: Session, reason: Failure) -> None:  # noqa: ARG002 - the shape of both legs
        session.server_gone(self)


def _into_nothing(_raw: bytes) -> None:
    """Where bytes go that come too late for a connection."""
