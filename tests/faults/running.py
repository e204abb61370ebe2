"""A daemon as its users start it: both ways, with its output apart, and a service manager that listens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from bed.polling import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

RUN = (sys.executable, "-m", "e2eproxy", "run")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
WAYS = {"run": RUN, "twistd": (*TWISTD, "-n", "--pidfile=", "e2eproxy")}
SECONDS = 30.0


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A small environment with *home* as home directory."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", **(more or {})}


class Running:
    """One daemon process in *directory*, its standard output and error in files."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        way: Sequence[str] = RUN,
        more: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        before: Sequence[str] = (),
    ) -> None:
        """Start it with *options*; *before* is put in front of the command line."""
        directory.mkdir(exist_ok=True)
        number = len(list(directory.glob("*.err")))
        self.out, self.err = directory / f"{number}.out", directory / f"{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*before, *way, *options],
                cwd=directory,
                env=environment(directory, more),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=pass_fds,
                start_new_session=True,
            )

    @property
    def errors(self) -> list[str]:
        """Standard error so far, in lines."""
        return self.err.read_text(errors="replace").splitlines()

    @property
    def text(self) -> str:
        """Both outputs so far."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until standard error holds *pattern* at least *count* times; what the group in it matched each time."""

        def look() -> list[str]:
            found = re.findall(pattern, self.err.read_text(errors="replace"))
            if len(found) < count and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {pattern!r}:\n{self.text}")
            return found if len(found) >= count else []

        return wait_until(look, pattern, timeout=SECONDS, instead=lambda: self.text)

    def port(self) -> int:
        """Wait until it listens on 127.0.0.1; the port."""
        return int(self.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[0])

    def tell(self, number: signal.Signals) -> None:
        """Send it *number*."""
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it *number* and wait for its end; the exit status."""
        self.process.send_signal(number)
        return self.status()

    def status(self) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(SECONDS)

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left of it; whatever it did, it showed no traceback."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)
        assert "Traceback" not in self.text, self.text


class ServiceManager:
    """The receiving end of sd_notify(3)."""

    def __init__(self, address: str) -> None:
        """Listen on *address*, a path or ``@name``."""
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(SECONDS)

    def receive(self) -> dict[str, str]:
        """The next message."""
        return dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines())

    def receive_until(self, name: str) -> dict[str, str]:
        """The next message that sets *name*; the ones before it are passed over, but not for ever."""
        for message in iter(self.receive, None):
            if name in message:
                return message
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A TCP port of 127.0.0.1 that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]
