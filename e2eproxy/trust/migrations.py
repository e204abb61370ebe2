"""How a store of any older version becomes one of today's: numbered steps, each whole or not at all.

A step is text and never changes again once released, since stores in the world were made by it; the tables in
``schema`` describe where the last one arrives, and tests compare both on each database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from e2eproxy.trust.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

Step = str
"""Statements, each with a semicolon behind it; {blob} and {serial} stand for what the databases write differently."""

DIALECTS: Final = {
    "sqlite": {"blob": "BLOB", "serial": "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"},
    "postgresql": {"blob": "BYTEA", "serial": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"},
}

FIRST: Final[Step] = """
CREATE TABLE accounts (
    account TEXT PRIMARY KEY NOT NULL,
    wrapped_key {blob} NOT NULL,
    since DOUBLE PRECISION NOT NULL
);
CREATE TABLE identities (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    method TEXT NOT NULL,
    name TEXT NOT NULL,
    public {blob} NOT NULL,
    secret {blob} NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX identities_account ON identities (account);
CREATE TABLE peer_keys (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    contact TEXT NOT NULL,
    contact_id {blob} NOT NULL,
    method TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    public {blob} NOT NULL,
    first_seen DOUBLE PRECISION NOT NULL,
    last_seen DOUBLE PRECISION NOT NULL,
    decision TEXT NOT NULL,
    how_verified TEXT,
    verified_at DOUBLE PRECISION
);
CREATE INDEX peer_keys_account ON peer_keys (account);
CREATE INDEX peer_keys_contact ON peer_keys (contact_id);
CREATE TABLE method_records (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    method TEXT NOT NULL,
    key TEXT NOT NULL,
    data {blob} NOT NULL
);
CREATE INDEX method_records_account ON method_records (account);
CREATE TABLE policy (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    setting TEXT NOT NULL,
    value TEXT NOT NULL
);
CREATE INDEX policy_account ON policy (account);
CREATE TABLE sticky (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    contact TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    why TEXT NOT NULL
);
CREATE INDEX sticky_account ON sticky (account);
CREATE TABLE sent_ids (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    outer_id TEXT NOT NULL,
    client_id TEXT,
    recipient TEXT NOT NULL,
    same {blob} NOT NULL,
    sent_at DOUBLE PRECISION NOT NULL,
    acknowledged BOOLEAN NOT NULL,
    original {blob}
);
CREATE INDEX sent_ids_account ON sent_ids (account);
CREATE INDEX sent_ids_same ON sent_ids (same);
CREATE INDEX sent_ids_sent_at ON sent_ids (sent_at);
CREATE TABLE held (
    number {serial},
    id {blob} NOT NULL UNIQUE,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    contact TEXT NOT NULL,
    reference TEXT NOT NULL,
    stanza {blob} NOT NULL,
    held_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX held_account ON held (account);
CREATE TABLE originals (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    contact TEXT NOT NULL,
    reference TEXT NOT NULL,
    stanza {blob} NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX originals_account ON originals (account);
CREATE INDEX originals_expires_at ON originals (expires_at);
CREATE TABLE reports (
    number {serial},
    reference TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    text {blob} NOT NULL,
    at DOUBLE PRECISION NOT NULL
);
CREATE INDEX reports_account ON reports (account);
"""

ROSTERS_AND_OUTER_STANZAS: Final[Step] = """
ALTER TABLE sent_ids ADD COLUMN outer_stanza {blob};
CREATE TABLE rosters (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    data {blob} NOT NULL
);
CREATE INDEX rosters_account ON rosters (account);
"""

CAPABILITIES: Final[Step] = """
CREATE TABLE capabilities (
    id {blob} PRIMARY KEY NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    data {blob} NOT NULL,
    used_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX capabilities_account ON capabilities (account);
CREATE INDEX capabilities_used_at ON capabilities (used_at);
"""

STEPS: Final[tuple[Step, ...]] = (FIRST, ROSTERS_AND_OUTER_STANZAS, CAPABILITIES)
"""Step number n (from 1) makes version n of version n - 1."""


def version(connection: Connection) -> int:
    """The version of the store behind *connection*: 0 when there is none yet."""
    tables = set(inspect(connection).get_table_names())
    if "meta" not in tables:
        if tables:
            raise StoreError(
                f"the database has tables that are not e2eproxy's ({', '.join(sorted(tables)[:3])});"
                " give e2eproxy a database of its own"
            )
        return 0
    found = connection.execute(text("SELECT value FROM meta WHERE name = 'schema'")).scalar()
    if not isinstance(found, str) or not found.isdigit():
        raise StoreError("the store does not say which version it has; it is damaged and is left as it is")
    return int(found)


def migrate(connection: Connection, steps: Sequence[Step] = STEPS) -> int:
    """Take the store to the last of *steps* within the caller's transaction; returns the version it had."""
    had = version(connection)
    words = DIALECTS[connection.dialect.name]
    if had == 0:
        connection.execute(text("CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"))
        connection.execute(text("INSERT INTO meta (name, value) VALUES ('schema', '0')"))
    for step in steps[had:]:
        for statement in step.format(**words).split(";"):
            if statement.strip():
                connection.execute(text(statement))
    connection.execute(
        text("UPDATE meta SET value = :number WHERE name = 'schema'"), {"number": str(max(had, len(steps)))}
    )
    return had
