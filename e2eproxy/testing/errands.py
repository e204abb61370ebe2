"""What a simulated device has under way: questions without an answer yet, timers, stanzas that wait (all in memory)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.events import Inbound, Outbound
    from e2eproxy.testing.clock import Call, FakeClock
    from e2eproxy.xmpp.jid import JID

Direction = Literal["in", "out"]


@frozen
class _Question:
    token: str
    to: JID
    timeout: Call


class Errands:
    """See the module; one for each life of a device."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with nothing under way."""
        self._clock = clock
        self._questions: dict[str, _Question] = {}
        self._timers: dict[str, Call] = {}
        self._held: dict[tuple[Direction, JID], list[Inbound | Outbound]] = {}

    def forget(self) -> None:
        """Give everything up."""
        for call in [*self._timers.values(), *(one.timeout for one in self._questions.values())]:
            call.cancel()
        self._timers.clear()
        self._questions.clear()
        self._held.clear()

    def ask(self, token: str, identifier: str, to: JID, timeout: float, late: Callable[[], None]) -> None:
        """Remember a question; *late* is called if *timeout* seconds bring no answer."""
        if any(one.token == token for one in self._questions.values()):
            raise AssertionError(f"the token {token} is in use")
        self._questions[identifier] = _Question(token, to, self._clock.call_later(timeout, late))

    def answered(self, identifier: str, peer: JID) -> str | None:
        """The token of the question that an answer by *peer* ends, or None if there is none: only who was asked may."""
        question = self._questions.get(identifier)
        if question is None or question.to != peer:
            return None
        question.timeout.cancel()
        del self._questions[identifier]
        return question.token

    def asked(self, identifier: str) -> bool:
        """Whether the question with this IQ id is open."""
        return identifier in self._questions

    def timer(self, name: str, seconds: float | None, action: Callable[[], None]) -> None:
        """Set the timer *name*, or take it away."""
        if name in self._timers:
            self._timers.pop(name).cancel()
        if seconds is not None:
            self._timers[name] = self._clock.call_later(seconds, action)

    def waits(self, direction: Direction, contact: JID) -> bool:
        """Whether something is held, so that what comes now has to queue behind it."""
        return bool(self._held.get((direction, contact)))

    def hold(self, direction: Direction, contact: JID, event: Inbound | Outbound) -> None:
        """Put *event* behind what waits already."""
        self._held.setdefault((direction, contact), []).append(evolve(event, again=True))

    def held(self, contact: JID) -> list[Inbound | Outbound]:
        """Take out all that waits for *contact*, in order."""
        return self._held.pop(("in", contact), []) + self._held.pop(("out", contact), [])

    @property
    def waiting(self) -> int:
        """How many stanzas are held."""
        return sum(len(queue) for queue in self._held.values())
