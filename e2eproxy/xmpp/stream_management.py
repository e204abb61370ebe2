"""Stream management (XEP-0198) as the client's side of the proxy's own stream to the server, without resumption.

Law 4: what was sent is kept until the server's ``h`` covers it, and handed back in its order when the stream is lost,
so that it can come back to the client as errors. Law 5: a stanza of the server's is only counted as handled when it
was. Sans-IO: bytes to send are returned, the clock is handed in.

What a server may do wrong, and what comes of it:

* it refuses: the stream goes on without, nothing is kept, and what was kept counts as acknowledged;
* its ``h`` is no number, or covers more than was sent: ``StreamError``, as XEP-0198 section 9 asks;
* its ``h`` is lower than before: ignored, since what was acknowledged has been let go;
* it does not answer ``<enable/>`` or ``<r/>`` in time: ``StreamError``, for then the connection is dead. Going on
  without would be worse: the answer might still come, and a server that counts ends a client that does not.

Neither side is asked or answered more often than it helps: a server may ask behind every stanza for as long as it is
answered at once (Prosody does), and then an exchange of messages is mostly one of numbers.

The queue is bounded. From ``full`` on the client should not be read from; ``Limits.reserve`` more stanzas still fit,
for what has been read already. Beyond that ``QueueFull`` is raised before anything is sent, and the stanza goes back
to the client. Nothing that was sent is ever forgotten.
"""

from __future__ import annotations

import enum
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from attrs import frozen

from e2eproxy.errors import LocalError, StreamError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.spans import read

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")

ENABLE: Final = f"<enable xmlns='{names.SM3}'/>".encode()
REQUEST: Final = f"<r xmlns='{names.SM3}'/>".encode()
_NAME: Final = names.SM3 + names.SEPARATOR
#: Counters are of 32 bits and start again at zero (XEP-0198 section 4).
WRAP: Final = 2**32
_LONGEST_NUMBER: Final = 32


class State(enum.Enum):
    """Where the negotiation stands: of the four only ``ON`` counts both ways; ``ASKED`` already keeps what is sent."""

    OFF = "off"
    ASKED = "asked"
    ON = "on"
    REFUSED = "refused"


#: What the elements of the negotiation do; in any other state they mean nothing and are ignored.
TRANSITIONS: Final = {
    (State.OFF, "enable"): State.ASKED,
    (State.ASKED, "enabled"): State.ON,
    (State.ASKED, "failed"): State.REFUSED,
}


@frozen
class Limits:
    """How much is kept and how long is waited.

    ``stanzas`` and ``payload`` (bytes) are where ``full`` begins; ``reserve`` stanzas, and as many bytes again, may
    follow. An ``<r/>`` is sent after ``ask_after`` stanzas, or ``silence`` seconds after the last one; ``patience`` is
    how many seconds the server may take for an answer. Between two ``<r/>``, and between two answers to the server's, there are
    ``pause`` seconds or ``flood`` stanzas; the first one after a pause goes at once.
    """

    stanzas: int = 2_000
    payload: int = 4 * 2**20
    reserve: int = 2_000
    ask_after: int = 5
    silence: float = 2.0
    patience: float = 120.0
    pause: float = 0.1
    flood: int = 100


@frozen
class Reaction(Generic[Item]):
    """What comes of an element of the server's: bytes for it, and what it has acknowledged, in the order sent."""

    to_server: bytes = b""
    acknowledged: tuple[Item, ...] = ()


class QueueFull(LocalError):  # noqa: N818 - it names the finding
    """More is unacknowledged than may be kept; what was to be sent has to go back to the client."""


def offered(root: bytes, features: bytes) -> bool:
    """Whether a server's ``<stream:features/>``, in the stream with the start tag *root*, offer stream management.

    Raises BadElement if they cannot be read.
    """
    return read(features, root).child(_NAME + "sm") is not None


class StreamManagement(Generic[Item]):
    """One stream's counters and queue. An item is whatever the caller wants back for a stanza.

    *clock* gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float], limits: Limits | None = None) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self.state = State.OFF
        self._queue: deque[tuple[Item, int]] = deque()
        self._payload = 0
        # All that was ever acknowledged: the server's h is its low 32 bits.
        self._acknowledged = 0
        # Stanzas sent since the last request, and since when nothing has happened that puts the next one off.
        self._unasked = 0
        self._quiet_since = 0.0
        self._silence = self._limits.silence
        self._asked_at: float | None = None
        self._last_asked = -inf
        # Stanzas of the server's: all that came, the first so many that are all handled, and others that are.
        self._arrived = 0
        self._handled = 0
        self._handled_early: set[int] = set()
        # What the server was told of that and when, and whether it has asked since.
        self._told = 0
        self._told_at = -inf
        self._owes = False

    # -- negotiation -------------------------------------------------------------------------------------------------

    def enable(self) -> bytes:
        """Return the request to begin, to be sent once a resource is bound; from here on what is sent is kept."""
        if self.state is not State.OFF:
            raise ValueError("Stream management is asked for once in a stream.")
        self._enter("enable")
        self._asked_at = self._clock()
        return ENABLE

    def _enter(self, element: str) -> bool:
        following = TRANSITIONS.get((self.state, element))
        if following is not None:
            self.state = following
        return following is not None

    def _forget(self) -> None:
        self._queue.clear()
        self._payload = 0
        self._asked_at = None
        self._owes = False

    # -- stanzas to the server ---------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the client should not be read from until the server has acknowledged more."""
        return len(self._queue) >= self._limits.stanzas or self._payload >= self._limits.payload

    def sent(self, item: Item, size: int) -> bytes:
        """Note a stanza of *size* bytes that is sent now; return what has to follow it at once: an ``<r/>``, or nothing.

        Raises QueueFull, and nothing is noted, if it must not be sent.
        """
        if self.state is not State.ON and self.state is not State.ASKED:
            return b""
        if self.full and self._overfull(size):
            raise QueueFull("The server has not acknowledged what was sent before.")
        self._queue.append((item, size))
        self._payload += size
        self._unasked += 1
        self._quiet_since = now = self._clock()
        return self._request_if_due(now)

    def _overfull(self, size: int) -> bool:
        limits = self._limits
        too_many = len(self._queue) >= limits.stanzas + limits.reserve
        # A single stanza always fits, however large: the framer has bounded it.
        return too_many or (self._payload >= limits.payload and self._payload + size > 2 * limits.payload)

    def _request_if_due(self, now: float) -> bytes:
        limits = self._limits
        if self._asked_at is not None or self._unasked < limits.ask_after:
            return b""
        if self._unasked < limits.flood and now < self._last_asked + limits.pause:
            # More will follow, or there will be silence.
            return b""
        return self._request(now)

    def _request(self, now: float) -> bytes:
        self._asked_at = self._last_asked = now
        self._unasked = 0
        return REQUEST

    def lost(self) -> list[Item]:
        """Return what the server has not acknowledged, in the order it was sent; the stream is over."""
        items = [item for item, _ in self._queue]
        self.state = State.OFF
        self._forget()
        return items

    # -- stanzas of the server ---------------------------------------------------------------------------------------

    def arrived(self) -> int:
        """Note that a stanza has come; return its number for ``handled`` (zero if nothing is counted)."""
        if self.state is not State.ON:
            return 0
        self._arrived += 1
        return self._arrived

    def handled(self, number: int) -> bytes:
        """Note that the stanza *number* is durably dealt with. Order does not matter; ``h`` covers only the first ones.

        Returns what to send now: the answer that the server waits for, if it would become too old, or nothing.
        """
        if not self._handled < number <= self._arrived:
            return b""
        self._handled_early.add(number)
        while self._handled + 1 in self._handled_early:
            self._handled += 1
            self._handled_early.discard(self._handled)
        return self._answer_to_a_flood() if self._owes else b""

    def taken(self) -> bytes:
        """Note that a stanza has come and is durably dealt with; returns what ``handled`` does."""
        if self.state is not State.ON:
            return b""
        self._arrived += 1
        if self._handled + 1 != self._arrived:
            return self.handled(self._arrived)
        self._handled += 1
        return self._answer_to_a_flood() if self._owes else b""

    def closing(self) -> bytes:
        """Return what to say before the stream is closed by us: how many stanzas were handled."""
        return self._answer() if self.state is State.ON else b""

    def _answer_to_a_flood(self) -> bytes:
        return self._answer() if self._handled - self._told >= self._limits.flood else b""

    def _asked(self) -> bytes:
        """Return the answer to the server's ``<r/>``, or nothing yet if it has had one a moment ago."""
        self._owes = True
        if self._clock() >= self._answer_at:
            return self._answer()
        return self._answer_to_a_flood()

    @property
    def _answer_at(self) -> float:
        return self._told_at + self._limits.pause

    def _answer(self) -> bytes:
        self._owes = False
        self._told, self._told_at = self._handled, self._clock()
        return f"<a xmlns='{names.SM3}' h='{self._handled % WRAP}'/>".encode()

    # -- elements of the server --------------------------------------------------------------------------------------

    @staticmethod
    def concerns(name: str) -> bool:
        """Whether an element of the server's called *name* is for ``from_server``."""
        return name.startswith(_NAME)

    def from_server(self, name: str, attributes: list[str]) -> Reaction[Item]:
        """Take an element of stream management, with its flat attributes, from the server.

        Raises StreamError ``undefined-condition`` if its ``h`` is no number or too high. What was not acknowledged
        stays, for ``lost``.
        """
        local = name.removeprefix(_NAME)
        if local == "enabled":
            return self._enabled()
        if local == "failed":
            if self._enter("failed"):
                # Nobody will ever say more of these.
                items = tuple(item for item, _ in self._queue)
                self._forget()
                return Reaction(acknowledged=items)
        elif self.state is State.ON and local == "r":
            return Reaction(self._asked())
        elif self.state is State.ON and local == "a":
            return self._acknowledge(_number(attributes))
        return Reaction()

    def _enabled(self) -> Reaction[Item]:
        if not self._enter("enabled"):
            return Reaction()
        self._asked_at = None
        return Reaction(self._request_if_due(self._clock()))

    def _acknowledge(self, h: int) -> Reaction[Item]:
        covered = (h - self._acknowledged) % WRAP
        if covered > len(self._queue):
            if (self._acknowledged - h) % WRAP <= self._acknowledged:
                return Reaction()
            raise StreamError("undefined-condition", "The server acknowledged more stanzas than it was sent.")
        items = tuple(self._pop() for _ in range(covered))
        self._acknowledged += covered
        self._asked_at = None
        self._quiet_since = now = self._clock()
        # A server that answers and gets no further is asked less and less often.
        self._silence = self._limits.silence if covered else min(2 * self._silence, self._limits.patience)
        return Reaction(self._request_if_due(now), items)

    def _pop(self) -> Item:
        item, size = self._queue.popleft()
        self._payload -= size
        return item

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def next_timer(self) -> float | None:
        """When ``timer`` has to be called, by the clock; None if not before something else happens."""
        due = self._server_due
        if not self._owes:
            return due
        return self._answer_at if due is None else min(due, self._answer_at)

    @property
    def _server_due(self) -> float | None:
        """When the server has to have answered, or has to be asked."""
        if self._asked_at is not None:
            return self._asked_at + self._limits.patience
        if self._queue:
            return self._quiet_since + self._silence
        return None

    def timer(self) -> bytes:
        """Return what has to be sent now, time having passed; calling it too early does nothing.

        Raises StreamError ``connection-timeout`` if the server has not answered in time.
        """
        now, due = self._clock(), self._server_due
        answer = self._answer() if self._owes and now >= self._answer_at else b""
        if due is None or now < due:
            return answer
        if self._asked_at is not None:
            raise StreamError("connection-timeout", "The server did not answer in time.")
        return answer + self._request(now)


def _number(attributes: list[str]) -> int:
    """Return the value of ``h``, an unsigned integer of 32 bits; raises StreamError if there is none."""
    flat = dict(zip(attributes[::2], attributes[1::2], strict=True))
    text = flat.get("h", "").strip(" \t\r\n").removeprefix("+")
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and int(text) < WRAP:
        return int(text)
    raise StreamError("undefined-condition", "The server acknowledged a number of stanzas that is none.")
