"""A program in the foreground: output to a log file, stopped reliably, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bed.polling import BedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Child:
    """One process (and whatever it starts) with its output in a file.

    It leads a process group of its own, and the kernel kills it when the thread that started it dies, so that a
    killed test run leaves nothing behind.
    """

    def __init__(self, argv: Sequence[str], *, log: Path, cwd: Path, environment: Mapping[str, str]) -> None:
        """Start *argv* in *cwd* with exactly *environment*; standard output and error go to the file *log*."""
        self.name = Path(argv[0]).name
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, also after the end."""
        return self.process.pid

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def require_running(self) -> None:
        """Raise BedError with the end of its log if it has ended."""
        if not self.running():
            raise BedError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")

    def text(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, characters: int = 4000) -> str:
        """The end of what it has written."""
        return self.text()[-characters:]

    def terminate(self, timeout: float = 10) -> int:
        """Ask it to end (SIGTERM), wait up to *timeout* seconds, then kill the group; return the exit status."""
        if self.running():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
        return self.kill()

    def kill(self) -> int:
        """Kill the whole group (SIGKILL) and return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(10)
