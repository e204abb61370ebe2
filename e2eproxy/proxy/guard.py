"""One stream's pipeline: it decides about each stanza, and does what engines want done.

It puts the two halves together (``outgoing``, ``incoming``) and brings the network's answers, presence and time to them.
Everything still leaves through the stream's one way to the server (law 1). Law 4: while a stanza of the client's is
neither sent nor stored nor given back, nothing later of the client's is looked at; so whatever the client hears of a later
one, it can rely on the earlier.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from e2eproxy.errors import RemoteError, StreamError
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.proxy import leftovers, quick
from e2eproxy.proxy.announcing import Announcing
from e2eproxy.proxy.errands import Errands
from e2eproxy.proxy.farewell import Farewell
from e2eproxy.proxy.greeting import Greeting
from e2eproxy.proxy.holding import Direction, Lines
from e2eproxy.proxy.incoming import IncomingStanzas
from e2eproxy.proxy.notices import Notices
from e2eproxy.proxy.outgoing import OutgoingStanzas
from e2eproxy.proxy.overdue import Deadlines
from e2eproxy.proxy.pipeline import NO_CARE, Care, Kept
from e2eproxy.proxy.questions import Questions
from e2eproxy.proxy.sightings import Sightings
from e2eproxy.proxy.surroundings import Surroundings
from e2eproxy.proxy.tally import Fate, Why
from e2eproxy.proxy.unacknowledged import Unacknowledged
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, prepared
from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2eproxy.proxy.arriving import Incoming
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.guards import Guards
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.login import Account
    from e2eproxy.proxy.notes import Note
    from e2eproxy.proxy.on_its_way import Outgoing
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.xmpp.pieces import Element

#: Bytes of the server's stanzas that may wait for the account to be opened.
MOST_ARRIVED: Final = 8 * 1024 * 1024
#: What asks for a full look at every stanza of a guard that is not open.
NOT_OPEN: Final = (True,)


class Guard:
    """One stream's pipeline."""

    _log = Logger()

    def __init__(self, guards: Guards, ways: Ways) -> None:
        self._guards = guards
        self._ways = ways
        self._clock = guards.clock
        self._tally = guards.tally
        self._proxy, self._domain = guards.proxy, guards.proxy.domain
        self.own = JID("", "")
        self.desk: Desk | None = None
        self._out: OutgoingStanzas | None = None
        self._in: IncomingStanzas | None = None
        self._unacknowledged: Unacknowledged | None = None
        self._out_lines: Lines[Outgoing] = Lines()
        self._in_lines: Lines[Incoming] = Lines()
        # What came while the account was being opened, or the client's while an earlier stanza was not safe.
        self._intake: deque[Stanza] = deque()
        self._arrived: deque[tuple[Stanza, Kept]] = deque()
        self._arrived_bytes = 0
        # While anything is in one of these, every stanza is looked at in full. Before the account is open, and after the end,
        # that is always so.
        self._attention: tuple[object, ...] = NOT_OPEN
        self._ending: Callable[[], None] | None = None
        self._farewell = Farewell(guards.clock)
        self._draining = False
        self._paused = False
        self._closed = False
        # None without a method that announces anything.
        self._announcing: Announcing | None = None
        self._greeting: Greeting | None = None
        self._deadlines = Deadlines(guards.clock, (self._out_lines, self._in_lines), self._overdue)

    # -- the pipeline's interface -------------------------------------------------------------------------------------

    def bound(self, account: Account) -> None:
        """Take note whose stream this is. Raises RemoteError for an address that cannot be prepared, or not be served."""
        self.own = own = JID.parse(account.full_jid)
        self._around = around = Surroundings(own, self._send, proxy=self._proxy)
        self._questions = Questions(own, self._clock, self._send)
        heard = partial(self._guards.heard, own.bare)
        self._notices = Notices(own, self._ways, self._clock, heard, proxy=self._proxy, rooms=around.rooms)
        self._errands = Errands(own, self._questions, self._send, self.tell)
        self._sightings = Sightings(
            own,
            self._clock,
            self._questions,
            is_contact=around.is_contact,
            came=self._came,
            retry=self._retry,
        )
        self._guards.enter(own, self)

    def opened(self, desk: Desk, why_not: str) -> None:
        """Begin: the account's cabinet is open, or (*why_not*, a sentence) cannot be, and everything is refused."""
        self.desk = self._notices.desk = desk
        self._sightings.opened(desk)
        around = self._around
        around.opened(desk)
        self._unacknowledged = Unacknowledged(desk, self._ways, self.own)
        self._out = OutgoingStanzas(
            desk,
            self._ways,
            self._out_lines,
            self._unacknowledged,
            scene=around.scene,
            nodes=self._sightings.nodes,
            now=self._clock.seconds,
            schedule=self._schedule,
            safe=self._drain,
            taken=self._take_command,
            wanted=self._sightings.wanted,
            may_offer=around.roster.gets_our_presence,
            tally=self._tally,
            tell=self.tell,
        )
        self._in = IncomingStanzas(
            desk,
            self._ways,
            self._in_lines,
            around.queries,
            own=self.own,
            proxy=self._proxy,
            now=self._clock.seconds,
            dropped=self._notices.dropped,
            may_answer=around.may_answer,
            rooms=lambda: around.rooms.jids,
            tally=self._tally,
        )
        if any(lane.harness.method.traits.announces for lane in desk.lanes.values()):
            self._announcing = Announcing(
                self.own,
                desk.announces,
                proxy=self._proxy,
                to_client=self.reply,
                later=self._schedule,
                go_on=self._go_on,
                may_know=around.may_know,
            )
        self._greeting = greeting = Greeting(desk, self._clock, self._notices, why_not, around.ask_roster)
        waits = (self._intake, self._out_lines.by_contact, self._in_lines.by_contact)
        self._attention = (*desk.attention, *waits, greeting.reports, self._questions.pending)
        while self._arrived:
            stanza, kept = self._arrived.popleft()
            raw = self._dispatch(stanza)
            if isinstance(raw, Kept):
                raw.then(kept.release)
                continue
            if raw is not None:
                self._ways.to_client(raw)
            kept.release()
        self._drain()

    def must_see(self, element: Element) -> bool:
        """Look into whatever may hold something a method is to open."""
        replaced = element.name != names.PRESENCE and (self.desk is None or bool(self.desk.lanes))
        # It is asked once for each.
        self._tally.stanza(Direction.IN, Fate.REPLACED if replaced else Fate.PASSED)
        if replaced:
            self._tally.failed(Direction.IN, Why.TOO_LARGE)
        return replaced

    def from_client(self, element: Element, root: bytes) -> bytes | None:
        """Take a stanza of the client."""
        desk = self.desk
        lenient = desk if desk is not None and not any(self._attention) and desk.lenient() else None
        if lenient and quick.may_leave(element, self._domain) and lenient.leaves_unasked(element):
            self._tally.passed_out += 1
            return element.raw
        stanza = Stanza.of(element, root)
        if self._greeting is not None and self._greeting.reports:
            self._greeting.read()
        if self._out is None or self._intake or self._out.exposed:
            self._intake.append(stanza)
            self._pause()
            return None
        return self._take(stanza, self._out)

    def _take(self, stanza: Stanza, out: OutgoingStanzas) -> bytes | None:
        if self._announcing is not None:
            if self._announcing.answered(stanza):
                self._tally.stanza(Direction.OUT, Fate.TAKEN)
                return None
            mine = self._announcing.from_client(stanza)
            if mine is None:
                return None
            stanza = mine
        try:
            if self._around.from_client(stanza) and self._greeting is not None:
                self._greeting.present()
        except RemoteError:
            self._log.debug("a stanza of the client could not be read")
        raw = out.take(stanza)
        self._look_after()
        if out.exposed:
            self._pause()
        return raw

    def from_server(self, element: Element, root: bytes) -> bytes | Kept | None:
        """Take a stanza of the server."""
        desk = self.desk
        lenient = desk if desk is not None and not any(self._attention) and desk.lenient() else None
        if lenient and quick.may_enter(element, self._domain) and lenient.enters_unasked(element):
            self._tally.passed_in += 1
            return element.raw
        stanza = Stanza.of(element, root)
        if self._in is None:
            return self._arrives_early(stanza)
        return self._dispatch(stanza)

    def _arrives_early(self, stanza: Stanza) -> Kept:
        """Keep a stanza that came before the account is open, or never take it: then the server still has it."""
        kept = Kept()
        if self._closed:
            return kept
        self._arrived_bytes += len(stanza.raw)
        if self._arrived_bytes > MOST_ARRIVED:
            raise StreamError("resource-constraint", "More came than can wait for the account to be opened.")
        self._arrived.append((stanza, kept))
        return kept

    def acknowledged(self, items: Sequence[Care]) -> None:
        """Take note of what the server has."""
        if self._unacknowledged is not None:
            self._unacknowledged.acknowledged(items)

    def refused(self, care: Care) -> None:
        """Give back what could not be sent."""
        self._tally.failed(Direction.OUT, Why.NOT_TAKEN)
        if self._unacknowledged is not None:
            self._unacknowledged.refused(care)

    def lost(self, items: Sequence[Care]) -> None:
        """Give back or report what may not have arrived, and tell the engines whose it was."""
        if self._unacknowledged is None or self.desk is None:
            return
        self._tally.failed(Direction.OUT, Why.NOT_ACKNOWLEDGED, count=len(items) - items.count(NO_CARE))
        doubtful = self._unacknowledged.lost(items)
        if doubtful:
            self.desk.tell_all(events.Interrupted(own=self.own, doubtful=doubtful))

    def ending(self, done: Callable[[], None]) -> None:
        """Let the client's stream end when nothing of it is in memory alone, and the engines have said goodbye."""
        self._ending = done
        if self._announcing is not None:
            self._announcing.give_up()
        self._drain()

    def closed(self, *, orderly: bool) -> None:
        """Give back what has not left, deliver what was not opened in time, and tell the engines."""
        self._closed = True
        self._attention = NOT_OPEN
        self._ending = None
        self._deadlines.stop()
        if self._greeting is not None:
            self._greeting.close()
        self._farewell.cancel()
        if self._in is not None and self.desk is not None and not self._farewell.begun and self._is_current:
            # Without ``ending`` before, the server has ended its stream: what a goodbye needs stored comes too late for it.
            self.desk.tell_all(events.Stopping(own=self.own) if orderly else events.Interrupted(own=self.own))
        self._questions.close()
        self._give_back_waiting()
        if self._announcing is not None:
            # Nobody answers any more; what waits has come before all that is in the intake.
            self._announcing.give_up()
        for stanza in self._intake:
            self._unlooked(stanza)
        self._intake.clear()
        for _, _, held in self._in_lines.empty():
            if self._in is not None:
                self._in.overdue(held.item, "the connection ended", Why.ENDED)
        self._out = self._in = None
        self._guards.leave(self.own, self)
        self._guards.steering.left(self.own)

    def _give_back_waiting(self) -> None:
        for _, _, held in self._out_lines.empty():
            if self._out is not None:
                self._out.undeliverable(held.item)

    def _unlooked(self, stanza: Stanza) -> None:
        """Give back, or report, a stanza that was not even looked at."""
        self._tally.failed(Direction.OUT, Why.ENDED)
        self._tally.stanza(Direction.OUT, Fate.UNSENT)
        cabinet = None if self.desk is None else self.desk.cabinet
        leftovers.unlooked(stanza, self.own, self._ways, cabinet)

    # -- the client's ----------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._ways.pause_client()

    def _drain(self) -> None:
        """Let what came meanwhile have its turn, as far as what is before it is safe."""
        if self._draining or self._closed or self._out is None:
            # It is on its way already, further up: what is done here may make more safe.
            return
        self._draining = True
        try:
            while self._intake and not self._out.exposed:
                stanza = self._intake.popleft()
                raw = self._take(stanza, self._out)
                if raw is not None:
                    self._ways.to_server(raw, Care(stanza=stanza))
        finally:
            self._draining = False
        if not self._intake and not self._out.exposed:
            self._all_safe()

    def _go_on(self, stanzas: Sequence[Stanza]) -> None:
        """Let stanzas that have waited for what the client announces have their turn."""
        self._intake.extendleft(reversed(stanzas))
        self._drain()

    def _all_safe(self) -> None:
        if self._paused:
            self._paused = False
            self._ways.resume_client()
        ending, self._ending = self._ending, None
        if ending is not None and self.desk is not None:
            # First, so that nothing of it can begin a session behind the goodbyes.
            self._give_back_waiting()
            if self._is_current:
                self._farewell.begin(self.desk, self.own, ending)
            else:
                ending()

    @property
    def _is_current(self) -> bool:  # whether the engines' sessions of this address are this stream's
        return self._guards.has(self.own, self)

    def _take_command(self, item: Outgoing) -> None:
        """Do what the user told the proxy, and answer; never silently."""
        self._guards.steering.take(item.stanza, item.contact, self)

    def _came(self, peer: JID) -> None:
        if self._out is not None:
            self._out.appeared(peer)
            # It may say now what it can do, and a text may be waiting for that.
            self._clock.callLater(0, self._retry, peer.bare)

    # -- what engines want done ---------------------------------------------------------------------------------------

    def prepare(self, lane: Lane, event: events.Event, effects: Sequence[e.Effect]) -> Sequence[Note]:
        """Return what has to be durable before ``do`` does them."""
        if isinstance(event, events.Outbound) and self._out is not None:
            return self._out.prepare(lane, event, effects)
        if isinstance(event, events.Inbound) and self._in is not None:
            return self._in.prepare(event, effects)
        return ()

    def unkept(self, event: events.Event) -> None:
        """Take note that what ``prepare`` returned last for *event* could not be made durable."""
        if isinstance(event, events.Inbound) and self._in is not None:
            self._in.unkept(event)

    def do(self, lane: Lane, event: events.Event, effect: e.Effect) -> None:
        """Do one visible effect of *event*."""
        if self._out is None or self._in is None or self.desk is None:
            return
        if isinstance(event, events.Outbound) and self._out.outcome(lane, event, effect):
            return
        if isinstance(event, events.Inbound) and self._in.outcome(event, effect):
            return
        if isinstance(effect, e.Retry):
            # Not at once: the rest of this event's effects come first.
            self._clock.callLater(0, self._retry, effect.contact.bare)
        elif isinstance(effect, e.Repeat):
            self._schedule(0, partial(self._repeat, effect.ref, lane))
        else:
            self._errands.do(lane, effect, self.desk)

    def settle(self, lane: Lane, event: events.Event) -> None:
        """Take note that all effects of *event* are done."""
        if isinstance(event, events.Outbound) and self._out is not None:
            self._out.settle(lane, event.ref)
        elif isinstance(event, events.Inbound) and self._in is not None:
            self._in.settle(event.ref)
        elif isinstance(event, events.Stopping):
            self._farewell.said(lane.name)
        self._look_after()

    def _repeat(self, ref: events.Ref, lane: Lane) -> None:
        if self._out is not None:
            self._out.repeat(ref, lane)
            self._look_after()

    def _retry(self, contact: JID) -> None:
        if self._out is not None and self._in is not None:
            self._out.retry(contact)
            self._in.retry(contact)
            self._look_after()

    def _send(self, raw: bytes) -> None:
        self._ways.to_server(raw, NO_CARE)

    # -- what the network brings --------------------------------------------------------------------------------------

    def _dispatch(self, stanza: Stanza) -> bytes | Kept | None:
        if self._in is None:
            return None
        if stanza.kind == "iq":
            if self._questions.answered(stanza) or self._around.of_roster(stanza) or self._is_asked(stanza):
                self._tally.stanza(Direction.IN, Fate.TAKEN)
                return None
        elif stanza.type == "error" and self._errands.emitted(stanza.id):
            # The client never sent that; its engine hears of a peer that is not there by presence and timers.
            self._tally.stanza(Direction.IN, Fate.TAKEN)
            return None
        if stanza.kind == "presence":
            self._sightings.presence(stanza)
        raw = self._in.take(stanza)
        self._look_after()
        return raw

    def _is_asked(self, stanza: Stanza) -> bool:
        """Whether *stanza* asks for what only the proxy announced; it is answered then."""
        answer = None if self._announcing is None else self._announcing.answer(stanza)
        if answer is None or self._out is None or self.desk is None:
            return False
        # By the door that the client's own answer would leave by, which knows what was asked.
        self.desk.saw(prepared(stanza.from_) or self.own.bare, stanza.id)
        raw = self._out.take(answer)
        if raw is not None:
            self._send(raw)
        return True

    # -- time, and the user -------------------------------------------------------------------------------------------

    def _schedule(self, seconds: float, function: Callable[[], None]) -> None:
        self._clock.callLater(seconds, lambda: None if self._closed else function())

    def _look_after(self) -> None:
        if not self._closed:
            self._deadlines.look()

    def _overdue(self) -> None:
        now = self._clock.seconds()
        if self._out is None or self._in is None:
            return
        for direction, contact, held in list(self._out_lines.overdue(now)):
            self._out.overdue(held.item, held.waiting)
            self._out_lines.retry(direction, contact)
            self._out.go_on(contact)
        for direction, contact, waited in list(self._in_lines.overdue(now)):
            self._in.overdue(waited.item, waited.waiting)
            self._in_lines.retry(direction, contact)
            self._in.go_on(contact)
        self._look_after()

    def tell(self, text: str, contact: JID | None = None) -> None:
        """Tell the user something, about *contact* if it is about one."""
        if not self._closed:
            self._notices.tell(text, contact)

    def answer(self, text: str) -> None:
        """Show the user what answers his own words to the proxy."""
        if not self._closed:
            self._notices.answer(text)

    def reply(self, raw: bytes) -> None:
        """Send the client a stanza of the proxy's own."""
        if not self._closed:
            self._ways.to_client(raw)

    @property
    def waiting(self) -> int:
        """How many stanzas wait here, in either direction, but for words to the proxy."""
        return sum(self.waits.values())

    @property
    def waits(self) -> dict[Direction, int]:
        """The same by direction."""
        lines = self._out_lines.by_contact.items()
        out = sum(len(line.held) for (_, to), line in lines if to != self._proxy) + len(self._intake)
        out += 0 if self._announcing is None else len(self._announcing.waiting)
        return {Direction.OUT: out, Direction.IN: len(self._in_lines)}
