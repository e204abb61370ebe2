"""What the administrator can ask and set while no client is logged in: the methods there are, and what holds for all."""

from __future__ import annotations

import pytest
from bed.guard_world import World

from e2eproxy.control import lines
from e2eproxy.control.api import Asker
from e2eproxy.control.pages import page, plain
from e2eproxy.control.words import Face
from e2eproxy.errors import LocalError
from e2eproxy.testing.session_method import SessionMethod


@pytest.fixture
def romeo():
    """His daemon, a while after his last client went."""
    world = World(SessionMethod())
    side = world.sides[0]
    side.end_stream()
    world.wait(1000)
    assert side.guards.accounts == ()
    return side


def said(side, line, face=Face.CLI, **more):
    request = lines.read(line, Face.CLI, None)
    shown, failed = [], []
    side.control.api.do(request, Asker(face=face, **more)).addCallbacks(shown.append, failed.append)
    side.world.run()
    if failed:
        raise failed[0].value
    return plain(page(shown[0]))


def test_methods_are_shown(romeo):
    assert "reference-session: used yes" in said(romeo, "methods")


def test_a_named_account_that_is_not_there_is_still_told(romeo):
    with pytest.raises(LocalError, match=r"No client of romeo@example\.test is logged in"):
        said(romeo, "methods", account="romeo@example.test")


def test_policy_shows_and_sets_what_holds_for_all(romeo):
    romeo.rules.rows = {}
    assert "when: is prefer, set for default" in said(romeo, "policy")
    assert said(romeo, "policy when require for default") == "when is require for all accounts."
    assert "when: is require, set for default" in said(romeo, "policy")
    assert not romeo.rules.lenient("romeo@example.test")
    said(romeo, "policy when inherit for default")
    assert "when: is prefer" in said(romeo, "policy")


@pytest.mark.parametrize("line", ["policy when require", "policy when require for account"])
def test_what_is_for_an_account_needs_one(romeo, line):
    with pytest.raises(
        LocalError, match="log in with one, or set it for all accounts: policy when require for default"
    ):
        said(romeo, line)


def test_what_cannot_be_set_is_told(romeo):
    with pytest.raises(LocalError, match="when is one of"):
        said(romeo, "policy when sometimes for default")
    with pytest.raises(LocalError, match="methods is a list of some of"):
        said(romeo, "policy methods swordfish for default")


def test_a_chat_gets_no_further_than_its_own_account(romeo):
    romeo.log_in()
    romeo.say("e2eproxy.localhost", "policy when never for default")
    assert "command line" in romeo.notices[-1]


def test_one_client_is_one_client(romeo):
    assert said(romeo, "status").startswith("e2eproxy 0.0.test, up 0 d 0 h 16 min, 1 client.")
    assert "There it is the contact e2eproxy.localhost." in said(romeo, "status")
