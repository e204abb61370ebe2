"""The store for the reactor: changes run on a worker thread, strictly in order, and are durable when they are told.

What waits while one commit is on its way goes into the next one together, each change undone alone if it fails; so a
burst costs a few commits, and a single change waits for one. The thread pool and the way back to the reactor's thread
are handed in; at most one thread works here at a time, however many the pool has.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from e2eproxy.trust.book import Book
from e2eproxy.trust.errors import BrokenError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.trust.book import Change
    from e2eproxy.trust.store import Store
    from e2eproxy.trust.transaction import Transaction

T = TypeVar("T")

BATCH: Final = 128
"""How many changes go into one commit at most."""


class Pool(Protocol):
    """What is used of ``twisted.python.threadpool.ThreadPool``."""

    def callInThread(self, func: Callable[[], object]) -> object:  # noqa: N802 - Twisted's name
        """Run *func* on a thread."""
        ...


@frozen
class _Job:
    change: Callable[[Transaction], Any]
    done: Deferred[Any]


class Writer:
    """Owns the order of changes, and the ``book`` that follows them."""

    def __init__(self, store: Store, pool: Pool, call_from_thread: Callable[..., object]) -> None:
        """Write to *store* on threads of *pool*; *call_from_thread* runs a function on the reactor's thread."""
        self.store = store
        self.book = Book(store.read_public)
        self._pool = pool
        self._call_from_thread = call_from_thread
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._working = False
        self._stopping: Deferred[None] | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """How many changes have not been begun."""
        return len(self._waiting)

    def start(self) -> Deferred[None]:
        """Read the settings of the whole daemon into the book."""
        return self.run(lambda work: work.tell_defaults())

    def open_account(self, account: str, at: float) -> Deferred[bool]:
        """Open *account* (a prepared bare JID) at that time and fill the book with it; fires with whether it is new."""
        return self.run(lambda work: work.open_account(account, at))

    def close_account(self, account: str) -> Deferred[None]:
        """Let go of *account*, whose clients have all gone: the book forgets it, another daemon may have it."""
        return self.run(lambda work: work.close_account(account))

    def run(self, change: Callable[[Transaction], T]) -> Deferred[T]:
        """Run *change* on the worker thread, after all earlier ones; fires with its result once that is durable.

        If it raises, its changes alone are undone, and the Deferred fails with what it raised; if the database fails,
        with StoreError. The book follows just before the Deferred fires.
        """
        if self._stopping is not None:
            return fail(StoreError("the store is being closed"))
        done: Deferred[T] = Deferred()
        self._waiting.append(_Job(change, done))
        self._wake()
        return done

    def stop(self) -> Deferred[None]:
        """Finish what waits, then close the store; later changes fail."""
        if self._stopping is None:
            self._stopping = Deferred()
            self._drained()  # unless there is work: then when that is done
        waiter: Deferred[None] = Deferred()
        self._stopping.chainDeferred(waiter)
        return waiter

    def _wake(self) -> None:
        with self._lock:
            if self._working:
                return
            self._working = True
        self._pool.callInThread(self._drain)

    # On the worker thread

    def _drain(self) -> None:
        while True:
            with self._lock:
                jobs = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                if not jobs:
                    self._working = False
                    break
            self._commit(jobs)
        self._call_from_thread(self._drained)

    def _commit(self, jobs: list[_Job]) -> None:
        results: list[object] = []
        changes: list[Change] = []
        try:
            with self.store.transaction() as work:
                results = [_attempt(work, job) for job in jobs]
                changes = list(work.changes)
        except BaseException:  # noqa: BLE001 - told to whoever waits: no change of the batch is durable
            changes = []
            results = [_failure()] * len(jobs)
        self._call_from_thread(self._tell, jobs, results, changes)

    def _close(self) -> None:
        result = None
        try:
            self.store.close()
        except StoreError:
            result = _failure()
        if self._stopping is not None:
            self._call_from_thread(self._stopping.callback, result)

    # On the reactor's thread

    def _tell(self, jobs: list[_Job], results: list[object], changes: list[Change]) -> None:
        self.book.apply(changes)
        for job, result in zip(jobs, results, strict=True):
            job.done.callback(result)

    def _drained(self) -> None:
        if self._stopping is None or self._closing or self._working or self._waiting:
            return
        self._closing = True
        self._pool.callInThread(self._close)


def _attempt(work: Transaction, job: _Job) -> object:
    """The result of one change, or the Failure with which it was undone."""
    try:
        with work.nested():
            return job.change(work)
    except BrokenError:
        raise  # the whole batch is lost
    except Exception:  # noqa: BLE001 - handed on to whoever asked for the change
        return _failure()


def _failure() -> Failure:
    """The exception that is being handled, as Deferreds carry it."""
    return Failure()  # type: ignore[no-untyped-call] # Twisted has no types for it
