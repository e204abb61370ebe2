"""What a client announces, end to end through two daemons: the features are found out, and text goes out encrypted."""

from __future__ import annotations

import pytest
from attrs import evolve
from bed import miller_keys
from bed.caps_samples import EXODUS, FEATURES, SIMPLE, c, result
from bed.guard_world import ROMEO, SECRET, World
from bed.memory_session import DOMAIN

from e2eproxy.config import load
from e2eproxy.methods import registry
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.methods.traits import Wire
from e2eproxy.pipelines import defaults
from e2eproxy.proxy.rules import DEFAULTS, METHODS
from e2eproxy.testing.session_method import FEATURE, SessionMethod
from e2eproxy.xmpp import caps, disco_info, own_caps
from e2eproxy.xmpp.stanza import Stanza

HASHED = c(f"hash='sha-1' node='urn:n' ver='{SIMPLE}'")
INFO = disco_info.read(result(EXODUS + FEATURES))
MERGED = INFO.with_features([FEATURE])
ROSTER = "<query xmlns='jabber:iq:roster'/>"


def can(side, content=EXODUS + FEATURES):
    side.can = content.encode()


class Silent(SessionMethod):
    """The same, announcing nothing."""

    traits = evolve(SessionMethod.traits, features=())


class Listening(SessionMethod):
    """The same, which wants to hear of PEP nodes."""

    traits = evolve(SessionMethod.traits, wire=Wire(pep_nodes=("urn:keys", "urn:bundles:*")))


@pytest.fixture
def world():
    world = World(SessionMethod())
    for side in world.sides:
        can(side)
    return world


def presences(side):
    return [
        Stanza.parse(raw, b"<x xmlns='jabber:client'>") for raw in side.seen if raw.startswith(b"<presence")
    ]


def asks(side, node, by, number="q1"):
    about = "" if node is None else f" node='{node}'"
    raw = f"<iq type='get' id='{number}' from='{by}'><query xmlns='{caps.DISCO_INFO}'{about}/></iq>"
    side.server.deliver(raw.encode())
    side.read()
    side.world.run()
    return [raw for raw in side.seen if f"id='{number}'".encode() in raw]


def test_presence_announces_what_the_proxy_answers_for(world):
    romeo, juliet = world.sides
    romeo.write(f"<presence>{HASHED}</presence>".encode())
    (shown,) = presences(romeo)
    assert own_caps.announced(shown).is_of(MERGED)
    node = own_caps.announced(shown).caps.full_node
    (told,) = asks(romeo, node, juliet.jid)
    told = Stanza.parse(told)
    assert caps.answer(told).ver == MERGED.ver()
    assert not [one for one in romeo.read() if one.id == "q1"], "the client does not know that node"


def test_a_contact_is_found_to_have_the_method_by_what_its_proxy_announces(world):
    romeo, juliet = world.sides
    juliet.write(f"<presence to='{romeo.jid}'>{HASHED}</presence>".encode())
    romeo.write(f"<presence to='{juliet.jid}'>{HASHED}</presence>".encode())
    romeo.say(juliet.jid)
    assert juliet.texts == [SECRET]
    assert SECRET.encode() not in b"".join(world.seen)


def test_order_is_kept_behind_the_first_presence(world):
    romeo, juliet = world.sides
    romeo.can = None
    romeo.write(b"<presence/>")
    romeo.write(f"<presence to='{juliet.jid}'/>".encode())
    romeo.write(f"<iq type='get' id='v' to='{DOMAIN}'><query xmlns='jabber:iq:version'/></iq>".encode())
    assert not romeo.seen
    assert sum(guard.waiting for guard in romeo.guards.all) == 3
    world.wait(3)
    assert [raw for raw in romeo.seen if b"roster" not in raw] == [
        b"<presence/>",
        f"<presence to='{juliet.jid}'/>".encode(),
        f"<iq type='get' id='v' to='{DOMAIN}'><query xmlns='jabber:iq:version'/></iq>".encode(),
    ]


def test_the_end_of_the_stream_does_not_wait_for_an_answer(world):
    romeo, _ = world.sides
    romeo.can = None
    romeo.write(b"<presence/>")
    romeo.client.deliver(b"</stream:stream>")
    world.run()
    world.wait(2)
    assert romeo.seen[0] == b"<presence/>"


def test_a_stream_that_is_lost_gives_back_what_waited(world):
    romeo, juliet = world.sides
    romeo.can = None
    romeo.write(b"<presence/>")
    romeo.write(f"<message to='{juliet.jid}' id='m1'><body>{SECRET}</body></message>".encode())
    romeo.lose_stream()
    assert [one.id for one in romeo.errors if one.kind == "message"] == ["m1"]
    assert not romeo.seen


def test_an_answer_that_the_client_gives_has_the_features(world):
    romeo, juliet = world.sides
    asks(romeo, None, juliet.jid)
    assert [one.id for one in romeo.read()] == ["q1"]
    query = f"<query xmlns='{caps.DISCO_INFO}'>{EXODUS}{FEATURES}</query>"
    romeo.write(f"<iq type='result' id='q1' to='{juliet.jid}'>{query}</iq>".encode())
    (told,) = [raw for raw in romeo.seen if b"id='q1'" in raw]
    assert disco_info.read(Stanza.parse(told, b"<x xmlns='jabber:client'>")) == MERGED


def test_under_require_what_is_announced_leaves_by_the_same_door(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    url = "https://client.example/"
    romeo.write(f"<presence to='{juliet.jid}'>{HASHED.replace('urn:n', url)}</presence>".encode())
    assert own_caps.announced(presences(romeo)[0]).caps.full_node == f"{url}#{MERGED.ver()}"
    (told,) = asks(romeo, f"{url}#{MERGED.ver()}", juliet.jid)
    assert caps.answer(Stanza.parse(told)).ver == MERGED.ver()


def test_a_stranger_is_the_clients_to_answer_once_the_roster_is_known(world):
    romeo, _ = world.sides
    world.deaf.add(romeo.jid.bare)
    romeo.write(f"<presence>{HASHED}</presence>".encode())
    romeo.write(f"<iq type='get' id='r'>{ROSTER}</iq>".encode())
    friend = "<item jid='friend@example.test' subscription='from'/>"
    romeo.server.deliver(
        f"<iq type='result' id='r'><query xmlns='jabber:iq:roster'>{friend}</query></iq>".encode()
    )
    node = f"urn:n#{MERGED.ver()}"
    assert not asks(romeo, node, "stranger@example.test/x", "q1")
    assert asks(romeo, node, "friend@example.test/x", "q2")
    assert [one.id for one in romeo.read() if (one.id or "").startswith("q")] == ["q1"]


def test_each_client_of_an_account_announces_its_own(world):
    romeo, juliet = world.sides
    can(juliet, EXODUS)
    romeo.write(f"<presence>{HASHED}</presence>".encode())
    juliet.write(b"<presence/>")
    other = disco_info.read(result(EXODUS)).with_features([FEATURE])
    assert own_caps.announced(presences(juliet)[0]).is_of(other)
    assert not asks(juliet, f"urn:n#{MERGED.ver()}", ROMEO)


def test_nodes_that_a_method_listens_to_are_announced():
    world = World(Listening())
    romeo, _ = world.sides
    can(romeo)
    romeo.write(f"<presence>{HASHED}</presence>".encode())
    assert own_caps.announced(presences(romeo)[0]).is_of(INFO.with_features([FEATURE, "urn:keys+notify"]))


def test_a_system_that_the_client_speaks_itself_is_not_announced(world):
    romeo, _ = world.sides
    romeo.desk.speaks = frozenset({"reference-session"})
    romeo.write(f"<presence>{HASHED}</presence>".encode())
    assert romeo.seen[0] == f"<presence>{HASHED}</presence>".encode()


@pytest.mark.parametrize("methods", [(), (Silent(),)], ids=["no method", "a method without features"])
def test_without_a_feature_everything_passes_as_it_came_and_nobody_is_asked(methods):
    world = World(*methods)
    romeo, juliet = world.sides
    query = f"<query xmlns='{caps.DISCO_INFO}'>{EXODUS}</query>"
    said = [
        f"<presence>{HASHED}</presence>".encode(),
        b"<presence/>",
        f"<presence to='{juliet.jid}'>{HASHED}</presence>".encode(),
        f"<iq type='result' id='q0' to='{juliet.jid}'>{query}</iq>".encode(),
    ]
    for raw in said:
        romeo.client.deliver(raw)
    assert bytes(romeo.server.written) == b"".join(said), "at once, and byte for byte"
    assert not romeo.read()
    assert not asks(romeo, f"urn:n#{MERGED.ver()}", juliet.jid)
    assert [one.id for one in romeo.read()] == ["q1"]


def test_a_method_that_nothing_names_has_no_engine_and_is_not_announced():
    world = World(OtrMethod(), miller_keys.method())
    romeo = world.sides[0]
    for named, names in (("otr", {"otr"}), ("otr miller-e2e", {"otr", "miller-e2e"})):
        romeo.end_stream()
        world.wait(600)  # so the account is closed
        romeo.rules.rows["default", ""] = {"methods": named}
        romeo.rules.every = set(named.split())
        can(romeo)
        romeo.log_in()
        world.run()
        romeo.seen.clear()
        romeo.write(f"<presence>{HASHED}</presence>".encode())
        assert set(romeo.desk.lanes) == names
        assert bool(romeo.desk.announces()) is (len(names) > 1)
        (told,) = presences(romeo)
        assert own_caps.announced(told).is_of(INFO) is (names == {"otr"})


def test_the_defaults_name_otr_alone(tmp_path):
    named = defaults(load({}, {"HOME": str(tmp_path)}))
    assert named[METHODS] == DEFAULTS[METHODS] == "otr"
    assert set(registry.load(()).methods) == {"otr", "miller-e2e"}
