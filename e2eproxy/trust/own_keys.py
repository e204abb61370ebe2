"""Our own long-term keys, and what methods ask to be persisted: sealed, written before it is used (law 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from e2eproxy.trust.schema import identities, method_records
from e2eproxy.trust.values import IdentityKey, MethodRecord
from e2eproxy.trust.vault import cell, row_id

if TYPE_CHECKING:
    from e2eproxy.trust.cells import Cells


class Identities:
    """Identity keys by (account, method, name)."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def put(self, key: IdentityKey) -> None:
        """Write *key*; one with the same account, method and name is replaced."""
        row = (key.account, key.method, key.name)
        values = {
            "account": key.account,
            "method": key.method,
            "name": key.name,
            "public": key.public,
            "secret": self._cells.seal(key.account, key.secret, cell("identities", "secret", *row)),
            "created_at": key.created_at,
        }
        self._cells.put(identities, row_id(*row), values)

    def get(self, account: str, method: str, name: str) -> IdentityKey | None:
        """The key, if there is one."""
        found = [key for key in self.all(account, method) if key.name == name]
        return found[0] if found else None

    def all(self, account: str, method: str | None = None) -> tuple[IdentityKey, ...]:
        """All keys of *account*, or those of one method, oldest first."""
        self._cells.require(account)
        query = select(identities).where(identities.c.account == account)
        if method is not None:
            query = query.where(identities.c.method == method)
        return tuple(
            IdentityKey(
                account=account,
                method=row.method,
                name=row.name,
                public=row.public,
                secret=self._cells.open(
                    account, row.secret, cell("identities", "secret", account, row.method, row.name)
                ),
                created_at=row.created_at,
            )
            for row in self._cells.all(query.order_by(identities.c.created_at, identities.c.name))
        )

    def remove(self, account: str, method: str, name: str) -> bool:
        """Forget a key; returns whether there was one."""
        self._cells.require(account)
        return bool(
            self._cells.count(delete(identities).where(identities.c.id == row_id(account, method, name)))
        )


class Records:
    """What methods persist, by (account, method, key): ratchets, prekeys, instance tags. Replaced as a whole."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def put(self, record: MethodRecord) -> None:
        """Write *record* in place of one with the same account, method and key."""
        row = (record.account, record.method, record.key)
        values = {
            "account": record.account,
            "method": record.method,
            "key": record.key,
            "data": self._cells.seal(record.account, record.data, cell("method_records", "data", *row)),
        }
        self._cells.put(method_records, row_id(*row), values)

    def get(self, account: str, method: str, key: str) -> bytes | None:
        """The data under *key*, if there is any."""
        self._cells.require(account)
        row = (account, method, key)
        found = self._cells.first(select(method_records.c.data).where(method_records.c.id == row_id(*row)))
        if found is None:
            return None
        return self._cells.open(account, found.data, cell("method_records", "data", *row))

    def all(self, account: str, method: str | None = None) -> tuple[MethodRecord, ...]:
        """All records of *account*, or those of one method, ordered by method and key."""
        self._cells.require(account)
        query = select(method_records).where(method_records.c.account == account)
        if method is not None:
            query = query.where(method_records.c.method == method)
        rows = sorted(self._cells.all(query), key=lambda row: (row.method, row.key))
        return tuple(
            MethodRecord(
                account=account,
                method=row.method,
                key=row.key,
                data=self._cells.open(
                    account, row.data, cell("method_records", "data", account, row.method, row.key)
                ),
            )
            for row in rows
        )

    def remove(self, account: str, method: str, key: str) -> bool:
        """Forget what is under *key*; returns whether there was anything."""
        self._cells.require(account)
        return bool(
            self._cells.count(
                delete(method_records).where(method_records.c.id == row_id(account, method, key))
            )
        )
