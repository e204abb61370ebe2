"""What a placeholder promises holds: the original is kept before it is named, and one that could not be kept is not named."""

from __future__ import annotations

import re

import pytest
from bed.box_method import NAMESPACE, BoxEngine, BoxMethod
from bed.guard_world import PROXY, SECRET, World

from e2eproxy.methods import effects as e
from e2eproxy.testing.session_method import SessionMethod

NOT_KEPT = "The original could not be kept."


def in_session():
    """Juliet's store does its work when it is told to, and Romeo has written to her."""
    world = World(SessionMethod())
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "good morrow", "c0")
    assert juliet.texts == ["good morrow"]
    juliet.pool.waiting = []
    romeo.say(juliet.jid, SECRET, "c1")
    return juliet


def store_works(side, fails):
    """Let the store do all that waits; it fails as often as *fails* says, True: for good."""
    side.disk.broken = fails
    while side.pool.waiting:
        side.pool.waiting.pop(0)()
    side.disk.broken = False
    side.pool.waiting = None


def promised(side):
    """The reference in the last placeholder, None if it names none."""
    found = re.search(r"/e2e show (\S+) ", side.texts[-1])
    return found and found[1]


def shows(side, reference):
    side.say(PROXY, f"/e2e show {reference}", "s1")
    return side.notices[-1]


def test_the_original_of_what_could_not_be_stored_is_kept():
    juliet = in_session()
    store_works(juliet, fails=1)
    assert "could not be opened: The store could not be written to." in juliet.texts[-1]
    assert "As it came from romeo@" in shows(juliet, promised(juliet))


def test_a_store_that_fails_for_good_makes_no_promise():
    juliet = in_session()
    store_works(juliet, fails=True)
    assert "could not be opened: The store could not be written to." in juliet.texts[-1]
    assert NOT_KEPT in juliet.texts[-1]
    assert promised(juliet) is None
    assert SECRET not in "".join(juliet.texts)


class WrongEngine(BoxEngine):
    """What it opens is no stanza."""

    def _inbound(self, event):
        return tuple(
            e.Deliver(ref=one.ref, inside=e.Whole(b"<oops"), protection=one.protection)
            if isinstance(one, e.Deliver)
            else one
            for one in super()._inbound(event)
        )


class HoldingEngine(BoxEngine):
    """It waits for something that never comes."""

    def _inbound(self, event):
        return (e.Hold(ref=event.ref, why="a key is asked for"),)


class OneMethod(BoxMethod):
    def __init__(self, kind):
        self.kind = kind

    def engine(self, context):
        return self.kind(context)


def box_comes(kind, number=1):
    world = World(OneMethod(kind))
    romeo, juliet = world.sides
    box = f"<box xmlns='{NAMESPACE}'>{'A' * 64}</box>"
    for one in range(number):
        juliet.server.deliver(
            f"<message from='{romeo.jid}' to='{juliet.jid}' id='b{one}'>{box}</message>".encode()
        )
    world.run()
    return world, juliet


def test_the_original_of_what_was_opened_and_cannot_be_read_is_kept():
    _, juliet = box_comes(WrongEngine)
    assert "could not be opened" in juliet.texts[-1]
    assert NAMESPACE in shows(juliet, promised(juliet))


@pytest.mark.parametrize("broken", [False, True])
def test_what_waited_too_long_is_named_if_it_is_kept(broken):
    world, juliet = box_comes(HoldingEngine)
    assert juliet.texts == []
    juliet.disk.broken = broken
    world.wait(61)
    assert "did not come in time" in juliet.texts[-1]
    juliet.disk.broken = False
    if broken:
        assert promised(juliet) is None
        assert NOT_KEPT in juliet.texts[-1]
    else:
        assert NAMESPACE in shows(juliet, promised(juliet))


@pytest.mark.parametrize("broken", [False, True])
def test_what_has_no_room_is_named_if_it_is_kept(broken):
    world = World(OneMethod(HoldingEngine))
    romeo, juliet = world.sides
    juliet.disk.broken = broken
    box = f"<box xmlns='{NAMESPACE}'>{'A' * 64}</box>"
    for one in range(52):
        juliet.server.deliver(
            f"<message from='{romeo.jid}' to='{juliet.jid}' id='b{one}'>{box}</message>".encode()
        )
    world.run()
    assert len(juliet.texts) == 2
    juliet.disk.broken = False
    assert (promised(juliet) is None) == broken
    if not broken:
        assert NAMESPACE in shows(juliet, promised(juliet))
