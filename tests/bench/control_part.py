"""Part ``control``: how long a relayed stanza takes while a hundred ask at the control socket.

One client plays ping-pong with the echo server through e2eproxy, all the time that others ask the same daemon; a stanza through
and back has passed it twice. *100 command lines* are processes (``e2eproxy status --json``) that begin at the same time;
*100 looking elsewhere* are the same, but find no daemon, which shows what so many processes on the load's core cost by
themselves. *100 connections* ask for the status at the same time, and each again as soon as it is answered, which is more than
any command line can do. *Added* is over the row above it that asks nothing of the daemon, in the same repetition. The daemon
has a core to itself; those who ask share the load's, and give way to it. Plain TCP on both sides.
"""

from __future__ import annotations

import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from processes import LoadProcess
from report import Verdict, differences, spread
from rows import Bench, alternated, data_of

if TYPE_CHECKING:
    from processes import Process

AT_ONCE = 100
AT_MOST_MS = 5
SLICE_SECONDS = 0.25
PATIENCE_SECONDS = 110
TLS = "none"
NOBODY, CONNECTIONS = "nobody asks", f"{AT_ONCE} connections"
ELSEWHERE, CALLS = f"{AT_ONCE} looking elsewhere", f"{AT_ONCE} command lines"
#: What each row's added time is over.
BASES = {CONNECTIONS: NOBODY, CALLS: ELSEWHERE}


def orders(seconds: float) -> dict[str, dict | None]:
    """Return what those who ask are told in each row."""
    return {
        NOBODY: None,
        CONNECTIONS: {"do": "flood", "count": AT_ONCE, "seconds": seconds},
        ELSEWHERE: {"do": "calls", "count": AT_ONCE, "nowhere": True},
        CALLS: {"do": "calls", "count": AT_ONCE, "nowhere": False},
    }


def measure(
    order: dict | None, load: LoadProcess, asker: LoadProcess, tested: Process, seconds: float
) -> dict:
    """Run one row once; return the load's numbers, and how many requests a second were answered meanwhile."""
    times: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        asking = None if order is None else pool.submit(asker.ask, patience=PATIENCE_SECONDS, **order)
        while asking is None or not asking.done():
            one = load.ask("window", seconds=SLICE_SECONDS, size=1, watch=tested.pid, times=True)
            times += one["times_us"]
            if asking is None and len(times) * statistics.fmean(times) >= seconds * 1e6:
                break
    answer = None if asking is None else asking.result()
    cuts = statistics.quantiles(times, n=100)
    return {
        "median_ms": cuts[49] / 1e3,
        "p99_ms": cuts[98] / 1e3,
        "longest_ms": max(times) / 1e3,
        "round_trips": len(times),
        "answered_per_second": 0.0 if answer is None else answer["answered"] / answer["seconds"],
    }


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the medians over all repetitions and what they mean for the limit."""
    repetitions, seconds = (1, 3.0) if quick else (3, 10.0)
    rows = orders(seconds)
    runs: dict[str, list[dict]] = {name: [] for name in rows}
    with (
        bench.echo_server(TLS) as server,
        bench.e2eproxy(server.port(), TLS) as tested,
        LoadProcess("load.py", [str(tested.port())], bench.cores.load, bench.scratch) as load,
        LoadProcess(
            "control_load.py",
            [str(data_of(tested) / "control.sock")],
            bench.cores.load,
            bench.scratch,
        ) as asker,
    ):
        load.ask("connect", count=1, login=True)
        load.ask("window", seconds=1, size=1, watch=tested.pid)  # warm up
        asker.ask("flood", count=1, seconds=0.5)
        for repetition in range(repetitions):
            for name in alternated(list(rows), repetition):
                print(f"control {repetition + 1}/{repetitions}: {name}", file=sys.stderr)
                runs[name].append(measure(rows[name], load, asker, tested, seconds))
    result = {name: {key: spread([one[key] for one in row]) for key in row[0]} for name, row in runs.items()}
    for name, base in BASES.items():
        result[name]["added_p99_ms"] = spread(differences(runs[name], runs[base], "p99_ms"))
    return result, [
        Verdict(
            f"p99 that {name} add to a stanza through and back",
            result[name]["added_p99_ms"]["median"],
            AT_MOST_MS,
            "ms",
        )
        for name in BASES
    ]


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    keys = {
        "requests/s": "answered_per_second",
        "round trips": "round_trips",
        "median ms": "median_ms",
        "p99 ms": "p99_ms",
        "longest ms": "longest_ms",
        "added p99 ms": "added_p99_ms",
    }
    lines = [
        [name, *(row[key]["median"] if key in row else None for key in keys.values())]
        for name, row in result.items()
    ]
    return ["meanwhile", *keys], lines
