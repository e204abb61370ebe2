"""Servers and daemons that many tests share, so that the tests spend their time on what they test.

Each test uses accounts of its own, so the state of the others does not concern it. A test that stops a server or a
daemon starts its own.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bed.daemon import Daemon, UpstreamTLS
from bed.route import Route, Through, direct, through, upstream_port
from bed.servers import SERVERS, Profile, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.certificates import Certificates


class SharedBed:
    """Starts what is asked for once, and stops all of it at the end."""

    def __init__(self, certificates: Certificates, *, through: Through) -> None:
        """Nothing is started yet."""
        self.certificates = certificates
        self.through = through
        self._servers: dict[tuple[str, Profile], Server] = {}
        self._daemons: dict[tuple[str, Profile, UpstreamTLS], Daemon] = {}
        self._stack = ExitStack()

    def server(self, kind: str, profile: Profile = "plain") -> Server:
        """The shared server of this kind and profile."""
        key = (kind, profile)
        if key not in self._servers:
            self._servers[key] = self._stack.enter_context(SERVERS[kind](self.certificates, profile=profile))
        return self._servers[key]

    def route(self, kind: str, tls: UpstreamTLS, profile: Profile | None = None) -> Route:
        """The way to the shared server, through the daemon or directly.

        The usual profile is ``plain``: it offers STARTTLS, so that through the daemon with ``none`` the daemon has
        to take that offer away. Without a daemon clients that find the offer use it; there ``none`` means ``local``.
        """
        if self.through == "direct":
            return direct(self.server(kind, profile or ("local" if tls == "none" else "plain")), tls)
        profile = profile or "plain"
        server = self.server(kind, profile)
        key = (kind, profile, tls)
        if key not in self._daemons:
            daemon = Daemon(self.certificates, upstream_port(server, tls), tls)
            self._daemons[key] = self._stack.enter_context(daemon)
        return through(self._daemons[key], server)

    @contextmanager
    def own_route(self, kind: str, tls: UpstreamTLS, profile: Profile = "plain") -> Iterator[Route]:
        """The way to a server, and through a daemon, that nobody else uses: a test may end them."""
        with SERVERS[kind](self.certificates, profile=profile) as server:
            if self.through == "direct":
                yield direct(server, tls)
                return
            with Daemon(self.certificates, upstream_port(server, tls), tls) as daemon:
                yield through(daemon, server)

    def stop(self) -> None:
        """Stop everything; a daemon that did not end in good order raises."""
        self._stack.close()
