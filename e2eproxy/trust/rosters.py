"""The copy of an account's roster: who is no stranger, known at the next login before the server has said it again.

Sealed, since it names all contacts. It is a copy: one that cannot be read is as good as none, and the server
is asked. The whole is one JSON text, deflated: 50,000 contacts are 2 MB before and 0.3 MB behind. What changes later is a row
of its own for each contact, under a keyed digest, until the whole is written again; so a push costs one small row.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Final

from attrs import astuple
from sqlalchemy import delete, select

from e2eproxy.trust.schema import rosters
from e2eproxy.trust.values import RosterChange, StoredRoster
from e2eproxy.trust.vault import cell, row_id

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        """Keep *roster* in place of an earlier copy and its changes."""
        self.remove(account)
        sealed = self._cells.seal(account, encoded(roster), _place(account))
        self._cells.put(rosters, row_id(account), {"account": account, "data": sealed})

    def change(self, account: str, change: RosterChange) -> None:
        """Keep *change*, in place of an earlier one of the same contact."""
        row = self._cells.vault(account).digest(b"roster", change.contact.encode())
        text = json.dumps(astuple(change), ensure_ascii=False, separators=(",", ":"))
        sealed = self._cells.seal(account, text.encode(), _place(account, row.hex()))
        self._cells.put(rosters, row, {"account": account, "data": sealed})

    def get(self, account: str) -> StoredRoster | None:
        """The copy with all its changes, if there is one."""
        self._cells.require(account)
        whole, changes = None, []
        for row in self._cells.all(select(rosters).where(rosters.c.account == account)):
            if row.id == row_id(account):
                whole = decoded(self._cells.open(account, row.data, _place(account)))
            else:
                changes.append(_change(self._cells.open(account, row.data, _place(account, row.id.hex()))))
        return None if whole is None else _changed(whole, changes)

    def remove(self, account: str) -> bool:
        """Forget the copy; returns whether there was one."""
        self._cells.require(account)
        return bool(self._cells.count(delete(rosters).where(rosters.c.account == account)))


def _change(text: bytes) -> RosterChange | None:
    try:
        return RosterChange(*json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def _changed(whole: StoredRoster, changes: Sequence[RosterChange | None]) -> StoredRoster | None:
    """*whole* after *changes*; None if one of them cannot be read: then nobody knows what holds."""
    read = [one for one in changes if one is not None]
    if len(read) != len(changes):
        return None
    version, subscriptions, number = whole.version, dict(whole.subscriptions), 0
    for one in sorted(read, key=lambda change: change.number):
        version, number = one.version, one.number
        subscriptions.pop(one.contact, None)
        if one.subscription is not None:
            subscriptions[one.contact] = one.subscription
    return StoredRoster(version, subscriptions, number)


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


def _place(account: str, *change: str) -> bytes:
    return cell("rosters", "data", account, *change)
