"""The keys of others: when each was seen, what is thought of it, how and when it was checked."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import evolve
from sqlalchemy import LargeBinary, case, delete, func, literal, select, update

from e2eproxy.trust.book import LONG_PUBLIC, KeyChanged, KeyGone
from e2eproxy.trust.errors import StoreError
from e2eproxy.trust.schema import peer_keys
from e2eproxy.trust.values import Decision, Fingerprint, KeySeen, PeerKey
from e2eproxy.trust.vault import row_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row

    from e2eproxy.trust.cells import Cells


_DECISIONS: Final = {decision.value: decision for decision in Decision}


class PeerKeys:
    """Peers' keys by (account, contact, fingerprint)."""

    def __init__(self, cells: Cells) -> None:
        """Work within the transaction of *cells*."""
        self._cells = cells

    def learn(
        self,
        account: str,
        contact: str,
        fingerprint: Fingerprint,
        public: bytes,
        at: float,
        *,
        first: Decision = Decision.UNDECIDED,
        first_of: Literal["contact", "method"] = "contact",
    ) -> KeySeen:
        """Note that a key was seen *at* that time (seconds since 1970).

        *first* is the decision about a key that is new while the contact has no other one, of any method
        (``contact``) or of this method; every other new key is undecided. That is decided here, within the
        transaction, so that of two keys seen at the same time only one can be the first.
        """
        self._cells.require(account)
        known = self.of(account, contact)
        others = tuple(key for key in known if key.fingerprint != fingerprint)
        mine = next((key for key in known if key.fingerprint == fingerprint), None)
        if mine is not None:
            # What goes with a fingerprint may change (an OpenPGP key's user IDs); the fingerprint is what is trusted.
            key = evolve(mine, public=public, last_seen=max(at, mine.last_seen))
            self._write(key)
            return KeySeen(key=key, new=False, others=others)
        rivals = others
        if first_of == "method":
            rivals = tuple(key for key in others if key.fingerprint.method == fingerprint.method)
        key = PeerKey(
            account=account,
            contact=contact,
            fingerprint=fingerprint,
            public=public,
            first_seen=at,
            last_seen=at,
            decision=Decision.UNDECIDED if rivals else first,
        )
        self._write(key)
        return KeySeen(key=key, new=True, others=others)

    def decide(
        self,
        account: str,
        contact: str,
        fingerprint: Fingerprint,
        decision: Decision,
        *,
        how: str | None = None,
        at: float | None = None,
    ) -> PeerKey:
        """Change what is thought of a key that was seen; *how* and *at* tell how and when it was checked.

        Raises StoreError if no such key was ever seen of *contact*.
        """
        key = self.get(account, contact, fingerprint)
        if key is None:
            raise StoreError(f"no key {fingerprint} of {contact} was ever seen")
        key = evolve(key, decision=decision, how_verified=how, verified_at=at)
        self._write(key)
        return key

    def put(self, key: PeerKey) -> None:
        """Write *key* as it is, in place of what was known of it (for an archive)."""
        self._cells.require(key.account)
        self._write(key)

    def get(self, account: str, contact: str, fingerprint: Fingerprint) -> PeerKey | None:
        """The key with that *fingerprint*, if it was ever seen of *contact*."""
        self._cells.require(account)
        row = self._cells.first(
            select(peer_keys).where(peer_keys.c.id == _row(account, contact, fingerprint))
        )
        return None if row is None else read_key(row)

    def of(self, account: str, contact: str) -> tuple[PeerKey, ...]:
        """All keys of *contact*, oldest first."""
        self._cells.require(account)
        query = select(peer_keys).where(peer_keys.c.contact_id == row_id(account, contact))
        return _ordered([read_key(row) for row in self._cells.all(query)])

    def all(self, account: str) -> tuple[PeerKey, ...]:
        """All keys that *account* knows, oldest first."""
        self._cells.require(account)
        query = select(peer_keys).where(peer_keys.c.account == account)
        return _ordered([read_key(row) for row in self._cells.all(query)])

    def lean(self, account: str) -> Iterator[PeerKey]:
        """As ``all``, one by one, with long public keys left out, as the book keeps them."""
        self._cells.require(account)
        short = func.length(peer_keys.c.public) <= LONG_PUBLIC
        columns = [column for column in peer_keys.c if column.name != "public"]
        public = case((short, peer_keys.c.public), else_=literal(b"", LargeBinary)).label("public")
        query = select(*columns, public).where(peer_keys.c.account == account)
        order = (peer_keys.c.first_seen, peer_keys.c.method, peer_keys.c.fingerprint)
        return (read_key(row) for row in self._cells.each(query.order_by(*order)))

    def forget(self, account: str, contact: str, fingerprint: Fingerprint) -> bool:
        """Forget a key; returns whether it was known."""
        self._cells.require(account)
        row = _row(account, contact, fingerprint)
        gone = self._cells.count(delete(peer_keys).where(peer_keys.c.id == row))
        self._cells.changes.append(KeyGone(account, contact, fingerprint))
        return bool(gone)

    def touch(self, account: str, contact: str, fingerprint: Fingerprint, at: float) -> None:
        """Note that a known key was used *at* that time."""
        self._cells.require(account)
        row = _row(account, contact, fingerprint)
        older = peer_keys.c.last_seen < at
        if self._cells.count(update(peer_keys).where(peer_keys.c.id == row, older).values(last_seen=at)):
            key = self.get(account, contact, fingerprint)
            if key is not None:
                self._cells.changes.append(KeyChanged(key))

    def _write(self, key: PeerKey) -> None:
        values = {
            "account": key.account,
            "contact": key.contact,
            "contact_id": row_id(key.account, key.contact),
            "method": key.fingerprint.method,
            "fingerprint": key.fingerprint.text,
            "public": key.public,
            "first_seen": key.first_seen,
            "last_seen": key.last_seen,
            "decision": key.decision.value,
            "how_verified": key.how_verified,
            "verified_at": key.verified_at,
        }
        self._cells.put(peer_keys, _row(key.account, key.contact, key.fingerprint), values)
        self._cells.changes.append(KeyChanged(key))


def _row(account: str, contact: str, fingerprint: Fingerprint) -> bytes:
    return row_id(account, contact, fingerprint.method, fingerprint.text)


def _ordered(keys: list[PeerKey]) -> tuple[PeerKey, ...]:
    return tuple(sorted(keys, key=lambda key: (key.first_seen, key.fingerprint.method, key.fingerprint.text)))


def read_key(row: Row[*tuple[Any, ...]]) -> PeerKey:
    """The key in a row; a decision that this version does not know counts as a refusal."""
    how = row.how_verified
    return PeerKey(
        account=intern(row.account),
        contact=intern(row.contact),
        fingerprint=Fingerprint(intern(row.method), row.fingerprint),
        public=row.public,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        decision=_DECISIONS.get(row.decision, Decision.DISTRUSTED),
        how_verified=how and intern(how),
        verified_at=row.verified_at,
    )
