"""Our OTR machines against each other and against the worst peer: no wrong text, no stuck state, nothing but RemoteError."""

from __future__ import annotations

import contextlib
import random

import pytest
from attrs import evolve
from bed.otr_pair import pair, settle
from bed.otr_transcript import NAMES, load
from hypothesis import given, settings
from hypothesis import strategies as st

from e2eproxy.errors import RemoteError
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, fragments, identity, messages, records, smp
from e2eproxy.methods.otr.encoding import Reader

VERSIONS = st.sampled_from(messages.VERSIONS)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


def tags_of(end):
    return (end.now.own_tag, end.now.peer_tag) if end.now.session.version == 3 else None


@settings(deadline=None, max_examples=60)
@given(
    version=VERSIONS,
    steps=st.lists(st.tuples(st.integers(0, 1), TEXTS, st.integers(60, 400)), max_size=12),
)
def test_texts_arrive_in_order_through_fragments(version, steps):
    ends = pair(version)
    wanted = [[], []]
    for who, text, size in steps:
        (sent,) = ends[who].say(text.encode())
        for piece in fragments.cut(sent, size, tags_of(ends[who])):
            assert len(piece) <= size
            assert ends[1 - who].take(piece) == []
        wanted[1 - who].append(text.encode())
    assert [one.heard for one in ends] == wanted


@settings(deadline=None, max_examples=60)
@given(version=VERSIONS, seed=st.integers(0, 2**32), turns=st.lists(st.integers(0, 5), max_size=25))
def test_whole_messages_out_of_order_are_never_wrong_doubled_or_the_end(version, seed, turns):
    """A network that delays, repeats and swaps: what is heard was said, once, in order; then they can talk again."""
    ends, chance = pair(version), random.Random(seed)
    wires = ([], [])
    said = ([], [])
    for number, what in enumerate(turns):
        who = number % 2
        if what < 3:
            said[1 - who].append(b"%d" % number)
            wires[1 - who].extend(ends[who].say(b"%d" % number))
        for wire, end in zip(wires, ends, strict=True):
            while wire and chance.random() < 0.5:
                text = wire.pop(chance.randrange(len(wire)))
                if chance.random() < 0.2:
                    wire.append(text)
                end.survives(text)
    for end, texts in zip(ends, said, strict=True):
        numbers = [int(one) for one in end.heard]
        assert numbers == sorted(set(numbers))
        assert set(end.heard) <= set(texts)
    for number in range(4):
        (text,) = ends[number % 2].say(b"at last")
        ends[1 - number % 2].survives(text)
    assert ends[0].heard[-1] == ends[1].heard[-1] == b"at last"


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    starts=st.lists(st.tuples(st.integers(0, 1), VERSIONS), min_size=1, max_size=5),
)
def test_exchanges_that_begin_at_the_same_time_come_to_one_session(seed, starts):
    ends, chance = pair(live=False, seed=seed), random.Random(seed)
    wires = ([], [])
    for who, version in starts:
        wires[1 - who].extend(ends[who].do(talk.offered(ends[who].now, version, ends[who].party)))
    for _ in range(100):
        full = [who for who in (0, 1) if wires[who]]
        if not full:
            break
        who = chance.choice(full)
        wires[1 - who].extend(ends[who].survives(wires[who].pop(0)))
    assert not any(wires), "they do not come to rest"
    # A last offer, as a user would make who sees that it did not work, always ends in a session.
    settle([(1, one) for one in ends[0].do(talk.offered(ends[0].now, starts[-1][1], ends[0].party))], ends)
    assert ends[0].now.ssid == ends[1].now.ssid != b""
    for who in (0, 1):
        (text,) = ends[who].say(b"well")
        ends[1 - who].take(text)
        assert ends[1 - who].heard == [b"well"]


@settings(deadline=None, max_examples=25)
@given(
    version=VERSIONS,
    secrets=st.tuples(TEXTS, TEXTS) | TEXTS.map(lambda one: (one, one)),
    question=st.just("") | TEXTS,
    asker=st.integers(0, 1),
)
def test_a_comparison_says_the_same_to_both_and_the_truth(version, secrets, question, asker):
    ends = pair(version)
    turn = talk.ask(ends[asker].now, secrets[0].encode(), question, ends[asker].party)
    settle([(1 - asker, one) for one in ends[asker].do(turn)], ends)
    other = ends[1 - asker]
    assert other.happened[-1] == talk.Asked(question)
    turn = talk.answer(other.now, secrets[1].encode(), other.party)
    settle([(asker, one) for one in other.do(turn)], ends)
    results = [[one for one in end.happened if isinstance(one, talk.Compared)] for end in ends]
    holds = secrets[0] == secrets[1]
    wanted = {"holds": holds, "questioned": bool(question)}
    assert results[asker] == [talk.Compared(identity=ends[asker].now.identity, ours=True, **wanted)]
    assert results[1 - asker] == [talk.Compared(identity=other.now.identity, ours=False, **wanted)]


RECORDED = [one["message"] for name in NAMES for one in load(name)["log"] if one["ev"] == "msg"]


@st.composite
def mutated(draw):
    """A recorded message with bytes changed, cut out or put in, within the base64 or outside of it."""
    text = draw(st.sampled_from(RECORDED))
    inside = text.startswith("?OTR:") and draw(st.booleans())
    raw = bytearray(forms.form_of(text).value if inside else text.encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        piece = draw(st.binary(max_size=6) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b",", b"?OTR", b"|"]))
        end = at + draw(st.integers(0, 8))
        raw[at:end] = piece
    return forms.encoded_text(bytes(raw)) if inside else raw.decode("latin-1")


@settings(deadline=None, max_examples=300)
@given(texts=st.lists(mutated() | st.sampled_from(RECORDED), min_size=1, max_size=4), live=st.booleans())
def test_what_a_peer_makes_of_recorded_messages_raises_remote_errors_only(texts, live):
    ends = pair(live=live)
    for text in texts:
        ends[0].survives(text)
    if live:
        (text,) = ends[1].say(b"still there")
        ends[0].take(text)
        assert ends[0].heard == [b"still there"]


@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=80).map("?OTR".__add__) | st.text(max_size=80))
def test_any_text_has_a_form_or_is_refused(text):
    with contextlib.suppress(RemoteError):
        forms.form_of(text)


@settings(deadline=None, max_examples=150)
@given(
    version=VERSIONS,
    plains=st.lists(
        st.binary(max_size=40)
        | st.builds(
            records.join,
            st.just(b""),
            st.lists(
                st.builds(
                    records.Record,
                    st.integers(0, 9),
                    st.binary(max_size=30)
                    | st.lists(st.binary(max_size=4), max_size=11).map(
                        lambda parts: (
                            len(parts).to_bytes(4, "big")
                            + b"".join(len(one).to_bytes(4, "big") + one for one in parts)
                        )
                    ),
                ),
                max_size=4,
            ),
        ),
        max_size=4,
    ),
)
def test_what_a_peer_puts_inside_raises_remote_errors_only(version, plains):
    """The peer has all keys, and writes what it likes into its messages."""
    alice, bob = pair(version)
    for plain in plains:
        bob.now, message = talk._seal(bob.now, plain, 0)
        alice.take(forms.encoded_text(messages.encode(message)))
        if alice.now.state is not talk.State.ENCRYPTED:
            return


@settings(deadline=None, max_examples=40)
@given(data=st.data(), version=VERSIONS)
def test_a_comparison_with_a_cheat_ends_for_both(data, version):
    """At each step the numbers of a record are replaced by ones of the peer's liking: it never holds."""
    alice, bob = pair(version)
    (text,) = bob.do(talk.ask(bob.now, b"secret", "", bob.party))
    alice.take(text)
    turn = talk.answer(alice.now, b"secret", alice.party)
    step = smp.receive(bob.now.comparison, _inside(turn, bob), bob.party.random)
    reader = Reader(step.reply.value)
    numbers = [reader.mpi() for _ in range(reader.integer())]
    for at in data.draw(st.sets(st.integers(0, len(numbers) - 1), min_size=1)):
        numbers[at] = data.draw(st.integers(0, 4) | st.integers(0, 2**1536) | st.sampled_from(numbers))
    alice.do(turn)
    honest = talk._record(alice.now, step.reply, b"", alice.party)
    assert [one.holds for one in honest.happened if isinstance(one, talk.Compared)] == [True]
    cheat = records.Record(step.reply.type, smp._body(tuple(numbers)))
    outcome = talk._record(alice.now, cheat, b"", alice.party)
    if cheat != step.reply:
        assert not any(isinstance(one, talk.Compared) for one in outcome.happened)


def _inside(turn, receiver):
    """The record in the last message of *turn*, as its receiver would see it."""
    from e2eproxy.methods.otr import session

    opened = session.open_(receiver.now.session, turn.replies[-1], random.Random(1).randbytes)
    return records.split(opened.plain)[1][0]


@settings(deadline=None, max_examples=200)
@given(raw=st.binary(max_size=600))
def test_keys_and_messages_of_any_bytes_are_refused_or_whole(raw):
    for read, write in (
        (messages.decode, messages.encode),
        (identity.public_of, lambda key: key.encoded()),
        (identity.PrivateKey.decoded, lambda key: key.encoded()),
    ):
        try:
            value = read(raw)
        except RemoteError:
            continue
        assert write(value) == raw


@pytest.mark.parametrize("version", messages.VERSIONS)
def test_a_peer_that_never_listens_makes_no_session_grow(version):
    alice, bob = pair(version)
    for number in range(300):
        (text,) = bob.say(b"%d" % number)
        alice.take(text)
        # Turn bob's own key as if alice had answered: only a client that cheats does so.
        session = bob.now.session
        newest = session.own_id
        turned = talk.session._turn_own(session, newest, bob.party.random)
        bob.now = evolve(bob.now, session=turned)
    assert len(alice.heard) == 300
    assert len(alice.now.session.pairs) <= 4
    assert len(alice.now.session.publish) == 100 * messages.MAC_BYTES
