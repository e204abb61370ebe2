"""The daemon under test, as a process of its own, started by its own command line."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from bed.child import Child
from bed.polling import BedError, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from bed.certificates import Certificates

UpstreamTLS = Literal["starttls", "direct", "none"]

LISTENING = re.compile(r"listening on (127\.0\.0\.1):(\d+)")
TROUBLE = re.compile(
    r"^.*(?:Traceback \(most recent|Unhandled Error|Unhandled error in Deferred).*$", re.MULTILINE
)
ORDERLY_ENDS = {0, -15}  # Twisted's own runners end themselves by the signal that they were ended with
ESTABLISHED = "01"


class Daemon:
    """``python -m e2eproxy run`` on a loopback port of the kernel's choice."""

    def __init__(
        self,
        certificates: Certificates,
        upstream_port: int,
        tls: UpstreamTLS,
        *,
        options: Sequence[str] = (),
        directory: Path | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Prepare it for the server at 127.0.0.1:*upstream_port*; *options* are added to the command line, *before* stands first."""
        self.certificates = certificates
        self.upstream_port = upstream_port
        self.tls = tls
        self.options = options
        self.before = before
        self._given = directory
        self.directory = Path()
        self.port = 0
        self.child: Child | None = None

    def start(self) -> Self:
        """Start it, and wait until it says on which port it listens."""
        self.directory = self._given or Path(tempfile.mkdtemp(prefix="bed-daemon-"))
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        inherited = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ
        }
        self.child = child = Child(
            self._command(data),
            log=self.directory / "daemon.log",
            cwd=self.directory,
            environment={
                **inherited,
                "HOME": str(self.directory),
                "LANG": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
            },
        )

        def look() -> re.Match[str] | None:
            child.require_running()
            return LISTENING.search(child.text())

        try:
            self.port = int(wait_until(look, "the daemon to listen", timeout=30, instead=child.tail).group(2))
        except BaseException:
            child.kill()
            self._clear()
            raise
        return self

    def _command(self, data: Path) -> list[str]:
        trust = [] if self.tls == "none" else ["--upstream-ca", str(self.certificates.ca_file)]
        return [
            *self.before,
            sys.executable, "-m", "e2eproxy", "run",
            "--listen", "tcp:0:interface=127.0.0.1",
            "--upstream", f"127.0.0.1:{self.upstream_port}",
            "--upstream-tls", self.tls,
            *trust,
            "--data", str(data),
            *self.options,
        ]  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def log_text(self) -> str:
        """What it has logged so far."""
        return self._running().text()

    def tail(self) -> str:
        """The end of its log."""
        return self._running().tail()

    def require_login(self, jid: str, timeout: float = 10) -> None:
        """Wait until the daemon's log tells that the bare *jid* has been bound through it."""
        told = re.compile(rf"{re.escape(jid)}/.* logged in")
        wait_until(
            lambda: told.search(self.log_text()),
            f"a login of {jid} in the daemon's log",
            timeout=timeout,
            instead=self.tail,
        )

    def connections(self, remote_port: int) -> int:
        """How many TCP connections to 127.0.0.1:*remote_port* the daemon has at the moment, by the kernel's tables."""
        remote = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), sys.byteorder):08X}:{remote_port:04X}"
        table = Path(f"/proc/{self.pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        rows = [line.split() for line in table]
        inodes = {row[9] for row in rows if row[2] == remote and row[3] == ESTABLISHED}
        return len(inodes & self._sockets())

    def _sockets(self) -> set[str]:
        """The inodes of its open sockets."""
        found = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                target = descriptor.readlink().name
            except FileNotFoundError:  # closed since the listing
                continue
            if socket_of := re.fullmatch(r"socket:\[(\d+)\]", target):
                found.add(socket_of.group(1))
        return found

    def require_no_traceback(self, since: int = 0) -> None:
        """Raise BedError if the log, from character *since* on, has anything like an error that nobody handled."""
        text = self.log_text()[since:]
        if seen := TROUBLE.search(text):
            raise BedError(f"the daemon's log has {seen.group(0)!r}:\n{text[max(0, seen.start() - 1500) :]}")

    def stop(self) -> None:
        """End it with SIGTERM; it has to end in good order, and to have logged no traceback."""
        if self.child is None:
            return
        status = self.child.terminate()
        try:
            self.require_no_traceback()
            if status not in ORDERLY_ENDS:
                raise BedError(f"the daemon ended with {status}:\n{self.tail()}")
        finally:
            self._clear()

    def _clear(self) -> None:
        if self._given is None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _running(self) -> Child:
        if self.child is None:
            raise BedError("the daemon has not been started")
        return self.child

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
