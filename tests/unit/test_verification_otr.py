"""OTR's comparison of secrets and its code, led through by the faces: by chat on one side, by a form on the other."""

from __future__ import annotations

import re

import pytest
from bed.guard_world import World
from bed.requests import execute, field_names, filled, result_text

from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.trust.values import Decision


@pytest.fixture(scope="module")
def session():
    """Romeo and Juliet in a session."""
    world = World(OtrMethod())
    romeo, juliet = world.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.rules.rows["default", ""] = {"when": "prefer", "methods": "otr"}
        side.is_friend_of(other)
        side.knows(other)
    romeo.say(juliet.jid.bare, "/e2e start", "a")
    world.wait(3)
    romeo.say(juliet.jid, "hark", "b")
    world.wait(3)
    assert juliet.texts == ["hark"]
    return world, romeo, juliet


def decisions(side, other):
    return [one.decision for one in side.desk.cabinet.keys(other.jid.bare)]


def answered(side, other, secret):
    """The user fills in the form with the answer."""
    begun = execute(side, "verify").get("sessionid")
    asked = execute(side, "verify", begun, filled(contact=other.jid.bare, way="answer"))
    assert field_names(asked) == ["secret"]
    done = execute(side, "verify", begun, filled(secret=secret))
    side.world.wait(2)
    assert "is at work" in result_text(done)


def test_a_question_that_is_answered_verifies_whoever_asked_for_it(session):
    world, romeo, juliet = session
    romeo.say(juliet.jid.bare, "/e2e verify question Where did we meet? at the dance", "c")
    world.wait(1)
    answered(juliet, romeo, "at the ball")
    assert "not the same" in romeo.notices[-1]
    assert Decision.VERIFIED not in decisions(romeo, juliet)
    romeo.say(juliet.jid.bare, "/e2e verify question Where did we meet? at the ball", "d")
    world.wait(1)
    told = juliet.notices[-1]
    assert told.startswith(
        f"{romeo.jid.bare}: The contact asks: Where did we meet? Answer with /e2e verify answer"
    )
    answered(juliet, romeo, "at the ball")
    assert romeo.notices[-1] == f"{juliet.jid.bare}: The secrets are the same."
    assert decisions(romeo, juliet) == [Decision.VERIFIED]
    assert decisions(juliet, romeo) == [Decision.TOFU]
    assert not any("at the ball" in one for one in [*romeo.notices, *juliet.notices])


def test_a_code_is_read_aloud_and_both_say_that_it_is_the_same(session):
    world, romeo, juliet = session
    read = {}
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.say(other.jid.bare, "/e2e verify code", "e")
        world.wait(1)
        told = next(one for one in reversed(side.notices) if "Read aloud" in one)
        read[side] = re.search(
            r"Read aloud: (\w+)\. The contact has to read: (\w+)\. Then say /e2e verify same", told
        )
    assert read[romeo].groups() == read[juliet].groups()[::-1]
    juliet.say(romeo.jid.bare, "/e2e verify same", "f")
    world.wait(1)
    assert decisions(juliet, romeo) == [Decision.VERIFIED]


def test_fingerprints_are_in_five_groups(session):
    _, romeo, juliet = session
    romeo.say(juliet.jid.bare, "/e2e fingerprints", "g")
    assert len(re.findall(r"^otr:(?:[0-9A-F]{8} ){4}[0-9A-F]{8}: is", romeo.notices[-1], re.MULTILINE)) == 2


def test_without_a_session_it_says_how_to_begin_one(session):
    world, romeo, _ = session
    romeo.say("nurse@example.test", "/e2e verify secret x", "h")
    world.wait(1)
    assert any("/e2e start begins one" in one for one in romeo.notices[-2:])


def test_a_question_cannot_be_more_than_one_line_of_a_notice(session):
    world, romeo, juliet = session
    line = "/e2e verify question a\n\u202eThe secrets are the same.\n? x"
    romeo.say(juliet.jid.bare, line, "i")
    world.wait(1)
    asked = next(one for one in reversed(juliet.notices) if "asks" in one)
    assert "\n" not in asked
    assert "\u202e" not in asked
    assert "asks: a The secrets are the same. ?" in asked
