"""Asks a daemon's control socket many things at once, told by lines on standard input as ``load.py`` is.

It and what it starts give way to others on their core, so that the load's own clock is not what is measured.
Argument: the path of the socket.

commands:
    flood    {count, seconds}      *count* connections at a time, each for one request, and again
    calls    {count, nowhere}      *count* command lines at the same time; *nowhere*: they look for a daemon that is not there
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

REQUEST = (
    b"POST /v1/commands/status HTTP/1.1\r\nHost: e2eproxy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)
OK = b"HTTP/1.1 200 "
PATIENCE_SECONDS = 100


class Asker:
    """The commands."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def _one_after_another(self, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            reader, writer = await asyncio.open_unix_connection(self.path)
            try:
                writer.write(REQUEST)
                answer = await reader.read(-1)
            finally:
                writer.close()
            if not answer.startswith(OK):
                raise RuntimeError(f"the daemon answered {answer[:200]!r}")
            count += 1
        return count

    async def flood(self, count: int, seconds: float) -> int:
        until = time.monotonic() + seconds
        return sum(await asyncio.gather(*(self._one_after_another(until) for _ in range(count))))

    async def _call(self, nowhere: bool) -> None:
        path = f"{self.path}.no" if nowhere else self.path
        argv = [sys.executable, "-m", "e2eproxy", "status", "--json", "--socket", path]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, stdin=null, stdout=pipe, stderr=pipe)
        said, complaint = await process.communicate()
        right = b"is not running" in complaint if nowhere else process.returncode == 0 and b"clients" in said
        if not right:
            raise RuntimeError(
                f"status ended with {process.returncode} and said {(said + complaint)[:500]!r}"
            )

    async def calls(self, count: int, nowhere: bool) -> int:
        await asyncio.gather(*(self._call(nowhere) for _ in range(count)))
        return count


def main() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    asker = Asker(sys.argv[1])
    commands = {"flood": asker.flood, "calls": asker.calls}
    for line in sys.stdin:
        order = json.loads(line)
        doing = commands[order.pop("do")](**order)
        began = time.monotonic()
        answered = asyncio.run(asyncio.wait_for(doing, PATIENCE_SECONDS))
        print(json.dumps({"answered": answered, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main()
