"""The states a conversation can be in when a client writes: each a short story that ends where the writing begins.

Each is told for OTR and for both reference methods, the one with sessions and the one that looks keys up; what has no
counterpart there is the nearest thing that can happen.
"""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

import gmpy2

from bed.box_method import BoxMethod
from bed.guard_world import JULIET, World
from e2eproxy.methods.otr import identity
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.testing.canary import Canary
from e2eproxy.testing.object_method import FRESH, ObjectMethod
from e2eproxy.testing.session_method import SessionMethod

CANARY = Canary("Zeisig7Quendel4Fjord")
METHODS = {"session": SessionMethod, "object": ObjectMethod, "box": BoxMethod, "otr": OtrMethod}
# Everybody makes the same keys in each world, and most of what that takes is to find out which numbers are prime.
_known = cache(gmpy2.is_prime)
#: Messages to a room are under the room's rule only while the client is in it.
JOIN = (
    b"<presence to='garden@rooms.example.test/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
)
REQUIRE = {"when": "require"}
PREFER = {"when": "prefer"}

#: How policy is set in a test, by name: rows of (scope, key) and their settings.
POLICIES = {
    "require": {("default", ""): REQUIRE},
    "require for the contact": {("default", ""): PREFER, ("contact", str(JULIET.bare)): REQUIRE},
    "prefer, sticky": {("default", ""): PREFER},
}


def _none(world):
    """The contact's client can do nothing of it."""
    romeo, juliet = world.sides
    romeo.knows(juliet)


def _undiscovered(_world):
    """Nobody knows yet what the contact's client can do."""


def _able(world):
    """The contact could, and nothing was written yet."""
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)


def _negotiating(world):
    """A session or a key was asked for, and there is no answer."""
    romeo, juliet = world.sides
    romeo.knows(juliet)
    world.deaf.add(juliet.jid.bare)
    romeo.command(juliet, "start")
    romeo.say(juliet.jid, "is anybody there", "c0")


def _live(world):
    """Both have written, and read; last, the contact wrote the canary."""
    romeo, juliet = world.sides
    _able(world)
    romeo.command(juliet, "start")
    romeo.say(juliet.jid, "good morrow", "c0")
    juliet.say(romeo.jid, "good cousin", "j0")
    romeo.say(juliet.jid, "is the day so young", "c00")
    juliet.say(romeo.jid, CANARY.token, CANARY.token)
    assert juliet.texts[-1] == "is the day so young"
    assert romeo.texts[-2:] == ["good cousin", CANARY.token]
    assert not CANARY.places(world.seen), "it is not live"
    world.opened = romeo.read()[-1]
    world.opened_request = _opened_request(world)


def _opened_request(world):
    """A request of the contact's with the canary in it, as the client was shown it; None if it came to none."""
    romeo, juliet = world.sides
    request = f"<iq to='{romeo.jid}' type='get' id='{CANARY.token}'><query xmlns='urn:x'>{CANARY.token}</query></iq>"
    if "iq" in juliet.methods[0].traits.kinds:
        juliet.write(request.encode())
        return romeo.read()[-1]
    return None


def _finished(world):
    """The contact has ended the session, or withdrawn the keys."""
    romeo, juliet = world.sides
    _live(world)
    juliet.command(romeo, "end")
    if world.published:
        world.published[juliet.jid.bare] = b""
        world.wait(FRESH + 1)


def _ended(world):
    """The user has ended the session."""
    romeo, juliet = world.sides
    _live(world)
    romeo.command(juliet, "end")


def _reconnected(world):
    """The user's stream was lost and is there again; the contact was not seen yet."""
    romeo, _ = world.sides
    _live(world)
    romeo.end_stream()
    romeo.log_in()
    world.run()


def _reconnected_and_seen(world):
    romeo, juliet = world.sides
    _reconnected(world)
    romeo.knows(juliet)


def _restarted(world):
    """The daemon was killed and is there again, with what was stored; the contact was not seen yet."""
    romeo, _ = world.sides
    _live(world)
    romeo.start()
    romeo.log_in()
    world.run()


def _restarted_and_seen(world):
    romeo, juliet = world.sides
    _restarted(world)
    romeo.knows(juliet)


def _key_changed(world):
    """The contact has another key, and has written with it."""
    romeo, juliet = world.sides
    _live(world)
    juliet.disk = type(juliet.disk)()
    world.published.pop(juliet.jid.bare, None)
    juliet.start()
    juliet.log_in()
    world.run()
    world.wait(FRESH + 1)
    romeo.knows(juliet)
    juliet.knows(romeo)
    juliet.command(romeo, "start")
    juliet.say(romeo.jid, "it is I, believe me", "j1")


def _unreadable(world):
    """The store cannot be read any more."""
    _live(world)
    world.sides[0].rules.unreadable = True


STATES = {
    "none": _none,
    "undiscovered": _undiscovered,
    "able": _able,
    "negotiating": _negotiating,
    "live": _live,
    "finished": _finished,
    "ended": _ended,
    "reconnected": _reconnected,
    "reconnected and seen": _reconnected_and_seen,
    "restarted": _restarted,
    "restarted and seen": _restarted_and_seen,
    "key changed": _key_changed,
    "unreadable": _unreadable,
}
#: States in which something of the contact's has been opened before, and which stay what they are for a while.
AFTER_OPENING = frozenset(STATES) - {"none", "undiscovered", "able", "negotiating"}


@patch.object(identity, "is_prime", lambda number, *_: _known(number))
def told(group, *, twin=None, manages=False):
    """A world of *group*'s method, under its policy, in its state; *manages*: its server has stream management."""
    made = METHODS[group.method]()
    world = World(made, theirs=() if group.state == "none" else None, twin=twin, manages=manages)
    romeo, juliet = world.sides
    juliet.rules.rows["default", ""] = PREFER | {"methods": made.traits.name}
    for where, settings in POLICIES[group.policy].items():
        romeo.rules.rows[where] = settings | {"methods": made.traits.name}
    if group.method == "otr":  # it answers nobody else
        romeo.is_friend_of(juliet)
        juliet.is_friend_of(romeo)
    romeo.write(JOIN)
    STATES[group.state](world)
    if group.policy == "prefer, sticky" and not romeo.is_sticky(juliet.jid):
        # A method that proves nothing, or nothing that was proved: then it is the user's word.
        romeo.requires(juliet.jid)
    return world
