"""The framer on any well-formed stream, however it was cut: the pieces are the stream, and the cuts do not matter."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from stanza_strategies import CLIENT_HEADER, SERVER_HEADER, cuts, stanza_sequences

from e2eproxy.errors import RemoteError, StreamError
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


@given(st.data(), st.booleans(), st.randoms(use_true_random=False))
def test_damage_ends_in_pieces_or_a_remote_error(data, strict, rng: random.Random):
    stream = bytearray(CLIENT_HEADER + data.draw(stanza_sequences())[0] + b"</stream:stream>")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(stream))
        match rng.randrange(4):
            case 0:
                stream[at] = rng.randrange(256)
            case 1:
                del stream[at : at + rng.randint(1, 20)]
            case 2:
                stream[at:at] = rng.choice(
                    [b"<", b">", b"&", b"<!--", b"<![CDATA[", b"</stream:stream>", b"\0", b"<?xml?>"]
                )
            case _:
                stream[at:at] = stream[rng.randrange(len(stream)) :][:50]
        if not stream:
            return
    outcomes = []
    for size in (len(stream), 1, 5):
        framer = Framer(Limits(MIB, strict=strict))
        pieces = []
        try:
            for at in range(0, len(stream), size):
                pieces += framer.receive(bytes(stream[at : at + size]))
        except RemoteError as error:
            assert isinstance(error, StreamError)
            outcomes.append(error.condition)
        else:
            outcomes.append(None)
        if strict:
            raw = b"".join(piece.raw for piece in pieces)
            assert bytes(stream).startswith(raw)
    assert outcomes[1] == outcomes[2]
