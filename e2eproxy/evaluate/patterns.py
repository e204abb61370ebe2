"""Experiments on what one can do with a method: one to one, groups, online, offline, several devices, finding support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.evaluate.lab import Finding, Lab, PlainMethod, protected
from e2eproxy.testing.world import WHO

if TYPE_CHECKING:
    from e2eproxy.testing.device import Device

TEXTS = (
    "Plain.",
    "Grüße & <b>no markup</b> \"quoted\" 'twice' ]]> 😀 e\u0301",
    "Two\nlines\tand a tab, \u202eturned\u202c.",
    "long " * 2000,
)
_DAY = 86400.0


def one_to_one(lab: Lab) -> Finding:
    """Two people write to each other; every text arrives once, unchanged, in order, from an accepted key."""
    world, alice, bob = lab.pair()
    for text in TEXTS:
        alice.say(WHO.bob.bare, text)
        bob.say(WHO.alice.bare, text + " too")
    world.wait(60)
    if alice.texts == [text + " too" for text in TEXTS] and bob.texts == list(TEXTS):
        return Finding(holds=True, evidence=(f"{2 * len(TEXTS)} texts arrived unchanged and in order.",))
    return Finding(holds=False, how="texts do not arrive", evidence=_why(alice, bob))


def online(lab: Lab) -> Finding:
    """With both online a text arrives at once: no time has to pass."""
    world, alice, bob = lab.pair()
    alice.say(WHO.bob.bare, TEXTS[0])
    bob.say(WHO.alice, TEXTS[1])
    if bob.texts == [TEXTS[0]] and alice.texts == [TEXTS[1]]:
        stanzas = len([one for one in world.transcript if one.text is None])
        return Finding(
            holds=True, evidence=(f"Two texts arrived at once, with {stanzas} stanzas beside them.",)
        )
    return Finding(holds=False, how="texts do not arrive at once", evidence=_why(alice, bob))


def group(lab: Lab) -> Finding:
    """A text to a room is read by all its members and not by the server."""
    world = lab.world()
    people = [world.device(one, lab.method) for one in (WHO.alice, WHO.bob, WHO.carol)]
    for one in people:
        one.store.policy = "blind"
    world.start(*people)
    world.room(WHO.room, *people)
    alice, bob, carol = people
    alice.say(WHO.room, TEXTS[0], kind="groupchat")
    bob.say(WHO.room, TEXTS[1], kind="groupchat")
    world.wait(60)
    if alice.failed:
        return Finding(holds=False, how="not offered", evidence=_why(*people))
    read = [TEXTS[0] in bob.texts, TEXTS[0] in carol.texts, TEXTS[1] in alice.texts, TEXTS[1] in carol.texts]
    if all(read):
        return Finding(holds=True, evidence=("Every member read what the others wrote.",))
    return Finding(holds=False, how="members cannot read", evidence=_why(*people))


def offline(lab: Lab) -> Finding:
    """A text written while the receiver is away is read when he comes back, a day later."""
    stayed, why = _offline(lab, sender_goes=False)
    gone, _ = _offline(lab, sender_goes=True)
    if not stayed:
        return Finding(holds=False, how="not while the peer is away", evidence=why)
    how = "" if gone else "if the sender stays online"
    return Finding(holds=True, how=how, evidence=("The text was read a day later.",))


def _offline(lab: Lab, *, sender_goes: bool) -> tuple[bool, tuple[str, ...]]:
    world, alice, bob = lab.pair()
    alice.say(WHO.bob.bare, "Hello.")
    bob.say(WHO.alice, "Hello too.")
    bob.stop()
    world.run()
    alice.say(WHO.bob.bare, TEXTS[1])
    if sender_goes:
        alice.stop()
    world.wait(_DAY)
    world.start(bob)
    world.wait(60)
    return TEXTS[1] in bob.texts, _why(alice, bob)


def resources(lab: Lab) -> Finding:
    """A text to somebody with two devices is read on both."""
    world = lab.world()
    people = [world.device(one, lab.method) for one in (WHO.alice, WHO.bob, WHO.bob_too)]
    for one in people:
        one.store.policy = "blind"
    world.start(*people)
    alice, phone, tablet = people
    for text in TEXTS[:2]:
        alice.say(WHO.bob.bare, text)
    world.wait(60)
    read = [one for one in (phone, tablet) if all(text in one.texts for text in TEXTS[:2])]
    if len(read) == 2:
        return Finding(holds=True, evidence=("Both devices read both texts.",))
    how = "one device reads" if read else "no device reads"
    return Finding(holds=False, how=how, evidence=_why(*people))


def discovery(lab: Lab) -> Finding:
    """The first text is protected for who can, and given back to policy within a minute for who cannot."""
    world, alice, bob = lab.pair()
    alice.say(WHO.bob.bare, TEXTS[0])
    world.wait(60)
    if TEXTS[0] not in bob.texts:
        return Finding(holds=False, how="support is not found", evidence=_why(alice, bob))
    first = next((one.number for one in world.transcript if one.text), 0)
    asked = any(b"<iq " in one.raw and one.receiver == WHO.bob.bare for one in world.transcript[:first])
    other = lab.world()
    alice, plain = other.device(WHO.alice, lab.method), other.device(WHO.bob, PlainMethod())
    other.start(alice, plain)
    alice.say(WHO.bob.bare, TEXTS[0])
    other.wait(60)
    if not alice.failed or any(one.protection is None and TEXTS[0] not in one.text for one in plain.shown):
        why = "Whoever cannot is sent things he cannot read, or the text is kept back."
        return Finding(holds=False, how="lack of support is not found", evidence=(why,))
    announced = bool(lab.method.traits.features)
    how = "key lookup" if asked else "service discovery" if announced else "offered in the conversation"
    return Finding(holds=True, how=how, evidence=("Found for who can; given up for who cannot.",))


def _why(*devices: Device) -> tuple[str, ...]:
    """What became of the texts instead."""
    found = []
    for one in devices:
        found += [f"{one.jid}: {failed.how}: {failed.why}" for failed in one.failed]
        found += [f"{one.jid}: could not open: {why}" for why in one.unreadable]
        if one.errands.waiting:
            found.append(f"{one.jid}: {one.errands.waiting} stanzas still wait.")
        untrusted = len(protected(one)) - len(one.texts)
        if untrusted:
            found.append(f"{one.jid}: {untrusted} texts were by a key that is not accepted.")
    return tuple(found) or ("Nothing arrived.",)
