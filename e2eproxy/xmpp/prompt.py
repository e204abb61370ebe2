"""A transport that writes to its socket at once, and only leaves to the reactor what the socket does not take.

Twisted's write always waits for the reactor to say that the socket can be written to, which costs two changes of the
poll set and another round of polling for each stanza, although a socket nearly always has room. Back pressure is
Twisted's own as soon as there is something left over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import directlyProvides, implementer, providedBy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import socket


class PromptTransport:
    """*transport* (TCP or Unix, connected, without TLS) with a ``write`` that tries the socket first.

    Everything else is the transport's own. One that has no socket, such as one in memory, is written to as it is.
    """

    def __init__(self, transport: Any) -> None:  # noqa: ANN401 - TCP and Unix transports share no interface with it all
        self._transport = transport
        handle = getattr(transport, "getHandle", None)
        self._socket: socket | None = None if handle is None else handle()
        # Whether bytes may be waiting in the transport: nothing may overtake them.
        self._behind = self._socket is None
        directlyProvides(self, providedBy(transport))

    def write(self, data: bytes) -> None:
        """Send *data* behind everything written before."""
        if self._behind or self._socket is None:
            self._transport.write(data)
            return
        try:
            sent = self._socket.send(data)
        except OSError:
            # No room, or the connection is gone: the transport finds out which, and tells its protocol.
            sent = 0
        if sent < len(data):
            self._behind = True
            self._transport.write(data[sent:])

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        """Send all of *data* in order."""
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: ANN401, N802 - Twisted's
        """Let *producer* pause while the transport's buffer is full."""
        self._transport.registerProducer(_Emptied(self, producer) if streaming else producer, streaming)

    def caught_up(self) -> None:
        """Take note that nothing waits in the transport any more."""
        self._behind = self._socket is None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)


@implementer(IPushProducer)
class _Emptied:
    """A streaming producer that also hears when the transport's buffer is empty: Twisted resumes it just then."""

    def __init__(self, transport: PromptTransport, producer: Any) -> None:  # noqa: ANN401 - any producer
        self._transport = transport
        self._producer = producer

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._transport.caught_up()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._producer.stopProducing()
