"""The reference methods: honest, complete, durable, and quiet on hostile input."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import MethodError, Recognition, Secrets
from e2eproxy.methods.events import Ref, Way
from e2eproxy.testing import WHO, ObjectMethod, SessionMethod, World, ratchet, sealing
from e2eproxy.testing.attackers import Drop, by
from e2eproxy.testing.fields import agree, pack, public_of, unpack
from e2eproxy.testing.ratchet import MOST_SKIPPED, Message, Ratchet
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.stanza import Stanza


def pair(method=SessionMethod, attacker=None):
    world = World(3, attacker)
    alice, bob = world.device(WHO.alice, method()), world.device(WHO.bob, method())
    world.start(alice, bob)
    return world, alice, bob


# ---- the ratchet ----


def two():
    a, b = bytes(range(32)), bytes(range(1, 33))
    shared = agree(a, public_of(b))
    counter = iter(range(1, 1000))

    def rng(length):
        return next(counter).to_bytes(length, "big")

    return (
        ratchet.initiator(b"tag", shared, a, public_of(b)),
        ratchet.responder(b"tag", shared, b, public_of(a)),
        rng,
    )


def test_ratchet_in_both_directions_and_out_of_order():
    a, b, rng = two()
    a, one = ratchet.seal(a, b"one", rng)
    a, two_ = ratchet.seal(a, b"two", rng)
    b, early = ratchet.seal(b, b"early", rng)
    b, text = ratchet.open_(b, two_)
    assert text == b"two"
    b, text = ratchet.open_(b, one)
    assert text == b"one"
    a, text = ratchet.open_(a, early)
    assert text == b"early"
    b, later = ratchet.seal(b, b"later", rng)
    assert len(later.published_keys) == 2
    a, text = ratchet.open_(a, later)
    assert text == b"later"
    with pytest.raises(ratchet.RepeatedError):
        ratchet.open_(a, later)


def test_ratchet_survives_being_written_down_at_any_point():
    a, b, rng = two()
    for number in range(6):
        a, message = ratchet.seal(Ratchet.from_bytes(a.to_bytes()), b"%d" % number, rng)
        if number != 2:
            b, text = ratchet.open_(Ratchet.from_bytes(b.to_bytes()), Message.from_bytes(message.to_bytes()))
            assert text == b"%d" % number
        a, b = b, a
        if number == 2:
            a, b = b, a
    assert Ratchet.from_bytes(b.to_bytes()) == b


def test_a_late_message_of_an_earlier_key_opens_and_too_large_gaps_do_not():
    a, b, rng = two()
    a, late = ratchet.seal(a, b"late", rng)
    a, second = ratchet.seal(a, b"second", rng)
    b, _ = ratchet.open_(b, second)
    b, reply = ratchet.seal(b, b"reply", rng)
    a, _ = ratchet.open_(a, reply)
    a, third = ratchet.seal(a, b"third", rng)
    b, _ = ratchet.open_(b, third)
    b, text = ratchet.open_(b, late)
    assert text == b"late"
    for _ in range(MOST_SKIPPED + 1):
        a, _lost = ratchet.seal(a, b"lost", rng)
    a, far = ratchet.seal(a, b"far", rng)
    with pytest.raises(MethodError, match="Too many"):
        ratchet.open_(b, far)


def test_no_message_key_is_used_twice():
    a, b, rng = two()
    seen = set()
    for _ in range(30):
        a, message = ratchet.seal(a, b"x", rng)
        assert (message.key, message.number) not in seen
        seen.add((message.key, message.number))
        b, _ = ratchet.open_(b, message)
        a, b = b, a


@pytest.mark.parametrize("data", [b"", b"\0\0\0\5abc", pack(b"a", b"b"), pack(b"a") + b"x"])
def test_fields_of_the_wrong_shape_are_refused(data):
    with pytest.raises(MethodError):
        unpack(data, 1 if data.startswith(b"\0\0\0\1") else 2 if len(data) < 9 else 3)


@pytest.mark.parametrize("public", [bytes(32), b"", b"\1" + bytes(31), bytes(31)])
def test_bad_public_keys_are_refused(public):
    with pytest.raises(MethodError):
        agree(b"\7" * 32, public)


# ---- the session method ----


def test_simultaneous_starts_end_in_one_session():
    world, alice, bob = pair()
    for one, other in ((alice, WHO.bob), (bob, WHO.alice)):
        stanza = Stanza.parse(b"<message xmlns='jabber:client' type='chat'><body>both</body></message>")
        one.tell(events.Outbound(ref=Ref("x"), own=one.jid, peer=other, stanza=stanza))
    world.run()
    world.wait(5)
    assert (alice.texts, bob.texts) == (["both"], ["both"])


def test_a_handshake_without_answer_is_given_up_and_the_text_comes_back():
    world, alice, _ = pair(attacker=Drop(by(WHO.bob)))
    alice.say(WHO.bob.bare, "lost")
    assert alice.errands.waiting == 1
    world.wait(61)
    assert alice.errands.waiting == 0
    assert [(one.how, one.text, one.condition) for one in alice.failed] == [
        ("returned", "lost", "remote-server-timeout")
    ]
    assert alice.sessions[WHO.bob].state is e.State.NONE


def test_a_peer_who_leaves_in_the_handshake_is_declined():
    world, alice, bob = pair(attacker=Drop(by(WHO.bob)))
    alice.say(WHO.bob.bare, "lost")
    bob.stop()
    world.run()
    assert [one.how for one in alice.failed] == ["declined"]


def test_the_end_of_a_session_is_told_and_the_next_text_starts_anew():
    _, alice, bob = pair()
    alice.say(WHO.bob.bare, "one")
    bob.command(WHO.alice, "end")
    assert alice.sessions[WHO.bob].state is e.State.FINISHED
    assert any("ended" in one.text for one in alice.notices)
    alice.say(WHO.bob.bare, "two")
    assert bob.texts == ["one", "two"]


def test_an_end_that_the_peer_did_not_write_changes_nothing():
    world, alice, bob = pair()
    alice.say(WHO.bob.bare, "one")
    last = world.transcript[-1]
    forged = Message.from_bytes(_data(last.raw))
    from e2eproxy.testing.handshake import carried
    from e2eproxy.testing.wire import Packet

    body = carried(b"x" + evolve(forged, number=forged.number + 1).to_bytes())
    raw = f"<message xmlns='jabber:client' type='chat'><body>{body}</body></message>".encode()
    world.inject(Packet(number=-1, at=0, sender=WHO.alice, to=WHO.bob, raw=raw))
    assert len(bob.unreadable) == 1
    alice.say(WHO.bob.bare, "two")
    assert bob.texts == ["one", "two"]


def _data(raw):
    from e2eproxy.testing.handshake import BODY, decoded

    return decoded(Stanza.parse(raw).child(BODY).node.text)[1]


def test_copies_and_archives_never_touch_a_session():
    world, alice, bob = pair()
    alice.say(WHO.bob.bare, "one")
    before = bob.store.records("")
    stanza = Stanza.parse(Stanza.parse(world.transcript[-1].raw).with_attributes({"from": str(WHO.alice)}))
    for way in (Way.CARBON_RECEIVED, Way.CARBON_SENT, Way.ARCHIVE, Way.DELAYED):
        bob.receive(stanza, WHO.alice, way=way, sent_at=None, author=None)
    assert len(bob.unreadable) == 4
    assert bob.store.records("") == before


def test_a_changed_key_is_learnt_but_not_used():
    world, alice, bob = pair()
    alice.say(WHO.bob.bare, "one")
    stranger = world.device(WHO.bob, SessionMethod(), salt="reinstalled")
    bob.online = False
    world.devices.remove(bob)
    world.start(stranger)
    stranger.say(WHO.alice, "it is me")
    assert len(alice.store.peer_keys(WHO.bob.bare)) == 2
    assert alice.store.peer_keys(WHO.bob.bare)[1].decision is Decision.UNDECIDED
    assert alice.texts == []
    alice.say(WHO.bob, "two")
    assert [one.condition for one in alice.failed] == ["policy-violation"]


def test_commands_tell():
    _, alice, _bob = pair()
    alice.say(WHO.bob.bare, "one")
    alice.command(WHO.bob, "fingerprint")
    assert "alice@one.test has the key" in alice.notices[-1].text
    assert "bob@two.test has the key" in alice.notices[-1].text
    alice.command(WHO.bob, "nosuch")
    assert alice.notices[-1].text == "There is no encrypted session."


@pytest.mark.parametrize(
    ("body", "recognised"),
    [
        ("hello", Recognition.NONE),
        ("I said ?E2EREF:AAAA.", Recognition.NONE),
        ("?E2EREF:AAAA.", Recognition.COMPLETE),
        (" ?E2EREF:AAAA.\n", Recognition.COMPLETE),
        ("?E2EREF:AAAA. and more", Recognition.MARKED),
        ("?E2EREF:AAA.", Recognition.MARKED),
        ("?E2EREF:", Recognition.MARKED),
    ],
)
def test_only_a_whole_message_counts_as_encrypted(body, recognised):
    stanza = Stanza.parse(f"<message xmlns='jabber:client'><body>{body}</body></message>".encode())
    assert SessionMethod().recognise(stanza) is recognised


def test_no_body_is_nothing():
    assert SessionMethod().recognise(Stanza.parse(b"<message xmlns='jabber:client'/>")) is Recognition.NONE
    assert SessionMethod().recognise(Stanza.parse(b"<iq xmlns='jabber:client'/>")) is Recognition.NONE


# ---- the object method ----


def test_only_a_whole_object_counts_as_encrypted():
    method = ObjectMethod()

    def recognised(inside):
        raw = (
            f"<message xmlns='jabber:client'><sealed xmlns='{sealing.NAMESPACE}'>{inside}</sealed></message>"
        )
        return method.recognise(Stanza.parse(raw.encode()))

    assert recognised("") is Recognition.MARKED
    assert recognised("<key for='a'>AAAA</key><data>AAAA</data>") is Recognition.COMPLETE
    assert recognised("<key for='a'>AAAA</key><data>A-AA</data>") is Recognition.MARKED
    assert recognised("<key for='a'>AAAA</key><data>AAAA</data><data>AAAA</data>") is Recognition.MARKED
    assert recognised("<key for='a'>AAAA</key><data>AAAA</data><body/>") is Recognition.MARKED
    assert recognised("<data>AAAA</data>") is Recognition.MARKED
    assert recognised("<key for='a'>AAAA</key><key for='a'>AAAA</key><data>AAAA</data>") is Recognition.MARKED
    assert method.recognise(Stanza.parse(b"<message xmlns='jabber:client'/>")) is Recognition.NONE


def test_a_receiver_cannot_pass_an_object_on_as_written_to_somebody_else():
    """Bob re-encrypts what Alice signed for him to Carol: the address inside gives him away."""
    world = World(3)
    people = [world.device(one, ObjectMethod()) for one in (WHO.alice, WHO.bob, WHO.carol)]
    world.start(*people)
    alice, bob, carol = people
    alice.say(WHO.bob.bare, "for Bob only")
    alice.say(WHO.carol.bare, "for Carol")
    kept = bob.store.identity("device")
    secrets = sealing.Identity(agreement=kept.secret[:32], signing=kept.secret[32:])
    raw = next(one.raw for one in world.transcript if one.text == "for Bob only")
    inner = sealing.unseal(secrets, sealing.parse(Stanza.parse(raw)))
    content = b"\5" * 32
    target = carol.store.identity("device").public
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    keys = {sealing.fingerprint_of(target): sealing._wrap(content, target[:32], lambda n: b"\6" * n)}
    covered = sealing.Object(keys=keys, data=b"").covered
    data = AESGCM(content).encrypt(bytes(12), pack(inner.signature, inner.signed), covered)
    from e2eproxy.testing.wire import Packet
    from e2eproxy.xmpp.stanza import build

    forwarded = build("message", {"type": "chat"}, sealing.Object(keys=keys, data=data).to_bytes())
    world.inject(Packet(number=-1, at=0, sender=WHO.alice, to=WHO.carol, raw=forwarded))
    assert carol.texts == ["for Carol"]
    assert "to somebody else" in carol.unreadable[0]


@pytest.mark.parametrize(
    ("age", "opened"), [(0, True), (299, True), (301, False), (-299, True), (-301, False)]
)
def test_live_objects_have_to_be_fresh(age, opened):
    world, alice, bob = pair(ObjectMethod)
    alice.say(WHO.bob.bare, "first")
    alice.context = evolve(alice.context, clock=lambda: world.clock.now() - age)
    alice.harness.context = alice.context
    alice.harness.forget()
    alice.store._records.clear()
    alice.say(WHO.bob.bare, "second")
    assert ("second" in bob.texts) is opened


def test_opened_objects_are_forgotten_in_the_end():
    world, alice, bob = pair(ObjectMethod)
    alice.say(WHO.bob.bare, "first")
    assert len(bob.store.records("seen:")) == 1
    world.wait(61 * 86400)
    alice.say(WHO.bob.bare, "second")
    assert len(bob.store.records("seen:")) == 1


def test_a_contact_without_keys_is_declined_and_a_timeout_as_well():
    world, alice, _ = pair(ObjectMethod)
    alice.say(WHO.carol.bare, "x")
    assert [(one.how, one.why) for one in alice.failed] == [
        ("declined", "No key of carol@three.test is published.")
    ]
    world, alice, _ = pair(ObjectMethod, Drop(by(WHO.alice, kind="iq")))
    alice.say(WHO.bob.bare, "x")
    world.wait(31)
    assert [one.how for one in alice.failed] == ["declined"]


def test_damaged_published_keys_are_not_used():
    world, alice, _ = pair(ObjectMethod)
    directory = world.server.directory(WHO.bob.bare)
    [(node, items)] = directory.nodes.items()
    [item] = items
    directory.publish(node, item, f"<identity xmlns='{sealing.NAMESPACE}'>AAAA</identity>".encode())
    alice.say(WHO.bob.bare, "x")
    assert any("damaged" in one.text for one in alice.notices)
    assert not [one for one in world.transcript if one.text]


# ---- both ----


@pytest.mark.parametrize("method", [SessionMethod, ObjectMethod])
def test_kinds_that_are_not_theirs_are_declined(method):
    _, alice, _ = pair(method)
    for raw in (
        b"<iq xmlns='jabber:client' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        b"<presence xmlns='jabber:client'><status>x</status></presence>",
        b"<message xmlns='jabber:client' type='groupchat'><body>x</body></message>",
    ):
        alice.send(raw, WHO.bob)
    assert [one.how for one in alice.failed] == ["declined"] * 3


@pytest.mark.parametrize("method", [SessionMethod, ObjectMethod])
def test_a_kill_at_every_effect_reuses_no_key_and_doubles_nothing(method):
    """Alice or Bob is killed after each number of effects, and goes on afterwards: laws 4 and 5."""
    for who in (0, 1):
        for fuse in range(24):
            world, *people = pair(method)
            people[who].fuse = fuse
            alice, bob = people
            for number in range(4):
                for one in (alice, bob):
                    if not one.online:
                        world.start(one)
                alice.say(WHO.bob.bare, f"question {number}")
                if bob.online:
                    bob.say(WHO.alice.bare, f"answer {number}")
            world.wait(120)
            for one in people:
                texts = [shown.text for shown in one.shown]
                assert len(texts) == len(set(texts))
                assert one.bugs == []
            payloads = [one.raw for one in world.transcript if one.text]
            assert len(payloads) == len(set(payloads))
            _no_key_is_reused(world)


def _no_key_is_reused(world):
    used = {}
    for one in world.transcript:
        if one.text and b"?E2EREF:" in one.raw:
            message = Message.from_bytes(_data(one.raw))
            place = (message.key, message.number)
            assert used.setdefault(place, message.ciphertext) == message.ciphertext
            assert list(used).count(place) == 1


@pytest.mark.parametrize("method", [SessionMethod, ObjectMethod])
def test_stolen_state_is_what_is_kept_and_no_more(method):
    _, alice, _ = pair(method)
    alice.say(WHO.bob.bare, "one")
    long_term = alice.stolen(Secrets.LONG_TERM)
    assert long_term.identities == alice.store.identities
    assert (dict(long_term.records), dict(long_term.memory)) == ({}, {})
    session = alice.stolen(Secrets.SESSION)
    assert dict(session.records) == dict(alice.store.records(""))
    assert json.dumps(repr(session)).count("secret") == 0
