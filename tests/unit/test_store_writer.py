"""The store as the reactor uses it: in order, durable before it is told, and each change undone alone."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve
from bed.stores import JULIET, ROMEO, Place
from twisted.internet import defer
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase

from e2eproxy.trust.book import LONG_PUBLIC
from e2eproxy.trust.errors import ReadOnlyError, StoppedError, StoreError
from e2eproxy.trust.migrations import STEPS
from e2eproxy.trust.values import Decision, Fingerprint, MethodRecord, PolicyRow, StickyContact
from e2eproxy.trust.writer import BATCH, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.trust.store import Store
    from e2eproxy.trust.transaction import Transaction

OTR = Fingerprint("otr", "aa" * 20)
POLICY = PolicyRow(account=ROMEO, scope="contact", key=JULIET, setting="encrypt", value="require")
STICKY = StickyContact(account=ROMEO, contact=JULIET, since=5.0, why="user")


def put(key: str, data: bytes = b"x") -> Callable[[Transaction], str]:
    def change(work: Transaction) -> str:
        work.records.put(MethodRecord(account=ROMEO, method="m", key=key, data=data))
        return key

    return change


def fails(work: Transaction) -> None:
    put("half-done")(work)
    work.policy.set(POLICY)
    raise ZeroDivisionError


def new_folder(case: SynchronousTestCase) -> Path:
    """A folder that goes with *case*."""
    folder = tempfile.mkdtemp(prefix="store-")
    case.addCleanup(shutil.rmtree, folder)
    return Path(folder)


class ManualPool:
    """Threads and the way back to the reactor, all run by hand, so that every order can be tried."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def callInThread(self, func: Callable[[], object]) -> None:  # noqa: N802 - Twisted's name
        self.work.append(func)

    def call_from_thread(self, function: Callable[..., object], *arguments: Any) -> None:
        self.calls.append((function, arguments))

    def run_threads(self) -> None:
        while self.work:
            self.work.pop(0)()

    def run_reactor(self) -> None:
        while self.calls:
            function, arguments = self.calls.pop(0)
            function(*arguments)

    def run(self) -> None:
        while self.work or self.calls:
            self.run_threads()
            self.run_reactor()


class ByHand(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Place(new_folder(self))
        self.store = self.place.open()
        self.addCleanup(self.store.close)
        self.pool = ManualPool()
        self.writer = Writer(self.store, self.pool, self.pool.call_from_thread)
        self.opened = self.writer.open_account(ROMEO, 1.0)
        self.pool.run()

    def kept(self) -> dict[str, bytes]:
        with self.store.reading() as work:
            return {record.key: record.data for record in work.records.all(ROMEO)}

    def test_opening_tells_whether_it_is_new(self) -> None:
        self.assertTrue(self.successResultOf(self.opened))
        again = self.writer.open_account(ROMEO, 2.0)
        self.pool.run()
        self.assertFalse(self.successResultOf(again))

    def test_durable_before_it_is_told(self) -> None:
        done = self.writer.run(put("one"))
        self.assertEqual(self.kept(), {})
        self.pool.run_threads()
        self.assertEqual(self.kept(), {"one": b"x"})
        self.assertNoResult(done)
        self.pool.run_reactor()
        self.assertEqual(self.successResultOf(done), "one")

    def test_one_thread_however_many_there_are(self) -> None:
        for number in range(5):
            self.writer.run(put(str(number)))
        self.assertEqual(len(self.pool.work), 1)
        self.assertEqual(self.writer.waiting, 5)

    def test_what_waits_is_committed_together_in_order(self) -> None:
        commits = self.count_commits()
        order: list[str] = []
        for number in range(BATCH + 1):
            self.writer.run(put("same", str(number).encode())).addCallback(order.append)
        self.pool.run_threads()
        self.assertEqual(len(commits), 2)
        self.assertEqual(self.kept(), {"same": str(BATCH).encode()})
        self.assertEqual(order, [])
        self.pool.run_reactor()
        self.assertEqual(len(order), BATCH + 1)

    def count_commits(self) -> list[None]:
        from sqlalchemy import event

        commits: list[None] = []
        event.listen(self.store._engine, "commit", lambda _: commits.append(None))
        return commits

    def test_a_change_that_raises_is_undone_alone(self) -> None:
        before, middle, after = map(self.writer.run, (put("before"), fails, put("after")))
        self.pool.run()
        self.assertEqual(self.successResultOf(before), "before")
        self.failureResultOf(middle, ZeroDivisionError)
        self.assertEqual(self.successResultOf(after), "after")
        self.assertEqual(set(self.kept()), {"before", "after"})
        self.assertEqual(self.writer.book.settings(ROMEO, "contact", JULIET), {})

    def test_a_failing_statement_is_undone_alone_and_told_as_ours(self) -> None:
        def bad(work: Transaction) -> None:
            put("half-done")(work)
            work._cells.connection.exec_driver_sql("INSERT INTO nowhere VALUES (?)", ("canary-7f3a",))

        first, second = self.writer.run(bad), self.writer.run(put("after"))
        self.pool.run()
        self.assertNotIn("canary-7f3a", str(self.failureResultOf(first, StoreError).value))
        self.successResultOf(second)
        self.assertEqual(set(self.kept()), {"after"})

    def test_a_batch_that_the_database_lost_fails_as_a_whole(self) -> None:
        """SQLite undoes the whole transaction when the disk is full; nothing of it may be told as done."""
        connection = self.store._live()
        connection.exec_driver_sql("PRAGMA max_page_count = 60")
        connection.rollback()

        def big(work: Transaction) -> None:
            put("big", bytes(2**20))(work)

        jobs = [self.writer.run(change) for change in (put("before"), big, put("after"))]
        self.writer.run(lambda work: work.policy.set(POLICY)).addErrback(lambda _: None)
        self.pool.run()
        kept = self.kept()
        for job, key in zip(jobs, ("before", "big", "after"), strict=True):
            told = []
            job.addCallbacks(told.append, lambda _: None)
            self.assertEqual(bool(told), key in kept, key)
        self.assertNotIn("big", kept)
        later = self.writer.run(put("later"))
        self.pool.run()
        self.assertEqual(self.successResultOf(later), "later")

    def test_a_commit_that_fails_fails_all(self) -> None:
        from sqlalchemy import event

        def refuse(_: object) -> None:
            event.remove(self.store._engine, "commit", refuse)
            raise OSError("the disk went away")

        event.listen(self.store._engine, "commit", refuse)
        first, second = self.writer.run(put("one")), self.writer.run(lambda work: work.policy.set(POLICY))
        self.pool.run()
        self.failureResultOf(first, OSError)
        self.failureResultOf(second, OSError)
        self.assertEqual(self.kept(), {})
        self.assertEqual(self.writer.book.settings(ROMEO, "contact", JULIET), {})
        third = self.writer.run(put("three"))
        self.pool.run()
        self.successResultOf(third)

    def test_cancelling_changes_nothing_about_the_change(self) -> None:
        done = self.writer.run(put("one"))
        done.cancel()
        self.failureResultOf(done, defer.CancelledError)
        self.pool.run()
        self.assertEqual(set(self.kept()), {"one"})

    def test_stopping_finishes_what_waits_and_closes(self) -> None:
        done = self.writer.run(put("one"))
        stopped, again = self.writer.stop(), self.writer.stop()
        late = self.writer.run(put("late"))
        self.failureResultOf(late, StoreError)
        self.assertNoResult(stopped)
        self.pool.run()
        self.assertEqual(self.successResultOf(done), "one")
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIsNone(self.successResultOf(again))
        self.assertEqual(self.kept(), {"one": b"x"})
        self.assertFalse((self.place.data / "store.sqlite-wal").stat().st_size)

    def test_stopping_when_nothing_waits(self) -> None:
        stopped = self.writer.stop()
        self.pool.run()
        self.assertIsNone(self.successResultOf(stopped))

    def test_a_read_only_store_refuses_and_stops(self) -> None:
        newer = self.place.open(steps=())
        self.addCleanup(newer.close)
        self.assertLess(0, len(STEPS))
        writer = Writer(newer, self.pool, self.pool.call_from_thread)
        opened, stopped = writer.open_account(ROMEO, 1.0), writer.stop()
        self.pool.run()
        self.failureResultOf(opened, ReadOnlyError)
        self.successResultOf(stopped)

    # The book

    def learn(
        self, fingerprint: Fingerprint = OTR, public: bytes = b"p", at: float = 1.0
    ) -> defer.Deferred[Any]:
        return self.writer.run(lambda work: work.peer_keys.learn(ROMEO, JULIET, fingerprint, public, at))

    def test_book_follows_what_is_committed_before_it_is_told(self) -> None:
        book = self.writer.book
        seen: list[object] = []
        self.learn().addCallback(lambda _: seen.append(book.key(ROMEO, JULIET, OTR)))
        self.pool.run_threads()
        self.assertIsNone(book.key(ROMEO, JULIET, OTR))
        self.pool.run_reactor()
        self.assertEqual(seen, [book.key(ROMEO, JULIET, OTR)])
        self.assertIsNotNone(seen[0])

    def test_book_has_keys_policy_and_sticky(self) -> None:
        book = self.writer.book
        second = Fingerprint("ox", "bb" * 20)
        self.learn(second, at=20.0)
        self.learn(OTR, at=10.0)
        self.writer.run(lambda work: work.policy.set(POLICY))
        self.writer.run(lambda work: work.sticky.add(STICKY))
        self.pool.run()
        self.assertEqual([key.fingerprint for key in book.keys(ROMEO, JULIET)], [OTR, second])
        self.assertEqual(book.settings(ROMEO, "contact", JULIET), {"encrypt": "require"})
        self.assertEqual(book.sticky(ROMEO, JULIET), STICKY)
        self.assertEqual(book.contacts(ROMEO), (JULIET,))
        self.writer.run(lambda work: work.peer_keys.decide(ROMEO, JULIET, OTR, Decision.ACCEPTED))
        self.writer.run(lambda work: work.peer_keys.forget(ROMEO, JULIET, second))
        self.writer.run(lambda work: work.policy.unset(ROMEO, "contact", JULIET, "encrypt"))
        self.writer.run(lambda work: work.sticky.remove(ROMEO, JULIET))
        self.pool.run()
        (key,) = book.keys(ROMEO, JULIET)
        self.assertIs(key.decision, Decision.ACCEPTED)
        self.assertEqual(book.settings(ROMEO, "contact", JULIET), {})
        self.assertIsNone(book.sticky(ROMEO, JULIET))
        self.writer.run(lambda work: work.peer_keys.forget(ROMEO, JULIET, OTR))
        self.pool.run()
        self.assertEqual(book.contacts(ROMEO), ())

    def test_book_is_filled_on_opening_and_emptied_on_closing(self) -> None:
        self.learn()
        self.writer.run(lambda work: work.policy.set(POLICY))
        self.writer.run(lambda work: work.policy.set(evolve(POLICY, account="", scope="default", key="")))
        self.pool.run()
        book = self.writer.book
        self.assertTrue(book.knows(ROMEO))
        self.writer.close_account(ROMEO)
        self.pool.run()
        self.assertFalse(book.knows(ROMEO))
        self.assertEqual(book.keys(ROMEO, JULIET), ())
        self.assertEqual(book.settings(ROMEO, "contact", JULIET), {})
        self.assertEqual(book.settings("", "default", ""), {"encrypt": "require"})
        self.writer.open_account(ROMEO, 2.0)
        self.pool.run()
        self.assertEqual(len(book.keys(ROMEO, JULIET)), 1)
        self.assertEqual(book.settings(ROMEO, "contact", JULIET), {"encrypt": "require"})

    def test_settings_of_the_daemon_are_read_on_start(self) -> None:
        self.writer.run(lambda work: work.policy.set(evolve(POLICY, account="", scope="default", key="")))
        self.pool.run()
        other = Writer(self.store, self.pool, self.pool.call_from_thread)
        self.assertEqual(other.book.settings("", "default", ""), {})
        other.start()
        self.pool.run()
        self.assertEqual(other.book.settings("", "default", ""), {"encrypt": "require"})

    def test_long_public_keys_are_read_when_asked_for(self) -> None:
        public = bytes(LONG_PUBLIC + 1)
        self.learn(public=public)
        self.pool.run()
        (key,) = self.writer.book.keys(ROMEO, JULIET)
        self.assertEqual(key.public, b"")
        self.assertEqual(self.writer.book.with_public(key).public, public)
        short = evolve(key, public=b"short")
        self.assertIs(self.writer.book.with_public(short), short)

    def test_a_stopped_account_fails_and_others_go_on(self) -> None:
        self.place.change("UPDATE accounts SET wrapped_key = :value", value=b"")
        self.writer.close_account(ROMEO)
        opened, other = self.writer.open_account(ROMEO, 1.0), self.writer.open_account(JULIET, 1.0)
        self.pool.run()
        self.failureResultOf(opened, StoppedError)
        self.assertTrue(self.successResultOf(other))
        self.assertFalse(self.writer.book.knows(ROMEO))
        self.assertTrue(self.writer.book.knows(JULIET))


class OnThreads(TestCase):
    """With Twisted's own threads and reactor."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        place = Place(new_folder(self))
        self.store: Store = place.open()
        self.threads = ThreadPool(0, 5, "store")
        self.threads.start()
        self.addCleanup(self.threads.stop)
        self.writer = Writer(self.store, self.threads, reactor.callFromThread)

    async def _scenario(self) -> None:
        reactor_thread = threading.get_ident()
        await self.writer.open_account(ROMEO, 1.0)
        order: list[int] = []
        seen: set[int] = set()
        at_once: list[int] = []

        def change(work: Transaction, number: int) -> int:
            at_once.append(number)
            seen.add(threading.get_ident())
            if number % 50 == 7:
                time.sleep(0.001)  # so that others queue up behind it
            put("last", str(number).encode())(work)
            assert at_once.pop() == number
            return number

        jobs = [
            self.writer.run(lambda work, number=number: change(work, number)).addCallback(order.append)
            for number in range(500)
        ]
        await defer.gatherResults(jobs)
        self.assertEqual(order, list(range(500)))
        self.assertNotIn(reactor_thread, seen)
        last = await self.writer.run(lambda work: work.records.get(ROMEO, "m", "last"))
        self.assertEqual(last, b"499")
        await self.writer.stop()

    def test_order_and_threads(self) -> defer.Deferred[None]:
        return defer.ensureDeferred(self._scenario())
