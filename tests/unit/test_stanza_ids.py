"""The outer id and the origin-id stay equal; stanza-ids that nobody may write are taken out."""

from __future__ import annotations

from e2eproxy.xmpp.origin import origin_id, with_outer_id, without_stanza_ids
from e2eproxy.xmpp.stanza import Stanza

ROOT = b"<s xmlns='jabber:client' xmlns:i='urn:xmpp:sid:0'>"


def test_outer_id():
    plain = Stanza.parse(b"<message id='1'><body/></message>", ROOT)
    assert origin_id(plain) is None
    assert with_outer_id(plain, "2") == b"<message id='2'><body/></message>"
    without = Stanza.parse(b"<message/>", ROOT)
    assert with_outer_id(without, "2") == b"<message id='2'/>"
    both = Stanza.parse(b"<message id='1'>a<i:origin-id id='1'/>b<i:origin-id id='secret'/></message>", ROOT)
    assert origin_id(both) == "1"
    assert with_outer_id(both, "<2>") == (
        b"<message id='&lt;2&gt;'>a<origin-id xmlns='urn:xmpp:sid:0' id='&lt;2&gt;'/>b</message>"
    )


def test_stanza_ids():
    one = Stanza.parse(b"<message><i:stanza-id by='a' id='1'/><body/><i:stanza-id/></message>", ROOT)
    assert without_stanza_ids(one) == b"<message><body/></message>"
