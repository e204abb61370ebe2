"""What monitoring reads: the daemon's counts as text in Prometheus' format 0.0.4, made from one table.

Law 8: a label names a method, direction, outcome, reason or state, never a JID, a key or a text; every value that a label can
have is known beforehand. Reading changes nothing, and costs as much as there are accounts and sessions.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.methods.effects import State
from e2eproxy.proxy.holding import Direction
from e2eproxy.proxy.tally import BUCKETS, FAILURES, FATES, NO_METHOD, WHY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2eproxy.control.api import Daemon
    from e2eproxy.proxy.guards import Guards
    from e2eproxy.proxy.tally import Tally

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: The states of a session that is one.
STATES: Final = tuple(state for state in State if state is not State.NONE)
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

#: What stands behind a metric's name, values by label, and the value.
Sample = tuple[str, dict[str, str], float]


@frozen(kw_only=True)
class Source:
    """What is read."""

    guards: Guards
    daemon: Daemon

    @property
    def tally(self) -> Tally:
        """The counts."""
        return self.guards.tally


@frozen(kw_only=True)
class Metric:
    """One metric: what it is in Prometheus' words (*kind*), its labels, and how it is read."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Source], Iterator[Sample]]


def _stanzas(source: Source) -> Iterator[Sample]:
    for (method, direction, fate), count in source.tally.stanzas():
        yield "", {"method": method, "direction": direction.value, "outcome": fate.value}, count


def _failures(source: Source) -> Iterator[Sample]:
    for (direction, why), count in source.tally.failures():
        yield "", {"direction": direction.value, "reason": why.value}, count


def _holds(source: Source) -> Iterator[Sample]:
    for (method, direction), count in source.tally.holds():
        yield "", {"method": method, "direction": direction.value}, count


def _waiting(source: Source) -> Iterator[Sample]:
    waits = dict.fromkeys(Direction, 0)
    for guard in source.guards.all:
        for direction, count in guard.waits.items():
            waits[direction] += count
    for direction, count in waits.items():
        yield "", {"direction": direction.value}, count


def _seconds(source: Source) -> Iterator[Sample]:
    for (method, direction), latency in source.tally.latencies():
        labels = {"method": method, "direction": direction.value}
        counts = latency.cumulated()
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
            yield "_bucket", {**labels, "le": bound}, count
        yield "_sum", labels, latency.seconds
        yield "_count", labels, counts[-1]


def _sessions(source: Source) -> Iterator[Sample]:
    found = Counter(
        (method, change.state)
        for account in source.guards.accounts
        if (desk := source.guards.desk(account)[0]) is not None
        for method, change in desk.sessions()
    )
    for method in source.tally.methods:
        for state in STATES:
            yield "", {"method": method, "state": state.value}, found[method, state]


def _bugs(source: Source) -> Iterator[Sample]:
    for method, count in source.tally.bugs():
        yield "", {"method": method}, count


def _accounts(source: Source) -> Iterator[Sample]:
    found = Counter(map(source.guards.state, source.guards.accounts))
    for state in ("opening", "open", "refused"):
        yield "", {"state": state}, found[state]


def _clients(source: Source) -> Iterator[Sample]:
    yield "", {}, source.daemon.clients()


def _started(source: Source) -> Iterator[Sample]:
    yield "", {}, source.daemon.started


def _build(source: Source) -> Iterator[Sample]:
    yield "", {"version": source.daemon.version}, 1


METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        name="e2eproxy_stanzas_total",
        kind="counter",
        help="What became of stanzas of clients (out) and servers (in), each counted once, when that is known.",
        labels=("method", "direction", "outcome"),
        read=_stanzas,
    ),
    Metric(
        name=FAILURES,
        kind="counter",
        help="Stanzas that could not go the way they should have, by why; the log says each, if there are few.",
        labels=("direction", "reason"),
        read=_failures,
    ),
    Metric(
        name="e2eproxy_holds_total",
        kind="counter",
        help="Stanzas that had to wait: for a method, or (none) until it is known what the contact can read.",
        labels=("method", "direction"),
        read=_holds,
    ),
    Metric(
        name="e2eproxy_waiting_stanzas",
        kind="gauge",
        help="Stanzas that wait now.",
        labels=("direction",),
        read=_waiting,
    ),
    Metric(
        name="e2eproxy_stanza_seconds",
        kind="histogram",
        help="Seconds from the arrival of a stanza to its leaving, of those only that waited or were a method's.",
        labels=("method", "direction"),
        read=_seconds,
    ),
    Metric(
        name="e2eproxy_sessions",
        kind="gauge",
        help="Sessions with peers that there are now.",
        labels=("method", "state"),
        read=_sessions,
    ),
    Metric(
        name="e2eproxy_method_bugs_total",
        kind="counter",
        help="How often a method did what it must not; the log says what.",
        labels=("method",),
        read=_bugs,
    ),
    Metric(
        name="e2eproxy_accounts",
        kind="gauge",
        help="Accounts that are open, being opened, or refused since what is stored of them cannot be read.",
        labels=("state",),
        read=_accounts,
    ),
    Metric(
        name="e2eproxy_clients",
        kind="gauge",
        help="Clients that are connected now.",
        labels=(),
        read=_clients,
    ),
    Metric(
        name="e2eproxy_start_time_seconds",
        kind="gauge",
        help="When the daemon started, in seconds since 1970.",
        labels=(),
        read=_started,
    ),
    Metric(
        name="e2eproxy_build_info",
        kind="gauge",
        help="Always 1; the label says which version runs.",
        labels=("version",),
        read=_build,
    ),
)


def text(source: Source) -> bytes:
    """Return all of them that have a value in the text format; without a method, what is by method has none."""
    lines: list[str] = []
    for metric in METRICS:
        found = [_line(metric.name + suffix, labels, value) for suffix, labels, value in metric.read(source)]
        if found:
            lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *found)
    return ("\n".join(lines) + "\n").encode()


def _line(name: str, labels: dict[str, str], value: float) -> str:
    written = ",".join(f'{key}="{said.translate(_ESCAPES)}"' for key, said in labels.items())
    return f"{name}{{{written}}} {value}" if written else f"{name} {value}"


def markdown_tables() -> str:
    """Return the tables of docs/metrics.md: the metrics, the outcomes, the reasons."""
    rows = ["| metric | type | labels | what it says |", "| --- | --- | --- | --- |"]
    for one in METRICS:
        labels = ", ".join(f"`{label}`" for label in one.labels) or "-"
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} |")
    rows += ["", "| `direction` | `outcome` | `method` | the stanza |", "| --- | --- | --- | --- |"]
    for direction, fates in FATES.items():
        for fate, row in fates.items():
            method = " or ".join(
                filter(None, (f"`{NO_METHOD}`" * row.alone, "the method's name" * row.by_method))
            )
            rows.append(f"| `{direction.value}` | `{fate.value}` | {method} | {row.words} |")
    rows += ["", "| `direction` | `reason` | the stanza failed because |", "| --- | --- | --- |"]
    for direction, whys in WHY.items():
        rows += (f"| `{direction.value}` | `{why.value}` | {words} |" for why, words in whys.items())
    return "\n".join(rows) + "\n"
