"""Verification by what a method has: the faces lead through it, and the engine is told in the same words for all methods."""

from __future__ import annotations

import pytest
from attrs import evolve
from bed.guard_world import World
from bed.requests import DATA, execute, field_names, filled, result_text

from e2eproxy.control.verification import VERBS
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.testing.session_method import TRAITS, SessionEngine, SessionMethod


class Verifying(SessionMethod):
    """The reference method, with every way there is; it says what it heard."""

    traits = evolve(TRAITS, commands=tuple((verb, "") for verb in ("start", *dict.fromkeys(VERBS.values()))))

    def __init__(self):
        self.heard = []

    def engine(self, context):
        return _Engine(context, self.heard)


class _Engine(SessionEngine):
    def __init__(self, context, heard):
        super().__init__(context)
        self._heard = heard

    def handle(self, event):
        if isinstance(event, events.Command):
            self._heard.append((event.verb, event.arguments, str(event.peer)))
            return (e.Tell(contact=event.peer.bare, text="It is under way."),)
        return super().handle(event)


@pytest.fixture
def method():
    return Verifying()


@pytest.fixture
def romeo(method):
    world = World(method)
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark")
    return romeo


SAID = [
    ("secret our  word", ("verify", ("our  word", ""))),
    ("question Where? at the ball", ("verify", ("at the ball", "Where?"))),
    ("answer at the ball", ("answer", ("at the ball",))),
    ("code", ("code", ())),
    ("same", ("confirm", ("yes",))),
    ("different", ("confirm", ("no",))),
]


@pytest.mark.parametrize(("line", "heard"), SAID)
def test_what_the_engine_is_told(romeo, method, line, heard):
    juliet = romeo.world.sides[1]
    romeo.say(juliet.jid.bare, f"/e2e verify {line}")
    assert method.heard == [(*heard, str(juliet.jid))]
    assert f"{juliet.jid.bare}: It is under way." in romeo.notices
    assert "a notice says what comes of it" in romeo.notices[-1]
    assert not any("our  word" in notice or "at the ball" in notice for notice in romeo.notices)


def test_all_ways_are_offered(romeo):
    romeo.say(romeo.world.sides[1].jid.bare, "/e2e verify")
    for way in ("fingerprint", *VERBS):
        assert f"verify {way}: " in romeo.notices[-1]


@pytest.mark.parametrize(
    ("way", "asked", "heard"),
    [
        ("secret", ["secret"], ("verify", ("x y", ""))),
        ("question", ["question", "secret"], ("verify", ("x y", "Where?"))),
        ("answer", ["secret"], ("answer", ("x y",))),
    ],
)
def test_a_form_asks_for_what_the_way_needs(romeo, method, way, asked, heard):
    juliet = romeo.world.sides[1]
    session = execute(romeo, "verify").get("sessionid")
    second = execute(romeo, "verify", session, filled(contact=juliet.jid.bare, way=way))
    assert field_names(second) == asked
    kinds = {one.get("var"): one.get("type") for one in second.iter(f"{{{DATA}}}field")}
    assert kinds["secret"] == "text-private"
    given = {"secret": "x y", "question": "Where?"}
    done = execute(romeo, "verify", session, filled(**{name: given[name] for name in asked}))
    assert "is at work" in result_text(done)
    assert method.heard == [(*heard, str(juliet.jid))]


def test_a_secret_that_is_missing_is_asked_for_again(romeo, method):
    romeo.say(romeo.world.sides[1].jid.bare, "/e2e verify question Where?")
    assert "only you two know" in romeo.notices[-1]
    assert method.heard == []
