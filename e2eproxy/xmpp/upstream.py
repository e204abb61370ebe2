"""A connection to the server, from TCP's to the moment the session takes it: STARTTLS, handshake, checks.

It is paused while nobody has taken it; nothing is ever written to a server that has not been checked but the
proxy's own words for STARTTLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from e2eproxy.xmpp.domain import is_loopback
from e2eproxy.xmpp.prompt import PromptTransport
from e2eproxy.xmpp.reaching import Candidate, ConnectError, unreachable, unsafe
from e2eproxy.xmpp.starttls import StartTLS

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol
    from twisted.protocols.tls import TLSMemoryBIOProtocol
    from twisted.python.failure import Failure

    from e2eproxy.xmpp.tls import ServerTLS


class Upstream:
    """A connection to the checked server of ``domain``, paused until it is handed over.

    ``transport``: TLS, or TCP if not ``secure``; a producer and a consumer. ``description``: for logs.
    """

    def __init__(self, opening: Opening, description: str) -> None:
        self._opening: Opening | None = opening
        self.transport: Any = opening.outlet
        self.domain = opening.domain
        self.secure = opening.tls_layer is not None
        self.description = description

    def hand_over(self, protocol: IProtocol) -> None:
        """Give the connection to *protocol*: its ``makeConnection``, then what has come meanwhile.

        Reading is resumed before that, so that *protocol* may pause at once. A connection that was lost meanwhile is
        reported as lost behind its bytes.
        """
        opening, self._opening = self._opening, None
        if opening is None:
            raise RuntimeError("an upstream can be handed over only once")
        opening.hand_over(protocol)

    def abort(self) -> None:
        """Close the connection at once; for one that nobody wants any more."""
        self.transport.abortConnection()


@implementer(IHandshakeListener)
class Opening(Protocol):
    """What speaks to the server until the session does."""

    def __init__(self, candidate: Candidate, domain: str, tls: ServerTLS) -> None:
        self._candidate = candidate
        self.domain = domain
        self._tls = tls
        self._starttls: StartTLS | None = None
        self.tls_layer: TLSMemoryBIOProtocol | None = None
        self._tcp: Any = None
        # What the session writes to: the TLS layer, or TCP.
        self.outlet: Any = None
        self._ready: Deferred[Upstream] | None = None
        self._early: list[bytes] = []
        self._lost: Failure | None = None

    def begin(self) -> Deferred[Upstream]:
        """Start on a connected TCP transport; fires when the server has been checked, fails with ConnectError."""
        ready: Deferred[Upstream] = Deferred(lambda _cancelled: self._give_up())
        self._ready = ready
        self._tcp = self.transport
        if self._candidate.security == "direct":
            self._start_tls()
        elif self._candidate.security == "starttls":
            self._starttls = StartTLS(self.domain)
            self._tcp.write(self._starttls.opening())
        elif is_loopback(self._tcp.getPeer().host):
            # Also past the wrapper that Twisted's endpoint put around this protocol.
            self._tcp.protocol = self
            self._succeed("without TLS")
        else:
            self._fail(unsafe("TLS is switched off, and that is only allowed to a server on this machine."))
        return ready

    # -- from the transport --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self._starttls is None or self.tls_layer is not None:
            self._early.append(data)
            return
        if self._ready is None:
            return
        try:
            answer = self._starttls.receive(data)
        except ConnectError as error:
            self._fail(error)
            return
        if answer:
            self._tcp.write(answer)
        if self._starttls.proceed:
            self._start_tls()

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        if self._ready is None:
            return
        connection = self._connection()
        try:
            self._tls.check(connection, self.domain)
        except ConnectError as error:
            self._fail(error)
            return
        self._succeed(connection.get_protocol_version_name())

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        self._lost = reason
        if self._ready is None:
            return
        error = reason.value
        if self.tls_layer is not None and isinstance(error, SSL.Error):
            self._fail(self._tls.explain(error, self._connection()))
        else:
            phase = "TLS was established" if self.tls_layer is not None else "TLS began"
            self._fail(unreachable(f"the server closed the connection before {phase}"))

    # -- the steps -----------------------------------------------------------------------------------------------

    def _start_tls(self) -> None:
        layer = self._tls.wrap(self, self.domain, direct=self._candidate.security == "direct")
        self.tls_layer = layer
        self._starttls = None
        self._tcp.protocol = layer
        layer.makeConnection(PromptTransport(self._tcp))  # type: ignore[no-untyped-call]  # Twisted's, not annotated

    def _connection(self) -> SSL.Connection:
        assert self.tls_layer is not None  # noqa: S101 - the callers' condition
        connection: SSL.Connection = self.tls_layer.getHandle()  # type: ignore[no-untyped-call]  # Twisted's, not annotated
        return connection

    def _succeed(self, how: str) -> None:
        ready, self._ready = self._ready, None
        assert ready is not None  # noqa: S101 - the callers' condition
        self.outlet = self.tls_layer or PromptTransport(self._tcp)
        self._tcp.pauseProducing()
        kind = {"starttls": "starttls to", "direct": "direct TLS to", "none": "TCP to"}[
            self._candidate.security
        ]
        ready.callback(Upstream(self, f"{kind} {self._candidate}, {how}"))

    def _fail(self, error: ConnectError) -> None:
        ready, self._ready = self._ready, None
        assert ready is not None  # noqa: S101 - the callers' condition
        self._abort()
        ready.errback(error)

    def _give_up(self) -> None:
        self._ready = None
        self._abort()

    def _abort(self) -> None:
        if self._lost is None:
            self._tcp.abortConnection()

    def hand_over(self, protocol: IProtocol) -> None:
        """See ``Upstream.hand_over``."""
        if self.tls_layer is not None:
            self.tls_layer.wrappedProtocol = protocol
        else:
            self._tcp.protocol = protocol
        if self._lost is None:
            self._tcp.resumeProducing()
        protocol.makeConnection(self.outlet)
        early, self._early = self._early, []
        if early:
            protocol.dataReceived(b"".join(early))
        if self._lost is not None:
            protocol.connectionLost(self._lost)
