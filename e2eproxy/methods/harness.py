"""Between the pipeline and an engine: what a method does wrong ends safely, and is reported as its bug.

Laws 1, 4 and 6: an engine that raises something other than RemoteError, answers an event without a disposition, or makes
something visible before what it depends on is durable, does not bring down the stream and lets nothing out in clear:
an outbound stanza goes back to the client, an inbound one becomes a placeholder, and the engine is made anew from
what was persisted.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from attrs import frozen

from e2eproxy.errors import RemoteError
from e2eproxy.methods.effects import (
    DURABLE,
    Absorb,
    Ask,
    Compute,
    Decline,
    Deliver,
    Effect,
    Emit,
    Hold,
    Persist,
    Return,
    Send,
    Tell,
    Tone,
    Unreadable,
)
from e2eproxy.methods.events import Answer, Command, Computed, Consulted, Inbound, Outbound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from e2eproxy.methods.door import Context, Engine, Method
    from e2eproxy.methods.events import Event

MOST_EFFECTS = 1000
"""One event may not have more effects than this."""

_SENT = (Send, Ask)
_OUTBOUND_ONLY = (Send, Return)
_INBOUND_ONLY = (Deliver, Unreadable, Absorb)
_Disposition = Send | Ask | Deliver | Absorb | Unreadable | Hold | Return | Decline


@frozen(kw_only=True)
class Bug:
    """A method's fault: which one, at what event (its class's name), ``what`` happened (no text of messages), and where."""

    method: str
    event: str
    what: str
    where: str


class Harness:
    """One engine behind its fence; it has the engine's interface and never raises."""

    def __init__(self, method: Method, context: Context, report: Callable[[Bug], None]) -> None:
        """Make the engine of *method*. *report* hears of each bug."""
        self.method = method
        self.context = context
        self._report = report
        self._engine: Engine | None = None
        self._make()

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.traits.name

    @property
    def engine(self) -> Engine | None:
        """The engine, for the test bench; None if it cannot be made."""
        return self._engine

    def forget(self) -> None:
        """Make the engine anew from what is persisted: a commit of what it wanted kept has failed."""
        self._make()

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Return the engine's effects, or a safe outcome where it failed."""
        if self._engine is None:
            self._make()
        if self._engine is None:
            return safe_outcome(event, self._text("cannot be started"))
        try:
            effects = tuple(self._engine.handle(event))
            faults = contract_faults(self.context, event, effects)
        except RemoteError as error:
            return refused(event, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises has to end here, and is reported
            return self._failed(event, f"it raised {type(error).__name__}", where_of(error))
        if faults:
            return self._failed(event, "; ".join(faults), "")
        return effects

    def compute(self, wanted: Compute, random: Callable[[int], bytes] | None = None) -> Computed | Bug:
        """Do the work of *wanted*, in whatever thread this is called; never raises. ``computed`` takes what it returns.

        *random* is the work's own; without it the context's.
        """
        try:
            result: object = wanted.work(random or self.context.random)
        except RemoteError as error:
            return Computed(name=wanted.name, result=None, why=str(error))
        except Exception as error:  # noqa: BLE001 - as in handle
            return self._computation_bug(f"its work raised {type(error).__name__}", where_of(error))
        if not isinstance(result, bytes):
            return self._computation_bug("its work returned no bytes", "")
        return Computed(name=wanted.name, result=result)

    def _computation_bug(self, what: str, where: str) -> Bug:
        return Bug(method=self.name, event=Compute.__name__, what=what, where=where)

    def computed(self, wanted: Compute, done: Computed | Bug) -> Computed:
        """Return what the engine is told of *wanted*, which came to *done*; a bug is reported, so not in another thread."""
        if isinstance(done, Computed):
            return done
        self._report(done)
        return Computed(name=wanted.name, result=None, why=self._text("failed; this is a bug of the method"))

    def _failed(self, event: Event, what: str, where: str) -> tuple[Effect, ...]:
        self._report(Bug(method=self.name, event=type(event).__name__, what=what, where=where))
        self._make()
        return safe_outcome(event, self._text("failed; this is a bug of the method"))

    def _text(self, what: str) -> str:
        return f"The encryption method {self.method.traits.title} {what}."

    def _make(self) -> None:
        try:
            self._engine = self.method.engine(self.context)
        except Exception as error:  # noqa: BLE001 - as in handle
            self._engine = None
            self._report(
                Bug(
                    method=self.name,
                    event="start",
                    what=f"its engine raised {type(error).__name__}",
                    where=where_of(error),
                )
            )


def where_of(error: BaseException) -> str:
    """File and line where *error* was raised, without its text, which may hold a secret (law 8)."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def refused(event: Event, why: str) -> tuple[Effect, ...]:
    """What a RemoteError with the text *why* comes to."""
    match event:
        case Inbound(ref=ref):
            return (Unreadable(ref=ref, why=why),)
        case Outbound(ref=ref):
            return (Return(ref=ref, condition="not-acceptable", why=why),)
        case Answer() | Command() | Consulted() | Computed():
            return (Tell(contact=None, text=why, tone=Tone.WARNING),)
        case _:
            return ()


def safe_outcome(event: Event, why: str) -> tuple[Effect, ...]:
    """What happens in the place of whatever a broken method would have done: nothing leaves, nothing vanishes."""
    match event:
        case Inbound(ref=ref):
            return (Unreadable(ref=ref, why=why),)
        case Outbound(ref=ref):
            return (Return(ref=ref, condition="internal-server-error", why=why),)
        case _:
            return (Tell(contact=None, text=why, tone=Tone.WARNING),)


def contract_faults(context: Context, event: Event, effects: tuple[Effect, ...]) -> list[str]:
    """What *effects* have that the door forbids, each as a phrase without any content."""
    faults = []
    if not all(isinstance(one, Effect) for one in effects):
        faults.append("it returned what is no effect")
    if len(effects) > MOST_EFFECTS:
        faults.append(f"it returned more than {MOST_EFFECTS} effects")
    if late := _late_durable(effects):
        faults.append(f"{late} stands behind something visible")
    about = [one for one in effects if isinstance(one, _Disposition) and one.ref is not None]
    faults += _disposition_faults(event, about)
    faults += _address_faults(context, event, effects)
    if any(isinstance(one, Persist) and not one.key for one in effects):
        faults.append("a record has no key")
    return faults


def _late_durable(effects: Collection[Effect]) -> str:
    visible = False
    for one in effects:
        if not isinstance(one, DURABLE):
            visible = True
        elif visible:
            return type(one).__name__
    return ""


def _disposition_faults(event: Event, about: list[_Disposition]) -> list[str]:
    if not isinstance(event, Inbound | Outbound):
        return ["it disposed of a stanza that is not the event's"] if about else []
    if any(one.ref != event.ref for one in about):
        return ["it disposed of a stanza that is not the event's"]
    if not about:
        return ["it did not say what becomes of the stanza"]
    wrong = _INBOUND_ONLY if isinstance(event, Outbound) else (*_OUTBOUND_ONLY, Ask)
    if any(isinstance(one, wrong) for one in about):
        return ["it disposed of a stanza of the other direction"]
    repeatable = _SENT if isinstance(event, Outbound) else (Deliver,)
    if len(about) > 1 and not all(isinstance(one, repeatable) for one in about):
        return ["it disposed of the stanza in two ways"]
    return []


def _address_faults(context: Context, event: Event, effects: Collection[Effect]) -> list[str]:
    """What leaves for anybody but the one the user wrote to, or for nobody's key."""
    faults = []
    for one in effects:
        if not isinstance(one, _SENT) or one.ref is None or not isinstance(event, Outbound):
            continue
        to = one.to or context.account
        if to.bare != event.peer.bare or (event.peer.full and to.full and to != event.peer):
            faults.append("it sent the stanza to somebody else")
        if not one.keys and not (isinstance(one, Send) and one.pending):
            faults.append("it sent the stanza without naming a key")
    if isinstance(event, Outbound) and any(
        isinstance(one, Emit) and _quotes(event, one.payload) for one in effects
    ):
        faults.append("it sent the user's text in a stanza of its own")
    return faults


def _quotes(event: Outbound, payload: bytes) -> bool:
    """Whether *payload* holds the user's text as it stands: no proof of innocence, but a cheap alarm."""
    return any(child.text.strip() and child.raw in payload for child in event.stanza.children)
