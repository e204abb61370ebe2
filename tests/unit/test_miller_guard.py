"""miller-e2e in the daemon's own pipeline: with its store, its lines and its door out, between two clients that know nothing of it."""

from __future__ import annotations

import pytest
from bed.guard_world import SECRET, World
from bed.miller_keys import method

from e2eproxy.methods import events
from e2eproxy.methods.miller.keys import NAME
from e2eproxy.methods.miller.method import TRAITS


@pytest.fixture
def world():
    found = World(method())
    romeo, juliet = found.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.rules.rows["default", ""] = {"when": "require", "methods": NAME}
        features = frozenset(TRAITS.features)
        side.desk.features(other.jid, features)
        side.desk.tell_all(events.PeerFeatures(own=side.jid, peer=other.jid, features=features))
        side.desk.tell_all(events.PeerPresence(own=side.jid, peer=other.jid, available=True))
    found.run()
    return found


def without_bugs(world):
    assert [bug for side in world.sides for bug in side.bugs] == []


def test_a_conversation(world):
    romeo, juliet = world.sides
    for number in range(3):
        romeo.say(juliet.jid.bare, f"{SECRET} {number}", f"r{number}")
        juliet.say(romeo.jid, f"my only love {number}", f"j{number}")
    world.run()
    assert juliet.texts == [f"{SECRET} {number}" for number in range(3)]
    assert romeo.texts == [f"my only love {number}" for number in range(3)]
    seen = b"".join(world.seen)
    assert SECRET.encode() not in seen
    assert b"my only love" not in seen
    assert juliet.desk.memory(romeo.jid.bare).sticky
    without_bugs(world)


def test_two_who_write_first_at_the_same_time(world):
    romeo, juliet = world.sides
    romeo.client.deliver(f"<message to='{juliet.jid}' id='c1'><body>{SECRET}</body></message>".encode())
    juliet.client.deliver(f"<message to='{romeo.jid}' id='c2'><body>my only love</body></message>".encode())
    world.run()
    assert (romeo.texts, juliet.texts) == (["my only love"], [SECRET])
    without_bugs(world)


def test_an_encrypted_request_arrives_and_its_answer_says_nothing_in_clear(world):
    romeo, juliet = world.sides
    romeo.write(f"<iq type='get' id='q1' to='{juliet.jid}'><query xmlns='urn:own:secret'/></iq>".encode())
    world.run()
    (asked,) = [one for one in juliet.read() if one.kind == "iq"]
    assert (asked.type, asked.id) == ("get", "q1")
    assert b"urn:own:secret" in asked.raw
    result = f"<iq type='result' id='q1' to='{romeo.jid}'><query xmlns='urn:own:secret'>42</query></iq>"
    juliet.write(result.encode())
    world.run()
    assert [one.type for one in romeo.read() if one.kind == "iq" and one.id == "q1"] == ["result"]
    assert b"urn:own:secret" not in b"".join(world.seen)
    without_bugs(world)


def test_a_daemon_that_is_started_anew_goes_on(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid, SECRET)
    world.run()
    romeo.start()
    romeo.log_in()
    world.run()
    features = frozenset(TRAITS.features)
    romeo.desk.features(juliet.jid, features)
    romeo.desk.tell_all(events.PeerFeatures(own=romeo.jid, peer=juliet.jid, features=features))
    romeo.say(juliet.jid, "once more", "c2")
    world.run()
    assert juliet.texts == [SECRET, "once more"]
    without_bugs(world)
