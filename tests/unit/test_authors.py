"""What was opened is marked if the key of whoever wrote it is not one that the user takes for the contact's (law 9)."""

from __future__ import annotations

import pytest
from bed.box_method import BoxMethod
from bed.guard_world import World
from bed.session_states import STATES

from e2eproxy.methods import effects as e
from e2eproxy.proxy.delivery import NOT_ACCEPTED, NOT_PROVED, NOT_VERIFIED, REFUSED
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.trust.values import Decision

IMPOSTOR = "it is I, believe me"


@pytest.fixture(params=[SessionMethod, ObjectMethod], ids=["session", "object"])
def world(request):
    return World(request.param())


def changed(world):
    """The contact has another key, and has written with it; the user's side."""
    STATES["key changed"](world)
    return world.sides[0]


def decide(side, contact, decision):
    """The user decides about the newest key of *contact*."""
    cabinet = side.desk.cabinet
    cabinet.decide(contact, cabinet.keys(contact)[-1].fingerprint, decision)


def test_the_first_key_of_a_contact_needs_no_mark(world):
    STATES["live"](world)
    assert world.sides[0].texts[0] == "good cousin"


def test_another_key_is_marked_until_it_is_accepted(world):
    romeo = changed(world)
    juliet = world.sides[1]
    assert romeo.texts[-1] == NOT_ACCEPTED + IMPOSTOR
    decide(romeo, juliet.jid, Decision.ACCEPTED)
    juliet.say(romeo.jid, "and now", "j2")
    assert romeo.texts[-1] == "and now"


def test_a_refused_key_is_marked_as_such(world):
    romeo = changed(world)
    juliet = world.sides[1]
    decide(romeo, juliet.jid, Decision.DISTRUSTED)
    juliet.say(romeo.jid, "still I", "j2")
    assert romeo.texts[-1] == REFUSED + "still I"


def test_where_only_verified_keys_are_trusted_others_are_marked(world):
    STATES["live"](world)
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] |= {"whom": "verified"}
    juliet.say(romeo.jid, "know me", "j2")
    assert romeo.texts[-1] == NOT_VERIFIED + "know me"
    decide(romeo, juliet.jid, Decision.VERIFIED)
    juliet.say(romeo.jid, "know me now", "j3")
    assert romeo.texts[-1] == "know me now"


def test_blind_trust_marks_nothing(world):
    world.sides[0].rules.rows["default", ""] |= {"whom": "blind"}
    assert changed(world).texts[-1] == IMPOSTOR


def test_what_nobody_signed_is_marked(monkeypatch):
    world = World(BoxMethod())
    monkeypatch.setattr("bed.box_method.PROTECTION", e.Protection(key=None))
    for side in world.sides:
        side.rules.rows["default", ""] |= {"methods": "box"}
    STATES["able"](world)
    romeo, juliet = world.sides
    juliet.say(romeo.jid, "guess who", "j1")
    assert romeo.texts[-1] == NOT_PROVED + "guess who"


def test_every_rendering_of_the_text_is_marked_or_left_out(world):
    """XHTML-IM, for one, would show the text without the mark."""
    romeo = changed(world)
    juliet = world.sides[1]
    html = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>unmarked</body></html>"
    juliet.write(
        f"<message to='{romeo.jid}' type='chat' id='j3'><body>a</body><body xml:lang='de'>b</body>{html}</message>".encode()
    )
    shown = romeo.read()[-1]
    assert b"unmarked" not in shown.raw
    bodies = [child.text for child in shown.children if child.local_name == "body"]
    assert bodies
    assert all(one.startswith(NOT_ACCEPTED) for one in bodies)
