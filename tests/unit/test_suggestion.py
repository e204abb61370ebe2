"""That a client speaks an end-to-end system itself is suggested as a setting, once for each account and system (law 10)."""

from __future__ import annotations

import pytest
from bed.guard_world import World

from e2eproxy.proxy.stand_down import LEGACY_OMEMO
from e2eproxy.proxy.suggestion import SUGGESTED
from e2eproxy.testing.handshake import PREFIX
from e2eproxy.testing.session_method import SessionMethod

QUERY = "?OTRv23?"
REQUIRE = {"when": "require", "methods": "reference-session"}


@pytest.fixture
def world():
    world = World(SessionMethod())
    world.sides[0].rules.rows["default", ""] = REQUIRE
    return world


def omemo(side, to):
    header = "<header sid='1'><key rid='2'>QUJD</key><iv>QUJDQUJDQUJDQUJD</iv></header>"
    encrypted = f"<encrypted xmlns='{LEGACY_OMEMO}'>{header}<payload>QUJD</payload></encrypted>"
    side.write(f"<message to='{to}' type='chat' id='o1'>{encrypted}</message>".encode())


def suggestions(side):
    return [notice for notice in side.notices if "client_speaks" in notice]


def again(side):
    """Another run of the daemon, over what is stored."""
    side.start()
    side.log_in()
    side.shown.clear()


def test_it_is_said_once_in_a_sentence_that_names_the_setting(world):
    romeo, juliet = world.sides
    for number in range(3):
        romeo.say(juliet.jid, QUERY, f"c{number}")
    assert juliet.texts == [QUERY] * 3
    (notice,) = suggestions(romeo)
    assert "add otr to client_speaks in the configuration" in notice
    assert not romeo.errors


def test_it_is_not_said_again_after_a_restart_but_of_another_system(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid, QUERY)
    again(romeo)
    romeo.say(juliet.jid, QUERY)
    assert suggestions(romeo) == []
    omemo(romeo, juliet.jid)
    (notice,) = suggestions(romeo)
    assert "add omemo-legacy to client_speaks" in notice
    again(romeo)
    romeo.say(juliet.jid, QUERY)
    omemo(romeo, juliet.jid)
    assert suggestions(romeo) == []


def test_nothing_is_said_of_a_system_that_is_named_already_or_of_plain_text(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = REQUIRE | {"client-speaks": "otr"}
    again(romeo)
    romeo.say(juliet.jid, QUERY)
    romeo.say(juliet.jid, f"{QUERY} and more", "c2")
    assert suggestions(romeo) == []


def test_what_is_set_holds_from_the_next_login_on_and_of_what_comes_in(world):
    romeo, juliet = world.sides
    assert romeo.desk.speaks == frozenset()
    romeo.rules.rows["default", ""] = REQUIRE | {"client-speaks": "reference-session otr"}
    romeo.end_stream()
    romeo.log_in()
    assert romeo.desk.speaks == {"reference-session", "otr"}
    juliet.knows(romeo)
    juliet.rules.rows["default", ""] = REQUIRE
    juliet.say(romeo.jid, "good morrow")
    assert romeo.texts[-1].startswith(PREFIX)


def test_it_is_said_even_if_it_cannot_be_stored_and_once_in_a_run(world):
    romeo, juliet = world.sides
    romeo.disk.broken = True
    for number in range(2):
        romeo.say(juliet.jid, QUERY, f"c{number}")
    assert len(suggestions(romeo)) == 1


def test_it_is_durable_before_it_is_said(world):
    romeo, juliet = world.sides
    romeo.pool.waiting = []
    romeo.say(juliet.jid, QUERY)
    assert suggestions(romeo) == []
    while romeo.pool.waiting:
        romeo.pool.waiting.pop(0)()
    romeo.pool.waiting = None
    assert len(suggestions(romeo)) == 1
    with romeo.disk.transaction() as work:
        (row,) = [one for one in work.policy.all(str(romeo.jid.bare)) if one.setting == SUGGESTED]
    assert row.value == "otr"
