"""Part ``clients``: whether a stanza costs more CPU when its client is one of a thousand.

The same total load: one stanza under way, sent by one client, or by each of a thousand in turn. So a relay reads
chunks of one stanza in both cases; only what it must have at hand differs. The raw relay shows how
much of a growth is the kernel's and the processor cache's. Plain TCP on both sides.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from processes import LoadProcess, Process
from report import Verdict, spread
from rows import Bench, alternated

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 1000
GROWTH_PERCENT = 10
TLS = "none"


def measure(bench: Bench, start: Callable[[int, str], Process], clients: int, seconds: float) -> float:
    """Run one row once; return CPU per stanza in microseconds."""
    with (
        bench.echo_server(TLS) as server,
        start(server.port(), TLS) as tested,
        LoadProcess("load.py", [str(tested.port())], bench.cores.load, bench.scratch) as load,
    ):
        load.ask("connect", count=clients, login=True)
        load.ask("window", seconds=seconds / 4, size=1, watch=tested.pid, clients=clients)  # warm up
        return load.ask("window", seconds=seconds, size=1, watch=tested.pid, clients=clients)["cpu_us"]


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all repetitions and what they mean for the limit."""
    repetitions, seconds = (2, 0.5) if quick else (6, 1.0)
    starts = {"raw relay": bench.raw, "e2eproxy": bench.e2eproxy}
    cells = [(name, clients) for name in starts for clients in (1, MANY)]
    runs: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
    for repetition in range(repetitions):
        for name, clients in alternated(cells, repetition):
            print(f"clients {repetition + 1}/{repetitions}: {name}, {clients}", file=sys.stderr)
            runs[name, clients].append(measure(bench, starts[name], clients, seconds))
    result = {}
    for name in starts:
        one, many = runs[name, 1], runs[name, MANY]
        growths = [100 * (after / before - 1) for before, after in zip(one, many, strict=True)]
        result[name] = {"one_us": spread(one), "many_us": spread(many), "growth_percent": spread(growths)}
    growth = result["e2eproxy"]["growth_percent"]["median"]
    return result, [Verdict(f"growth of CPU per stanza, 1 to {MANY} clients", growth, GROWTH_PERCENT, "%")]


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = ["row", "1 client: CPU µs/stanza", f"{MANY} clients", "growth %"]
    lines = [
        [name, row["one_us"]["median"], row["many_us"]["median"], row["growth_percent"]["median"]]
        for name, row in result.items()
    ]
    return head, lines
