"""A real store that lives in memory and is made in a millisecond, for thousands of worlds.

The tables, the sealing and the transactions are the real ones; only the file, and with it what a disk can do, is missing.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from bed.stores import Place
from e2eproxy.trust import database
from e2eproxy.trust.cells import Keys
from e2eproxy.trust.store import Store
from e2eproxy.trust.vault import Vault

KEY = bytes(range(32))


class FixedKey:
    """The key of all stores here."""

    kind = "file"

    def make(self, _random):
        return KEY, {}

    def get(self, _parameters):
        return KEY


@cache
def _empty() -> bytes:
    """The file of a store with nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.open(source=FixedKey()).close()
        connection = sqlite3.connect(Path(folder) / database.FILE_NAME)
        connection.execute("PRAGMA journal_mode = DELETE")  # a log cannot be in memory
        try:
            return connection.serialize()
        finally:
            connection.close()


@cache
def _first_engine() -> Engine:
    engine = create_engine("sqlite://")
    engine.connect().close()  # from here on its dialect knows what it talks to
    return engine


class QuickStore:
    """What would be on the disk: ``open`` gives it to one run of the daemon."""

    def __init__(self):
        def connect():
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            connection.deserialize(_empty())
            return connection

        # One dialect and one cache of compiled statements for all: else each would compile them anew.
        first = _first_engine()
        self._engine = Engine(StaticPool(connect), first.dialect, first.url)
        self._engine._compiled_cache = first._compiled_cache
        event.listen(self._engine, "connect", database._set_sqlite)
        event.listen(self._engine, "begin", database._begin_sqlite)

    def open(self):
        """Return the store."""
        return Store(self._engine, "memory", Keys(Vault(KEY, os.urandom), os.urandom), None)

    def discard(self):
        """Free the memory."""
        self._engine.dispose()
