"""A device's word makes another one accepted and not verified, in the store that tests use and in the daemon's."""

from __future__ import annotations

import pytest
from bed.guard_world import World

from e2eproxy.methods import effects as e
from e2eproxy.testing import WHO, ObjectMethod
from e2eproxy.testing.clock import FakeClock
from e2eproxy.testing.store import MemoryStore
from e2eproxy.trust.values import VOUCHED, Decision, Fingerprint

CHECKS = [
    (VOUCHED, True, Decision.ACCEPTED),
    ("smp", True, Decision.VERIFIED),
    ("x509", True, Decision.VERIFIED),
    (VOUCHED, False, Decision.UNDECIDED),
    ("sas", False, Decision.UNDECIDED),
]


def effects(how, holds):
    first = e.Learn(contact=WHO.bob.bare, fingerprint=Fingerprint(ObjectMethod.traits.name, "1"), public=b"1")
    second = e.Learn(
        contact=WHO.bob.bare, fingerprint=Fingerprint(ObjectMethod.traits.name, "2"), public=b"2"
    )
    checked = e.Verified(contact=WHO.bob.bare, fingerprint=second.fingerprint, how=how, holds=holds)
    return first, second, checked


@pytest.mark.parametrize(("how", "holds", "decision"), CHECKS)
def test_in_the_simulators_store(how, holds, decision):
    store = MemoryStore(WHO.alice.bare, ObjectMethod.traits.name, FakeClock().now)
    changes = store.commit(effects(how, holds))
    assert [one.decision for one in store.peer_keys(WHO.bob.bare)] == [Decision.TOFU, decision]
    assert changes[-1].usable is (decision is not Decision.UNDECIDED)


@pytest.mark.parametrize(("how", "holds", "decision"), CHECKS)
def test_in_the_daemons_store(how, holds, decision):
    romeo = World(ObjectMethod()).sides[0]
    cabinet = romeo.desk.cabinet
    cabinet.commit(ObjectMethod.traits.name, effects(how, holds), ())
    keys = cabinet.keys(WHO.bob)
    assert [one.decision for one in keys] == [Decision.TOFU, decision]
    assert keys[1].how_verified == (how if holds else None)
