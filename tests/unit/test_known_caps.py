"""Hashes whose features were proved: bounded in memory, stored once, noted as used once a day, there again after a restart."""

from __future__ import annotations

import itertools
import zlib

import pytest
from bed.caps_samples import BASIC, EXODUS, FEATURES, SIMPLE, c
from bed.guard_world import World
from bed.stores import JULIET, ROMEO, Place

from e2eproxy.proxy.known_caps import NOTED_EVERY, KnownCaps
from e2eproxy.testing.session_method import FEATURE, SessionMethod
from e2eproxy.trust.capabilities import MOST_BYTES, decoded, encoded
from e2eproxy.trust.errors import StoppedError
from e2eproxy.trust.values import KnownCapabilities
from e2eproxy.xmpp import caps, disco_info, own_caps
from e2eproxy.xmpp.stanza import Stanza

HASHED = c(f"hash='sha-1' node='urn:n' ver='{SIMPLE}'")


class Notes:
    """A KnownCaps, and what it wanted stored."""

    def __init__(self, **bounds):
        self.time = 0.0
        self.kept = []
        self.used = []
        self.known = KnownCaps(
            now=lambda: self.time,
            keep=self.kept.append,
            used=lambda ver, at: self.used.append((ver, at)),
            **bounds,
        )


def a(*features):
    return frozenset(features)


def test_what_was_proved_is_stored_once():
    notes = Notes()
    notes.time = 5.0
    notes.known.keep("v", a("x"))
    notes.known.keep("v", a("x"))
    assert notes.kept == [KnownCapabilities("v", a("x"), 5.0)]
    assert notes.known.get("v") == a("x")
    assert notes.known.get("w") is None


def test_that_it_is_of_use_is_noted_once_a_day():
    notes = Notes()
    notes.known.keep("v", a("x"))
    for notes.time in (1.0, NOTED_EVERY - 1, NOTED_EVERY, NOTED_EVERY + 1, 2 * NOTED_EVERY):
        notes.known.get("v")
    assert notes.used == [("v", NOTED_EVERY), ("v", 2 * NOTED_EVERY)]


def test_what_was_stored_is_known_and_not_stored_again():
    notes = Notes(vers=2)
    notes.known.remember(KnownCapabilities(str(n), a(str(n)), float(n)) for n in range(3))
    assert [notes.known.get(str(n)) for n in range(3)] == [None, a("1"), a("2")]
    notes.known.keep("1", a("else"))
    assert notes.known.get("1") == a("1")
    assert not notes.kept


def test_memory_is_counted_back():
    notes = Notes(kept_bytes=2_000)
    for number in itertools.count():
        notes.known.keep(str(number), a("x" * 500))
        if number > 20:
            break
    assert 0 < len(notes.known) < 4
    assert notes.known.memory <= 2_000


# ---- the store ----


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_stored_sets_are_found_again_and_sealed(place):
    known = KnownCapabilities("urn-ver", a("urn:feature", "\u00fc\U0001f600"), 3.0)
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        assert work.capabilities.put(ROMEO, known)
        assert work.capabilities.put(ROMEO, KnownCapabilities("other", a(), 2.0))
        work.capabilities.used(ROMEO, "nobody's", 9.0)
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        assert work.load(ROMEO).capabilities == (KnownCapabilities("other", a(), 2.0), known)
        work.capabilities.used(ROMEO, "other", 4.0)
        assert [one.ver for one in work.capabilities.all(ROMEO)] == ["urn-ver", "other"]
        assert work.capabilities.purge(4.0) == 1
        assert [one.ver for one in work.capabilities.all(ROMEO)] == ["other"]
    assert not [raw for raw in place.everything() if b"urn:feature" in repr(raw).encode()]


def test_one_account_does_not_see_anothers(place):
    with place.open() as store, store.transaction() as work:
        for account in (ROMEO, JULIET):
            work.open_account(account, 1.0)
            work.capabilities.put(account, KnownCapabilities("v", a(account), 1.0))
        assert [one.features for one in work.capabilities.all(ROMEO)] == [a(ROMEO)]
        work.reset(ROMEO)
        work.open_account(ROMEO, 1.0)
        assert work.capabilities.all(ROMEO) == ()
        assert len(work.capabilities.all(JULIET)) == 1


def test_the_oldest_go_when_there_are_too_many(place, monkeypatch):
    monkeypatch.setattr("e2eproxy.trust.capabilities.MOST_KEPT", 3)
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        for number in (5, 1, 4, 2, 3, 6):
            work.capabilities.put(ROMEO, KnownCapabilities(str(number), a(), float(number)))
        assert [one.ver for one in work.capabilities.all(ROMEO)] == ["4", "5", "6"]


def test_a_huge_set_is_not_stored(place):
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        assert not work.capabilities.put(ROMEO, KnownCapabilities("v", a("x" * MOST_BYTES), 1.0))
        assert work.capabilities.all(ROMEO) == ()


def test_a_set_put_in_the_place_of_another_stops_the_account(place):
    """Whoever can write to the database cannot give one hash the features of another."""
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        for ver in ("safe", "poor"):
            work.capabilities.put(ROMEO, KnownCapabilities(ver, a(ver), 1.0))
    place.change("UPDATE capabilities SET data = (SELECT data FROM capabilities ORDER BY id LIMIT 1)")
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        with pytest.raises(StoppedError):
            work.capabilities.all(ROMEO)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01not deflated",
        encoded(KnownCapabilities("v", a("x"), 1.0))[:-3],
    ],
)
def test_what_cannot_be_read_is_as_good_as_none(data):
    assert decoded(data, 1.0) is None


@pytest.mark.parametrize("said", ['["v"]', '["v",["x",1]]', '[1,["x"]]', '["v","xy"]', "{}", "7", "[[]" * 3])
def test_what_is_written_otherwise_is_as_good_as_none(said):
    assert decoded(b"\x01" + zlib.compress(said.encode()), 1.0) is None


def test_a_bomb_is_as_good_as_none():
    assert decoded(b"\x01" + zlib.compress(b'["v",["' + b"x" * 10_000_000 + b'"]]'), 1.0) is None


# ---- end to end ----


def questions(side):
    """The nodes that the daemon of *side* asked about."""
    asked = [Stanza.parse(raw, b"<x xmlns='jabber:client'>") for raw in side.seen if b"disco#info" in raw]
    return [disco_info.asked(one)[1] for one in asked if one.kind == "iq" and one.type == "get"]


def test_nobody_is_asked_again_after_a_restart():
    world = World(SessionMethod())
    romeo, juliet = world.sides
    juliet.can = (EXODUS + FEATURES).encode()
    juliet.write(f"<presence to='{romeo.jid}'>{HASHED}</presence>".encode())
    romeo.say(juliet.jid)
    (node,) = questions(romeo)
    assert node.startswith("urn:n#")
    romeo.lose_stream()
    romeo.start()
    romeo.log_in()
    romeo.seen.clear()
    juliet.write(f"<presence to='{romeo.jid}'>{HASHED}</presence>".encode())
    romeo.say(juliet.jid, "again", "c2")
    assert "again" in juliet.texts
    assert questions(romeo) == []
    assert b"again" not in b"".join(romeo.seen)


def test_a_lie_is_not_kept_for_anybody():
    """Mallory announces the hash of Juliet's client first, and answers without the feature: Juliet is asked all the same."""
    world = World(SessionMethod())
    romeo, juliet = world.sides
    merged = disco_info.DiscoInfo(features=(*BASIC, FEATURE))
    ver = merged.ver()
    announced = c(f"hash='sha-1' node='urn:n' ver='{ver}'")
    romeo.server.deliver(f"<presence from='mallory@evil.test/x'>{announced}</presence>".encode())
    romeo.say("mallory@evil.test/x", "hello", "c1")
    (asked,) = [one for one in romeo.seen if b"disco#info" in one]
    number = Stanza.parse(asked).id
    lie = f"<query xmlns='{caps.DISCO_INFO}' node='urn:n#{ver}'>{EXODUS}{FEATURES}</query>"
    romeo.server.deliver(f"<iq type='result' id='{number}' from='mallory@evil.test/x'>{lie}</iq>".encode())
    world.run()
    assert romeo.desk.caps.get(ver) is None
    with romeo.disk.transaction() as work:
        assert work.capabilities.all(str(romeo.jid.bare)) == ()
    romeo.server.deliver(f"<presence from='{juliet.jid}'>{announced}</presence>".encode())
    romeo.seen.clear()
    romeo.say(juliet.jid, "secret", "c2")
    assert questions(romeo) == [f"urn:n#{ver}"]
    assert own_caps.announced(
        Stanza.parse(f"<presence xmlns='jabber:client'>{announced}</presence>".encode())
    ).is_of(merged)
