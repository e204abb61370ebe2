"""A message of any spelling inside a carbon of any spelling: taken out it means the same, put back nothing else moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stanza_strategies import CLIENT_HEADER, stanzas

from e2eproxy.xmpp import names
from e2eproxy.xmpp.archive_queries import ArchiveQueries
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza
from e2eproxy.xmpp.wrappers import Forgery, Wrapper, rewrapped, unwrap

ROOT = CLIENT_HEADER.partition(b"?>")[2]
OWN = JID.parse("romeo@example.test")
PLAIN = (
    b"<message><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>",
    b"</forwarded></received></message>",
)
ODD = (
    b"""<message xmlns='jabber:client' a='>'>x<c:received xmlns:c='urn:xmpp:carbons:2' xml:lang='de'><!-- > -->
    <f xmlns="urn:x" b='"/>'/><p:forwarded xmlns:p="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay"/> """,
    b" </p:forwarded ></c:received> y<store xmlns='urn:xmpp:hints'/></message >",
)


@given(stanzas(kinds=["message"]), st.sampled_from([PLAIN, ODD]))
def test_message_in_a_carbon(raw, around):
    # Stand-alone first, as a server writes it: it declares its own namespace and that of all it uses.
    message = Stanza.parse(raw, ROOT)
    inner = Stanza.parse(message.with_attributes({"to": "romeo@example.test"}), ROOT).standalone()
    outer = Stanza.parse(around[0] + inner + around[1], ROOT)
    found = unwrap(outer, OWN, ArchiveQueries(OWN))
    if isinstance(found, Forgery):
        assert b"urn:xmpp:carbons:2" in raw
        return
    assert isinstance(found, Wrapper)
    assert found.inner.raw == inner
    assert found.inner.tree == Stanza.parse(inner).tree
    assert found.inner.lang == message.attributes.get(names.LANG, "en")
    assert rewrapped(outer, found, found.inner.raw) == outer.raw
    new = found.inner.appended(b"<n xmlns='urn:n'/>")
    assert rewrapped(outer, found, new) == around[0] + new + around[1]
    again = unwrap(outer.changed(rewrapped(outer, found, new)), OWN, ArchiveQueries(OWN))
    assert again.inner.children[-1].name == "urn:n\x01n"
