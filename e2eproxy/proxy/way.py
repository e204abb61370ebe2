"""The one way out of a session in each direction, which keeps order and wholeness (laws 1 and 3).

Everything that goes to the server passes one ``Way``, everything that goes to the client the other. What is sent
while a chunk of input is worked on leaves in one write behind it; what is sent while an element too large to be held
is passing in parts waits for its last part, for a stanza cannot stand inside another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Outlet(Protocol):
    """What bytes are written to. Its ``write`` may be replaced at any time, so it is looked up for each write."""

    @property
    def write(self) -> Callable[[bytes], object]:
        """Write bytes behind all that were written before."""
        ...


class Way:
    """A queue in front of an outlet."""

    __slots__ = ("_corked", "_in_part", "_outlet", "_queue", "_waiting")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._queue: list[bytes] = []
        self._waiting: list[bytes] = []
        self._corked = False
        self._in_part = False

    @property
    def inside_element(self) -> bool:
        """Whether an element has begun to leave and its end has not: nothing else can be put there now."""
        return self._in_part

    def send(self, raw: bytes) -> None:
        """Send whole elements, white space or a header, in the order of the calls."""
        if self._in_part:
            self._waiting.append(raw)
        elif self._corked:
            self._queue.append(raw)
        else:
            self._outlet.write(raw)

    def send_part(self, raw: bytes, *, last: bool) -> None:
        """Send a piece of a large element; until its ``last`` one nothing else gets between."""
        self._in_part = False
        self.send(raw)
        self._in_part = not last
        if last and self._waiting:
            waiting, self._waiting = self._waiting, []
            for held in waiting:
                self.send(held)

    def cork(self) -> None:
        """Gather what is sent until ``uncork``."""
        self._corked = True

    def uncork(self) -> None:
        """Write what was gathered, at once."""
        self._corked = False
        queue = self._queue
        if queue:
            self._queue = []
            self._outlet.write(queue[0] if len(queue) == 1 else b"".join(queue))


class Nowhere:
    """Where bytes go while there is no server: nothing is sent then."""

    def write(self, _raw: bytes) -> None:
        """Tell that somebody sent all the same."""
        raise AssertionError("bytes for a server that is not there")
