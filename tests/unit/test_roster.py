"""The roster copy: what it believes, what it asks itself, and what of that the client sees."""

from __future__ import annotations

import sys
import time

import pytest

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import names, roster
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.pieces import Element
from e2eproxy.xmpp.roster import Change, Reaction, RosterCopy, Snapshot
from e2eproxy.xmpp.stanza import Stanza, injected

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>"
OWN = JID.parse("romeo@example.test")
JULIET = JID.parse("juliet@example.test/balcony")
NURSE = JID.parse("nurse@example.test")
ITEMS = "<item jid='Juliet@example.test' subscription='both' name='J'><group>g</group></item><item jid='nurse@example.test'/>"
CHANGED, PASSED = Reaction(changed=True), Reaction()


def changed(version, contact, subscription):
    """What comes of a push that the copy follows."""
    return Reaction(changed=True, change=Change(version, contact, subscription))


def stanza(text):
    return Stanza.parse(text.encode(), ROOT)


def ask(iq_id="c1", version=None, to=None):
    ver = "" if version is None else f" ver='{version}'"
    target = "" if to is None else f" to='{to}'"
    return stanza(f"<iq type='get' id='{iq_id}'{target}><query xmlns='jabber:iq:roster'{ver}/></iq>")


def answer(items=ITEMS, iq_id="c1", sender=None, version=None):
    ver = "" if version is None else f" ver='{version}'"
    source = "" if sender is None else f" from='{sender}'"
    return stanza(
        f"<iq type='result' id='{iq_id}'{source}><query xmlns='jabber:iq:roster'{ver}>{items}</query></iq>"
    )


def empty(iq_id="c1", kind="result"):
    return stanza(f"<iq type='{kind}' id='{iq_id}'/>")


def push(jid, subscription, sender=None, version="9", iq_id="p1"):
    source = "" if sender is None else f" from='{sender}'"
    return stanza(
        f"<iq type='set' id='{iq_id}'{source}><query xmlns='jabber:iq:roster' ver='{version}'>"
        f"<item jid='{jid}' subscription='{subscription}'/></query></iq>"
    )


@pytest.fixture
def copy():
    return RosterCopy(OWN)


@pytest.fixture
def known(copy):
    copy.from_client(ask())
    assert copy.from_server(answer()) == CHANGED
    return copy


def test_until_it_is_known_everybody_is_a_stranger(copy):
    copy.from_client(ask())
    copy.from_server(push("juliet@example.test", "both"))
    assert not copy.known
    assert copy.subscription(JULIET) is None
    assert not copy.gets_our_presence(JULIET)
    assert copy.snapshot() is None


def test_answer_to_the_client(known):
    assert known.known
    assert known.subscription(JULIET) == known.subscription(JULIET.bare) == "both"
    assert known.subscription(NURSE) == "none"
    assert known.subscription(OWN) is None
    assert known.gets_our_presence(JULIET)
    assert not known.gets_our_presence(NURSE)
    assert known.snapshot() == Snapshot(None, {"juliet@example.test": "both", "nurse@example.test": "none"})
    assert not known.should_ask


@pytest.mark.parametrize("sender", ["juliet@example.test", "example.test", "romeo@example.test/r", "x y"])
def test_answers_and_pushes_of_others_are_not_believed(copy, sender):
    copy.from_client(ask())
    assert copy.from_server(answer(sender=sender)) == PASSED
    assert not copy.known
    assert copy.from_server(answer(sender="ROMEO@example.test")) == CHANGED
    assert copy.from_server(push("evil@example.test", "both", sender)) == PASSED
    assert copy.subscription(JID.parse("evil@example.test")) is None


def test_answers_nobody_asked_for_are_not_believed(copy):
    assert copy.from_server(answer()) == PASSED
    copy.from_client(ask(to="juliet@example.test"))
    assert copy.from_server(answer()) == PASSED
    assert not copy.known
    copy.from_client(ask(to="romeo@example.test"))
    assert copy.from_server(answer()) == CHANGED


def test_an_error_that_echoes_the_request_is_no_empty_roster(copy):
    copy.from_client(ask())
    assert copy.from_server(stanza(answer("").raw.decode().replace("'result'", "'error'"))) == PASSED
    assert not copy.known


def test_what_is_no_request_is_not_noted(copy):
    for other in (
        "<iq type='set' id='c1'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
        "<iq type='get' id='c1'><query xmlns='jabber:iq:private'/></iq>",
        "<message type='get' id='c1'><query xmlns='jabber:iq:roster'/></message>",
    ):
        copy.from_client(stanza(other))
        assert copy.should_ask
    copy.from_client(ask())
    for other in ("message", "presence"):
        raw = answer().raw.decode().replace("<iq", f"<{other}").replace("</iq", f"</{other}")
        assert copy.from_server(stanza(raw)) == PASSED
    assert copy.from_server(stanza(answer().raw.decode().replace("'result'", "'get'"))) == PASSED
    assert not copy.known


def test_pushes_nobody_asked_for_pass(copy):
    assert copy.from_server(push("juliet@example.test", "both")) == PASSED


@pytest.mark.parametrize("sender", [None, "romeo@example.test"])
def test_pushes(known, sender):
    assert known.from_server(push("mercutio@example.test", "to", sender)) == changed(
        "9", "mercutio@example.test", "to"
    )
    assert known.subscription(JID.parse("mercutio@example.test")) == "to"
    assert known.from_server(push("JULIET@example.test", "from", sender, version="10")) == changed(
        "10", "juliet@example.test", "from"
    )
    assert known.subscription(JULIET) == "from"
    assert known.from_server(push("nurse@example.test", "remove", sender, version="11")) == changed(
        "11", "nurse@example.test", None
    )
    assert known.subscription(NURSE) is None
    assert known.snapshot().version == "11"
    known.from_server(push("juliet@example.test", "friend", sender, version="11"))
    assert known.subscription(JULIET) is None


def test_a_push_of_several_items_is_none(known):
    two = stanza(f"<iq type='set' id='p'><query xmlns='jabber:iq:roster'>{ITEMS}</query></iq>")
    assert known.from_server(two) == PASSED
    for other in ("<iq type='set' id='p'><query xmlns='x'/></iq>", "<iq type='get' id='p'/>", "<message/>"):
        assert known.from_server(stanza(other)) == PASSED
    assert len(known) == 2


def test_what_cannot_be_read_is_left_out(copy):
    copy.from_client(ask())
    copy.from_server(
        answer(
            "<item/><item jid=''/><item jid='a b@c'/><item jid='@'/><item jid='a@b' subscription='x'/>"
            + ITEMS
        )
    )
    assert copy.known
    assert len(copy) == 2


# -- versions --------------------------------------------------------------------------------------------------------


STORED = Snapshot("7", {"juliet@example.test": "both"})


def test_unchanged_version_takes_the_stored_copy():
    copy = RosterCopy(OWN, STORED)
    copy.from_client(ask(version="7"))
    assert copy.subscription(JULIET) is None
    assert copy.from_server(empty()) == PASSED
    assert copy.known
    assert copy.subscription(JULIET) == "both"
    assert copy.snapshot() == STORED
    copy.from_server(push("nurse@example.test", "to", version="8"))
    assert copy.snapshot() == Snapshot("8", {"juliet@example.test": "both", "nurse@example.test": "to"})
    assert STORED.subscriptions == {"juliet@example.test": "both"}


@pytest.mark.parametrize("version", ["6", "", None])
@pytest.mark.parametrize("stored", [STORED, Snapshot(None, {}), Snapshot("", {}), None])
def test_unchanged_version_that_is_not_the_stored_one_has_to_be_asked_for(version, stored):
    copy = RosterCopy(OWN, stored)
    copy.from_client(ask(version=version))
    assert not copy.should_ask
    assert copy.from_server(empty()) == PASSED
    assert not copy.known
    assert copy.should_ask
    assert copy.request("r1")
    assert copy.from_server(answer(iq_id="r1", version="7")) == Reaction(swallow=True, changed=True)
    assert copy.snapshot().version == "7"
    # The client asked too, so pushes are for it.
    assert copy.from_server(push("nurse@example.test", "to")) == changed("9", "nurse@example.test", "to")


def test_an_empty_roster_is_not_an_unchanged_one():
    copy = RosterCopy(OWN, STORED)
    copy.from_client(ask(version="7"))
    assert copy.from_server(answer("", version="8")) == CHANGED
    assert copy.snapshot() == Snapshot("8", {})


def test_unchanged_is_not_a_step_back():
    copy = RosterCopy(OWN, STORED)
    copy.request("r1")
    copy.from_server(answer("", iq_id="r1", version="9"))
    copy.from_client(ask(version="7"))
    copy.from_server(empty())
    assert copy.snapshot() == Snapshot("9", {})


def test_a_version_that_is_too_long_is_not_kept():
    copy = RosterCopy(OWN)
    for length, kept in ((1023, "v" * 1023), (1024, None)):
        copy.from_client(ask())
        copy.from_server(answer(version="v" * length))
        assert copy.snapshot().version == kept
        copy.from_client(ask("c2", version="v" * length))
        assert bool(copy._requests) == (kept is not None)
        copy.from_server(empty("c2"))
    copy.from_client(ask("i" * 1023))
    assert copy.from_server(answer(iq_id="i" * 1023)) == CHANGED


# -- the proxy's own request -----------------------------------------------------------------------------------------


def test_asked_for_once_if_the_client_never_does(copy):
    assert copy.should_ask
    request = injected(copy.request("r1"))
    assert (request.kind, request.type, request.id, request.to) == ("iq", "get", "r1", None)
    assert request.children[0].raw == b"<query xmlns='jabber:iq:roster'/>"
    assert not copy.should_ask
    with pytest.raises(ValueError, match="once"):
        copy.request("r2")
    assert copy.from_server(answer(iq_id="r1")) == Reaction(swallow=True, changed=True)
    assert copy.subscription(JULIET) == "both"
    pushed = copy.from_server(push("nurse@example.test", "to", sender="romeo@example.test"))
    assert (pushed.swallow, pushed.changed) == (True, True)
    answered = injected(pushed.to_server)
    assert (answered.kind, answered.type, answered.id, answered.to) == (
        "iq",
        "result",
        "p1",
        "romeo@example.test",
    )
    assert injected(copy.from_server(push("nurse@example.test", "to")).to_server).to is None


def test_once_the_client_asks_pushes_are_its_own(copy):
    copy.request("r1")
    copy.from_server(answer(iq_id="r1"))
    copy.from_client(ask())
    assert copy.from_server(push("nurse@example.test", "to")) == changed("9", "nurse@example.test", "to")
    assert copy.from_server(answer()) == CHANGED


def test_own_request_that_fails_is_swallowed_and_not_made_again(copy):
    copy.request("r1")
    assert copy.from_server(empty("r1", "error")) == Reaction(swallow=True)
    assert not copy.known
    assert not copy.should_ask


def test_nobody_else_answers_our_request(copy):
    copy.request("r1")
    assert copy.from_server(answer(iq_id="r1", sender="juliet@example.test")) == Reaction(swallow=True)
    assert not copy.known
    assert copy.from_server(answer(iq_id="r1")) == Reaction(swallow=True, changed=True)


def test_requests_of_the_client_are_bounded(copy):
    copy.request("r1")
    for number in range(100):
        copy.from_client(ask(f"c{number}"))
    assert len(copy._requests) == 17
    assert copy.from_server(answer(iq_id="c0")) == PASSED
    assert copy.from_server(answer(iq_id="c99")) == CHANGED
    assert copy.from_server(answer(iq_id="r1")).swallow
    copy.from_client(ask("x" * 1024))
    assert copy.from_server(answer(iq_id="x" * 1024)) == PASSED


# -- size ------------------------------------------------------------------------------------------------------------


def test_contacts_are_bounded(copy, monkeypatch):
    monkeypatch.setattr(roster, "MOST_CONTACTS", 2)
    copy.from_client(ask())
    copy.from_server(answer(ITEMS + "<item jid='c@d'/><item jid='e@f'/>"))
    assert len(copy) == 2
    assert copy.overflowed
    copy.from_server(push("juliet@example.test", "to"))
    assert copy.subscription(JULIET) == "to"
    copy.from_server(push("nurse@example.test", "remove"))
    copy.from_server(push("c@d", "to"))
    assert copy.subscription(JID.parse("c@d")) == "to"


def test_ten_thousand_contacts(copy):
    items = "".join(
        f"<item jid='contact-{at}@example.test' subscription='both' name='Contact {at}'><group>Friends</group></item>"
        for at in range(10_000)
    )
    raw = f"<iq type='result' id='c1'><query xmlns='jabber:iq:roster'>{items}</query></iq>".encode()
    copy.from_client(ask())
    copy.from_server(Stanza.of(Element(raw, names.IQ, ["type", "result", "id", "c1"]), ROOT))
    assert len(copy) == 10_000
    kept = copy.snapshot().subscriptions
    memory = sys.getsizeof(kept) + sum(sys.getsizeof(jid) for jid in kept)
    assert memory / 10_000 < 200
    jid = JID.parse("contact-9999@example.test/r")
    started = time.perf_counter()
    for _ in range(1000):
        assert copy.subscription(jid) == "both"
    assert time.perf_counter() - started < 1


def test_damaged_answer_is_a_remote_error(copy):
    for raw in (b"<iq><query", b"</s>", b"<iq>&x;</iq>"):
        copy.from_client(ask())
        with pytest.raises(RemoteError):
            copy.from_server(Stanza.of(Element(raw, names.IQ, ["type", "result", "id", "c1"]), ROOT))
    assert not copy.known


def test_nothing_of_the_roster_is_shown():
    assert "juliet" not in repr(STORED)
