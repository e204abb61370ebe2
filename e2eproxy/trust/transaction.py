"""Everything that can be read and changed together: one transaction, committed as a whole or not at all (law 5)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen
from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from e2eproxy.trust.book import AccountGone, AccountOpened, PolicyChanged
from e2eproxy.trust.capabilities import Capabilities
from e2eproxy.trust.cells import Cells
from e2eproxy.trust.database import in_transaction
from e2eproxy.trust.errors import BrokenError, told
from e2eproxy.trust.kept import HeldStanzas, Originals, Reports
from e2eproxy.trust.own_keys import Identities, Records
from e2eproxy.trust.peer_keys import PeerKeys
from e2eproxy.trust.rosters import Rosters
from e2eproxy.trust.schema import (
    OF_ACCOUNT,
    accounts,
    capabilities,
    held,
    identities,
    method_records,
    originals,
    peer_keys,
    policy,
    reports,
    rosters,
    sent_ids,
    sticky,
)
from e2eproxy.trust.sent import SentIds
from e2eproxy.trust.settings import PolicyRows, StickyContacts
from e2eproxy.trust.values import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, NestedTransaction, Table

    from e2eproxy.trust.book import Change
    from e2eproxy.trust.cells import Keys
    from e2eproxy.trust.claims import Claims
    from e2eproxy.trust.values import (
        HeldStanza,
        IdentityKey,
        KnownCapabilities,
        MethodRecord,
        Report,
        SentId,
        SentPair,
        StoredRoster,
    )

MOST_PAIRS: Final = 10_000
"""Pairs of ids that are read when an account is loaded; answers to older ones are looked up one by one."""


@frozen(kw_only=True)
class Loaded:
    """What an account has, but for what is in the book: all that is needed when it logs in, read in one go.

    Each list is in the order of its table's own ``all``; *recent* are the newest pairs of ids, the oldest first,
    *doubtful* what the user was told of and may send again.
    """

    account: str
    identities: tuple[IdentityKey, ...]
    records: tuple[MethodRecord, ...]
    held: tuple[HeldStanza, ...]
    unacknowledged: tuple[SentId, ...]
    reports: tuple[Report, ...]
    roster: StoredRoster | None
    recent: tuple[SentPair, ...]
    doubtful: tuple[SentId, ...] = ()
    capabilities: tuple[KnownCapabilities, ...] = ()


@frozen
class Losses:
    """What goes with a reset of *account*, to be shown before it is done."""

    account: str
    identities: tuple[str, ...]
    peer_keys: int
    verified: int
    records: int
    held: int
    unacknowledged: int
    settings: int
    sticky: int
    originals: int
    reports: int
    rosters: int
    capabilities: int

    def lines(self) -> list[str]:
        """The list for people, one line each; only what there is."""
        own = ", ".join(self.identities)
        told = [
            (len(self.identities), f"{len(self.identities)} own keys ({own}): contacts will see new ones"),
            (self.peer_keys, f"{self.peer_keys} keys of contacts, and what you decided about them"),
            (self.verified, f"{self.verified} of them verified: these have to be verified again"),
            (self.records, f"{self.records} session records: messages under way cannot be opened any more"),
            (self.held, f"{self.held} stanzas that wait to be sent"),
            (self.unacknowledged, f"{self.unacknowledged} stanzas that the server may not have got"),
            (
                self.settings,
                f"{self.settings} settings of this account and its contacts: defaults hold again",
            ),
            (self.sticky, f"{self.sticky} contacts to whom nothing was sent in clear without your word"),
            (self.originals, f"{self.originals} stanzas that could not be opened yet"),
            (self.reports, f"{self.reports} reports that you have not been told"),
            (self.rosters, "the copy of the roster, which the server has as well"),
            (self.capabilities, "what the clients of contacts can do, which they are asked again"),
        ]
        return [line for number, line in told if number]


class Transaction:
    """One transaction; its parts are named after what they keep."""

    def __init__(
        self, connection: Connection, keys: Keys, claims: Claims, where: str, *, only_reads: bool = False
    ) -> None:
        """Work on *connection* with the store's *keys*; *claims* take accounts for this daemon, *where* is the store.

        A transaction that *only_reads* reads accounts that nobody has opened, too.
        """
        self._cells = Cells(connection, keys, only_reads=only_reads)
        self._claims = claims
        self._where = where
        self.identities = Identities(self._cells)
        self.records = Records(self._cells)
        self.peer_keys = PeerKeys(self._cells)
        self.policy = PolicyRows(self._cells)
        self.sticky = StickyContacts(self._cells)
        self.sent = SentIds(self._cells)
        self.held = HeldStanzas(self._cells)
        self.originals = Originals(self._cells)
        self.reports = Reports(self._cells)
        self.rosters = Rosters(self._cells)
        self.capabilities = Capabilities(self._cells)

    @property
    def changes(self) -> list[Change]:
        """What the book has to follow once this is committed."""
        return self._cells.changes

    def open_account(self, account: str, at: float) -> bool:
        """Open the vault of *account*, making one if it is new (then True), and tell the book what is known of it.

        Raises StoppedError, and leaves everything as it is, if the vault or an own key in it does not open.
        """
        self._cells.refuse_stopped(account)
        self._claims.claim(account)
        new = self._cells.create(account, at)
        self.identities.all(account)
        self.changes.append(
            AccountOpened.of(
                account, self.peer_keys.lean(account), self.policy.plain(account), self.sticky.all(account)
            )
        )
        return new

    def load(self, account: str) -> Loaded:
        """Everything of *account*, which has to be open, that a login needs; raises StoppedError if any does not open."""
        return Loaded(
            account=account,
            identities=self.identities.all(account),
            records=self.records.all(account),
            held=self.held.all(account),
            unacknowledged=self.sent.unacknowledged(account),
            reports=self.reports.all(account),
            roster=self.rosters.get(account),
            recent=self.sent.recent(account, MOST_PAIRS),
            doubtful=self.sent.doubtful(account),
            capabilities=self.capabilities.all(account),
        )

    def close_account(self, account: str) -> None:
        """Let go of *account* until it is opened again, here or by another daemon; nothing of it is removed."""
        self._leave(account)

    def accounts(self) -> tuple[str, ...]:
        """All accounts that have something in the store."""
        rows = self._cells.all(select(accounts.c.account))
        return tuple(sorted(row.account for row in rows))

    def losses(self, account: str) -> Losses:
        """What a reset of *account* would lose; works for a stopped account too, since nothing is opened."""
        own = select(identities.c.method, identities.c.name).where(identities.c.account == account)
        verified = peer_keys.c.decision == Decision.VERIFIED.value
        return Losses(
            account=account,
            identities=tuple(sorted(f"{row.method} {row.name}" for row in self._cells.all(own))),
            peer_keys=self._count(peer_keys, account),
            verified=self._count(peer_keys, account, verified),
            records=self._count(method_records, account),
            held=self._count(held, account),
            unacknowledged=self._count(sent_ids, account, sent_ids.c.acknowledged.is_(False)),
            settings=self._count(policy, account),
            sticky=self._count(sticky, account),
            originals=self._count(originals, account),
            reports=self._count(reports, account),
            rosters=self._count(rosters, account),
            capabilities=self._count(capabilities, account),
        )

    def reset(self, account: str) -> Losses:
        """Forget everything of *account*, its vault's key included; returns what is lost.

        A stopped account can be opened again once this is committed.
        """
        self._claims.claim(account)
        lost = self.losses(account)
        for table in OF_ACCOUNT:
            self._cells.count(delete(table).where(table.c.account == account))
        self._cells.count(delete(accounts).where(accounts.c.account == account))
        self._cells.reset.add(account)
        self._leave(account)
        return lost

    def tell_defaults(self) -> None:
        """Tell the book the settings of the whole daemon."""
        self.changes.extend(PolicyChanged(row) for row in self.policy.all(""))

    @contextmanager
    def nested(self) -> Iterator[None]:
        """A part that is undone alone if it raises, without the rest of the transaction.

        Raises BrokenError when the whole transaction was lost with it.
        """
        cells = self._cells
        mark = len(self.changes)
        before = dict(cells.opened), set(cells.forgotten), set(cells.reset)
        with told(self._where):
            savepoint = cells.connection.begin_nested()
        try:
            with told(self._where):
                yield
                savepoint.commit()
        except BaseException as error:
            del self.changes[mark:]
            cells.opened, cells.forgotten, cells.reset = before
            self._undo(savepoint, error)
            raise

    def _undo(self, savepoint: NestedTransaction, error: BaseException) -> None:
        try:
            if in_transaction(self._cells.connection):
                savepoint.rollback()
                return
        except SQLAlchemyError:
            pass  # then the whole transaction is lost, which is said below
        raise BrokenError(f"the store {self._where} lost a transaction: {error}") from error

    def publish(self) -> None:
        """It is committed: what was opened or forgotten in it holds for the store."""
        self._cells.publish()
        for account in self._cells.forgotten - set(self._cells.opened):
            self._claims.release(account)

    def _leave(self, account: str) -> None:
        self._cells.opened.pop(account, None)
        self._cells.forgotten.add(account)
        self.changes.append(AccountGone(account))

    def _count(self, table: Table, account: str, *conditions: object) -> int:
        query = select(func.count()).select_from(table).where(table.c.account == account)
        for condition in conditions:
            query = query.where(condition)  # type: ignore[arg-type] # sqlalchemy's own class is not exported
        row = self._cells.first(query)
        return 0 if row is None else int(row[0])
