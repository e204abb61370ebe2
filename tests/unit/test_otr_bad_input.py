"""The worst that a peer can send to OTR, by name: a readable notice or nothing, bounded work, and the good session untouched.

The machines one by one are in ``test_otr_machines``; here everything comes by the door, and the next text has to open.
"""

from __future__ import annotations

import base64
import os
import time

import pytest
from attrs import evolve
from test_otr_door import MALLORY, arrived, bodies, pair, without_bugs

from e2eproxy.methods import effects as e
from e2eproxy.methods.otr import conversation, forms, messages, records
from e2eproxy.methods.otr.account import MOST_TOLD, PATIENCE
from e2eproxy.methods.otr.arithmetic import P
from e2eproxy.methods.otr.encoding import data, integer
from e2eproxy.methods.otr.fragments import MOST_PIECES
from e2eproxy.methods.otr.incoming import OFFERS, OFFERS_SECONDS
from e2eproxy.testing import WHO
from e2eproxy.xmpp.jid import JID

pytestmark = pytest.mark.once

QUERIES = 1_000_000 if os.environ.get("E2EPROXY_LONG") else 20_000
PUBLIC = b"\0\0\0\1\2"
REST = b"\0" * 7 + b"\1" + data(b"x") + bytes(20) + data(b"")


class Good:
    """A session between Alice and Bob, from which the worst messages are made."""

    def __init__(self, version):
        settings = {"versions": version}
        self.version = int(version)
        self.world, self.alice, self.bob = pair(alice_settings=settings, bob_settings=settings)
        self.alice.say(WHO.bob, "one")
        self.bob.say(WHO.alice, "two")

    def entry(self):
        return self.bob.harness.engine.account.book.find(WHO.bob, WHO.alice)

    @property
    def tags(self):
        now = self.entry().now
        return (now.own_tag, now.peer_tag) if self.version == 3 else (0, 0)

    def head(self, kind, version=None, tags=None):
        version = version or self.version
        tags = tags or (self.tags if self.version == 3 else (0x100, 0x200))
        return b"\0" + bytes([version, kind]) + (b"".join(map(integer, tags)) if version == 3 else b"")

    def raw(self, kind, rest, **head):
        return forms.encoded_text(self.head(kind, **head) + rest)

    def last(self):
        """The last message that Bob sent."""
        return next(one for one in reversed(bodies(self.world)) if one.startswith("?OTR:"))

    def sealed(self, plain, **changed):
        """What Bob's own client would not say, but could."""
        entry = self.entry()
        entry.now, message = conversation._seal(entry.now, plain, 0)
        if changed:
            message = evolve(message, content=evolve(message.content, **changed))
        return forms.encoded_text(messages.encode(message))


def _numbers(good):
    """MPIs that are cut off, too long, not in their shortest form, longer than what is there; in each message."""
    for number in (
        b"\0\0\0\x05\1",
        b"\xff\xff\xff\xff\1",
        data(b"\1" * 513),
        b"\0\0\0\2\0\1",
        b"\0\0",
        b"\x7f\xff\xff\xff",
    ):
        yield good.raw(0x0A, number)
        yield good.raw(0x03, b"\0" + integer(1) + integer(1) + number + REST)
        yield good.raw(0x02, number + number)
        yield good.raw(0x11, number + number + bytes(20))
        yield good.raw(0x12, number + bytes(20))


def _key_ids(good):
    for ids in ((0, 1), (1, 0), (0, 0), (2**32 - 1, 1), (1, 2**32 - 1)):
        yield good.raw(0x03, b"\0" + integer(ids[0]) + integer(ids[1]) + PUBLIC + REST)
        yield good.sealed(b"no", sender_key=ids[0], recipient_key=ids[1])


def _elements(good):
    for number in (0, 1, P - 1, P, P + 1, 2**1536 - 1):
        encoded = number.to_bytes((number.bit_length() + 7) // 8, "big")
        yield good.raw(0x0A, data(encoded))
        yield good.raw(0x03, b"\0" + integer(1) + integer(1) + data(encoded) + REST)


def _tags(good):
    for tags in ((0, 0), (0xFF, 0x100), (0x100, 0xFF), (0x100, 0), (0xFFFFFFFF, 0xFFFFFFFE), good.tags[::-1]):
        for kind, rest in (
            (0x02, data(b"x") + data(bytes(32))),
            (0x0A, data(b"\2")),
            (0x03, b"\0" + integer(1) * 2 + PUBLIC + REST),
        ):
            yield good.raw(kind, rest, version=3, tags=tags)
        yield f"?OTR|{tags[0]:x}|{tags[1]:x},00001,00001,?OTR:AAMD.,"


def _counters(good):
    text = good.last()
    yield from (text, text)
    good.bob.say(WHO.alice, "three")
    yield from (good.last(), text)
    yield good.sealed(b"no", counter=bytes(8))
    yield good.sealed(b"no", counter=b"\0" * 7 + b"\1")


def _versions(good):
    for version in (0, 1, 2, 3, 4, 255):
        if version != good.version:
            yield good.raw(0x03, b"\0" + integer(1) * 2 + PUBLIC + REST, version=version)
            yield good.raw(0x0A, data(b"\2" * 192), version=version)
            yield good.raw(0x12, data(b"x") + bytes(20), version=version)
    message = messages.decode(forms.form_of(good.last()).value)
    other = evolve(message, version=5 - message.version)
    if other.version == 3:
        other = evolve(other, sender=0x100, receiver=0x200)
    yield forms.encoded_text(messages.encode(other))
    yield from ("?OTR,00001,00002,?OTR:AAM,", "?OTR|100|200,00002,00002,D.,")
    yield from ("?OTRv4?", "?OTRv1?", "?OTR?", "?OTRv?", "?OTRvx?")


def _base64(_good):
    for inside in (
        "",
        "A",
        "AA",
        "AAM",
        "AAM=",
        "AAMD=AAM",
        "AAM\u00e4",
        "A" * 100_000,
        "=" * 5000,
        "AAMD" * 3,
        "AAMD\n",
    ):
        yield f"?OTR:{inside}."
        yield f"?OTR:{inside}"
    yield "?OTR:" + base64.b64encode(b"\0\3\3" + bytes(3000)).decode() + "."


def _record_lengths(good):
    for tail in (
        b"\0\0\0\x05ab",
        b"\0\1\xff\xff",
        b"\0",
        b"\0\0\0",
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\0\x07\0\0" * 200,
    ):
        yield good.sealed(b"\0" + tail)
    for kind in (records.SMP_1, records.SMP_2, records.SMP_3, records.SMP_4, records.SMP_1_QUESTION):
        for body in (
            b"",
            b"\0\0\0\x06",
            b"\xff\xff\xff\xff",
            integer(6) + b"\0\0\x06\0" * 6,
            b"?\0" + integer(11),
        ):
            yield good.sealed(records.join(b"", (records.Record(kind, body),)))
    yield good.sealed(records.join(b"", (records.Record(records.EXTRA_KEY, b"\0"),)))


KINDS = {
    "numbers cut off or too long": _numbers,
    "key ids of 0": _key_ids,
    "numbers outside the group": _elements,
    "wrong tags": _tags,
    "counters that repeat": _counters,
    "mixed versions": _versions,
    "garbage in base64": _base64,
    "records past the end": _record_lengths,
}


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_good_session_is_untouched(kind, version):
    good = Good(version)
    before = list(good.alice.texts)
    began = time.process_time()
    count = 0
    for text in KINDS[kind](good):
        before = list(good.alice.texts)
        effects = arrived(good.alice, text)
        assert not any(isinstance(one, e.Verified | e.Learn) for one in effects)
        for one in effects:
            if isinstance(one, e.Unreadable | e.Tell):
                told = one.why if isinstance(one, e.Unreadable) else one.text
                assert told.isprintable()
                assert told.endswith((".", "?"))
            assert not (isinstance(one, e.Deliver) and kind != "records past the end"), (text, one)
        count += 1
    assert count > 5
    assert time.process_time() - began < 10
    assert good.alice.texts == before
    good.bob.say(WHO.alice, "and this opens")
    assert good.alice.texts[-1] == "and this opens"
    good.alice.say(WHO.bob, "and that")
    assert good.bob.texts[-1] == "and that"
    without_bugs(good.alice, good.bob)


def test_a_message_in_65535_parts_opens_and_costs_what_its_length_does():
    good = Good("3")
    entry = good.entry()
    entry.now, message = conversation.said(entry.now, b"x" * 60_000)
    text = forms.encoded_text(messages.encode(message))
    pieces = [text[: 1 - MOST_PIECES], *text[1 - MOST_PIECES :]]
    start = f"?OTR|{good.tags[0]:08x}|{good.tags[1]:08x}"
    began = time.process_time()
    for number, piece in enumerate(pieces, 1):
        shown = arrived(good.alice, f"{start},{number},{len(pieces)},{piece},")
        assert number == MOST_PIECES or isinstance(shown[0], e.Absorb)
    assert time.process_time() - began < 120
    assert [one.inside for one in shown if isinstance(one, e.Deliver)] == [e.Body("x" * 60_000)]
    good.bob.say(WHO.alice, "and this opens")
    assert good.alice.texts[-1] == "and this opens"
    without_bugs(good.alice, good.bob)


@pytest.mark.parametrize("live", [True, False])
def test_a_million_queries_are_answered_a_few_times(live):
    """Twenty thousand of them, unless E2EPROXY_LONG is set; some are many in one text."""
    world, alice, bob = pair(start=live)
    if live:
        alice.say(WHO.bob, "one")
    sent = told = 0
    began = time.process_time()
    for number in range(QUERIES):
        text = ("?OTRv23?", "?OTR?", "?OTR?v2?", "?OTRv4?", "?OTRv23? " * 50)[
            number % 5 if number % 100 < 5 else 0
        ]
        effects = arrived(alice, text)
        sent += sum(isinstance(one, e.Emit) for one in effects)
        told += sum(isinstance(one, e.Tell) for one in effects)
    assert time.process_time() - began < QUERIES / 200
    assert sent == OFFERS
    assert told == MOST_TOLD
    assert len(arrived(alice, "?OTR" * 200_000)) == 1
    world.wait(OFFERS_SECONDS + PATIENCE)
    bob.say(WHO.alice, "and this opens")
    assert alice.texts[-1] == "and this opens"
    without_bugs(alice, bob)


def test_offers_of_invented_strangers_make_few_notices():
    world, alice, _ = pair(start=False)

    def told():
        peers = (JID.parse(f"{MALLORY.bare}/{number}") for number in range(500))
        effects = [one for peer in peers for one in arrived(alice, "?OTRv23?", peer=peer)]
        assert not any(isinstance(one, e.Emit) for one in effects)
        return sum(isinstance(one, e.Tell) for one in effects)

    assert told() == MOST_TOLD
    world.wait(PATIENCE)
    assert told() == MOST_TOLD, "later ones are told again"
