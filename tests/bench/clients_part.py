"""Part ``clients``: whether a stanza costs more CPU when there are a thousand clients.

The same total load each time, one stanza under way: with one client; with a thousand of which one talks; and with a
thousand that talk in turn. So a relay reads chunks of one stanza in all cases. In the last one each stanza meets state
that nobody has touched for a thousand stanzas, so the processor's caches are cold for it: the raw relay, which has next to
no state, shows how much of that growth is the kernel's and the caches'. Plain TCP on both sides. All cases take turns of 0.3 seconds,
every other time backwards; the growth is the median of those within one turn. Everything is fresh several times.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from processes import LoadProcess, Process
from report import Verdict, spread
from rows import Bench, alternated

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 1000
GROWTH_PERCENT = 10
ONE, IDLE, IN_TURN = "1 client", "1000 clients, one talks", "1000 clients in turn"
#: Each case: how many are connected, how many talk.
CASES = {ONE: (1, 1), IDLE: (MANY, 1), IN_TURN: (MANY, MANY)}
TLS = "none"


class Field:
    """One fresh echo server; each row's relay once with one client and once with many."""

    def __init__(
        self, bench: Bench, starts: dict[str, Callable[[int, str], Process]], stack: contextlib.ExitStack
    ) -> None:
        server = stack.enter_context(bench.echo_server(TLS))
        self._tested: dict[tuple[str, int], tuple[LoadProcess, int]] = {}
        for name, start in starts.items():
            for connected in (1, MANY):
                relay = stack.enter_context(start(server.port(), TLS))
                load = LoadProcess("load.py", [str(relay.port())], bench.cores.load, bench.scratch)
                stack.enter_context(load)
                load.ask("connect", count=connected, login=True)
                self._tested[name, connected] = load, relay.pid

    def measure(self, name: str, case: str, seconds: float) -> float:
        """Let one row have its turn; return CPU per stanza in microseconds."""
        connected, talking = CASES[case]
        load, watched = self._tested[name, connected]
        return load.ask("window", seconds=seconds, size=1, watch=watched, clients=talking)["cpu_us"]


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all turns and what they mean for the limit."""
    servers, turns, seconds = (1, 8, 0.2) if quick else (3, 16, 0.3)
    starts = {"raw relay": bench.raw, "e2eproxy": bench.e2eproxy}
    cells = [(name, case) for name in starts for case in CASES]
    runs: dict[tuple[str, str], list[float]] = {cell: [] for cell in cells}
    for repetition in range(servers):
        print(f"clients {repetition + 1}/{servers}", file=sys.stderr)
        with contextlib.ExitStack() as stack:
            field = Field(bench, starts, stack)
            for name, case in cells:
                field.measure(name, case, seconds)  # warm up
            for turn in range(turns):
                for name, case in alternated(cells, turn):
                    runs[name, case].append(field.measure(name, case, seconds))
    result: dict = {}
    for name in starts:
        result[name] = {case: spread(runs[name, case]) for case in CASES}
        for case in (IDLE, IN_TURN):
            pairs = zip(runs[name, ONE], runs[name, case], strict=True)
            result[name][f"growth, {case}"] = spread([100 * (many / one - 1) for one, many in pairs])
    return result, [
        Verdict(
            f"growth of CPU per stanza, 1 to {MANY} clients ({case})",
            result["e2eproxy"][f"growth, {case}"]["median"],
            GROWTH_PERCENT,
            "%",
        )
        for case in (IDLE, IN_TURN)
    ]


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = ["row", *(f"{case}: CPU µs/stanza" for case in CASES), "growth, one talks %", "growth, in turn %"]
    keys = (*CASES, f"growth, {IDLE}", f"growth, {IN_TURN}")
    return head, [[name, *(row[key]["median"] for key in keys)] for name, row in result.items()]
