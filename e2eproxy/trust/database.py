"""The two databases: SQLite in the data directory, or PostgreSQL by URL, each set so that a commit is durable (law 5)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from e2eproxy.trust import location as place
from e2eproxy.trust.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

FILE_NAME: Final = "store.sqlite"
BUSY_MS: Final = 5000
"""How long to wait for another process that has the store locked."""

_READS: Final = "e2eproxy_reads"

SQLITE_SETTINGS: Final = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
)
POSTGRESQL_SETTINGS: Final = (
    "SET synchronous_commit = on",
    "SET lock_timeout = 5000",
    "SET statement_timeout = 30000",
    "SET idle_in_transaction_session_timeout = 60000",
)


def location(data: Path, url: str | None) -> URL:
    """Where the store is: the database *url*, or the usual file in the directory *data*."""
    if url is None:
        return URL.create("sqlite", database=str(data / FILE_NAME))
    try:
        url = place.normal(url, data)
    except place.LocationError as error:
        raise StoreError(str(error)) from None
    file = place.file_of(url)
    if file is not None:
        return URL.create("sqlite", database=str(file))
    try:
        return make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise StoreError(
            "the store's URL cannot be read; write it as postgresql://user@host/database"
        ) from None


def shown(url: URL) -> str:
    """*url* for people: the file, or the URL without its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return place.without_password(url.set(drivername="postgresql").render_as_string(hide_password=True))


def make_engine(url: URL) -> Engine:
    """An engine for *url*, with a connection to write and a few to read; nothing is opened yet."""
    if url.get_backend_name() == "sqlite":
        _make_private(Path(str(url.database)))
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False}
        )
        event.listen(engine, "connect", _set_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=2,
            max_overflow=2,
            connect_args={"connect_timeout": 5, "application_name": "e2eproxy"},
        )
    except ImportError:
        raise StoreError(
            "a PostgreSQL store needs a library; `pip install e2eproxy[postgresql]` brings it"
        ) from None
    event.listen(engine, "connect", _set_postgresql)
    return engine


def for_reading(connection: Connection) -> Connection:
    """*connection*, set to take no lock for writing."""
    return connection.execution_options(**{_READS: True})


def never_writes(engine: Engine) -> None:
    """From now on every connection of *engine* refuses to change anything."""
    statement = (
        "PRAGMA query_only = ON"
        if engine.dialect.name == "sqlite"
        else "SET default_transaction_read_only = on"
    )

    def refuse(connection: Any, _record: object) -> None:  # noqa: ANN401 - a connection of either driver
        _run(connection, (statement,))

    engine.dispose()
    event.listen(engine, "connect", refuse)


def shrink(connection: Connection) -> None:
    """Move everything out of SQLite's log and empty it, so that replaced values do not linger there."""
    if connection.dialect.name == "sqlite":
        raw = connection.connection.cursor()
        try:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()


def claim(connection: Connection, row: bytes) -> bool:
    """Take what *row* (a digest) names for this connection alone, as long as it lives.

    On SQLite the lock on the data directory does this already.
    """
    if connection.dialect.name == "sqlite":
        return True
    number = int.from_bytes(row[:8], "big", signed=True)
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar())


def release(connection: Connection, row: bytes) -> None:
    """Let another daemon have what ``claim`` took."""
    if connection.dialect.name != "sqlite":
        number = int.from_bytes(row[:8], "big", signed=True)
        connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})


def in_transaction(connection: Connection) -> bool:
    """Whether the transaction still stands: on a full disk SQLite may have undone all of it by itself."""
    if connection.invalidated:
        return False
    raw = connection.connection.dbapi_connection
    return bool(getattr(raw, "in_transaction", True))  # PostgreSQL keeps a failed one until it is told


def is_idle(connection: Connection) -> bool:
    """Whether the connection lives and has no transaction open."""
    if connection.closed or connection.invalidated or connection.in_transaction():
        return False
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return not raw.in_transaction
    return not raw.closed and raw.info.transaction_status == 0  # libpq's PQTRANS_IDLE


def require_unicode(connection: Connection) -> None:
    """Refuse a PostgreSQL database that cannot hold every JID."""
    if connection.dialect.name == "sqlite":
        return
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise StoreError(f"the database has the encoding {encoding}; make one with the encoding UTF8")


def _make_private(path: Path) -> None:
    """Make the file for its owner alone, whatever the umask; SQLite gives its log the same mode."""
    try:
        with suppress(FileExistsError):
            made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(made, 0o600)
            finally:
                os.close(made)
            return
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error


def _set_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's class
    connection.isolation_level = None  # transactions begin where we say, see _begin_sqlite
    _run(connection, SQLITE_SETTINGS)


def _set_postgresql(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's class
    _run(connection, POSTGRESQL_SETTINGS)


def _run(connection: Any, statements: tuple[str, ...]) -> None:  # noqa: ANN401 - a connection of either driver
    cursor = connection.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
    finally:
        cursor.close()
    connection.commit()  # or PostgreSQL forgets the settings with the next rollback


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
