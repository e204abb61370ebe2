"""The bench's processes: started on chosen cores, watched through /proc, ended whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_SECONDS = 20
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


def raise_descriptor_limit() -> None:
    """Let this process open as many descriptors as the hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_ns(pid: int | None) -> int:
    """Return the CPU time of all threads of *pid* in nanoseconds, user and system; 0 for None."""
    if pid is None:
        return 0
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def memory_kib(pid: int) -> dict[str, int]:
    """Return resident, proportional and private memory of *pid* in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return {"rss": sizes["Rss"], "pss": sizes["Pss"], "uss": sizes["Private_Clean"] + sizes["Private_Dirty"]}


def settled_memory_kib(pid: int) -> dict[str, int]:
    """Return the memory of *pid* once it uses no CPU and its size has not changed for half a second; 10 s at most."""
    until = time.monotonic() + 10
    before, state = None, (memory_kib(pid), cpu_ns(pid) // 10_000_000)
    while before != state and time.monotonic() < until:
        time.sleep(0.5)
        before, state = state, (memory_kib(pid), cpu_ns(pid) // 10_000_000)
    return state[0]


class Cores:
    """Which cores the process under test and everything else run on."""

    def __init__(self) -> None:
        have = sorted(os.sched_getaffinity(0))
        self.count = len(have)
        # The last core for the process under test alone; the first two, if so many are left, for server and load.
        self.tested = {have[-1]}
        others = have[:-1] or have
        self.server = {others[0]}
        self.load = {others[1 % len(others)]}

    def __str__(self) -> str:
        def named(cores: set[int]) -> str:
            return ", ".join(map(str, sorted(cores)))

        return (
            f"{self.count} cores; process under test on core {named(self.tested)}, "
            f"server on {named(self.server)}, load on {named(self.load)}"
        )


class Process:
    """A program in its own process, on given cores; a context manager that ends it."""

    def __init__(self, argv: list[str], cores: set[int], scratch: Path, *, pass_fds: tuple[int, ...] = ()):
        self.argv = argv
        self.log = scratch / f"{time.monotonic_ns()}.log"
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],  # nothing outlives a killed bench
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=scratch,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                pass_fds=pass_fds,
            )
        self.pid = self.popen.pid
        os.sched_setaffinity(self.pid, cores)  # at once: long before it has a second thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            error.add_note(f"{' '.join(self.argv)} said:\n{self.said()[-2000:]}")
        self.popen.terminate()
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def said(self) -> str:
        """Return what it has written to standard error."""
        return self.log.read_text(errors="replace")

    def port(self) -> int:
        """Wait until it listens; return the port."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            found = _LISTENING.search(self.said())
            if found:
                return int(found[1])
            if self.popen.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"{' '.join(self.argv)} does not listen; it said:\n{self.said()}")


class LoadProcess(Process):
    """The load generator (load.py, or another program that takes the same kind of orders)."""

    def __init__(self, program: str, arguments: list[str], cores: set[int], scratch: Path) -> None:
        super().__init__([sys.executable, str(HERE / program), *arguments], cores, scratch)

    def ask(self, do: str, *, patience: float = 60, **arguments: object) -> dict:
        """Give an order, return its answer; *patience* in seconds."""
        self.popen.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        self.popen.stdin.flush()
        ready, _, _ = select.select([self.popen.stdout], [], [], patience)
        line = self.popen.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"no answer to {do} {arguments} in {patience} s; it said:\n{self.said()}")
        return json.loads(line)
