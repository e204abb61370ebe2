"""docs/architecture.md and its picture show the code as it is, and a message goes the way that the page says."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bed.walk_world import World

from e2eproxy.proxy import policy_page
from e2eproxy.proxy.session import MOVES
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.xmpp.stream_management import TRANSITIONS

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = CHECKOUT / "scripts"
RUN = "run: python scripts/architecture.py"


def script(name):
    """A module of scripts/, which are programs and no package."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


architecture, drawing, walk = script("architecture"), script("drawing"), script("walk")


# -- the page and the picture ------------------------------------------------------------------------------------------


def test_the_page_shows_what_the_command_prints():
    page = architecture.PAGE.read_text("utf-8")
    assert policy_page.renewed(page, architecture.TABLES) == page, RUN
    for name in architecture.TABLES:
        assert f"<!-- table: {name} -->\n" in page, f"the page has no place for {name}"


def test_the_picture_is_what_the_command_draws():
    assert architecture.PICTURE.read_text("utf-8") == architecture.picture(), RUN


def test_the_picture_is_sound_and_has_every_state_and_room():
    picture = ET.fromstring(architecture.picture())
    texts = {one.text for one in picture.iter("{http://www.w3.org/2000/svg}text")}
    states = {one.name.lower().replace("_", " ") for one in (*MOVES, *(state for state, _ in TRANSITIONS))}
    assert {"proxy", "methods", "trust", "xmpp"} | states <= texts
    arrows = [one for one in picture.iter("{http://www.w3.org/2000/svg}path") if one.get("marker-end")]
    drawn = len(architecture.rooms_graph().edges) + sum(map(len, MOVES.values())) + len(TRANSITIONS)
    assert len(arrows) == drawn


def test_arrows_between_rooms_are_the_imports():
    edges = {(edge.start, edge.end) for edge in architecture.rooms_graph().edges}
    assert {("daemon", "proxy"), ("proxy", "methods"), ("methods", "trust"), ("proxy", "xmpp")} <= edges
    assert not edges & {("xmpp", "proxy"), ("trust", "proxy"), ("methods", "proxy"), ("proxy", "daemon")}
    order = architecture.ROOMS
    assert all(order.index(start) < order.index(end) for start, end in edges), "an arrow leads upwards"
    thin = {(edge.start, edge.end): edge.label for edge in architecture.rooms_graph().edges if edge.thin}
    assert thin == {("methods", "trust"): "values", ("methods", "xmpp"): "jid, names, spans, stanza"}


def test_every_module_has_its_line():
    lines = architecture.modules_table().splitlines()[2:]
    assert len(lines) == sum(not is_package for _, is_package in architecture.trees().values())
    assert all(re.fullmatch(r"\| `[a-z_.]+` \| \S.* \|", line) for line in lines)


def test_the_page_names_only_modules_that_there_are():
    page = architecture.PAGE.read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", page))
    places = [CHECKOUT, CHECKOUT / "e2eproxy", *(CHECKOUT / "e2eproxy" / room for room in architecture.ROOMS)]
    assert len(named) > 30
    assert not [name for name in named if not any((place / name).is_file() for place in places)]


# -- drawing -----------------------------------------------------------------------------------------------------------


def test_boxes_of_a_layer_do_not_touch_and_arrows_lead_down():
    boxes = {name: (name * 5,) for name in "abcde"}
    edges = tuple(drawing.Edge(start, end) for start, end in ("ab", "ac", "ad", "be", "ce", "ae"))
    panel = drawing.drawn(drawing.Graph("title", boxes, edges))
    rects = [
        {key: float(value) for key, value in re.findall(r'(\w+)="([\d.]+)"', line)}
        for line in panel.svg
        if line.startswith("<rect")
    ]
    assert len(rects) == len(boxes)
    a, b, c, d, e = rects
    assert a["y"] < b["y"] == c["y"] == d["y"] < e["y"]
    row = sorted((b, c, d), key=lambda one: one["x"])
    assert all(one["x"] + one["width"] < other["x"] for one, other in itertools.pairwise(row))
    assert all(one["x"] >= 0 and one["x"] + one["width"] <= panel.width for one in rects)
    assert sum("marker-end" in line for line in panel.svg) == len(edges)


def test_there_and_back_are_two_arrows():
    graph = drawing.Graph(
        "t", {"a": ("a",), "b": ("b",)}, (drawing.Edge("a", "b"), drawing.Edge("b", "a", "<x/>"))
    )
    svg = "\n".join(drawing.drawn(graph).svg)
    down, up = re.findall(r'd="M([\d.]+),([\d.]+) .*? ([\d.]+),([\d.]+)"', svg)
    assert float(down[1]) < float(down[3])
    assert float(up[1]) > float(up[3])
    assert down[0] != up[0]
    assert "&lt;x/&gt;" in svg


def test_the_same_graph_is_drawn_the_same():
    assert drawing.drawn(architecture.rooms_graph()) == drawing.drawn(architecture.rooms_graph())


# -- the walk ----------------------------------------------------------------------------------------------------------


class Trace:
    """The functions of the package that are called, in their order."""

    def __init__(self):
        self.called = []
        self._before = None

    def __enter__(self):
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(self._before)

    def _note(self, frame, event, _argument):
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("e2eproxy."):
            self.called.append((module.removeprefix("e2eproxy."), frame.f_code.co_qualname))


def missing(steps, called):
    """The first of *steps* that does not come in *called* behind the ones before it; None if all do."""
    left = iter(called)
    return next((step for step in steps if (step.module, step.function) not in left), None)


SECRET = "wherefore art thou romeo"


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """What was called while Romeo's message went out, was acknowledged, and came in at Juliet's, by the walks' names."""
    world = World(ObjectMethod(), tmp_path_factory.mktemp("walk"))
    romeo, juliet = world.sides
    romeo.server.deliver(f"<presence from='{juliet.jid}'/>".encode())
    romeo.say(juliet.jid, "first", "c1")  # both have each other's keys from here on
    world.run()
    world.acknowledge(romeo)
    juliet.client.written.clear()
    with Trace() as out:
        romeo.say(juliet.jid, SECRET, "c2")
    assert b"<sealed" in romeo.server.written
    assert SECRET.encode() not in romeo.server.written
    with Trace() as came_in:
        world.route(romeo)
    assert SECRET.encode() in juliet.client.written
    with Trace() as acknowledged:
        world.acknowledge(romeo)
    return {"out": out.called, "in": came_in.called, "acknowledged": acknowledged.called}


@pytest.mark.parametrize("way", walk.WALKS, ids=lambda way: way.name)
def test_a_message_goes_the_way_of_the_page(walked, way):
    step = missing(way.steps, walked[way.name])
    assert step is None, f"{step.where} is not called there; see scripts/walk.py, and then {RUN}"


def test_a_walk_in_another_order_is_noticed():
    steps = [walk.Step("a", "one", ""), walk.Step("a", "two", "")]
    assert missing(steps, [("a", "one"), ("b", "x"), ("a", "two")]) is None
    assert missing(steps, [("a", "two"), ("a", "one")]) == steps[1]


@pytest.mark.parametrize("way", walk.WALKS, ids=lambda way: way.name)
def test_every_step_is_a_function_that_there_is(way):
    for step in way.steps:
        found = importlib.import_module(f"e2eproxy.{step.module}")
        for part in step.function.split("."):
            found = getattr(found, part)
        assert callable(found)
        assert step.says
