"""Traits are data: checked when made, complete, and what the table is made from."""

from __future__ import annotations

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from e2eproxy.methods.traits import Claim
from e2eproxy.testing import ObjectMethod, SessionMethod


@pytest.mark.parametrize("name", ["", "OTR", "a b", "-a", "a-", "a--b", "0a", "a\n", None])
def test_names_are_lower_case_words(name):
    with pytest.raises(ValueError, match="lower-case words"):
        evolve(SessionMethod.traits, name=name)


@pytest.mark.parametrize("name", ["otr", "miller-e2e", "xep-0027", "a1"])
def test_good_names(name):
    assert evolve(SessionMethod.traits, name=name).name == name


def test_claims_are_given_in_the_tables_order():
    names = [name for name, _ in SessionMethod.traits.claims]
    assert names[0] == "authenticity"
    assert names[-2:] == ["replay_protection", "recovery"]
    assert len(names) == 13


def test_claims_are_required_and_frozen():
    with pytest.raises(TypeError):
        evolve(SessionMethod.traits, claims={"integrity": True})
    with pytest.raises(FrozenInstanceError):
        SessionMethod.traits.claims.integrity = Claim(False)
    with pytest.raises(FrozenInstanceError):
        SessionMethod.traits.name = "x"


@pytest.mark.parametrize("method", [SessionMethod, ObjectMethod])
def test_reference_methods_say_that_they_are_for_tests(method):
    assert "tests of this program only" in method.traits.standard
    assert method.traits.name.startswith("reference-")
