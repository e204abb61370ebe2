"""The proxy's own little stream before TLS, without a socket: whole, in pieces, and with every wrong answer."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2eproxy.xmpp.reaching import ConnectError
from e2eproxy.xmpp.starttls import MOST_BYTES, StartTLS

HEADER = (
    b"<?xml version='1.0'?><stream:stream id='1' from='example.test' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>"
)
FEATURES = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
)
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
REQUEST = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
ERRORS = b"urn:ietf:params:xml:ns:xmpp-streams"


def pieces(data, cuts):
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def talk(*parts):
    """Return the negotiation and all it said after *parts* came."""
    negotiation = StartTLS("example.test")
    return negotiation, b"".join(map(negotiation.receive, parts))


def asked():
    negotiation, said = talk(HEADER + FEATURES)
    assert said == REQUEST
    return negotiation


def test_header():
    opening = StartTLS("xn--bcher-kva.test").opening()
    assert opening.startswith(b"<?xml version='1.0'?><stream:stream")
    assert 'to="b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test"'.encode() in opening
    assert b"version='1.0'" in opening
    assert b"from=" not in opening


@settings(deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=8), st.sampled_from([b"", b"\n", b"  \r\n\t"]))
def test_good_server_in_any_pieces(cuts, space):
    negotiation = StartTLS("example.test")
    said = b"".join(map(negotiation.receive, pieces(HEADER + space + FEATURES + space, cuts)))
    assert said == REQUEST
    assert not negotiation.proceed
    for piece in pieces(space + PROCEED, cuts):
        assert negotiation.receive(piece) == b""
    assert negotiation.proceed


@pytest.mark.parametrize(
    "proceed", [PROCEED, PROCEED.replace(b"/>", b"></proceed>"), PROCEED.replace(b"'", b'"')]
)
def test_forms_of_proceed(proceed):
    negotiation = asked()
    negotiation.receive(proceed)
    assert negotiation.proceed


def test_prefixes_of_the_header_hold():
    header = HEADER.replace(b"xml:lang", b"xmlns:t='urn:ietf:params:xml:ns:xmpp-tls' xml:lang")
    negotiation, said = talk(header, b"<stream:features><t:starttls/></stream:features>")
    assert said == REQUEST
    negotiation.receive(b"<t:proceed/>")
    assert negotiation.proceed


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40), st.booleans())
def test_any_byte_behind_proceed_is_an_attack(more, together):
    negotiation = asked()
    if not together:
        negotiation.receive(PROCEED)
    with pytest.raises(ConnectError) as caught:
        negotiation.receive(PROCEED + more if together else more)
    assert caught.value.final
    assert caught.value.condition == "policy-violation"


@pytest.mark.parametrize(
    ("answer", "condition", "final", "words"),
    [
        (b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "policy-violation", True, "refuses"),
        (b"<proceed xmlns='jabber:client'/>", "remote-connection-failed", False, "<proceed/>"),
        (b"<message xmlns='jabber:client'/>", "remote-connection-failed", False, "<message/>"),
        (FEATURES, "remote-connection-failed", False, "<features/>"),
        (b"</stream:stream>", "remote-connection-failed", False, "closed the stream"),
        (b"\x15\x03\x01\x00", "policy-violation", True, "in the clear"),
        (b"<stream:error><reset xmlns='" + ERRORS + b"'/></stream:error>", "reset", False, "reset"),
        (b"<stream:error/>", "undefined-condition", True, "undefined-condition"),
    ],
)
def test_wrong_answers_to_starttls(answer, condition, final, words):
    with pytest.raises(ConnectError) as caught:
        asked().receive(answer)
    assert (caught.value.condition, caught.value.final) == (condition, final)
    assert words in caught.value.text


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"<stream/>",
        b"<?xml version='1.0' encoding='utf-16'?><stream:stream>",
        b"\xff\xfe\x00\x00",
        HEADER + b"<!-- -->",
        HEADER + b"text",
        HEADER + b"<a>" * 100,
    ],
)
def test_no_xmpp_server(greeting):
    with pytest.raises(ConnectError) as caught:
        talk(greeting + b" " * 10)
    assert caught.value.condition == "remote-connection-failed"
    assert not caught.value.final


def test_endless_data_is_bounded():
    negotiation = StartTLS("example.test")
    negotiation.receive(HEADER)
    sent = len(HEADER)
    with suppress(ConnectError):
        while sent < 2 * MOST_BYTES:
            negotiation.receive(b" " * 1000)
            sent += 1000
    assert MOST_BYTES - 1000 <= sent <= MOST_BYTES


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
def test_only_connect_errors_come_out(chunks, after_features):
    """Law 6: whatever a server sends is an answer, or this one error; TLS never begins unasked."""
    negotiation = asked() if after_features else StartTLS("example.test")
    with suppress(ConnectError):
        for chunk in chunks:
            negotiation.receive(chunk)
    assert not negotiation.proceed
