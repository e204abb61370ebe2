"""A text that waits is told of, once, and so is that it left after all; whoever waits a moment hears nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bed.guard_world import World
from bed.session_states import METHODS, REQUIRE
from twisted.internet.task import Clock

from e2eproxy.proxy.holding import Lines
from e2eproxy.proxy.patience import NOTICE_SECONDS, Patience
from e2eproxy.proxy.tally import Fate
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

SOON, LATE = NOTICE_SECONDS - 1, NOTICE_SECONDS + 1


@pytest.fixture
def world():
    world = World(METHODS["session"]())
    world.sides[0].rules.rows["default", ""] |= REQUIRE
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    return world


def waits(side):
    return [one for one in side.notices if "waits" in one]


def left(side):
    return [one for one in side.notices if "has left now" in one]


def unanswered(world):
    """Juliet does not answer the handshake."""
    romeo, juliet = world.sides
    world.deaf.add(juliet.jid.bare)
    romeo.say(juliet.jid, "art thou there", "c1")
    return romeo, juliet


def test_a_text_that_waits_is_told_of_once_with_the_reason(world):
    romeo, juliet = unanswered(world)
    world.wait(SOON)
    assert not waits(romeo)
    romeo.say(juliet.jid, "speak again", "c2")
    world.wait(LATE)
    (told,) = waits(romeo)
    assert str(juliet.jid.bare) in told
    assert "60 seconds" in told
    assert "art thou there" not in told
    world.wait(60)
    assert len(waits(romeo)) == 1
    assert not left(romeo)
    assert {one.id for one in romeo.errors} == {"c1", "c2"}


def test_a_text_that_left_after_all_is_told_of(world):
    romeo, juliet = world.sides
    world.hold_back = True
    romeo.say(juliet.jid, "art thou there", "c1")
    world.wait(LATE)
    assert waits(romeo)
    assert not left(romeo)
    world.hold_back = False
    world.wait(1)
    assert "art thou there" in juliet.texts
    assert len(left(romeo)) == 1


def test_what_leaves_in_a_moment_is_not_told_of(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid, "good morrow", "c1")
    world.wait(LATE)
    assert juliet.texts == ["good morrow"]
    assert not waits(romeo)
    assert not left(romeo)


def test_a_stream_that_ends_meanwhile_is_told_nothing(world):
    romeo, _ = unanswered(world)
    world.wait(SOON)
    romeo.end_stream()
    world.wait(LATE)
    assert not waits(romeo)


def test_a_line_has_one_timer_however_many_texts_wait_in_it():
    clock, told = Clock(), []
    patience = Patience(Lines(), clock.seconds, clock.callLater, lambda text, _: told.append(text))
    jid = JID.parse("juliet@example.test")
    said = Stanza.parse(b"<message xmlns='jabber:client'><body>hark</body></message>")
    items = [SimpleNamespace(ref=str(one), line=jid, contact=jid, stanza=said) for one in range(40)]
    for item in items:
        patience.begin(item)
        clock.advance(0.05)
        assert len(clock.getDelayedCalls()) == 1
    clock.advance(SOON)
    assert len(told) == 1
    patience.over(items[0], Fate.PROTECTED)
    clock.advance(2)
    # The next that has waited long enough is told of, as it always was.
    assert len([one for one in told if "waits" in one]) == 2
    for item in items[1:]:
        patience.over(item, Fate.PROTECTED)
    clock.advance(60)
    assert not clock.getDelayedCalls()
    assert len([one for one in told if "waits" in one]) == 2
