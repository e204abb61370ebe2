"""The real daemon with the reference methods, as a program: ``python reference_daemon.py run ...``, options as ever.

It can also kill itself, which no test can do from outside at so exact a point. ``E2EPROXY_TEST_KILL`` says where:
``17:after`` is the point ``after`` of the 17th commit of the store; see ``POINTS``. With any value (``0`` never kills) each commit
is named on standard error, so that a test can count them and tell what they were about. ``17:after:ratchet``
breaks law 5 on top (see ``TWINS``), so that a test can show that it would see that. With ``E2EPROXY_TEST_PARTING`` the sessions
of the session method die with their stream, and it says so.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from e2eproxy import service
from e2eproxy.cli import cli
from e2eproxy.testing import ObjectMethod, SessionMethod
from e2eproxy.trust.kept import HeldStanzas
from e2eproxy.trust.own_keys import Records
from e2eproxy.trust.sent import SentIds
from e2eproxy.trust.store import Store
from e2eproxy.trust.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2eproxy.trust.transaction import Transaction
    from e2eproxy.trust.values import MethodRecord

VARIABLE = "E2EPROXY_TEST_KILL"
PARTING = "E2EPROXY_TEST_PARTING"
POINTS = ("before", "after", "told", "left")
"""What the last thing is that happens.

``before``: everything was written but the commit. ``after``: it is durable, and nobody has been told. ``told``: whoever waited has
been told and has done what it waited for, but no byte of that has left the process. ``left``: it has left.
"""


class Killer:
    """Counts the commits, and ends the process at the point *at* of commit number *number* (0: never)."""

    def __init__(self, number: int, at: str) -> None:
        self._number = number
        self._at = at
        self._count = 0

    def begin(self, jobs: list[Any]) -> int:
        """Count a commit that is about *jobs*; return its number."""
        self._count += 1
        about = " ".join(dict.fromkeys(_about(job.change) for job in jobs))
        os.write(2, f"commit {self._count}: {about}\n".encode())
        return self._count

    def point(self, number: int, name: str) -> None:
        """Die, if this is the point."""
        if (number, name) == (self._number, self._at):
            os.write(2, f"killed {name} commit {number}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def _about(change: Callable[..., object]) -> str:
    """The function that made *change*: ``Cabinet.commit`` for what is defined inside of it."""
    return change.__qualname__.partition(".<locals>")[0]


def arm(killer: Killer) -> None:
    """Put the points of *killer* around each commit that a writer makes."""
    transaction, commit, tell = Store.transaction, Writer._commit, Writer._tell

    @contextmanager
    def watched(self: Store) -> Iterator[Transaction]:
        number = getattr(self, "_test_number", 0)
        with transaction(self) as work:
            yield work
            killer.point(number, "before")
        killer.point(number, "after")

    def counted(self: Writer, jobs: list[Any]) -> None:
        self.store._test_number = killer.begin(jobs)  # one thread at a time works here
        for job in jobs:
            job.done._test_number = self.store._test_number
        commit(self, jobs)

    def told(self: Writer, jobs: list[Any], *rest: Any) -> None:
        number = jobs[0].done._test_number
        tell(self, jobs, *rest)
        killer.point(number, "told")
        from twisted.internet import reactor

        # The first call is still of this turn of the reactor, whose end is where sockets are written to.
        reactor.callLater(0, reactor.callLater, 0, killer.point, number, "left")

    Store.transaction = watched
    Writer._commit = counted
    Writer._tell = told


def _old_ratchet() -> None:
    """Break it: no session is stored after its first two steps."""
    put, puts = Records.put, Counter[str]()

    def first_ones(self: Records, record: MethodRecord) -> None:
        puts[record.key] += 1
        if not record.key.startswith("session:") or puts[record.key] <= 2:
            put(self, record)

    Records.put = first_ones


def _no_notes() -> None:
    """Break it: neither what waits nor what has left is stored."""
    HeldStanzas.add = SentIds.note = lambda *_: None


TWINS = {"": lambda: None, "ratchet": _old_ratchet, "notes": _no_notes}
"""How the daemon can be broken."""


def main() -> None:
    """Run the command ``e2eproxy``, with the reference methods built in."""
    if VARIABLE in os.environ:
        number, at, twin, *_ = [*os.environ[VARIABLE].split(":"), "", ""]
        arm(Killer(int(number), at))
        TWINS[twin]()
    methods = SessionMethod(parting=PARTING in os.environ), ObjectMethod()
    service.run = functools.partial(service.run, built_in=methods)
    cli(prog_name="e2eproxy", args=sys.argv[1:])


if __name__ == "__main__":
    main()
