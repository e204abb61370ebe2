"""The daemon with the reference method before a real server, and everything that people can say to it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from attrs import frozen

from bed.reference import ReferenceDaemon, Wiretap
from bed.route import Route, through, upstream_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bed.servers import Account, Server


@frozen
class Stage:
    """A daemon before a server, two accounts that are friends, and what the daemon says to the server."""

    daemon: ReferenceDaemon
    tap: Wiretap
    server: Server
    accounts: tuple[Account, Account]

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.daemon.directory / "data"

    @property
    def route(self) -> Route:
        """The way through it."""
        return through(self.daemon, self.server)

    def say(self, *words: str, status: int = 0, json_wanted: bool = False) -> str:
        """Run ``e2eproxy`` with *words*; return what it wrote."""
        more = ["--json"] if json_wanted else []
        done = subprocess.run(
            [sys.executable, "-m", "e2eproxy", *words, *more, "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr


@contextmanager
def stage_before(server: Server) -> Iterator[Stage]:
    """A daemon that prefers encryption, before *server*."""
    with ExitStack() as stack:
        tap = stack.enter_context(Wiretap(upstream_port(server, "none")))
        daemon = stack.enter_context(ReferenceDaemon(server.certificates, tap.port, policy="prefer"))
        yield Stage(daemon, tap, server, server.pair_of())
