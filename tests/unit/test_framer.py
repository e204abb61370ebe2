"""The framer: where it cuts, what it refuses, and each trap of the wire that was measured in expat."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from e2eproxy.errors import RemoteError, StreamError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, End, Header, Limits, Part, Whitespace

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='example.test' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
)
MIB = 1024 * 1024
SUCCESS = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"


def client(element_bytes=MIB, **more):
    return Framer(Limits(element_bytes, **more))


def server(element_bytes=16 * MIB):
    return Framer(Limits(element_bytes, strict=False), restart_after=frozenset((names.SASL_SUCCESS,)))


def opened(framer):
    assert [type(piece) for piece in framer.receive(HEADER)] == [Header]
    return framer


def feed(framer, data, size):
    return [piece for at in range(0, len(data), size) for piece in framer.receive(data[at : at + size])]


def joined(pieces):
    return b"".join(piece.raw for piece in pieces)


def refused(framer, data):
    with pytest.raises(StreamError) as caught:
        framer.receive(data)
    assert isinstance(caught.value, RemoteError)
    assert caught.value.text.endswith(".")
    return caught.value.condition


ELEMENTS = [
    b"<presence/>",
    b"<presence />",
    b"<presence></presence>",
    b"<presence></presence >",
    b"<presence\n>\n</presence\t>",
    b"<message>/></message>",
    b"<message>></message>",
    b"<message a='>'/>",
    b"<message a='/>'></message>",
    b'<message a="it\'s />"/>',
    b"<message a='/>'>/></message>",
    b"<message><body/></message>",
    b"<message><body>a]]&gt;b<![CDATA[</message>]]></body></message>",
    b"<stream:features/>",
    b"<stream:features></stream:features>",
    b"<stream:streams/>",
    b"<stream:streams>/></stream:streams>",
    b"<stream:streams a='/>'></stream:streams>",
    "<message><body>\U0001f512\u00e9</body></message>".encode(),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("element", ELEMENTS)
def test_cuts_every_spelling_at_its_end(element, size):
    for follow in (b"<iq/>", b" <iq/>", b"</stream:stream>"):
        framer = opened(client())
        pieces = feed(framer, element + follow, size)
        assert pieces[0].raw == element
        assert joined(pieces) == element + follow
        assert isinstance(pieces[-1], End if b"stream" in follow else Element)


@pytest.mark.parametrize("bogus", [b"</message>", b"</stream:x>", b"</presence>", b"</stream:streams>"])
@pytest.mark.parametrize("element", [b"<presence/>", b"<message/>", b"<message>/></message>"])
def test_an_end_tag_that_belongs_to_nothing_is_no_part_of_the_element_before_it(element, bogus):
    framer = opened(client())
    assert refused(framer, element + bogus) == "not-well-formed"
    assert joined(framer.completed) == element


def test_tells_name_attributes_and_header():
    (header,) = client().receive(HEADER)
    assert header.attribute("to") == "example.test"
    assert header.attribute("from") is None
    framer = opened(client())
    (stanza,) = framer.receive(b"<message to='a@b' xml:lang='en'><body/></message>")
    assert stanza.name == names.MESSAGE
    assert stanza.attribute("to") == "a@b"
    assert stanza.attribute(names.LANG) == "en"
    (prefixed,) = framer.receive(b"<c:iq xmlns:c='jabber:client'/>")
    assert prefixed.name == names.IQ


def test_finished_stanza_comes_out_with_its_last_byte():
    # expat 2.6 and newer kept it back until more came: "reparse deferral".
    framer = opened(client())
    stanza = b"<message to='romeo@example.test'><body>" + b"x" * 3000 + b"</body></message>"
    for at in range(0, len(stanza), 5):
        pieces = framer.receive(stanza[at : at + 5])
        assert bool(pieces) == (at + 5 >= len(stanza))


def test_whitespace_between_stanzas_goes_on_at_once():
    framer = opened(client())
    assert framer.receive(b" ") == [Whitespace(b" ")]
    assert framer.receive(b"\n<presence/>\n") == [
        Whitespace(b"\n"),
        Element(b"<presence/>", names.PRESENCE, []),
        Whitespace(b"\n"),
    ]
    assert framer.between_elements


def test_whitespace_before_a_header_and_before_its_declaration():
    pieces = client().receive(b" \n" + HEADER)
    assert [type(piece) for piece in pieces] == [Whitespace, Header]
    assert joined(pieces) == b" \n" + HEADER


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("second", [HEADER, HEADER[21:], b"\n" + HEADER])
def test_second_header_starts_anew_at_its_first_byte(second, size):
    framer = opened(client())
    data = b"<presence/>" + second + b"<iq/></stream:stream>"
    pieces = feed(framer, data, size)
    assert joined(pieces) == data
    kinds = [type(piece) for piece in pieces if not isinstance(piece, Whitespace)]
    assert kinds == [Element, Header, Element, End]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_after_success_only_a_header_may_follow(size):
    framer = opened(server())
    pieces = feed(framer, SUCCESS + HEADER + b"<iq/>", size)
    assert [type(piece) for piece in pieces] == [Element, Header, Element]
    framer = opened(server())
    with pytest.raises(StreamError):
        feed(framer, SUCCESS + b"<iq xmlns='jabber:client'/>", size)


def test_a_success_from_the_client_is_just_an_element():
    framer = opened(client())
    assert len(framer.receive(SUCCESS + b"<iq/>")) == 2


def test_old_context_does_not_leak_into_the_new_stream():
    framer = opened(server())
    framer.receive(SUCCESS + HEADER.replace(b"jabber:client", b"jabber:other"))
    (stanza,) = framer.receive(b"<message/>")
    assert stanza.name == "jabber:other\x01message"


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<message>", None),
        (b"<message><body></message>", "not-well-formed"),
        (b"<message a=1/>", "not-well-formed"),
        (b"<message a='1' a='2'/>", "not-well-formed"),
        (b"<message>&nbsp;</message>", "not-well-formed"),
        (b"<x:message/>", "not-well-formed"),
        (b"<message>\x00</message>", "not-well-formed"),
        (b"<message>\xff</message>", "not-well-formed"),
        (b"<message>\xed\xa0\x80</message>", "not-well-formed"),
        (b"<message>]]></message>", "not-well-formed"),
        (b"</message>", "not-well-formed"),
        (b"<!-- -->", "restricted-xml"),
        (b"<message><!-- --></message>", "restricted-xml"),
        (b"<message><?php ?></message>", "restricted-xml"),
        (b"hello<message/>", "bad-format"),
        (b"<message/>hello<message/>", "bad-format"),
        (b"<message/>hello", "bad-format"),
        (b"&#65;", "bad-format"),
        (b"<![CDATA[ ]]>", "bad-format"),
        (b"<m>" + b"<a>" * 64, "policy-violation"),
        (b"<m " + b" ".join(b"a%d='1'" % n for n in range(101)) + b"/>", "policy-violation"),
        (b"<m><n " + b" ".join(b"a%d='1'" % n for n in range(101)) + b"/>", "policy-violation"),
        (b"<m>" + b"x" * MIB, "policy-violation"),
        (b"<m>" + b"x" * MIB + b"</m>", "policy-violation"),
        (b"<m a='" + b"x" * MIB, "policy-violation"),
    ],
)
def test_what_a_client_may_not_send(data, condition):
    framer = opened(client())
    if condition is None:
        assert framer.receive(data) == []
    else:
        assert refused(framer, data) == condition


def test_limits_hold_to_the_byte_level_and_attribute():
    framer = opened(client(element_bytes=100))
    stanza = b"<m>" + b"x" * 93 + b"</m>"
    assert len(framer.receive(stanza)) == 1
    assert refused(framer, stanza.replace(b"x<", b"xx<")) == "policy-violation"
    framer = opened(client())
    assert len(framer.receive(b"<m>" * 64 + b"</m>" * 64)) == 1
    assert len(framer.receive(b"<m " + b" ".join(b"a%d='1'" % n for n in range(100)) + b"/>")) == 1


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE stream [<!ENTITY a 'b'>]>" + HEADER[21:], "restricted-xml"),
        (b"<?xml version='1.0' encoding='iso-8859-1'?>" + HEADER[21:], "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='cp1252'?>" + HEADER[21:], "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='koi8-r'?>" + HEADER[21:], "unsupported-encoding"),
        (HEADER.decode().encode("utf-16"), "unsupported-encoding"),
        (HEADER[21:].decode().encode("utf-16-le"), "unsupported-encoding"),
        (HEADER[21:].decode().encode("utf-16-be"), "unsupported-encoding"),
        (b"<stream to='x'>", "invalid-namespace"),
        (b"<stream:stream xmlns:stream='urn:x'>", "invalid-namespace"),
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "not-well-formed"),
        (b"<?xml version='1.0'?><!-- -->" + HEADER[21:], "restricted-xml"),
        (b"<stream:stream a='" + b"x" * MIB, "policy-violation"),
    ],
)
def test_what_is_no_stream(data, condition):
    assert refused(client(), data) == condition


@pytest.mark.parametrize("start", [b"<\0", b"\0<", b"x\0", b"\xff", b"\xfe\xff", b" <\0"])
@pytest.mark.parametrize("size", [1, 100])
def test_what_expat_would_read_as_utf16_is_refused_however_it_is_cut(start, size):
    with pytest.raises(StreamError) as caught:
        feed(server(), start + b"stream", size)
    assert caught.value.condition == "unsupported-encoding"


@pytest.mark.parametrize("encoding", [b"UTF-8", b"utf-8", b"Utf8"])
def test_utf8_may_be_declared(encoding):
    header = b"<?xml version='1.0' encoding='%s'?>" % encoding + HEADER[21:]
    assert [type(piece) for piece in client().receive(header)] == [Header]


def test_doctype_from_a_server_is_refused_before_any_entity_counts():
    bomb = b"<!DOCTYPE s [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>" + HEADER[21:]
    assert refused(server(), bomb) == "restricted-xml"


def test_a_servers_excess_is_marked_and_goes_on():
    framer = opened(server())
    deep = b"<message>" + b"<a>" * 200 + b"</a>" * 200 + b"</message>"
    wide = b"<message><x " + b" ".join(b"a%d='1'" % n for n in range(300)) + b"/></message>"
    wider = b"<message " + b" ".join(b"a%d='1'" % n for n in range(300)) + b"/>"
    pieces = framer.receive(deep + wide + wider + b"<iq/>")
    assert [piece.excess for piece in pieces] == ["depth", "attributes", "attributes", None]
    assert joined(pieces) == deep + wide + wider + b"<iq/>"
    assert framer.receive(b"<!-- a --><iq/>")[-1].raw == b"<iq/>"


def test_text_and_comments_between_a_servers_stanzas_do_not_pass():
    framer = opened(server())
    pieces = framer.receive(b"hello<iq/><!-- c --> <iq/>&#65;<?x y?> ")
    assert joined(pieces) == b"<iq/><iq/>"


@pytest.mark.parametrize("size", [1009, 65536, 10 * MIB])
def test_a_servers_stanza_too_large_to_hold_comes_in_parts(size):
    framer = opened(server(element_bytes=100_000))
    stanza = b"<message to='a'>" + b"<x a='>'>y</x>" * 30_000 + b"</message>"
    pieces = feed(framer, stanza + b"<iq/>", size)
    assert joined(pieces) == stanza + b"<iq/>"
    assert pieces[-1] == Element(b"<iq/>", names.IQ, [])
    if size < MIB:
        parts = pieces[:-1]
        assert all(isinstance(part, Part) and part.name == names.MESSAGE for part in parts)
        assert [part.first for part in parts] == [True] + [False] * (len(parts) - 1)
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert max(len(part.raw) for part in parts) <= 100_000 + size
    else:
        assert pieces[0].excess == "bytes"


def test_one_tag_that_never_ends_ends_a_servers_stream():
    framer = opened(server(element_bytes=100_000))
    framer.receive(b"<message><body>x</body>")
    with pytest.raises(StreamError):
        feed(framer, b"<x a='" + b"y" * 300_000, 4096)


def test_nothing_comes_after_the_end():
    framer = opened(client())
    pieces = framer.receive(b"</stream:stream>trailing<garbage")
    assert pieces == [End(b"</stream:stream>")]
    assert framer.ended
    assert framer.receive(b"<iq/>") == []


def test_a_header_that_is_an_empty_element():
    pieces = client().receive(HEADER[:-1] + b"/>")
    assert [type(piece) for piece in pieces] == [Header, End]
    assert joined(pieces) == HEADER[:-1] + b"/>"


def test_a_namespace_may_hold_any_character_that_xml_allows():
    # expat refuses a namespace name in which its separator occurs; a contact could end our stream with it.
    framer = opened(server())
    for odd in (b"urn:}", b"a b", b"a\tb", b"#", b"|", b"^", b"&#10;"):
        assert len(framer.receive(b"<message><x xmlns='%s'/></message>" % odd)) == 1


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


TOKENS = {
    "start tag": (b"<message a='" + b">" * 100 + b'"', b"x>'\""[:2], b"'/>"),
    "quotes": (b"<message a='", b'"', b"'/>"),
    "end tag": (b"<message></message", b" ", b">"),
    "text": (b"<message>", b"x", b"</message>"),
    "cdata": (b"<message><![CDATA[", b"]", b"]]></message>"),
    "reference": (b"<message>&#", b"0", b"65;</message>"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_a_mebibyte_in_single_bytes_costs_bounded_time(kind):
    """Quadratic work would take minutes here: 80 kB of one tag took 3.35 s before tokens were held back."""
    opening, filling, closing = TOKENS[kind]
    count = (MIB - 200) // len(filling)
    data = opening + filling * count + closing
    framer = opened(client())
    pieces = []

    def work():
        for at in range(len(data)):
            pieces.extend(framer.receive(data[at : at + 1]))

    spent = seconds(work)
    assert joined(pieces) == data
    # Linear: about 2 s; the bound leaves room for a slow, busy machine and none for quadratic work.
    assert spent < 30


@pytest.mark.parametrize("comment", [b"<!--", b"<?x "])
def test_a_servers_long_comment_in_single_bytes_costs_bounded_time(comment):
    framer = opened(server())
    data = b"<message>" + comment + b">" * 200_000
    assert seconds(lambda: feed(framer, data, 1)) < 10


@pytest.mark.parametrize("make", [client, server])
def test_invented_names_do_not_stay(make):
    """200,000 names cost 110 MiB when the parser kept them all."""
    framer = opened(make())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(200_000):
            framer.receive(b"<n%06d a%06d=''/>" % (n, n))
        framer.receive(b"<message>")
        for n in range(40_000):
            framer.receive(b"<n%06d a%06d=''/>" % (n, n))
        framer.receive(b"</message>")
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4 * MIB


def test_too_many_names_in_one_stanza_end_even_a_servers_stream():
    framer = opened(server())
    framer.receive(b"<message>")
    flood = (b"".join(b"<n%07d/>" % m for m in range(n, n + 1000)) for n in range(0, 1_100_000, 1000))
    with pytest.raises(StreamError):
        list(map(framer.receive, flood))


def test_the_renewed_parser_keeps_the_streams_context():
    framer = client()
    (header,) = framer.receive(HEADER)
    assert header.root == HEADER[21:]
    stanza = b"<message><stream:x/><body>" + b"x" * 1000 + b"</body></message>"
    for _ in range(500):
        (piece,) = framer.receive(stanza)
        assert piece == Element(stanza, names.MESSAGE, [])
    assert framer.receive(b"</stream:stream>") == [End(b"</stream:stream>")]
