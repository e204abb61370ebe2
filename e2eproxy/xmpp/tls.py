"""TLS towards the server: one OpenSSL context for all connections, and no Python callback in it.

TLS 1.2 or newer, SNI, ALPN, the chain checked by OpenSSL; name and pins by ``certificates`` when the handshake is
done. pyOpenSSL's callbacks need memory that is writable and executable and die where systemd's
MemoryDenyWriteExecute forbids it; this module must go on without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from e2eproxy.errors import LocalError
from e2eproxy.xmpp.certificates import UNREADABLE, chain_refused, check_name, check_pins
from e2eproxy.xmpp.domain import ip_literal
from e2eproxy.xmpp.reaching import ConnectError, UpstreamSettings, printable, unreachable, unsafe

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IReactorTime

PIN_BYTES: Final = 32
_ALPN: Final = b"xmpp-client"  # XEP-0368 section 2


class ServerTLS:
    """What all connections under the same settings share: the context, and Twisted's factory around it."""

    def __init__(self, settings: UpstreamSettings, clock: IReactorTime) -> None:
        """Read the authorities. Raises LocalError: an unreadable CA file, or settings that contradict each other."""
        _check(settings)
        self._pins = settings.pins
        self._pin_only = settings.pin_only
        self._context = _context(settings)
        self._factory = TLSMemoryBIOFactory(_Creator(self._context), True, Factory(), clock)

    def wrap(self, protocol: IProtocol, domain: str, *, direct: bool) -> TLSMemoryBIOProtocol:
        """Return a TLS layer for the prepared *domain* around *protocol*; ``makeConnection`` begins the handshake.

        ALPN is only offered with *direct*: it tells XMPP from HTTP on a shared port, and a server that upgrades a
        stream has no use for it.
        """
        return _ClientTLS(self._factory, protocol, domain, direct=direct)

    def check(self, connection: SSL.Connection, domain: str) -> None:
        """Raise ConnectError unless the peer of *connection*, its handshake just done, is *domain*'s server."""
        try:
            certificate = connection.get_peer_certificate(as_cryptography=True)
        except UNREADABLE:
            certificate = None
        if certificate is None:
            raise unsafe("The server showed no certificate that can be read.")
        if not self._pin_only:
            check_name(certificate, domain)
        check_pins(certificate, self._pins)

    def explain(self, error: SSL.Error, connection: SSL.Connection) -> ConnectError:
        """Return the words for a handshake of *connection* that failed with OpenSSL's *error*."""
        reasons = [str(entry[-1]) for entry in error.args[0]] if error.args and error.args[0] else []
        if any("certificate verify failed" in reason for reason in reasons):
            return chain_refused(self._context.get_cert_store(), connection.get_peer_cert_chain())
        what = printable("; ".join(reasons)) or "no reason given"
        hint = (
            " (is that a port for STARTTLS?)"
            if any("wrong version number" in reason for reason in reasons)
            else ""
        )
        return unreachable(f"TLS could not be agreed upon: {what}{hint}")


class _ClientTLS(TLSMemoryBIOProtocol):
    """Twisted's TLS layer, and what its connection has to be made for."""

    def __init__(
        self, factory: TLSMemoryBIOFactory, protocol: IProtocol, domain: str, *, direct: bool
    ) -> None:
        super().__init__(factory, protocol)  # type: ignore[no-untyped-call]  # Twisted's, not annotated
        self.domain = domain
        self.direct = direct


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        assert isinstance(tlsProtocol, _ClientTLS)  # noqa: S101 - only ServerTLS.wrap uses the factory
        connection = SSL.Connection(self._context, None)
        if ip_literal(tlsProtocol.domain) is None:
            connection.set_tlsext_host_name(tlsProtocol.domain.encode("ascii"))
        if tlsProtocol.direct:
            connection.set_alpn_protos([_ALPN])
        return connection


def _check(settings: UpstreamSettings) -> None:
    if any(len(pin) != PIN_BYTES for pin in settings.pins):
        raise LocalError("A pin is the SHA-256 of a public key: 32 bytes, 64 hexadecimal digits.")
    if settings.pin_only and not settings.pins:
        raise LocalError("Only pinned keys are to be trusted, but there is no pin: give one with --pin.")


def _context(settings: UpstreamSettings) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # An idle connection keeps no record buffers and no session: about half of its memory.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if settings.pin_only:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    context.set_verify(SSL.VERIFY_PEER)
    if settings.ca_file is None:
        context.set_default_verify_paths()
        return context
    try:
        context.load_verify_locations(settings.ca_file)
    except SSL.Error:
        raise LocalError(
            f"The CA file {settings.ca_file} cannot be read, or holds no certificate in PEM."
        ) from None
    return context
