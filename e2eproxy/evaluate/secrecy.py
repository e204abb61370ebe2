"""Experiments on who can read: the server now, a thief of keys later, a thief who goes on listening."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from e2eproxy.evaluate.lab import Finding, Lab, protected
from e2eproxy.methods.door import Secrets
from e2eproxy.testing.canary import Canary
from e2eproxy.testing.world import WHO
from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from e2eproxy.methods.door import Recorded, Stolen
    from e2eproxy.testing.device import Device
    from e2eproxy.testing.world import World

CANARY = Canary("Zeisig7Quendel4Fjord")
_ROUNDS = 3


def canary(lab: Lab) -> Finding:
    """A text written by both sides is in no byte the server sees, however written."""
    world, alice, bob = lab.pair()
    text = CANARY.text()
    for number in range(3):
        alice.say(WHO.bob.bare, f"{number} {text}")
        bob.say(WHO.alice, f"{text} {number}")
    world.wait(5)
    places = CANARY.places(world.seen)
    arrived = len(protected(alice)) + len(protected(bob))
    if not arrived:
        return Finding(holds=False, how="nothing arrived", evidence=("No text arrived as protected.",))
    if places:
        return Finding(
            holds=False, how="the server reads it", evidence=tuple(f"Seen: {one}." for one in places)
        )
    seen = sum(len(raw) for raw in world.seen)
    return Finding(
        holds=True, evidence=(f"{arrived} texts arrived; in {seen} bytes the server saw nothing.",)
    )


def forward_secrecy(lab: Lab) -> Finding:
    """Keys stolen after a conversation open nothing that was recorded of it."""
    world, alice, bob = _conversation(lab)
    texts = [one.text for one in world.transcript if one.text]
    if not texts:
        return Finding(holds=False, how="nothing was sent", evidence=("No text was sent as protected.",))
    by_long_term = _opened(lab, world, (alice, bob), Secrets.LONG_TERM, texts)
    by_session = _opened(lab, world, (alice, bob), Secrets.SESSION, texts)
    counts = (
        f"Of {len(texts)} recorded texts, long-term keys stolen afterwards open {len(by_long_term)}.",
        f"All that is in the store and the memory afterwards opens {len(by_session)}.",
    )
    if by_long_term:
        return Finding(holds=False, how="stolen keys open the past", evidence=counts)
    how = "for each session" if by_session else "for each message"
    return Finding(holds=True, how=how, evidence=counts)


def recovery(lab: Lab) -> Finding:
    """All keys are stolen in the middle of a conversation; some round trips later the thief reads nothing any more."""
    world, alice, bob = _conversation(lab)
    taken = [one.stolen(Secrets.SESSION) for one in (alice, bob)]
    before = len(world.transcript)
    for number in range(_ROUNDS):
        alice.say(WHO.bob.bare, f"healing {number}")
        bob.say(WHO.alice, f"healed {number}")
    alice.say(WHO.bob.bare, "the last word")
    recorded = tuple(world.transcript)
    opened = _read_by(lab, world, taken, recorded)
    later = [one.text for one in recorded[before:] if one.text]
    if "the last word" not in later:
        return Finding(holds=False, how="nothing was sent", evidence=("The conversation did not go on.",))
    still = [text for text in later if text in opened]
    counts = (f"Of {len(later)} texts written after the theft the thief reads {len(still)}.",)
    if "the last word" in opened:
        return Finding(holds=False, how="does not heal", evidence=counts)
    return Finding(holds=True, how="heals after a round trip", evidence=counts)


def _conversation(lab: Lab) -> tuple[World, Device, Device]:
    world, alice, bob = lab.pair()
    for number in range(_ROUNDS):
        alice.say(WHO.bob.bare, f"question {number}")
        bob.say(WHO.alice, f"answer {number}")
    world.wait(5)
    return world, alice, bob


def _opened(lab: Lab, world: World, devices: tuple[Device, ...], what: Secrets, texts: list[str]) -> set[str]:
    opened = _read_by(lab, world, [one.stolen(what) for one in devices], tuple(world.transcript))
    return {text for text in texts if text in opened}


def _read_by(lab: Lab, world: World, taken: list[Stolen], recorded: tuple[Recorded, ...]) -> set[str]:
    """What the author's best attack, and an engine made of the stolen state, read of what an eavesdropper recorded."""
    unread = tuple(evolve(one, text=None) for one in recorded)
    texts: set[str] = set()
    for stolen in taken:
        texts.update(lab.method.open_recorded(stolen, unread))
        texts.update(replayed_to_clone(lab, world, stolen, unread))
    return texts


def replayed_to_clone(lab: Lab, world: World, stolen: Stolen, recorded: tuple[Recorded, ...]) -> list[str]:
    """What an engine that is made of *stolen* shows when all that was recorded for its account is given to it again."""
    owner = next(one for one in world.devices if one.jid.bare == stolen.account)
    thieves = lab.world()
    clone = thieves.device(owner.jid, lab.method, listed=False, salt="thief")
    clone.store.adopt(stolen, owner.store)
    clone.online = True
    for one in recorded:
        if one.receiver.bare == owner.jid.bare:
            thieves.wait(max(0.0, one.at - thieves.clock.now()))
            stamped = Stanza.parse(one.raw).with_attributes({"from": str(one.sender), "to": str(owner.jid)})
            stanza = Stanza.parse(stamped)
            thieves.hand_over(clone, stanza, one.sender)
            thieves.run()
    return protected(clone)
