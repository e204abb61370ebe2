"""What only PostgreSQL has: several daemons, connections that break, servers that are set carelessly."""

# ruff: noqa: PT012 - what a transaction raises when it ends is what is tested

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bed.stores import JULIET, ROMEO, Place

from e2eproxy.trust.errors import StoreError
from e2eproxy.trust.values import MethodRecord

if TYPE_CHECKING:
    from pathlib import Path

    from bed.postgresql import PostgreSQL

RECORD = MethodRecord(account=ROMEO, method="m", key="k", data=b"1")


def test_a_commit_is_durable_whatever_the_server_says(shared: Place) -> None:
    with shared.open() as store:
        assert shared.rows("SHOW synchronous_commit") == [("off",)]
        connection = store._live()
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        connection.rollback()
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_an_account_belongs_to_one_daemon(shared: Place) -> None:
    with shared.open() as one, shared.open() as two:
        with one.transaction() as work:
            work.open_account(ROMEO, 1.0)
        with (
            pytest.raises(StoreError, match=f"another e2eproxy works for {ROMEO}"),
            two.transaction() as work,
        ):
            work.open_account(ROMEO, 1.0)
        with two.transaction() as work:
            work.open_account(JULIET, 1.0)
        with one.transaction() as work:
            work.close_account(ROMEO)
        with two.transaction() as work:
            assert work.open_account(ROMEO, 1.0) is False


def test_closing_gives_accounts_free(shared: Place) -> None:
    with shared.open() as one, one.transaction() as work:
        work.open_account(ROMEO, 1.0)
    with shared.open() as two, two.transaction() as work:
        work.open_account(ROMEO, 1.0)


def test_a_broken_connection_loses_nothing_that_was_told(postgresql: PostgreSQL, shared: Place) -> None:
    with shared.open() as store:
        with store.transaction() as work:
            work.open_account(ROMEO, 1.0)
            work.records.put(RECORD)
        with pytest.raises(StoreError), store.transaction() as work:
            work.records.put(MethodRecord(account=ROMEO, method="m", key="k", data=b"2"))
            postgresql.disconnect(shared.url)
        with store.transaction() as work:
            assert work.records.get(ROMEO, "m", "k") == b"1"
            work.records.put(MethodRecord(account=ROMEO, method="m", key="k", data=b"3"))
        with store.reading() as work:
            assert work.records.get(ROMEO, "m", "k") == b"3"


def test_a_nested_part_cannot_survive_its_connection(postgresql: PostgreSQL, shared: Place) -> None:
    with shared.open() as store:
        with store.transaction() as work:
            work.open_account(ROMEO, 1.0)
        with pytest.raises(StoreError), store.transaction() as work:
            work.records.put(RECORD)
            with pytest.raises(StoreError), work.nested():
                postgresql.disconnect(shared.url)
                work.records.put(RECORD)
            work.records.put(RECORD)
        with store.transaction() as work:
            assert work.records.all(ROMEO) == ()


def test_accounts_are_claimed_again_after_a_break(postgresql: PostgreSQL, shared: Place) -> None:
    with shared.open() as one, shared.open() as two:
        with one.transaction() as work:
            work.open_account(ROMEO, 1.0)
        postgresql.disconnect(shared.url)
        with pytest.raises(StoreError), one.transaction() as work:
            work.records.all(ROMEO)
        with one.transaction() as work:
            work.records.all(ROMEO)
        with pytest.raises(StoreError), two.transaction() as work:  # its own connection broke as well
            work.open_account(ROMEO, 1.0)
        with pytest.raises(StoreError, match="another e2eproxy works for"), two.transaction() as work:
            work.open_account(ROMEO, 1.0)


def test_an_account_that_was_taken_meanwhile_is_not_written(postgresql: PostgreSQL, shared: Place) -> None:
    with shared.open() as one:
        with one.transaction() as work:
            work.open_account(ROMEO, 1.0)
        postgresql.disconnect(shared.url)
        with shared.open() as two:
            with two.transaction() as work:
                work.open_account(ROMEO, 1.0)
            for _ in range(3):
                with pytest.raises(StoreError), one.transaction() as work:
                    work.records.put(RECORD)
            with two.transaction() as work:
                assert work.records.all(ROMEO) == ()


def test_a_database_without_unicode_is_refused(postgresql: PostgreSQL, tmp_path: Path) -> None:
    postgresql.execute(
        "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    with pytest.raises(StoreError, match="encoding LATIN1"):
        Place(tmp_path, postgresql.address("latin")).open()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://e2eproxy:secret@/nowhere?host=/does/not/exist",
            r"postgresql://e2eproxy:\*\*\*@/nowhere",
        ),
        (
            "postgresql://e2eproxy@/nowhere?host=/does/not/exist&sslpassword=secret&password=secret",
            r"sslpassword=\*\*\*",
        ),
        ("postgresql+psycopg://secret/with/slashes@host/x", "cannot be read"),
        ("mysql://e2eproxy:secret@host/x", "begins with sqlite:// or postgresql://"),
        ("sqlite://secret", "is a file"),
        ("secret", "begins with sqlite:// or postgresql://"),
    ],
)
def test_what_is_said_of_a_url_has_no_password(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        Place(tmp_path, url).open()
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())
