"""Part ``chat``: throughput of a real Prosody, archive off, reached directly and through relays.

Pairs of users; each sender keeps a few messages on the way to its partner. Prosody has a core to itself; the process
under test shares its core with the load, so that the CPU it takes is not for free. All rows' users are logged in on one
Prosody and chat in turns of half a second, every other time backwards; ratios are the medians of those within one turn. (With a
server for each row the same row differed by a factor of two from run to run: the server's garbage collector is at the
mercy of whatever else uses the machine's caches.) Servers are fresh several times. A message passes the relay twice (sender to
server, server to receiver).

e2eproxy uses stream management (XEP-0198) towards the server, so that nothing is lost unseen, and Prosody does more for such a
stream: it keeps a copy of each stanza, and counts. What that costs shows in the second row of the raw relay, whose users
do the same themselves, with as few requests and answers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from typing import TYPE_CHECKING

from attrs import frozen
from bed.servers.prosody import Prosody
from processes import LoadProcess, Process
from report import Verdict, ratios, spread
from rows import TLS_KINDS, Bench, alternated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIRS, WINDOW = 20, 4
TURN_SECONDS = 0.5
RAW, MANAGED, OURS = "raw relay", "raw relay, XEP-0198", "e2eproxy"
AT_LEAST = 0.95
PASSWORD = "pw"


def add_accounts(server: Prosody, count: int) -> None:
    """Write accounts u0, u1... into the data of *server* (prosodyctl would take longer than the measurement)."""
    folder: Path = server.directory / "data" / server.domain.replace(".", "%2e") / "accounts"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"u{number}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}" }};\n')


@frozen
class Row:
    """What stands between the users of a row and the server; ``manages``: whether they use XEP-0198 themselves."""

    start: Callable[[int, str], Process] | None
    manages: bool = False


class Field:
    """One fresh Prosody, and all rows' relays and users on it, ready to chat."""

    def __init__(self, bench: Bench, rows: dict[str, Row], tls: str, stack: contextlib.ExitStack) -> None:
        server = stack.enter_context(Prosody(bench.certificates, profile="plain", mam=False))
        os.sched_setaffinity(server.pid, bench.cores.server)
        add_accounts(server, 2 * PAIRS * len(rows))
        port = server.tls_port if tls == "direct" else server.port
        self.loads: dict[str, LoadProcess] = {}
        self.watched: dict[str, int | None] = {}
        for number, (name, row) in enumerate(rows.items()):
            relay = stack.enter_context(row.start(port, tls)) if row.start else None
            arguments = [str(relay.port() if relay else port)]
            if relay is None and tls == "direct":
                arguments.append(str(bench.ca))
            load = LoadProcess("chat_load.py", arguments, bench.cores.tested, bench.scratch)
            self.loads[name] = stack.enter_context(load)
            self.watched[name] = relay.pid if relay else None
            load.ask("login", pairs=PAIRS, password=PASSWORD, first=2 * PAIRS * number, manages=row.manages)

    def chat(self, name: str, seconds: float) -> dict:
        """Let the users of one row chat; return the load's numbers."""
        return self.loads[name].ask("chat", seconds=seconds, window=WINDOW, watch=self.watched[name])


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all turns and what they mean for the limit."""
    if not shutil.which("prosody"):
        print("Prosody is not installed: the part chat is left out", file=sys.stderr)
        return {}, []
    servers, turns = (1, 6) if quick else (3, 16)
    rows = {
        "direct": Row(None),
        RAW: Row(bench.raw),
        MANAGED: Row(bench.raw, manages=True),
        OURS: Row(bench.e2eproxy),
    }
    runs: dict[str, dict[str, list[dict]]] = {tls: {name: [] for name in rows} for tls in TLS_KINDS}
    for repetition in range(servers):
        for tls in TLS_KINDS:
            print(f"chat {repetition + 1}/{servers}, TLS {tls}", file=sys.stderr)
            with contextlib.ExitStack() as stack:
                field = Field(bench, rows, tls, stack)
                for name in rows:
                    field.chat(name, TURN_SECONDS)  # warm up
                for turn in range(turns):
                    for name in alternated(list(rows), turn):
                        runs[tls][name].append(field.chat(name, TURN_SECONDS))
    result: dict = {}
    verdicts = []
    for tls, of_rows in runs.items():
        result[tls] = {
            name: {key: spread([one[key] for one in row]) for key in row[0]} for name, row in of_rows.items()
        }
        for name, row in result[tls].items():
            row["to_raw"] = spread(ratios(of_rows[name], of_rows[RAW], "messages_per_second"))
            row["to_managed"] = spread(ratios(of_rows[name], of_rows[MANAGED], "messages_per_second"))
        for base, key in ((RAW, "to_raw"), (MANAGED, "to_managed")):
            what = f"chat on Prosody, TLS {tls}: messages/s / {base}'s"
            verdicts.append(Verdict(what, result[tls][OURS][key]["median"], AT_LEAST, "times", at_least=True))
    return result, verdicts


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = [
        "TLS",
        "row",
        "messages/s",
        "to raw",
        "to raw, 0198",
        "median ms",
        "p99 ms",
        "relay's CPU µs/message",
    ]
    lines = [
        [
            tls,
            name,
            row["messages_per_second"]["median"],
            row["to_raw"]["median"],
            row["to_managed"]["median"],
            row["median_ms"]["median"],
            row["p99_ms"]["median"],
            row["cpu_us"]["median"] if name != "direct" else None,
        ]
        for tls, rows in result.items()
        for name, row in rows.items()
    ]
    return head, lines
