"""OTR in the pipeline: whom it answers, what leaves beside its texts, what is never processed, and what comes back."""

from __future__ import annotations

import pytest
from bed.guard_world import JULIET, ROMEO, ROOT, SECRET, World

from e2eproxy.methods.otr import forms
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.methods.otr.outgoing import SILENT
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

HINTS = "urn:xmpp:hints"
PRIVATE = "urn:xmpp:carbons:2" + names.SEPARATOR + "private"
EME = "urn:xmpp:eme:0" + names.SEPARATOR + "encryption"
BODY = names.CLIENT + names.SEPARATOR + "body"


@pytest.fixture(scope="module")
def method():
    return OtrMethod()


@pytest.fixture
def world(method):
    """Two friends who see each other, each behind a daemon."""
    world = World(method)
    one, other = world.sides
    for side, friend in ((one, other), (other, one)):
        side.rules.rows["default", ""] = {"when": "prefer", "methods": "otr"}
        side.is_friend_of(friend)
        side.knows(friend)
    return world


def sent(side):
    """The messages that the server got of *side*."""
    return [Stanza.parse(raw, ROOT) for raw in side.seen if raw.startswith(b"<message")]


def body(stanza):
    return stanza.child(BODY).node.text


def hints(stanza):
    return {
        child.name.partition(names.SEPARATOR)[2] for child in stanza.children if child.name.startswith(HINTS)
    }


def in_session(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid.bare, "/e2e start", "start")
    assert any("is encrypted (OTR version 3)" in one for one in romeo.notices), romeo.notices
    return romeo, juliet


def no_bugs(world):
    assert [bug for side in world.sides for bug in side.bugs] == []


def test_the_first_text_offers_a_session_and_the_next_are_encrypted(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid.bare, "good morrow")
    assert forms.TAG in body(sent(romeo)[0])
    assert juliet.texts == ["good morrow"], "the offer is taken out, and nothing had to be encrypted"
    romeo.say(juliet.jid.bare)
    juliet.say(romeo.jid.bare, "my only love")
    assert (juliet.texts[1:], romeo.texts) == ([SECRET], ["my only love"])
    assert not [raw for raw in world.seen if SECRET.encode() in raw or b"only love" in raw]
    no_bugs(world)


def test_what_leaves_is_not_copied_and_not_kept(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid.bare)
    assert juliet.texts == [SECRET]
    every, text = sent(romeo) + sent(juliet), sent(romeo)[-1]
    assert len(every) == 6, "a query, four steps of a handshake, and the text"
    for one in every:
        assert one.child(PRIVATE) is not None
        assert hints(one) >= {"no-copy", "no-permanent-store"}
        assert ("no-store" in hints(one)) is (one.raw != text.raw)
        is_query = body(one).startswith("?OTRv")
        assert (one.child(EME) is None) is is_query
    assert text.to == str(JULIET), "to the client that has the session"
    no_bugs(world)


@pytest.mark.parametrize("subscription", ["to", "none", None])
def test_who_does_not_get_our_presence_gets_no_answer(method, subscription):
    world = World(method)
    romeo, juliet = world.sides
    for side in world.sides:
        side.rules.rows["default", ""] = {"when": "prefer", "methods": "otr"}
    if subscription:
        juliet.is_friend_of(romeo, subscription)
    juliet.knows(romeo)
    romeo.is_friend_of(juliet)
    romeo.say(juliet.jid, "/e2e start", "start")
    assert sent(juliet) == []
    assert [one for one in juliet.notices if "does not get your presence" in one]
    assert any(b"jabber:iq:roster" in raw for raw in juliet.seen), "who asked nobody so far asks now"
    juliet.say(romeo.jid, "/e2e start", "start")  # her word
    assert any("is encrypted" in one for one in juliet.notices)
    no_bugs(world)


def test_under_never_an_offer_is_not_answered(world):
    romeo, juliet = world.sides
    juliet.rules.rows["default", ""] = {"when": "never", "methods": "otr"}
    romeo.say(juliet.jid, "/e2e start", "start")
    assert sent(juliet) == []
    no_bugs(world)


@pytest.mark.parametrize(
    "beside",
    [
        "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>",
        "<delay xmlns='urn:xmpp:delay' stamp='yesterday'/>",
        "<delay xmlns='urn:xmpp:delay'/>",
        "<x xmlns='jabber:x:delay' stamp='20260101T00:00:00'/>",
    ],
)
def test_what_was_kept_is_never_answered(world, beside):
    _, juliet = world.sides
    before = len(sent(juliet))
    deliver(juliet, "?OTRv23?", beside)
    assert len(sent(juliet)) == before
    deliver(juliet, "?OTRv23?")
    assert len(sent(juliet)) > before


def deliver(side, text, beside="", *, sender=ROMEO, kind="chat", to=None):
    side.server.deliver(
        f"<message from='{sender}' to='{to or side.jid}' type='{kind}'><body>{text}</body>{beside}</message>".encode()
    )
    side.world.run()


def test_carbons_are_never_answered(world):
    _, juliet = world.sides
    inner = f"<message xmlns='jabber:client' from='{ROMEO}' to='{JULIET.bare}/phone' type='chat'><body>?OTRv23?</body></message>"
    juliet.server.deliver(
        f"<message from='{JULIET.bare}' to='{JULIET}'><received xmlns='urn:xmpp:carbons:2'>"
        f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></received></message>".encode()
    )
    world.run()
    assert sent(juliet) == []


def test_what_is_for_another_resource_is_not_answered(world):
    _, juliet = world.sides
    deliver(juliet, "?OTRv23?", to=f"{JULIET.bare}/phone")
    deliver(juliet, "hi" + forms.tag_text(frozenset({2, 3})), to=f"{JULIET.bare}/phone")
    assert sent(juliet) == []
    assert juliet.texts == ["hi"]


def test_in_rooms_nothing_is_answered(world):
    _, juliet = world.sides
    nick = JID.parse("garden@rooms.example.test/romeo")
    juliet.write(
        f"<presence to='{nick.bare}/me'><x xmlns='http://jabber.org/protocol/muc'/></presence>".encode()
    )
    juliet.server.deliver(f"<presence from='{nick}'/>".encode())
    deliver(juliet, "?OTRv23?", sender=nick)
    deliver(juliet, "?OTR is talked about", sender=nick, kind="groupchat")
    deliver(juliet, "?OTRv23?", sender=nick, kind="groupchat")
    assert [one for one in sent(juliet) if one.child(BODY)] == []
    assert juliet.texts == ["?OTR is talked about", "?OTRv23?"]
    juliet.say(nick, "psst")
    assert body(sent(juliet)[-1]) == "psst", "without an offer"


def test_what_the_contact_has_ended_stays_unsent(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid.bare)
    juliet.say(romeo.jid.bare, "/e2e end", "end")
    assert any(
        one.startswith(f"{JULIET.bare}: The contact ended the encrypted session.") for one in romeo.notices
    )
    romeo.say(juliet.jid.bare, "and this", "c7")
    assert [one.id for one in romeo.errors] == ["c7"]
    assert not [raw for raw in world.seen if b"and this" in raw]
    romeo.say(juliet.jid.bare, "/e2e start", "again")
    romeo.say(juliet.jid.bare, "and that")
    assert juliet.texts[-1] == "and that"
    no_bugs(world)


def test_a_restart_in_the_middle_heals_and_the_text_is_sent_again(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid.bare, "one")
    juliet.start()
    juliet.log_in()
    juliet.read()
    juliet.is_friend_of(romeo)
    juliet.knows(romeo)
    world.wait(61)
    romeo.say(juliet.jid.bare, "two", "c2")
    assert juliet.texts[-1] == "[resent] two"
    assert "could not be opened" in juliet.texts[-2]
    romeo.say(juliet.jid.bare, "three")
    assert juliet.texts[-1] == "three"
    assert romeo.errors == []
    assert not [raw for raw in world.seen if b"two" in raw]
    no_bugs(world)


def test_what_was_encrypted_is_not_sent_again_in_clear(world):
    romeo, juliet = in_session(world)
    world.deaf.add(juliet.jid.bare)
    romeo.say(juliet.jid.bare, "two", "c2")
    romeo.rules.rows["default", ""] = {"when": "never", "methods": "otr"}
    lane = romeo.desk.lanes["otr"]
    out = romeo.guards._guards[ROMEO]._out
    ((_, item),) = out._lately._last.values()
    out.repeat(item.ref, lane)
    world.run()
    assert [one.id for one in romeo.errors] == ["c2"]
    out.repeat(item.ref, lane)
    assert len(romeo.errors) == 1, "once"
    assert not [raw for raw in world.seen if b"two" in raw]


def test_a_contact_whose_presence_is_not_seen_is_asked_after_a_silence(world):
    romeo, juliet = in_session(world)
    romeo.desk.lanes["otr"].harness.engine.account.here.clear()
    romeo.say(juliet.jid.bare, "one")
    world.wait(SILENT + 1)
    before = len(sent(romeo))
    romeo.say(juliet.jid.bare, "two")
    assert body(sent(romeo)[before]).startswith("?OTRv23?")
    assert juliet.texts == ["one", "two"], "she is there, and has answered"
    world.wait(SILENT + 1)
    world.deaf.add(juliet.jid.bare)
    romeo.say(juliet.jid.bare, "three", "c3")
    assert romeo.errors == []
    world.wait(61)
    assert [one.id for one in romeo.errors] == ["c3"]
    assert any("has been silent" in one for one in romeo.notices)
    assert not [raw for raw in world.seen if b"three" in raw]
    no_bugs(world)


def test_a_stream_that_takes_the_address_ends_the_sessions_of_the_other(world):
    romeo, juliet = in_session(world)
    old = romeo.server
    romeo.log_in()  # the same resource: the server has put the first stream out
    romeo.is_friend_of(juliet)
    romeo.knows(juliet)
    assert romeo.desk.sessions() == []
    romeo.say(juliet.jid.bare, "/e2e start", "start")
    assert romeo.desk.sessions() != []
    old.hang_up()
    world.run()
    assert romeo.desk.sessions() != [], (
        "the end of the first stream is not the end of the second one's sessions"
    )
    romeo.say(juliet.jid.bare)
    assert juliet.texts == [SECRET]
    no_bugs(world)


def test_whether_a_contact_writes_html_can_be_said(world):
    romeo, juliet = in_session(world)
    juliet.say(romeo.jid.bare, "&lt;b&gt;hark&lt;/b&gt;")
    assert romeo.texts == ["hark"], "as it seems to be"
    romeo.say(juliet.jid.bare, "/e2e policy otr-html no", "policy")
    juliet.say(romeo.jid.bare, "&lt;b&gt;hark&lt;/b&gt;")
    assert romeo.texts[-1] == "<b>hark</b>"
    no_bugs(world)


# -- stanzas that OTR need not be asked about ---------------------------------------------------------------------------


@pytest.fixture
def counted(world, monkeypatch):
    """Romeo and Juliet, who have no session; what comes to Romeo's engine is counted."""
    romeo, juliet = world.sides
    juliet.rules.rows["default", ""] = {"when": "never", "methods": "otr"}
    (lane,) = romeo.desk.lanes.values()
    events = []
    handle = lane.harness.handle
    monkeypatch.setattr(lane.harness, "handle", lambda event: (events.append(event), handle(event))[1])
    romeo.say(juliet.jid, "one")
    romeo.say(juliet.jid, "two")
    assert forms.TAG in body(sent(romeo)[0])
    assert body(sent(romeo)[1]) == "two"
    assert len(events) == 2
    return romeo, juliet, events


def test_who_was_offered_a_session_and_does_not_answer_is_written_to_without_asking(counted):
    romeo, juliet, events = counted
    for number in range(5):
        romeo.say(juliet.jid, f"plain {number}")
        juliet.say(romeo.jid, f"yes {number}")
    assert juliet.texts[2:] == [f"plain {number}" for number in range(5)]
    assert romeo.texts == [f"yes {number}" for number in range(5)]
    assert len(events) == 2, "nothing more came to the engine"
    romeo.say(juliet.jid.bare, "to another address")
    assert len(events) == 3


def test_whatever_comes_to_the_engine_has_it_asked_again(counted):
    romeo, juliet, events = counted
    romeo.knows(juliet)
    before = len(events)
    romeo.say(juliet.jid, "three")
    assert len(events) == before + 1


@pytest.mark.parametrize(
    "written", ["?OTRv3?", " ?OTRv3?", "?O<x/>TRv3?", "&#63;OTRv3?", "<![CDATA[?OTRv3?]]>"]
)
def test_an_offer_is_seen_however_it_is_written(counted, written):
    romeo, juliet, events = counted
    before = len(events)
    raw = f"<message from='{juliet.jid}' to='{romeo.jid}' type='chat'><body>{written}</body></message>"
    romeo.server.deliver(raw.encode())
    assert len(events) == before + 1


def test_an_offer_in_white_space_is_seen(counted):
    romeo, juliet, events = counted
    before = len(events)
    text = "hark" + forms.tag_text(frozenset({3}))
    raw = f"<message from='{juliet.jid}' to='{romeo.jid}' type='chat'><body>{text}</body></message>"
    romeo.server.deliver(raw.encode())
    assert len(events) == before + 1
    assert romeo.texts == ["hark"]


def test_the_users_word_and_his_settings_hold_at_once(counted):
    romeo, juliet, _ = counted
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "otr"}
    romeo.say(juliet.jid, SECRET)
    romeo.rules.rows["default", ""] = {"when": "prefer", "methods": "otr"}
    romeo.say(juliet.jid, "/e2e start", "s")
    romeo.say(juliet.jid, SECRET)
    assert not [raw for raw in romeo.seen if SECRET.encode() in raw]


def test_with_a_session_nothing_passes_unasked(world):
    romeo, juliet = in_session(world)
    for _ in range(3):
        romeo.say(juliet.jid)
        juliet.say(romeo.jid)
    assert not [raw for raw in world.seen if SECRET.encode() in raw]
    assert (romeo.texts, juliet.texts) == ([SECRET] * 3, [SECRET] * 3)
