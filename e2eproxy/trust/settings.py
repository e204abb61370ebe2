"""What the user has set, and whom the proxy must not write to in clear any more: policy rows and sticky contacts."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from e2eproxy.trust.book import PolicyChanged, StickyChanged
from e2eproxy.trust.schema import policy, sticky
from e2eproxy.trust.values import PolicyRow, StickyContact
from e2eproxy.trust.vault import row_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.trust.cells import Cells


class PolicyRows:
    """Settings by (account, scope, key, setting); account "" is for the whole daemon."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def set(self, row: PolicyRow) -> None:
        """Write *row* in place of an earlier value of the same setting."""
        self._cells.require(row.account)
        values = {
            "account": row.account,
            "scope": row.scope,
            "key": row.key,
            "setting": row.setting,
            "value": row.value,
        }
        self._cells.put(policy, row_id(row.account, row.scope, row.key, row.setting), values)
        self._cells.changes.append(PolicyChanged(row))

    def unset(self, account: str, scope: str, key: str, setting: str) -> bool:
        """Take a setting back; returns whether there was one."""
        self._cells.require(account)
        row = row_id(account, scope, key, setting)
        gone = self._cells.count(delete(policy).where(policy.c.id == row))
        without_value = PolicyRow(account=account, scope=scope, key=key, setting=setting, value="")
        self._cells.changes.append(PolicyChanged(without_value, gone=True))
        return bool(gone)

    def all(self, account: str) -> tuple[PolicyRow, ...]:
        """All settings of *account* ("": of the whole daemon)."""
        self._cells.require(account)
        rows = self._cells.all(select(policy).where(policy.c.account == account))
        found = [
            PolicyRow(account=account, scope=row.scope, key=row.key, setting=row.setting, value=row.value)
            for row in rows
        ]
        return tuple(sorted(found, key=lambda row: (row.scope, row.key, row.setting)))

    def plain(self, account: str) -> Iterator[tuple[str, str, str, str]]:
        """As ``all``, one by one and unordered, as (scope, key, setting, value)."""
        self._cells.require(account)
        columns = (policy.c.scope, policy.c.key, policy.c.setting, policy.c.value)
        rows = self._cells.each(select(*columns).where(policy.c.account == account))
        return ((row[0], row[1], row[2], row[3]) for row in rows)


class StickyContacts:
    """Contacts with whom there was encryption, by (account, contact)."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def add(self, contact: StickyContact) -> None:
        """Make *contact* sticky; who is already stays so since when and why he was."""
        self._cells.require(contact.account)
        row = row_id(contact.account, contact.contact)
        if self._cells.first(select(sticky.c.id).where(sticky.c.id == row)) is not None:
            return
        values = {
            "account": contact.account,
            "contact": contact.contact,
            "since": contact.since,
            "why": contact.why,
        }
        self._cells.put(sticky, row, values)
        self._cells.changes.append(StickyChanged(contact))

    def remove(self, account: str, contact: str) -> bool:
        """Make *contact* like any other, at the user's word; returns whether he was sticky."""
        self._cells.require(account)
        gone = self._cells.count(delete(sticky).where(sticky.c.id == row_id(account, contact)))
        former = StickyContact(account=account, contact=contact, since=0, why="")
        self._cells.changes.append(StickyChanged(former, gone=True))
        return bool(gone)

    def all(self, account: str) -> tuple[StickyContact, ...]:
        """All sticky contacts of *account*, the oldest first."""
        self._cells.require(account)
        rows = self._cells.each(select(sticky).where(sticky.c.account == account))
        found = [
            StickyContact(account=account, contact=intern(row.contact), since=row.since, why=intern(row.why))
            for row in rows
        ]
        return tuple(sorted(found, key=lambda contact: (contact.since, contact.contact)))
