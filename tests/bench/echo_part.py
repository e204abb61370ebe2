"""Part ``echo``: whole processes, 350-byte stanzas, through each relay to an echo server and back.

A stanza that goes through and comes back has passed the relay twice and counts as two, in CPU and in throughput. CPU is
the relay process's own (user and system, from the scheduler's nanosecond count), not the server's or the load's; *busy*
is its share of a core. Latency is that of the whole round trip; *added* is what it has over the row "direct" of the
same repetition. With TLS, client and server of that row speak TLS to each other, on the load's core; with several
stanzas under way a relay that does it on a core of its own can then be faster than none. Ratios and differences are
the medians of those within one repetition.

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


def measure(bench: Bench, start: Callable[[int, str], Process] | None, tls: str, seconds: float) -> dict:
    """Run one row once, with a fresh server, relay and load; return the numbers of each load."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.echo_server(tls))
        relay = stack.enter_context(start(server.port(), tls)) if start else None
        arguments = [str((relay or server).port())]
        if relay is None and tls == "direct":
            arguments.append(str(bench.ca))
        load = stack.enter_context(LoadProcess("load.py", arguments, bench.cores.load, bench.scratch))
        load.ask("connect", count=1, login=True)
        watch = relay.pid if relay else None
        result = {}
        for name in LOADS:
            order = {"do": "bulk"} if name == "bulk" else {"do": "window", "size": WINDOWS[name]}
            load.ask(**order, seconds=seconds / 4, watch=watch)  # warm up
            result[name] = load.ask(**order, seconds=seconds, watch=watch)
        result["session"] = next(
            (line for line in server.said().splitlines() if line.startswith("session ")), ""
        )
        return result


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all repetitions and what they mean for the limits."""
    repetitions, seconds = (2, 0.3) if quick else (7, 0.6)
    rows = relays(bench)
    raw: dict[str, dict[str, list[dict]]] = {tls: {name: [] for name in rows} for tls in TLS_KINDS}
    for repetition in range(repetitions):
        for tls in TLS_KINDS:
            for name in alternated(list(rows), repetition):
                print(f"echo {repetition + 1}/{repetitions}, TLS {tls}: {name}", file=sys.stderr)
                raw[tls][name].append(measure(bench, rows[name], tls, seconds))
    result = {tls: {name: _summary(raw[tls], name) for name in rows} for tls in TLS_KINDS}
    return result, [verdict for tls in TLS_KINDS for verdict in _verdicts(tls, result[tls]["e2eproxy"])]


def _summary(runs: dict[str, list[dict]], name: str) -> dict:
    """Return each number's spread, and what it is beside the other rows' of the same repetition."""
    summary: dict = {"session": runs[name][0]["session"].removeprefix("session ")}
    for load in LOADS:
        mine = [run[load] for run in runs[name]]
        others = {other: [run[load] for run in runs[other]] for other in runs}
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
