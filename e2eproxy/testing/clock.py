"""Time that stands still until it is told to go on (law 7: time is handed in)."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_750_000_000.0
"""When every simulation begins: a second in June 2025."""


@define(order=True)
class Call:
    """A call that is due at ``at`` seconds; those of one moment come in the order they were asked for."""

    at: float
    number: int
    action: Callable[[], None] = field(order=False, repr=False)
    cancelled: bool = field(default=False, order=False)

    def cancel(self) -> None:
        """Take it away; harmless if it is gone."""
        self.cancelled = True


class FakeClock:
    """Seconds since 1970, from START on, and calls that become due."""

    def __init__(self, now: float = START) -> None:
        """Begin at *now*."""
        self._now = now
        self._calls: list[Call] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """The time."""
        return self._now

    def call_later(self, seconds: float, action: Callable[[], None]) -> Call:
        """Have *action* called in *seconds*."""
        call = Call(self._now + seconds, next(self._numbers), action)
        heapq.heappush(self._calls, call)
        return call

    def next_due(self) -> float | None:
        """When the next call is due, or None."""
        while self._calls and self._calls[0].cancelled:
            heapq.heappop(self._calls)
        return self._calls[0].at if self._calls else None

    def step_to(self, moment: float) -> bool:
        """Make the one next call that is due up to *moment*; if there is none, make it *moment* and return False."""
        due = self.next_due()
        if due is None or due > moment:
            self._now = max(self._now, moment)
            return False
        self._now = max(self._now, due)
        heapq.heappop(self._calls).action()
        return True
