"""The interop matrix: server x TLS x client, from tests that ran."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = ("prosody", "ejabberd")
KINDS = ("starttls", "direct", "none")
PACKAGES = ("prosody", "ejabberd", "profanity", "mcabber", "poezio", "finch", "sendxmpp")

OTR_TABLE = re.compile(r"^\| the other side \|.*(?:\n\|.*)*", re.MULTILINE)
OTR_CONVERSATIONS = 12  # rows: clients and versions, times ways to begin
FEWEST_CLIENTS = 6  # rows; fewer mean that only some of the tests were run

PAGE = """# Which clients work with which servers

Unmodified clients in front of real servers, all on loopback. The client is pointed at the daemon in plain text
([how](clients.md)); the column says which server is behind it, and how the daemon reaches it: *starttls*, *direct*
(TLS from the first byte) or *none* (plain text, possible to loopback only). A cell is one test: log in, exchange
messages in both directions (sendxmpp can only send), and proof from the server's and the daemon's logs that the
login went that way. The seconds are those of the test, not of the daemon.

This page is written by the tests themselves, in the environment that `python3 scripts/test.py` sets up:

    python -m pytest tests/interop --write-interop-matrix

{table}

Run with {versions}.

## OTR

A client that has no OTR, behind the daemon, and one that has its own, not behind it. A cell is one conversation: begun by
that side, or offered by it in white space; texts both ways; each side shows the other the same two fingerprints; a secret that is
the same is found to be so, one that is not is not; each side ends it once, and what is written after that does not leave. Written by
`python -m pytest tests/interop/test_otr_terminals.py --write-interop-matrix`.

{otr}
"""


class Matrix:
    """Collects outcomes; true once there is one."""

    def __init__(self, through: str) -> None:
        """*through*: ``daemon`` or ``direct``."""
        self.title = "through the daemon" if through == "daemon" else "directly, without the daemon"
        self._direct = through != "daemon"
        self._cells: dict[tuple[str, str, str], str] = {}

    def __bool__(self) -> bool:
        """Whether anything has been recorded."""
        return bool(self._cells)

    def record(self, server: str, tls: str, client: str, seconds: float | None) -> None:
        """Keep one outcome: how long it took, or ``None`` if it failed."""
        self._cells[client, server, tls] = "FAILED" if seconds is None else f"ok {seconds:.1f} s"

    def table(self) -> str:
        """A Markdown table, also readable as text."""
        columns = [(server, tls) for server in SERVERS for tls in KINDS]
        clients = sorted({client for client, _, _ in self._cells})  # which test is done first is chance
        rows = [["client", *(f"{server}, {tls}" for server, tls in columns)]]
        rows += [
            [client, *(self._cells.get((client, *column), "-") for column in columns)] for client in clients
        ]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in rows
        ]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        return "\n".join(lines)

    def write(self, path: Path) -> str:
        """Write the page, if the whole matrix ran, and through the daemon; return a line that says what was done."""
        if self._direct:
            return (
                f"{path.name} not written: it tells about runs through the daemon, leave out --through=direct"
            )
        clients = {client for client, _, _ in self._cells}
        if len(clients) < FEWEST_CLIENTS or len(self._cells) < len(clients) * len(SERVERS) * len(KINDS):
            return f"{path.name} not written: only a part of the matrix ran, run all of tests/interop"
        old = OTR_TABLE.search(path.read_text("utf-8"))
        otr = "" if old is None else old[0]
        page = PAGE.format(table=self.table(), versions=", ".join(versions()), otr=otr)
        path.write_text(page, encoding="utf-8")
        return f"written to {path}"


class OtrMatrix:
    """Collects outcomes of conversations in OTR; true once there is one."""

    def __init__(self) -> None:
        """Nothing ran yet."""
        self._cells: dict[tuple[str, str, str], str] = {}

    def __bool__(self) -> bool:
        """Whether anything has been recorded."""
        return bool(self._cells)

    def record(self, server: str, who: str, start: str, seconds: float | None) -> None:
        """Keep one outcome: how long it took, or ``None`` if it failed."""
        self._cells[who, start, server] = "FAILED" if seconds is None else f"ok {seconds:.1f} s"

    def table(self) -> str:
        """A Markdown table."""
        rows = dict.fromkeys((who, start) for who, start, _ in self._cells)
        lines = [
            "| the other side | begun | " + " | ".join(SERVERS) + " |",
            "| --- " * (2 + len(SERVERS)) + "|",
        ]
        for who, start in rows:
            cells = [self._cells.get((who, start, server), "-") for server in SERVERS]
            lines.append(f"| {who} | {start} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def write(self, path: Path) -> str:
        """Put the table in the place of the page's, if all of it ran; return a line that says what was done."""
        if len(self._cells) < OTR_CONVERSATIONS * len(SERVERS):
            return f"the table of OTR in {path.name} not written: only a part of it ran"
        page, table = path.read_text("utf-8"), self.table()
        path.write_text(OTR_TABLE.sub(lambda _: table, page), encoding="utf-8")
        return f"the table of OTR written to {path}"


def versions() -> list[str]:
    """The versions of all programs that take part, as installed here."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        asked = ["dpkg-query", "-W", "-f", "${Version}", name]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode == 0:
            found.append(f"{name} {done.stdout}")
    found += [f"{name} {importlib.metadata.version(name)}" for name in ("slixmpp", "Twisted")]
    return found
