"""The scenes as one picture: the README's first, an SVG without any program, library or font of its own."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from e2eproxy.demo.frames import rows, wrapped
from e2eproxy.demo.scenes import LEGEND, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2eproxy.demo.scenes import Scene

#: Characters of a column, and what one of them and a line take, in pixels.
COLUMN: Final = 44
LETTER: Final = 6.7
LINE: Final = 15
MARGIN: Final = 18
BETWEEN: Final = 16
_PLACE: Final = round(COLUMN * LETTER)
_WIDTH: Final = 2 * MARGIN + len(Place) * _PLACE + (len(Place) - 1) * BETWEEN
#: A title's letters are wider.
_TITLE: Final = int((_WIDTH - 2 * MARGIN) / LETTER)

_STYLE: Final = """<style>
text { font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; fill: #24292f }
.page { fill: #fff }
.band { fill: #f0f3f6 }
.title { font-weight: bold; font-size: 13px }
.place { font-weight: bold }
.note { fill: #57606a }
.typed { font-weight: bold }
.read { fill: #116329 }
.notice { fill: #7d4e00 }
.returned { fill: #a40e26 }
.saw { fill: #0a5a8a }
.did { fill: #6639ba }
@media (prefers-color-scheme: dark) {
text { fill: #d0d7de } .page { fill: #0d1117 } .band { fill: #1b222b } .note { fill: #8c959f } .read { fill: #57ab5a }
.notice { fill: #d4a72c } .returned { fill: #ff7b72 } .saw { fill: #6cb6ff } .did { fill: #bc8cff }
}
</style>"""


def picture(scenes: Sequence[Scene]) -> str:
    """Return the SVG file of *scenes*, one below the other."""
    parts = [_text(MARGIN, MARGIN, "note", LEGEND)]
    y = MARGIN + LINE
    for scene in scenes:
        drawn, y = _scene(scene, y)
        parts += drawn
    size = f'viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}"'
    title = "e2eproxy demo: what two old clients show, and what the server between them saw"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" xml:space="preserve">',
            f"<title>{escape(title)}</title>",
            "<desc>Made by e2eproxy demo --svg, with keys that are the same each time.</desc>",
            _STYLE,
            '<rect class="page" width="100%" height="100%"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _scene(scene: Scene, y: int) -> tuple[list[str], int]:
    """Return the scene drawn from *y* downwards, and where the next one begins."""
    parts = [
        f'<rect class="band" x="0" y="{y - 4}" width="{_WIDTH}" height="{LINE + 8}"/>',
        _text(MARGIN, y + LINE - 3, "title", scene.heading),
    ]
    y += LINE + 8
    for line in wrapped(scene.played_with, _TITLE):
        y += LINE
        parts.append(_text(MARGIN, y, "note", line))
    y += LINE + 6
    left = [MARGIN + number * (_PLACE + BETWEEN) for number in range(len(Place))]
    parts += [_text(x, y, "place", place.value) for x, place in zip(left, Place, strict=True)]
    y += 4
    for row in rows(scene, COLUMN):
        y += LINE
        parts += [
            _text(x, y, cell[0].value, cell[1]) for x, cell in zip(left, row, strict=True) if cell is not None
        ]
    return parts, y + 2 * LINE


def _text(x: int, y: int, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'
