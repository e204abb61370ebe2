"""miller-e2e in the daemon's own pipeline: with its store, its lines and its door out, between two clients that know nothing of it."""

from __future__ import annotations

import pytest
from bed.guard_world import ROOT, SECRET, World
from bed.miller_keys import method

from e2eproxy.methods import events
from e2eproxy.methods.miller import wire
from e2eproxy.methods.miller.keys import NAME
from e2eproxy.methods.miller.method import TRAITS
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.stanza import Stanza


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


def asked(world, kind="get"):
    """Romeo's request, as Juliet's client is shown it, and as the server sees it."""
    romeo, juliet = world.sides
    romeo.write(f"<iq type='{kind}' id='q1' to='{juliet.jid}'><query xmlns='urn:own:secret'/></iq>".encode())
    world.run()
    (request,) = [one for one in juliet.read() if one.kind == "iq"]
    assert (request.type, request.id) == (kind, "q1")
    assert b"urn:own:secret" in request.raw
    (outer,) = [
        one for one in map(parsed, romeo.seen) if one.kind == "iq" and one.child(wire.E2E) is not None
    ]
    return outer


def parsed(raw):
    return Stanza.parse(raw, ROOT)


def answers(world, outer):
    """What the server sees of what answers Romeo's request *outer*, and what his client is shown."""
    romeo, juliet = world.sides
    seen = [one for one in map(parsed, juliet.seen) if one.kind == "iq" and one.id == outer.id]
    return seen, [one for one in romeo.read() if one.kind == "iq"]


RESULT = "<iq type='result' id='q1' to='{}'><query xmlns='urn:own:secret'>42</query></iq>"
ERROR = (
    "<iq type='error' id='q1' to='{}'><query xmlns='urn:own:secret'/><error type='auth'>"
    "<forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>urn:own:secret</text></error></iq>"
)


@pytest.mark.parametrize("kind", ["get", "set"])
@pytest.mark.parametrize(("answer", "inner"), [(RESULT, "result"), (ERROR, "error")])
def test_the_answer_to_an_encrypted_request_is_encrypted_in_a_result_under_the_requests_id(
    world, kind, answer, inner
):
    romeo, juliet = world.sides
    outer = asked(world, kind)
    juliet.write(answer.format(romeo.jid).encode())
    world.run()
    (seen,), (shown,) = answers(world, outer)
    assert seen.type == "result"
    assert [child.name for child in seen.children] == [wire.E2E]
    assert (shown.type, shown.id, shown.from_) == (inner, "q1", str(juliet.jid))
    assert b"urn:own:secret" in shown.raw
    assert b"urn:own:secret" not in b"".join(world.seen)
    without_bugs(world)


@pytest.mark.parametrize("inner", ["result", "error"])
def test_an_answer_that_cannot_be_encrypted_any_more_says_nothing(world, inner):
    romeo, juliet = world.sides
    outer = asked(world)
    nothing = events.PeerFeatures(own=juliet.jid, peer=romeo.jid, features=frozenset())
    juliet.desk.tell_all(nothing)  # so the engine does not have it, whatever policy believes
    juliet.write((RESULT if inner == "result" else ERROR).format(romeo.jid).encode())
    world.run()
    (seen,), (shown,) = answers(world, outer)
    assert (seen.type, shown.type, shown.id) == (inner, inner, "q1")
    assert b"urn:own:secret" not in b"".join(world.seen)
    without_bugs(world)


def test_an_answer_that_cannot_be_opened_comes_back_as_an_error_of_the_request(world):
    romeo, juliet = world.sides
    outer = asked(world)
    (key,) = juliet.desk.cabinet.keys(romeo.jid.bare)
    juliet.desk.cabinet.decide(romeo.jid.bare, key.fingerprint, Decision.DISTRUSTED)
    world.run()
    juliet.write(RESULT.format(romeo.jid).encode())
    world.wait(61)
    shown = answers(world, outer)[1]
    (error,) = [one for one in shown if one.id == "q1"]
    assert (error.type, error.from_) == ("error", str(juliet.jid))
    assert b"could not be opened" in error.raw
    assert b"42" not in error.raw
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


def test_who_wrote_encrypted_is_answered_encrypted_before_it_is_known_what_he_announces():
    world = World(method())
    romeo, juliet = world.sides
    for side in world.sides:
        side.rules.rows["default", ""] = {"when": "require", "methods": NAME}
    romeo.knows(juliet)
    juliet.desk.tell_all(events.PeerPresence(own=juliet.jid, peer=romeo.jid, available=True))
    outer = asked(world)
    juliet.write(RESULT.format(romeo.jid).encode())
    world.run()
    (seen,), (shown,) = answers(world, outer)
    assert seen.child(wire.E2E) is not None
    assert b"42" in shown.raw
    without_bugs(world)


@pytest.mark.parametrize("refused", [False, True])
def test_a_contact_whose_key_is_accepted_is_written_to_while_he_is_away(world, refused):
    romeo, juliet = world.sides
    romeo.say(juliet.jid, "good morrow", "c1")
    juliet.say(romeo.jid, "good cousin", "c2")
    (key,) = romeo.desk.cabinet.keys(juliet.jid.bare)
    if refused:
        romeo.desk.cabinet.decide(juliet.jid.bare, key.fingerprint, Decision.DISTRUSTED)
    romeo.server.deliver(f"<presence type='unavailable' from='{juliet.jid}' to='{romeo.jid}'/>".encode())
    romeo.desk.gone(juliet.jid)
    romeo.seen.clear()
    romeo.say(juliet.jid.bare, SECRET, "c3")
    left = [one for one in map(parsed, romeo.seen) if one.kind == "message"]
    assert bool(left) is not refused
    assert all(one.child(wire.E2E) is not None for one in left)
    assert (SECRET in juliet.texts) is not refused
    without_bugs(world)
