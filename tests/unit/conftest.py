"""What the store's tests share: each runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bed.postgresql import PostgreSQL
from bed.stores import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server; where it is not installed the test is skipped with the reason (or fails, in CI)."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def shared(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[Place]:
    """An empty place for a store on PostgreSQL."""
    url = postgresql.database()
    yield Place(tmp_path, url)
    postgresql.release(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for a store, on each database in turn."""
    if request.param == "sqlite":
        return Place(tmp_path)
    made: Place = request.getfixturevalue("shared")
    return made


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    """An empty place for a store on SQLite."""
    return Place(tmp_path)
