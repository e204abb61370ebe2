"""OTR's machines one by one: tables, bounds, and what the worst peer writes into each field."""

from __future__ import annotations

import hashlib
import itertools
import random

import pytest
from attrs import evolve
from bed.otr_pair import end, identity, pair, settle
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import ake, forms, fragments, messages, proofs, records, session, smp
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr.arithmetic import G, P, Q, checked, is_prime, secret_below
from e2eproxy.methods.otr.encoding import MOST_NUMBER_BYTES, Reader, data, integer, mpi
from e2eproxy.methods.otr.forms import Fragment, form_of
from e2eproxy.methods.otr.identity import PrivateKey, PublicKey, new_key, public_of

# ---- encodings ----


@pytest.mark.parametrize(("number", "written"), [(0, "00000000"), (1, "0000000101"), (256, "000000020100")])
def test_numbers_in_their_shortest_form(number, written):
    assert mpi(number).hex() == written
    assert Reader(mpi(number)).mpi() == number


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"", Reader.byte),
        (b"\0", Reader.short),
        (b"\0\0\0", Reader.integer),
        (b"\0\0\0\2a", Reader.data),
        (b"\xff\xff\xff\xff", Reader.data),
        (b"\xff\xff\xff\xff", Reader.mpi),
        (b"\0\0\0\2\0\1", Reader.mpi),
        (b"\0\0\0\1\0", Reader.mpi),
        (data(b"\1" * (MOST_NUMBER_BYTES + 1)), Reader.mpi),
        (b"x", Reader.end),
    ],
)
def test_what_is_cut_off_or_too_long_is_refused(value, read):
    with pytest.raises(MethodError):
        read(Reader(value))


def test_the_longest_number_is_read():
    assert Reader(data(b"\1" * MOST_NUMBER_BYTES)).mpi().bit_length() == 8 * MOST_NUMBER_BYTES - 7


@pytest.mark.parametrize("sender", [0, 1, 0xFF])
def test_reserved_instance_tags_are_refused(sender):
    key = messages.Message(version=3, sender=sender, receiver=0x100, content=messages.Key(5))
    with pytest.raises(MethodError, match="tag"):
        messages.decode(messages.encode(key))


@pytest.mark.parametrize("tag", [0x100, 0x11111112, 0xFFFFFFFF])
def test_all_other_instance_tags_are_taken(tag):
    key = messages.Message(version=3, sender=tag, receiver=tag, content=messages.Key(5))
    assert messages.decode(messages.encode(key)) == key


def test_only_a_commit_may_leave_the_receiver_open():
    for content, allowed in ((messages.Commit(b"x", bytes(32)), True), (messages.Key(5), False)):
        encoded = messages.encode(messages.Message(version=3, sender=0x100, content=content))
        if allowed:
            assert messages.decode(encoded).receiver == 0
        else:
            with pytest.raises(MethodError):
                messages.decode(encoded)


@pytest.mark.parametrize("version", [0, 1, 4, 0xFFFF])
def test_other_versions_are_refused(version):
    with pytest.raises(MethodError, match="version"):
        messages.decode(version.to_bytes(2, "big") + b"\x0a" + mpi(5))


def test_a_part_of_a_published_key_is_refused():
    content = messages.Data(
        flags=0, sender_key=1, recipient_key=1, next_public=2, counter=bytes(8), ciphertext=b"", mac=bytes(20)
    )
    whole = messages.encode(messages.Message(version=2, content=evolve(content, published=bytes(40))))
    assert messages.decode(whole).content.published == bytes(40)
    with pytest.raises(MethodError, match="part of a key"):
        messages.decode(
            messages.encode(messages.Message(version=2, content=evolve(content, published=bytes(39))))
        )


# ---- forms ----


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("?OTR?", {1}),
        ("?OTR?v2?", {1, 2}),
        ("?OTRv?", set()),
        ("?OTRv23?", {2, 3}),
        ("?OTRv24x?", {2, 4}),
        ("?OTR?v?", {1}),
        (" \n?OTRv3? for people", {3}),
    ],
)
def test_queries(text, versions):
    assert form_of(text) == forms.Query(frozenset(versions))


@pytest.mark.parametrize(
    "text", ["?OTR", "?OTRv2", "?OTRx?", "?otrv2?", "I wrote ?OTRv2?", "> ?OTR:AAMC.", ""]
)
def test_what_only_looks_like_it_is_text(text):
    assert form_of(text) is None


def test_tags_anywhere_in_a_text():
    tag = forms.tag_text(frozenset({2, 3}))
    assert form_of(f"be{tag}fore") == forms.Tagged("before", frozenset({2, 3}))
    assert form_of(f"{tag}        ") == forms.Tagged("        ", frozenset({2, 3}))
    assert form_of(forms.TAG) == forms.Tagged("", frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "?OTR:AAMC",
        "?OTR:AAM.",
        "?OTR:.",
        "?OTR:AAMC. and more",
        "?OTR,1,2,",
        "?OTR,1,2,x",
        "?OTR,100000,2,x,",
        "?OTR|1,00001,00002,x,",
        "?OTR|1|123456789,00001,00002,x,",
        "?OTR|g|1,00001,00002,x,",
    ],
)
def test_damaged_ones_are_refused(text):
    with pytest.raises(MethodError):
        form_of(text)


def test_text_without_end_is_refused_before_it_is_decoded():
    for start in ("?OTR:", "?OTR,1,2,"):
        with pytest.raises(MethodError):
            form_of(start + "A" * forms.MOST_TEXT + ".,")


# ---- fragments ----


def put(*pieces):
    partial, whole = fragments.Partial(), None
    for number, count, piece in pieces:
        partial, whole = fragments.put_together(partial, Fragment(number=number, count=count, piece=piece))
    return partial, whole


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([(1, 1, "a")], "a"),
        ([(1, 2, "a"), (2, 2, "b")], "ab"),
        ([(1, 2, "x"), (1, 2, "a"), (2, 2, "b")], "ab"),
        ([(1, 3, "a"), (3, 3, "c")], None),
        ([(1, 3, "a"), (2, 2, "b")], None),
        ([(2, 2, "b")], None),
        ([(1, 2, "a"), (1, 3, "a"), (2, 2, "b")], None),
    ],
)
def test_pieces(pieces, whole):
    assert put(*pieces)[1] == whole


@pytest.mark.parametrize(("number", "count"), [(0, 0), (0, 1), (2, 1), (1, 65536), (99999, 99999)])
def test_impossible_numbers(number, count):
    with pytest.raises(MethodError, match="impossible"):
        put((number, count, "a"))


def test_pieces_without_end_are_given_up():
    size = forms.MOST_TEXT // 4
    pieces = [(number, 65535, "x" * size) for number in range(1, 6)]
    partial, _ = put(*pieces[:4])
    assert len(partial.text) == forms.MOST_TEXT
    assert put(*pieces) == (fragments.Partial(), None)


def test_too_narrow_to_be_cut():
    with pytest.raises(ValueError, match="too few"):
        fragments.cut("x" * 100, 18, None)
    assert fragments.cut("xy" * 10, 19, None)[0] == "?OTR,00001,00020,x,"


# ---- keys ----


def test_a_new_key_is_a_key_and_its_signatures_are_dsa_s():
    made = new_key(random.Random(7).randbytes)
    key = made.public
    assert (key.p.bit_length(), key.q.bit_length(), key.signature_bytes) == (1024, 160, 40)
    assert is_prime(key.p, random.Random(8).randbytes)
    assert is_prime(key.q, random.Random(8).randbytes)
    assert (key.p - 1) % key.q == 0
    assert pow(key.g, key.q, key.p) == 1
    assert PrivateKey.decoded(made.encoded()) == made
    value = hashlib.sha256(b"signed").digest()
    signature = made.sign(value, random.Random(8).randbytes)
    key.verify(value, signature)
    theirs = dsa.DSAPublicNumbers(key.y, dsa.DSAParameterNumbers(key.p, key.q, key.g)).public_key()
    reduced = (int.from_bytes(value, "big") % key.q).to_bytes(20, "big")
    halves = (int.from_bytes(signature[at : at + 20], "big") for at in (0, 20))
    theirs.verify(encode_dss_signature(*halves), reduced, Prehashed(hashes.SHA1()))


@pytest.mark.parametrize("size", [1024, 2048])
def test_signatures_of_the_library_with_longer_keys_are_taken(size):
    theirs = dsa.generate_private_key(size) if size == 1024 else DSA_2048.private_key()
    numbers = theirs.private_numbers()
    of = numbers.public_numbers.parameter_numbers
    key = PublicKey(of.p, of.q, of.g, numbers.public_numbers.y)
    ours = PrivateKey(public_of(key.encoded()), numbers.x)
    value = b"\xff" * 32
    signature = ours.sign(value, random.Random(8).randbytes)
    assert len(signature) == key.signature_bytes
    key.verify(value, signature)
    for wrong in (signature[:-1], bytes(len(signature)), signature[::-1], signature + b"\0"):
        with pytest.raises(MethodError):
            key.verify(value, wrong)
    with pytest.raises(MethodError):
        key.verify(b"\xfe" * 32, signature)


def _of_256_bits():
    chance = random.Random(11)
    from e2eproxy.methods.otr.identity import _new_prime

    q = _new_prime(256, 2, chance.randbytes)
    p = _new_prime(2048, 2 * q, chance.randbytes)
    g = pow(3, (p - 1) // q, p)
    x = 12345678901234567890
    return dsa.DSAPrivateNumbers(x, dsa.DSAPublicNumbers(pow(g, x, p), dsa.DSAParameterNumbers(p, q, g)))


DSA_2048 = _of_256_bits()


def test_keys_that_are_none_are_refused():
    key = identity("alice").public
    for bad in (
        evolve(key, p=key.p - 1),
        evolve(key, p=(1 << 511) - 1),
        evolve(key, q=key.q - 1),
        evolve(key, q=(1 << 159) - 1),
        evolve(key, q=(1 << 257) + 1),
        evolve(key, g=0),
        evolve(key, g=1),
        evolve(key, g=key.p - 1),
        evolve(key, y=1),
        evolve(key, y=key.p),
    ):
        with pytest.raises(MethodError):
            public_of(bad.encoded())
    with pytest.raises(MethodError):
        public_of(b"\0\1" + key.encoded()[2:])
    with pytest.raises(MethodError):
        public_of(key.encoded() + b"\0")
    with pytest.raises(MethodError, match="belong"):
        PrivateKey.decoded(key.encoded() + mpi(identity("alice").x + 1))


def test_a_q_that_is_no_prime_only_fails_the_signature():
    key = evolve(identity("alice").public, q=3 * ((1 << 160) + 7))
    with pytest.raises(MethodError):
        key.verify(bytes(32), (1).to_bytes(21, "big") + (3).to_bytes(21, "big"))


@pytest.mark.parametrize("element", [0, 1, P - 1, P, P + 2, 2 * P])
def test_numbers_outside_the_group_are_refused(element):
    with pytest.raises(MethodError):
        checked(element)


def test_secret_numbers_are_in_their_range_and_reach_its_ends():
    assert secret_below(3, bytes) == 1
    assert secret_below(3, lambda length: bytes(length - 1) + b"\1") == 2
    assert P == 2 * Q + 1
    assert pow(G, Q, P) == 1


# ---- the exchange ----


def test_the_table_of_the_exchange_is_the_specification_s():
    acts = {(state.name, kind.__name__) for state, kind in ake.TABLE}
    assert acts == {
        ("NONE", "Commit"),
        ("AWAITING_KEY", "Commit"),
        ("AWAITING_REVEAL", "Commit"),
        ("AWAITING_SIGNATURE", "Commit"),
        ("AWAITING_KEY", "Key"),
        ("AWAITING_SIGNATURE", "Key"),
        ("AWAITING_REVEAL", "RevealSignature"),
        ("AWAITING_SIGNATURE", "Signature"),
    }


def exchange_until(count, version=3):
    """(alice, bob, the message that is number *count* of the exchange, who takes it)."""
    ends = pair(live=False)
    (text,) = ends[1].do(talk.offered(ends[1].now, version, ends[1].party))
    who = 0
    for _ in range(count):
        (text,) = ends[who].take(text)
        who = 1 - who
    return ends, text, who


def decoded(text):
    return messages.decode(form_of(text).value)


@pytest.mark.parametrize("version", messages.VERSIONS)
@pytest.mark.parametrize(
    ("count", "kinds"), [(0, "Commit"), (1, "Key"), (2, "RevealSignature"), (3, "Signature")]
)
def test_repeated_steps_are_answered_the_same_or_not_at_all(version, count, kinds):
    ends, text, who = exchange_until(count, version)
    assert type(decoded(text).content).__name__ == kinds
    first = ends[who].take(text)
    again = ends[who].survives(text)
    assert again in ([], first)
    settle([(1 - who, one) for one in first], ends)
    assert ends[0].now.ssid == ends[1].now.ssid != b""


@pytest.mark.parametrize("count", [2, 3])
def test_a_proof_that_does_not_hold_changes_nothing(count):
    ends, text, who = exchange_until(count)
    message = decoded(text)
    proof = message.content
    for field in ("encrypted", "mac", "revealed")[: 3 if count == 2 else 2]:
        value = getattr(proof, field)
        bad = evolve(message, content=evolve(proof, **{field: bytes([value[0] ^ 1]) + value[1:]}))
        before = ends[who].now
        with pytest.raises(MethodError):
            ends[who].take(forms.encoded_text(messages.encode(bad)))
        assert ends[who].now is before
    ends[who].take(text)
    assert ends[who].now.state is talk.State.ENCRYPTED


@pytest.mark.parametrize("public", [0, 1, P - 1, P, P + 2])
def test_public_keys_outside_the_group_are_refused(public):
    ends, text, who = exchange_until(1)
    bad = evolve(decoded(text), content=messages.Key(public))
    with pytest.raises(MethodError):
        ends[who].take(forms.encoded_text(messages.encode(bad)))


def test_our_own_key_sent_back_is_refused():
    ends, text, who = exchange_until(1)
    bad = evolve(decoded(text), content=messages.Key(ends[who].now.exchange.own.public))
    with pytest.raises(MethodError, match="back"):
        ends[who].take(forms.encoded_text(messages.encode(bad)))


def test_a_commit_to_one_key_and_a_proof_for_another():
    """The commit is exchanged for another, whose key opens to a number that was not hashed."""
    ends, text, who = exchange_until(2)
    now = ends[who].now
    commit = evolve(now.exchange.commit, hashed=bytes(32))
    ends[who].now = evolve(now, exchange=evolve(now.exchange, commit=commit))
    with pytest.raises(MethodError, match="not the one"):
        ends[who].take(text)


def test_a_key_id_of_zero_is_refused():
    keys = proofs.keys_of(5, 7).reveal
    alice = end("alice", 0x100).party
    for key_id in (0, 1):
        sealed = proofs.seal(keys, proofs.Claim(11, 13, key_id), alice)
        if key_id:
            assert proofs.open_(keys, (11, 13), *sealed).key_id == 1
        else:
            with pytest.raises(MethodError, match="number"):
                proofs.open_(keys, (11, 13), *sealed)


def test_the_higher_hash_goes_on():
    ends = pair(live=False)
    (mine,) = ends[0].do(talk.offered(ends[0].now, 3, ends[0].party))
    (theirs,) = ends[1].do(talk.offered(ends[1].now, 3, ends[1].party))
    higher = decoded(mine).content.hashed > decoded(theirs).content.hashed
    answers = decoded(ends[0].take(theirs)[0]), decoded(ends[1].take(mine)[0])
    kinds = [type(one.content) for one in answers]
    assert kinds == ([messages.Commit, messages.Key] if higher else [messages.Key, messages.Commit])


def test_a_bad_exchange_does_not_harm_the_session():
    alice, bob = pair()
    (text,) = bob.do(talk.offered(bob.now, 3, bob.party))
    (text,) = alice.take(text)
    (text,) = bob.take(text)
    bad = decoded(text)
    bad = evolve(bad, content=evolve(bad.content, mac=bytes(20)))
    with pytest.raises(MethodError):
        alice.take(forms.encoded_text(messages.encode(bad)))
    (said,) = bob.say(b"on we go")
    alice.take(said)
    assert alice.heard == [b"on we go"]


def test_messages_for_other_clients_and_our_own_are_refused():
    alice, bob = pair()
    (text,) = bob.say(b"hello")
    for change in ({"receiver": 0x999}, {"sender": alice.tag}):
        with pytest.raises(MethodError):
            alice.take(forms.encoded_text(messages.encode(evolve(decoded(text), **change))))


# ---- data messages ----


@pytest.mark.parametrize("version", messages.VERSIONS)
@pytest.mark.parametrize(
    "change",
    [
        {"sender_key": 0},
        {"recipient_key": 0},
        {"sender_key": 3},
        {"recipient_key": 3},
        {"sender_key": 0xFFFFFFFF},
        {"counter": bytes(8)},
        {"counter": b"\xff" * 8},
        {"next_public": 0},
        {"next_public": 5},
        {"flags": 0xFE},
        {"mac": bytes(20)},
        {"ciphertext": b""},
    ],
)
def test_a_changed_field_is_unreadable_and_changes_nothing(version, change):
    alice, bob = pair(version)
    (text,) = bob.say(b"hello")
    message = decoded(text)
    before = alice.now
    alice.take(
        forms.encoded_text(messages.encode(evolve(message, content=evolve(message.content, **change))))
    )
    assert isinstance(alice.happened[-1], talk.Unreadable)
    assert alice.now == before
    alice.take(text)
    assert alice.heard == [b"hello"]


def test_counters_that_repeat_are_refused_even_with_a_good_mac():
    alice, bob = pair()
    (text,) = bob.say(b"hello")
    alice.take(text)
    alice.take(text)
    assert alice.happened[-1].why == "A message arrived that was opened before."
    assert alice.heard == [b"hello"]


@pytest.mark.parametrize("public", [0, 1, P - 1, P])
def test_a_peer_that_announces_a_number_outside_the_group_is_refused(public):
    """The MAC holds: the peer itself sends it."""
    alice, bob = pair()
    newest = bob.now.session.own_id
    own = {**bob.now.session.own}
    own[newest] = evolve(own[newest], public=public)
    bob.now = evolve(bob.now, session=evolve(bob.now.session, own=own))
    (text,) = bob.say(b"hello")
    before = alice.now
    with pytest.raises(MethodError):
        alice.take(text)
    assert alice.now is before


def test_no_counter_and_no_pair_of_keys_is_used_twice():
    alice, bob = pair()
    seen = set()
    for number in range(40):
        who, other = (alice, bob) if number % 3 else (bob, alice)
        (text,) = who.say(b"x")
        content = decoded(text).content
        mark = (who.name, content.sender_key, content.recipient_key, content.counter)
        assert mark not in seen
        seen.add(mark)
        other.take(text)


def test_every_published_key_was_used_and_is_published_once():
    alice, bob = pair()
    published, used = [], set()
    for number in range(30):
        who, other = (alice, bob) if number % 2 else (bob, alice)
        (text,) = who.say(b"x")
        content = decoded(text).content
        at = range(0, len(content.published), 20)
        published += [content.published[one : one + 20] for one in at]
        pair_used = who.now.session.pairs[content.sender_key, content.recipient_key]
        used.add(pair_used.sending_mac)
        other.take(text)
        live = {one.receiving_mac for one in other.now.session.pairs.values()}
        assert not live & set(published), "a key that is in use must not be told"
    assert len(published) == len(set(published)) > 20
    assert set(published) <= used


def test_both_sides_have_the_same_extra_key():
    alice, bob = pair()
    record = records.Record(records.EXTRA_KEY, integer(0x42) + b"use")
    key = session.extra_key(alice.now.session)
    alice.now, message = talk.sealed(alice.now, (record,))
    bob.take(forms.encoded_text(messages.encode(message)))
    assert bob.happened[-1] == talk.ExtraKey(use=0x42, data=b"use", key=key)


# ---- records ----


@pytest.mark.parametrize(
    ("plain", "text", "types"),
    [
        (b"", b"", []),
        (b"a\0", b"a", []),
        (b"a\0\0\1\0\0", b"a", [1]),
        (b"a\0\0\1\0\5abc", b"a", []),
        (b"a\0\0\1\xff\xff", b"a", []),
        (b"a\0\0\1\0\0\0\x63\0\1x\0", b"a", [1, 99]),
    ],
)
def test_records(plain, text, types):
    found, inside = records.split(plain)
    assert (found, [one.type for one in inside]) == (text, types)


def test_records_without_end_are_bounded():
    assert len(records.split(b"\0" + b"\0\0\0\0" * 1000)[1]) == records.MOST_RECORDS


def test_what_follows_the_end_of_a_session_is_left_out():
    alice, bob = pair()
    after, message = talk.sealed(
        bob.now,
        (
            records.Record(records.DISCONNECTED),
            records.Record(records.SMP_2),
            records.Record(records.EXTRA_KEY),
        ),
    )
    assert after is not bob.now
    alice.take(forms.encoded_text(messages.encode(message)))
    assert alice.now.state is talk.State.FINISHED
    assert isinstance(alice.happened[-1], talk.Ended)
    with pytest.raises(MethodError):
        alice.say(b"not in clear")


# ---- the comparison ----


def test_every_record_out_of_order_aborts_and_one_can_begin_again():
    stages = list(smp.Stage)
    kinds = [records.SMP_1, records.SMP_2, records.SMP_3, records.SMP_4, records.SMP_1_QUESTION]
    for stage, kind in itertools.product(stages, kinds):
        if (stage, kind) in smp.TABLE:
            continue
        with pytest.raises(smp.OutOfOrderError):
            smp.receive(smp.Comparison(stage=stage), records.Record(kind, b""), random.Random(1).randbytes)


@pytest.mark.parametrize("kind", [2, 3, 4, 5, 7])
def test_a_wrong_record_is_answered_by_an_abort_once(kind):
    alice, bob = pair()
    bob.now, message = talk.sealed(bob.now, (records.Record(kind, b"x"),))
    count = settle([(0, forms.encoded_text(messages.encode(message)))], (alice, bob))
    assert count == 2
    assert isinstance(alice.happened[-1], talk.Aborted)
    settle([(0, one) for one in bob.do(talk.ask(bob.now, b"s", "", bob.party))], (alice, bob))
    settle([(1, one) for one in alice.do(talk.answer(alice.now, b"s", alice.party))], (alice, bob))
    assert alice.happened[-1].holds
    assert bob.happened[-1].holds


def test_a_second_question_while_one_is_open_aborts():
    alice, bob = pair()
    for _ in range(2):
        step = smp.ask(5, "", bob.party.random)
        bob.now, message = talk.sealed(bob.now, (step.reply,))
        settle([(0, forms.encoded_text(messages.encode(message)))], (alice, bob))
    assert isinstance(alice.happened[-1], talk.Aborted)
    with pytest.raises(MethodError):
        talk.answer(alice.now, b"s", alice.party)


def test_asking_again_gives_the_first_up():
    alice, bob = pair()
    for secret in (b"first", b"second"):
        settle([(0, one) for one in bob.do(talk.ask(bob.now, secret, "", bob.party))], (alice, bob))
    settle([(1, one) for one in alice.do(talk.answer(alice.now, b"second", alice.party))], (alice, bob))
    assert bob.happened[-1].holds


def test_a_question_that_is_too_long_is_shortened_between_characters():
    step = smp.ask(5, "é" * 70000, random.Random(1).randbytes)
    assert len(step.reply.value) <= records.MOST_VALUE
    question = step.reply.value.partition(b"\0")[0].decode()
    assert set(question) == {"é"}


def test_the_secret_is_bound_to_both_keys_and_the_session():
    values = [bytes([one]) * 20 for one in (1, 2)]
    secrets = {
        smp.secret_of(*order, ssid, b"s") for order in (values, values[::-1]) for ssid in (b"1" * 8, b"2" * 8)
    }
    assert len(secrets) == 4


@pytest.mark.parametrize(("asker", "answerer"), [((5, 7), (5, 9)), ((5, 7), (9, 7)), ((5, 7), (P - 1, 9))])
def test_numbers_sent_back_or_outside_the_group_make_no_quotient(asker, answerer):
    with pytest.raises(MethodError):
        smp._quotients(asker, answerer)
    assert smp._quotients((6, 35), (2, 5)) == (3, 7)


def test_a_message_of_another_client_of_the_contact_is_told_as_such():
    alice, bob = pair()
    (text,) = bob.say(b"hello")
    alice.take(forms.encoded_text(messages.encode(evolve(decoded(text), sender=0x777))))
    assert "another client of the contact" in alice.happened[-1].why
