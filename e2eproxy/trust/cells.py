"""Rows and sealed cells within one transaction: the ground on which the tables' own modules stand.

What does not open stops its account for as long as the store is open: a next write could hide or destroy the rest of
what can still be saved.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import define, field
from sqlalchemy import insert, select

from e2eproxy.trust.errors import StoppedError, StoreError
from e2eproxy.trust.schema import accounts, meta
from e2eproxy.trust.vault import KEY_BYTES, Vault, VaultError, cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Executable, Insert, Row, Table

    from e2eproxy.trust.book import Change
    from e2eproxy.trust.vault import Random


@define
class Keys:
    """What the open store has in memory: the vault of the store, those of its accounts, and who is stopped why."""

    store: Vault
    random: Random
    accounts: dict[str, Vault] = field(factory=dict)
    stopped: dict[str, str] = field(factory=dict)


@cache
def _upsert(table: Table, dialect: str) -> Insert:
    """The statement that writes one row of *table* whether it is there or not."""
    made: Any
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as upsert  # noqa: PLC0415 - only the one that is used
    else:
        from sqlalchemy.dialects.postgresql import (  # type: ignore[assignment] # noqa: PLC0415 - same
            insert as upsert,
        )
    made = upsert(table)
    others = {column.name: made.excluded[column.name] for column in table.c if column.name != "id"}
    statement: Insert = made.on_conflict_do_update(index_elements=["id"], set_=others)
    return statement


class Cells:
    """One transaction on *connection*."""

    def __init__(self, connection: Connection, keys: Keys, *, only_reads: bool) -> None:
        """Work with the store's *keys*; vaults of accounts that are opened here count only once it is committed.

        One that *only_reads* opens what it needs by itself.
        """
        self._only_reads = only_reads
        self.connection = connection
        self.keys = keys
        self.changes: list[Change] = []
        self.opened: dict[str, Vault] = {}
        self.forgotten: set[str] = set()
        self.reset: set[str] = set()

    def publish(self) -> None:
        """Let the store have what this transaction opened and forgot."""
        for account in self.forgotten:
            self.keys.accounts.pop(account, None)
        for account in self.reset:
            self.keys.stopped.pop(account, None)
        self.keys.accounts |= self.opened

    # Rows

    def all(self, statement: Executable) -> Sequence[Row[*tuple[Any, ...]]]:
        """All rows of a query."""
        return self.connection.execute(statement).all()

    def each(self, statement: Executable) -> Iterator[Row[*tuple[Any, ...]]]:
        """The rows of a query one by one, so that never all of them are in memory at once."""
        return iter(self.connection.execute(statement).yield_per(500))

    def first(self, statement: Executable) -> Row[*tuple[Any, ...]] | None:
        """The first row of a query."""
        return self.connection.execute(statement).first()

    def count(self, statement: Executable) -> int:
        """How many rows an update or a deletion touched."""
        return self.connection.execute(statement).rowcount

    def put(self, table: Table, row: bytes, values: Mapping[str, object]) -> None:
        """Write the row with the key *row*: replaced if it is there, else added; *values* are all other columns."""
        self.connection.execute(_upsert(table, self.connection.dialect.name), {"id": row, **values})

    # Sealed cells

    def seal(self, account: str, plain: bytes, place: bytes) -> bytes:
        """*plain* sealed with the key of *account*."""
        return self.vault(account).seal(plain, place)

    def open(self, account: str, sealed: bytes, place: bytes) -> bytes:
        """What was sealed with the key of *account* at *place*; if it does not open the account is stopped."""
        try:
            return self.vault(account).open(sealed, place)
        except VaultError as error:
            raise self.stop(account, error) from error

    def vault(self, account: str) -> Vault:
        """The vault of *account*; raises StoreError unless it is open."""
        self.refuse_stopped(account)
        known = self.opened.get(account)
        if known is None and account not in self.forgotten:
            known = self.keys.accounts.get(account)
        if known is None:
            if not self._only_reads:
                raise StoreError(f"{account} is not open in the store (any more); it has to log in anew")
            known = self.opened[account] = self._unwrap(account)
        return known

    def require(self, account: str) -> None:
        """Raise StoreError unless *account* is open, or "", which stands for the whole daemon."""
        if account:
            self.vault(account)

    def stop(self, account: str, error: VaultError) -> StoppedError:
        """Do nothing more for *account* until the store is opened again; returns what to raise."""
        self.keys.stopped[account] = str(error)
        return StoppedError(account, str(error))

    def create(self, account: str, at: float) -> bool:
        """Give *account* a key of its own if it has none; returns whether it is new."""
        self.refuse_stopped(account)
        if self.first(select(accounts.c.account).where(accounts.c.account == account)) is not None:
            if account in self.forgotten or account not in self.keys.accounts:
                self.opened[account] = self.opened.get(account) or self._unwrap(account)
            return False
        key = self.keys.random(KEY_BYTES)
        wrapped = self.keys.store.seal(key, _wrapping(account))
        self.connection.execute(insert(accounts).values(account=account, wrapped_key=wrapped, since=at))
        self.opened[account] = Vault(key, self.keys.random)
        return True

    def refuse_stopped(self, account: str) -> None:
        """Raise StoppedError if *account* is stopped."""
        if account in self.keys.stopped:
            raise StoppedError(account, self.keys.stopped[account])

    def _unwrap(self, account: str) -> Vault:
        row = self.first(select(accounts.c.wrapped_key).where(accounts.c.account == account))
        if row is None:
            raise StoreError(f"there is no {account} in the store")
        try:
            return Vault(self.keys.store.open(row.wrapped_key, _wrapping(account)), self.keys.random)
        except VaultError as error:
            raise self.stop(account, error) from error


def _wrapping(account: str) -> bytes:
    return cell("accounts", "wrapped_key", account)


CHECK = cell("meta", "check")
CHECK_TEXT = b"e2eproxy store"


def check_row(vault: Vault) -> dict[str, str]:
    """The row of ``meta`` by which the store's own key is known."""
    return {"name": "check", "value": vault.seal(CHECK_TEXT, CHECK).hex()}


def check_key(connection: Connection, vault: Vault) -> None:
    """Raise VaultError unless *vault* has the key that the store was made with."""
    value = connection.execute(select(meta.c.value).where(meta.c.name == "check")).scalar()
    try:
        sealed = bytes.fromhex(value or "")
    except ValueError:
        sealed = b""
    try:
        right = vault.open(sealed, CHECK) == CHECK_TEXT
    except VaultError:
        right = False
    if not right:
        raise VaultError(
            "this is not the key that the store was made with (or the store's key check is damaged);"
            " nothing was changed, put the right key back"
        )
