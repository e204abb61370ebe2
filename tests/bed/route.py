"""The way from a client to a server: straight there, or through the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from bed.polling import BedError

if TYPE_CHECKING:
    from bed.certificates import Certificates
    from bed.daemon import Daemon, UpstreamTLS
    from bed.servers import Account, Server

Through = Literal["daemon", "direct"]


@frozen
class Route:
    """What a client has to be told, and what has to be true afterwards.

    ``port``: where on 127.0.0.1 the client connects. ``client_tls``: what the client itself has to do about TLS
    (``none`` through the daemon). ``tls``: what protects the connection that reaches the server.
    """

    server: Server
    tls: UpstreamTLS
    port: int
    client_tls: UpstreamTLS
    daemon: Daemon | None

    @property
    def domain(self) -> str:
        """The domain that the client asks for."""
        return self.server.domain

    @property
    def certificates(self) -> Certificates:
        """The authority that the client has to trust when it does TLS itself."""
        return self.server.certificates

    def require_login(self, *accounts: Account) -> None:
        """All *accounts* are logged in: over this route's kind of TLS, and through the daemon if it is in the way."""
        for account in accounts:
            self.server.require_login(account, secure=self.tls != "none")
            if self.daemon is not None:
                self.daemon.require_login(account.jid)

    def require_carried(self, connections: int) -> None:
        """The daemon has at least *connections* connections to the server open right now."""
        if self.daemon is None:
            return
        carried = self.daemon.connections(self.daemon.upstream_port)
        if carried < connections:
            raise BedError(
                f"the daemon carries {carried} connections, not {connections}:\n{self.daemon.tail()}"
            )


def upstream_port(server: Server, tls: UpstreamTLS) -> int:
    """The port of *server* for this kind of TLS."""
    return server.tls_port if tls == "direct" else server.port


def direct(server: Server, tls: UpstreamTLS) -> Route:
    """No daemon: the client does TLS itself."""
    return Route(server=server, tls=tls, port=upstream_port(server, tls), client_tls=tls, daemon=None)


def through(daemon: Daemon, server: Server) -> Route:
    """The client speaks plain TCP to *daemon*, and that speaks to *server* as it was told."""
    return Route(server=server, tls=daemon.tls, port=daemon.port, client_tls="none", daemon=daemon)
