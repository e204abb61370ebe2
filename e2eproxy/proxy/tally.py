"""What is counted: what becomes of stanzas, how many wait, how long that takes, and what fails.

Law 8: a count has a name for its method, direction, outcome or reason, all of them known before the first stanza comes, and
nothing else: no JID, no key, no text, so that a peer can neither read along nor add a series. What fails is logged
under the same names; a flood of failures is a peer's to make, so beyond so many a minute they are only counted.

A stanza that nobody looks into costs one addition here: whoever lets it pass adds to ``passed_out`` or ``passed_in``.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from attrs import frozen
from twisted.logger import Logger

from e2eproxy.proxy.holding import Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: In the place of a method's name, where none had to do with it.
NO_METHOD: Final = "none"
#: Upper bounds of the buckets of a latency, in seconds.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Failures that are logged in a minute; the rest are counted.
LINES_A_MINUTE: Final = 60
MINUTE: Final = 60.0
#: The name of the count of failures, here since the log says it as well.
FAILURES: Final = "e2eproxy_failures_total"


class Fate(enum.Enum):
    """What became of a stanza."""

    PASSED = "passed"
    CHANGED = "changed"
    PROTECTED = "protected"
    TAKEN = "taken"
    REFUSED = "refused"
    UNSENT = "unsent"
    MARKED = "marked"
    OPENED = "opened"
    UNREADABLE = "unreadable"
    ABSORBED = "absorbed"
    DROPPED = "dropped"
    REPLACED = "replaced"


@frozen
class Row:
    """What a fate means, in *words*; whether it happens without a method, and with each one."""

    words: str
    alone: bool = True
    by_method: bool = False


#: By direction: what can become of a stanza.
FATES: Final[dict[Direction, dict[Fate, Row]]] = {
    Direction.OUT: {
        Fate.PASSED: Row("left unencrypted, as policy lets it"),
        Fate.CHANGED: Row("left unencrypted with less in it: what is allowed, or the bare condition"),
        Fate.PROTECTED: Row("left as the method made it", alone=False, by_method=True),
        Fate.TAKEN: Row("was for the proxy itself"),
        Fate.REFUSED: Row("went back to the client as an error", by_method=True),
        Fate.UNSENT: Row("was still here when the connection ended; the user is told", by_method=True),
    },
    Direction.IN: {
        Fate.PASSED: Row("went to the client as it came"),
        Fate.CHANGED: Row("went to the client with the id or the text that the client knows"),
        Fate.MARKED: Row("came in the clear where it should not have, and was marked"),
        Fate.OPENED: Row("was opened by the method", alone=False, by_method=True),
        Fate.ABSORBED: Row("was the method's own, with nothing in it to be shown", alone=False, by_method=True),
        Fate.UNREADABLE: Row(
            "could not be opened: a placeholder was shown, or its sender told", alone=False, by_method=True
        ),
        Fate.TAKEN: Row("answered the proxy"),
        Fate.DROPPED: Row("was forged, and dropped"),
        Fate.REPLACED: Row("was over the limits, and replaced"),
    },
}  # fmt: skip


class Why(enum.Enum):
    """Why a stanza failed. Those of policy have the names that policy has for them (``policy.Reason``)."""

    NO_METHOD = "no-method"
    NOT_DISCOVERED = "not-discovered"
    KEY = "key"
    FINISHED = "finished"
    KIND = "kind"
    UNREADABLE = "unreadable"
    UNKNOWN_KIND = "unknown-kind"
    BAD_ADDRESS = "bad-address"
    NOTHING_LEFT = "nothing-left"
    MALFORMED = "malformed"
    METHOD = "method"
    UNFIT = "unfit"
    NO_ROOM = "no-room"
    OVERDUE = "overdue"
    ENDED = "ended"
    NOT_STORED = "not-stored"
    NOT_TAKEN = "not-taken"
    NOT_ACKNOWLEDGED = "not-acknowledged"
    NOT_OPENED = "not-opened"
    FORGED = "forged"
    TOO_LARGE = "too-large"


#: By direction: what fails a stanza, in words that stand behind "a stanza failed:".
WHY: Final[dict[Direction, dict[Why, str]]] = {
    Direction.OUT: {
        Why.NO_METHOD: "encryption is required, and there is none for the contact",
        Why.NOT_DISCOVERED: "encryption is required, and it was not found out in time whether there is one",
        Why.KEY: "the contact's key is new or not verified",
        Why.FINISHED: "the contact ended the session",
        Why.KIND: "policy does not let this kind leave",
        Why.UNREADABLE: "the proxy cannot read its own settings",
        Why.UNKNOWN_KIND: "the proxy does not know this kind",
        Why.BAD_ADDRESS: "the address is none",
        Why.NOTHING_LEFT: "nothing of it may leave",
        Why.MALFORMED: "it cannot be read",
        Why.METHOD: "the encryption method did not take it",
        Why.UNFIT: "what the encryption method made of it cannot be sent",
        Why.NO_ROOM: "too many wait for the contact already",
        Why.OVERDUE: "it waited too long",
        Why.ENDED: "the connection ended before it left",
        Why.NOT_STORED: "the store could not be written to",
        Why.NOT_TAKEN: "the server does not take what is sent",
        Why.NOT_ACKNOWLEDGED: "the connection ended before the server acknowledged it",
    },
    Direction.IN: {
        Why.NOT_OPENED: "the encryption method could not open it",
        Why.NO_ROOM: "too many wait from the contact already",
        Why.OVERDUE: "what it needed did not come in time",
        Why.ENDED: "the connection ended before it was opened",
        Why.FORGED: "it was forged",
        Why.TOO_LARGE: "it is over the limits",
    },
}


class Latency:
    """How often something took how long."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count what took *seconds*; a clock that was set back makes no negative ones."""
        seconds = max(seconds, 0.0)
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def cumulated(self) -> list[int]:
        """By bucket, the last one without a bound: how many took at most so long."""
        return list(accumulate(self._counts))


class Tally:
    """The daemon's; *methods* are the names of all there are, *now* gives seconds."""

    __slots__ = (
        "_began", "_bugs", "_failures", "_holds", "_latencies", "_left_out", "_logged", "_now", "_stanzas",
        "methods", "passed_in", "passed_out",
    )  # fmt: skip
    _log = Logger()

    def __init__(self, methods: Sequence[str], now: Callable[[], float]) -> None:
        self.methods = tuple(methods)
        self._now = now
        #: Stanzas that nobody looked into.
        self.passed_out = 0
        self.passed_in = 0
        names = (NO_METHOD, *self.methods)
        self._stanzas = {
            (name, direction, fate): 0
            for direction, fates in FATES.items()
            for fate, row in fates.items()
            for name in ((NO_METHOD,) if row.alone else ()) + (self.methods if row.by_method else ())
        }
        both = [(name, direction) for name in names for direction in Direction]
        self._holds = dict.fromkeys(both, 0)
        self._latencies = {one: Latency() for one in both}
        self._failures = {(direction, why): 0 for direction, whys in WHY.items() for why in whys}
        self._bugs = dict.fromkeys(self.methods, 0)
        self._began = now()
        self._logged = self._left_out = 0

    # -- for those where it happens --------------------------------------------------------------------------------------

    def stanza(self, direction: Direction, fate: Fate, method: str = NO_METHOD) -> None:
        """One stanza had this fate."""
        self._stanzas[method, direction, fate] += 1

    def took(self, direction: Direction, method: str, since: float) -> None:
        """One stanza that stood in a line is done with now; it has been there *since*."""
        self._latencies[method, direction].add(self._now() - since)

    def held(self, direction: Direction, method: str = NO_METHOD) -> None:
        """One stanza has to wait."""
        self._holds[method, direction] += 1

    def failed(self, direction: Direction, why: Why, method: str = NO_METHOD, count: int = 1) -> None:
        """*Count* stanzas failed."""
        self._failures[direction, why] += count
        if count and self._may_log():
            self._log.info(
                "a stanza failed: {what} (direction {direction}, reason {reason}, method {method}, {count} times)",
                what=WHY[direction][why],
                metric=FAILURES,
                direction=direction.value,
                reason=why.value,
                method=method,
                count=count,
            )

    def bug(self, method: str) -> None:
        """A method did what it must not; whoever found out logs it."""
        self._bugs[method] += 1

    def _may_log(self) -> bool:
        now = self._now()
        if not 0 <= now - self._began < MINUTE:
            left_out, self._left_out = self._left_out, 0
            self._began, self._logged = now, 0
            if left_out:
                self._log.warn(
                    "{count} more failures of stanzas were counted only", metric=FAILURES, count=left_out
                )
        if self._logged >= LINES_A_MINUTE:
            self._left_out += 1
            return False
        self._logged += 1
        return True

    # -- for those who read it -------------------------------------------------------------------------------------------

    def stanzas(self) -> Iterator[tuple[tuple[str, Direction, Fate], int]]:
        """Yield how many stanzas each method, direction and fate has had."""
        unseen = {Direction.OUT: self.passed_out, Direction.IN: self.passed_in}
        for key, count in self._stanzas.items():
            yield key, count + (unseen[key[1]] if key[2] is Fate.PASSED else 0)

    def holds(self) -> Iterator[tuple[tuple[str, Direction], int]]:
        """Yield how many stanzas have had to wait, by method and direction."""
        yield from self._holds.items()

    def latencies(self) -> Iterator[tuple[tuple[str, Direction], Latency]]:
        """Yield how long stanzas stood in lines, by method and direction."""
        yield from self._latencies.items()

    def failures(self) -> Iterator[tuple[tuple[Direction, Why], int]]:
        """Yield how many stanzas failed, by direction and reason."""
        yield from self._failures.items()

    def bugs(self) -> Iterator[tuple[str, int]]:
        """Yield how often each method did what it must not."""
        yield from self._bugs.items()
