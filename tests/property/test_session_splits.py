"""Byte identity of a whole session: what leaves is what came, however the network cut it (law 2 of DESIGN.md).

From the client's first header to the end of both streams, each side's bytes arrive whole, in single bytes, in small
pieces of one size or cut at random places, the two directions interleaved, with either peer not reading for a while.
Only the server's features are changed, and only by leaving out what does not work through the proxy. No stanza waits
for bytes behind it. Where the server offers stream management the proxy counts for itself, which the client never sees.
"""

from __future__ import annotations

from itertools import accumulate

from bed.memory_session import DOMAIN, MemorySession, MemoryTransport
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from stanza_strategies import CLIENT_HEADER, CLIENT_NONZAS, SERVER_HEADER, between_stanzas, cuts, stanzas

SM_OFFERED = b"<sm xmlns='urn:xmpp:sm:3'/>"
SHOWN_FEATURES = [
    (
        b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
        b"<mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
    ),
    b'<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><required/></bind>',
    b"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='a>b'></c>",
    b"<ver xmlns='urn:xmpp:features:rosterver'/>",
    b"<p:unknown xmlns:p='urn:example:new' starttls='yes' > sm <p:sm/></p:unknown>",
]
HIDDEN_FEATURES = [
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
    b'<starttls  xmlns="urn:ietf:params:xml:ns:xmpp-tls" />',
    b"<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>",
    SM_OFFERED,
    b"<s:sm xmlns:s='urn:xmpp:sm:2' a='>'></s:sm>",
    (
        b"<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/>"
        b"</inline></authentication>"
    ),
]
AUTH = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
SUCCESS = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
BIND = b"<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
BOUND = (
    b"<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>"
    b"romeo@" + DOMAIN.encode() + b"/balcony</jid></bind></iq>"
)
END = b"</stream:stream>"
SM_ENABLE = b"<enable xmlns='urn:xmpp:sm:3'/>"
SM_REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"
SM_ENABLED = b"<enabled xmlns='urn:xmpp:sm:3'/>"
SM_REFUSED = b"<failed xmlns='urn:xmpp:sm:3'/>"

# No explain phase: after a failure it would run thousands of sessions only to comment the example.
SLOW = settings(
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def features(draw):
    """The features as a server sends them, and as the client is to see them."""
    start = draw(st.sampled_from([b"<stream:features>", b"<stream:features\n xml:lang='en' >"]))
    end = draw(st.sampled_from([b"</stream:features>", b"</stream:features >"]))
    children = draw(st.lists(st.sampled_from(SHOWN_FEATURES + HIDDEN_FEATURES), max_size=5, unique=True))
    kept = [child for child in children if child in SHOWN_FEATURES]
    return b"".join([start, *children, end]), b"".join([start, *kept, end])


@st.composite
def bodies(draw, items):
    """What one side sends once it is logged in: (bytes, offsets at which a stanza is complete)."""
    wire, ends = draw(between_stanzas()), []
    for unit in draw(st.lists(items, max_size=4)):
        wire += unit
        ends.append(len(wire))
        wire += draw(between_stanzas())
    return wire, ends


class Direction:
    """One direction of the session: what has been sent into it and what has to have come out of it."""

    def __init__(self, source: MemoryTransport, sink: MemoryTransport):
        self.source = source
        self.sink = sink
        self.expected = b""

    def say(self, data, sent: bytes, shown: bytes | None = None) -> None:
        """One side says `sent`, cut somehow; all of it has to come out, as `shown` if that differs."""
        for piece in data.draw(cuts(sent)):
            self.source.deliver(piece)
        self.expected += sent if shown is None else shown
        self.require_all()

    def require_all(self) -> None:
        """All that was said has come out. A carriage return at the very end may wait: it can be half a line end."""
        written = bytes(self.sink.written)
        if self.expected.endswith(b"\r") and len(written) < len(self.expected):
            written += b"\r"
        assert written == self.expected


def log_in(data, session: MemorySession, up: Direction, down: Direction) -> bool:
    """From the client's first header to the server's bind result; return whether both count stanzas then."""
    gap = between_stanzas()
    for piece in data.draw(cuts(CLIENT_HEADER)):
        session.client.deliver(piece)
    assert session.client.paused, "the client is read although nobody has reached its server"
    assert not session.server.written
    assert not session.client.written
    session.reach_server()
    up.expected = CLIENT_HEADER
    assert bytes(session.server.written) == CLIENT_HEADER
    assert session.domains == [DOMAIN]

    raw, shown = data.draw(features())
    before, behind = data.draw(gap), data.draw(gap)
    down.say(data, SERVER_HEADER + before + raw + behind, SERVER_HEADER + before + shown + behind)
    up.say(data, data.draw(gap) + AUTH)
    down.say(data, SUCCESS)
    up.say(data, CLIENT_HEADER)
    raw, shown = data.draw(features())
    before, behind = data.draw(gap), data.draw(gap)
    down.say(data, SERVER_HEADER + before + raw + behind, SERVER_HEADER + before + shown + behind)
    # Behind a lone carriage return, which can be half a line end, the proxy's own request would overtake it.
    up.say(data, BIND + data.draw(gap).rstrip(b"\r"))
    if SM_OFFERED not in raw:
        down.say(data, BOUND + data.draw(gap))
        return False
    answer = data.draw(st.sampled_from([SM_ENABLED, SM_REFUSED, b""]))
    up.expected += SM_ENABLE
    down.say(data, BOUND)
    behind = data.draw(gap)
    down.say(data, answer + behind, behind)
    return answer == SM_ENABLED


def chat(data, directions: list[tuple[Direction, bytes, list[int]]]) -> None:
    """Both sides talk, in pieces that take turns, and each may not read for a while."""
    queues = []
    for direction, wire, ends in directions:
        pieces = data.draw(cuts(wire)) if wire else []
        arrived = list(accumulate(map(len, pieces)))
        queues.append((direction, wire, ends, list(zip(pieces, arrived, strict=True))))
    turns = data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 60), st.booleans()), max_size=8))
    turns += [(0, 1 << 20, False), (1, 1 << 20, False)]
    for which, count, blocked in turns:
        direction, wire, ends, pieces = queues[which]
        start = len(direction.expected)
        if blocked:
            direction.sink.stop_reading()
            assert direction.source.paused, "read on although the other side does not take anything"
        for piece, arrived in pieces[:count]:
            before = len(direction.sink.written)
            direction.source.deliver(piece)
            if blocked:
                assert len(direction.sink.written) == before
            else:
                complete = max((end for end in ends if end <= arrived), default=0)
                assert len(direction.sink.written) >= start + complete, "a whole stanza is held back"
        del pieces[:count]
        direction.sink.read_on()
    for direction, wire, _, pieces in queues:
        assert not pieces
        direction.expected += wire
        direction.require_all()


@SLOW
@given(st.data())
def test_what_leaves_is_what_came(data):
    session = MemorySession()
    up, down = Direction(session.client, session.server), Direction(session.server, session.client)
    counting = log_in(data, session, up, down)
    said = data.draw(bodies(st.one_of(stanzas(), stanzas(), CLIENT_NONZAS)))
    heard = data.draw(bodies(stanzas()))
    event(f"{len(said[1])} stanzas up, {len(heard[1])} down")
    chat(data, [(up, *said), (down, *heard)])
    first, second = (up, down) if data.draw(st.booleans()) else (down, up)
    if first is up and counting:
        up.source.deliver(END)
        handled = f"<a xmlns='urn:xmpp:sm:3' h='{len(heard[1])}'/>".encode()
        behind = bytes(session.server.written[len(up.expected) :])
        assert behind in {handled + END, SM_REQUEST + handled + END}
        up.expected += behind
    else:
        first.say(data, END)
    second.say(data, END)
    assert session.client.finished
    assert session.server.finished
    session.client.hang_up()
    session.server.hang_up()
    assert not session.clock.getDelayedCalls(), "something still waits after the end"


@SLOW
@given(st.data())
def test_all_in_one_piece_and_in_single_bytes(data):
    """The same session with nothing left to chance but the stanzas: joined as far as the login allows, and split."""
    (said, _), (heard, _) = data.draw(bodies(stanzas())), data.draw(bodies(stanzas()))
    for split in (False, True):
        session = MemorySession()

        def send(transport: MemoryTransport, wire: bytes, *, split: bool = split) -> None:
            for piece in [wire[at : at + 1] for at in range(len(wire))] if split else [wire]:
                transport.deliver(piece)

        send(session.client, CLIENT_HEADER)
        session.reach_server()
        send(session.server, SERVER_HEADER + b"<stream:features/>")
        send(session.client, AUTH)
        send(session.server, SUCCESS)
        send(session.client, CLIENT_HEADER + BIND)
        send(session.server, SERVER_HEADER + b"<stream:features/>" + BOUND + heard)
        send(session.client, said + END)
        send(session.server, END)
        sent = CLIENT_HEADER + AUTH + CLIENT_HEADER + BIND + said + END
        shown = SERVER_HEADER + b"<stream:features/>" + SUCCESS
        shown += SERVER_HEADER + b"<stream:features/>" + BOUND + heard + END
        assert bytes(session.server.written) == sent
        assert bytes(session.client.written) == shown
