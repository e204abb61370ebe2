"""Stanzas and texts that wait: held ones, originals behind placeholders, reports. Sealed, since they are messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from e2eproxy.trust.schema import held, originals, reports
from e2eproxy.trust.values import HeldStanza, KeptOriginal, Report
from e2eproxy.trust.vault import cell, row_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.trust.cells import Cells


class HeldStanzas:
    """Stanzas that wait for a key or a decision, by (account, reference), in the order in which they came."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def add(self, stanza: HeldStanza) -> None:
        """Keep *stanza*, behind all that are held already; its reference must be new."""
        account = stanza.account
        values = {
            "id": row_id(account, stanza.reference),
            "account": account,
            "contact": stanza.contact,
            "reference": stanza.reference,
            "stanza": self._cells.seal(
                account, stanza.stanza, cell("held", "stanza", account, stanza.contact, stanza.reference)
            ),
            "held_at": stanza.held_at,
        }
        self._cells.connection.execute(insert(held).values(**values))

    def all(self, account: str) -> tuple[HeldStanza, ...]:
        """All that is held for *account*, in order."""
        self._cells.require(account)
        rows = self._cells.all(select(held).where(held.c.account == account).order_by(held.c.number))
        return tuple(
            HeldStanza(
                account=account,
                contact=row.contact,
                reference=row.reference,
                stanza=self._cells.open(
                    account, row.stanza, cell("held", "stanza", account, row.contact, row.reference)
                ),
                held_at=row.held_at,
            )
            for row in rows
        )

    def remove(self, account: str, references: Iterable[str]) -> int:
        """Hold these no more: they were sent or returned. Returns how many there were."""
        self._cells.require(account)
        ids = [row_id(account, reference) for reference in references]
        return sum(self._cells.count(delete(held).where(held.c.id == row)) for row in ids)


class Originals:
    """The stanzas behind placeholders, by (account, reference), until they expire."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def keep(self, original: KeptOriginal) -> None:
        """Keep *original* in place of one with the same reference."""
        account, row = original.account, (original.account, original.contact, original.reference)
        values = {
            "account": account,
            "contact": original.contact,
            "reference": original.reference,
            "stanza": self._cells.seal(account, original.stanza, cell("originals", "stanza", *row)),
            "expires_at": original.expires_at,
        }
        self._cells.put(originals, row_id(account, original.reference), values)

    def get(self, account: str, reference: str, *, now: float) -> KeptOriginal | None:
        """The original, unless it has expired."""
        self._cells.require(account)
        row = self._cells.first(select(originals).where(originals.c.id == row_id(account, reference)))
        if row is None or row.expires_at <= now:
            return None
        place = cell("originals", "stanza", account, row.contact, reference)
        return KeptOriginal(
            account=account,
            contact=row.contact,
            reference=reference,
            stanza=self._cells.open(account, row.stanza, place),
            expires_at=row.expires_at,
        )

    def purge(self, now: float) -> int:
        """Forget all that has expired, of every account; returns how many."""
        return self._cells.count(delete(originals).where(originals.c.expires_at <= now))


class Reports:
    """What an account has to be told at its next login, in order."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def add(self, account: str, text: str, at: float) -> None:
        """Keep *text* until ``remove``."""
        reference = self._cells.keys.random(16).hex()
        sealed = self._cells.seal(account, text.encode(), cell("reports", "text", account, reference))
        values = {"reference": reference, "account": account, "text": sealed, "at": at}
        self._cells.connection.execute(insert(reports).values(**values))

    def all(self, account: str) -> tuple[Report, ...]:
        """All reports of *account*, the oldest first."""
        self._cells.require(account)
        rows = self._cells.all(select(reports).where(reports.c.account == account).order_by(reports.c.number))
        return tuple(
            Report(
                account=account,
                number=row.number,
                text=self._cells.open(
                    account, row.text, cell("reports", "text", account, row.reference)
                ).decode(),
                at=row.at,
            )
            for row in rows
        )

    def remove(self, account: str, numbers: Iterable[int]) -> int:
        """Forget these, once they were told; returns how many there were."""
        self._cells.require(account)
        mine = reports.c.account == account
        return sum(
            self._cells.count(delete(reports).where(mine, reports.c.number == number)) for number in numbers
        )
