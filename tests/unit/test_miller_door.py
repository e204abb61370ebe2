"""miller-e2e behind the door, in the simulator: what users get, what attackers get, and what is answered to what."""

from __future__ import annotations

import json
import re

import pytest
from attrs import evolve
from bed.miller_keys import key, method

from e2eproxy.evaluate.experiments import evaluate
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Recognition
from e2eproxy.methods.events import Ref, Way
from e2eproxy.methods.miller import (
    envelope,
    fields,
    handover,
    headers,
    keys,
    sealing,
    signing,
    statements,
    table,
    wire,
)
from e2eproxy.methods.miller.account import Rate
from e2eproxy.methods.miller.incoming import CLEAR
from e2eproxy.testing import WHO, World
from e2eproxy.testing.attackers import Drop, Replay, by
from e2eproxy.testing.wire import Packet
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build, element

pytestmark = pytest.mark.once

ALICE_TOO = JID.parse("alice@one.test/laptop")
DAY = 86_400.0


def pair(attacker=None, *, seed=1, settings=None):
    world = World(seed, attacker)
    alice, bob = (world.device(who, method(), settings=settings) for who in (WHO.alice, WHO.bob))
    world.start(alice, bob)
    return world, alice, bob


def threesome(**more):
    world, alice, bob = pair(**more)
    tablet = world.device(WHO.bob_too, method())
    world.start(tablet)
    return world, alice, bob, tablet


def without_bugs(*devices):
    assert [bug for one in devices for bug in one.bugs] == []


def only(effects, kind):
    found = [one for one in effects if isinstance(one, kind)]
    assert len(found) == 1, effects
    return found[0]


def arrived(device, raw, *, peer=WHO.bob, way=Way.LIVE, **more):
    """What the engine of *device* wants done about *raw*."""
    stanza = Stanza.parse(raw) if isinstance(raw, bytes) else raw
    event = events.Inbound(
        ref=Ref("x"), own=device.jid, peer=peer, to=device.jid, stanza=stanza, way=way, **more
    )
    return device.harness.handle(event)


def sent(world, sender, name=b"<e2e "):
    return [one for one in world.transcript if one.sender == sender and name in one.raw]


def fingerprint(device):
    return next(one.fingerprint for one in device.store.peer_keys(device.jid.bare))


def decide(world, reader, owner, decision=Decision.ACCEPTED):
    for change in reader.store.decide(owner.jid.bare, fingerprint(owner), decision):
        world.guard(reader, change)
    world.run()


# ---- two users ----


def test_a_conversation():
    world, alice, bob = pair()
    for number in range(5):
        alice.say(WHO.bob.bare, f"to bob {number} é <&>")
        bob.say(WHO.alice, f"to alice {number}")
    assert bob.texts == [f"to bob {number} é <&>" for number in range(5)]
    assert alice.texts == [f"to alice {number}" for number in range(5)]
    assert len(sent(world, WHO.bob, b"<keyreq ")) == 2, "one request, one answer"
    assert WHO.bob.bare in alice.proved
    assert WHO.alice.bare in bob.proved
    assert not any(b"to bob" in raw or b"to alice" in raw for raw in world.seen)
    without_bugs(alice, bob)


def test_both_write_first_at_the_same_time():
    """Each holds the other's text until the other has answered: which it has to, in spite of the text it holds."""
    world, alice, bob = pair()
    world._running = True
    alice.say(WHO.bob, "from alice")
    bob.say(WHO.alice, "from bob")
    world._running = False
    world.run()
    assert (alice.texts, bob.texts) == (["from bob"], ["from alice"])
    without_bugs(alice, bob)


def test_what_is_written_before_there_are_keys_waits_for_them():
    world = World(1)
    alice, bob = world.device(WHO.alice, method()), world.device(WHO.bob, method())
    alice.computes_for = bob.computes_for = 2.0
    world.start(alice, bob)
    alice.say(WHO.bob.bare, "early")
    assert world.seen == []
    world.wait(3)
    assert bob.texts == ["early"]
    without_bugs(alice, bob)


def test_keys_are_made_once():
    world, alice, _ = pair()
    first = alice.store.identities
    alice.kill()
    world.start(alice)
    assert alice.store.identities == first
    assert len({one.secret for one in first}) == 2


def test_whoever_does_not_announce_it_is_declined():
    _world, alice, bob = pair()
    alice.tell(events.PeerFeatures(own=WHO.alice, peer=WHO.carol, features=frozenset({"urn:other"})))
    alice.say(WHO.carol, "plain?")
    alice.say(WHO.carol.bare, "plain?")
    assert [one.how for one in alice.failed] == ["declined", "declined"]
    without_bugs(alice, bob)


def test_what_is_inside_is_the_stanza_as_the_client_wrote_it():
    world, alice, bob = pair()
    raw = (
        b"<message to='bob@two.test' type='chat' id='clients-own' xml:lang='de' xmlns='jabber:client'><subject>s</subject>"
        b"<body>b</body><x xmlns='urn:x'>y</x></message>"
    )
    alice.send(raw, WHO.bob.bare)
    shown = bob.shown[-1].stanza
    assert (shown.id, shown.type, shown.lang) == ("clients-own", "chat", "de")
    assert b"<subject>s</subject><body>b</body><x xmlns='urn:x'>y</x>" in shown.raw
    assert b"clients-own" not in sent(world, WHO.alice)[-1].raw


def test_an_encrypted_request_is_answered_inside():
    world, alice, bob = pair()
    ask = build("iq", {"to": str(WHO.bob), "type": "get", "id": "q1"}, b"<query xmlns='urn:secret'/>")
    alice.send(ask, WHO.bob)
    shown = bob.shown[-1].stanza
    assert (shown.kind, shown.type, shown.id) == ("iq", "get", "q1")
    answer = build(
        "iq", {"to": str(WHO.alice), "type": "result", "id": "q1"}, b"<query xmlns='urn:secret'>42</query>"
    )
    bob.send(answer, WHO.alice)
    shown = alice.shown[-1].stanza
    assert (shown.type, shown.id) == ("result", "q1")
    assert b"<query xmlns='urn:secret'>42</query>" in shown.raw
    bob.send(
        build("iq", {"to": str(WHO.alice), "type": "error", "id": "q2"}, b"<error type='cancel'/>"), WHO.alice
    )
    outer = Stanza.parse(sent(world, WHO.bob)[-1].raw).with_attributes(
        {"type": "result", "from": str(WHO.bob)}
    )
    inner = Stanza.parse(only(arrived(alice, outer), e.Deliver).inside.raw)
    assert (inner.type, inner.id) == ("error", "q2")
    assert b"secret" not in b"".join(world.seen)
    without_bugs(alice, bob)


def test_directed_presence():
    _, alice, bob = pair()
    alice.send(build("presence", {"to": str(WHO.bob)}, b"<status>at the mill</status>"), WHO.bob)
    assert b"at the mill" in bob.shown[-1].stanza.raw
    without_bugs(alice, bob)


def test_a_room_is_declined():
    world, alice, bob = pair()
    world.room(WHO.room, alice, bob)
    alice.say(WHO.room, "x", kind="groupchat")
    assert [one.how for one in alice.failed] == ["declined"]


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_the_signature_can_be_chosen(algorithm):
    world, alice, bob = pair(settings={"signature": algorithm})
    alice.say(WHO.bob, "signed")
    smk = next(iter(bob.store.records("peer-smk:").values()))
    e2e = Stanza.parse(sent(world, WHO.alice)[0].raw).child(wire.E2E)
    inner = envelope.disclose(
        sealing.open_(fields.decode(json.loads(smk)["k"]), wire.layer_of(e2e), bytes)
    ).stanza
    assert headers.of_signature(wire.layer_of(inner.child(wire.E2E)).header).alg == algorithm
    assert bob.texts == ["signed"]


# ---- several devices, and trust before release ----


def test_a_second_device_waits_until_it_is_accepted_by_hand():
    world, alice, bob, tablet = threesome()
    alice.say(WHO.bob.bare, "one")
    assert bob.texts == ["one"]
    assert tablet.texts == []
    assert len(tablet.unreadable) == 1
    assert "accept" in tablet.unreadable[0]
    assert any(fingerprint(tablet).text in one.text for one in alice.notices)
    decide(world, alice, tablet)
    alice.say(WHO.bob.bare, "two")
    assert bob.texts == ["one", "two"]
    assert tablet.texts == ["two"]
    without_bugs(alice, bob, tablet)


def test_a_second_device_for_which_the_first_vouches_is_accepted_by_the_contact():
    world, alice, phone, tablet = threesome()
    alice.say(WHO.bob.bare, "one")
    # The phone's user accepts the tablet there, once it has asked for a key.
    phone.say(WHO.alice, "an answer")
    carbon = Stanza.parse(Stanza.parse(sent(world, WHO.bob)[-1].raw).with_attributes({"from": str(WHO.bob)}))
    event = events.Inbound(
        ref=Ref("carbon"), own=tablet.jid, peer=WHO.bob, to=WHO.alice, stanza=carbon, way=Way.CARBON_SENT
    )
    tablet.tell(event)
    world.run()
    assert tablet.store.record("vouched") is None
    decide(world, phone, tablet)
    assert len(json.loads(tablet.store.record("vouched"))) == 1
    tablet.say(WHO.alice, "from the tablet")
    assert alice.texts[-1] == "from the tablet"
    assert [one.decision for one in alice.store.peer_keys(WHO.bob.bare)] == [Decision.TOFU, Decision.ACCEPTED]
    alice.say(WHO.bob.bare, "two")
    assert tablet.texts[-1] == "two"
    without_bugs(alice, phone, tablet)


def test_what_one_device_sends_is_readable_on_the_accounts_others_once_they_are_accepted():
    world, alice, phone, tablet = threesome()
    phone.say(WHO.alice, "mine")

    def copy():
        raw = Stanza.parse(sent(world, WHO.bob)[-1].raw).with_attributes({"from": str(WHO.bob)})
        tablet.tell(
            events.Inbound(
                ref=Ref(f"c{len(world.transcript)}"),
                own=tablet.jid,
                peer=WHO.bob,
                to=WHO.alice,
                stanza=Stanza.parse(raw),
                way=Way.CARBON_SENT,
            )
        )
        world.run()

    copy()
    assert tablet.shown == []
    decide(world, phone, tablet)
    decide(world, tablet, phone)
    phone.say(WHO.alice, "mine, too")
    assert any(b"<keypush " in one.raw and one.receiver == WHO.bob.bare for one in world.transcript) is False
    copy()
    assert tablet.texts == ["mine, too"]
    without_bugs(alice, phone, tablet)


def test_a_server_that_injects_a_key_gets_nothing():
    """Somebody in the name of one of Bob's clients asks with keys of his own, and shows Bob's devices' words around."""
    world, alice, bob = pair()
    alice.say(WHO.bob.bare, "one")
    sid = Stanza.parse(sent(world, WHO.alice)[0].raw).child(wire.E2E).attributes["id"]
    honest = Stanza.parse(sent(world, WHO.bob, b"<keyreq ")[0].raw).child(wire.KEY_REQUEST)
    (shown,) = json.loads(wire.keys_of(honest))["keys"]
    mallory = dict(key(39).public.numbers)
    for jwk in (mallory, shown | mallory, mallory | {headers.DEVICE: shown[headers.DEVICE]}):
        asked = build(
            "iq", {"type": "get", "id": "m1"}, wire.request(sid, json.dumps({"keys": [jwk]}).encode())
        )
        before = len(world.transcript)
        world.inject(Packet(number=-1, at=0.0, sender=WHO.bob_too, to=WHO.alice, raw=asked))
        answers = [one.raw for one in world.transcript[before:] if b"m1" in one.raw]
        assert len(answers) == 1
        assert b"<cmk>" not in answers[0]
        assert b"forbidden" in answers[0] or b"not-acceptable" in answers[0]
    alice.say(WHO.bob.bare, "two")
    assert bob.texts == ["one", "two"]
    without_bugs(alice, bob)


def test_whoever_is_not_accepted_any_more_is_kept_out_of_what_follows():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    decide(world, alice, bob, Decision.DISTRUSTED)
    alice.say(WHO.bob, "two")
    first, second = (Stanza.parse(one.raw).child(wire.E2E).attributes["id"] for one in sent(world, WHO.alice))
    assert first != second
    assert bob.texts == ["one"]
    assert len(bob.unreadable) == 1
    without_bugs(alice, bob)


def test_a_key_change_is_refused_and_shown():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    world.devices.remove(bob)
    changed = world.device(WHO.bob, method(), salt="new")
    bob.stop()
    world.start(changed)
    alice.say(WHO.bob, "two")
    assert changed.texts == []
    changed.say(WHO.alice, "it is me")
    assert alice.texts == []
    assert alice.shown[-1].trusted is False
    assert alice.shown[-1].protection.key == fingerprint(changed)
    without_bugs(alice, changed)


# ---- being offline ----


def test_a_text_waits_for_its_reader_while_its_author_is_online():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    bob.stop()
    world.run()
    alice.say(WHO.bob.bare, "two")
    world.wait(3 * DAY)
    world.start(bob)
    assert bob.texts == ["one", "two"]
    without_bugs(alice, bob)


def test_the_last_message_before_its_author_goes_can_be_read_because_the_key_was_handed_over():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    bob.stop()
    world.run()
    world.wait(2 * DAY)
    alice.say(WHO.bob.bare, "the last")
    alice.stop()
    pushes = [one for one in world.transcript if b"<keypush " in one.raw]
    assert [one.receiver for one in pushes] == [WHO.bob.bare]
    world.wait(DAY)
    world.start(bob)
    assert bob.texts == ["one", "the last"]
    assert len(sent(world, WHO.bob, b"<keyreq ")) == 1, "nothing had to be asked"
    without_bugs(alice, bob)


def test_without_a_key_handed_over_a_text_of_somebody_who_has_gone_is_a_placeholder():
    world, alice, bob = pair(settings={"handover": "no"})
    alice.say(WHO.bob, "one")
    bob.stop()
    world.run()
    world.wait(2 * DAY)
    alice.say(WHO.bob.bare, "lost")
    alice.stop()
    world.start(bob)
    world.wait(60)
    assert bob.texts == ["one"]
    assert len(bob.unreadable) == 1
    assert "gone" in bob.unreadable[0]
    without_bugs(alice, bob)


def test_nobody_is_handed_a_key_who_does_not_take_it_by_disco():
    class Foreign:
        """Somebody with the draft alone."""

        def __getattr__(self, name):
            return getattr(method(), name)

        traits = evolve(method().traits, features=(wire.ENCRYPTION, wire.SIGNATURES))

    world = World(1)
    alice, bob = world.device(WHO.alice, method()), world.device(WHO.bob, Foreign())
    world.start(alice, bob)
    alice.say(WHO.bob, "one")
    world.wait(2 * DAY)
    alice.say(WHO.bob, "two")
    assert bob.texts == ["one", "two"]
    assert not any(b"keypush" in raw for raw in world.seen)


def test_who_writes_to_somebody_away_is_told_once():
    world, alice, bob = pair(settings={"handover": "no"})
    bob.stop()
    world.run()
    alice.say(WHO.bob.bare, "one")
    alice.say(WHO.bob.bare, "two")
    assert [one for one in alice.notices if "not online" in one.text] == alice.notices
    assert len(alice.notices) == 1


def test_keys_are_renewed_in_mid_conversation():
    world, alice, bob = pair()
    for number in range(3):
        alice.say(WHO.bob, f"day {number}")
        world.wait(DAY + 1)
    alice.command(WHO.bob, "renew")
    alice.say(WHO.bob, "renewed")
    assert bob.texts == ["day 0", "day 1", "day 2", "renewed"]
    sids = {Stanza.parse(one.raw).child(wire.E2E).attributes["id"] for one in sent(world, WHO.alice)}
    assert len(sids) == 4
    assert len(alice.store.records("smk:")) == 4
    without_bugs(alice, bob)


def test_the_archive_shows_what_was_opened_before_and_nothing_else_does():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    raw = Stanza.parse(sent(world, WHO.alice)[0].raw).with_attributes({"from": str(WHO.alice)})
    at = sent(world, WHO.alice)[0].at
    bob.kill()
    world.start(bob)
    world.wait(3600)
    again = arrived(bob, raw, peer=WHO.alice, way=Way.ARCHIVE, sent_at=at)
    assert b"one" in only(again, e.Deliver).inside.raw
    assert not any(isinstance(one, e.Persist) for one in again)
    only(arrived(bob, raw, peer=WHO.alice, way=Way.DELAYED, sent_at=at), e.Absorb)
    only(arrived(bob, raw, peer=WHO.alice, way=Way.ARCHIVE, sent_at=at + 400), e.Unreadable)


def test_our_own_archive_has_what_we_wrote():
    world, alice, bob = pair()
    alice.say(WHO.bob, "mine")
    raw = Stanza.parse(sent(world, WHO.alice)[0].raw).with_attributes(
        {"from": str(WHO.alice), "to": str(WHO.bob)}
    )
    at = sent(world, WHO.alice)[0].at
    world.wait(10 * DAY)
    event = events.Inbound(
        ref=Ref("x"),
        own=WHO.alice,
        peer=WHO.alice,
        to=WHO.bob,
        stanza=Stanza.parse(raw),
        way=Way.ARCHIVE,
        sent_at=at,
    )
    found = only(alice.harness.handle(event), e.Deliver)
    assert b"mine" in found.inside.raw
    assert found.protection.key == fingerprint(alice)
    without_bugs(alice, bob)


# ---- replays, floods, forgeries ----


@pytest.mark.parametrize("later", [0.0, 200.0, 400.0])
def test_a_replay_is_not_shown(later):
    world, alice, bob = pair(Replay(by(WHO.alice), later) if later else None)
    alice.say(WHO.bob, "once")
    for one in list(sent(world, WHO.alice)):
        world.inject(Packet(number=one.number, at=one.at, sender=WHO.alice, to=WHO.bob, raw=one.raw))
    world.wait(500)
    assert bob.texts == ["once"]
    without_bugs(alice, bob)


def test_the_same_writing_encrypted_anew_is_a_replay_as_well():
    world, alice, bob = pair()
    alice.say(WHO.bob, "once")
    name, record = next(iter(bob.store.records("peer-smk:").items()))
    smk, sid = fields.decode(json.loads(record)["k"]), name.split("\n")[1]
    layer = wire.layer_of(Stanza.parse(sent(world, WHO.alice)[0].raw).child(wire.E2E))
    again = sealing.seal(smk, sid, sealing.open_(smk, layer, bytes), lambda length: b"x" * length)
    raw = build("message", {"from": str(WHO.alice), "to": str(WHO.bob), "type": "chat"}, again.to_bytes())
    only(arrived(bob, raw, peer=WHO.alice), e.Absorb)


def test_a_stale_stanza_is_refused_with_the_drafts_error():
    world, alice, bob = pair(Drop(by(WHO.alice, nth=1)))
    alice.say(WHO.bob, "first")
    alice.say(WHO.bob, "kept back")
    world.wait(301)
    late = sent(world, WHO.alice)[-1]
    before = len(world.transcript)
    world.inject(Packet(number=-1, at=0.0, sender=WHO.alice, to=WHO.bob, raw=late.raw))
    assert bob.texts == ["first"]
    (error,) = [one.raw for one in world.transcript[before:]]
    assert b"<error xmlns='jabber:client' type='modify'><not-acceptable" in error
    assert b"<bad-timestamp xmlns='urn:ietf:params:xml:ns:xmpp-e2e:6'/>" in error
    assert Stanza.parse(error).id == Stanza.parse(late.raw).id


def changed(raw, tag):
    return re.sub(
        b"(<" + tag + b">)(.)", lambda found: found[1] + (b"B" if found[2] == b"A" else b"A"), raw, count=1
    )


@pytest.mark.parametrize(
    ("tag", "condition"),
    [
        (b"cmk", "decryption-failed"),
        (b"iv", "decryption-failed"),
        (b"data", "decryption-failed"),
        (b"mac", "decryption-failed"),
    ],
)
def test_what_does_not_open_is_told_to_both_sides(tag, condition):
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    raw = changed(sent(world, WHO.alice)[0].raw, tag)
    stanza = Stanza.parse(Stanza.parse(raw).with_attributes({"from": str(WHO.alice)}))
    effects = arrived(bob, stanza, peer=WHO.alice)
    error = only(effects, e.Emit)
    assert condition.encode() in error.payload
    assert b"<bad-request" in error.payload
    assert (error.to, error.type, error.kind, error.id) == (WHO.alice, "error", "message", stanza.id)
    only(effects, e.Unreadable)


def readdressed(world, **attributes):
    head = {"from": str(WHO.alice), "to": str(WHO.bob), **attributes}
    return Stanza.parse(Stanza.parse(sent(world, WHO.alice)[0].raw).with_attributes(head))


def test_no_error_for_rooms_copies_old_stanzas_or_strangers():
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    bad = Stanza.parse(changed(readdressed(world).raw, b"mac"))
    now = world.clock.now()
    for way, at in (
        (Way.CARBON_RECEIVED, None),
        (Way.ARCHIVE, now),
        (Way.DELAYED, now - 400),
        (Way.CARBON_SENT, None),
    ):
        effects = arrived(bob, bad, peer=WHO.alice, way=way, sent_at=at)
        assert not any(isinstance(one, e.Emit) for one in effects)
    assert any(
        isinstance(one, e.Emit)
        for one in arrived(bob, bad, peer=WHO.alice, way=Way.DELAYED, sent_at=now - 200)
    )
    room = Stanza.parse(bad.with_attributes({"type": "groupchat"}))
    assert not any(isinstance(one, e.Emit) for one in arrived(bob, room, peer=WHO.alice))
    stranger = Stanza.parse(bad.with_attributes({"from": str(WHO.carol)}))
    effects = arrived(bob, stranger, peer=WHO.carol)
    assert [type(one) for one in effects] == [e.Unreadable], (
        "neither an error nor a question: he may not know we are here"
    )


def test_errors_are_sent_at_a_bounded_rate():
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    bad = Stanza.parse(changed(readdressed(world).raw, b"mac"))
    emits = [one for _ in range(20) for one in arrived(bob, bad, peer=WHO.alice) if isinstance(one, e.Emit)]
    assert len(emits) == 5


def test_an_undecryptable_request_is_answered_once_and_a_strangers_as_if_nobody_were_here():
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    part = Stanza.parse(changed(readdressed(world).raw, b"mac")).child(wire.E2E).raw
    iq = build("iq", {"from": str(WHO.alice), "to": str(WHO.bob), "type": "set", "id": "q"}, part)
    effects = arrived(bob, iq, peer=WHO.alice)
    assert [type(one) for one in effects] == [e.Absorb, e.Emit]
    assert b"decryption-failed" in effects[1].payload
    effects = arrived(bob, iq, peer=WHO.carol)
    assert b"service-unavailable" in only(effects, e.Emit).payload


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("item-not-found", "does not have the key"),
        ("service-unavailable", "gone"),
        ("forbidden", "accept"),
        ("conflict", "did not give"),
    ],
)
def test_a_key_that_is_refused_is_asked_for_once(wanted, answer):
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    other = under_another_key(world)
    effects = arrived(bob, other, peer=WHO.alice)
    ask = only(effects, e.Ask)
    only(effects, e.Hold)
    assert not any(isinstance(one, e.Ask) for one in arrived(bob, other, peer=WHO.alice)), "it is under way"
    refused = events.Answer(
        own=WHO.bob,
        token=ask.token,
        outcome=events.Outcome.ERROR,
        stanza=Stanza.parse(b"<iq xmlns='jabber:client'/>"),
        condition=wanted,
    )
    assert bob.harness.handle(refused) == (e.Retry(contact=WHO.alice.bare),)
    effects = arrived(bob, other, peer=WHO.alice)
    assert answer in only(effects, e.Unreadable).why
    assert b"insufficient-information" in only(effects, e.Emit).payload


def under_another_key(world):
    """Alice's first stanza, as if it were encrypted under a key called ``another``."""
    raw = readdressed(world).raw.replace(b" id='" + sid_of(world).encode(), b" id='another")
    header = fields.encode(b'{"alg":"A256KW","enc":"A256CBC-HS512"}').encode()
    return re.sub(b"<encheader>[^<]*", b"<encheader>" + header, raw)


@pytest.mark.parametrize(
    ("condition", "again"), [("forbidden", False), ("service-unavailable", True), ("", True)]
)
def test_only_a_key_that_was_refused_is_never_asked_for_again(condition, again):
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    other = under_another_key(world)
    ask = only(arrived(bob, other, peer=WHO.alice), e.Ask)
    outcome = events.Outcome.ERROR if condition else events.Outcome.TIMEOUT
    bob.harness.handle(events.Answer(own=WHO.bob, token=ask.token, outcome=outcome, condition=condition))
    only(arrived(bob, other, peer=WHO.alice), e.Unreadable)
    world.wait(61)
    asked = [one for one in arrived(bob, other, peer=WHO.alice) if isinstance(one, e.Ask)]
    assert bool(asked) is again
    assert not asked or asked[0].token != ask.token


def test_what_was_asked_on_a_stream_that_ended_is_asked_again():
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    other = under_another_key(world)
    only(arrived(bob, other, peer=WHO.alice), e.Ask)
    assert not any(isinstance(one, e.Ask) for one in arrived(bob, other, peer=WHO.alice))
    bob.harness.handle(events.Interrupted(own=WHO.bob_too))
    assert not any(isinstance(one, e.Ask) for one in arrived(bob, other, peer=WHO.alice))
    bob.harness.handle(events.Interrupted(own=WHO.bob))
    only(arrived(bob, other, peer=WHO.alice), e.Ask)


def test_people_who_compared_fingerprints_and_demand_it_can_write_to_each_other():
    world = World(1)
    alice, bob = world.device(WHO.alice, method()), world.device(WHO.bob, method())
    alice.store.policy = bob.store.policy = "verified"
    world.start(alice, bob)
    decide(world, alice, bob, Decision.VERIFIED)
    decide(world, bob, alice, Decision.VERIFIED)
    alice.say(WHO.bob, "one")
    bob.say(WHO.alice, "two")
    assert (alice.texts, bob.texts) == (["two"], ["one"])
    without_bugs(alice, bob)


def test_it_is_what_it_claims():
    report = evaluate(method())
    assert report.bugs == ()
    assert report.disagreements == ()


def sid_of(world):
    return Stanza.parse(sent(world, WHO.alice)[0].raw).child(wire.E2E).attributes["id"]


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "kid": "wrong", "k": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"kty": "RSA", "kid": "another", "k": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"kty": "oct", "kid": "another"},
        {"kty": "oct", "kid": "another", "k": "AAAA"},
        {"kty": "oct", "kid": "another", "k": "AAAAAAAAAAAAAAAAAAAAAA", "use": "sig"},
        {"kty": "oct", "kid": "another", "k": "AAAAAAAAAAAAAAAAAAAAAA", "alg": "HS256"},
        {"kty": "oct", "kid": "another", "k": "A" * 1000},
        [],
    ],
)
def test_only_the_key_that_was_asked_for_is_taken(jwk):
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    other = under_another_key(world)
    ask = only(arrived(bob, other, peer=WHO.alice), e.Ask)
    own = keys.stored_key(bob.store.identity("kdk").public)

    def come(content):
        payload = wire.answer(
            sealing.wrap(own, "another", json.dumps(content).encode(), lambda length: b"x" * length)
        )
        stanza = Stanza.parse(build("iq", {"type": "result"}, payload))
        done = events.Answer(own=WHO.bob, token=ask.token, outcome=events.Outcome.RESULT, stanza=stanza)
        return bob.harness.handle(done)

    before = dict(bob.store.records(""))
    effects = come(jwk)
    assert effects == (e.Retry(contact=WHO.alice.bare),)
    assert bob.store.records("") == before


def test_an_answer_to_nothing_changes_nothing():
    _, alice, bob = pair()
    done = events.Answer(own=WHO.bob, token="key nobody x", outcome=events.Outcome.TIMEOUT)
    assert bob.harness.handle(done) == ()
    without_bugs(alice, bob)


# ---- requests for keys ----


def asks(device, sid, jwks, *, peer=WHO.bob, raw=None):
    payload = wire.request(sid, json.dumps({"keys": jwks}).encode()) if raw is None else raw
    return arrived(device, build("iq", {"type": "get", "id": "k1"}, payload), peer=peer)


def refusal(effects):
    emit = only(effects, e.Emit)
    assert (emit.kind, emit.type, emit.id) == ("iq", "error", "k1")
    return re.search(rb"type='(\w+)'><([a-z-]+) ", emit.payload).groups()


def test_refusals():
    world, alice, _bob = pair()
    alice.say(WHO.bob, "first")
    sid, mine = sid_of(world), [dict(key(39).public.numbers)]
    assert refusal(asks(alice, "unknown", mine)) == (b"cancel", b"item-not-found")
    assert refusal(asks(alice, sid, [])) == (b"modify", b"not-acceptable")
    assert refusal(asks(alice, sid, [{"kty": "oct"}])) == (b"modify", b"not-acceptable")
    assert refusal(asks(alice, sid, mine, peer=WHO.carol)) == (b"cancel", b"service-unavailable")
    broken = element("keyreq", {"xmlns": wire.NAMESPACE, "id": sid})
    assert refusal(asks(alice, sid, [], raw=broken)) == (b"modify", b"bad-request")
    assert refusal(asks(alice, sid, {"a": 1})) == (b"modify", b"bad-request")
    alice.tell(events.PeerPresence(own=WHO.alice, peer=WHO.carol, available=True))
    assert refusal(asks(alice, sid, mine, peer=WHO.carol)) == (b"cancel", b"item-not-found"), (
        "it is not written to her"
    )
    assert not alice.store.peer_keys(WHO.carol.bare)
    world.wait(31 * DAY)
    assert refusal(asks(alice, sid, mine)) == (b"cancel", b"item-not-found"), "it is too old"


def test_a_key_is_not_given_to_one_that_policy_has_not_seen():
    world, alice, _bob = pair()
    alice.say(WHO.bob, "first")
    effects = asks(alice, sid_of(world), [dict(key(39).public.numbers)])
    assert [type(one) for one in effects] == [e.Learn, e.Absorb]
    changes = alice.store.commit((only(effects, e.Learn),))
    (change,) = changes
    assert refusal(alice.harness.handle(change)) == (b"auth", b"forbidden")


def test_a_flood_of_requests_is_answered_with_wait_and_learns_nothing():
    world, alice, _bob = pair()
    alice.say(WHO.bob, "first")
    conditions = [refusal(asks(alice, "unknown", []))[1] for _ in range(40)]
    assert conditions.count(b"resource-constraint") >= 9
    world.wait(61)
    assert refusal(asks(alice, "unknown", []))[1] == b"item-not-found"


def test_a_rate_forgets_contacts_but_not_the_present_one():
    rate = Rate(2, 10.0, contacts=2)
    assert [rate.exceeded(WHO.bob, 0.0) for _ in range(3)] == [False, False, True]
    rate.exceeded(WHO.alice, 0.0)
    assert rate.exceeded(WHO.bob, 9.0)
    assert not rate.exceeded(WHO.bob, 10.0)
    rate.exceeded(WHO.carol, 10.0)
    assert not rate.exceeded(WHO.bob, -5.0)


# ---- keys handed over ----


def test_a_key_that_is_pushed_is_taken_from_contacts_only_and_never_replaces_one():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    bob.stop()
    world.run()
    world.wait(2 * DAY)
    alice.say(WHO.bob.bare, "two")
    (push,) = [one for one in world.transcript if b"<keypush " in one.raw]
    world.start(bob)
    assert bob.texts == ["one", "two"]
    assert [type(one) for one in arrived(bob, push.raw, peer=WHO.alice)] == [e.Absorb]
    assert [type(one) for one in arrived(bob, push.raw, peer=WHO.carol)] == [e.Absorb]
    other = evolve(WHO.alice, resource="other")
    assert any(isinstance(one, e.Persist) for one in arrived(bob, push.raw, peer=other))
    broken = push.raw.replace(b"<encheader>", b"<encheader>A")
    assert [type(one) for one in arrived(bob, broken, peer=evolve(WHO.alice, resource="third"))] == [e.Absorb]


def test_words_for_us_are_taken_from_our_own_account_only():
    _world, alice, _bob = pair()
    wrong = build("message", {}, element("vouch", {"xmlns": headers.OWN}, b"x.y.z"))
    for peer in (WHO.bob, ALICE_TOO):
        assert [type(one) for one in arrived(alice, wrong, peer=peer)] == [e.Absorb]
    assert alice.store.record("vouched") is None


def test_words_of_accepted_devices_come_first_and_the_number_is_bounded():
    world, phone, _ = pair()
    own = phone.harness.engine.account.keys
    for number in range(20, 32):
        voucher = key(number)
        word = statements.vouched(voucher, WHO.alice, own.pair.signing.public)
        raw = build("message", {}, element("vouch", {"xmlns": headers.OWN}, word.encode()))
        phone.store.commit([one for one in arrived(phone, raw, peer=ALICE_TOO) if isinstance(one, e.DURABLE)])
    assert len(own.words) == 8
    oldest = list(own.words)[-1]
    phone.store.decide(WHO.alice.bare, keys.fingerprint_of(oldest), Decision.ACCEPTED)
    assert next(iter(own.words)) == oldest
    (shown,) = json.loads(own.offered())["keys"]
    assert shown[headers.VOUCHED][0] == own.words[oldest]
    assert len(shown[headers.VOUCHED]) == 4
    without_bugs(phone)
    assert world.seen == []


def test_of_what_strangers_sign_no_key_is_kept():
    _, alice, bob = pair()
    inner = build("message", {"from": str(WHO.carol), "to": str(WHO.bob), "type": "chat"}, b"<body>x</body>")
    header = {"jwk": dict(key(39).public.numbers)}
    signed = signing.sign(key(39), envelope.enclose(inner, int(bob.context.clock() * 1000)), header)
    raw = build("message", {"from": str(WHO.carol), "to": str(WHO.bob), "type": "chat"}, signed.to_bytes())
    effects = arrived(bob, raw, peer=WHO.carol)
    assert not any(isinstance(one, e.Learn) for one in effects)
    assert only(effects, e.Deliver).protection.key is None
    without_bugs(alice, bob)


# ---- signed and not encrypted ----


def test_what_is_only_signed_is_marked_as_readable_by_all():
    world, alice, bob = pair()
    alice.say(WHO.bob, "first")
    record = next(iter(bob.store.records("peer-smk:").values()))
    layer = wire.layer_of(Stanza.parse(sent(world, WHO.alice)[0].raw).child(wire.E2E))
    signed = envelope.disclose(sealing.open_(fields.decode(json.loads(record)["k"]), layer, bytes)).stanza
    bob.store._records = {
        name: data for name, data in bob.store._records.items() if not name.startswith("seen:")
    }
    found = only(arrived(bob, signed.standalone(), peer=WHO.alice), e.Deliver)
    assert f"<body xmlns='jabber:client'>{CLEAR}first</body>".encode() in found.inside.raw
    assert found.protection.key == fingerprint(alice)
    assert "not encrypted" in found.protection.notes[0]


# ---- what is recognised ----


def test_recognition():
    world, alice, _bob = pair()
    alice.say(WHO.bob, "first")
    found = method()
    good = readdressed(world)
    assert found.recognise(good) is Recognition.COMPLETE
    part = good.child(wire.E2E).raw
    assert found.recognise(Stanza.parse(good.appended(part))) is Recognition.MARKED
    assert found.recognise(Stanza.parse(good.raw.replace(b"<iv>", b"<iv>!"))) is Recognition.MARKED
    assert found.recognise(Stanza.parse(build("message", {}, b"<body>x</body>"))) is Recognition.NONE
    for name, kind in (
        ("keypush", Recognition.COMPLETE),
        ("vouch", Recognition.COMPLETE),
        ("other", Recognition.NONE),
    ):
        assert (
            found.recognise(Stanza.parse(build("message", {}, element(name, {"xmlns": headers.OWN})))) is kind
        )
    request = wire.request("x", b"{}")
    assert found.recognise(Stanza.parse(build("iq", {"type": "get"}, request))) is Recognition.COMPLETE
    assert found.recognise(Stanza.parse(build("iq", {"type": "result"}, request))) is Recognition.NONE


# ---- restarts ----


@pytest.mark.parametrize("fuse", range(12))
def test_killed_at_any_effect_no_key_and_no_text_is_used_twice(fuse):
    world, alice, bob = pair()
    alice.say(WHO.bob, "before")
    world.wait(2 * DAY)
    alice.fuse = fuse
    alice.say(WHO.bob, "while it dies")
    alice.fuse = None
    world.start(alice)
    alice.say(WHO.bob, "after")
    assert bob.texts[0] == "before"
    assert bob.texts[-1] == "after"
    assert bob.texts.count("while it dies") <= 1
    uses = [wire.layer_of(Stanza.parse(one.raw).child(wire.E2E)) for one in sent(world, WHO.alice)]
    assert len({one.key for one in uses}) == len({one.iv for one in uses}) == len(uses)
    without_bugs(alice, bob)


@pytest.mark.parametrize("fuse", range(12))
def test_a_reader_killed_at_any_effect_reads_it_once_or_can_ask_again(fuse):
    world, alice, bob = pair()
    bob.fuse = fuse
    alice.say(WHO.bob, "once")
    bob.fuse = None
    world.start(bob)
    alice.say(WHO.bob, "again")
    assert bob.texts.count("once") <= 1
    assert bob.texts[-1] == "again"
    without_bugs(alice, bob)


def test_what_is_old_is_forgotten_in_time():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    world.wait(2 * table.KEPT_FOR + 2 * DAY)
    assert bob.store.records("seen:") == {}
    assert alice.store.records("smk:") == {}
    alice.say(WHO.bob, "two")
    assert bob.texts == ["one", "two"]
    without_bugs(alice, bob)


def test_a_bad_setting_is_told_and_ends_nothing():
    _world, alice, bob = pair(
        settings={"anchors": "rubbish", "certificate": "rubbish", "window": "x", "signature": "none"}
    )
    assert any("anchors" in one.text for one in alice.notices)
    alice.say(WHO.bob, "one")
    assert bob.texts == ["one"]
    without_bugs(alice, bob)


def test_the_words_of_the_commands():
    _, alice, bob = pair()
    alice.say(WHO.bob, "one")
    for verb, text in (("fingerprint", fingerprint(bob).text), ("renew", "new key"), ("dance", "cannot")):
        alice.command(WHO.bob, verb)
        assert text in alice.notices[-1].text
    assert handover.MOST_DEVICES == 10
