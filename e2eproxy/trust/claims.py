"""Which accounts this daemon works for: two daemons on one account would use the same keys twice (law 5).

On SQLite the lock on the data directory sees to that. On PostgreSQL each account is an advisory lock of the connection
that writes: when that connection is lost so are the locks, and nothing is written before they are taken again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.trust import database
from e2eproxy.trust.errors import StoreError
from e2eproxy.trust.vault import row_id

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Claims:
    """The accounts claimed on one connection."""

    def __init__(self) -> None:
        """Claim nothing yet."""
        self._connection: Connection | None = None
        self._claimed: set[str] = set()

    def moved(self, connection: Connection) -> list[str]:
        """Claim on the new *connection* whatever was claimed before; returns the accounts that somebody else took."""
        self._connection = connection
        held = {account for account in self._claimed if database.claim(connection, _row(account))}
        lost = sorted(self._claimed - held)
        self._claimed = held
        return lost

    def claim(self, account: str) -> None:
        """Take *account*; raises StoreError if another daemon works for it."""
        if account in self._claimed or self._connection is None:
            return
        if not database.claim(self._connection, _row(account)):
            raise StoreError(
                f"another e2eproxy works for {account} in the same store; log in through that one, or stop it"
            )
        self._claimed.add(account)

    def release(self, account: str) -> None:
        """Let another daemon have *account*."""
        if account in self._claimed and self._connection is not None:
            self._claimed.discard(account)
            database.release(self._connection, _row(account))


def _row(account: str) -> bytes:
    return row_id("e2eproxy account", account)
