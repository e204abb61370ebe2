"""Every store that was ever written opens: stored samples of each version, on each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from bed.store_samples import contents, fill, load, sample_file
from bed.stores import JULIET, ROMEO, Place
from sqlalchemy import create_engine, inspect, text

from e2eproxy.trust import database
from e2eproxy.trust.errors import ReadOnlyError, StoreError
from e2eproxy.trust.key_sources import KeyFile
from e2eproxy.trust.migrations import STEPS, migrate, version
from e2eproxy.trust.schema import VERSION, metadata
from e2eproxy.trust.values import KnownCapabilities, StoredRoster
from e2eproxy.trust.vault import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sqlalchemy import Connection

MADE_UP = (
    "ALTER TABLE sticky ADD COLUMN note TEXT NOT NULL DEFAULT 'none';"
    "CREATE TABLE notes (id {blob} PRIMARY KEY NOT NULL)"
)
FAILS_LATE = "CREATE TABLE notes (number {serial}); CREATE TABLE notes (number {serial})"


def foreign_keys(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """(column, table it refers to, what happens when that row goes)."""
    if connection.dialect.name == "sqlite":  # its reflection misses what stands behind a column
        rows = connection.exec_driver_sql(f"PRAGMA foreign_key_list({table})").mappings()
        return sorted((row["from"], row["table"], row["on_delete"]) for row in rows)
    return sorted(
        (*one["constrained_columns"], one["referred_table"], one["options"].get("ondelete"))
        for one in inspect(connection).get_foreign_keys(table)
    )


def shape(connection: Connection) -> dict[str, Any]:
    """Columns (name, nullable, kind), keys and indexes of all tables."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        found[table] = (
            sorted(
                (column["name"], column["nullable"], column["type"]._type_affinity.__name__)
                for column in inspector.get_columns(table)
            ),
            tuple(inspector.get_pk_constraint(table)["constrained_columns"]),
            sorted(
                (index["name"], tuple(index["column_names"]))
                for index in inspector.get_indexes(table)
                if not index["unique"]
            ),
            sorted(tuple(one["column_names"]) for one in inspector.get_unique_constraints(table)),
            foreign_keys(connection, table),
        )
    return found


@pytest.fixture
def connection(place: Place) -> Iterator[Connection]:
    """A connection to an empty database."""
    engine = create_engine(database.location(place.data, place.url))
    with engine.connect() as connected:
        yield connected
    engine.dispose()


def test_steps_arrive_at_the_declared_tables(connection: Connection) -> None:
    transaction = connection.begin()
    migrate(connection)
    migrated = shape(connection)
    transaction.rollback()
    with connection.begin():
        for table in reversed(migrated):
            connection.execute(
                text(f"DROP TABLE IF EXISTS {table} {'CASCADE' * (connection.dialect.name != 'sqlite')}")
            )
        metadata.create_all(connection)
    assert migrated == shape(connection)
    assert set(migrated) == set(metadata.tables)


def test_version_is_the_number_of_steps(place: Place) -> None:
    assert len(STEPS) == VERSION
    place.open().close()
    assert place.rows("SELECT value FROM meta WHERE name = 'schema'") == [(str(VERSION),)]


def test_there_is_a_sample_of_every_version() -> None:
    assert [number for number in range(1, VERSION + 1) if not sample_file(number).exists()] == []


@pytest.mark.parametrize("number", range(1, VERSION + 1))
def test_sample_opens_with_everything_in_it(place: Place, number: int) -> None:
    expected = load(place, number)
    with place.open() as store:
        with store.transaction() as work:
            assert contents(work) == expected
        with store.transaction() as work:  # and it can be written
            work.open_account(ROMEO, 1.0)
            work.reports.add(ROMEO, "new", 1.0)
            work.sticky.remove(ROMEO, JULIET)
    with place.open() as store, store.transaction() as work:
        found = contents(work)
    assert {name for name in found if found[name] != expected[name]} == {"reports", "sticky"}


def test_what_came_with_version_2_can_be_written_to_a_store_of_version_1(place: Place) -> None:
    load(place, 1)
    roster = StoredRoster(None, {JULIET: "to"})
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        (sent,) = work.sent.unacknowledged(ROMEO)
        assert sent.outer is None
        work.sent.note(evolve(sent, outer=b"<outer/>"), b"<message/>")
        work.rosters.put(ROMEO, roster)
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        assert work.sent.unacknowledged(ROMEO) == (evolve(sent, outer=b"<outer/>"),)
        assert work.rosters.get(ROMEO) == roster


def test_what_came_with_version_3_can_be_written_to_a_store_of_version_2(place: Place) -> None:
    load(place, 2)
    known = KnownCapabilities("v", frozenset({"a"}), 5.0)
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        assert work.load(ROMEO).capabilities == ()
        work.capabilities.put(ROMEO, known)
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        assert work.load(ROMEO).capabilities == (known,)


@pytest.mark.parametrize("number", range(1, VERSION + 1))
def test_sample_goes_through_a_later_step(place: Place, number: int) -> None:
    expected = load(place, number)
    with place.open(steps=(*STEPS, MADE_UP)) as store, store.transaction() as work:
        assert contents(work) == expected
    assert place.rows("SELECT note FROM sticky") == [("none",)]
    assert place.rows("SELECT value FROM meta WHERE name = 'schema'") == [(str(VERSION + 1),)]


@pytest.mark.parametrize("number", range(1, VERSION + 1))
def test_a_step_that_fails_leaves_everything_as_it_was(place: Place, number: int) -> None:
    load(place, number)
    before = place.everything()
    with pytest.raises(StoreError):
        place.open(steps=(*STEPS, FAILS_LATE))
    assert place.everything() == before
    engine = create_engine(database.location(place.data, place.url))
    with engine.connect() as connected:
        assert version(connected) == number
        assert "notes" not in inspect(connected).get_table_names()
    engine.dispose()


@pytest.mark.parametrize("number", range(1, VERSION + 1))
def test_with_a_wrong_key_nothing_is_migrated(place: Place, number: int) -> None:
    load(place, number)
    place.key_file.path.unlink()
    KeyFile(place.key_file.path).make(bytes)
    before = place.everything()
    with pytest.raises(VaultError):
        place.open(steps=(*STEPS, MADE_UP))
    assert place.everything() == before


def test_a_newer_version_can_be_looked_at_and_not_changed(place: Place) -> None:
    with place.open(steps=(*STEPS, MADE_UP)) as store, store.transaction() as work:
        fill(work)
    before = place.everything()
    with place.open() as store:
        assert store.read_only
        for word in ("newer e2eproxy", f"version {VERSION + 1}", "update"):
            assert word in store.complaint
        with pytest.raises(ReadOnlyError, match="newer e2eproxy"), store.transaction() as work:
            work.open_account(ROMEO, 1.0)
        with store.reading() as work:
            assert work.accounts() == (ROMEO,)
            assert [identity.secret for identity in work.identities.all(ROMEO)] == [b"secret\0"]
            assert len(work.peer_keys.all(ROMEO)) == 2
        with pytest.raises(StoreError), store.reading() as work:
            work.sticky.remove(ROMEO, JULIET)
    assert place.everything() == before
    with place.open(steps=(*STEPS, MADE_UP)) as store:
        assert not store.read_only


@pytest.mark.parametrize("damage", ["DELETE FROM meta WHERE name = 'schema'", "UPDATE meta SET value = 'x'"])
def test_a_store_without_a_version_is_left_as_it_is(place: Place, damage: str) -> None:
    place.open().close()
    place.change(damage)
    before = place.everything()
    with pytest.raises(StoreError, match="which version"):
        place.open()
    assert place.everything() == before
