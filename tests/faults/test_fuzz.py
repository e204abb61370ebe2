"""A short run of the fuzzer with a seed of its own each time; the long one is ``python tests/faults/fuzz.py``."""

from __future__ import annotations

import random

from fuzz import fuzz


def test_nothing_but_remote_errors_comes_out(tell):
    seed = random.SystemRandom().randrange(10**9)
    counts = fuzz(20, seed)
    tell(f"\nfuzzed for 20 s with seed {seed}: {counts}")
    assert all(counts.values())
