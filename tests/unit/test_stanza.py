"""Stanzas looked into and changed: the shapes that go wrong if bytes are searched instead of parsed."""

from __future__ import annotations

import gc
import weakref

import pytest

from e2eproxy.errors import LocalError, RemoteError
from e2eproxy.xmpp import names, spans
from e2eproxy.xmpp.context import context_of
from e2eproxy.xmpp.pieces import Element, Limits
from e2eproxy.xmpp.stanza import BadElement, Stanza, build, element, escape_text, escape_value, injected

ROOT = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" xmlns:h=\"urn:h&amp;'\" xml:lang='en'>"
)
BODY = "jabber:client\x01body"


def stanza(raw, root=ROOT):
    return Stanza.parse(raw, root)


def test_what_it_says():
    one = stanza(b"<message to='a@b' from=\"c@d/e\" id='&lt;1&gt;' type='chat'><body>x</body></message>")
    assert (one.kind, one.to, one.from_, one.id, one.type, one.lang) == (
        "message",
        "a@b",
        "c@d/e",
        "<1>",
        "chat",
        "en",
    )
    assert one.tree.child(BODY).text == one.child(BODY).text == "x"
    assert [child.raw for child in one.children] == [b"<body>x</body>"]


def test_framed_stanza_is_read_only_when_asked():
    broken = Stanza.of(Element(b"<message", names.MESSAGE, ["to", "a@b"]), ROOT)
    assert (broken.kind, broken.to, broken.type, broken.lang) == ("message", "a@b", None, "en")
    with pytest.raises(BadElement):
        _ = broken.children
    with pytest.raises(BadElement):
        Stanza.of(Element(b"<x/>", "jabber:client\x01x", []), ROOT)


def test_own_language_goes_before_that_of_the_stream():
    assert stanza(b"<iq xml:lang=''/>").lang == ""
    assert stanza(b"<iq/>", b"<s xmlns='jabber:client'>").lang is None


@pytest.mark.parametrize(
    "child",
    [
        b"<a/>",
        b"<a />",
        b"<a></a >",
        b"<a b='/>'></a>",
        b"<a b='/>'/>",
        b"<a b='>'>/></a\n>",
        b"<a>/></a>",
        b"<a><![CDATA[]]></a>",
        b"<a><![CDATA[</a>/>]]></a>",
        b"<a><a/></a>",
        b"<a><a></a></a>",
        b"<a b=\"'>\" c='\"/>'><b>&gt;</b></a>",
        b"<h:a h:b='1'/>",
        "<\u00e9 \u4e2d='\U0001f512'/>".encode(),
        b"<a xmlns=''><b/></a>",
        b"<a><!-- </a> --><?p </a>?></a>",
    ],
)
def test_children_of_every_shape_are_cut_where_they_end(child):
    raw = b"<message>x" + child + b"<!-- <a/> -->" + child + b"]]&gt;</message >"
    one = stanza(raw)
    assert [found.raw for found in one.children] == [child, child]
    assert one.without(one.children) == b"<message>x<!-- <a/> -->]]&gt;</message >"
    assert one.with_only(one.children[1:]) == b"<message>" + child + b"</message >"
    assert one.replaced({one.children[1]: b"<n/>"}) == raw.replace(b"-->" + child, b"--><n/>")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"<message/>", b"<message><n/></message>"),
        (b"<message to='/>' />", b"<message to='/>' ><n/></message>"),
        (b"<message></message >", b"<message><n/></message >"),
        (b"<message><a/>t</message>", b"<message><a/>t<n/></message>"),
        (b"<c:message xmlns:c='jabber:client'/>", b"<c:message xmlns:c='jabber:client'><n/></c:message>"),
        (b"<message><![CDATA[</message>]]></message>", b"<message><![CDATA[</message>]]><n/></message>"),
    ],
)
def test_children_are_appended(raw, expected):
    assert stanza(raw).appended(b"<n/>") == expected
    assert stanza(raw).appended() == raw


def test_content_is_replaced():
    assert stanza(b"<iq>secret<a/>text<!-- c --></iq>").with_content(b"") == b"<iq></iq>"
    assert stanza(b"<iq/>").with_content(b"") == b"<iq/>"
    assert stanza(b"<iq/>").with_content(b"<n/>") == b"<iq><n/></iq>"


def test_parts_that_overlap_or_belong_elsewhere_are_refused():
    one = stanza(b"<iq><a><b/></a></iq>")
    with pytest.raises(ValueError, match="inside another"):
        one.without([one.children[0], one.children[0].children[0]])
    with pytest.raises(BadElement):
        one.inner(one.children[0])
    foreign = stanza(b"<iq>x<a/></iq>").children[0]
    with pytest.raises(ValueError, match="not one of this"):
        one.without([foreign])
    with pytest.raises(ValueError, match="not one of this"):
        one.context_around(foreign)


@pytest.mark.parametrize(
    ("raw", "changes", "expected"),
    [
        (b"<iq id='1' to=\"2\"/>", {"id": "a'b", "to": 'c"d'}, b"<iq id='a&apos;b' to=\"c&quot;d\"/>"),
        (b"<iq id='1'/>", {"id": "<&>\t\n\r"}, b"<iq id='&lt;&amp;&gt;&#9;&#10;&#13;'/>"),
        (b"<iq  id = '1'\n to='2' >t</iq>", {"id": None}, b"<iq\n to='2' >t</iq>"),
        (b"<iq id='1'/>", {"id": None, "to": "2"}, b"<iq to='2'/>"),
        (b"<iq/>", {"to": "2", "id": "1"}, b"<iq to='2' id='1'/>"),
        (b'<iq id="1" ></iq>', {"to": "2"}, b'<iq id="1" to="2" ></iq>'),
        (b"<iq/>", {names.LANG: "de"}, b"<iq xml:lang='de'/>"),
        (b"<iq xml:lang='en'/>", {names.LANG: None}, b"<iq/>"),
        (b"<iq xmlns:p='x' p:id='2' id='1'/>", {"id": "3"}, b"<iq xmlns:p='x' p:id='2' id='3'/>"),
        (b"<iq xmlns:p='x' p:id='2' id='1'/>", {"x\x01id": None}, b"<iq xmlns:p='x' id='1'/>"),
        (b"<iq id='&#49;'/>", {"id": "1"}, b"<iq id='&#49;'/>"),
        (b"<iq x='id=&quot;1&quot; to=' id='1'/>", {"id": "2"}, b"<iq x='id=&quot;1&quot; to=' id='2'/>"),
    ],
)
def test_attributes_are_changed_in_place(raw, changes, expected):
    assert stanza(raw).with_attributes(changes) == expected


def test_attributes_that_cannot_be_written_are_refused():
    one = stanza(b"<iq/>")
    for name in ("xmlns", "urn:x\x01id", "a b", "xmlns:p", "a='"):
        with pytest.raises(ValueError, match="another namespace"):
            one.with_attributes({name: "1"})
    for value in ("\0", "\x1b", "\ufffe", "\ud800"):
        with pytest.raises(ValueError, match="no place"):
            one.with_attributes({"id": value})


def test_standalone_writes_what_is_used_and_nothing_else():
    assert stanza(b"<iq><h:a/></iq>").standalone() == (
        b"<iq xmlns='jabber:client' xmlns:h=\"urn:h&amp;'\" xml:lang='en'><h:a/></iq>"
    )
    declared = b"<iq xmlns='jabber:client' xml:lang='de' xmlns:h='x'><h:a/></iq>"
    assert stanza(declared).standalone() == declared
    assert stanza(b"<iq xml:lang=''/>").standalone() == b"<iq xmlns='jabber:client' xml:lang=''/>"


def test_standalone_keeps_what_is_in_no_namespace_out_of_every_other():
    one = stanza(b"<c:iq xmlns:c='jabber:client'><x/></c:iq>", b"<s xmlns=''>")
    assert one.standalone() == b"<c:iq xmlns='' xmlns:c='jabber:client'><x/></c:iq>"
    inside = stanza(b"<iq><a xmlns=''><b/></a></iq>")
    part = inside.children[0].children[0]
    assert inside.standalone_part(part) == b"<b xmlns='' xml:lang='en'/>"


def test_inner_stanza_stands_in_its_own_context():
    outer = stanza(
        b"<message xml:lang='de'><x xmlns='urn:x' xmlns:c='jabber:client'><c:message to='a'><c:body>\xc3\xa9</c:body>"
        b"</c:message></x></message>"
    )
    inner = outer.inner(outer.children[0].children[0])
    assert (inner.kind, inner.to, inner.lang) == ("message", "a", "de")
    assert inner.child(BODY).text == "\u00e9"
    assert injected(inner.standalone()).lang == "de"
    assert b"<c:message to='b'>" in outer.replaced(
        {outer.children[0].children[0]: inner.with_attributes({"to": "b"})}
    )


def test_stanzas_made_here_declare_what_they_use():
    made = build("message", {"to": "a&'b", "id": None, names.LANG: "en"}, b"<body>x</body>")
    assert made == b"<message xmlns='jabber:client' to='a&amp;&apos;b' xml:lang='en'><body>x</body></message>"
    assert injected(made).to == "a&'b"
    for wrong in (
        b"<message/>",
        b"<message xmlns='jabber:server'/>",
        b"<iq xmlns='jabber:client'><h:a/></iq>",
        b"<iq xmlns='jabber:client'/> ",
        b"<iq xmlns='jabber:client'/><iq xmlns='jabber:client'/>",
        b"<message xmlns='jabber:client'>",
        b"<r xmlns='urn:xmpp:sm:3'/>",
        b"",
    ):
        with pytest.raises(LocalError, match="cannot be sent"):
            injected(wrong)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"text",
        b"<iq/>text",
        b" <iq/>",
        b"<iq/><iq/>",
        b"<iq/></s>",
        b"</s>",
        b"</s><iq/>",
        b"<iq>",
        b"<iq",
        b"<iq/><",
        b"<!DOCTYPE iq><iq/>",
        b"<?xml version='1.0'?><iq/>",
        b"<!-- c --><iq/>",
        b"<iq>&unknown;</iq>",
        b"<iq a='1' a='2'/>",
        b"<iq>\xff</iq>",
        b"<iq><p:x/></iq>",
        b"<query/>",
    ],
)
def test_anything_but_one_stanza_is_a_remote_error(raw):
    with pytest.raises(BadElement) as caught:
        Stanza.parse(raw, b"<s xmlns='jabber:client'>")
    assert isinstance(caught.value, RemoteError)


def test_limits():
    def nested(levels):
        return b"<iq xmlns='jabber:client'>" + b"<a>" * (levels - 1) + b"</a>" * (levels - 1) + b"</iq>"

    def attributes(number):
        return (
            b"<iq xmlns='jabber:client'><a " + b" ".join(b"a%d=''" % at for at in range(number)) + b"/></iq>"
        )

    def children(number):
        return b"<iq xmlns='jabber:client'>" + b"<a/>" * number + b"</iq>"

    for raw in (nested(64), attributes(100), children(spans.MOST_ELEMENTS - 1)):
        assert Stanza.parse(raw).raw == raw
    for raw in (nested(65), attributes(101), children(spans.MOST_ELEMENTS)):
        with pytest.raises(BadElement):
            Stanza.parse(raw)
    just = b"<iq xmlns='jabber:client'/>"
    assert Stanza.parse(just, limits=Limits(len(just))).kind == "iq"
    with pytest.raises(BadElement, match="longer than"):
        Stanza.parse(just, limits=Limits(len(just) - 1))


def test_nothing_of_the_text_is_shown():
    one = stanza(b"<message to='secret'><body secret='1'>secret</body></message>")
    assert "secret" not in repr(one) + repr(one.children) + repr(one.span)


def test_the_parser_is_freed_at_once():
    reader = spans._Reader(b"<iq/>", b"<s>", spans.LIMITS)
    reader.read()
    gone = weakref.ref(reader)
    gc.disable()
    try:
        del reader
        assert gone() is None
    finally:
        gc.enable()


def test_escaping():
    assert escape_text("a<b>&\"'\r\n\0\x1b\ud800") == "a&lt;b&gt;&amp;\"'&#13;\n\ufffd\ufffd\ufffd"
    assert escape_value("'\"", '"') == "'&quot;"
    assert element("a", {"b": None}) == b"<a/>"
    assert context_of(b"<a>").onto(b"<b/>") == b"<b xmlns=''/>"
