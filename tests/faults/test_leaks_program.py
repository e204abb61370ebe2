"""A few tries of the whole leak test; all of it is ``python tests/faults/leaks.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bed.aside import CopyDiedError, aside
from bed.leak_product import units
from bed.leak_try import AFTERWARDS, GROUPS, fits
from bed.places import PLACES

PROGRAM = Path(__file__).with_name("leaks.py")
#: A state that lasts and one that writing changes, so that both ways to try are taken.
FEW = ("--seed", "1", "--method", "session", "--state", "live", "--state", "able", "--place", "body",
       "--place", "subject", "--place", "status of presence", "--everything")  # fmt: skip


def program(*arguments, **more):
    """Run it; return its status, its output, and the line of JSON."""
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False, **more
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_it_counts_what_it_tried_and_finds_nothing(tmp_path):
    outcome = tmp_path / "outcome"
    status, said = program(*FEW, "--jobs", "2", "--json", str(outcome))
    counts = json.loads(outcome.read_text("utf-8"))
    # Two places under three policies and one under one of them, in two states, with five endings.
    expected = {
        "places": 3,
        "states": 2,
        "methods": 1,
        "policies": 3,
        "endings": 5,
        "tries": 7 * 2 * 5,
        "faults": 0,
    }
    assert {name: counts[name] for name in expected} == expected
    assert f"{counts['tries']} tries, 0 faults" in said
    assert status == 0


def test_it_finds_a_pipeline_that_forwards_everything(tmp_path):
    outcome = tmp_path / "outcome"
    status, said = program(*FEW, "--policy", "require", "--broken", "--json", str(outcome))
    counts = json.loads(outcome.read_text("utf-8"))
    # The status is visible anyway, and no fault.
    assert len(counts["found"]) == counts["faults"] == 2 * 2 * 5
    assert said.count("the server sees it") == counts["faults"]
    assert status == 1


def test_parts_are_the_whole():
    whole = units(1)
    parts = [one for part in range(3) for one in units(1)[part::3]]
    assert sorted(map(str, parts)) == sorted(map(str, whole))


def test_every_place_is_waited_with_and_everything_draws_every_ending():
    fitting = {(group, place.name) for group in GROUPS for place in PLACES if fits(place, group)}
    waited = [one for one in units(1) if one.group.afterwards == "wait"]
    assert {(one.group, place.name) for one in waited for place in one.places} == fitting
    everything = sum(len(one.places) for one in units(1, everything=True))
    assert everything == len(fitting) * len(AFTERWARDS)


def test_a_name_that_is_none_is_not_passed_over():
    done = subprocess.run(
        [sys.executable, PROGRAM, "--state", "lively"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "nothing to try" in done.stderr


def test_what_happens_aside_has_not_happened():
    seen = []
    assert aside(lambda: [seen.append(1), len(seen)]) == [None, 1]
    assert not seen


def test_a_copy_that_fails_or_dies_says_so():
    with pytest.raises(CopyDiedError, match="ZeroDivisionError"):
        aside(lambda: 1 / 0)
    with pytest.raises(CopyDiedError, match="status"):
        aside(lambda: os._exit(3))
