"""The engines' goodbyes at the end of a stream: they leave before our end of it does, or their time is over.

A session that dies with its stream is told so to the peer (OTR's disconnect record), and what an engine says may have to wait
for the store (law 5). So the end of the stream waits for it, a bounded time: a store that never answers keeps nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods.events import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.xmpp.jid import JID

#: Seconds that the end of a stream waits for what engines have to say.
GOODBYE_SECONDS: Final = 2.0


class Farewell:
    """That of one stream."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._to_come: set[str] = set()
        self._then: Callable[[], None] | None = None
        self._late: IDelayedCall | None = None
        #: Whether the engines were told of the end.
        self.begun = False

    def begin(self, desk: Desk, own: JID, then: Callable[[], None]) -> None:
        """Tell the engines that the stream of *own* ends; *then* is called once, when all have said what they wanted."""
        self.begun = True
        self._then = then
        self._to_come = set(desk.lanes)
        self._late = self._clock.callLater(GOODBYE_SECONDS, self._over)
        desk.tell_all(Stopping(own=own))
        self._look()

    def said(self, method: str) -> None:
        """Take note that all that *method* wanted at the end has been done."""
        self._to_come.discard(method)
        self._look()

    def cancel(self) -> None:
        """The stream has ended by itself: nothing is waited for, nobody is called."""
        self._then = None
        if self._late is not None and self._late.active():
            self._late.cancel()

    def _look(self) -> None:
        if not self._to_come:
            self._over()

    def _over(self) -> None:
        then = self._then
        self.cancel()
        if then is not None:
            then()
