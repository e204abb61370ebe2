"""The long computations of all engines, in threads: the reactor's goes on meanwhile, with everybody's stanzas.

Few are under way at once, since they take their turns with the reactor; the others wait in order. A result is for the engine that
wanted it and for no other: one that was made anew knows nothing of it, and an account that was closed takes nothing any more.
Nothing durable depends on a computation that has not ended, so a daemon that stops gives them up; what runs then is
waited for, because a thread cannot be ended.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from attrs import field, frozen
from twisted.logger import Logger

from e2eproxy.methods.events import Computed

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from e2eproxy.methods.door import Engine
    from e2eproxy.methods.effects import Compute
    from e2eproxy.methods.harness import Bug
    from e2eproxy.proxy.lane import Lane

    T = TypeVar("T")

#: Computations that are under way at once: a long one does not keep all others waiting.
MOST_AT_ONCE: Final = 2
#: Computations that one engine may have waiting.
MOST_OF_ONE: Final = 20


class InThread(Protocol):
    """Calls a function in a thread; what it returns or raises comes back to the reactor's."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]:
        """Fires with what *function* returned."""


@frozen(eq=False)
class _Job:
    lane: Lane
    engine: Engine | None
    wanted: Compute = field(repr=False)


class Computations:
    """Those of all accounts; *in_thread* does them."""

    _log = Logger()

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._wanted: dict[Lane, dict[str, _Job]] = {}
        self._waiting: deque[_Job] = deque()
        self._running = 0

    def begin(self, lane: Lane, wanted: Compute) -> None:
        """Have *wanted* done for the engine that *lane* has now, which hears of its end in any case."""
        job = _Job(lane, lane.harness.engine, wanted)
        wanted_here = self._wanted.setdefault(lane, {})
        earlier = wanted_here.get(wanted.name)
        if earlier is not None and earlier.engine is job.engine:
            return
        if len(wanted_here) >= MOST_OF_ONE:
            why = "Too much is being computed already."
            lane.tell_engine(job.engine, Computed(name=wanted.name, result=None, why=why))
            return
        wanted_here[wanted.name] = job
        self._waiting.append(job)
        self._go_on()

    def forget(self, lane: Lane) -> None:
        """Drop what the engine of *lane* wanted: its account is closed."""
        self._wanted.pop(lane, None)

    def stop(self) -> None:
        """Begin nothing more, and tell nobody anything: the daemon ends."""
        self._wanted.clear()
        self._waiting.clear()

    def _go_on(self) -> None:
        while self._waiting and self._running < MOST_AT_ONCE:
            job = self._waiting.popleft()
            if job.engine is not job.lane.harness.engine:
                self._take_out(job)
                continue
            if not self._is_wanted(job):
                continue
            self._running += 1
            done = self._in_thread(partial(job.lane.harness.compute, job.wanted))
            done.addCallbacks(self._done, self._not_done, callbackArgs=(job,), errbackArgs=(job,))
            done.addErrback(lambda failure: self._log.failure("this is a bug in e2eproxy", failure))

    def _is_wanted(self, job: _Job) -> bool:
        return self._wanted.get(job.lane, {}).get(job.wanted.name) is job

    def _take_out(self, job: _Job) -> bool:
        """Whether it was wanted until now."""
        if not self._is_wanted(job):
            return False
        wanted_here = self._wanted[job.lane]
        del wanted_here[job.wanted.name]
        if not wanted_here:
            del self._wanted[job.lane]
        return True

    def _done(self, done: Computed | Bug, job: _Job) -> None:
        self._ended(job, job.lane.harness.computed(job.wanted, done))

    def _not_done(self, failure: Failure, job: _Job) -> None:
        # Its text may hold a secret.
        self._log.error("a computation ended with {kind}", kind=type(failure.value).__name__)
        self._ended(job, Computed(name=job.wanted.name, result=None, why="It could not be computed."))

    def _ended(self, job: _Job, event: Computed) -> None:
        self._running -= 1
        if self._take_out(job):
            job.lane.tell_engine(job.engine, event)
        self._go_on()
