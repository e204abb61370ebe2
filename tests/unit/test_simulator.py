"""The simulator itself: clock, server, devices and every tactic of the attacker do what they say."""

from __future__ import annotations

import base64
import random

import pytest

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Recognition
from e2eproxy.methods.events import Way
from e2eproxy.testing import WHO, Canary, FakeClock, ObjectMethod, SessionMethod, World
from e2eproxy.testing.attackers import (
    Alter,
    Chaos,
    Delay,
    Drop,
    Duplicate,
    Middle,
    Reflect,
    Reorder,
    Replay,
    Several,
    Splice,
    always,
    by,
)
from e2eproxy.testing.changes import changes, parts, spliced
from e2eproxy.testing.world import Honest
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.stanza import Stanza


def pair(attacker=None, method=SessionMethod, seed=0):
    world = World(seed, attacker)
    alice, bob = world.device(WHO.alice, method()), world.device(WHO.bob, method())
    world.start(alice, bob)
    return world, alice, bob


def talk(alice, *texts):
    for text in texts:
        alice.say(WHO.bob.bare, text)


# ---- the clock ----


def test_calls_come_when_they_are_due_and_in_order():
    clock, done = FakeClock(0.0), []
    clock.call_later(2, lambda: done.append("b"))
    clock.call_later(1, lambda: done.append("a"))
    clock.call_later(2, lambda: done.append("c"))
    gone = clock.call_later(1.5, lambda: done.append("x"))
    gone.cancel()
    while clock.step_to(2.0):
        pass
    assert (done, clock.now()) == (["a", "b", "c"], 2.0)
    assert clock.next_due() is None


def test_time_does_not_run_backwards():
    clock = FakeClock(5.0)
    clock.step_to(1.0)
    assert clock.now() == 5.0


# ---- tactics ----


def data_of(which):
    """Alice's texts only, not her part of the handshake (packets 0 and 2)."""
    return lambda packet: packet.number >= 3 and which(packet)


def test_drop():
    _, alice, bob = pair(Drop(by(WHO.alice, nth=3)))
    talk(alice, "one", "two", "three")
    assert bob.texts == ["one", "three"]


def test_delay_and_order():
    world, alice, bob = pair(Delay(by(WHO.alice, nth=2), 30))
    talk(alice, "one", "two")
    assert bob.texts == ["two"]
    world.wait(29)
    assert bob.texts == ["two"]
    world.wait(1)
    assert bob.texts == ["two", "one"]


def test_duplicate_and_replay_are_seen_twice_on_the_wire():
    for attacker in (Duplicate(by(WHO.alice)), Replay(by(WHO.alice), 5)):
        world, alice, bob = pair(attacker)
        talk(alice, "one")
        world.wait(10)
        assert bob.texts == ["one"]
        assert "It was opened before." in bob.absorbed


def test_reorder():
    _, alice, bob = pair(Reorder(data_of(by(WHO.alice))))
    talk(alice, "one", "two", "three", "four")
    assert bob.texts == ["two", "one", "four", "three"]


def test_reflect_comes_back_as_from_the_peer():
    _, alice, bob = pair(Reflect(data_of(by(WHO.alice))))
    talk(alice, "one")
    assert bob.texts == ["one"]
    assert len(alice.unreadable) == 1
    assert alice.texts == []


def test_alter_and_splice_change_the_bytes():
    _, alice, bob = pair(Alter(data_of(by(WHO.alice)), lambda raw: raw.replace(b"?E2EREF:", b"?E2EREF:AAAA")))
    talk(alice, "one")
    assert (bob.texts, len(bob.unreadable)) == ([], 1)
    _, alice, bob = pair(Splice(data_of(by(WHO.alice)), lambda first, _second: first))
    talk(alice, "one", "two")
    assert bob.texts == ["one"]
    assert "It was opened before." in bob.absorbed


def test_alter_to_nothing_drops():
    _, alice, bob = pair(Alter(data_of(by(WHO.alice)), lambda _raw: None))
    talk(alice, "one")
    assert (bob.texts, bob.unreadable) == ([], [])


def test_inject_without_a_device():
    world, _, bob = pair()
    from e2eproxy.testing.wire import Packet

    raw = b"<message xmlns='jabber:client' type='chat'><body>hello</body></message>"
    world.inject(Packet(number=-1, at=world.clock.now(), sender=WHO.carol, to=WHO.bob, raw=raw))
    [shown] = bob.shown
    assert (shown.text, shown.peer, shown.protection, shown.trusted) == ("hello", WHO.carol, None, False)


def test_several_act_one_behind_the_other():
    _, alice, bob = pair(Several(Duplicate(data_of(by(WHO.alice))), Drop(by(WHO.alice, nth=2))))
    talk(alice, "one", "two")
    assert bob.texts == ["two"]


def test_chaos_is_the_same_for_the_same_dice():
    def run(seed):
        chaos = Chaos(by(WHO.alice), random.Random(seed))
        world, alice, bob = pair(chaos)
        talk(alice, *"abcdefgh")
        world.wait(1000)
        return chaos.done, bob.texts

    assert run(4) == run(4)
    assert len({str(run(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("method", [SessionMethod, ObjectMethod])
def test_the_middle_reads_and_writes_where_nothing_was_compared(method):
    middle = Middle(method())
    world, alice, bob = pair(middle, method)
    middle.begin(alice, bob)
    alice.say(WHO.bob.bare, "to Bob")
    bob.say(WHO.alice.bare, "to Alice")
    world.wait(5)
    assert set(middle.read) == {"to Bob", "to Alice"}
    assert (alice.texts, bob.texts) == (["to Alice"], ["to Bob"])


def test_an_inactive_middle_lets_everything_pass():
    middle = Middle(SessionMethod(), active=False)
    _, alice, bob = pair(middle)
    talk(alice, "one")
    assert (bob.texts, middle.read) == (["one"], [])


# ---- the server and devices ----


def test_messages_wait_for_those_who_are_away_and_come_with_their_time():
    world, alice, bob = pair(method=ObjectMethod)
    bob.stop()
    world.run()
    talk(alice, "later")
    world.wait(100)
    world.start(bob)
    assert bob.texts == ["later"]
    assert bob.shown[0].way is Way.DELAYED


def test_what_may_not_be_kept_is_not():
    world, alice, bob = pair()
    talk(alice, "one")
    bob.online = False
    talk(alice, "two")
    world.start(bob)
    assert bob.texts == ["one"]


def test_errors_never_reach_a_method():
    world, alice, bob = pair()
    talk(alice, "one")
    changed = Stanza.parse(world.transcript[-1].raw).with_attributes(
        {"type": "error", "from": str(WHO.alice)}
    )
    bob.receive(Stanza.parse(changed), WHO.alice, way=Way.LIVE, sent_at=None, author=None)
    assert (bob.absorbed, bob.unreadable) == (["A step of a handshake."] * 2, [])
    assert bob.shown[-1].protection is None


def test_an_answer_counts_only_from_whom_was_asked():
    world, alice, _ = pair(Drop(by(WHO.alice, kind="iq")), ObjectMethod)
    talk(alice, "one")
    assert alice.errands.waiting == 1
    open_ids = list(alice.errands._questions)
    answer = f"<iq xmlns='jabber:client' type='error' id='{open_ids[-1]}' from='{WHO.carol}'/>".encode()
    alice.receive(Stanza.parse(answer), WHO.carol, way=Way.LIVE, sent_at=None, author=None)
    assert alice.errands.asked(open_ids[-1])
    world.wait(31)
    assert alice.errands.waiting == 0
    assert [one.how for one in alice.failed] == ["declined"]


def test_a_killed_device_keeps_its_store_and_loses_its_memory():
    world, alice, bob = pair()
    talk(alice, "one")
    bob.fuse = 0
    talk(alice, "two")
    assert not bob.online
    world.start(bob)
    talk(alice, "three")
    assert bob.texts == ["one", "three"]


def test_a_world_that_does_not_come_to_rest_is_stopped():
    world = World()

    def again():
        world.soon(again)

    world.soon(again)
    with pytest.raises(AssertionError, match="does not come to rest"):
        world.run()


def test_keys_that_policy_does_not_accept_stop_the_stanza_at_the_door():
    _world, alice, bob = pair(method=ObjectMethod)
    talk(alice, "one")
    alice.store.policy = "verified"
    talk(alice, "two")
    assert bob.texts == ["one"]
    assert [one.condition for one in alice.failed] == ["policy-violation"]


class Told:
    """A method that does what it is told, and remembers what it heard."""

    traits = SessionMethod.traits

    def __init__(self, *effects):
        self.effects, self.heard = effects, []

    def engine(self, _context):
        return self

    def recognise(self, _stanza):
        return Recognition.NONE

    def handle(self, event):
        self.heard.append(event)
        return self.effects if isinstance(event, events.Timer) else ()


def told(*effects):
    method = Told(*effects)
    world = World()
    alice = world.device(WHO.alice, method)
    world.start(alice)
    world.guard(alice, events.Timer(name="now"))
    world.run()
    return world, alice, method


def test_a_backend_that_is_not_there_fails_at_once():
    _, _, method = told(e.Consult(token="t", backend="gpg", request={}))
    assert method.heard[-1] == events.Consulted(
        token="t", outcome=events.Outcome.ERROR, why="There is no gpg here."
    )


def test_a_lost_stream_is_told_with_the_doubtful_peers():
    _, alice, method = told()
    alice.lose_stream(WHO.bob)
    assert method.heard[-1] == events.Interrupted(own=WHO.alice, doubtful=(WHO.bob,))
    assert not alice.online


def test_keys_are_given_only_to_keys_that_policy_accepts():
    key = Fingerprint("reference-session", "00")
    give = e.Emit(to=WHO.bob, payload=b"", type="", keys=(key,))
    world, alice, method = told()
    alice.store.commit((e.Learn(contact=WHO.bob.bare, fingerprint=key, public=b"0"),))
    method.effects = (give,)
    world.guard(alice, events.Timer(name="now"))
    assert len(world.seen) == 1
    assert b"type=" not in world.seen[0]
    alice.store.policy = "verified"
    world.guard(alice, events.Timer(name="now"))
    assert len(world.seen) == 1
    assert "not accepted" in alice.notices[-1].text


def test_honest_wires_change_nothing():
    packet = object()
    assert Honest().meet(packet) == (packet,)


# ---- changes and canaries ----

MESSAGE = (
    b"<message xmlns='jabber:client' to='a@b.c'><body>?X:"
    + base64.b64encode(bytes(range(60)))
    + b".</body><k xmlns='urn:x' key='"
    + base64.b64encode(bytes(32))
    + b"'/></message>"
)


def test_changes_reach_texts_and_attributes_and_leave_stanzas():
    assert len(parts(MESSAGE)) == 2
    found = list(changes(MESSAGE, most=10_000))
    assert len({one.raw for one in found}) > 60
    assert all(one.raw != MESSAGE for one in found)
    for one in found:
        Stanza.parse(one.raw)
    assert len(list(changes(MESSAGE, most=7))) <= 7
    assert {one.name.split()[0] for one in found} >= {"flip", "cut", "empty", "turn", "one"}


def test_splicing_takes_from_the_other():
    other = MESSAGE.replace(base64.b64encode(bytes(32)), base64.b64encode(bytes(31) + b"\1"))
    found = list(spliced(other, MESSAGE))
    assert [one.name for one in found] == ["part 1 of the other", "half of part 1 of the other"]
    assert found[0].raw == other


def test_always():
    assert always(b"x")(b"y") == b"x"


TOKEN = "Kreuz9Birne4Sattel"


@pytest.mark.parametrize(
    ("raw", "way"),
    [
        (TOKEN.encode(), "raw"),
        (TOKEN.upper().encode(), "raw"),
        ("".join(f"&#x{ord(c):x};" for c in TOKEN).encode(), "escaped"),
        ("".join(f"%{ord(c):02x}" for c in TOKEN).encode(), "escaped"),
        ("".join(f"\\u{ord(c):04x}" for c in TOKEN).encode(), "escaped"),
        (TOKEN.encode("utf-16-le"), "UTF-16"),
        (TOKEN.encode("utf-16-be"), "UTF-16"),
        (TOKEN.encode().hex().encode(), "hex"),
        *((base64.b64encode(b"x" * n + TOKEN.encode() + b"yz"), "base64") for n in range(3)),
        *((base64.urlsafe_b64encode(b"\xff" * n + TOKEN.encode() + b"\xfe"), "base64") for n in range(3)),
        (base64.b64encode(base64.b64encode(TOKEN.encode())), "in base64, "),
        (base64.b64encode(TOKEN.encode("utf-16-le")), "in base64, UTF-16"),
    ],
)
def test_the_canary_is_found_in_every_dress(raw, way):
    assert any(way in place for place in Canary(TOKEN).places([b"<m><b>" + raw + b"</b></m>"]))


@pytest.mark.parametrize("bits", [-15, 15, 31])
def test_the_canary_is_found_deflated(bits):
    import zlib

    packer = zlib.compressobj(wbits=bits)
    packed = packer.compress(b"something before " + TOKEN.encode()) + packer.flush()
    assert Canary(TOKEN).places([packed])
    assert Canary(TOKEN).places([b"<m>" + base64.b64encode(packed) + b"</m>"])


def test_the_canary_is_found_in_fragments_of_otr():
    coded = base64.b64encode(b"abc" + TOKEN.encode()).decode()
    pieces = [coded[at : at + 6] for at in range(0, len(coded), 6)]
    seen = [
        f"<m><body>?OTR,{k},{len(pieces)},{piece},</body></m>".encode() for k, piece in enumerate(pieces, 1)
    ]
    assert any("joined fragments" in place for place in Canary(TOKEN).places(seen))


def test_no_canary_no_finding():
    rng = random.Random(1)
    noise = [b"<m>" + base64.b64encode(rng.randbytes(300)) + b"</m>" for _ in range(20)]
    assert Canary(TOKEN).places(noise) == []
