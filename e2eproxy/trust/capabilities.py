"""What the clients of contacts announce, by the hash that proves it: kept across restarts, so that nobody is asked again.

Only answers that were checked against their hash come here. Sealed, since a list of features tells which programs contacts use. It is a copy of what
can be asked for again, so it is bounded: those of no use for the longest time go first, and a row that cannot be
read is as good as none. Each set is one row under a keyed digest of its hash, deflated.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select, update

from e2eproxy.trust.schema import capabilities
from e2eproxy.trust.values import KnownCapabilities
from e2eproxy.trust.vault import cell

if TYPE_CHECKING:
    from e2eproxy.trust.cells import Cells

MOST_KEPT: Final = 1_000
"""Sets of one account. All are read at its login, which takes about 0.2 s for as many with 60 features each."""
MOST_BYTES: Final = 16 * 1024
"""A set with more text is not kept."""

_FORMAT: Final = b"\x01"


class Capabilities:
    """Verified sets by (account, verification string)."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def put(self, account: str, known: KnownCapabilities) -> bool:
        """Keep *known*, in place of one with the same hash; returns False, and keeps nothing, if it is too large."""
        data = encoded(known)
        if data is None:
            self._cells.require(account)
            return False
        row = self._row(account, known.ver)
        sealed = self._cells.seal(account, data, _place(account, row))
        self._cells.put(capabilities, row, {"account": account, "data": sealed, "used_at": known.used_at})
        self._bound(account)
        return True

    def used(self, account: str, ver: str, at: float) -> None:
        """Note that the set with the hash *ver* was of use."""
        row = self._row(account, ver)
        self._cells.count(update(capabilities).where(capabilities.c.id == row).values(used_at=at))

    def all(self, account: str) -> tuple[KnownCapabilities, ...]:
        """Those of *account* that can be read; what was of no use for the longest time comes first."""
        self._cells.require(account)
        query = select(capabilities).where(capabilities.c.account == account)
        rows = self._cells.all(query.order_by(capabilities.c.used_at, capabilities.c.id))
        read = [
            decoded(self._cells.open(account, row.data, _place(account, row.id)), row.used_at) for row in rows
        ]
        return tuple(one for one in read if one is not None)

    def purge(self, before: float) -> int:
        """Forget, of every account, what was not of use since *before*; returns how many."""
        return self._cells.count(delete(capabilities).where(capabilities.c.used_at < before))

    def _bound(self, account: str) -> None:
        mine = capabilities.c.account == account
        row = self._cells.first(select(func.count()).select_from(capabilities).where(mine))
        over = 0 if row is None else int(row[0]) - MOST_KEPT
        if over > 0:
            query = select(capabilities.c.id).where(mine).order_by(capabilities.c.used_at).limit(over)
            oldest = [one.id for one in self._cells.all(query)]
            self._cells.count(delete(capabilities).where(capabilities.c.id.in_(oldest)))

    def _row(self, account: str, ver: str) -> bytes:
        return self._cells.vault(account).digest(b"capabilities", ver.encode())


def encoded(known: KnownCapabilities) -> bytes | None:
    """*known* as it is sealed, None if it is too large."""
    text = json.dumps([known.ver, sorted(known.features)], ensure_ascii=False, separators=(",", ":")).encode()
    return None if len(text) > MOST_BYTES else _FORMAT + zlib.compress(text)


def decoded(data: bytes, used_at: float) -> KnownCapabilities | None:
    """What ``encoded`` was given; None for anything else."""
    if data[:1] != _FORMAT:
        return None
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(data[1:], MOST_BYTES)
        ver, features = json.loads(text)
        texts = (
            [one for one in (ver, *features) if isinstance(one, str)] if isinstance(features, list) else []
        )
    except (zlib.error, ValueError, TypeError, RecursionError):
        return None
    if not inflate.eof or len(texts) != 1 + len(features):
        return None
    return KnownCapabilities(ver, frozenset(texts[1:]), used_at)


def _place(account: str, row: bytes) -> bytes:
    return cell("capabilities", "data", account, row.hex())
