"""Two clients without encryption, each behind a guard, and a server between them that sees everything."""

from __future__ import annotations

import pytest
from attrs import evolve
from bed.guard_world import JULIET, ROMEO, SECRET, World
from bed.memory_session import DOMAIN

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import DOOR_VERSION, Recognition
from e2eproxy.methods.traits import Wire
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import FEATURE, SessionMethod
from e2eproxy.xmpp.stanza import Stanza


@pytest.fixture
def world():
    return World(SessionMethod())


def test_a_session_begins_by_itself_and_the_server_sees_nothing(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    juliet.knows(romeo)
    juliet.say(romeo.jid, "my only love")
    assert juliet.texts == [SECRET]
    assert romeo.texts[-1] == "my only love"
    assert SECRET.encode() not in b"".join(world.seen)
    assert not romeo.errors
    assert not romeo.bugs + juliet.bugs


def test_a_method_that_declines_inside_a_session_does_not_let_text_out_in_clear(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    juliet.server.deliver(f"<presence type='unavailable' from='{romeo.jid}'/>".encode())
    juliet.say(romeo.jid, "my only love", "c9")
    assert [error.id for error in juliet.errors] == ["c9"]
    assert b"my only love" not in b"".join(world.seen)


def test_whole_stanzas_are_sealed_to_published_keys():
    world = World(ObjectMethod())
    romeo, juliet = world.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.desk.features(other.jid, frozenset(ObjectMethod.traits.features))
    romeo.say(juliet.jid.bare)
    assert juliet.texts == [SECRET]
    assert SECRET.encode() not in b"".join(world.seen)
    assert juliet.read()[-1].id == "c1", "inside, the stanza keeps the client's id"


def test_order_is_kept_while_a_session_begins(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.client.deliver(
        b"".join(
            f"<message to='{juliet.jid}' type='chat' id='c{n}'><body>line {n}</body></message>".encode()
            for n in range(20)
        )
    )
    world.run()
    assert juliet.texts == [f"line {n}" for n in range(20)]


def test_under_require_nothing_leaves_in_clear_and_everything_comes_back(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    romeo.say(juliet.jid)
    romeo.write(f"<message to='{juliet.jid}' id='c2'><subject>{SECRET}</subject></message>".encode())
    assert not romeo.errors
    world.clock.advance(61)
    world.run()
    assert [error.id for error in romeo.errors] == ["c1", "c2"]
    assert all(error.from_ == str(juliet.jid) for error in romeo.errors)
    assert SECRET.encode() in romeo.errors[0].raw
    assert SECRET.encode() not in b"".join(world.seen)


def test_under_prefer_a_text_waits_two_seconds_once_and_then_leaves(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid)
    assert juliet.texts == []
    world.clock.advance(2)
    world.run()
    assert juliet.texts == [SECRET]
    romeo.say(juliet.jid, "again")
    assert juliet.texts[-1] == "again"


def test_an_unreadable_store_lets_nothing_out(world):
    romeo, juliet = world.sides
    romeo.rules.unreadable = True
    romeo.say(juliet.jid)
    romeo.write(f"<presence><status>{SECRET}</status></presence>".encode())
    assert len(romeo.errors) == 1
    assert SECRET.encode() not in b"".join(world.seen)


def test_nothing_is_seen_before_it_is_durable(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    keeper = romeo.pool
    keeper.waiting = []
    romeo.say(juliet.jid)
    before = len(world.seen)
    world.run()
    assert len(world.seen) == before, "something left before it was durable"
    romeo.say(juliet.jid, "second", "c2")
    for _ in range(50):
        if not keeper.waiting:
            break
        keeper.waiting.pop(0)()
        world.run()
    assert juliet.texts == [SECRET, "second"]
    assert len(world.seen) > before


def test_a_commit_that_fails_sends_nothing_and_tells_the_client(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.disk.broken = True
    romeo.say(juliet.jid)
    world.clock.advance(61)
    world.run()
    assert [error.id for error in romeo.errors] == ["c1"]
    assert SECRET not in juliet.texts
    assert SECRET.encode() not in b"".join(world.seen)


def test_plain_text_in_an_encrypted_conversation_is_marked(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    plain = f"<message from='{romeo.jid}' to='{juliet.jid}' type='chat'><body>trust me</body></message>"
    juliet.server.deliver(plain.encode())
    assert juliet.texts[-1] == "[not encrypted] trust me"


def test_what_cannot_be_opened_is_a_placeholder(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    sealed = [raw for raw in world.seen if b"<message" in raw][-1]
    damaged = Stanza.parse(sealed).with_attributes({"from": f"nobody@{DOMAIN}/x", "to": str(juliet.jid)})
    juliet.server.deliver(damaged)
    world.run()
    assert "could not be opened" in juliet.texts[-1]
    assert not juliet.bugs


def test_the_proxys_own_address_cannot_be_taken_and_never_leaves(world):
    romeo, juliet = world.sides
    for _ in range(5):
        juliet.server.deliver(b"<message from='e2eproxy.localhost'><body>all is well</body></message>")
    assert "all is well" not in "".join(juliet.texts + juliet.notices)
    assert len(juliet.notices) == 1
    before = len(world.seen)
    romeo.say("e2eproxy.localhost", "stautus")
    assert "no such command" in romeo.notices[-1]
    assert len(world.seen) == before


def test_a_forged_carbon_is_dropped(world):
    _, juliet = world.sides
    inner = f"<message xmlns='jabber:client' from='{ROMEO}' to='{JULIET}'><body>forged</body></message>"
    carbon = (
        f"<message from='evil@{DOMAIN}/x'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"{inner}</forwarded></received></message>"
    )
    juliet.server.deliver(carbon.encode())
    assert "forged" not in [stanza.tree.text for stanza in juliet.read()]
    assert all("forged</body>" not in stanza.raw.decode() for stanza in juliet.read())


def test_what_waits_when_the_stream_ends_comes_back_first(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    romeo.say(juliet.jid)
    romeo.server.deliver(b"</stream:stream>")
    raw = bytes(romeo.client.written)
    assert raw.endswith(b"</stream:stream>")
    assert [error.id for error in romeo.errors] == ["c1"]


def test_a_line_that_is_full_gives_back_the_next_one(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    for n in range(52):
        romeo.say(juliet.jid, f"line {n}", f"c{n}")
    assert [error.id for error in romeo.errors] == ["c50", "c51"]


def test_others_are_not_held_up(world):
    romeo, juliet = world.sides
    romeo.rules.rows["contact", str(juliet.jid.bare)] = {"when": "require", "methods": "reference-session"}
    romeo.rules.rows["default", ""] = {"when": "never", "methods": ""}
    romeo.say(juliet.jid)
    romeo.say(f"nurse@{DOMAIN}", "good morrow")
    assert b"good morrow" in b"".join(world.seen)
    assert SECRET.encode() not in b"".join(world.seen)


def test_two_who_write_at_once_find_out_about_each_other():
    """What each waits for is an answer of the other's client, which must not stand behind the text that waits for it."""
    world = World(SessionMethod())
    disco = "http://jabber.org/protocol/disco#info"
    for side in world.sides:
        side.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    romeo, juliet = world.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.server.deliver(f"<presence from='{other.jid}'/>".encode())
    world.run()
    romeo.client.deliver(f"<message to='{juliet.jid}' id='c1'><body>{SECRET}</body></message>".encode())
    juliet.client.deliver(f"<message to='{romeo.jid}' id='c2'><body>my only love</body></message>".encode())
    world.run()
    for side, other in ((romeo, juliet), (juliet, romeo)):
        (asked,) = [one for one in side.read() if one.kind == "iq" and one.type == "get"]
        query = f"<query xmlns='{disco}'><identity category='client' type='pc'/><feature var='{FEATURE}'/></query>"
        side.write(f"<iq type='result' to='{other.jid}' id='{asked.id}'>{query}</iq>".encode())
    world.run()
    assert SECRET in juliet.texts
    assert "my only love" in romeo.texts
    assert SECRET.encode() not in b"".join(world.seen)


class _Waiting:
    """A method whose messages wait until its contact has asked for something."""

    door_version = DOOR_VERSION
    traits = evolve(
        ObjectMethod.traits,
        wire=Wire(
            elements=frozenset({("urn:waits", "x")}),
            iq_elements=frozenset({("urn:waits", "asks")}),
            at_once=frozenset({("urn:waits", "asks")}),
        ),
    )

    def __init__(self):
        self.asked = False

    def engine(self, _context):
        return self

    def recognise(self, stanza):
        there = any("urn:waits" in child.name for child in stanza.children)
        return Recognition.COMPLETE if there else Recognition.NONE

    def handle(self, event):
        if not isinstance(event, events.Inbound):
            return ()
        if event.stanza.kind == "message":
            opened = e.Deliver(ref=event.ref, inside=e.Body("opened"), protection=e.Protection(key=None))
            return (opened,) if self.asked else (e.Hold(ref=event.ref, why="It waits."),)
        if event.stanza.type == "set":
            return (e.Hold(ref=event.ref, why="It wants to wait, too."),)
        self.asked = True
        answer = e.Emit(to=event.peer, payload=b"", kind="iq", type="result", id=event.stanza.id)
        return (e.Absorb(ref=event.ref, why="asked"), answer, e.Retry(contact=event.peer.bare))


def test_what_others_may_wait_for_does_not_stand_behind_what_waits():
    world = World(_Waiting(), theirs=())
    romeo, juliet = world.sides
    juliet.write(f"<message to='{romeo.jid}' type='chat'><x xmlns='urn:waits'/></message>".encode())
    juliet.write(f"<message to='{romeo.jid}' type='chat'><body>behind it</body></message>".encode())
    world.run()
    assert romeo.texts == []
    juliet.write(f"<iq type='get' id='q1' to='{romeo.jid}'><asks xmlns='urn:waits'/></iq>".encode())
    world.run()
    assert [(one.id, one.type) for one in juliet.read() if one.kind == "iq"] == [("q1", "result")]
    assert [one.removeprefix("[nothing proves who wrote this] ") for one in romeo.texts] == [
        "opened",
        "behind it",
    ]
    assert romeo.bugs == []


def test_what_others_may_wait_for_cannot_be_held_and_is_answered_all_the_same():
    world = World(_Waiting(), theirs=())
    romeo, juliet = world.sides
    juliet.write(f"<iq type='set' id='q1' to='{romeo.jid}'><asks xmlns='urn:waits'/></iq>".encode())
    world.run()
    assert [(one.id, one.type) for one in juliet.read() if one.kind == "iq"] == [("q1", "error")]
    juliet.write(f"<message to='{romeo.jid}' type='chat'><body>after it</body></message>".encode())
    world.run()
    assert romeo.texts == ["after it"]
