"""The stored copy of the roster follows each push by one small row, and is the roster of the next daemon."""

from __future__ import annotations

import pytest
from bed.guard_world import World
from sqlalchemy import func, select

from e2eproxy.proxy.desk import MOST_ROSTER_CHANGES
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.trust.cells import Cells
from e2eproxy.trust.schema import rosters
from e2eproxy.trust.vault import cell, row_id

CONTACTS = 10_000


def query(version, *items):
    content = "".join(f"<item jid='{jid}' subscription='{subscription}'/>" for jid, subscription in items)
    return f"<query xmlns='jabber:iq:roster' ver='{version}'>{content}</query>"


@pytest.fixture
def side():
    """Romeo, whose client has asked for the roster of many."""
    world = World(SessionMethod())
    romeo, _ = world.sides
    romeo.client.deliver(b"<iq type='get' id='r1'><query xmlns='jabber:iq:roster' ver=''/></iq>")
    everyone = [(f"c{number}@example.test", "both") for number in range(CONTACTS)]
    romeo.server.deliver(f"<iq type='result' id='r1'>{query('v0', *everyone)}</iq>".encode())
    assert len(romeo.desk.roster.subscriptions) == CONTACTS
    return romeo


def push(side, number, jid, subscription):
    side.server.deliver(
        f"<iq type='set' id='p{number}'>{query(f'v{number}', (jid, subscription))}</iq>".encode()
    )


def rows(side):
    with side.disk.transaction() as work:
        return work._cells.connection.execute(select(func.count()).select_from(rosters)).scalar()


def stored(side):
    with side.disk.transaction() as work:
        return work.rosters.get(str(side.jid.bare))


def restarted(side):
    side.start()
    side.log_in()
    return side.desk.roster


def test_a_push_writes_one_small_row(side, monkeypatch):
    sizes = []
    seal = Cells.seal

    def noted(self, account, plain, place):
        sizes.append(len(plain))
        return seal(self, account, plain, place)

    monkeypatch.setattr(Cells, "seal", noted)
    for number in range(1, 101):
        push(side, number, f"c{number}@example.test", "to")
    assert len(sizes) == 100
    assert max(sizes) < 200


def test_the_next_daemon_knows_what_the_last_push_said(side):
    push(side, 1, "c1@example.test", "to")
    push(side, 2, "c2@example.test", "remove")
    push(side, 3, "new@example.test/x", "from")
    push(side, 4, "c1@example.test", "none")
    push(side, 5, "c3@example.test", "remove")
    push(side, 6, "c3@example.test", "both")
    assert rows(side) == 1 + 4
    known = restarted(side)
    assert known.version == "v6"
    assert len(known.subscriptions) == CONTACTS
    found = [known.subscriptions.get(f"{name}@example.test") for name in ("c1", "c2", "new", "c3", "c4")]
    assert found == ["none", None, "from", "both", "both"]
    push(side, 7, "c1@example.test", "remove")
    assert stored(side).version == "v6", "a roster that this stream has not been told is not changed"


def test_it_goes_on_after_a_restart_where_it_was(side):
    push(side, 1, "c1@example.test", "to")
    restarted(side)
    side.client.deliver(b"<iq type='get' id='r2'><query xmlns='jabber:iq:roster' ver='v1'/></iq>")
    side.server.deliver(b"<iq type='result' id='r2'/>")
    push(side, 2, "c1@example.test", "from")
    push(side, 3, "c2@example.test", "from")
    known = restarted(side)
    assert known.version == "v3"
    assert known.subscriptions["c1@example.test"] == known.subscriptions["c2@example.test"] == "from"


def test_after_many_changes_the_whole_is_written_and_the_changes_go(side):
    for number in range(1, MOST_ROSTER_CHANGES + 1):
        push(side, number, f"n{number}@example.test", "to")
    assert rows(side) == 1 + MOST_ROSTER_CHANGES
    push(side, MOST_ROSTER_CHANGES + 1, "last@example.test", "to")
    assert rows(side) == 1
    known = restarted(side)
    assert len(known.subscriptions) == CONTACTS + MOST_ROSTER_CHANGES + 1
    assert known.version == f"v{MOST_ROSTER_CHANGES + 1}"


def test_an_item_that_cannot_be_read_only_moves_the_version(side):
    push(side, 1, "@@", "both")
    assert stored(side).version == "v1"
    assert stored(side).subscriptions == restarted(side).subscriptions


def test_contacts_are_in_no_row_to_be_read_or_guessed(side):
    push(side, 1, "mercutio@example.test", "both")
    with side.disk.transaction() as work:
        found = work._cells.connection.execute(select(rosters)).all()
    assert not any(b"mercutio" in row.data or b"mercutio" in row.id for row in found)
    guesses = {row_id(str(side.jid.bare), "mercutio@example.test"), row_id("mercutio@example.test")}
    assert guesses.isdisjoint(row.id for row in found)


def test_a_change_that_is_none_makes_the_copy_as_good_as_none(side):
    push(side, 1, "c1@example.test", "to")
    account = str(side.jid.bare)
    with side.disk.transaction() as work:
        vault = work._cells.vault(account)
        row = vault.digest(b"roster", b"c1@example.test")
        sealed = vault.seal(b"[1]", cell("rosters", "data", account, row.hex()))
        work._cells.put(rosters, row, {"account": account, "data": sealed})
    assert stored(side) is None
