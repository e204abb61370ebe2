"""What a guard keeps for later: what may not have arrived, what waits, under which ids, and what the user said."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bed.box_method import NAMESPACE, BoxMethod
from bed.guard_world import PROXY, SECRET, World, text
from sqlalchemy import select

from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.trust.schema import held
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import Stanza

REQUIRE = {"when": "require", "methods": "reference-session"}
RECEIPTS = "urn:xmpp:receipts"


@pytest.fixture
def world():
    return World(SessionMethod(), manages=True)


def in_session(world):
    """Both have written to each other, and the server has acknowledged all of it."""
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "good morrow", "c0")
    juliet.say(romeo.jid, "good cousin", "j0")
    world.wait(5)
    assert juliet.texts[-1:] == ["good morrow"]
    for side in world.sides:
        side.shown.clear()
    return romeo, juliet


def kept(side, table):
    with side.disk.transaction() as work:
        account = str(side.jid.bare)
        return {
            "held": work.held.all(account),
            "sent": work.sent.unacknowledged(account),
            "reports": work.reports.all(account),
        }[table]


def test_what_is_acknowledged_is_kept_no_longer(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid)
    assert len(kept(romeo, "sent")) == 1
    world.wait(5)
    assert kept(romeo, "sent") == ()


def test_what_the_server_never_acknowledged_comes_back_with_its_own_id_and_text(world):
    romeo, juliet = in_session(world)
    world.acknowledges = False
    romeo.say(juliet.jid, SECRET, "c9")
    romeo.lose_stream()
    (error,) = romeo.errors
    assert (error.id, error.from_) == ("c9", str(juliet.jid))
    assert SECRET.encode() in error.raw
    assert b"not known whether this arrived" in error.raw
    assert kept(romeo, "sent") == ()


def test_what_was_sent_before_a_kill_is_reported_at_the_next_login_and_once(world):
    romeo, juliet = in_session(world)
    world.acknowledges = False
    romeo.say(juliet.jid, SECRET, "c9")
    romeo.start()
    world.acknowledges = True
    for told in (1, 0):
        romeo.log_in()
        romeo.shown.clear()
        romeo.write(b"<presence/>")
        reports = [notice for notice in romeo.notices if SECRET in notice]
        assert len(reports) == told
        assert all("may not have arrived" in report for report in reports)
        romeo.write(b"<presence><show>away</show></presence>")
    assert kept(romeo, "reports") == ()


def test_what_waited_at_a_kill_is_stored_sealed_and_reported(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = REQUIRE
    romeo.say(juliet.jid, SECRET, "c9")
    assert len(kept(romeo, "held")) == 1
    with romeo.disk.transaction() as work:
        (sealed,) = work._cells.connection.execute(select(held.c.stanza)).one()
    assert SECRET.encode() not in sealed
    romeo.start()
    romeo.log_in()
    romeo.shown.clear()
    romeo.write(b"<presence/>")
    (report,) = [notice for notice in romeo.notices if SECRET in notice]
    assert "was not sent" in report
    assert kept(romeo, "held") == ()


def test_a_text_that_is_sent_again_after_a_reconnect_leaves_as_the_same_bytes(world):
    romeo, juliet = in_session(world)
    world.acknowledges = False
    romeo.say(juliet.jid, SECRET, "c9")
    first = [raw for raw in romeo.seen if b"<message" in raw][-1]
    romeo.lose_stream()
    romeo.log_in()
    world.acknowledges = True
    romeo.write(b"<presence/>")
    romeo.say(juliet.jid, SECRET, "c9")
    assert [raw for raw in romeo.seen if b"<message" in raw][-1] == first
    assert juliet.texts.count(SECRET) == 1


def test_sent_again_after_two_kills_it_still_is_the_same_bytes(world):
    romeo, juliet = in_session(world)
    world.acknowledges = False
    romeo.say(juliet.jid, SECRET, "c9")
    first = [raw for raw in romeo.seen if b"<message" in raw][-1]
    for _ in range(2):
        romeo.start()
        romeo.log_in()
    world.acknowledges = True
    romeo.write(b"<presence/>")
    romeo.say(juliet.jid, SECRET, "c9")
    assert [raw for raw in romeo.seen if b"<message" in raw][-1] == first
    assert juliet.texts.count(SECRET) == 1


def test_an_error_has_the_clients_id_and_text_and_no_ciphertext(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid, SECRET, "c9")
    sent = [raw for raw in romeo.seen if b"<message" in raw][-1]
    identifier = sent.split(b"id='")[1].split(b"'")[0].decode()
    error = f"<error type='cancel'><service-unavailable xmlns='{names.STANZA_ERRORS}'/></error>"
    echoed = sent[sent.index(b"<body") : sent.index(b"</message>")].decode()
    romeo.server.deliver(
        f"<message type='error' from='{juliet.jid}' to='{romeo.jid}' id='{identifier}'>{echoed}{error}</message>".encode()
    )
    (shown,) = romeo.errors
    assert shown.id == "c9"
    assert SECRET.encode() in shown.raw
    assert b"service-unavailable" in shown.raw
    assert echoed.encode() not in shown.raw


def test_an_error_that_comes_after_a_restart_is_understood_as_well(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid, SECRET, "c9")
    sent = [raw for raw in romeo.seen if b"<message" in raw][-1]
    identifier = sent.split(b"id='")[1].split(b"'")[0].decode()
    world.wait(5)
    romeo.start()
    romeo.log_in()
    romeo.shown.clear()
    romeo.server.deliver(f"<message type='error' from='{juliet.jid}' id='{identifier}'/>".encode())
    (shown,) = romeo.errors
    assert shown.id == "c9"
    assert SECRET.encode() in shown.raw


def test_a_receipt_comes_back_under_the_clients_own_id(world):
    romeo, juliet = in_session(world)
    body = f"<body>{SECRET}</body><request xmlns='{RECEIPTS}'/>"
    romeo.write(f"<message to='{juliet.jid}' type='chat' id='c9'>{body}</message>".encode())
    shown = juliet.read()[-1]
    assert shown.child(f"{RECEIPTS}{names.SEPARATOR}request") is not None
    receipt = f"<received xmlns='{RECEIPTS}' id='{shown.id}'/>"
    juliet.write(f"<message to='{romeo.jid}' id='r1'>{receipt}</message>".encode())
    received = romeo.read()[-1].child(f"{RECEIPTS}{names.SEPARATOR}received")
    assert received is not None
    assert received.attributes["id"] == "c9"


def test_nothing_later_leaves_before_what_waits_is_stored(world):
    romeo, juliet = world.sides
    romeo.rules.rows["contact", str(juliet.jid.bare)] = REQUIRE
    romeo.rules.rows["default", ""] = {"when": "never", "methods": "reference-session"}
    romeo.pool.waiting = []
    romeo.say(juliet.jid, SECRET, "c1")
    romeo.write(b"<iq type='get' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert not any(b"p1" in raw for raw in romeo.seen)
    while romeo.pool.waiting:
        romeo.pool.waiting.pop(0)()
    romeo.pool.waiting = None
    world.run()
    assert len(kept(romeo, "held")) == 1
    assert any(b"p1" in raw for raw in romeo.seen)


def test_an_account_whose_store_fails_at_login_sends_nothing_and_is_told(world):
    romeo, juliet = world.sides
    romeo.start()
    romeo.disk.broken = True
    romeo.log_in()
    romeo.write(b"<presence/>")
    romeo.say(juliet.jid, SECRET, "c1")
    assert [error.id for error in romeo.errors] == ["c1"]
    assert any("disk is full" in notice for notice in romeo.notices)
    assert not any(SECRET.encode() in raw for raw in romeo.seen)


def test_a_placeholder_names_the_original_and_it_is_shown_on_request(world):
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid, SECRET, "c9")
    sent = [raw for raw in romeo.seen if b"<message" in raw][-1].decode()
    forged = sent.replace("<message", f"<message from='nobody@{juliet.jid.domain}/x'", 1)
    juliet.server.deliver(forged.encode())
    world.run()
    placeholder = juliet.texts[-1]
    assert "could not be opened" in placeholder
    reference = placeholder.split("/e2e show ")[1].split()[0]
    juliet.say(PROXY, f"/e2e show {reference}", "s1")
    assert "<body" in juliet.notices[-1]
    assert "As it came from nobody@" in juliet.notices[-1]


@pytest.mark.parametrize("word", ["once", "session", "always"])
def test_the_users_word_lets_text_leave(world, word):
    romeo, juliet = world.sides
    nurse = f"nurse@{juliet.jid.domain}"
    romeo.rules.rows["default", ""] = {"when": "prefer", "methods": ""}
    romeo.say(nurse, "/e2e require", "w0")
    romeo.say(nurse, SECRET, "c1")
    assert [error.id for error in romeo.errors] == ["c1"]
    romeo.say(nurse, f"/e2e clear {word}", "w1")
    romeo.say(nurse, "first", "c2")
    romeo.say(nurse, "second", "c3")
    seen = b"".join(romeo.seen)
    assert b"first" in seen
    assert (b"second" in seen) == (word != "once")
    assert SECRET.encode() not in seen
    assert b"/e2e" not in seen


def test_what_is_remembered_outlives_the_daemon(world):
    romeo, juliet = world.sides
    nurse = f"nurse@{juliet.jid.domain}"
    romeo.rules.rows["default", ""] = {"when": "prefer", "methods": ""}
    romeo.say(nurse, "/e2e require", "w0")
    romeo.start()
    romeo.log_in()
    romeo.say(nurse, SECRET, "c1")
    assert [error.id for error in romeo.errors] == ["c1"]
    assert not any(SECRET.encode() in raw for raw in romeo.seen)


def test_policy_is_changed_while_the_daemon_runs(world):
    romeo, juliet = world.sides
    romeo.rules.rows = {}
    romeo.say(juliet.jid, "/e2e set when require", "w0")
    romeo.say(juliet.jid, SECRET, "c1")
    world.wait(61)
    assert [error.id for error in romeo.errors] == ["c1"]
    assert not any(SECRET.encode() in raw for raw in romeo.seen)


def test_a_second_key_waits_for_the_users_word():
    world = World(ObjectMethod())
    romeo, juliet = world.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.desk.features(other.jid, frozenset(ObjectMethod.traits.features))
    romeo.say(juliet.jid.bare, SECRET, "c1")
    assert juliet.texts == [SECRET]
    (first,) = romeo.desk.cabinet.keys(juliet.jid.bare)
    assert first.decision is Decision.TOFU
    own = romeo.desk.cabinet.keys(romeo.jid.bare)
    assert [key.decision for key in own] in ([], [Decision.ACCEPTED])
    assert not any("NEW KEY" in notice for notice in romeo.notices)
    romeo.say(juliet.jid.bare, f"/e2e distrust {first.fingerprint.text}", "w1")
    romeo.say(juliet.jid.bare, "not to this key", "c2")
    assert "c2" in [error.id for error in romeo.errors]
    romeo.say(juliet.jid.bare, f"/e2e accept {first.fingerprint.text}", "w2")
    romeo.say(juliet.jid.bare, "to this key", "c3")
    assert juliet.texts[-1] == "to this key"
    assert b"not to this key" not in b"".join(romeo.seen)


def test_clear_text_in_a_carbon_of_an_encrypted_conversation_is_marked(world):
    romeo, juliet = in_session(world)
    inner = f"<message xmlns='jabber:client' from='{romeo.jid}' to='{juliet.jid.bare}/phone' type='chat'><body>trust me</body></message>"
    forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>"
    juliet.server.deliver(
        f"<message from='{juliet.jid.bare}' to='{juliet.jid}'><received xmlns='urn:xmpp:carbons:2'>{forwarded}</received></message>".encode()
    )
    assert b"[not encrypted] trust me" in juliet.read()[-1].raw
    assert text(juliet.read()[-1]) == ""


def test_the_roster_is_asked_for_once_and_its_pushes_are_swallowed(world):
    romeo, juliet = world.sides
    world.deaf.add(romeo.jid.bare)
    romeo.write(b"<presence/>")
    world.wait(11)
    (asked,) = [raw for raw in romeo.seen if b"jabber:iq:roster" in raw]
    identifier = asked.split(b"id='")[1].split(b"'")[0].decode()
    romeo.read()
    romeo.shown.clear()
    item = f"<item jid='{juliet.jid.bare}' subscription='both'/>"
    romeo.server.deliver(
        f"<iq type='result' id='{identifier}'><query xmlns='jabber:iq:roster' ver='1'>{item}</query></iq>".encode()
    )
    romeo.server.deliver(
        f"<iq type='set' id='x1'><query xmlns='jabber:iq:roster' ver='2'>{item}</query></iq>".encode()
    )
    world.run()
    assert [one.raw for one in romeo.read()] == []
    assert any(b"x1" in raw and b"result" in raw for raw in romeo.seen)
    romeo.start()
    romeo.log_in()
    assert romeo.desk.roster is not None
    assert romeo.desk.roster.version == "2"


def test_a_flood_of_what_is_refused_after_a_wait_is_all_refused(world):
    """Each is looked at where the one before it became safe; that must not be one inside the other."""
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = REQUIRE
    romeo.pool.waiting = []
    romeo.client.deliver(
        f"<message to='{juliet.jid}' id='c0'><body>{SECRET}</body></message>".encode()
        + b"".join(
            f"<message to='room@x/{n}' type='groupchat' id='g{n}'><body>x</body></message>".encode()
            for n in range(800)
        )
    )
    assert romeo.errors == []
    while romeo.pool.waiting:
        romeo.pool.waiting.pop(0)()
    romeo.pool.waiting = None
    world.run()
    assert [error.id for error in romeo.errors] == [f"g{n}" for n in range(800)]


def test_without_stream_management_nothing_is_reported_at_the_next_login():
    world = World(SessionMethod())
    romeo, juliet = in_session(world)
    romeo.say(juliet.jid, SECRET, "c9")
    assert kept(romeo, "sent") == ()
    romeo.start()
    romeo.log_in()
    romeo.shown.clear()
    romeo.write(b"<presence/>")
    assert not any(SECRET in notice for notice in romeo.notices)


def test_a_client_that_writes_and_leaves_is_heard(world):
    """What it wrote is on its way to the store when its stream ends: that is not the end of it."""
    romeo, juliet = in_session(world)
    romeo.pool.waiting = []
    end = b"</stream:stream>"
    romeo.client.deliver(f"<message to='{juliet.jid}' id='c9'><body>{SECRET}</body></message>".encode() + end)
    assert end not in bytes(romeo.server.written)
    while romeo.pool.waiting:
        romeo.pool.waiting.pop(0)()
    romeo.pool.waiting = None
    world.run()
    assert juliet.texts == [SECRET]
    assert not romeo.errors


def test_a_client_that_leaves_with_a_store_that_never_answers_is_let_go(world):
    romeo, juliet = in_session(world)
    romeo.pool.waiting = []
    romeo.client.deliver(
        f"<message to='{juliet.jid}' id='c9'><body>{SECRET}</body></message></stream:stream>".encode()
    )
    world.wait(10)
    assert romeo.client.finished
    assert [error.id for error in romeo.errors] == ["c9"]
    waiting, romeo.pool.waiting = romeo.pool.waiting, None
    for job in waiting:
        job()
    assert juliet.texts == []
    assert kept(romeo, "sent") == ()


def test_what_leaves_clear_after_a_wait_is_not_sent_by_a_stream_that_has_ended(world):
    romeo, juliet = world.sides
    nobody = f"nobody@{juliet.jid.domain}"
    romeo.say(nobody, SECRET, "c1")
    romeo.pool.waiting = []
    world.clock.advance(2)
    romeo.client.hang_up()
    world.wait(10)
    while romeo.pool.waiting:
        romeo.pool.waiting.pop(0)()
    romeo.pool.waiting = None
    world.run()
    assert len(kept(romeo, "reports")) + len(kept(romeo, "sent")) >= 1


def test_strangers_cannot_make_us_forget_what_a_contact_can(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    for number in range(6_000):
        romeo.desk.saw(juliet.jid.parse(f"s{number}@flood.test/x"), "y" * 100)
    assert romeo.desk._features[juliet.jid.bare]
    assert len(romeo.desk._seen) <= 5_000


def test_what_comes_before_the_account_is_open_is_bounded(world):
    romeo, juliet = world.sides
    romeo.start()
    romeo.pool.waiting = []
    romeo.log_in()
    large = f"<message from='{juliet.jid}'><body>{'x' * 1_000_000}</body></message>".encode()
    for _ in range(10):
        romeo.server.deliver(large)
    assert romeo.client.finished


def test_an_account_that_could_not_be_opened_may_be_by_the_next_login(world):
    romeo, juliet = world.sides
    romeo.start()
    romeo.disk.broken = True
    romeo.log_in()
    romeo.lose_stream()
    world.wait(1)
    romeo.disk.broken = False
    romeo.log_in()
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, SECRET, "c1")
    assert juliet.texts == [SECRET]


def test_a_request_that_cannot_be_opened_is_answered_for_the_client():
    world = World(BoxMethod())
    romeo, juliet = world.sides
    juliet.knows(romeo)
    juliet.read()
    juliet.shown.clear()
    head = f"from='{romeo.jid}' to='{juliet.jid}'"
    for content in ("?", "AAAA"):
        box = f"<box xmlns='{NAMESPACE}'>{content}</box>"
        juliet.server.deliver(f"<iq {head} type='get' id='q{len(content)}'>{box}</iq>".encode())
    world.run()
    assert [one for one in juliet.read() if one.kind == "iq"] == []
    answers = [raw for raw in juliet.seen if b"not-acceptable" in raw]
    assert [b"q1" in answers[0], b"q4" in answers[1]] == [True, True]
    assert all(str(romeo.jid).encode() in raw for raw in answers)


@pytest.mark.parametrize("word", ["/e2e require", "/e2e set when require"])
def test_without_methods_text_leaves_unread_until_something_is_set(word, monkeypatch):
    looked_at = []

    def look(element, root):
        looked_at.append(element.raw)
        return Stanza.of(element, root)

    monkeypatch.setattr("e2eproxy.proxy.guard.Stanza", SimpleNamespace(of=look))
    world = World()
    romeo, juliet = world.sides
    romeo.say(juliet.jid, "good morrow")
    assert juliet.texts[-1:] == ["good morrow"]
    assert not any(b"good morrow" in raw for raw in looked_at)
    romeo.say(juliet.jid, word)
    world.wait(1)
    romeo.say(juliet.jid, SECRET, "c1")
    assert SECRET not in juliet.texts
    assert [error.attributes["id"] for error in romeo.errors] == ["c1"]


def test_an_account_that_opens_when_the_daemon_has_stopped_begins_nothing():
    romeo, _ = World(SessionMethod()).sides
    romeo.start()
    romeo.pool.waiting = opening = []
    romeo.log_in()
    romeo.guards.stop()
    romeo.pool.waiting = None
    assert opening
    for function in opening:
        function()
    assert romeo.desk.lanes == {}, "what it kept would not be stored any more"
