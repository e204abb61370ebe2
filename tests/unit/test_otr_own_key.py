"""OTR's own key, made in a thread: once for an account, and nothing that needs it is lost meanwhile."""

from __future__ import annotations

import pytest
from bed.otr_pair import identity
from test_otr_door import MALLORY, arrived, bodies, message, only, pair, without_bugs

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.events import Way
from e2eproxy.methods.otr import forms, fragments
from e2eproxy.methods.otr.account import PATIENCE
from e2eproxy.methods.otr.incoming import MOST_OFFERS
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.methods.otr.own_key import BETWEEN_TRIES, MOST_WAITING
from e2eproxy.testing import WHO, World
from e2eproxy.xmpp.jid import JID

SECONDS = 5.0
MADE = events.Computed(name="key", result=identity("of the account").encoded())
FAILED = events.Computed(name="key", result=None, why="It is broken.")


def slow_pair(settings=None):
    """Bob's key takes its time; Alice has hers."""
    world = World(1)
    alice, bob = (world.device(one, OtrMethod(), settings=settings) for one in (WHO.alice, WHO.bob))
    bob.computes_for = SECONDS
    world.start(alice, bob)
    return world, alice, bob


def keyless():
    """The engine of one whose key is being made."""
    world = World(1)
    bob = world.device(WHO.bob, OtrMethod())
    bob.computes_for = 1e9
    world.device(WHO.alice, OtrMethod())
    world.start(bob)
    world.guard(bob, events.PeerPresence(own=WHO.bob, peer=WHO.alice, available=True))
    return world, bob


def take(device, text, peer=WHO.alice):
    device.receive(message(text, sender=peer, to=device.jid), peer, way=Way.LIVE, sent_at=None, author=None)


def keys_of(device):
    return [one.fingerprint for one in device.store.peer_keys(device.jid.bare)]


def test_it_is_made_once_for_two_clients_that_come_at_once():
    _, bob = keyless()
    second = bob.harness.handle(events.Starting(own=WHO.bob_too))
    assert not [one for one in second if isinstance(one, e.Compute)]
    world, bob = keyless()
    world.guard(bob, MADE)
    world.guard(bob, events.Computed(name="key", result=identity("another").encoded()))
    assert bob.store.identity("dsa").secret == MADE.result
    assert len(keys_of(bob)) == 1
    later = bob.harness.handle(events.Starting(own=WHO.bob_too))
    assert not [one for one in later if isinstance(one, e.Compute)]
    without_bugs(bob)


@pytest.mark.parametrize("versions", ["2", "3"])
@pytest.mark.parametrize("fragment", ["0", "200"])
def test_a_peers_start_waits_for_it_and_then_succeeds(versions, fragment):
    world, alice, bob = slow_pair({"versions": versions, "fragment": fragment})
    alice.say(WHO.bob, "one")
    bob.say(WHO.alice, "two")
    world.wait(SECONDS - 1)
    assert (alice.texts, bob.texts, bob.store.identity("dsa")) == ([], [], None)
    world.wait(2)
    assert (alice.texts, bob.texts) == (["two"], ["one"])
    without_bugs(alice, bob)


@pytest.mark.parametrize("body", ["?OTRv3?", "hi" + forms.tag_text(frozenset({3}))])
def test_an_offer_is_answered_later_and_its_text_shown_at_once(body):
    _, alice, bob = slow_pair()
    effects = arrived(bob, body, peer=WHO.alice, to=WHO.bob)
    assert not [one for one in effects if isinstance(one, e.Emit | e.Hold)]
    if body.startswith("hi"):
        assert only(effects, e.Decline).body == "hi"
    effects = bob.harness.handle(MADE)
    assert "?OTR:AAM" in only(effects, e.Emit).payload.decode()
    assert only(effects, e.SessionChanged).state is e.State.NEGOTIATING
    assert only(effects, e.SetTimer).seconds == PATIENCE
    assert not [one for one in bob.harness.handle(MADE) if isinstance(one, e.Emit)], "once"
    without_bugs(alice, bob)


def test_the_users_own_start_need_not_wait():
    world, alice, bob = slow_pair()
    bob.command(WHO.alice, "start")
    assert bodies(world)[-1].startswith("?OTR:"), "alice has answered the query"
    assert bob.errands.waiting == 1
    world.wait(SECONDS + 1)
    assert alice.sessions[WHO.bob].state is bob.sessions[WHO.alice].state is e.State.ACTIVE
    without_bugs(alice, bob)


def test_the_last_part_of_a_message_waits_with_those_before_it_kept():
    world, bob = keyless()
    commit = forms.encoded_text(b"\0\2\2\0\0\0\1x\0\0\0\x20" + bytes(32))
    parts = fragments.cut(commit, 30, None)
    assert len(parts) > 2
    for one in parts:
        take(bob, one)
    assert (bob.errands.waiting, bob.absorbed) == (len(parts), [])
    world.guard(bob, MADE)
    world.run()
    assert bob.errands.waiting == 0
    assert len(bob.absorbed) == len(parts)
    assert "?OTR:AAIK" in bodies(world)[-1], "the answer to the commit"
    without_bugs(bob)


def test_what_a_stranger_sends_does_not_wait():
    _, bob = keyless()
    commit = forms.encoded_text(b"\0\2\2\0\0\0\1x\0\0\0\x20" + bytes(32))
    effects = arrived(bob, commit, peer=MALLORY, to=WHO.bob)
    assert [type(one) for one in effects] == [e.Absorb]


def test_those_who_wait_are_bounded():
    _, bob = keyless()
    commit = forms.encoded_text(b"\0\2\2\0\0\0\1x\0\0\0\x20" + bytes(32))
    held = answered = 0
    for number in range(max(MOST_WAITING, MOST_OFFERS) + 20):
        peer = JID.parse(f"contact{number}@two.test/x")
        bob.harness.handle(events.PeerPresence(own=WHO.bob, peer=peer, available=True))
        held += any(isinstance(one, e.Hold) for one in arrived(bob, commit, peer=peer, to=WHO.bob))
        arrived(bob, "?OTRv23?", peer=peer, to=WHO.bob)
    effects = bob.harness.handle(MADE)
    retried = [one.contact for one in effects if isinstance(one, e.Retry)]
    answered = [one.to for one in effects if isinstance(one, e.Emit)]
    assert held == len(set(retried)) == len(retried) == MOST_WAITING
    assert len(set(answered)) == len(answered) == MOST_OFFERS
    without_bugs(bob)


def test_a_key_that_cannot_be_made_is_told_and_what_waited_comes_to_an_end():
    world, alice, bob = slow_pair()
    bob.command(WHO.alice, "start")
    assert bob.errands.waiting == 1
    world.guard(bob, FAILED)
    world.run()
    assert "It is broken." in bob.notices[-1].text
    assert bob.errands.waiting == 0
    assert "no OTR key" in bob.absorbed[-1]
    bob.say(WHO.alice, "text")
    assert [(one.how, one.condition) for one in bob.failed] == [("returned", "internal-server-error")]
    bob.required = False
    bob.say(WHO.alice, "text")
    assert (bob.failed[-1].how, bob.failed[-1].offer) == ("declined", ""), "nothing is offered"
    bob.command(WHO.alice, "start")
    assert "none could be made" in bob.notices[-1].text
    without_bugs(alice, bob)


def test_a_peer_cannot_have_it_tried_for_again_and_again():
    world, bob = keyless()
    bob.harness.handle(FAILED)
    commit = forms.encoded_text(b"\0\2\2\0\0\0\1x\0\0\0\x20" + bytes(32))
    for text in (commit, "?OTRv3?", "?OTR,1,2,x,") * 20:
        effects = bob.harness.handle(_inbound(text))
        assert not [one for one in effects if isinstance(one, e.Compute | e.Hold)]
    world.wait(BETWEEN_TRIES + 1)
    effects = bob.harness.handle(_inbound(commit))
    assert [type(one) for one in effects] == [e.Hold, e.Compute]
    assert [type(one) for one in bob.harness.handle(_inbound(commit))] == [e.Hold]
    without_bugs(bob)


def _inbound(text):
    stanza = message(text, sender=WHO.alice, to=WHO.bob)
    return events.Inbound(ref="x", own=WHO.bob, peer=WHO.alice, to=WHO.bob, stanza=stanza, may_answer=True)


def test_an_engine_that_was_made_anew_asks_for_it_when_it_needs_it():
    world, _, bob = slow_pair()
    bob.harness.forget()
    world.wait(SECONDS + 1)
    assert bob.store.identity("dsa") is None, "what the first wanted is not the second's"
    bob.say(WHO.alice, "text")
    world.wait(SECONDS + 1)
    assert bob.store.identity("dsa") is not None
    without_bugs(bob)


def test_a_stream_that_ends_meanwhile_leaves_a_key_and_answers_nobody():
    world, alice, bob = slow_pair()
    take(bob, "?OTRv3?")
    bob.lose_stream()
    seen = len(world.seen)
    world.wait(SECONDS + 1)
    assert bob.store.identity("dsa") is not None
    assert len(world.seen) == seen
    without_bugs(alice, bob)


def test_what_a_thread_made_that_is_no_key_is_not_kept():
    _, bob = keyless()
    with pytest.raises(MethodError):
        bob.harness.engine.handle(events.Computed(name="key", result=MADE.result[:-1] + b"\1"))
    assert bob.store.identity("dsa") is None


def test_the_work_has_nothing_of_the_engine_in_it():
    _, alice, _ = pair(start=False)
    engine = OtrMethod().engine(alice.context)
    engine.account.key._context = _Empty()
    (wanted,) = engine.account.key.wanted()
    assert wanted.work.__module__ == "e2eproxy.methods.otr.own_key"
    assert wanted.work.__closure__ is None


class _Empty:
    """A context without a key in it."""

    view = property(lambda self: self)

    def identity(self, _name):
        return None
