"""The comparison as people and programs read it: a table for a terminal, JSON, one page of HTML."""

from __future__ import annotations

import html
import json
import textwrap
from typing import TYPE_CHECKING, Any

from e2eproxy.evaluate.experiments import COLUMNS, Cell, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAME_WIDTH = 20
_HOW_WIDTH = 100


def title(column: str) -> str:
    """A column's heading."""
    return "one-to-one" if column == "one_to_one" else column.replace("_", " ")


def word(cell: Cell | None) -> str:
    """What stands in a cell of the terminal's table: ``yes``, ``no``, ``-`` (not measured), ``!`` if it was not claimed."""
    if cell is None:
        return "-"
    return ("yes" if cell.holds else "no") + ("" if cell.agrees else "!")


def cells_of(report: Report) -> dict[str, Cell]:
    """The cells by column."""
    return {cell.column: cell for cell in report.cells}


def as_text(reports: Sequence[Report]) -> str:
    """The table, and below it how each cell came about."""
    lines = [*_grid(reports), ""]
    for report in reports:
        traits = report.method.traits
        lines.append(f"{traits.name}: {traits.title} ({traits.standard})")
        for cell in report.cells:
            names = ", ".join(one.experiment.name for one in cell.results)
            text = f"{title(cell.column)}: {word(cell)}{': ' + cell.how if cell.how else ''} [{names}]"
            lines += textwrap.wrap(text, _HOW_WIDTH, initial_indent="  ", subsequent_indent="      ")
        lines += _complaints(report)
        lines.append("")
    return "\n".join(lines)


def _grid(reports: Sequence[Report]) -> list[str]:
    widths = {column: max(len(part) for part in title(column).split()) + 2 for column in COLUMNS}
    heads = [
        [part.ljust(widths[column]) for part in _wrapped(title(column), widths[column] - 2)]
        for column in COLUMNS
    ]
    height = max(len(words) for words in heads)
    lines = []
    for row in range(height):
        parts = [
            words[row] if row < len(words) else " " * widths[column]
            for column, words in zip(COLUMNS, heads, strict=True)
        ]
        lines.append((" " * _NAME_WIDTH + "".join(parts)).rstrip())
    lines.append("-" * (_NAME_WIDTH + sum(widths.values())))
    for report in reports:
        cells = cells_of(report)
        marks = "".join(word(cells.get(column)).ljust(widths[column]) for column in COLUMNS)
        lines.append((report.method.traits.name.ljust(_NAME_WIDTH - 1) + " " + marks).rstrip())
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _complaints(report: Report) -> list[str]:
    lines = []
    for cell in report.disagreements:
        claim = "claims" if cell.claimed else "does not claim"
        lines.append(
            f"  DISAGREES: it {claim} {title(cell.column)}, measured was {'yes' if cell.holds else 'no'}."
        )
        lines += [f"      {text}" for one in cell.results for text in one.finding.evidence]
    lines += [f"  BUG: {bug}" for bug in report.bugs]
    return lines


def as_data(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """What ``--json`` prints: all that was found, as plain values."""
    return [
        {
            "method": report.method.traits.name,
            "title": report.method.traits.title,
            "standard": report.method.traits.standard,
            "good": report.good,
            "bugs": list(report.bugs),
            "cells": [
                {
                    "column": cell.column,
                    "holds": cell.holds,
                    "how": cell.how,
                    "claimed": cell.claimed,
                    "agrees": cell.agrees,
                    "experiments": [
                        {
                            "name": one.experiment.name,
                            "question": one.experiment.question,
                            "decides": not one.experiment.informs,
                            "holds": one.finding.holds,
                            "how": one.finding.how,
                            "evidence": list(one.finding.evidence),
                        }
                        for one in cell.results
                    ],
                }
                for cell in report.cells
            ],
        }
        for report in reports
    ]


def as_json(reports: Iterable[Report]) -> str:
    """The same as JSON."""
    return json.dumps(as_data(reports), indent=2, ensure_ascii=False)


_STYLE = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:.3em .5em;vertical-align:top;text-align:left}"
    ".yes{background:#dfd}.no{background:#fdd}.wrong{outline:3px solid #c00}small{display:block;color:#444}"
)


def as_html(reports: Sequence[Report]) -> str:
    """One page that needs nothing else; each cell's evidence is in its title."""
    heads = "".join(f"<th>{html.escape(title(column))}</th>" for column in COLUMNS)
    rows = "".join(_html_row(report) for report in reports)
    faults = "".join(f"<p>{html.escape(line)}</p>" for report in reports for line in _complaints(report))
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>End-to-end systems, measured</title>"
        f"<style>{_STYLE}</style></head><body><h1>End-to-end systems, measured</h1>"
        f"<table><thead><tr><th>method</th>{heads}</tr></thead><tbody>{rows}</tbody></table>{faults}</body></html>\n"
    )


def _html_row(report: Report) -> str:
    cells = cells_of(report)
    traits = report.method.traits
    name = f"<th>{html.escape(traits.title)}<small>{html.escape(traits.standard)}</small></th>"
    return f"<tr>{name}{''.join(_html_cell(cells.get(column)) for column in COLUMNS)}</tr>"


def _html_cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>-</td>"
    evidence = "\n".join(f"{one.experiment.name}: {' '.join(one.finding.evidence)}" for one in cell.results)
    kind = ("yes" if cell.holds else "no") + ("" if cell.agrees else " wrong")
    how = f"<small>{html.escape(cell.how)}</small>" if cell.how else ""
    return f"<td class='{kind}' title='{html.escape(evidence, quote=True)}'>{word(cell)}{how}</td>"
