"""Sees to it that what waits does not wait for ever: one timer for the earliest deadline of a stream's lines (law 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from e2eproxy.proxy.holding import Lines
    from e2eproxy.xmpp.jid import JID


class Deadlines:
    """Those of *lines*, whatever stands in them; *over* is called when one of them has passed."""

    def __init__(self, clock: IReactorTime, lines: tuple[Lines[Any], ...], over: Callable[[], None]) -> None:
        self._clock = clock
        self._lines = lines
        self._over = over
        self._next: IDelayedCall | None = None
        self._stopped = False

    def look(self) -> None:
        """Have a timer, if anything waits."""
        if self._stopped or (self._next is not None and self._next.active()):
            return
        ends = [at for at in (lines.deadline() for lines in self._lines) if at is not None]
        if ends:
            self._next = self._clock.callLater(max(0.0, min(ends) - self._clock.seconds()), self._passed)

    def _passed(self) -> None:
        self._next = None
        self._over()

    def stop(self) -> None:
        """Call nobody any more."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()


class Waking:
    """Has *retry* try again for a contact, later; *schedule(seconds, function)* calls back."""

    def __init__(
        self, schedule: Callable[[float, Callable[[], None]], None], retry: Callable[[JID], None]
    ) -> None:
        self._schedule = schedule
        self._retry = retry
        self._waking: set[JID] = set()

    def wake(self, contact: JID, seconds: float) -> None:
        """Try again after *seconds*; whoever comes online again and again makes no more than one timer."""
        if contact in self._waking:
            return
        self._waking.add(contact)

        def wake() -> None:
            self._waking.discard(contact)
            self._retry(contact)

        self._schedule(seconds, wake)
