"""Experiments on who wrote what: altered, spliced, invented, replayed and reflected messages, and substituted keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.evaluate.lab import Finding, Lab, Numbered, protected
from e2eproxy.methods.door import Secrets
from e2eproxy.testing.attackers import Alter, Middle, Reflect, always, by
from e2eproxy.testing.changes import Change, changes, spliced
from e2eproxy.testing.wire import Packet
from e2eproxy.testing.world import WHO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2eproxy.methods.door import Recorded
    from e2eproxy.testing.device import Device
    from e2eproxy.testing.world import World

SAID = (
    "The first text.",
    "Meet me at 10.00 at the mill.",
    "The third text, longer than the others: " + "x" * 40,
)
LIE = "Send the money to Mallory."
_MOST_CHANGES = 60
_MOST_EARLIER = 6


def _say_all(world: World, alice: Device, bob: Device) -> None:
    for text in SAID:
        alice.say(WHO.bob.bare, text)
    bob.say(WHO.alice, "An answer.")
    world.wait(5)


def _honest(lab: Lab) -> tuple[World, list[Recorded]]:
    """The conversation without an attacker, and its stanzas that carry Alice's texts."""
    world, alice, bob = lab.pair()
    _say_all(world, alice, bob)
    return world, [one for one in world.transcript if one.text and one.sender == WHO.alice]


def _nothing() -> Finding:
    return Finding(holds=False, how="nothing was sent", evidence=("No text was sent as protected.",))


def _altered(lab: Lab, wanted: Callable[[Change], bool], what: str) -> Finding:
    world, texts = _honest(lab)
    if len(texts) < len(SAID):
        return _nothing()
    target = texts[1]
    tried = 0
    for one in world.transcript[: target.number + 1]:
        most = _MOST_CHANGES if one.number == target.number else _MOST_EARLIER
        for change in changes(one.raw, most=most, wanted=wanted):
            tried += 1
            if fault := _fault_of(lab, one.number, change):
                return Finding(holds=False, how="altered text is accepted", evidence=(fault,))
    return Finding(
        holds=tried > 0, evidence=(f"{tried} {what} of stanzas, none accepted with another text.",)
    )


def _fault_of(lab: Lab, number: int, change: Change) -> str:
    """What was wrongly accepted when *change* stood in the place of stanza *number*; empty if nothing was."""
    world, alice, bob = lab.pair(Alter(Numbered(number), always(change.raw)))
    _say_all(world, alice, bob)
    resent = lab.method.traits.resent  # her own text once more, marked as such, is no other text
    wrong = [text for text in protected(bob) if text.removeprefix(resent) not in SAID]
    wrong += [text for text in protected(alice) if text.removeprefix(resent) != "An answer."]
    return f"Stanza {number}, {change.name}: shown as protected was {wrong[0]!r}." if wrong else ""


def bit_flips(lab: Lab) -> Finding:
    """Single bits flipped, in handshakes and texts, never give another text."""
    return _altered(lab, lambda change: change.name.startswith("flip"), "flips")


def truncation(lab: Lab) -> Finding:
    """Parts cut short, emptied or turned round never give another text."""
    return _altered(lab, lambda change: not change.name.startswith("flip"), "truncations")


def splicing(lab: Lab) -> Finding:
    """Parts of one message put into another never give a text that nobody wrote."""
    _, texts = _honest(lab)
    if len(texts) < len(SAID):
        return _nothing()
    mixed = [*spliced(texts[0].raw, texts[1].raw), *spliced(texts[2].raw, texts[1].raw)]
    for change in mixed:
        if fault := _fault_of(lab, texts[1].number, change):
            return Finding(holds=False, how="spliced text is accepted", evidence=(fault,))
    return Finding(holds=bool(mixed), evidence=(f"{len(mixed)} mixtures of two messages, none accepted.",))


def no_keys(lab: Lab) -> Finding:
    """Somebody without Alice's keys cannot write as Alice: neither in clear nor by passing on what Carol wrote."""
    world = lab.world()
    devices = [world.device(one, lab.method) for one in (WHO.alice, WHO.bob, WHO.carol)]
    world.start(*devices)
    alice, bob, carol = devices
    alice.say(WHO.bob.bare, SAID[0])
    carol.say(WHO.bob.bare, LIE)
    honest = [text for text in bob.texts if text in {SAID[0], LIE}]
    if len(honest) < 2:
        return _nothing()
    before = len(bob.shown)
    for one in list(world.transcript):
        if one.sender == WHO.carol and one.receiver.bare == WHO.bob.bare:
            packet = Packet(number=one.number, at=one.at, sender=one.sender, to=WHO.bob, raw=one.raw)
            world.inject(packet.readdressed(WHO.alice, WHO.bob))
    plain = f"<message xmlns='jabber:client' type='chat'><body>{LIE}</body></message>".encode()
    world.inject(Packet(number=-1, at=world.clock.now(), sender=WHO.alice, to=WHO.bob, raw=plain))
    world.wait(90)
    shown = [one for one in bob.shown[before:] if one.protection and one.peer.bare == WHO.alice.bare]
    resent = lab.method.traits.resent
    wrong = [one for one in shown if not resent or one.text != resent + SAID[0]]
    if wrong:
        text = f"Bob was shown {wrong[0].text!r} as protected and from Alice."
        return Finding(holds=False, how="anybody can write", evidence=(text,))
    return Finding(holds=True, evidence=("Neither clear text nor Carol's was shown as Alice's.",))


def key_change(lab: Lab) -> Finding:
    """After a first honest conversation, somebody with keys of his own can neither read nor write unnoticed."""
    middle = Middle(lab.method, active=False)
    world, alice, bob = lab.pair(middle)
    alice.say(WHO.bob.bare, SAID[0])
    bob.say(WHO.alice, SAID[1])
    if not bob.texts:
        return _nothing()
    middle.active = True
    middle.begin(alice, bob)
    middle.as_alice.say(WHO.bob, LIE)
    middle.as_bob.say(WHO.alice, LIE)
    alice.say(WHO.bob.bare, SAID[2])
    bob.say(WHO.alice, SAID[2])
    world.wait(90)
    return _verdict(middle, alice, bob)


def verified(lab: Lab) -> Finding:
    """Fingerprints were compared: somebody who sits between from the start can neither read nor write."""
    middle = Middle(lab.method)
    world, alice, bob = lab.pair(middle, verified=True)
    if not alice.store.peer_keys(WHO.alice.bare):
        return Finding(
            holds=False, how="no key to compare", evidence=("The method showed no key of its own.",)
        )
    middle.begin(alice, bob)
    _tempt(world, middle, alice, bob)
    return _verdict(middle, alice, bob)


def unverified(lab: Lab) -> Finding:
    """The same without comparing: where this does not hold, the first contact is a matter of luck."""
    middle = Middle(lab.method)
    world, alice, bob = lab.pair(middle)
    middle.begin(alice, bob)
    _tempt(world, middle, alice, bob)
    found = _verdict(middle, alice, bob)
    return Finding(
        holds=found.holds,
        how="" if found.holds else "first contact only once keys are compared",
        evidence=found.evidence,
    )


def _tempt(world: World, middle: Middle, alice: Device, bob: Device) -> None:
    alice.say(WHO.bob.bare, SAID[0])
    bob.say(WHO.alice.bare, SAID[1])
    middle.as_alice.say(WHO.bob, LIE)
    middle.as_bob.say(WHO.alice, LIE)
    world.wait(90)


def _verdict(middle: Middle, alice: Device, bob: Device) -> Finding:
    read = [text for text in middle.read if text in SAID]
    written = [text for text in (*alice.texts, *bob.texts) if text == LIE]
    if read or written:
        text = f"He read {len(read)} texts and wrote {len(written)} that were shown as from an accepted key."
        return Finding(holds=False, how="substituted keys are accepted", evidence=(text,))
    return Finding(
        holds=True, evidence=("He read nothing, and nothing of his was shown as from an accepted key.",)
    )


def replay(lab: Lab) -> Finding:
    """A stanza sent again, at once or later, is not shown again."""
    return _replayed(lab, restart=False)


def replay_after_restart(lab: Lab) -> Finding:
    """The same when the receiver was killed and started again in between."""
    return _replayed(lab, restart=True)


def _replayed(lab: Lab, *, restart: bool) -> Finding:
    world, alice, bob = lab.pair()
    _say_all(world, alice, bob)
    recorded = [one for one in world.transcript if one.receiver.bare == WHO.bob.bare]
    if not bob.texts:
        return _nothing()
    for pause in (0, 400, 3600):
        if restart:
            bob.kill()
            world.start(bob)
        for one in recorded:
            packet = Packet(number=one.number, at=one.at, sender=one.sender, to=one.receiver, raw=one.raw)
            world.inject(packet)
        world.wait(pause)
    twice = [text for text in SAID if protected(bob).count(text) > 1]
    if twice:
        text = f"{len(twice)} of {len(SAID)} texts were shown again."
        return Finding(holds=False, how="replays are accepted", evidence=(text,))
    return Finding(holds=True, evidence=(f"{len(recorded)} stanzas replayed three times, none shown again.",))


def reflection(lab: Lab) -> Finding:
    """A stanza sent back to its author is not shown as the other's."""
    attackers: Iterable[Reflect] = (
        Reflect(by(WHO.alice), apparent=WHO.bob),
        Reflect(by(WHO.alice), apparent=WHO.bob, also=False),
    )
    for attacker in attackers:
        world, alice, bob = lab.pair(attacker)
        _say_all(world, alice, bob)
        own = [text for text in protected(alice) if text in SAID]
        if own:
            text = f"Alice was shown her own text {own[0]!r} as Bob's."
            return Finding(holds=False, how="reflected text is accepted", evidence=(text,))
    _, sent = _honest(lab)
    if not sent:
        return _nothing()
    return Finding(holds=True, evidence=("No reflected stanza was shown to its author as the other's.",))


def forgery(lab: Lab) -> Finding:
    """Somebody who could not have got it from Alice makes a message that a judge takes for hers: she can deny all."""
    world, alice, bob = lab.pair()
    for text in SAID:
        alice.say(WHO.bob.bare, text)
        bob.say(WHO.alice, f"Answer to: {text}")
    recorded = tuple(world.transcript)
    for how, accomplice in (("anybody", None), ("the receiver", bob.stolen(Secrets.SESSION))):
        forged = lab.method.forge(recorded, accomplice)
        if forged is None:
            continue
        judged, again, judge = lab.pair(Alter(Numbered(forged.instead_of), always(forged.raw)))
        for text in SAID:
            again.say(WHO.bob.bare, text)
            judge.say(WHO.alice, f"Answer to: {text}")
        judged.wait(5)
        shown = [*judge.texts, *again.texts]
        if forged.text in shown and forged.text not in SAID:
            text = f"The forged text {forged.text!r} was taken for genuine."
            return Finding(holds=True, how=f"{how} can forge afterwards", evidence=(text,))
        return Finding(
            holds=False,
            how="the forgery failed",
            evidence=(f"A forgery by {how} was not taken for genuine.",),
        )
    return Finding(
        holds=False, how="no way to forge", evidence=("The method knows no way to forge a transcript.",)
    )
