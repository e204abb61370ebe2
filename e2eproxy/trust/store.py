"""The store: opened with its key, read and changed in transactions, by one daemon at a time.

Everything here blocks on the database; ``writer`` keeps that off the reactor's thread. Nothing is ever removed or
made anew because it does not open: the text of the error says what to bring back.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sqlalchemy import insert, select

from e2eproxy.trust import database
from e2eproxy.trust.cells import Keys, check_key, check_row
from e2eproxy.trust.claims import Claims
from e2eproxy.trust.errors import ReadOnlyError, StoreError, told
from e2eproxy.trust.migrations import STEPS, migrate, version
from e2eproxy.trust.peer_keys import read_key
from e2eproxy.trust.schema import meta, peer_keys
from e2eproxy.trust.transaction import Transaction
from e2eproxy.trust.vault import Vault, VaultError, row_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from e2eproxy.trust.key_sources import KeySource
    from e2eproxy.trust.migrations import Step
    from e2eproxy.trust.values import PeerKey
    from e2eproxy.trust.vault import Random

_KEY = "key-"
"""Before the names of what ``meta`` keeps about the key."""


class Store:
    """An open store; ``transaction`` is safe to use from several threads, one at a time."""

    def __init__(self, engine: Engine, where: str, keys: Keys, complaint: str | None) -> None:
        """Used by ``open_store`` only."""
        self.where = where
        self.complaint = complaint
        self._engine = engine
        self._keys = keys
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._claims = Claims()
        self._locks: list[Callable[[], None]] = []

    def owns(self, release: Callable[[], None]) -> None:
        """Call *release* once this is closed: it gives back what keeps other daemons away."""
        self._locks.append(release)

    @property
    def read_only(self) -> bool:
        """Whether the store was written by a newer version; ``complaint`` says so in a sentence."""
        return self.complaint is not None

    @property
    def stopped(self) -> dict[str, str]:
        """The accounts for which nothing is done any more, with the reason."""
        return dict(self._keys.stopped)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Read and change; committed (durable) when the block ends, undone when it raises.

        Raises StoreError when the database fails, ReadOnlyError when the store may not be changed.
        """
        if self.complaint is not None:
            raise ReadOnlyError(self.complaint)
        with self._lock, told(self.where):
            connection = self._live()
            try:
                with connection.begin():
                    work = Transaction(connection, self._keys, self._claims, self.where)
                    yield work
                work.publish()
                connection.rollback()  # only of what released claims began
            except BaseException:
                if not database.is_idle(
                    connection
                ):  # a commit that failed may have left its transaction open
                    self._drop()
                raise

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read what was last committed, beside a transaction that is under way; changes are refused or undone."""
        with told(self.where), self._engine.connect() as connection:
            database.for_reading(connection)
            work = Transaction(connection, self._keys, Claims(), self.where, only_reads=True)
            try:
                yield work
            finally:
                connection.rollback()

    def read_public(self, key: PeerKey) -> bytes:
        """The public key that belongs to *key*; raises StoreError if it is gone."""
        row = row_id(key.account, key.contact, key.fingerprint.method, key.fingerprint.text)
        with told(self.where), self._engine.connect() as connection:
            database.for_reading(connection)
            found = connection.execute(select(peer_keys).where(peer_keys.c.id == row)).first()
        if found is None:
            raise StoreError(f"the key {key.fingerprint} of {key.contact} is not in the store any more")
        return read_key(found).public

    def close(self) -> None:
        """Let go of the database; everything committed is in it already."""
        with self._lock:
            try:
                if not self.read_only:
                    try:
                        with told(self.where):
                            database.shrink(self._live())
                    finally:
                        self._drop()
            finally:
                self._engine.dispose()
                while self._locks:
                    self._locks.pop()()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _live(self) -> Connection:
        """The one connection that writes, which also holds the claims."""
        if self._connection is not None and (self._connection.closed or self._connection.invalidated):
            self._drop()
        if self._connection is None:
            self._connection = self._engine.connect()
            try:
                for account in self._claims.moved(self._connection):
                    self._keys.accounts.pop(
                        account, None
                    )  # another daemon has it: it is not open here any more
            except BaseException:
                self._drop()
                raise
            self._connection.rollback()  # the claims live on with the connection
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # not back to the pool: it may hold claims
            self._connection.close()
            self._connection = None


def open_store(
    data: Path,
    source: KeySource,
    *,
    url: str | None = None,
    random: Random = os.urandom,
    steps: Sequence[Step] = STEPS,
) -> Store:
    """Open the store in the directory *data*, or the database *url*; a new one is made if there is none.

    Its key comes from *source*. An older store is migrated; one of a newer version is opened read-only. Raises
    VaultError or StoreError (both LocalError) and leaves everything as it was when it cannot be opened.
    """
    place = database.location(data, url)
    where = database.shown(place)
    with told(where):
        engine = database.make_engine(place)
        try:
            return _open(engine, where, source, random, steps)
        except BaseException:
            engine.dispose()
            raise


def _open(engine: Engine, where: str, source: KeySource, random: Random, steps: Sequence[Step]) -> Store:
    with engine.connect() as connection:
        database.for_reading(connection)
        database.require_unicode(connection)
        found = version(connection)
        # The key comes before anything is changed: with a wrong one nothing is.
        vault = _existing(connection, source, random) if found else None
    complaint = None
    if found > len(steps):
        complaint = (
            f"the store {where} was written by a newer e2eproxy (version {found} of the store, this one knows"
            f" {len(steps)}): it can be looked at but not changed; update e2eproxy"
        )
        database.never_writes(engine)
    else:
        with engine.begin() as connection:
            migrate(connection, steps)
            vault = vault or _new_or_existing(connection, source, random)
    if vault is None:  # a newer version has rows, so it has a key
        raise StoreError(f"the store {where} has no key; it is damaged and is left as it is")
    return Store(engine, where, Keys(vault, random), complaint)


def _new_or_existing(connection: Connection, source: KeySource, random: Random) -> Vault:
    """The vault of a store whose tables may have just been made, by us or by a process that was faster."""
    if connection.execute(select(meta.c.value).where(meta.c.name == "check")).first() is not None:
        return _existing(connection, source, random)
    key, parameters = source.make(random)
    vault = Vault(key, random)
    connection.execute(insert(meta).values(name=f"{_KEY}kind", value=source.kind))
    for name, value in parameters.items():
        connection.execute(insert(meta).values(name=_KEY + name, value=value))
    connection.execute(insert(meta).values(**check_row(vault)))
    return vault


def _existing(connection: Connection, source: KeySource, random: Random) -> Vault:
    rows = connection.execute(select(meta.c.name, meta.c.value).where(meta.c.name.startswith(_KEY)))
    parameters = {row.name.removeprefix(_KEY): row.value for row in rows}
    kind = parameters.pop("kind", None)
    if kind != source.kind:
        raise VaultError(
            f"the store's key is of the kind {kind!r}, but the configuration says {source.kind!r};"
            " set it back to what it was"
        )
    vault = Vault(source.get(parameters), random)
    check_key(connection, vault)
    return vault
