"""Places for a store: a directory for SQLite, or a directory with a database on PostgreSQL; and ways to damage one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import create_engine, inspect, text

from e2eproxy.trust import database
from e2eproxy.trust.key_sources import KeyFile
from e2eproxy.trust.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from e2eproxy.trust.store import Store

ROMEO = "romeo@example.test"
JULIET = "juliet@example.test"


@frozen
class Place:
    """Where a store is or is to be."""

    data: Path
    url: str | None = None

    @property
    def key_file(self) -> KeyFile:
        """The usual source of its key."""
        return KeyFile(self.data / "vault.key")

    def open(self, **options: Any) -> Store:
        """The store, opened."""
        return open_store(self.data, options.pop("source", self.key_file), url=self.url, **options)

    def change(self, statement: str, **values: object) -> int:
        """Do to the database what somebody with access to it could do; returns how many rows that touched."""
        engine = create_engine(database.location(self.data, self.url))
        try:
            with engine.begin() as connection:
                return connection.execute(text(statement), values).rowcount
        finally:
            engine.dispose()

    def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """What a query gives to somebody with access to the database."""
        engine = create_engine(database.location(self.data, self.url))
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query), values)]
        finally:
            engine.dispose()

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables that there are."""
        engine = create_engine(database.location(self.data, self.url))
        try:
            tables = sorted(inspect(engine).get_table_names())
        finally:
            engine.dispose()
        return {name: sorted(self.rows(f"SELECT * FROM {name}"), key=repr) for name in tables}
