"""All that the leak test is about: every place in every state, with every method and policy, and what happens afterwards.

It is run by ``tests/faults/leaks.py``; the unit test takes a sample of it. A state that lasts is told once, and the places
are written into it one after the other. Where writing changes it, each place is written aside, in a copy of the world in
which it was told.
"""

from __future__ import annotations

import random
import traceback

from attrs import evolve, field, frozen

from bed.aside import CopyDiedError, aside
from bed.leak_try import AFTERWARDS, GROUPS, Conversation, fits, lasting
from bed.places import PLACES
from bed.session_states import CANARY

#: With how many of the four other endings each place is written in a state with a method, by policy; the seed says which
#: ones, or whether at all. All of them would take hours, most of it to start daemons again; "wait" is never left out.
ENDINGS_DRAWN = {"require": 1.5, "require for the contact": 0.25, "prefer, sticky": 0.25}


@frozen
class Unit:
    """A group, and the places that are tried in it."""

    group: object
    places: tuple

    @property
    def weight(self) -> float:
        """How long it takes, about: in tries that are done aside."""
        return len(self.places) * (0.2 if lasting(self.group) else 1)


@frozen
class Tally:
    """What was tried, and what was found; *names* holds the different values of each word of ``Unit``."""

    tries: int = 0
    faults: tuple = ()
    names: dict = field(factory=dict)

    def __add__(self, other):
        """Both together."""
        names = {word: self.names.get(word, set()) | other.names.get(word, set()) for word in WORDS}
        return Tally(self.tries + other.tries, self.faults + other.faults, names)


WORDS = ("place", "state", "method", "policy", "ending")


def units(seed, *, everything=False, only=None):
    """The whole product, the longest units first; *only* maps words of ``WORDS`` to the names that are wanted."""
    found = []
    for group in GROUPS:
        here = [place for place in PLACES if fits(place, group)]
        drawn = {place.name: _endings(place, group, seed, everything=everything) for place in here}
        for ending in AFTERWARDS:
            unit = Unit(
                evolve(group, afterwards=ending),
                tuple(
                    place
                    for place in here
                    if ending in drawn[place.name] and _wanted(place, group, ending, only or {})
                ),
            )
            if unit.places:
                found.append(unit)
    return sorted(found, key=lambda unit: -unit.weight)


def _endings(place, group, seed, *, everything):
    if everything:
        return AFTERWARDS
    rng = random.Random(f"{seed} {group} {place.name} endings")
    whole, rest = divmod(ENDINGS_DRAWN[group.policy], 1)
    return (AFTERWARDS[0], *rng.sample(AFTERWARDS[1:], int(whole) + (rng.random() < rest)))


def _wanted(place, group, ending, only):
    have = dict(zip(WORDS, (place.name, group.state, group.method, group.policy, ending), strict=True))
    return all(have[word] in wanted for word, wanted in only.items() if wanted)


def run(unit, seed, twin=None):
    """Try all of *unit*; return its Tally. *twin* makes a broken pipeline, as in ``World``."""
    places = list(unit.places)
    random.Random(f"{seed} {unit.group}").shuffle(places)
    tried = _one_after_the_other if lasting(unit.group) else _aside
    faults = tuple(fault for found in tried(unit.group, places, seed, twin) for fault in found)
    group = unit.group
    names = {
        "place": {place.name for place in places},
        "state": {group.state},
        "method": {group.method},
        "policy": {group.policy},
        "ending": {group.afterwards},
    }
    return Tally(len(places), faults, names)


def _one_after_the_other(group, places, seed, twin):
    conversation = None
    for place in places:
        try:
            if conversation is None or not conversation.lasts:
                conversation = Conversation(group, seed, twin)
            found = conversation.write(place).faults()
        except Exception:  # noqa: BLE001 - whatever it is, it is a fault of this place
            found = [f"{place.name} ({group}): {traceback.format_exc()}"]
            conversation = None
        yield found


def _aside(group, places, seed, twin):
    conversation = Conversation(group, seed, twin)
    CANARY.places(
        conversation.world.seen
    )  # what is known from this search need not be found out in each copy
    for place in places:
        try:
            found = aside(lambda place=place: conversation.write(place).faults())
        except CopyDiedError as died:
            found = [f"{place.name} ({group}): {died}"]
        yield found
