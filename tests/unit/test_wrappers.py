"""Carbons, archive results and forwards: who may send them, and what is inside."""

from __future__ import annotations

import pytest

from e2eproxy.xmpp import archive_queries
from e2eproxy.xmpp.archive_queries import ArchiveQueries
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza
from e2eproxy.xmpp.wrappers import Forgery, Wrapper, rewrapped, unwrap

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>"
OWN = JID.parse("romeo@example.test")
BODY = "jabber:client\x01body"
SENT = "<message xmlns='jabber:client' from='romeo@example.test/a' to='juliet@example.test'><body>x</body></message>"
RECEIVED = "<message xmlns='jabber:client' from='juliet@example.test/b' to='romeo@example.test'><body>y</body></message>"
DELAY = "<delay xmlns='urn:xmpp:delay' stamp='2026-11-23T18:00:00Z'/>"


def stanza(text):
    return Stanza.parse(text.encode(), ROOT)


def forwarded(inner, delay=DELAY):
    return f"<forwarded xmlns='urn:xmpp:forward:0'>{delay}{inner}</forwarded>"


def carbon(kind, inner, sender="romeo@example.test"):
    source = "" if sender is None else f" from='{sender}'"
    return stanza(
        f"<message{source} to='romeo@example.test/r' id='outer'><{kind} xmlns='urn:xmpp:carbons:2'>"
        f"{forwarded(inner, '')}</{kind}><no-store xmlns='urn:xmpp:hints'/></message>"
    )


def result(inner=RECEIVED, sender=None, query_id="q1", version=2, archive_id="7"):
    source = "" if sender is None else f" from='{sender}'"
    about = "" if query_id is None else f" queryid='{query_id}'"
    return stanza(
        f"<message{source} to='romeo@example.test/r'><result xmlns='urn:xmpp:mam:{version}'{about} id='{archive_id}'>"
        f"{forwarded(inner)}</result></message>"
    )


def query(query_id="q1", to=None, iq_id="i1", version=2, iq_type="set"):
    target = "" if to is None else f" to='{to}'"
    about = "" if query_id is None else f" queryid='{query_id}'"
    return stanza(
        f"<iq type='{iq_type}' id='{iq_id}'{target}><query xmlns='urn:xmpp:mam:{version}'{about}/></iq>"
    )


def end(sender=None, iq_id="i1", iq_type="result"):
    source = "" if sender is None else f" from='{sender}'"
    return stanza(f"<iq type='{iq_type}' id='{iq_id}'{source}><fin xmlns='urn:xmpp:mam:2'/></iq>")


@pytest.fixture
def queries():
    return ArchiveQueries(OWN)


# -- carbons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sender", [None, "romeo@example.test", "ROMEO@Example.Test", "\uff52omeo@example.test"]
)
@pytest.mark.parametrize(("kind", "inner", "text"), [("sent", SENT, "x"), ("received", RECEIVED, "y")])
def test_carbons_of_our_own(queries, sender, kind, inner, text):
    outer = carbon(kind, inner, sender)
    found = unwrap(outer, OWN, queries)
    assert isinstance(found, Wrapper)
    assert found.kind == f"carbon {kind}"
    assert found.inner.child(BODY).text == text
    assert found.inner.raw == inner.encode()
    assert (found.stamp, found.archive) == (None, None)
    new = found.inner.with_attributes({"type": "chat"})
    assert rewrapped(outer, found, new) == outer.raw.replace(inner.encode(), new)


@pytest.mark.parametrize(
    "sender",
    [
        "juliet@example.test",
        "romeo@example.test/r",
        "romeo@example.test.evil.test",
        "example.test",
        "romeo@example.test/",
        "",
        "romeo",
        "@example.test",
        "romeo @example.test",
        "romeo@example.test\u200b/x",
    ],
)
@pytest.mark.parametrize(("kind", "inner"), [("sent", SENT), ("received", RECEIVED)])
def test_carbons_of_others_are_forgeries(queries, sender, kind, inner):
    found = unwrap(carbon(kind, inner, sender), OWN, queries)
    assert isinstance(found, Forgery)
    assert found.kind == f"carbon {kind}"
    assert "own address" in found.reason


@pytest.mark.parametrize(
    ("kind", "inner"),
    [
        ("sent", RECEIVED),
        ("sent", SENT.replace(" from='romeo@example.test/a'", "")),
        ("sent", SENT.replace("from='romeo@", "from=' romeo@")),
        ("received", RECEIVED.replace("to='romeo", "to='mercutio")),
        ("received", RECEIVED.replace("message", "presence")),
        ("received", RECEIVED.replace("jabber:client", "jabber:server")),
        ("received", RECEIVED + RECEIVED),
        ("received", ""),
        ("received", RECEIVED + "</forwarded><forwarded xmlns='urn:xmpp:forward:0'>" + RECEIVED),
        (
            "received",
            RECEIVED.replace("<body>y</body>", f"<sent xmlns='urn:xmpp:carbons:2'>{forwarded(SENT)}</sent>"),
        ),
        (
            "received",
            RECEIVED.replace("<body>y</body>", f"<result xmlns='urn:xmpp:mam:2'>{forwarded(SENT)}</result>"),
        ),
    ],
)
def test_carbons_that_hold_anything_else_are_forgeries(queries, kind, inner):
    assert isinstance(unwrap(carbon(kind, inner), OWN, queries), Forgery)


def test_two_carriers_are_a_forgery(queries):
    one = carbon("sent", SENT)
    both = one.changed(one.appended(carbon("received", RECEIVED).children[0].raw))
    assert isinstance(unwrap(both, OWN, queries), Forgery)


def test_received_without_to_is_to_this_account(queries):
    assert isinstance(
        unwrap(carbon("received", RECEIVED.replace(" to='romeo@example.test'", "")), OWN, queries), Wrapper
    )


# -- archive results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [None, "romeo@example.test", "Romeo@example.test"])
@pytest.mark.parametrize("sender", [None, "romeo@example.test"])
@pytest.mark.parametrize("query_id", ["q1", None])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_results_of_our_archive(queries, to, sender, query_id, version):
    queries.sent(query(query_id, to, version=version))
    outer = result(sender=sender, query_id=query_id, version=version)
    found = unwrap(outer, OWN, queries)
    assert isinstance(found, Wrapper)
    assert (found.kind, found.archive, found.archive_id) == ("archive result", OWN, "7")
    assert found.stamp == "2026-11-23T18:00:00Z"
    assert rewrapped(outer, found, b"<message/>") == outer.raw.replace(RECEIVED.encode(), b"<message/>")


def test_results_of_a_room(queries):
    queries.sent(query(to="room@rooms.test"))
    found = unwrap(result(sender="Room@rooms.test"), OWN, queries)
    assert found.archive == JID.parse("room@rooms.test")
    for sender in (None, "romeo@example.test", "room@rooms.test/nick", "other@rooms.test"):
        assert isinstance(unwrap(result(sender=sender), OWN, queries), Forgery)


def test_results_nobody_asked_for(queries):
    assert isinstance(unwrap(result(), OWN, queries), Forgery)
    queries.sent(query("q2"))
    for other in ("q1", "Q2", "q2 ", "", None):
        assert isinstance(unwrap(result(query_id=other), OWN, queries), Forgery)
    assert isinstance(unwrap(result(query_id="q2", version=1), OWN, queries), Forgery)
    assert isinstance(unwrap(result(query_id="q2"), OWN, queries), Wrapper)


@pytest.mark.parametrize("sender", ["juliet@example.test", "romeo@example.test/r", "example.test", "\ud7ff@"])
def test_results_of_somebody_else(queries, sender):
    queries.sent(query())
    found = unwrap(result(sender=sender), OWN, queries)
    assert isinstance(found, Forgery)
    assert found.kind == "archive result"


def test_results_after_the_end(queries):
    queries.sent(query())
    queries.sent(query(iq_id="i2"))
    queries.received(end(sender="juliet@example.test"))
    queries.received(end(iq_id="i3"))
    for other in (
        "<iq type='set' id='i1'/>",
        "<message type='error' id='i1'/>",
        "<presence type='error' id='i1'/>",
    ):
        queries.received(stanza(other))
    assert len(queries) == 2
    queries.received(end(iq_type="error"))
    assert isinstance(unwrap(result(), OWN, queries), Wrapper)
    queries.received(end(iq_id="i2", sender="romeo@example.test"))
    assert isinstance(unwrap(result(), OWN, queries), Forgery)


def test_the_first_version_ends_with_a_message(queries):
    queries.sent(query(version=2, iq_id="i2"))
    queries.sent(query(version=0))
    queries.received(stanza("<iq type='result' id='i1'/>"))
    fin = "<message{}><fin xmlns='urn:xmpp:mam:0' queryid='{}'/></message>"
    queries.received(stanza(fin.format(" from='juliet@example.test'", "q1")))
    queries.received(stanza(fin.format("", "q2")))
    queries.received(stanza(fin.format("", "q1").replace("message", "presence")))
    assert isinstance(unwrap(result(version=0), OWN, queries), Wrapper)
    queries.received(stanza(fin.format("", "q1")))
    queries.received(stanza(fin.format("", "q1")))
    assert isinstance(unwrap(result(version=2), OWN, queries), Wrapper)
    assert isinstance(unwrap(result(version=0), OWN, queries), Forgery)
    queries.received(end(iq_id="i2"))
    assert len(queries) == 0
    queries.sent(query(version=0))
    queries.received(stanza("<iq type='error' id='i1'/>"))
    assert len(queries) == 0


def test_what_is_no_query_is_not_noted(queries):
    for other in (
        "<message type='set' id='1'><query xmlns='urn:xmpp:mam:2'/></message>",
        "<iq type='result' id='1'><query xmlns='urn:xmpp:mam:2'/></iq>",
        "<iq type='set'><query xmlns='urn:xmpp:mam:2'/></iq>",
        "<iq type='set' id='1'><query xmlns='urn:xmpp:mam:3'/></iq>",
        "<iq type='set' id='1' to='a b@c'><query xmlns='urn:xmpp:mam:2'/></iq>",
        f"<iq type='set' id='{'x' * 1024}'><query xmlns='urn:xmpp:mam:2'/></iq>",
        f"<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2' queryid='{'x' * 1024}'/></iq>",
    ):
        queries.sent(stanza(other))
    assert len(queries) == 0
    queries.sent(query("q" * 1023, iq_id="i" * 1023))
    assert len(queries) == 1


def test_open_queries_are_bounded_and_the_oldest_goes(queries):
    for number in range(archive_queries.MOST_OPEN + 1):
        queries.sent(query(f"q{number}", iq_id=f"i{number}"))
    assert len(queries) == archive_queries.MOST_OPEN
    assert isinstance(unwrap(result(query_id="q0"), OWN, queries), Forgery)
    assert isinstance(unwrap(result(query_id="q1"), OWN, queries), Wrapper)


# -- forwards, and the rest ------------------------------------------------------------------------------------------


def test_a_contact_may_forward_what_it_likes(queries):
    outer = stanza(f"<message from='juliet@example.test/b'><body>look</body>{forwarded(SENT)}</message>")
    found = unwrap(outer, OWN, queries)
    assert (found.kind, found.archive, found.stamp) == ("forward", None, "2026-11-23T18:00:00Z")
    assert found.inner.raw == SENT.encode()
    assert rewrapped(outer, found, b"<m/>") == outer.raw.replace(SENT.encode(), b"<m/>")


@pytest.mark.parametrize(
    "text",
    [
        "<message><body>x</body></message>",
        f"<message>{forwarded('')}</message>",
        f"<message>{forwarded(SENT + SENT)}</message>",
        f"<message>{forwarded(SENT)}{forwarded(SENT)}</message>",
        f"<message><x xmlns='urn:x'>{forwarded(SENT)}</x></message>",
        f"<iq type='set'><sent xmlns='urn:xmpp:carbons:2'>{forwarded(SENT)}</sent></iq>",
        "<message><private xmlns='urn:xmpp:carbons:2'/></message>",
    ],
)
def test_what_wraps_nothing(queries, text):
    assert unwrap(stanza(text), OWN, queries) is None


def test_inner_stanza_inherits_from_what_is_around_it(queries):
    outer = stanza(
        "<message xml:lang='de'><c:sent xmlns:c='urn:xmpp:carbons:2' xmlns:m='jabber:client'><f:forwarded"
        " xmlns:f='urn:xmpp:forward:0'><m:message from='romeo@example.test/x'><m:body>x</m:body></m:message>"
        "</f:forwarded></c:sent></message>"
    )
    found = unwrap(outer, OWN, queries)
    assert found.kind == "carbon sent"
    assert found.inner.child(BODY).text == "x"
    assert found.inner.lang == "de"
    assert Stanza.parse(found.inner.standalone()).child(BODY).text == "x"
