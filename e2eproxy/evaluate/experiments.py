"""The table of experiments: each has a name, can be made alone, and backs one column of the comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, fields, frozen

from e2eproxy.evaluate import authorship, patterns, secrecy
from e2eproxy.evaluate.lab import Finding, Lab
from e2eproxy.methods.traits import Claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2eproxy.methods.door import Method
    from e2eproxy.methods.events import Computed
    from e2eproxy.methods.harness import Bug

COLUMNS: tuple[str, ...] = tuple(one.name for one in fields(Claims) if one.name != "recovery")
"""The table's columns, in order."""


@frozen
class Experiment:
    """``column`` is what it backs; one that only ``informs`` adds words to the cell but does not decide it."""

    name: str
    column: str
    run: Callable[[Lab], Finding]
    informs: bool = False

    @property
    def question(self) -> str:
        """What it asks, in a sentence."""
        return (self.run.__doc__ or "").split("\n")[0]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment("authenticity.no-keys", "authenticity", authorship.no_keys),
    Experiment("authenticity.key-change", "authenticity", authorship.key_change),
    Experiment("authenticity.verified", "authenticity", authorship.verified),
    Experiment("authenticity.unverified", "authenticity", authorship.unverified, informs=True),
    Experiment("integrity.bit-flips", "integrity", authorship.bit_flips),
    Experiment("integrity.truncation", "integrity", authorship.truncation),
    Experiment("integrity.splicing", "integrity", authorship.splicing),
    Experiment("encryption.canary", "encryption", secrecy.canary),
    Experiment("forward-secrecy.theft", "forward_secrecy", secrecy.forward_secrecy),
    Experiment("recovery.theft", "recovery", secrecy.recovery),
    Experiment("malleable.forgery", "malleable_encryption", authorship.forgery),
    Experiment("one-to-one.conversation", "one_to_one", patterns.one_to_one),
    Experiment("group.room", "group_chat", patterns.group),
    Experiment("online.at-once", "online_chats", patterns.online),
    Experiment("offline.next-day", "offline_messages", patterns.offline),
    Experiment("resources.two", "multiple_resources", patterns.resources),
    Experiment("discovery.first-text", "discovery_of_support", patterns.discovery),
    Experiment("replay.same-session", "replay_protection", authorship.replay),
    Experiment("replay.after-restart", "replay_protection", authorship.replay_after_restart),
    Experiment("replay.reflection", "replay_protection", authorship.reflection),
)


@frozen(kw_only=True)
class Result:
    """What one experiment found with one method, and the bugs of the method that came to light in it."""

    experiment: Experiment
    finding: Finding
    bugs: tuple[str, ...] = ()


@frozen(kw_only=True)
class Cell:
    """One cell: what was measured, in words too, and by which experiments; ``claimed`` is what the method says."""

    column: str
    holds: bool
    how: str
    claimed: bool
    results: tuple[Result, ...]

    @property
    def agrees(self) -> bool:
        """Whether the method's claim is what was measured."""
        return self.holds == self.claimed


@frozen(kw_only=True)
class Report:
    """All about one method; ``cells`` has a cell for each column something was measured of."""

    method: Method
    cells: tuple[Cell, ...]

    @property
    def bugs(self) -> tuple[str, ...]:
        """All bugs that came to light."""
        return tuple(sorted({bug for cell in self.cells for one in cell.results for bug in one.bugs}))

    @property
    def disagreements(self) -> tuple[Cell, ...]:
        """The cells where the method's claim is not what was measured."""
        return tuple(cell for cell in self.cells if not cell.agrees)

    @property
    def good(self) -> bool:
        """Whether all claims hold and no bug came to light."""
        return not self.bugs and not self.disagreements


def make(
    experiment: Experiment,
    method: Method,
    seed: int = 0,
    computed: dict[str, Computed | Bug] | None = None,
) -> Result:
    """Make one experiment with *method*. What the method raises on the bench's own questions is a bug of it as well.

    *computed* is what several experiments have of long computations.
    """
    lab = Lab(method, seed, computed)
    try:
        finding = experiment.run(lab)
    except Exception as error:  # noqa: BLE001 - a plug-in's forge or theft may raise anything; it is reported
        text = f"The experiment ended with {type(error).__name__}: {error}"
        return Result(
            experiment=experiment, finding=Finding(holds=False, how="failed"), bugs=(text, *lab.bugs)
        )
    return Result(experiment=experiment, finding=finding, bugs=lab.bugs)


def evaluate(method: Method, experiments: Iterable[Experiment] = EXPERIMENTS, seed: int = 0) -> Report:
    """Make *experiments* with *method* and compare what they find with what it claims."""
    computed: dict[str, Computed | Bug] = {}
    results = [make(one, method, seed, computed) for one in experiments]
    claims = dict(method.traits.claims)
    cells = []
    for column in (*COLUMNS, "recovery"):
        own = tuple(one for one in results if one.experiment.column == column)
        deciding = [one for one in own if not one.experiment.informs]
        if deciding:
            holds = all(one.finding.holds for one in deciding)
            cells.append(
                Cell(
                    column=column,
                    holds=holds,
                    how=_how(own, holds),
                    claimed=claims[column].holds,
                    results=own,
                )
            )
    return Report(method=method, cells=_with_recovery(cells))


def _how(results: tuple[Result, ...], holds: bool) -> str:
    """The words of those that decided: of those that failed if one did, and of what informs."""
    told = [one.finding for one in results if one.experiment.informs or one.finding.holds == holds]
    return "; ".join(dict.fromkeys(one.how for one in told if one.how))


def _with_recovery(cells: list[Cell]) -> tuple[Cell, ...]:
    """Tell of recovery in the cell of forward secrecy, where the table has room for it."""
    recovery = next((one for one in cells if one.column == "recovery"), None)
    if recovery is None:
        return tuple(cells)
    return tuple(
        evolve(one, how="; ".join(part for part in (one.how, recovery.how) if part))
        if one.column == "forward_secrecy" and one.holds
        else one
        for one in cells
    )
