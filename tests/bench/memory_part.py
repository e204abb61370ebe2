"""Part ``memory``: what the first client costs, and each further one that is logged in and silent.

Upstream is direct TLS. Read from /proc/PID/smaps_rollup when the process has come to rest: resident (RSS), proportional
(PSS) and private (USS) memory. Beside the relays stands a program that only holds, for each client, its socket, a TLS
connection to the server and two expat parsers (bare_holder.py): what is above it, a proxy's own state costs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from processes import LoadProcess, Process, settled_memory_kib
from report import Verdict, spread
from rows import Bench, alternated, relays

if TYPE_CHECKING:
    from collections.abc import Callable

#: The relay alone kept within 60; the store's library came to it.
FIRST_CLIENT_MIB = 90
LIMIT = 1.6
TLS = "direct"
HOLDER = "bare holder"


def measure(bench: Bench, start: Callable[[int, str], Process], *, login: bool, clients: int) -> dict:
    """Run one row once; return KiB with the first client, and per further client."""
    with (
        bench.echo_server(TLS) as server,
        start(server.port(), TLS) as tested,
        LoadProcess("load.py", [str(tested.port())], bench.cores.load, bench.scratch) as load,
    ):
        load.ask("connect", count=1, login=login)
        first = settled_memory_kib(tested.pid)
        load.ask("connect", count=clients, login=login)
        full = settled_memory_kib(tested.pid)
        return {
            "first_client_kib": first["rss"],
            "rss_kib": (full["rss"] - first["rss"]) / clients,
            "pss_kib": (full["pss"] - first["pss"]) / clients,
            "uss_kib": (full["uss"] - first["uss"]) / clients,
        }


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all repetitions and what they mean for the limits."""
    repetitions, clients = (1, 200) if quick else (3, 500)
    rows = {name: start for name, start in relays(bench).items() if start is not None}
    rows[HOLDER] = bench.holder
    runs: dict[str, list[dict]] = {name: [] for name in rows}
    for repetition in range(repetitions):
        for name in alternated(list(rows), repetition):
            print(f"memory {repetition + 1}/{repetitions}: {name}", file=sys.stderr)
            runs[name].append(measure(bench, rows[name], login=name != HOLDER, clients=clients))
    result: dict = {
        name: {key: spread([run[key] for run in row]) for key in row[0]} | {"idle_clients": clients}
        for name, row in runs.items()
    }
    ours, holder = result["e2eproxy"], result[HOLDER]
    for row in result.values():
        row["to_holder"] = row["rss_kib"]["median"] / holder["rss_kib"]["median"]
    return result, [
        Verdict(
            "memory with the first client", ours["first_client_kib"]["median"] / 1024, FIRST_CLIENT_MIB, "MiB"
        ),
        Verdict("memory per idle client / bare holder's", ours["to_holder"], LIMIT, "times"),
    ]


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = ["row", "first client MiB", "idle client RSS KiB", "PSS KiB", "USS KiB", "to holder"]
    lines = [
        [
            name,
            row["first_client_kib"]["median"] / 1024,
            *(row[key]["median"] for key in ("rss_kib", "pss_kib", "uss_kib")),
            row["to_holder"],
        ]
        for name, row in result.items()
    ]
    return head, lines
