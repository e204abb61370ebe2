"""The copy of an account's roster: who is no stranger, known at the next login before the server has said it again.

Sealed as a whole, since it names all contacts. It is a copy: one that cannot be read is as good as none, and the server
is asked. It is one JSON text, deflated, since it is written as a whole with each change: 50,000 contacts are 2 MB before
and 0.3 MB behind.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from e2eproxy.trust.schema import rosters
from e2eproxy.trust.values import StoredRoster
from e2eproxy.trust.vault import cell, row_id

if TYPE_CHECKING:
    from e2eproxy.trust.cells import Cells

MOST_BYTES: Final = 64 * 2**20
"""What is behind a deflated roster at most; one contact has up to 3071 bytes, and few have a tenth of that."""

_FORMAT: Final = b"\x01"
_LEVEL: Final = 1  # the fastest


class Rosters:
    """One copy for each account."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def put(self, account: str, roster: StoredRoster) -> None:
        """Keep *roster* in place of an earlier copy."""
        sealed = self._cells.seal(account, encoded(roster), _place(account))
        self._cells.put(rosters, row_id(account), {"account": account, "data": sealed})

    def get(self, account: str) -> StoredRoster | None:
        """The copy, if there is one."""
        self._cells.require(account)
        row = self._cells.first(select(rosters.c.data).where(rosters.c.id == row_id(account)))
        return None if row is None else decoded(self._cells.open(account, row.data, _place(account)))

    def remove(self, account: str) -> bool:
        """Forget the copy; returns whether there was one."""
        self._cells.require(account)
        return bool(self._cells.count(delete(rosters).where(rosters.c.id == row_id(account))))


def encoded(roster: StoredRoster) -> bytes:
    """*roster* as it is sealed."""
    given = [roster.version, dict(roster.subscriptions)]
    text = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    return _FORMAT + zlib.compress(text.encode(), _LEVEL)


def decoded(data: bytes) -> StoredRoster | None:
    """What ``encoded`` was given; None for anything else."""
    if data[:1] != _FORMAT:
        return None
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(data[1:], MOST_BYTES)
        if not inflate.eof:
            return None
        version, subscriptions = json.loads(text)
    except (zlib.error, ValueError, TypeError, RecursionError):
        return None
    if not isinstance(subscriptions, dict) or not isinstance(version, str | None):
        return None
    if not all(isinstance(value, str) for value in subscriptions.values()):
        return None
    return StoredRoster(version, subscriptions)


def _place(account: str) -> bytes:
    return cell("rosters", "data", account)
