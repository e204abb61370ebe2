"""Scenes as text: three columns side by side for a terminal, one column after another for pipes and narrow terminals.

ASCII alone, so that no terminal and no encoding is too old for it.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from e2eproxy.demo.scenes import Kind, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.demo.scenes import Scene

    Paint = Callable[[Kind, str], str]
    Row = list[tuple[Kind, str] | None]

#: Characters that three columns need; a terminal with fewer gets one after another.
NARROWEST: Final = 90
#: Characters beyond which lines are hard to read; more are not used.
WIDEST: Final = 150
_BETWEEN: Final = " | "
_INDENT: Final = "  "

_COLOURS: Final = {
    Kind.TYPED: "1",
    Kind.READ: "32",
    Kind.NOTICE: "33",
    Kind.RETURNED: "31",
    Kind.SAW: "36",
    Kind.DID: "35",
}


def coloured(kind: Kind, text: str) -> str:
    """Return *text* in the colour of *kind*, for terminals that know colours."""
    return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m"


def uncoloured(_kind: Kind, text: str) -> str:
    """Return *text*."""
    return text


def wrapped(text: str, width: int) -> list[str]:
    """Return *text*, of one or several lines, as lines of at most *width* characters; what goes on is indented.

    A word that is longer than that, such as a fingerprint, begins a line of its own and is cut there.
    """
    lines: list[str] = []
    for number, line in enumerate(text.split("\n")):
        cut = textwrap.wrap(
            line,
            width,
            initial_indent=_INDENT if number else "",
            subsequent_indent=_INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for one in cut:
            while len(one) > width:
                lines.append(one[:width])
                one = _INDENT + one[width:]  # noqa: PLW2901 - the rest of it
            lines.append(one)
    return lines


def rows(scene: Scene, width: int) -> list[Row]:
    """Return the scene as rows of three cells, one for each place, of at most *width* characters.

    What happened later never stands higher; what it set off elsewhere may stand beside it.
    """
    places = list(Place)
    free = dict.fromkeys(places, 0)
    found: list[Row] = []
    at = 0
    for line in scene.lines:
        at = max(at, free[line.place])
        lines = wrapped(line.marked, width)
        for number, text in enumerate(lines):
            while len(found) <= at + number:
                found.append([None] * len(places))
            found[at + number][places.index(line.place)] = (line.kind, text)
        free[line.place] = at + len(lines)
    return found


def columns(scene: Scene, width: int, paint: Paint = uncoloured) -> str:
    """Return the scene in three columns, for a terminal with *width* characters, at least NARROWEST."""
    width = min(width - 1, WIDEST)
    each = (width - len(_BETWEEN) * 2) // 3
    out = [*_head(scene, width), "", _BETWEEN.join(place.value.ljust(each) for place in Place).rstrip()]
    out.append("-+-".join("-" * each for _ in Place))
    for row in rows(scene, each):
        cells = [" " * each if cell is None else paint(cell[0], cell[1].ljust(each)) for cell in row]
        out.append(_BETWEEN.join(cells).rstrip())
    return "\n".join(out) + "\n"


def stacked(scene: Scene, width: int) -> str:
    """Return the scene with one place after another, in lines of at most *width* characters."""
    out = _head(scene, width)
    for place in Place:
        lines = scene.at(place)
        out += ["", f"{_INDENT}{place.value}:"]
        if not lines:
            out.append(f"{_INDENT * 2}(nothing)")
        for line in lines:
            out += textwrap.indent("\n".join(wrapped(line.marked, width - 4)), _INDENT * 2).split("\n")
    return "\n".join(out) + "\n"


def _head(scene: Scene, width: int) -> list[str]:
    first, *rest = wrapped(f"== {scene.heading}", width)
    rule = first if rest else f"{first} ".ljust(width, "=")[:width]
    return [rule, *rest, *wrapped(scene.played_with, width)]
