"""What has become too large for servers by being encrypted comes back, and nothing of it has left (law 4)."""

from __future__ import annotations

import pytest
from attrs import evolve
from bed.box_method import NAMESPACE, BoxEngine, BoxMethod
from bed.guard_world import World

from e2eproxy.methods import effects as e
from e2eproxy.proxy.outer import MOST_BYTES
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.xmpp.stanza import element

#: Fits as it is, and no more once it is base64.
LONG = "x" * (MOST_BYTES * 4 // 5)


class PartsEngine(BoxEngine):
    """It sends each stanza in two: a small part, and the rest."""

    def _outbound(self, event):
        learn, send = super()._outbound(event)
        return (learn, evolve(send, payload=element("box", {"xmlns": NAMESPACE}, b"AAAA")), send)


class TunnelEngine(BoxEngine):
    """A request carries the stanza."""

    def _outbound(self, event):
        learn, send = super()._outbound(event)
        return (learn, e.Ask(token="t", to=send.to, payload=send.payload, ref=event.ref, keys=send.keys))


class OneMethod(BoxMethod):
    def __init__(self, kind):
        self.kind = kind

    def engine(self, context):
        return self.kind(context)


def came_back(side, number):
    (error,) = side.errors
    assert error.id == number
    assert b"<policy-violation" in error.raw
    assert f"servers take at most {MOST_BYTES}".encode() in error.raw


def test_a_text_that_is_too_large_once_encrypted_comes_back_and_the_next_one_goes():
    world = World(SessionMethod(), manages=True)
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "good morrow", "c1")
    romeo.say(juliet.jid, LONG, "c2")
    came_back(romeo, "c2")
    romeo.say(juliet.jid, "good night", "c3")
    assert juliet.texts == ["good morrow", "good night"]
    assert max(map(len, romeo.seen)) <= MOST_BYTES
    world.wait(5)
    with romeo.disk.transaction() as work:
        account = str(romeo.jid.bare)
        assert (work.held.all(account), work.sent.unacknowledged(account)) == ((), ())


@pytest.mark.parametrize("engine", [BoxEngine, PartsEngine, TunnelEngine])
@pytest.mark.parametrize("held", [False, True])
def test_nothing_of_it_leaves_however_it_is_carried(engine, held):
    world = World(OneMethod(engine))
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "box"}
    if not held:
        romeo.knows(juliet)
    romeo.say(juliet.jid, LONG, "c2")
    if held:
        assert not romeo.errors
        romeo.knows(juliet)
        world.wait(3)
    came_back(romeo, "c2")
    assert not any(NAMESPACE.encode() + b"'>" in raw for raw in romeo.seen)
    assert juliet.texts == []
    assert not romeo.bugs


@pytest.mark.parametrize("engine", [BoxEngine, PartsEngine, TunnelEngine])
def test_what_is_just_small_enough_leaves(engine):
    world = World(OneMethod(engine))
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "box"}
    romeo.knows(juliet)
    romeo.say(juliet.jid, "x" * (MOST_BYTES * 7 // 10), "c2")
    assert not [error for error in romeo.errors if error.id == "c2"]
    assert max(len(raw) for raw in romeo.seen if NAMESPACE.encode() in raw) > MOST_BYTES * 9 // 10
