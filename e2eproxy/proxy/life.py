"""What a session is doing, and how long that may take.

One table says what may follow what; one deadline at a time bounds whatever is waited for.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime


class State(Enum):
    """What a session is doing."""

    AWAITING_HEADER = auto()
    CONNECTING = auto()
    RELAYING = auto()
    ENDING = auto()
    OVER = auto()


#: From each state, the ones that may follow. A server that sends us on is left again before any of it was shown; in
#: ENDING one stream, or its client, has ended, and what the other side has still to say is waited for.
MOVES: Final = {
    State.AWAITING_HEADER: {State.CONNECTING, State.OVER},
    State.CONNECTING: {State.RELAYING, State.OVER},
    State.RELAYING: {State.CONNECTING, State.ENDING, State.OVER},
    State.ENDING: {State.OVER},
    State.OVER: set[State](),
}


class Life:
    """One session's state, and its deadline."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._deadline: IDelayedCall | None = None
        self.state = State.AWAITING_HEADER

    def move(self, state: State) -> None:
        """Go on to *state*, which the table must allow."""
        if state not in MOVES[self.state]:
            raise AssertionError(f"a session cannot go from {self.state} to {state}")
        self.state = state

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Do *then* after *seconds*, unless something else is waited for first."""
        self.stop_waiting()
        self._deadline = self._clock.callLater(seconds, then)

    def stop_waiting(self) -> None:
        """Forget the deadline, if there is one."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
