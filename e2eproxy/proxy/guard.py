"""The pipeline that decides: one guard for each stream, all guards of an account around one desk.

A guard puts the two halves together (``outgoing``, ``incoming``), does what engines want done, and brings the network's
answers, presence and timers to them. What it emits for a method never carries anything the user wrote (the fence in front of
the engine sees to that), and everything still leaves through the stream's one way to the server (law 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import frozen
from twisted.logger import Logger

from e2eproxy.errors import RemoteError
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.proxy import sticky
from e2eproxy.proxy.classify import Scene
from e2eproxy.proxy.desk import Desk, Equipped
from e2eproxy.proxy.holding import Lines
from e2eproxy.proxy.incoming import Incoming, IncomingStanzas
from e2eproxy.proxy.outgoing import Outgoing, OutgoingStanzas
from e2eproxy.xmpp import names
from e2eproxy.xmpp.archive_queries import ArchiveQueries
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.login import Account
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.proxy.rules import Rules
    from e2eproxy.xmpp.pieces import Element

#: The address notices come from, and to which nothing ever goes out.
PROXY: Final = JID.parse("e2eproxy.localhost")
#: Notices of one guard in a minute; the rest are counted.
NOTICES_A_MINUTE: Final = 20
#: Questions of methods to the network that may be open at once on one stream.
MOST_QUESTIONS: Final = 1_000


@frozen
class _Question:
    """What a method asked the network: its token, whom, and what gives up waiting."""

    lane: Lane
    token: str
    to: JID
    late: IDelayedCall


class Guards:
    """Makes the guards of all streams. *equip* gives an account its methods; *rules* are policy's, for all accounts."""

    def __init__(self, clock: IReactorTime, equip: Callable[[JID], Sequence[Equipped]], rules: Rules) -> None:
        self.clock = clock
        self._equip = equip
        self._rules = rules
        self._desks: dict[JID, Desk] = {}
        self._guards: dict[JID, Guard] = {}
        self._timers: dict[tuple[JID, str, str], IDelayedCall] = {}

    def __call__(self, ways: Ways) -> Guard:
        """Make the guard of a new stream; what ``ClientListener`` takes as ``make_pipeline``."""
        return Guard(self, ways)

    def enter(self, own: JID, guard: Guard) -> Desk:
        """Register *guard* as that of the full JID *own*; return the account's desk."""
        self._guards[own] = guard
        account = own.bare
        if account not in self._desks:
            self._desks[account] = Desk(account, self._equip(account), self._rules, self._apply)
        return self._desks[account]

    def leave(self, own: JID, guard: Guard) -> None:
        """Take *guard* off the register, unless another stream has taken its address."""
        if self._guards.get(own) is guard:
            del self._guards[own]

    def _apply(self, lane: Lane, event: events.Event, effects: Sequence[e.Effect]) -> None:
        own = getattr(event, "own", None)
        account = lane.harness.context.account
        guard = self._guards.get(own) if own is not None else None
        if guard is None:
            guard = next((one for jid, one in self._guards.items() if jid.bare == account), None)
        for effect in effects:
            if isinstance(effect, e.SetTimer):
                self._set_timer(lane, account, effect)
            elif guard is not None:
                target = self._guards.get(getattr(effect, "own", None) or JID("", ""), guard)
                target.do(lane, event, effect)
        if guard is not None:
            guard.settle(event)

    def _set_timer(self, lane: Lane, account: JID, wanted: e.SetTimer) -> None:
        key = (account, lane.name, wanted.name)
        old = self._timers.pop(key, None)
        if old is not None and old.active():
            old.cancel()
        if wanted.seconds is not None:
            self._timers[key] = self.clock.callLater(
                max(wanted.seconds, 0.0), lane.tell, events.Timer(name=wanted.name)
            )


class Guard:
    """One stream's pipeline."""

    _log = Logger()

    def __init__(self, guards: Guards, ways: Ways) -> None:
        self._guards = guards
        self._ways = ways
        self._clock = guards.clock
        self._own = JID("", "")
        self._desk: Desk | None = None
        self._out: OutgoingStanzas | None = None
        self._in: IncomingStanzas | None = None
        self._out_lines: Lines[Outgoing] = Lines()
        self._in_lines: Lines[Incoming] = Lines()
        self._questions: dict[str, _Question] = {}
        self._rooms: set[JID] = set()
        self._sweep: IDelayedCall | None = None
        self._notices: list[float] = []
        self.dropped = 0

    # -- the pipeline's interface -------------------------------------------------------------------------------------

    def bound(self, account: Account) -> None:
        """Take note whose stream this is. Raises RemoteError for an address that cannot be prepared."""
        self._own = own = JID.parse(account.full_jid)
        self._desk = desk = self._guards.enter(own, self)
        self._queries = ArchiveQueries(own.bare)
        self._out = OutgoingStanzas(
            desk,
            self._ways,
            self._out_lines,
            scene=self._scene,
            now=self._clock.seconds,
            schedule=self._schedule,
        )
        self._in = IncomingStanzas(
            desk,
            self._ways,
            self._in_lines,
            self._queries,
            own=own,
            proxy=PROXY,
            now=self._clock.seconds,
            dropped=self._drop,
        )
        desk.tell_all(events.Starting(own=own))

    def must_see(self, element: Element) -> bool:
        """Look into whatever may hold something a method is to open."""
        return self._desk is not None and bool(self._desk.lanes) and element.name != names.PRESENCE

    def from_client(self, element: Element, root: bytes) -> bytes | None:
        """Take a stanza of the client."""
        if self._out is None:
            return None
        stanza = Stanza.of(element, root)
        try:
            self._queries.sent(stanza)
        except RemoteError:
            self._log.debug("a query of the client could not be read")
        raw = self._out.take(stanza)
        self._look_after()
        return raw

    def from_server(self, element: Element, root: bytes) -> bytes | None:
        """Take a stanza of the server."""
        if self._in is None or self._desk is None:
            return None
        stanza = Stanza.of(element, root)
        if stanza.kind == "iq" and self._answered(stanza):
            return None
        if stanza.kind == "presence":
            self._seen(stanza)
        raw = self._in.take(stanza)
        self._look_after()
        return raw

    def closed(self, *, orderly: bool) -> None:
        """Give back what has not left, deliver what was not opened in time, and tell the engines."""
        if self._sweep is not None and self._sweep.active():
            self._sweep.cancel()
        for question in self._questions.values():
            question.late.cancel()
        self._questions.clear()
        if self._desk is None or self._out is None or self._in is None:
            return
        # In good order the goodbyes of the engines still go by this stream.
        self._desk.tell_all(events.Stopping(own=self._own) if orderly else events.Interrupted(own=self._own))
        self._guards.leave(self._own, self)
        for _, _, out in self._out_lines.empty():
            self._out.undeliverable(out.item)
        for _, _, held in self._in_lines.empty():
            self._in.overdue(held.item, "the connection ended")
        self._out = self._in = None

    # -- what engines want done ---------------------------------------------------------------------------------------

    def do(self, lane: Lane, event: events.Event, effect: e.Effect) -> None:
        """Do one visible effect of *event*."""
        if self._out is None or self._in is None or self._desk is None:
            return
        if isinstance(event, events.Outbound) and self._out.outcome(lane, event, effect):
            return
        if isinstance(event, events.Inbound) and self._in.outcome(event, effect):
            return
        match effect:
            case e.Emit():
                self._emit(lane, effect)
            case e.Ask():
                self._ask(lane, effect)
            case e.Consult(token=token, backend=backend):
                why = f"There is no {backend} here."
                lane.tell(events.Consulted(token=token, outcome=events.Outcome.ERROR, why=why))
            case e.Retry(contact=contact):
                # Not at once: the rest of this event's effects come first.
                self._clock.callLater(0, self._retry, contact.bare)
            case _:
                self._note(lane, effect, self._desk)

    def _note(self, lane: Lane, effect: e.Effect, desk: Desk) -> None:
        """Take note of what a method has to say, and tell the user what he has to know."""
        match effect:
            case e.SessionChanged():
                desk.session(lane.name, effect)
            case e.ProvedReading(contact=contact):
                desk.remember(contact.bare, sticky.peer_proved(desk.memory(contact)))
            case e.Tell(text=text):
                self.tell(text)
            case _:
                self._log.error(
                    "{method} wanted {what} where it cannot be", method=lane.name, what=type(effect)
                )

    def settle(self, event: events.Event) -> None:
        """Take note that all effects of *event* are done."""
        if isinstance(event, events.Outbound) and self._out is not None:
            self._out.settle(event.ref)
        elif isinstance(event, events.Inbound) and self._in is not None:
            self._in.settle(event.ref)
        self._look_after()

    def _emit(self, lane: Lane, emit: e.Emit) -> None:
        """Send what a method says for itself; a key for the user's texts goes to accepted keys only."""
        view = self._desk.views[lane.name] if self._desk is not None else None
        if view is None or not all(view.usable(emit.to.bare, key) for key in emit.keys):
            self._log.warn("{method} wanted to give a key away to one that is not accepted", method=lane.name)
            return
        head = {"to": str(emit.to), "type": emit.type or None, "id": emit.id or uuid4().hex}
        self._ways.to_server(build(emit.kind, head, emit.payload))

    def _retry(self, contact: JID) -> None:
        if self._out is not None and self._in is not None:
            self._out.retry(contact)
            self._in.retry(contact)
            self._look_after()

    def _ask(self, lane: Lane, ask: e.Ask) -> None:
        if len(self._questions) >= MOST_QUESTIONS:
            lane.tell(events.Answer(own=self._own, token=ask.token, outcome=events.Outcome.TIMEOUT))
            return
        identifier = uuid4().hex
        late = self._clock.callLater(ask.timeout, self._late, identifier)
        self._questions[identifier] = _Question(lane, ask.token, ask.to or self._own.bare, late)
        to = None if ask.to is None else str(ask.to)
        self._ways.to_server(build("iq", {"to": to, "type": ask.type, "id": identifier}, ask.payload))

    def _late(self, identifier: str) -> None:
        question = self._questions.pop(identifier)
        question.lane.tell(events.Answer(own=self._own, token=question.token, outcome=events.Outcome.TIMEOUT))

    # -- what the network brings --------------------------------------------------------------------------------------

    def _answered(self, stanza: Stanza) -> bool:
        """Whether *stanza* answers a question of a method, from whom was asked; then the method has it."""
        question = self._questions.get(stanza.id or "")
        if question is None or stanza.type not in {"result", "error"}:
            return False
        sender = _jid(stanza.from_) if stanza.from_ is not None else self._own.bare
        if sender is None or (sender != question.to and not self._same_place(sender, question.to)):
            return False
        del self._questions[stanza.id or ""]
        question.late.cancel()
        outcome = events.Outcome.RESULT if stanza.type == "result" else events.Outcome.ERROR
        question.lane.tell(
            events.Answer(
                own=self._own,
                token=question.token,
                outcome=outcome,
                stanza=stanza,
                condition=_condition(stanza),
            )
        )
        return True

    def _same_place(self, sender: JID, asked: JID) -> bool:
        """Whether our own account and its server answered for each other, as servers do for their users."""
        return {sender, asked} <= {self._own.bare, self._own}

    def _seen(self, stanza: Stanza) -> None:
        peer = _jid(stanza.from_)
        if peer is None or self._desk is None or not peer.full or stanza.type not in {None, "unavailable"}:
            return
        available = stanza.type is None
        if not available:
            self._desk.gone(peer)
        self._desk.tell_all(events.PeerPresence(own=self._own, peer=peer, available=available))

    def _scene(self) -> Scene:
        return Scene(own=self._own, rooms=self._rooms, proxy=PROXY)

    # -- time, and the user -------------------------------------------------------------------------------------------

    def _schedule(self, seconds: float, function: Callable[[], None]) -> None:
        self._clock.callLater(seconds, function)

    def _look_after(self) -> None:
        """See to it that what waits does not wait for ever."""
        if self._sweep is not None and self._sweep.active():
            return
        deadlines = [at for at in (self._out_lines.deadline(), self._in_lines.deadline()) if at is not None]
        if deadlines:
            self._sweep = self._clock.callLater(
                max(0.0, min(deadlines) - self._clock.seconds()), self._overdue
            )

    def _overdue(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        if self._out is None or self._in is None:
            return
        for direction, contact, held in list(self._out_lines.overdue(now)):
            self._out.overdue(held.item, held.waiting)
            self._out_lines.retry(direction, contact)
        for direction, contact, waited in list(self._in_lines.overdue(now)):
            self._in.overdue(waited.item, waited.waiting)
            self._in_lines.retry(direction, contact)
        self._look_after()

    def tell(self, text: str) -> None:
        """Tell the user something, from the proxy's own address; a flood of notices is counted instead."""
        now = self._clock.seconds()
        self._notices = [at for at in self._notices if at > now - 60]
        if len(self._notices) >= NOTICES_A_MINUTE:
            self._log.warn("a notice was left out, there were too many in a minute")
            return
        self._notices.append(now)
        body = element("body", {"xmlns": names.CLIENT}, escape_text(text).encode())
        attributes = {"from": str(PROXY), "to": str(self._own), "type": "chat", "id": uuid4().hex}
        self._ways.to_client(build("message", attributes, body))

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        self._log.warn("a forged stanza was dropped: {reason}", reason=reason)
        if self.dropped == 1:
            self.tell(
                f"A forged stanza was dropped and not shown. {reason} More of them will only be counted."
            )


def _jid(text: str | None) -> JID | None:
    try:
        return None if text is None else JID.parse(text)
    except BadJID:
        return None


def _condition(stanza: Stanza) -> str:
    """Return the defined condition of an error, empty for a result."""
    try:
        errors = stanza.all(names.CLIENT + names.SEPARATOR + "error")
    except RemoteError:
        return ""
    found = (names.split_name(child.name) for error in errors for child in error.children)
    return next((local for namespace, local in found if namespace == names.STANZA_ERRORS), "")
