"""docs/methods.md names every event and effect with all its fields, every system, and only what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from attrs import fields

from e2eproxy.methods import effects, events

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)\(([^)]*)\)`", PAGE, re.MULTILINE))
CLASSES = {one.__name__: one for one in (*get_args(events.Event), *get_args(effects.Effect))}


def test_the_tables_name_all_events_and_effects_and_nothing_else():
    assert set(ROWS) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_row_has_all_fields_in_their_order(name):
    assert ROWS[name].split(", ") == [one.name for one in fields(CLASSES[name])]


@pytest.mark.parametrize(
    "system", ["OTR", "miller-e2e", "XEP-0027", "OX", "RFC 3923", "ESessions", "XTLS", "SCIMP", "OMEMO"]
)
def test_each_system_is_mapped_with_what_it_stores(system):
    section = re.search(rf"^\*\*{system}[.*](.*?)(?=^\*\*|^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert "*Stores*" in section[1]
    assert "Outbound" in section[1]
    assert "nbound*" in section[1]


def test_the_page_names_each_form_of_what_was_inside():
    rule = re.search(r"^4\. (.*?)^5\. ", PAGE, re.MULTILINE | re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)\(\w+\)`", rule)) == {one.__name__ for one in get_args(effects.Inside)}


def test_durable_effects_are_the_union_that_says_so():
    assert set(get_args(effects.Durable)) == set(effects.DURABLE)
