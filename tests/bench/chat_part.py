"""Part ``chat``: throughput of a real Prosody, archive off, reached directly and through relays.

Pairs of users; each sender keeps a few messages on the way to its partner. Prosody has a core to itself; the process
under test shares its core with the load, so that the CPU it takes is not for free. A fresh Prosody for each
row and repetition. A message passes the relay twice (sender to server, server to receiver). Ratios are the
medians of those within one repetition.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from typing import TYPE_CHECKING

from bed.servers.prosody import Prosody
from processes import LoadProcess, Process
from report import Verdict, ratios, spread
from rows import TLS_KINDS, Bench, alternated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIRS, WINDOW = 20, 4
AT_LEAST = 0.95
PASSWORD = "pw"


def add_accounts(server: Prosody, count: int) -> None:
    """Write accounts u0, u1... into the data of *server* (prosodyctl would take longer than the measurement)."""
    folder: Path = server.directory / "data" / server.domain.replace(".", "%2e") / "accounts"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"u{number}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}" }};\n')


def measure(bench: Bench, start: Callable[[int, str], Process] | None, tls: str, seconds: float) -> dict:
    """Run one row once; return the load's numbers."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Prosody(bench.certificates, profile="plain", mam=False))
        os.sched_setaffinity(server.pid, bench.cores.server)
        add_accounts(server, 2 * PAIRS)
        port = server.tls_port if tls == "direct" else server.port
        relay = stack.enter_context(start(port, tls)) if start else None
        arguments = [str(relay.port() if relay else port)]
        if relay is None and tls == "direct":
            arguments.append(str(bench.ca))
        load = stack.enter_context(LoadProcess("chat_load.py", arguments, bench.cores.tested, bench.scratch))
        load.ask("login", pairs=PAIRS, password=PASSWORD)
        load.ask("chat", seconds=seconds / 4, window=WINDOW, watch=None)  # warm up
        return load.ask("chat", seconds=seconds, window=WINDOW, watch=relay.pid if relay else None)


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all repetitions and what they mean for the limit."""
    if not shutil.which("prosody"):
        print("Prosody is not installed: the part chat is left out", file=sys.stderr)
        return {}, []
    repetitions, seconds = (1, 1.0) if quick else (9, 2.5)
    rows = {"direct": None, "raw relay": bench.raw, "e2eproxy": bench.e2eproxy}
    runs: dict[str, dict[str, list[dict]]] = {tls: {name: [] for name in rows} for tls in TLS_KINDS}
    for repetition in range(repetitions):
        for tls in TLS_KINDS:
            for name in alternated(list(rows), repetition):
                print(f"chat {repetition + 1}/{repetitions}, TLS {tls}: {name}", file=sys.stderr)
                runs[tls][name].append(measure(bench, rows[name], tls, seconds))
    result: dict = {}
    verdicts = []
    for tls, of_rows in runs.items():
        result[tls] = {
            name: {key: spread([one[key] for one in row]) for key in row[0]} for name, row in of_rows.items()
        }
        for name, row in result[tls].items():
            row["to_raw"] = spread(ratios(of_rows[name], of_rows["raw relay"], "messages_per_second"))
        ours = result[tls]["e2eproxy"]["to_raw"]["median"]
        what = f"chat on Prosody, TLS {tls}: messages/s / raw relay's"
        verdicts.append(Verdict(what, ours, AT_LEAST, "times", at_least=True))
    return result, verdicts


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = ["TLS", "row", "messages/s", "to raw", "median ms", "p99 ms", "relay's CPU µs/message"]
    lines = [
        [
            tls,
            name,
            row["messages_per_second"]["median"],
            row["to_raw"]["median"],
            row["median_ms"]["median"],
            row["p99_ms"]["median"],
            row["cpu_us"]["median"] if name != "direct" else None,
        ]
        for tls, rows in result.items()
        for name, row in rows.items()
    ]
    return head, lines
