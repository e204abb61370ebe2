"""Events, effects and traits as values: what an author may leave out, what a plug-in may store, and what no log shows."""

from __future__ import annotations

import enum
import re

import pytest
from attrs import NOTHING, Factory, fields, has

from e2eproxy.methods import door, effects, events, traits

MODULES = (door, effects, events, traits)
CLASSES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": thing
    for module in MODULES
    for name, thing in vars(module).items()
    if isinstance(thing, type) and thing.__module__ == module.__name__
}
VALUES = {name: cls for name, cls in CLASSES.items() if has(cls)}
WORDS = {name: cls for name, cls in CLASSES.items() if issubclass(cls, enum.Enum) and cls is not traits.Scope}
TEXTS = {
    "effects.Body": {"text"},
    "effects.Decline": {"body"},
    "events.Command": {"arguments"},
    "door.Recorded": {"text"},
    "door.Forgery": {"text"},
}
"""What a user wrote or a secret he gave, in fields that are no bytes."""
LEFT_OUT = {
    "door.Context": {"settings": {}},
    "door.Stolen": {"identities": (), "records": {}, "memory": {}},
    "door.Recorded": {"text": None},
    "effects.Protection": {"forward_secret": False, "deniable": False, "notes": ()},
    "effects.Learn": {"proved": True},
    "effects.Send": {"lasting": True, "pending": False},
    "effects.Emit": {"kind": "message", "type": "chat", "id": None, "own": None, "keys": ()},
    "effects.Ask": {"type": "get", "timeout": 30.0, "ref": None, "keys": (), "own": None},
    "effects.Consult": {"timeout": 60.0},
    "effects.Decline": {"offer": "", "settled": False, "adds": b"", "body": None},
    "effects.SessionChanged": {"protection": None},
    "effects.Tell": {"tone": effects.Tone.INFO},
    "events.Interrupted": {"doubtful": ()},
    "events.Outbound": {"members": (), "required": False, "again": False, "repeated": False},
    "events.Inbound": {
        "way": events.Way.LIVE,
        "sent_at": None,
        "author": None,
        "may_answer": False,
        "room": False,
        "again": False,
    },
    "events.Answer": {"stanza": None, "condition": ""},
    "events.Consulted": {"result": {}, "why": ""},
    "events.Computed": {"why": ""},
    "events.PeerFeatures": {"known": True},
    "events.Command": {"arguments": ()},
    "traits.Claim": {"how": ""},
    "traits.Wire": {
        "elements": frozenset(),
        "body_prefixes": (),
        "body_marks": (),
        "iq_elements": frozenset(),
        "at_once": frozenset(),
        "pep_nodes": (),
        "eme": "",
    },
    "traits.Traits": {
        "features": (),
        "resent": "",
        "survives_offline": "",
        "needs": (),
        "commands": (),
    },
}
"""What a value says where its author said nothing: a changed one changes every plug-in there is."""


def default(attribute):
    made = attribute.default
    return made.factory() if isinstance(made, Factory) else made


@pytest.mark.parametrize("name", VALUES)
def test_what_an_author_leaves_out_has_its_documented_meaning(name):
    optional = {one.name: default(one) for one in fields(VALUES[name]) if one.default is not NOTHING}
    assert optional == LEFT_OUT.get(name, {})


@pytest.mark.parametrize("name", [name for name in VALUES if not name.startswith("traits.")])
def test_a_value_in_a_log_shows_neither_payload_nor_stanza_nor_secret(name):
    cls = VALUES[name]
    shown = repr(cls(**{one.name: f"<{one.name}>" for one in fields(cls)}))
    hidden = {one.name for one in fields(cls) if f"<{one.name}>" not in shown}
    silent = {
        one.name for one in fields(cls) if re.search(r"bytes|Stanza|View|Callable|IdentityKey", one.type)
    }
    assert hidden == silent | TEXTS.get(name, set())


@pytest.mark.parametrize("name", WORDS)
def test_the_members_of_an_enumeration_are_words_that_a_plug_in_may_store(name):
    for member in WORDS[name]:
        assert member.value == member.name.lower().replace("_", "-")
        assert WORDS[name](member.value) is member


def test_the_tables_above_name_what_there_is():
    assert TEXTS.keys() | LEFT_OUT.keys() <= VALUES.keys()
    assert len(WORDS) == 7
