"""What the user is told once his client can hear it: why nothing leaves, and what an earlier stream left behind (law 4).

A client is ready for messages with its first presence. What was told of is only removed from the store when the client goes on
after it, for until then nobody knows that it was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.in_conversation import CONVERSATION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.notices import Notices
    from e2eproxy.trust.values import Report

#: Seconds after the client's first presence until the proxy asks for the roster, if the client has not.
ROSTER_SECONDS: Final = 10.0


class Greeting:
    """That of one stream. *why_not*: a sentence if nothing can leave. *ask_roster* asks the server unless it was asked."""

    def __init__(
        self,
        desk: Desk,
        clock: IReactorTime,
        notices: Notices,
        why_not: str,
        ask_roster: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._clock = clock
        self._notices = notices
        self._why_not = why_not
        self._ask_roster = ask_roster
        self._begun = False
        self._over = False
        self._asking: IDelayedCall | None = None
        #: What the user was just told of.
        self.reports: list[Report] = []

    def present(self) -> None:
        """The client has sent its presence: greet it, the first time, when that has left."""
        if not self._begun:
            self._begun = True
            self._clock.callLater(0, self._greet)

    def _greet(self) -> None:
        if self._over:
            return
        if self._why_not:
            self._notices.tell(f"{self._why_not[:1].upper()}{self._why_not[1:]}.")
            return
        if self._desk.holds(None).notices == CONVERSATION:
            self._notices.answer(self._desk.inside.expected())
        if self._desk.lanes:
            self._asking = self._clock.callLater(ROSTER_SECONDS, self._ask_roster)
        self._desk.cabinet.reports().addCallbacks(self._report, lambda _: None)

    def _report(self, reports: Sequence[Report]) -> None:
        if self._over:
            return
        for report in reports:
            self._notices.tell(report.text, counted=False)
        self.reports[:] = reports

    def read(self) -> None:
        """The client goes on after it was told: the reports have done their work."""
        reports = self.reports.copy()
        self.reports.clear()
        self._desk.cabinet.told(reports)

    def close(self) -> None:
        """The stream is over: nothing is told any more."""
        self._over = True
        if self._asking is not None and self._asking.active():
            self._asking.cancel()
