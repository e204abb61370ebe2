"""One method's engine for one account: an event at a time, and what has to be durable before what can be seen.

Keeps law 5. An engine's effects are one unit: its durable ones are committed first, and neither a visible one of this event
nor the next event at all is touched before that. A commit that fails leaves nothing half done: the engine is made anew and
the event ends in its safe outcome.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from attrs import field, frozen
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from e2eproxy.methods.effects import DURABLE
from e2eproxy.methods.events import Outbound
from e2eproxy.methods.harness import safe_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from e2eproxy.methods.door import Engine
    from e2eproxy.methods.effects import Durable, Effect
    from e2eproxy.methods.events import Event, TrustChanged
    from e2eproxy.methods.harness import Harness
    from e2eproxy.proxy.notes import Note

#: Events that may wait for one engine; more than that is somebody's flood.
MOST_WAITING: Final = 10_000


class Keeper(Protocol):
    """Makes the durable effects of one account and method durable."""

    def commit(
        self, method: str, durable: Sequence[Durable], notes: Sequence[Note]
    ) -> Deferred[list[TrustChanged]]:
        """Commit all or nothing; fires with what the engine of *method* has to be told about trust."""


class Apply(Protocol):
    """Does what can be seen of an event; the account's guards do."""

    def prepare(self, lane: Lane, event: Event, effects: Sequence[Effect]) -> Sequence[Note]:
        """Return what has to be durable before the visible *effects* of *event* are done."""

    def unkept(self, lane: Lane, event: Event) -> None:
        """Take note that what ``prepare`` returned last for *event* could not be made durable: nothing may promise it."""

    def apply(self, lane: Lane, event: Event, effects: Sequence[Effect]) -> None:
        """Do them: everything they depend on is durable."""


@frozen
class _Meant:
    """An event for one engine, and no other that is made in its place."""

    engine: Engine | None
    event: Event = field(repr=False)


class Lane:
    """The queue in front of one engine; *world* does what can be seen, *moved* hears of each event that is no Outbound."""

    _log = Logger()

    def __init__(
        self, harness: Harness, keeper: Keeper, world: Apply, moved: Callable[[], None] = lambda: None
    ) -> None:
        self.harness = harness
        self._moved = moved
        self._keeper = keeper
        self._world = world
        self._waiting: deque[Event | _Meant] = deque()
        self._busy = False

    @property
    def name(self) -> str:
        """The method's name."""
        return self.harness.name

    def tell(self, event: Event) -> None:
        """Let the engine have *event*, after those it has not had yet; beyond all bounds it ends safely instead."""
        if len(self._waiting) >= MOST_WAITING:
            why = "Too much is waiting for this encryption method."
            maybeDeferred(self._end_safely, event, why).addErrback(self._our_bug)
            return
        self._waiting.append(event)
        self._go_on()

    def tell_engine(self, engine: Engine | None, event: Event) -> None:
        """As ``tell``, if *engine* is still there when its turn comes; no flood, since it has asked for each of these."""
        self._waiting.append(_Meant(engine, event))
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not self._busy:
            self._busy = True
            ended = maybeDeferred(self._take, self._waiting.popleft()).addErrback(self._our_bug)
            ended.addCallback(self._free)
            if self._busy:
                ended.addCallback(lambda _: self._go_on())

    def _free(self, _: object) -> None:
        self._busy = False

    def _take(self, event: Event | _Meant) -> Deferred[None] | None:
        """Have *event* handled; fires when all of it has been done, and the next may come."""
        if isinstance(event, _Meant):
            return self._take(event.event) if event.engine is self.harness.engine else None
        if not isinstance(event, Outbound):
            self._moved()
        effects = self.harness.handle(event)
        durable = [one for one in effects if isinstance(one, DURABLE)]
        visible = [one for one in effects if not isinstance(one, DURABLE)]
        try:
            notes = self._world.prepare(self, event, visible)
        except Exception:  # noqa: BLE001 - whatever it was, the stanza must not vanish and the next one may not wait
            self._log.failure("this is a bug in e2eproxy")
            return self._instead(event, "This is a bug in e2eproxy; its log says more.")
        if not durable and not notes:
            self._world.apply(self, event, visible)
            return None
        return self._keeper.commit(self.name, durable, notes).addCallbacks(
            self._committed, self._not_committed, callbackArgs=(event, visible), errbackArgs=(event,)
        )

    def _committed(self, changes: Sequence[TrustChanged], event: Event, visible: Sequence[Effect]) -> None:
        self._waiting.extendleft(reversed(changes))
        self._world.apply(self, event, visible)

    def _not_committed(self, failure: Failure, event: Event) -> Deferred[None] | None:
        self._log.failure("what {method} wanted kept could not be stored", failure, method=self.name)
        return self._instead(event, "The store could not be written to.")

    def _instead(self, event: Event, why: str) -> Deferred[None] | None:
        """Nothing of what the engine wanted was done: it is made anew, and *event* ends safely."""
        self.harness.forget()
        return self._end_safely(event, why)

    def _end_safely(self, event: Event, why: str) -> Deferred[None] | None:
        """Do what is done of *event* without the engine; what that wants kept is kept first, if it can be."""
        effects = safe_outcome(event, why)
        notes = self._world.prepare(self, event, effects)
        if not notes:
            self._world.apply(self, event, effects)
            return None
        return (
            self._keeper.commit(self.name, (), notes)
            .addErrback(self._unkept, event)
            .addCallback(lambda _: self._world.apply(self, event, effects))
        )

    def _unkept(self, failure: Failure, event: Event) -> None:
        self._log.failure("what stands for a stanza could not be stored", failure)
        self._world.unkept(self, event)

    def _our_bug(self, failure: Failure) -> None:
        self._log.failure("this is a bug in e2eproxy", failure)
