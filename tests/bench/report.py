"""Numbers into medians, tables and verdicts."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence


def spread(values: Sequence[float]) -> dict:
    """Return median, minimum, maximum and all values."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "values": list(values),
    }


def ratios(ours: list[dict], theirs: list[dict], key: str) -> list[float]:
    """Return the ratio of each repetition: neighbours in time share what else goes on on the machine."""
    return [one[key] / other[key] for one, other in zip(ours, theirs, strict=True)]


def differences(ours: list[dict], theirs: list[dict], key: str) -> list[float]:
    """Return the difference of each repetition."""
    return [one[key] - other[key] for one, other in zip(ours, theirs, strict=True)]


@frozen
class Verdict:
    """One line of what has to be reached: ``value`` may be at most (or, with ``at_least``, must be at least) ``limit``."""

    what: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_dict(self) -> dict:
        return {
            "what": self.what,
            "value": self.value,
            "at_least" if self.at_least else "at_most": self.limit,
            "unit": self.unit,
            "reached": self.reached,
        }


def verdict_table(verdicts: list[Verdict]) -> str:
    """Return the verdicts as a table."""
    lines = [
        [
            one.what,
            one.value,
            "≥" if one.at_least else "≤",
            one.limit,
            one.unit,
            "yes" if one.reached else "NO",
        ]
        for one in verdicts
    ]
    return table(["what", "measured", "", "limit", "unit", "reached"], lines)


def table(head: list[str], lines: list[list]) -> str:
    """Return a Markdown table: numbers to three digits and to the right, None as a dash."""
    cells = [head, *([_cell(value) for value in line] for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    right = [
        any(isinstance(line[column], int | float) for line in lines) if lines else False
        for column in range(len(head))
    ]

    def written(row: list[str]) -> str:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 1) + (":" if to_right else "-") for width, to_right in zip(widths, right, strict=True)
    )
    return "\n".join([written(cells[0]), f"|{rule}|", *map(written, cells[1:])])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return (
            f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
        )
    return str(value)
