"""What was sent under which id: written before the stanza leaves (law 5), so that nothing is doubled or lost (law 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from e2eproxy.trust.schema import sent_ids
from e2eproxy.trust.values import SentId, SentPair
from e2eproxy.trust.vault import cell, row_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Row

    from e2eproxy.trust.cells import Cells


class SentIds:
    """Pairs of outer and client id, by (account, outer id)."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def note(self, sent: SentId, stanza: bytes) -> None:
        """Write *sent* about to leave; *stanza*, the client's own bytes, counts only for ``twice``."""
        account = sent.account
        row = (account, sent.outer_id)
        sealed = {
            name: None if plain is None else self._cells.seal(account, plain, cell("sent_ids", name, *row))
            for name, plain in (("original", sent.original), ("outer_stanza", sent.outer))
        }
        values = {
            "account": account,
            "outer_id": sent.outer_id,
            "client_id": sent.client_id,
            "recipient": sent.to,
            "same": self._same(account, sent.to, sent.client_id, stanza),
            "sent_at": sent.sent_at,
            "acknowledged": sent.acknowledged,
            **sealed,
        }
        self._cells.put(sent_ids, row_id(*row), values)

    def by_outer(self, account: str, outer_id: str) -> SentId | None:
        """What left under *outer_id*."""
        self._cells.require(account)
        row = self._cells.first(select(sent_ids).where(sent_ids.c.id == row_id(account, outer_id)))
        return None if row is None else self._read(row)

    def twice(
        self, account: str, to: str, client_id: str | None, stanza: bytes, *, since: float
    ) -> SentId | None:
        """The first copy of a stanza with the same recipient, client's id and bytes, sent after *since*, unacknowledged.

        Whether there was a reconnect in between is for the caller to know.
        """
        query = (
            select(sent_ids)
            .where(sent_ids.c.same == self._same(account, to, client_id, stanza))
            .where(sent_ids.c.account == account)
            .where(sent_ids.c.sent_at >= since)
            .where(sent_ids.c.acknowledged.is_(False))
            .order_by(sent_ids.c.sent_at, sent_ids.c.outer_id)
        )
        row = self._cells.first(query)
        return None if row is None else self._read(row)

    def unacknowledged(self, account: str) -> tuple[SentId, ...]:
        """What the server has not said to have taken, in the order in which it was sent."""
        self._cells.require(account)
        query = select(sent_ids).where(sent_ids.c.account == account, sent_ids.c.acknowledged.is_(False))
        rows = sorted(self._cells.all(query), key=lambda row: (row.sent_at, row.outer_id))
        return tuple(self._read(row) for row in rows)

    def recent(self, account: str, most: int) -> tuple[SentPair, ...]:
        """The newest pairs, at most *most* of them, the oldest first, acknowledged or not."""
        self._cells.require(account)
        columns = (sent_ids.c.outer_id, sent_ids.c.client_id, sent_ids.c.recipient, sent_ids.c.sent_at)
        query = select(*columns).where(sent_ids.c.account == account)
        newest = query.order_by(sent_ids.c.sent_at.desc(), sent_ids.c.outer_id.desc()).limit(most)
        return tuple(
            SentPair(outer_id=row.outer_id, client_id=row.client_id, to=row.recipient, sent_at=row.sent_at)
            for row in reversed(self._cells.all(newest))
        )

    def acknowledge(self, account: str, outer_ids: Iterable[str]) -> None:
        """The server has taken these.

        What was kept of them stays until ``purge``, for errors that still come, but for what left: it never leaves again.
        """
        self._cells.require(account)
        for outer_id in outer_ids:
            row = row_id(account, outer_id)
            self._cells.count(
                update(sent_ids).where(sent_ids.c.id == row).values(acknowledged=True, outer_stanza=None)
            )

    def told(self, account: str, outer_ids: Iterable[str]) -> None:
        """The user was told that these may not have arrived, or is about to be, by a report or an error.

        They count as settled like what was acknowledged, but what left is kept: the client may send it again.
        """
        self._cells.require(account)
        for outer_id in outer_ids:
            row = row_id(account, outer_id)
            self._cells.count(update(sent_ids).where(sent_ids.c.id == row).values(acknowledged=True))

    def doubtful(self, account: str) -> tuple[SentId, ...]:
        """What was ``told``, and may be sent again, in the order in which it was sent."""
        self._cells.require(account)
        query = select(sent_ids).where(
            sent_ids.c.account == account,
            sent_ids.c.acknowledged.is_(True),
            sent_ids.c.outer_stanza.is_not(None),
        )
        rows = sorted(self._cells.all(query), key=lambda row: (row.sent_at, row.outer_id))
        return tuple(self._read(row) for row in rows)

    def never_again(self, before: float) -> int:
        """Forget, of every account, how what was told of and sent *before* that time had left; returns of how many."""
        old = (
            sent_ids.c.sent_at < before,
            sent_ids.c.acknowledged.is_(True),
            sent_ids.c.outer_stanza.is_not(None),
        )
        return self._cells.count(update(sent_ids).where(*old).values(outer_stanza=None))

    def remove(self, account: str, outer_ids: Iterable[str]) -> None:
        """Forget these: they went back to the client, and never left."""
        self._cells.require(account)
        for outer_id in outer_ids:
            self._cells.count(delete(sent_ids).where(sent_ids.c.id == row_id(account, outer_id)))

    def purge(self, before: float) -> int:
        """Forget, of every account, what was acknowledged and sent *before* that time; returns how many."""
        old = (sent_ids.c.sent_at < before, sent_ids.c.acknowledged.is_(True))
        return self._cells.count(delete(sent_ids).where(*old))

    def _same(self, account: str, to: str, client_id: str | None, stanza: bytes) -> bytes:
        given = b"" if client_id is None else b"=" + client_id.encode()
        return self._cells.vault(account).digest(b"sent", to.encode(), given, stanza)

    def _read(self, row: Row[*tuple[Any, ...]]) -> SentId:
        return SentId(
            account=row.account,
            outer_id=row.outer_id,
            client_id=row.client_id,
            to=row.recipient,
            sent_at=row.sent_at,
            acknowledged=row.acknowledged,
            original=self._open(row, "original"),
            outer=self._open(row, "outer_stanza"),
        )

    def _open(self, row: Row[*tuple[Any, ...]], name: str) -> bytes | None:
        sealed = getattr(row, name)
        if sealed is None:
            return None
        return self._cells.open(row.account, sealed, cell("sent_ids", name, row.account, row.outer_id))
