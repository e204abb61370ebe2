"""Part ``echo``: whole processes, 350-byte stanzas, through each relay to an echo server and back.

A stanza that goes through and comes back has passed the relay twice and counts as two, in CPU and in throughput. CPU is
the relay process's own (user and system, from the scheduler's nanosecond count), not the server's or the load's; *busy*
is its share of a core. Latency is that of the whole round trip; *added* is what it has over the row "direct" of the
same turn. With TLS, client and server of that row speak TLS to each other, on the load's core; with several
stanzas under way a relay that does it on a core of its own can then be faster than none.

All rows' relays and clients are connected with one server, and take turns of a fifth of a second, every other time
backwards; ratios and differences are the medians of those within one turn, since the speed of a machine that is shared can
change by a factor of two from one second to the next. Servers and relays are fresh several times.

All rows use the same kind of transport on both sides: plain TCP from the client, to the server plain TCP or direct TLS.
STARTTLS has no rows of its own: after the handshake its bytes are direct TLS's, and HAProxy cannot speak it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from processes import LoadProcess, Process
from report import Verdict, differences, ratios, spread
from rows import TLS_KINDS, Bench, alternated, relays

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS = {"one": 1, "20": 20}
LOADS = [*WINDOWS, "bulk"]


class Field:
    """One fresh echo server, and all rows' relays and clients on it, ready for orders."""

    def __init__(
        self,
        bench: Bench,
        rows: dict[str, Callable[[int, str], Process] | None],
        tls: str,
        stack: contextlib.ExitStack,
    ) -> None:
        self._server = stack.enter_context(bench.echo_server(tls))
        self._loads: dict[str, LoadProcess] = {}
        self._watched: dict[str, int | None] = {}
        for name, start in rows.items():
            relay = stack.enter_context(start(self._server.port(), tls)) if start else None
            arguments = [str((relay or self._server).port())]
            if relay is None and tls == "direct":
                arguments.append(str(bench.ca))
            load = LoadProcess("load.py", arguments, bench.cores.load, bench.scratch)
            self._loads[name] = stack.enter_context(load)
            self._watched[name] = relay.pid if relay else None
            load.ask("connect", count=1, login=True)

    def measure(self, name: str, load: str, seconds: float) -> dict:
        """Let one row have its turn; return the load's numbers."""
        order = {"do": "bulk"} if load == "bulk" else {"do": "window", "size": WINDOWS[load]}
        return self._loads[name].ask(**order, seconds=seconds, watch=self._watched[name])

    def sessions(self) -> list[str]:
        """Return the kinds of TLS session that there were."""
        lines = self._server.said().splitlines()
        return [line.removeprefix("session ") for line in lines if line.startswith("session ")]


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all turns and what they mean for the limits."""
    servers, turns, seconds = (1, 6, 0.15) if quick else (3, 12, 0.2)
    rows = relays(bench)
    runs: dict[str, dict[str, dict[str, list[dict]]]] = {
        tls: {name: {load: [] for load in LOADS} for name in rows} for tls in TLS_KINDS
    }
    sessions: dict[str, set[str]] = {tls: set() for tls in TLS_KINDS}
    for repetition in range(servers):
        for tls in TLS_KINDS:
            print(f"echo {repetition + 1}/{servers}, TLS {tls}", file=sys.stderr)
            with contextlib.ExitStack() as stack:
                field = Field(bench, rows, tls, stack)
                for load in LOADS:
                    for name in rows:
                        field.measure(name, load, seconds)  # warm up
                    for turn in range(turns):
                        for name in alternated(list(rows), turn):
                            runs[tls][name][load].append(field.measure(name, load, seconds))
                sessions[tls].update(field.sessions())
    result = {tls: {name: _summary(runs[tls], name) for name in rows} for tls in TLS_KINDS}
    for tls, of_rows in result.items():
        for row in of_rows.values():
            row["sessions"] = sorted(sessions[tls])
    return result, [verdict for tls in TLS_KINDS for verdict in _verdicts(tls, result[tls]["e2eproxy"])]


def _summary(runs: dict[str, dict[str, list[dict]]], name: str) -> dict:
    """Return each number's spread, and what it is beside the other rows' of the same turn."""
    summary: dict = {}
    for load in LOADS:
        mine = runs[name][load]
        others = {other: runs[other][load] for other in runs}
        one = {key: spread([run[key] for run in mine]) for key in mine[0] if key != "round_trips"}
        if name != "direct":
            one |= _beside(mine, others)
        summary[load] = one
    return summary


def _beside(mine: list[dict], others: dict[str, list[dict]]) -> dict:
    beside = {
        "cpu_to_raw": spread(ratios(mine, others["raw relay"], "cpu_us")),
        "cpu_to_domish": spread(ratios(mine, others["domish relay"], "cpu_us")),
        "cpu_over_raw_us": spread(differences(mine, others["raw relay"], "cpu_us")),
    }
    if "median_us" in mine[0]:
        added = [differences(row, others["direct"], "median_us") for row in (mine, others["raw relay"])]
        beside |= {
            "added_median_us": spread(added[0]),
            "added_p99_us": spread(differences(mine, others["direct"], "p99_us")),
            "median_to_raw": spread(ratios(mine, others["raw relay"], "median_us")),
            "added_to_raw": spread([ours / theirs for ours, theirs in zip(*added, strict=True)]),
        }
    return beside


def _verdicts(tls: str, ours: dict) -> list[Verdict]:
    one, where = ours["one"], f"TLS {tls}"
    return [
        Verdict(
            f"bulk, {where}: CPU / domish relay's", ours["bulk"]["cpu_to_domish"]["median"], 1 / 3, "times"
        ),
        Verdict(
            f"one under way, {where}: CPU per stanza over raw relay's",
            one["cpu_over_raw_us"]["median"],
            15,
            "µs",
        ),
        Verdict(
            f"one under way, {where}: median round trip / raw relay's",
            one["median_to_raw"]["median"],
            2,
            "times",
        ),
        Verdict(
            f"one under way, {where}: median added latency / raw relay's",
            one["added_to_raw"]["median"],
            2,
            "times",
        ),
    ]


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = ["TLS", "under way", "row", "CPU µs/stanza", "to raw", "to domish", "stanzas/s", "busy %"]
    head += ["round trip µs", "p99 µs", "added µs", "added p99 µs"]
    lines = []
    for tls, rows in result.items():
        for load in LOADS:
            for name, row in rows.items():
                one = row[load]

                def median(key: str, one: dict = one) -> float | None:
                    return one[key]["median"] if key in one else None

                relay = name != "direct"
                lines.append(
                    [
                        tls,
                        load,
                        name,
                        median("cpu_us") if relay else None,
                        median("cpu_to_raw"),
                        median("cpu_to_domish"),
                        median("stanzas_per_second"),
                        100 * one["cpu_share"]["median"] if relay else None,
                        median("median_us"),
                        median("p99_us"),
                        median("added_median_us"),
                        median("added_p99_us"),
                    ]
                )
    return head, lines
