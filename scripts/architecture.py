"""The tables and diagrams of docs/architecture.md, made from the code, so that the page cannot say anything else.

    python scripts/architecture.py

writes the marked parts of docs/architecture.md and all of docs/architecture.svg anew; a test compares. The rooms and their
arrows come from the imports themselves, read as tests/unit/test_rooms.py reads them; states from the tables that move
them; the walk from scripts/walk.py, which a test walks.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drawing
from walk import WALKS

from e2eproxy.proxy import policy_page, session
from e2eproxy.xmpp import stream_management

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterable

    from walk import Walk

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "architecture.md"
PICTURE = CHECKOUT / "docs" / "architecture.svg"
DAEMON = "daemon"
ERRORS = "errors"
#: From the top: nothing is imported against this order, so the arrows of the picture lead downwards.
ROOMS = (DAEMON, "demo", "control", "evaluate", "testing", "proxy", "methods", "trust", "xmpp", ERRORS)
WORDS = {
    DAEMON: "command line, configuration, service, log",
    "control": "how people steer it",
    "demo": "the newcomer's first look",
    "evaluate": "the comparison by experiment",
    "testing": "the test bench for methods",
    "proxy": "session, policy, pipeline",
    "methods": "the door for end-to-end systems",
    "trust": "keys, decisions, vault, store",
    "xmpp": "the wire",
    ERRORS: "the one tree of errors",
}


@cache
def rules() -> Any:  # noqa: ANN401 - a test module, loaded by its path
    """The module of the test that keeps the rooms apart."""
    spec = importlib.util.spec_from_file_location("test_rooms", CHECKOUT / "tests/unit/test_rooms.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("tests/unit/test_rooms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def room_of(module: str) -> str | None:
    """The room of a dotted name; None for what is not ours."""
    package, _, rest = module.partition(".")
    if package != rules().PACKAGE:
        return None
    first = rest.partition(".")[0]
    return first if first in ROOMS else DAEMON


@cache
def trees() -> dict[str, tuple[ast.Module, bool]]:
    """The syntax tree of each module of the package by its name, and whether it is a package's own."""
    return {
        name: (ast.parse(file.read_text("utf-8")), file.name == "__init__.py")
        for name, file in rules().modules()
        if room_of(name) is not None
    }


@cache
def imports() -> dict[tuple[str, str], set[str]]:
    """For each pair of rooms what the first imports of the second, as names below the package."""
    found: dict[tuple[str, str], set[str]] = {}
    for module, (tree, is_package) in trees().items():
        here = room_of(module)
        for name, _ in rules().imports(tree, module, is_package=is_package):
            there = room_of(name)
            if there is not None and here is not None and there != here:
                found.setdefault((here, there), set()).add(name.removeprefix(f"{rules().PACKAGE}."))
    return found


def narrow(start: str, end: str) -> list[str]:
    """The only modules of `end` that `start` may import, if the rule names modules and not the room."""
    allowed = rules().ALLOWED.get(start, {end})
    return sorted(place.partition(".")[2] for place in allowed if place.startswith(f"{end}."))


def rooms_graph() -> drawing.Graph:
    """The rooms there are, and who imports whom; but for ``errors``, which is everybody's."""
    there = {room_of(module) for module in trees()} - {ERRORS}
    edges = tuple(
        drawing.Edge(start, end, ", ".join(narrow(start, end)), thin=bool(narrow(start, end)))
        for start in ROOMS
        for end in ROOMS
        if (start, end) in imports() and end != ERRORS
    )
    boxes = {room: (room, WORDS[room]) for room in ROOMS if room in there}
    return drawing.Graph("Rooms, and who imports whom", boxes, edges)


def _word(state: enum.Enum) -> str:
    return state.name.lower().replace("_", " ")


def session_graph() -> drawing.Graph:
    """The states of a session, from its own table."""
    edges = tuple(
        drawing.Edge(_word(state), _word(following))
        for state in session.State
        for following in session.State
        if following in session.MOVES[state]
    )
    return drawing.Graph(
        "States of a session", {_word(state): (_word(state),) for state in session.State}, edges
    )


def management_graph() -> drawing.Graph:
    """The states of stream management with the server, from its own table."""
    edges = tuple(
        drawing.Edge(_word(state), _word(following), f"<{name}/>")
        for (state, name), following in stream_management.TRANSITIONS.items()
    )
    boxes = {_word(state): (_word(state),) for state in stream_management.State}
    return drawing.Graph("Stream management (upstream)", boxes, edges)


# -- the picture -------------------------------------------------------------------------------------------------------


def picture() -> str:
    """The SVG file."""
    graphs = [drawing.drawn(graph) for graph in (rooms_graph(), session_graph(), management_graph())]
    longest, *others = sorted(WALKS, key=lambda walk: -len(walk.steps))
    walks = [_lanes(longest), drawing.stacked([_lanes(walk) for walk in others])]
    return drawing.picture("e2eproxy: rooms, states, and the walk of a message", [graphs, walks])


def _lanes(walk: Walk) -> drawing.Panel:
    names = [room for room in ROOMS if any(step.room == room for step in walk.steps)]
    return drawing.lanes(walk.title, names, [(step.room, step.where) for step in walk.steps])


# -- the page ----------------------------------------------------------------------------------------------------------


def _mermaid(lines: Iterable[str]) -> str:
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def rooms_diagram() -> str:
    """The rooms as mermaid."""
    graph = rooms_graph()
    lines = ["flowchart TD"]
    lines += [f'    {name}["{name}<br>{words[1]}"]' for name, words in graph.boxes.items()]
    for edge in graph.edges:
        arrow = f"-. {edge.label} .->" if edge.thin else "-->"
        lines.append(f"    {edge.start} {arrow} {edge.end}")
    return _mermaid(lines)


def _states(graph: drawing.Graph) -> str:
    names = {box: box.replace(" ", "_") for box in graph.boxes}
    lines = ["stateDiagram-v2", f"    [*] --> {names[next(iter(names))]}"]
    for edge in graph.edges:
        label = f" : {edge.label.strip('</>')}" if edge.label else ""
        lines.append(f"    {names[edge.start]} --> {names[edge.end]}{label}")
    return _mermaid(lines)


def session_states() -> str:
    """The states of a session as mermaid."""
    return _states(session_graph())


def management_states() -> str:
    """The states of stream management as mermaid."""
    return _states(management_graph())


def rooms_table() -> str:
    """Each room, what it may import and what it does."""
    rows = []
    for room in ROOMS:
        if not any(room_of(module) == room for module in trees()):
            continue
        allowed = rules().ALLOWED.get(room)
        may = (
            "everything"
            if allowed is None
            else ", ".join(f"`{place}`" for place in sorted(allowed)) or "nothing"
        )
        does = ", ".join(f"`{end}`" for start, end in imports() if start == room and end in ROOMS)
        rows.append([f"`{room}`", WORDS[room], may, ", ".join(sorted(does.split(", "))) or "nothing"])
    return policy_page.table(["room", "what it is", "may import", "imports"], rows)


def modules_table() -> str:
    """Each module with the first sentence of its docstring."""
    rows = []
    for room in ROOMS:
        for module, (tree, is_package) in sorted(trees().items()):
            if room_of(module) == room and not is_package:
                rows.append([f"`{module.partition('.')[2]}`", _first(ast.get_docstring(tree) or "")])
    return policy_page.table(["module", "why it exists"], rows)


def _first(docstring: str) -> str:
    """The first line of a docstring, with code marked as Markdown does."""
    return docstring.splitlines()[0].replace("``", "`").rstrip(".")


def walk_table(walk: Walk) -> str:
    """The steps of a walk."""
    rows = (
        [str(number), step.room, f"`{step.where}`", step.says] for number, step in enumerate(walk.steps, 1)
    )
    return policy_page.table(["", "room", "function", "what it does"], rows)


def walk_diagram(walk: Walk) -> str:
    """The steps of a walk as mermaid: one arrow for each, from module to module."""
    modules = dict.fromkeys(step.module for step in walk.steps)
    lines = ["sequenceDiagram"]
    lines += [f"    participant {module.replace('.', '_')} as {module}" for module in modules]
    for before, step in zip(walk.steps, walk.steps[1:], strict=False):
        here, there = before.module.replace(".", "_"), step.module.replace(".", "_")
        lines.append(f"    {here}->>{there}: {step.function}")
    return _mermaid(lines)


TABLES: dict[str, Callable[[], str]] = {
    "rooms-diagram": rooms_diagram,
    "rooms": rooms_table,
    "modules": modules_table,
    "session-states": session_states,
    "stream-management-states": management_states,
    "outcomes": policy_page.outcomes,
    **{f"walk-{one.name}": (lambda one=one: walk_table(one)) for one in WALKS},
    **{f"walk-{one.name}-diagram": (lambda one=one: walk_diagram(one)) for one in WALKS},
}


def main() -> None:
    """Write page and picture anew."""
    PAGE.write_text(policy_page.renewed(PAGE.read_text("utf-8"), TABLES), "utf-8")
    PICTURE.write_text(picture(), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
