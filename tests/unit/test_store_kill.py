"""kill -9 at any point: what was told to be durable is there, nothing is there by halves, and the order was kept (law 5)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bed.store_child import METHOD
from bed.stores import ROMEO

if TYPE_CHECKING:
    from bed.stores import Place

pytestmark = pytest.mark.once

ROUNDS = 100 if os.environ.get("E2EPROXY_LONG") else 6
TESTS = Path(__file__).resolve().parents[1]


def killed_while_writing(place: Place, first: int, lines: int, pause: float) -> list[int]:
    """Let a process write from number *first* on, kill it *pause* seconds after so many *lines*; returns what it told."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    with subprocess.Popen(
        [sys.executable, "-m", "bed.store_child", str(place.data), place.url or "", str(first)],
        bufsize=0,  # what a buffer had read ahead, communicate would not see
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as child:
        try:
            told = [child.stdout.readline() for _ in range(lines)]
            deadline = time.perf_counter() + pause
            while time.perf_counter() < deadline:
                pass  # shorter than any sleep is exact
        finally:
            child.kill()
        rest, complaints = child.communicate(timeout=30)
    assert complaints == b""
    told += rest.splitlines(keepends=True)
    return [int(line) for line in told if line.endswith(b"\n")]


def numbers_of(place: Place) -> tuple[set[int], set[int], int]:
    """Of the reopened store: the numbers of both records, and the counter (0: none)."""
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        records = {record.key: record.data for record in work.records.all(ROMEO, METHOD)}
    counter = int(records.pop("counter", b"0"))
    found: dict[str, set[int]] = {"a": set(), "b": set()}
    for key in records:
        kind, number = key.split()
        found[kind].add(int(number))
    assert all(len(records[f"b {number}"]) == number % 3000 for number in found["b"])
    return found["a"], found["b"], counter


def test_killed_at_random_points(place: Place) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    first, in_flight = 1, 0
    for number in range(ROUNDS):
        lines = 0 if number == 0 else chance.randrange(1, 60)
        told = killed_while_writing(place, first, lines, chance.uniform(0, 0.01))
        left, right, counter = numbers_of(place)
        where = f"seed {seed}, round {number}"
        assert told == list(range(first, first + len(told))), where
        assert left == right == set(range(1, counter + 1)), where
        assert counter >= first + len(told) - 1, where
        in_flight += counter - (first + len(told) - 1)
        first = counter + 1
    assert first > ROUNDS
    print(f"{first - 1} changes, {in_flight} of them durable but not told when killed")


@pytest.mark.parametrize("lines", [0])
def test_killed_while_the_store_is_made(place: Place, lines: int) -> None:
    chance = random.Random(7)
    for _ in range(3):
        killed_while_writing(place, 10**6, lines, chance.uniform(0.1, 0.9))
        if place.url is None:
            assert {path.suffix for path in place.data.iterdir()} <= {
                ".key",
                ".sqlite",
                ".sqlite-shm",
                ".sqlite-wal",
                ".new",
            }
    numbers_of(place)
