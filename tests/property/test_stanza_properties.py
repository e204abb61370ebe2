"""A stanza of any spelling: its parts stand where they are said to, and it means the same outside its stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stanza_strategies import CLIENT_HEADER, SERVER_HEADER, attribute_values, stanzas

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, Limits
from e2eproxy.xmpp.spans import read
from e2eproxy.xmpp.stanza import BadElement, Stanza, build, escape_text, escape_value, injected
from e2eproxy.xmpp.tree import parse

ROOT = CLIENT_HEADER.partition(b"?>")[2]
#: A stream that inherits other things: prefixes mean something else, the default namespace is another.
OTHER = (
    b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server' xmlns:stream='urn:x'"
    b" xmlns:h='urn:other' xmlns:db='urn:another' xml:lang='tlh'>"
)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
VALUES = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\r"
    ),
    max_size=20,
)


def shape(node, *, root=True):
    """A tree as nested tuples; the root's language apart, which is inherited or written."""
    attributes = {name: value for name, value in node.attributes.items() if not root or name != names.LANG}
    return node.name, attributes, node.text, [shape(child, root=False) for child in node.children]


def spans(span):
    """A span and all in it."""
    return [span, *(inner for child in span.children for inner in spans(child))]


@given(stanzas())
def test_framer_and_reader_agree(raw):
    framed = next(p for p in Framer(Limits(2**20)).receive(CLIENT_HEADER + raw) if isinstance(p, Element))
    lazy, eager = Stanza.of(framed, ROOT), Stanza.parse(raw, ROOT)
    assert (lazy.name, lazy.attributes) == (eager.name, eager.attributes)
    assert lazy == eager
    assert shape(lazy.tree) == shape(eager.tree) == shape(parse(ROOT, raw))


@given(stanzas())
def test_every_part_stands_where_it_is_said_to(raw):
    stanza = Stanza.parse(raw, ROOT)
    for span in spans(stanza.span):
        context = stanza.context_around(span)
        assert shape(read(span.raw, context.tag).node, root=False) == shape(span.node, root=False)
        start, end = span.content
        inside = context.inside(span.start_tag)
        whole = read(b"<all>" + raw[start:end] + b"</all>", inside.tag)
        assert [shape(one, root=False) for one in whole.node.children] == [
            shape(one, root=False) for one in span.node.children
        ]
        assert whole.text == span.text


@given(stanzas(), st.sampled_from([ROOT, OTHER, SERVER_HEADER.partition(b"?>")[2]]))
def test_standalone_means_the_same_anywhere(raw, elsewhere):
    stanza = Stanza.parse(raw, ROOT)
    alone = stanza.standalone()
    for read_again in (Stanza.parse(alone), Stanza.parse(alone, elsewhere), injected(alone)):
        assert shape(read_again.tree) == shape(stanza.tree)
        assert read_again.lang == stanza.lang == stanza.attributes.get(names.LANG, "en")
    assert Stanza.parse(alone).standalone() == alone
    assert Stanza.parse(alone, elsewhere).standalone() == alone


@given(stanzas(), st.sampled_from([ROOT, OTHER]))
def test_standalone_parts_mean_the_same_anywhere(raw, elsewhere):
    stanza = Stanza.parse(raw, ROOT)
    for span in spans(stanza.span):
        alone = read(stanza.standalone_part(span), elsewhere)
        assert shape(alone.node) == shape(span.node)
        assert names.LANG in alone.attributes


@given(stanzas(), st.data())
def test_replacing_a_part_leaves_the_rest(raw, data):
    stanza = Stanza.parse(raw, ROOT)
    part = data.draw(st.sampled_from(spans(stanza.span)[1:] or [None]))
    if part is None:
        return
    new = b"<new xmlns='urn:new' a='>'/>"
    assert stanza.replaced({part: new}) == raw[: part.start] + new + raw[part.end :]
    assert stanza.replaced({part: part.raw}) == raw
    assert len(stanza.without([part])) == len(raw) - len(part.raw)
    gone = shape(stanza.changed(stanza.without([part])).tree)
    changed = shape(stanza.changed(stanza.replaced({part: new})).tree)
    assert str(changed).replace(str(shape(read(new).node)), "") != str(shape(stanza.tree)) != str(gone)


@given(stanzas(), st.data())
def test_children_are_kept_dropped_and_added(raw, data):
    stanza = Stanza.parse(raw, ROOT)
    kept = [child for child in stanza.children if data.draw(st.booleans())]
    only = stanza.changed(stanza.with_only(kept))
    assert [child.raw for child in only.children] == [child.raw for child in kept]
    assert only.span.text == ""
    assert only.attributes == stanza.attributes
    added = [b"<one xmlns='urn:new'/>", b"<two xmlns='urn:new'>]]&gt;</two>"]
    more = stanza.changed(stanza.appended(*added))
    assert [child.raw for child in more.children] == [*(child.raw for child in stanza.children), *added]
    assert more.span.text == stanza.span.text
    assert stanza.changed(more.without(more.children[-2:])).span.text == stanza.span.text
    assert stanza.appended() == raw


@given(stanzas(), st.data())
def test_attributes_are_set_in_place(raw, data):
    stanza = Stanza.parse(raw, ROOT)
    there = st.sampled_from([*stanza.attributes, "to", "from", "id", "type", names.LANG])
    changes = data.draw(st.dictionaries(there, st.one_of(st.none(), VALUES), max_size=4))
    changed = stanza.changed(stanza.with_attributes(changes))
    expected = {**stanza.attributes, **changes}
    assert changed.attributes == {name: value for name, value in expected.items() if value is not None}
    assert shape(changed.tree)[2:] == shape(stanza.tree)[2:]
    content = stanza.span.content[0]
    assert changed.raw.endswith(raw[content:])
    assert stanza.with_attributes(stanza.attributes) == raw


@given(VALUES, TEXT, st.sampled_from("'\""))
def test_what_is_escaped_is_read_as_it_was(value, text, quote):
    raw = f"<a b={quote}{escape_value(value, quote)}{quote}>{escape_text(text)}</a>".encode()
    span = read(raw)
    assert (span.attributes["b"], span.text) == (value, text)
    stanza = injected(
        build("message", {"to": value, names.LANG: "en"}, f"<b>{escape_text(text)}</b>".encode())
    )
    assert stanza.to == value
    assert stanza.children[0].text == text


@given(attribute_values())
def test_language_of_the_stream_is_read_as_written(value):
    root = f"<s xmlns='jabber:client' xml:lang={value}>".encode()
    assert Stanza.parse(b"<iq/>", root).lang == read(b"<x a=" + value.encode() + b"/>").attributes["a"]


DAMAGE = st.sampled_from(
    [b"<", b">", b"&", b"<a/>", b"</context>", b"</iq>", b"x", b"\0", b"<!--", b"'", b"]]>"]
)


@given(stanzas(), DAMAGE, st.floats(0, 1))
def test_whatever_the_bytes_only_remote_errors_are_raised(raw, damage, where):
    at = int(where * len(raw))
    broken = raw[:at] + damage + raw[at:]
    try:
        stanza = Stanza.parse(broken, ROOT)
    except RemoteError:
        return
    assert stanza.span.start == 0
    assert stanza.span.end == len(broken)
    assert shape(Stanza.parse(stanza.standalone()).tree) == shape(stanza.tree)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_stanza_or_a_remote_error(raw):
    with pytest.raises(BadElement):
        Stanza.parse(raw)
