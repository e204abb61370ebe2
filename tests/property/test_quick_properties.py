"""What is let pass without a second look is what the whole decision would have let pass as it came."""

from __future__ import annotations

import random

from bed.place import OTHER_SPELLINGS, SPELLINGS, Writing
from bed.places import PLACES
from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.errors import StreamError
from e2eproxy.methods.door import Recognition
from e2eproxy.methods.otr import forms
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.proxy import quick
from e2eproxy.proxy.classify import Scene, classify
from e2eproxy.proxy.kinds import Setting
from e2eproxy.proxy.notices import PROXY
from e2eproxy.proxy.policy import Outcome, Reach, State, decide
from e2eproxy.proxy.unasked import Unasked
from e2eproxy.testing import SessionMethod
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.pieces import Element, Limits
from e2eproxy.xmpp.stanza import Stanza

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
SCENE = Scene(own=JID.parse("romeo@example.test/garden"), proxy=PROXY)
LENIENT = (Setting.PREFER, Setting.ACCEPT, Setting.NEVER)
TEXTS = ("hark", "/e2e clear once", " /E2E x", "?OTR?", "?OTRv23?", "a &#47;e2e b", "<![CDATA[/e2e keys]]>")
TO = ("juliet@example.test", "e2eproxy.localhost", "E2EPROXY.localhost/x", "a@b@c", "", *OTHER_SPELLINGS)


def framed(raw, watch_for=quick.WATCHED_OF_CLIENT):
    framer = Framer(Limits(2**24), watch_for=watch_for)
    framer.receive(ROOT)
    try:
        pieces = framer.receive(raw)
    except StreamError:
        return []  # that ends the stream
    return [piece for piece in pieces if isinstance(piece, Element)]


def passes(element):
    found = classify(Stanza.of(element, ROOT).tree, SCENE)
    state = State(reach=Reach.NONE, carries=True)
    return all(decide(found.kind, setting, state).outcome is Outcome.PASS for setting in LENIENT)


def test_of_every_place_a_client_can_put_text():
    looked_at = 0
    for number, place in enumerate(place for place in PLACES if not place.header and not place.answers):
        rng = random.Random(number)
        spelled = SPELLINGS[rng.choice(list(SPELLINGS))]("hark")
        raw = place.stanza(Writing(canary="hark", c=spelled, to="juliet@example.test"))
        for element in framed(raw):
            if quick.may_leave(element, PROXY.domain):
                looked_at += 1
                assert passes(element), place.name
    assert looked_at > len(PLACES) / 20


@given(st.sampled_from(TO), st.sampled_from(TEXTS), st.text(alphabet="e2E /?OTR&;#47", max_size=12))
def test_of_commands_wire_forms_and_addresses(to, text, rest):
    escaped = rest.replace("&", "&amp;").replace("<", "&lt;")
    raw = f"<message to='{to}' type='chat'><body>{text}{escaped}</body></message>".encode()
    for element in framed(raw):
        assert not quick.may_leave(element, PROXY.domain) or passes(element)


OF_SERVER = (
    "<message {head}><f:sent xmlns:f='urn:xmpp:carbons:2'/></message>",
    "<message {head}><received xmlns='urn:xmpp:carbon&#115;:2'/></message>",
    "<message {head}><body>x</body><a><b><result xmlns='urn:xmpp:mam:2'/></b></a></message>",
    "<m:message xmlns:m='jabber:client' {head}><r:result xmlns:r='urn:xmpp:mam:1' queryid='1'/></m:message>",
    "<iq type='set' id='1' {head}><query xmlns='jabber:iq:roster'/></iq>",
    "<iq type='result' id='1' {head}><q:query xmlns:q='jabber:iq:r&#111;ster'/></iq>",
    "<message type='error' id='1' {head}><body>x</body></message>",
    "<message from='e2eproxy.localhost'><body>x</body></message>",
    "<message from='E2EPROXY.localhost/x'><body>x</body></message>",
    "<message from='\uff45\uff12eproxy.localhost'><body>x</body></message>",
)
HEADS = (
    "from='juliet@example.test/balcony'",
    "to='romeo@example.test'",
    "xml:lang='from' from='juliet@example.test'",
)


@given(st.sampled_from(OF_SERVER), st.sampled_from(HEADS), st.data())
def test_what_may_be_for_the_proxy_does_not_enter_unseen(form, head, data):
    raw = form.format(head=head).encode()
    framer = Framer(Limits(2**24), watch_for=quick.WATCHED_OF_SERVER)
    framer.receive(ROOT)
    cut = data.draw(st.integers(0, len(raw)))
    (element,) = [*framer.receive(raw[:cut]), *framer.receive(raw[cut:])]
    assert not quick.may_enter(element, PROXY.domain)
    # The next one is judged by itself.
    (element,) = framer.receive(b"<message from='juliet@example.test'><body>hark</body></message>")
    assert quick.may_enter(element, PROXY.domain)


def test_a_value_that_is_spelled_like_an_attribute_asks_for_a_full_look():
    for value in ("from", "to", "type", "error"):
        of_server = framed(f"<iq type='result' id='{value}'/>".encode(), quick.WATCHED_OF_SERVER)
        of_client = framed(f"<message id='{value}'><body>hark</body></message>".encode())
        assert quick.may_enter(*of_server, PROXY.domain) is (value not in {"from", "error"})
        assert quick.may_leave(*of_client, PROXY.domain) is (value not in {"to", "type"})


# -- what no method need be asked about --------------------------------------------------------------------------------

#: Pieces that a text of a contact is made of: OTR's forms, whole and in pieces, and what hides or cuts them.
PIECES = (
    *("?OTR", "?OTRv23?", "?", "O", "TR", "OTR:AAMD.", "hark", " ", "\t", forms.tag_text(frozenset({2, 3}))),
    *("&#63;", "&#x3f;", "&#9;", "<![CDATA[?]]>", "<![CDATA[", "]]>", "<x/>", "<x>?</x>", "&amp;", "&lt;"),
    *(forms.TAG[:7], forms.TAG[7:], "</body><body>", "<!--", "-->"),
)


def unasked(*methods):
    known = Unasked(lambda: 0)
    known.equip(method.traits for method in methods)
    return known


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_what_enters_unasked_is_nothing_to_the_method(text):
    method = OtrMethod()
    known = unasked(method)
    raw = f"<message from='juliet@example.test/x' type='chat'><body>{text}</body></message>".encode()
    for element in framed(raw, quick.WATCHED_OF_SERVER):
        if known.enters(element):
            assert method.recognise(Stanza.of(element, ROOT)) is Recognition.NONE


def test_plain_texts_do_enter_unasked():
    known = unasked(OtrMethod())
    for text in ("hark", "who is it?", "a &amp; b", "What? O, it is he."):
        (element,) = framed(f"<message><body>{text}</body></message>".encode(), quick.WATCHED_OF_SERVER)
        assert known.enters(element), text
    (presence,) = framed(b"<presence/>", quick.WATCHED_OF_SERVER)
    assert not known.enters(presence)


def test_where_a_method_has_elements_of_its_own_everything_is_looked_at():
    known = unasked(OtrMethod(), SessionMethod())
    (element,) = framed(b"<message><body>hark</body></message>", quick.WATCHED_OF_SERVER)
    assert not known.enters(element)
    known.note(Stanza.of(element, ROOT))
    assert not known.leaves(element)
    assert not Unasked(lambda: 0).enters(element), "nor before it is known which methods there are"


def test_what_leaves_unasked_is_of_the_same_address_and_type_and_of_the_same_settings():
    now = [1]
    known = Unasked(lambda: now[0])
    known.equip([OtrMethod().traits])
    form = "<message {}><body>hark</body></message>"
    (noted,) = framed(form.format("to='a@b.test' type='chat' id='1'").encode())
    known.note(Stanza.of(noted, ROOT))
    for head, same in (
        ("type='chat' to='a@b.test'", True),
        ("to='a@b.test'", False),
        ("to='a@b.test/x' type='chat'", False),
        ("type='chat' id='a@b.test'", False),
        ("id='to' type='chat' to='a@b.test'", True),
    ):
        (element,) = framed(form.format(head).encode())
        assert known.leaves(element) is same, head
    now[0] = 2
    assert not known.leaves(noted)
    now[0] = 1
    assert not known.leaves(noted)
    known.note(Stanza.of(noted, ROOT))
    known.forget()
    assert not known.leaves(noted)
    for number in range(1_001):
        (element,) = framed(form.format(f"to='{number}@b.test'").encode())
        known.note(Stanza.of(element, ROOT))
    assert known.leaves(element)
    (oldest,) = framed(form.format("to='0@b.test'").encode())
    assert not known.leaves(oldest)
