"""What the client gets: what was inside, in the outer stanza's frame; placeholders; marks."""

from __future__ import annotations

import pytest

from e2eproxy.errors import RemoteError
from e2eproxy.methods.effects import Body, Children, Whole
from e2eproxy.proxy.delivery import NOT_ENCRYPTED, marked_plain, opened, placeholder
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import Stanza

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='de'>"
DELAY = b"<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
STANZA_ID = b"<stanza-id xmlns='urn:xmpp:sid:0' by='a' id='1'/>"
OUTER = (
    b"<message from='juliet@example.test/x' to='romeo@example.test/y' id='o' type='chat'><body>?OTR:AAA.</body>"
    b"<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0'/>" + DELAY + STANZA_ID + b"</message>"
)


def outer(raw=OUTER):
    return Stanza.parse(raw, ROOT)


def text(raw):
    return Stanza.parse(raw, ROOT).child(names.CLIENT + names.SEPARATOR + "body").text


def test_a_text_takes_the_place_of_everything_but_what_servers_say():
    raw = opened(outer(), Body("a < b & c"))
    assert text(raw) == "a < b & c"
    assert b"OTR" not in raw
    assert DELAY in raw
    assert STANZA_ID in raw
    assert raw.startswith(
        b"<message from='juliet@example.test/x' to='romeo@example.test/y' id='o' type='chat'>"
    )


def test_children_from_inside_never_speak_for_servers():
    inside = (
        b"<body xmlns='jabber:client'>hi</body>" + DELAY.replace(b"2026", b"1999") + b"<x xmlns='urn:y'/>"
    )
    raw = opened(outer(), Children(inside + b"<sent xmlns='urn:xmpp:carbons:2'/>"))
    assert text(raw) == "hi"
    assert b"1999" not in raw
    assert b"carbons" not in raw
    assert b"<x xmlns='urn:y'/>" in raw


def test_a_whole_stanza_keeps_its_id_type_and_language_but_not_its_addresses():
    inside = (
        b"<message xmlns='jabber:client' from='evil@example.test' to='evil@example.test' id='i' type='normal'"
        b" xml:lang='fr'><body>salut</body>" + DELAY.replace(b"2026", b"1999") + b"</message>"
    )
    raw = opened(outer(), Whole(inside))
    stanza = Stanza.parse(raw, ROOT)
    assert (stanza.from_, stanza.to) == ("juliet@example.test/x", "romeo@example.test/y")
    assert (stanza.id, stanza.type, stanza.lang) == ("i", "normal", "fr")
    assert text(raw) == "salut"
    assert b"1999" not in raw
    assert DELAY in raw


@pytest.mark.parametrize(
    "inside",
    [
        Whole(b"<iq xmlns='jabber:client' type='get'/>"),
        Whole(b"<message/>"),
        Whole(b"garbage"),
        Children(b"<a><b></a>"),
        Children(b"</inside><evil/>"),
        Children(b"<a>" * 100 + b"</a>" * 100),
        Children(b"<p:a/>"),
    ],
)
def test_what_cannot_be_read_is_the_peers_fault(inside):
    with pytest.raises(RemoteError):
        opened(outer(), inside)


def test_a_placeholder_names_method_and_reason():
    raw = placeholder(outer(), "OTR", "the session is <gone>", "0123456789ab")
    assert text(raw) == (
        "[a message encrypted with OTR could not be opened: the session is <gone>"
        " /e2e show 0123456789ab shows it as it came]"
    )
    assert b"?OTR" not in raw
    assert DELAY in raw


def test_plain_text_is_marked_in_every_body_and_not_repeated_unmarked():
    plain = (
        b"<message from='a@b'><subject>s</subject><body>one</body><c:body xmlns:c='jabber:client' xml:lang='fr'>un</c:body>"
        b"<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>one</body></html>"
        b"<body xml:lang='x'/></message>"
    )
    raw = marked_plain(outer(plain))
    bodies = Stanza.parse(raw, ROOT).all(names.CLIENT + names.SEPARATOR + "body")
    assert [body.text for body in bodies] == [NOT_ENCRYPTED + said for said in ("one", "un", "")]
    assert b"xhtml" not in raw
    assert b"<subject>s</subject>" in raw
    assert NOT_ENCRYPTED + "other" in marked_plain(outer(plain), "other").decode()
    silent = b"<message><x xmlns='urn:y'/></message>"
    assert marked_plain(outer(silent)) == silent
