"""The framer on any well-formed stream, however it was cut: the pieces are the stream, and the cuts do not matter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stanza_strategies import CLIENT_HEADER, SERVER_HEADER, cuts, stanza_sequences

from e2eproxy.errors import StreamError
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, End, Header, Limits, Whitespace

MIB = 1024 * 1024


def merged(pieces):
    """Pieces with neighbouring white space joined: where a keep-alive is cut is no part of the meaning."""
    out = []
    for piece in pieces:
        if isinstance(piece, Whitespace) and out and isinstance(out[-1], Whitespace):
            out[-1] = Whitespace(out[-1].raw + piece.raw)
        else:
            out.append(piece)
    return out


@given(st.data(), st.booleans())
def test_pieces_are_the_stream_whole_split_and_byte_by_byte(data, strict):
    header = CLIENT_HEADER if strict else SERVER_HEADER
    body, expected = data.draw(stanza_sequences())
    stream = header + body + b"</stream:stream>"
    whole = Framer(Limits(MIB, strict=strict)).receive(stream)
    assert b"".join(piece.raw for piece in whole) == stream
    assert isinstance(whole[0], Header)
    assert isinstance(whole[-1], End)
    assert [piece.raw for piece in whole if isinstance(piece, Element)] == expected
    for pieces in (data.draw(cuts(stream)), [stream[at : at + 1] for at in range(len(stream))]):
        framer = Framer(Limits(MIB, strict=strict))
        got = [piece for part in pieces for piece in framer.receive(part)]
        assert merged(got) == merged(whole)


DAMAGE = st.one_of(
    st.tuples(st.just("replace"), st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("delete"), st.integers(1, 20)),
    st.tuples(
        st.just("insert"),
        st.sampled_from(
            [b"<", b">", b"&", b"<!--", b"<![CDATA[", b"</stream:stream>", b"\0", b"<?xml?>", b"<a/>"]
        ),
    ),
)


def damaged(stream, damage, at):
    kind, what = damage
    if kind == "delete":
        return stream[:at] + stream[at + what :]
    return stream[:at] + what + stream[at + (kind == "replace") :]


def outcome(stream, size, *, strict):
    """The condition in which a stream in pieces of one size ends, or None, and the pieces that came out of it."""
    framer = Framer(Limits(MIB, strict=strict))
    pieces = []
    try:
        for at in range(0, len(stream), size):
            pieces += framer.receive(stream[at : at + size])
    except StreamError as error:
        return error.condition, pieces + framer.completed
    return None, pieces


@given(st.data(), st.booleans(), st.lists(DAMAGE, min_size=1, max_size=4))
def test_damage_ends_in_pieces_or_a_stream_error(data, strict, damages):
    stream = CLIENT_HEADER + data.draw(stanza_sequences())[0] + b"</stream:stream>"
    for damage in damages:
        stream = damaged(stream, damage, data.draw(st.integers(0, len(stream))))
    endings = []
    for size in (len(stream), 1, 5):
        condition, pieces = outcome(stream, size, strict=strict)
        endings.append(condition)
        if strict:
            assert stream.startswith(b"".join(piece.raw for piece in pieces))
    assert endings[1] == endings[2]
