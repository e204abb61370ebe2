"""The key table: when a new SMK is due, what is kept of peers' keys, and what is forgotten."""

from __future__ import annotations

import json
import time

import pytest
from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import Context
from e2eproxy.methods.miller import table
from e2eproxy.testing import WHO
from e2eproxy.testing.clock import FakeClock
from e2eproxy.testing.store import MemoryStore
from e2eproxy.xmpp.jid import JID

BOB = WHO.bob.bare


class Bench:
    def __init__(self):
        self.now = 1_000_000.0
        self.store = MemoryStore(WHO.alice.bare, "miller-e2e", FakeClock().now)
        self.drawn = 0
        self.table = table.Table(
            Context(account=WHO.alice.bare, view=self.store, clock=lambda: self.now, random=self.random)
        )

    def random(self, length):
        self.drawn += 1
        return self.drawn.to_bytes(length, "big")

    def begin(self, trusted=("one",)):
        smk = self.table.made(WHO.alice, BOB, trusted)
        self.store.commit(self.table.activated(smk))
        return smk

    def keep(self, smk):
        self.store.commit((self.table.kept(smk),))
        return smk

    def active(self, trusted=("one",), allowed=frozenset({"one", "ours"})):
        return self.table.active(WHO.alice, BOB, trusted, allowed)


@pytest.fixture
def bench():
    return Bench()


def test_an_smk_is_used_again_until_it_is_time_for_a_new_one(bench):
    smk = bench.begin()
    assert bench.active() == smk
    assert smk.sid != bench.begin().sid
    assert len(smk.octets) == 32
    assert bench.table.active(WHO.alice, WHO.carol, ("one",), frozenset()) is None
    assert bench.table.active(WHO.carol, BOB, ("one",), frozenset()) is None


@pytest.mark.parametrize(
    "change", [{"count": table.MOST_STANZAS}, {"released": ("other",)}, {"own_devices": ("gone",)}]
)
def test_a_new_one_is_due(bench, change):
    smk = bench.begin()
    bench.keep(evolve(smk, **change))
    assert bench.active() is None
    assert bench.table.own(smk.sid) is not None, "it is still given out"


def test_a_new_one_is_due_after_a_day_and_when_the_clock_was_set_back(bench):
    bench.begin()
    bench.now += table.ACTIVE_FOR
    assert bench.active() is None
    bench.begin()
    bench.now -= 10
    assert bench.active() is None


def test_a_new_one_is_due_when_the_accepted_keys_change_but_for_the_first(bench):
    bench.begin(())
    assert bench.active(("one",)) is not None, "its first reader is its own"
    smk = bench.keep(bench.active(("one",)).released_to("one"))
    assert (smk.trusted, smk.released) == (("one",), ("one",))
    assert bench.active(("one",)) is not None
    assert bench.active(("one", "two"), frozenset({"one", "two"})) is None
    assert bench.active((), frozenset()) is None


def test_the_user_can_have_a_new_one(bench):
    smk = bench.begin()
    bench.store.commit((bench.table.retired(WHO.alice, BOB),))
    assert bench.active() is None
    assert bench.table.own(smk.sid) == smk


def test_a_key_is_given_out_as_the_draft_wants_it(bench):
    smk = bench.begin()
    assert json.loads(smk.jwk) == {"kty": "oct", "kid": smk.sid, "k": smk.key, "alg": "A256KW", "use": "enc"}
    assert smk.key not in repr(smk)


def test_thirty_days_after_its_last_use_it_is_not_given_out_any_more(bench):
    smk = bench.begin()
    bench.now += table.KEPT_FOR
    assert bench.table.own(smk.sid) is None
    bench.keep(evolve(smk, used=bench.now))
    assert bench.table.own(smk.sid) is not None


def test_of_a_peers_keys_only_so_many_are_kept(bench):
    for number in range(table.MOST_PEER_KEYS + 5):
        bench.store.commit(bench.table.keep_of_peer(WHO.bob, f"sid {number}", b"key"))
    bench.store.commit(bench.table.keep_of_peer(WHO.carol, "hers", b"carols"))
    assert len(bench.store.records("peer-smk:")) == table.MOST_PEER_KEYS + 1
    assert bench.table.of_peer(WHO.bob, "sid 4") is None
    assert bench.table.of_peer(WHO.bob, "sid 5") == b"key"
    assert bench.table.of_peer(WHO.bob_too, "sid 5") is None
    assert bench.table.of_peer(WHO.carol, "hers") == b"carols"


def test_names_with_blanks_are_told_apart(bench):
    one, other = JID.parse("bob@two.test/a b"), JID.parse("bob@two.test/a")
    bench.store.commit(bench.table.keep_of_peer(one, "c", b"1"))
    assert bench.table.of_peer(other, "b c") is None


def test_what_is_too_old_is_forgotten_in_lots(bench):
    old = bench.begin()
    bench.store.commit(
        [e.Persist(key=f"seen:{number}", data=b"1000000.0") for number in range(table.MOST_SWEPT)]
    )
    assert bench.table.swept() == ()
    bench.now += 2 * table.KEPT_FOR + 1
    kept = bench.begin()
    lots = []
    while lot := bench.table.swept():
        lots.append(len(lot))
        bench.store.commit(lot)
    assert lots == [table.MOST_SWEPT, 1]
    assert bench.store.records("seen:") == {}
    assert bench.store.record(f"smk:{old.sid}") is None
    assert bench.table.own(kept.sid) == kept


def test_a_look_up_does_not_depend_on_how_many_there_are(bench):
    smk = bench.begin()
    record = bench.store.record(f"smk:{smk.sid}")
    for number in range(100_000):
        bench.store._records[f"smk:{number}"] = record
    began = time.perf_counter()
    for _ in range(100):
        assert bench.active() is not None
    assert (time.perf_counter() - began) / 100 < 0.001
