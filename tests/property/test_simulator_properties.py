"""Whatever an attacker does to the wire: no text that nobody wrote, none twice, no bug, and the same again by seed."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from e2eproxy.errors import RemoteError
from e2eproxy.testing import WHO, ObjectMethod, SessionMethod, World
from e2eproxy.testing.attackers import ACTIONS, Chaos
from e2eproxy.xmpp.stanza import Stanza

METHODS = st.sampled_from([SessionMethod, ObjectMethod])
SCRIPT = st.lists(
    st.tuples(st.sampled_from(["alice", "bob", "wait", "kill alice", "kill bob"]), st.text(max_size=20)),
    max_size=8,
)


def play(method, seed, script, actions):
    chaos = Chaos(lambda packet: packet.stanza.kind == "message", random.Random(seed), actions)
    world = World(seed, chaos)
    people = {"alice": world.device(WHO.alice, method()), "bob": world.device(WHO.bob, method())}
    world.start(*people.values())
    said = {"alice": [], "bob": []}
    for number, (who, text) in enumerate(script):
        if who == "wait":
            world.wait(100)
        elif who.startswith("kill "):
            people[who[5:]].kill()
            world.start(people[who[5:]])
        else:
            said[who].append(f"{number}:{text}".translate(dict.fromkeys(range(32))))
            people[who].say(WHO.bob if who == "alice" else WHO.alice, said[who][-1])
    world.wait(2000)
    return world, people, said


def clean(text):
    """As much of a text as XML can carry."""
    return all(
        c in "\t\n" or (ord(c) >= 32 and not 0xD800 <= ord(c) < 0xE000 and ord(c) not in (0xFFFE, 0xFFFF))
        for c in text
    )


@settings(max_examples=40, deadline=None)
@given(METHODS, st.integers(0, 10_000), SCRIPT.filter(lambda script: all(clean(text) for _, text in script)))
def test_no_invented_no_doubled_text_and_no_bug(method, seed, script):
    _, people, said = play(method, seed, script, ACTIONS)
    for own, other in (("alice", "bob"), ("bob", "alice")):
        shown = [one.text for one in people[own].shown if one.protection]
        assert set(shown) <= set(said[other])
        assert len(shown) == len(set(shown))
        assert people[own].bugs == []


@settings(max_examples=15, deadline=None)
@given(METHODS, st.integers(0, 10_000), SCRIPT.filter(lambda script: all(clean(text) for _, text in script)))
def test_without_an_attacker_every_text_arrives_or_fails_and_waits_no_more(method, seed, script):
    calm = [one for one in script if not one[0].startswith("kill")]
    _, people, said = play(method, seed, calm, ("pass",))
    assert people["bob"].texts == said["alice"]
    assert people["alice"].texts == said["bob"]
    assert sum(one.errands.waiting for one in people.values()) == 0


@settings(max_examples=10, deadline=None)
@given(METHODS, st.integers(0, 10_000))
def test_the_same_seed_is_the_same_world(method, seed):
    script = [("alice", "a"), ("bob", "b"), ("wait", ""), ("alice", "c")]
    assert play(method, seed, script, ACTIONS)[0].seen == play(method, seed, script, ACTIONS)[0].seen


@settings(max_examples=150, deadline=None)
@given(METHODS, st.binary(max_size=200), st.sampled_from(["body", "sealed"]))
def test_no_remote_input_breaks_an_engine(method, data, where):
    import base64

    coded = base64.b64encode(data).decode()
    inside = {
        "body": f"<body>?E2EREF:{coded}.</body>",
        "sealed": "<sealed xmlns='urn:e2eproxy:reference:object:0'>"
        f"<key for='{coded[:64]}'>{coded}</key><data>{coded}</data></sealed>",
    }[where]
    world = World()
    alice = world.device(WHO.alice, method())
    world.start(alice)
    raw = f"<message xmlns='jabber:client' type='chat' from='{WHO.bob}' to='{WHO.alice}'>{inside}</message>"
    try:
        stanza = Stanza.parse(raw.encode())
    except RemoteError:
        return
    world.hand_over(alice, stanza, WHO.bob)
    world.run()
    assert alice.bugs == []
    assert not [one for one in alice.shown if one.protection]
