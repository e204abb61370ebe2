"""What one stream has sent and the server has not yet acknowledged: stream management put to work.

Law 4 on the way to the server: every stanza that leaves is entered with what has to be remembered of it, and crossed
out when the server has taken it. Law 5 on the way back: a stanza of the server's counts when it was dealt with.
``StreamManagement`` knows the rules; here are the way the bytes go, the one timer, and the brake on the client's
reading while too much is open. On a server without stream management nothing is entered, and everything just leaves.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from e2eproxy.errors import RemoteError, StreamError
from e2eproxy.xmpp.stream_management import REQUEST, State, StreamManagement, offered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from e2eproxy.proxy.legs import Reading
    from e2eproxy.proxy.pipeline import Care
    from e2eproxy.xmpp.pieces import Element
    from e2eproxy.xmpp.stream_management import Limits

_HOLDER: Final = "ledger"


class Ledger:
    """One stream's.

    *send* puts bytes on the way to the server. *reading* is the client's, which is held while too much is open.
    *broken* is told what ends the stream when time has passed.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[bytes], None],
        reading: Reading,
        broken: Callable[[StreamError], None],
        *,
        number: int,
        limits: Limits | None = None,
    ) -> None:
        self._clock = clock
        self._send = send
        self._reading = reading
        self._broken = broken
        self._number = number
        self._management: StreamManagement[Care] = StreamManagement(clock.seconds, limits)
        self._offered = False
        #: Whether stanzas are entered: the server was asked for stream management and has not refused it.
        self.in_use = False
        # Whether our end of the stream is closed: nothing may be said any more.
        self._silent = False
        self._held = False
        self._timer: IDelayedCall | None = None
        self._wakes_at = inf

    # -- negotiation -------------------------------------------------------------------------------------------------

    def features(self, root: bytes, raw: bytes) -> None:
        """Note whether the features *raw*, in the stream with the start tag *root*, offer stream management."""
        try:
            self._offered = offered(root, raw)
        except RemoteError as error:
            self._offered = False
            self._log.warn("{n}: the features cannot be looked into: {why}", n=self._number, why=str(error))

    def begin(self) -> None:
        """A resource is bound: ask for stream management, if it was offered."""
        if self._offered:
            self.in_use = True
            self._send(self._management.enable())
            self._look_at_time()
        else:
            self._log.info("{n}: the server has no stream management", n=self._number)

    # -- stanzas -----------------------------------------------------------------------------------------------------

    def send(self, raw: bytes, care: Care) -> None:
        """Send a stanza. Raises QueueFull, and nothing is sent, if too much is open."""
        if not self.in_use:
            self._send(raw)
            return
        management = self._management
        behind = management.sent(care, len(raw))
        self._send(raw + behind if behind else raw)
        if management.full and not self._held:
            self._hold()
        if self._wakes_at == inf:
            # Otherwise the timer is early enough: what was sent later is due later.
            self._look_at_time()

    def arrived(self) -> int:
        """Note that a stanza of the server's has come; return its number for ``handled``."""
        return self._management.arrived()

    def handled(self, number: int) -> None:
        """Note that the stanza *number* is durably dealt with."""
        self._say(self._management.handled(number))

    def taken(self) -> None:
        """Note that a stanza of the server's has come and is dealt with."""
        said = self._management.taken()
        if said:
            self._say(said)

    def _say(self, raw: bytes) -> None:
        if raw and not self._silent:
            self._send(raw)

    def from_server(self, element: Element) -> Sequence[Care]:
        """Take an element of stream management; return what it acknowledges. Raises StreamError for a false one."""
        reaction = self._management.from_server(element.name, element.attributes)
        if self.in_use and self._management.state is State.REFUSED:
            self._log.info("{n}: the server refused stream management", n=self._number)
            self._leave()
        self._say(reaction.to_server)
        self._look_at_time()
        return reaction.acknowledged

    def eased(self) -> None:
        """Let the client be read again if no more than enough is open."""
        if self._held and not self._management.full:
            self._held = False
            self._reading.release(_HOLDER)

    def _hold(self) -> None:
        self._held = True
        self._log.info("{n}: the client waits, too much is unacknowledged", n=self._number)
        self._reading.hold(_HOLDER)

    # -- the end -----------------------------------------------------------------------------------------------------

    def closing(self) -> bytes:
        """Return what to say before our end of the stream; nothing is sent from here on, but much may be acknowledged."""
        said = self._management.closing()
        # What is open could also be acknowledged by the end of the server's stream, but that may never come.
        asked = REQUEST if said and self._management.next_timer is not None else b""
        self._silent = True
        self._let_go()
        return asked + said

    def over(self) -> Sequence[Care]:
        """Return what is open still; the stream is over."""
        self._leave()
        return self._management.lost()

    def _leave(self) -> None:
        self.in_use = False
        self._let_go()

    def _let_go(self) -> None:
        """Hold nobody, and wait for nothing."""
        if self._held:
            self._held = False
            self._reading.release(_HOLDER)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._wakes_at = inf

    # -- time --------------------------------------------------------------------------------------------------------

    def _look_at_time(self) -> None:
        """See to it that the timer is called in time. One that is called early is put off then, not for each stanza."""
        due = self._management.next_timer
        if due is None:
            # Called all the same, it does nothing; what comes next may be due earlier than that.
            self._wakes_at = inf
            return
        if due >= self._wakes_at or self._silent or not self.in_use:
            return
        self._wakes_at = due
        seconds = max(0.0, due - self._clock.seconds())
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)
        else:
            self._timer = self._clock.callLater(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._wakes_at = inf
        try:
            raw = self._management.timer()
        except StreamError as error:
            self._broken(error)
            return
        if raw:
            self._send(raw)
        self._look_at_time()
