"""Asks a daemon's control socket many things at once, told by lines on standard input as ``load.py`` is.

Argument: the path of the socket.

commands:
    flood    {seconds, count}      keep *count* requests for the status under way; return how many were answered
    calls    {count, rounds}       *rounds* times run *count* command lines (``e2eproxy status --json``) at the same time
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

REQUEST = b"POST /v1/commands/status HTTP/1.1\r\nHost: e2eproxy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 "
PATIENCE_SECONDS = 50


class Asker:
    """The commands."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def _status(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(REQUEST)
            answer = await reader.read(-1)
        finally:
            writer.close()
        if not answer.startswith(OK):
            raise RuntimeError(f"the daemon answered {answer[:200]!r}")

    async def _one_after_another(self, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            await self._status()
            count += 1
        return count

    async def flood(self, seconds: float, count: int) -> dict:
        began = time.monotonic()
        until = began + seconds
        answered = await asyncio.gather(*(self._one_after_another(until) for _ in range(count)))
        return {"answered": sum(answered), "seconds": time.monotonic() - began}

    async def _call(self) -> None:
        argv = [sys.executable, "-m", "e2eproxy", "status", "--json", "--socket", self.path]
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        if process.returncode != 0 or "clients" not in json.loads(said):
            raise RuntimeError(f"status ended with {process.returncode} and said {said[:200]!r}")

    async def calls(self, count: int, rounds: int) -> dict:
        began = time.monotonic()
        for _ in range(rounds):
            await asyncio.gather(*(self._call() for _ in range(count)))
        return {"answered": count * rounds, "seconds": time.monotonic() - began}


def main() -> None:
    asker = Asker(sys.argv[1])
    commands = {"flood": asker.flood, "calls": asker.calls}
    for line in sys.stdin:
        order = json.loads(line)
        done = commands[order.pop("do")](**order)
        print(json.dumps(asyncio.run(asyncio.wait_for(done, PATIENCE_SECONDS))), flush=True)


if __name__ == "__main__":
    main()
