"""Small graphs as SVG, without any program or library: boxes in layers, arrows between them, the same each time.

The layout is the usual one for layers: each box stands one below the lowest that points to it, an arrow that passes
layers gets a place in each of them, and places are sorted by where their neighbours are. Only the ids of the input
decide, so the same tables give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LETTER = 7.2  # pixels a letter of the boxes' font takes on average
TITLE_LETTER = 9.5
LINE = 17
BOX = 12  # pixels between a box's edge and its text
BETWEEN = 26  # pixels between two places of a layer
LAYERS = 58  # pixels between two layers
PASSING = 10  # pixels an arrow takes in a layer that it only passes
TITLE = 34
MARGIN = 20
SWEEPS = 12
LANE = 84
STEP = 22
NUMBERS = 34
DOT = 5


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes, by their names; `thin` ones are dashed."""

    start: str
    end: str
    label: str = ""
    thin: bool = False


@dataclass(frozen=True)
class Graph:
    """Boxes with their lines of text, in an order in which arrows mostly lead onwards, and the arrows."""

    title: str
    boxes: dict[str, tuple[str, ...]]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Panel:
    """A piece of SVG and its size in pixels."""

    width: float
    height: float
    svg: tuple[str, ...]


@dataclass
class _Place:
    """A box, or the place of an arrow that passes; `x` is its middle, `y` its upper edge."""

    name: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


def drawn(graph: Graph) -> Panel:
    """Return `graph` drawn."""
    places, paths, layers = _placed(graph)
    _sort(layers, places)
    width, height = _lay_out(layers, places, TITLE_LETTER * len(graph.title))
    svg = [_title(graph.title)]
    twins = {(edge.end, edge.start) for edge in graph.edges}
    for edge in graph.edges:
        aside = 16.0 if (edge.start, edge.end) in twins else 0.0
        svg += _arrow(edge, [places[name] for name in paths[edge.start, edge.end]], aside)
    for name, lines in graph.boxes.items():
        svg += _box(places[name], lines)
    return Panel(width, height, tuple(svg))


def lanes(title: str, names: Sequence[str], steps: Sequence[tuple[str, str]]) -> Panel:
    """Return a walk drawn: `names` are the lanes, each step is (lane, text), one below the other."""
    top = TITLE + LINE + 14
    height = top + STEP * len(steps)
    left = {name: NUMBERS + LANE * (at + 0.5) for at, name in enumerate(names)}
    words = NUMBERS + LANE * len(names) + 10
    svg = [_title(title)]
    for name, x in left.items():
        svg.append(_text(x, TITLE + LINE - 4, name, "lane"))
        svg.append(f'<line class="lane" x1="{x:g}" y1="{top - 6:g}" x2="{x:g}" y2="{height:g}"/>')
    before: tuple[float, float] | None = None
    for number, (lane, text) in enumerate(steps, 1):
        x, y = left[lane], top + STEP * (number - 0.5)
        if before is not None:
            svg.append(f'<path class="walk" d="M{before[0]:g},{before[1]:g} L{x:g},{y:g}"/>')
        before = (x, y)
        svg.append(_text(NUMBERS - 10, y + 4, str(number), "number"))
        svg.append(_text(words, y + 4, text, "step"))
    for number, (lane, _) in enumerate(steps, 1):
        y = top + STEP * (number - 0.5)
        svg.append(f'<circle class="step" cx="{left[lane]:g}" cy="{y:g}" r="{DOT}"/>')
    width = max(words + LETTER * max(len(text) for _, text in steps), TITLE_LETTER * len(title))
    return Panel(width, height, tuple(svg))


def stacked(panels: Sequence[Panel]) -> Panel:
    """Return panels as one, each below the one before."""
    svg: list[str] = []
    y = 0.0
    for panel in panels:
        svg += [f'<g transform="translate(0,{y:g})">', *panel.svg, "</g>"]
        y += panel.height + 2 * MARGIN
    return Panel(max(panel.width for panel in panels), y - 2 * MARGIN, tuple(svg))


def picture(title: str, rows: Iterable[Sequence[Panel]]) -> str:
    """Return an SVG file of panels, row by row."""
    groups = []
    y, widest = float(MARGIN), 0.0
    for row in rows:
        x = float(MARGIN)
        for panel in row:
            groups.append(f'<g transform="translate({x:g},{y:g})">\n' + "\n".join(panel.svg) + "\n</g>")
            x += panel.width + 2 * MARGIN
        widest = max(widest, x - MARGIN)
        y += max(panel.height for panel in row) + 2 * MARGIN
    size = f'viewBox="0 0 {widest:.0f} {y:.0f}" width="{widest:.0f}" height="{y:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title>",
            _STYLE,
            '<rect class="page" width="100%" height="100%"/>',
            *groups,
            "</svg>\n",
        ]
    )


_STYLE = """<style>
text { font: 13px sans-serif; fill: #1b1f24; }
text.title { font-size: 15px; font-weight: bold; }
text.small, text.label { font-size: 11px; fill: #57606a; }
text.label { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
text.first, text.small, text.label, text.lane { text-anchor: middle; }
text.first, text.lane { font-weight: bold; }
text.number { text-anchor: end; fill: #57606a; }
text.step { font-family: monospace; font-size: 12px; }
rect.page { fill: #ffffff; }
rect.box { fill: #eef4fb; stroke: #3b6ea5; }
path { fill: none; stroke: #57606a; stroke-width: 1.3; }
path.thin { stroke-dasharray: 5 4; }
path.head { fill: #57606a; stroke: none; }
path.walk { stroke: #3b6ea5; stroke-width: 2; }
line.lane { stroke: #d0d7de; }
circle.step { fill: #3b6ea5; }
</style>
<defs><marker id="arrow" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">
<path class="head" d="M0,0 L9,4 L0,8 z"/></marker></defs>"""


# -- where things stand ------------------------------------------------------------------------------------------------


def _placed(
    graph: Graph,
) -> tuple[dict[str, _Place], dict[tuple[str, str], list[str]], list[list[str]]]:
    """Return the places by name, the places each arrow goes through, and the layers."""
    order = {name: at for at, name in enumerate(graph.boxes)}
    depth = dict.fromkeys(graph.boxes, 0)
    onwards = [edge for edge in graph.edges if order[edge.start] < order[edge.end]]
    for name in graph.boxes:
        for edge in onwards:
            if edge.start == name:
                depth[edge.end] = max(depth[edge.end], depth[name] + 1)
    texts = {
        name: [*lines, *(edge.label for edge in graph.edges if edge.end == name)]
        for name, lines in graph.boxes.items()
    }
    places = {
        name: _Place(name, max(map(_width, texts[name])) + 2 * BOX, LINE * len(lines) + BOX)
        for name, lines in graph.boxes.items()
    }
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in graph.boxes:
        layers[depth[name]].append(name)
    paths: dict[tuple[str, str], list[str]] = {}
    for edge in graph.edges:
        upper, lower = sorted((edge.start, edge.end), key=lambda name: depth[name])
        path = [upper]
        for layer in range(depth[upper] + 1, depth[lower]):
            passing = f"{edge.start}>{edge.end}@{layer}"
            places[passing] = _Place(passing, PASSING, 0)
            layers[layer].append(passing)
            path.append(passing)
        path.append(lower)
        for one, following in pairwise(path):
            places[one].below.append(following)
            places[following].above.append(one)
        paths[edge.start, edge.end] = path if upper == edge.start else path[::-1]
    return places, paths, layers


def _sort(layers: list[list[str]], places: dict[str, _Place]) -> None:
    """Sort each layer by the middle of its neighbours in the one above, then below, some times over."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            at = {name: number for one in layers for number, name in enumerate(one)}

            def middle(name: str, at: dict[str, int] = at, down: bool = down) -> float:
                near = places[name].above if down else places[name].below
                return sum(at[other] for other in near) / len(near) if near else float(at[name])

            layer.sort(key=middle)


def _lay_out(layers: list[list[str]], places: dict[str, _Place], least: float) -> tuple[float, float]:
    """Give each place its coordinates; return the size of the whole."""
    y = float(TITLE)
    for layer in layers:
        height = max(places[name].height for name in layer)
        x = 0.0
        for name in layer:
            place = places[name]
            place.x, place.y = x + place.width / 2, y + (height - place.height) / 2
            x += place.width + BETWEEN
        y += height + LAYERS
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _straighten([places[name] for name in layer], places)
    left = min(place.x - place.width / 2 for place in places.values())
    for place in places.values():
        place.x -= left
    width = max(place.x + place.width / 2 for place in places.values())
    return max(width, least), y - LAYERS


def _straighten(layer: list[_Place], places: dict[str, _Place]) -> None:
    """Move each place towards the middle of its neighbours, as far as order and room in the layer let it.

    Packed from the left and packed from the right both keep them, and so does what lies half way between the two.
    """
    wanted = []
    for place in layer:
        near = [places[name].x for name in (*place.above, *place.below)]
        wanted.append(sum(near) / len(near) if near else place.x)
    apart = [(one.width + other.width) / 2 + BETWEEN for one, other in pairwise(layer)]
    from_left = wanted[:1]
    for want, room in zip(wanted[1:], apart, strict=True):
        from_left.append(max(want, from_left[-1] + room))
    from_right = wanted[-1:]
    for want, room in zip(wanted[-2::-1], apart[::-1], strict=True):
        from_right.append(min(want, from_right[-1] - room))
    for place, one, other in zip(layer, from_left, from_right[::-1], strict=True):
        place.x = (one + other) / 2


# -- what they look like -----------------------------------------------------------------------------------------------


def _arrow(edge: Edge, through: list[_Place], aside: float) -> list[str]:
    down = through[0].y < through[-1].y
    shift = aside if down else -aside
    points = [(place.x + shift, place.y + place.height / 2) for place in through]
    first, last = through[0], through[-1]
    points[0] = (points[0][0], first.y + (first.height if down else 0))
    points[-1] = (points[-1][0], last.y + (0 if down else last.height))
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in pairwise(points):
        half = (y + to_y) / 2
        path += f" C{x:.1f},{half:.1f} {to_x:.1f},{half:.1f} {to_x:.1f},{to_y:.1f}"
    thin = ' class="thin"' if edge.thin else ""
    svg = [f'<path{thin} d="{path}" marker-end="url(#arrow)"/>']
    if edge.label:
        (x, y), (to_x, to_y) = points[-2:]
        svg.append(_text(x + 0.75 * (to_x - x), y + 0.6 * (to_y - y), edge.label, "label"))
    return svg


def _box(place: _Place, lines: tuple[str, ...]) -> list[str]:
    left = place.x - place.width / 2
    size = f'width="{place.width:.1f}" height="{place.height:.1f}"'
    svg = [f'<rect class="box" x="{left:.1f}" y="{place.y:.1f}" {size} rx="5"/>']
    for number, line in enumerate(lines):
        y = place.y + BOX / 2 + LINE * (number + 1) - 4
        svg.append(_text(place.x, y, line, "small" if number else "first"))
    return svg


def _title(text: str) -> str:
    return f'<text class="title" x="0" y="14">{escape(text)}</text>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _width(text: str) -> float:
    return LETTER * len(text)
