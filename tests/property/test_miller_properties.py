"""miller-e2e and the worst peer: whatever is changed, cut or made up, nothing but RemoteError, and never another text."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from bed.miller_keys import key, method
from bed.miller_values import MAPPING, SID, encrypted
from hypothesis import given, settings
from hypothesis import strategies as st

from e2eproxy.errors import RemoteError
from e2eproxy.methods.miller import (
    envelope,
    fields,
    headers,
    keys,
    layers,
    sealing,
    signing,
    statements,
    wire,
)
from e2eproxy.testing import WHO, World
from e2eproxy.testing.attackers import Alter, by
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build

if TYPE_CHECKING:
    import random

SMK = bytes(range(32))
AUTHOR, READER = JID.parse("alice@one.test/desk"), JID.parse("bob@two.test")
HEAD = {"from": str(AUTHOR), "to": str(READER), "type": "chat"}
PLAIN = build("message", HEAD, b"<body>the text</body>")
SCENE = layers.Scene(
    author=AUTHOR.bare,
    reader=READER,
    sent_at=0.0,
    window=300.0,
    smk=lambda _sid: SMK,
    known=lambda _name: None,
    random=os.urandom,
    direct=True,
    legacy=True,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    [
        *[
            "alg",
            "enc",
            "kid",
            "typ",
            "cty",
            "jwk",
            "x5c",
            "crit",
            "zip",
            "b64",
            "jku",
            "x5u",
            "kty",
            "n",
            "e",
            "crv",
            "x",
            "y",
            "use",
        ],
        headers.READ,
        headers.DEVICE,
        headers.VOUCHED,
    ]
)
OBJECTS = st.dictionaries(
    MEMBERS, JSON | st.sampled_from(["A256KW", "dir", "RS256", "A128GCM", "RSA", "EC", "AQAB"]), max_size=6
)


def signed():
    header = {"jwk": dict(key(0).public.numbers)}
    return build("message", HEAD, signing.sign(key(0), envelope.enclose(PLAIN, 0), header).to_bytes())


SIGNED = signed()
NESTED = build("message", HEAD, sealing.seal(SMK, SID, envelope.enclose(SIGNED, 0), os.urandom).to_bytes())


def mutated(raw, at, what, value):
    """*Raw* with something changed at the place *at* (0 to 1)."""
    if not raw:
        return bytes([value])
    place = int(at * (len(raw) - 1))
    match what:
        case "flip":
            return raw[:place] + bytes([raw[place] ^ value or 1]) + raw[place + 1 :]
        case "cut":
            return raw[:place] + raw[place + value :]
        case "insert":
            return raw[:place] + bytes([value]) * 3 + raw[place:]
        case _:
            return raw[:place] + raw[place // 2 : place] + raw[place:]


CHANGES = st.tuples(
    st.floats(0, 1), st.sampled_from(["flip", "cut", "insert", "double"]), st.integers(1, 255)
)


@settings(deadline=None, max_examples=400)
@given(raw=st.sampled_from([SIGNED, NESTED]), changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_a_changed_stanza_gives_the_text_or_a_remote_error(raw, changes):
    for one in changes:
        raw = mutated(raw, *one)
    with contextlib.suppress(RemoteError):
        stanza = Stanza.parse(raw)
        method().recognise(stanza)
        if stanza.child(wire.E2E) is not None:
            found = layers.open_layers(stanza, SCENE)
            assert found.stanza.raw == PLAIN
            assert found.author == key(0).public


@settings(deadline=None, max_examples=200)
@given(changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_what_is_changed_inside_is_a_remote_error(changes):
    """Whoever has the key can write anything inside."""
    payload = envelope.enclose(PLAIN, 0)
    for one in changes:
        payload = mutated(payload, *one)
    raw = build("message", HEAD, sealing.seal(SMK, SID, payload, os.urandom).to_bytes())
    with contextlib.suppress(RemoteError):
        assert layers.open_layers(Stanza.parse(raw), SCENE).author is None


@settings(deadline=None, max_examples=400)
@given(header=OBJECTS | JSON)
def test_whatever_a_header_is(header):
    text = fields.encode(json.dumps(header).encode())
    for read in (
        lambda: headers.of_stanza(text, SID, direct=True, legacy=True),
        lambda: headers.of_key(text, rsa15=True),
        lambda: headers.of_signature(text),
        lambda: layers.open_layers(
            Stanza.parse(
                build("message", HEAD, wire.Signed(header=text, data="AAAA", signature="AAAA").to_bytes())
            ),
            SCENE,
        ),
    ):
        with contextlib.suppress(RemoteError):
            read()


@settings(deadline=None, max_examples=400)
@given(jwk=OBJECTS)
def test_whatever_a_key_is(jwk):
    with contextlib.suppress(RemoteError):
        found = keys.public_key(jwk)
        assert keys.stored_key(found.encoded) == found


@settings(deadline=None, max_examples=300)
@given(octets=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_the_octets_are(octets):
    with contextlib.suppress(RemoteError):
        fields.json_object(octets, RemoteError)
    with contextlib.suppress(RemoteError):
        envelope.disclose(octets)
    with contextlib.suppress(RemoteError):
        text = octets.decode("utf-8", "replace")
        assert fields.encode(fields.decode(fields.bare(text, 60, RemoteError))) == fields.bare(
            text, 60, RemoteError
        )
    with contextlib.suppress(RemoteError):
        statements.device_key(octets.decode("utf-8", "replace"), READER, key(1).public)


@settings(deadline=None, max_examples=300)
@given(
    part=st.sampled_from(["key", "iv", "data", "tag"]),
    change=CHANGES,
    name=st.sampled_from(sorted(n for n in MAPPING if "keyreq" in n)),
)
def test_a_changed_wrapped_key_never_opens(part, change, name):
    from attrs import evolve
    from bed.miller_values import person

    wrapped = encrypted(MAPPING[name])
    octets = mutated(fields.decode(getattr(wrapped, part)), *change)
    if octets != fields.decode(getattr(wrapped, part)):
        with contextlib.suppress(RemoteError):
            sealing.unwrap(
                person("romeo"), evolve(wrapped, **{part: fields.encode(octets)}), os.urandom, rsa15=True
            )
            raise AssertionError("it opened")


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2),
    nth=st.integers(0, 3),
    kind=st.sampled_from(["message", "iq"]),
    changes=st.lists(CHANGES, min_size=1, max_size=2),
    who=st.sampled_from([WHO.alice, WHO.bob]),
)
def test_an_attacker_on_the_wire_gets_no_other_text_and_no_bug(seed, nth, kind, changes, who):
    def change(raw):
        for one in changes:
            raw = mutated(raw, *one)
        try:
            Stanza.parse(raw)
        except RemoteError:
            return None
        return raw

    world = World(seed, Alter(by(who, nth=nth, kind=kind), change))
    alice, bob = world.device(WHO.alice, method()), world.device(WHO.bob, method())
    world.start(alice, bob)
    for number in range(2):
        alice.say(WHO.bob.bare, f"to bob {number}")
        bob.say(WHO.alice.bare, f"to alice {number}")
    world.wait(120)
    assert set(bob.texts) <= {"to bob 0", "to bob 1"}
    assert set(alice.texts) <= {"to alice 0", "to alice 1"}
    assert [bug for one in (alice, bob) for bug in one.bugs] == []


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2), order=st.randoms(use_true_random=False), count=st.integers(1, 12))
def test_three_devices_read_everything_once_whoever_writes(seed, order: random.Random, count):
    world = World(seed)
    people = [world.device(one, method()) for one in (WHO.alice, WHO.bob, WHO.bob_too)]
    for one in people:
        one.store.policy = "blind"
    world.start(*people)
    alice, phone, tablet = people
    wanted: dict[str, list[str]] = {"alice": [], "bob": []}
    for number in range(count):
        writer = order.choice(people)
        to, name = (WHO.bob.bare, "bob") if writer is alice else (WHO.alice.bare, "alice")
        writer.say(to, f"text {number}")
        wanted[name].append(f"text {number}")
        if order.random() < 0.2:
            world.wait(90_000)
        if order.random() < 0.2:
            people[people.index(writer)].kill()
            world.start(writer)
    world.wait(60)
    assert alice.texts == wanted["alice"]
    assert phone.texts == tablet.texts == wanted["bob"]
    assert [bug for one in people for bug in one.bugs] == []
