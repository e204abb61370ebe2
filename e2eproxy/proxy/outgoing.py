"""The client's stanzas on their way out: what policy decides about each, and the one door they leave by.

Law 1: nothing here writes to the server what policy did not clear or a method did not make. Laws 3 and 4: a stanza that
waits holds back later ones to its contact alone, and each one leaves, or waits with a notice, or comes back as an error with
its own id. Law 5: what does not leave at once is stored before anything later of the client's may leave, and what a
method made is stored under both its ids, in one transaction with the method's own state, before it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods.events import Outbound, Ref
from e2eproxy.proxy import leftovers, sticky
from e2eproxy.proxy.classify import classify
from e2eproxy.proxy.holding import NO_ROOM, Direction
from e2eproxy.proxy.ids import Pair
from e2eproxy.proxy.kinds import KINDS, Kind
from e2eproxy.proxy.lately import Lately
from e2eproxy.proxy.literal import literal
from e2eproxy.proxy.making import make
from e2eproxy.proxy.notes import Leaves, Waits
from e2eproxy.proxy.on_its_way import Outgoing, line_of
from e2eproxy.proxy.outer import bare_answer, bare_refusal, new_id, with_offer
from e2eproxy.proxy.overdue import Waking
from e2eproxy.proxy.patience import Patience
from e2eproxy.proxy.pipeline import Care
from e2eproxy.proxy.policy import Outcome, Reason, Ruling, unprotected
from e2eproxy.proxy.refusals import refusal
from e2eproxy.proxy.rulings import IN_SESSION, Rulings
from e2eproxy.proxy.shapes import Ids
from e2eproxy.proxy.tally import FATES, NO_METHOD, Fate, Why
from e2eproxy.proxy.trim import trimmed
from e2eproxy.proxy.waits import Waits as DiscoveryWaits
from e2eproxy.xmpp.client_error import error_to_client
from e2eproxy.xmpp.jid import prepared
from e2eproxy.xmpp.spans import BadElement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from e2eproxy.proxy.classify import Scene
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.holding import Lines
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.notes import Note
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.proxy.tally import Tally
    from e2eproxy.proxy.unacknowledged import Unacknowledged
    from e2eproxy.trust.values import SentId
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

_NOT_AGAIN: Final = "Not sent. The contact could not read it, and it cannot be encrypted again."
_NOT_STORED: Final = "Not sent: the store could not be written to."


class OutgoingStanzas:
    """The outbound half of a guard.

    *now*: seconds, for waiting. *schedule(seconds, function)* calls back later. *scene* says what is known when a stanza
    is classified, *nodes* which disco nodes a contact announced. *safe* is called when nothing is ``exposed`` any more.
    *taken* gets what is for the proxy itself, *wanted* is told to whom a text is about to go.
    *tally* counts what becomes of them, *tell* tells the user. *may_offer* says whether a contact may learn from a text in clear
    that we could encrypt: one that gets our presence.
    """

    def __init__(
        self,
        desk: Desk,
        ways: Ways,
        lines: Lines[Outgoing],
        unacknowledged: Unacknowledged,
        *,
        scene: Callable[[], Scene],
        nodes: Callable[[JID], Collection[str]],
        now: Callable[[], float],
        schedule: Callable[[float, Callable[[], None]], None],
        safe: Callable[[], None],
        taken: Callable[[Outgoing], None],
        wanted: Callable[[JID], None],
        may_offer: Callable[[JID], bool],
        tally: Tally,
        tell: Callable[[str, JID], None],
    ) -> None:
        self._desk = desk
        self._ways = ways
        self._lines = lines
        self._scene = scene
        self._nodes = nodes
        self._now = now
        self._safe = safe
        self._taken = taken
        self._wanted = wanted
        self._may_offer = may_offer
        self._tally = tally
        self._waits = DiscoveryWaits()
        self._patience = Patience(lines, now, schedule, tell)
        self._rulings = Rulings(desk, self._waits, now)
        self._under_way: dict[Ref, Outgoing] = {}
        self._waking = Waking(schedule, self.retry)
        # What leaves as soon as the store knows of it.
        self._leaving: set[Ref] = set()
        # What neither server nor store nor client has yet.
        self._exposed: set[Ref] = set()
        self._unacknowledged = unacknowledged
        self._lately = Lately()

    @property
    def exposed(self) -> bool:
        """Whether a stanza is in memory only: nothing later of the client's may leave before it is safe (law 4)."""
        return bool(self._exposed)

    def take(self, stanza: Stanza) -> bytes | None:
        """Take a stanza of the client; return it if it leaves as it came and at once, else None."""
        scene = self._scene()
        try:
            meant = literal(stanza)
            tree = stanza.tree if meant is None else meant.tree
        except BadElement as error:
            self._tally.failed(Direction.OUT, Why.MALFORMED)
            self._tally.stanza(Direction.OUT, Fate.REFUSED)
            self._ways.to_client(bare_refusal(stanza, str(error)))
            return None
        stanza = meant or stanza
        if self._desk.inside.takes(stanza, tree, self._ways):
            self._tally.stanza(Direction.OUT, Fate.TAKEN)
            return None
        found = classify(tree, scene, self._ids(prepared(stanza.to) or scene.own), literal=meant is not None)
        if found.encrypted is not None:
            self._desk.suggestion.spoke(found.encrypted.systems)
        contact = (found.to or scene.own).bare
        answers = self._desk.opened.answered_by(contact, tree) if KINDS[found.kind].answer else None
        line = line_of(stanza, found, contact, scene.proxy)
        item = Outgoing(Ref(uuid4().hex), stanza, found, contact, line, answers)
        if not self._lines.standing(Direction.OUT, item.line):
            ruling = self._rulings.of(item)
            if ruling.outcome is Outcome.PASS:
                self._used(item, ruling)
                self._tally.stanza(Direction.OUT, Fate.PASSED)
                return stanza.raw
        self._enter(item)
        return None

    def _enter(self, item: Outgoing) -> None:
        """Let *item* stand in its line, and leave if it need not wait."""
        now = self._now()
        if not self._lines.join(Direction.OUT, item.line, item, len(item.stanza.raw), now):
            self._give_back(item, Why.NO_ROOM, "resource-constraint", f"Not sent: {NO_ROOM}.")
            return
        item.since = now
        self._exposed.add(item.ref)
        self._patience.begin(item)
        self.go_on(item.line)
        if item.ref in self._exposed and item.ref not in self._under_way and item.ref not in self._leaving:
            self._hold(item)

    def _ids(self, contact: JID, outer: str | None = None) -> Ids:
        return Ids(outer=outer, of_peer=self._desk.seen(contact), nodes=self._nodes(contact))

    def _hold(self, item: Outgoing) -> None:
        """Store *item*, which has to wait."""
        item.held = True
        noting = self._desk.cabinet.note(Waits(held=item.to_be_held(self._desk.cabinet)))
        noting.addCallbacks(lambda _: self._is_safe(item), lambda _: self._not_stored(item))

    def _not_stored(self, item: Outgoing) -> None:
        """Give back a stanza that has to wait and cannot be stored, unless a method has it: that will fail as well."""
        item.held = False
        if item.ref in self._exposed and self._lines.remove(Direction.OUT, item.line, item):
            self._give_back(item, Why.NOT_STORED, "internal-server-error", _NOT_STORED)
            self.go_on(item.line)

    def _is_safe(self, item: Outgoing) -> None:
        if item.ref in self._exposed:
            self._exposed.discard(item.ref)
            if not self._exposed:
                self._safe()

    def go_on(self, line: JID) -> None:
        """Let the stanzas in *line* have their turn, as far as they need not wait."""
        while (held := self._lines.next(Direction.OUT, line)) is not None:
            self._try(held.item)

    def retry(self, contact: JID) -> None:
        """Let what waits for *contact* try again."""
        for line in self._lines.of(Direction.OUT, contact):
            self._lines.retry(Direction.OUT, line)
            self.go_on(line)

    def repeat(self, ref: Ref, lane: Lane) -> None:
        """Let *lane* have what left under *ref* once more, if that was a moment ago."""
        item = self._lately.take(ref, self._now())
        if item is not None and item.lane is lane:
            again = Outgoing(Ref(uuid4().hex), item.stanza, item.found, item.contact, item.line, item.answers)
            again.repeated = True
            self._enter(again)

    def overdue(self, item: Outgoing, why: str) -> None:
        """Give back a stanza that has waited too long."""
        text = f"Not sent: it waited too long ({why or 'for its turn'})."
        self._give_back(item, Why.OVERDUE, "remote-server-timeout", text)

    def undeliverable(self, item: Outgoing) -> None:
        """Give back a stanza that is still here when the stream ends, or report it if the client has gone."""
        made = [outer for _, outer in item.made]
        self._forget(item)
        if self._ways.client_there:
            text = "Not sent: the connection ended first."
            self._give_back(item, Why.ENDED, "recipient-unavailable", text, Fate.UNSENT)
            if made:
                self._desk.cabinet.settled(sent=made)
        else:
            lines = leftovers.unsent(item.stanza, str(item.contact), self._desk.cabinet.now())
            self._desk.cabinet.report(lines, held=[item.ref] if item.held else [], sent=made)
            self._tally.failed(Direction.OUT, Why.ENDED, item.method)
            self._count(item, Fate.UNSENT)
            self._is_safe(item)

    # -- policy --------------------------------------------------------------------------------------------------------

    def _try(self, item: Outgoing) -> None:
        ruling = self._rulings.of(item)
        match ruling.outcome:
            case Outcome.PASS if item.repeated:
                # It was written to be encrypted, and was.
                self._fail(item, Why.METHOD, "not-acceptable", _NOT_AGAIN)
            case Outcome.PASS:
                self._used(item, ruling)
                if item.settled and not item.lanes and not item.required:
                    self._desk.unasked.note(item.stanza)
                self._leave(item, with_offer(item.stanza, item.offer, item.adds), Fate.PASSED)
            case Outcome.PROTECT:
                self._protect(item)
            case Outcome.HOLD | Outcome.WAIT:
                self._wait(item)
            case Outcome.TRIM | Outcome.BARE:
                self._reduced(item, ruling)
            case Outcome.TAKE:
                self._taken(item)
                self._finish(item, Fate.TAKEN)
            case _:
                self._refuse(item, ruling)

    def _protect(self, item: Outgoing) -> None:
        item.lane = self._rulings.able(item)[0]
        before = self._desk.sent_before(item.found.to or item.contact, item.stanza, self._desk.cabinet.now())
        if before is not None and before.outer is not None:
            self._again(item, before, before.outer)
            return
        self._under_way[item.ref] = item
        item.lane.tell(
            Outbound(
                ref=item.ref,
                own=self._scene().own,
                peer=item.found.to or item.contact,
                stanza=item.stanza,
                required=item.required,
                again=item.again,
                repeated=item.repeated,
            )
        )

    def _wait(self, item: Outgoing) -> None:
        setting = self._desk.resolved(item.found).when
        self._waits.begin(item.contact, self._now())
        self._held(item)
        self._lines.wait(Direction.OUT, item.line, "it is found out what the contact can read")
        left = self._waits.until(item.contact, setting) - self._now()
        self._waking.wake(item.contact, max(left, 0.0))
        self._wanted(item.found.to or item.contact)

    def appeared(self, contact: JID) -> None:
        """Take note that *contact* came online: it may be with another client, which is worth another wait."""
        self._waits.presence_session_began(contact.bare)

    def _reduced(self, item: Outgoing, ruling: Ruling) -> None:
        outer = None if item.stanza.id is None else new_id()
        if ruling.outcome is Outcome.BARE:
            raw: bytes | None = bare_answer(item.stanza, item.answers, self._desk.seen(item.contact))
        else:
            tree = self._desk.opened.naming_outer(item.contact, item.stanza.tree)
            raw = trimmed(tree, item.found, self._ids(item.contact, outer))
            if raw is not None and outer is not None:
                self._desk.pairs.note(outer, Pair(item.stanza.id, item.contact, item.stanza))
        if raw is None:
            self._refuse(item, evolve(ruling, outcome=Outcome.REFUSE, reason=Reason.NOTHING_LEFT))
        else:
            self._leave(item, raw, Fate.CHANGED)

    def _refuse(self, item: Outgoing, ruling: Ruling) -> None:
        words = refusal(item.found.kind, ruling, str(item.contact))
        item.lane = None  # policy has it back, whoever had it before
        why = Reason.NOTHING_LEFT if ruling.reason is None else ruling.reason
        self._fail(item, Why(why.value), words.condition, words.text)

    def _used(self, item: Outgoing, ruling: Ruling) -> None:
        if ruling.by_word:
            for contact in item.found.recipients or (item.contact,):
                self._desk.remember(contact, sticky.left_in_clear(self._desk.memory(contact)))

    # -- what a method made of it -------------------------------------------------------------------------------------

    def prepare(self, lane: Lane, event: Outbound, effects: Sequence[e.Effect]) -> Sequence[Note]:
        """Make ready what *lane* decided about a stanza; return what has to be durable before ``outcome`` does it."""
        item = self._under_way.get(event.ref)
        if item is None:
            return ()
        item.made, item.fault = [], None
        carriers = [one for one in effects if isinstance(one, e.Send | e.Ask) and one.ref == event.ref]
        if not all(
            self._desk.views[lane.name].usable(item.contact, key) for one in carriers for key in one.keys
        ):
            no_key = Ruling(outcome=Outcome.REFUSE, reason=Reason.KEY)
            words = refusal(item.found.kind, no_key, str(item.contact))
            item.fault = (Why.KEY, words.condition, words.text)
            return ()
        if carriers:
            return self._made(lane, item, carriers)
        waits = any(isinstance(one, e.Hold) and one.ref == event.ref for one in effects)
        if not waits or item.held:
            return ()
        item.held = True
        return (Waits(held=item.to_be_held(self._desk.cabinet)),)

    def _made(self, lane: Lane, item: Outgoing, carriers: Sequence[e.Send | e.Ask]) -> Sequence[Note]:
        tree = self._desk.opened.naming_outer(item.contact, item.stanza.tree)
        make(lane, item, carriers, tree, lambda outer: self._ids(item.contact, outer))
        return [self._leaves(item, raw, outer) for raw, outer in item.made]

    def _leaves(self, item: Outgoing, raw: bytes | None, outer: str) -> Leaves:
        note = item.leaves(self._desk.cabinet, raw, outer)
        self._unacknowledged.note(note.sent)
        return note

    def outcome(self, lane: Lane, event: Outbound, effect: e.Effect) -> bool:
        """Do what *lane* decided about a stanza in this guard's care; return whether *effect* was such a thing."""
        item = self._under_way.get(event.ref)
        if item is None:
            # It was given back meanwhile: what was to carry it does not leave.
            return getattr(effect, "ref", None) == event.ref
        match effect:
            case e.Ask(ref=ref):
                if ref is None or item.fault is None:
                    return False  # asked like any other, even if it carries the stanza
                self._send(item)
            case e.Send():
                self._send(item)
            case e.Hold(why=why):
                del self._under_way[item.ref]
                item.again = True
                self._held(item)
                self._lines.wait(Direction.OUT, item.line, why)
                self._is_safe(item)
            case e.Return() | e.Decline():
                self._not_taken(lane, item, effect)
            case _:
                return False
        return True

    def _not_taken(self, lane: Lane, item: Outgoing, effect: e.Return | e.Decline) -> None:
        if isinstance(effect, e.Return):
            self._unprotected(item, Why.METHOD, effect.condition, f"Not sent. {effect.why}")
        elif (
            item.answers is not None or self._desk.reach([lane], item.found.to or item.contact) in IN_SESSION
        ):
            # There is a session, so the user believes to be writing in it: clear text would be a surprise.
            self._unprotected(item, Why.METHOD, "not-acceptable", f"Not sent. {effect.why}")
        else:
            item.settled = effect.settled and not effect.adds and item.settled is not False
            del self._under_way[item.ref]
            item.lanes.remove(lane)
            item.lane = None
            if self._may_offer(item.contact):
                item.offer = item.offer or effect.offer
            item.adds += effect.adds
            self._try(item)

    def _send(self, item: Outgoing) -> None:
        if item.fault is not None:
            self._unprotected(item, *item.fault)
            return
        if item.found.kind in {Kind.CHAT, Kind.SELF}:
            self._desk.remember(item.contact, sticky.text_encrypted(self._desk.memory(item.contact)))
        self._lately.note(item, self._now())
        raw, outer = item.made.pop(0)
        self._desk.pairs.note(outer, Pair(item.stanza.id, item.contact, item.stanza))
        self._ways.to_server(raw, Care(stanza=item.stanza, outer_id=outer))

    def _unprotected(self, item: Outgoing, why: Why, condition: str, text: str) -> None:
        """Give back what its method cannot protect; an answer leaves without what was in it: whoever asked waits for it (law 1)."""
        if item.answers is None:
            self._fail(item, why, condition, text)
            return
        del self._under_way[item.ref]
        item.lane = None
        self._reduced(item, unprotected(item.found.kind))

    def _again(self, item: Outgoing, before: SentId, raw: bytes) -> None:
        """Send what was sent before and may not have arrived as the very same bytes, so that nobody reads it twice."""
        sent = evolve(before, sent_at=self._desk.cabinet.now())
        self._unacknowledged.note(sent)
        self._desk.pairs.note(sent.outer_id, Pair(item.stanza.id, item.contact, item.stanza))
        held = item.ref if item.held else None
        self._leave_noted(item, raw, Leaves(sent=sent, stanza=item.stanza.raw, held=held), Fate.PROTECTED)

    def settle(self, lane: Lane, ref: Ref) -> None:
        """Take note that *lane* has said all it has to say about a stanza: unless it waits, the next one's turn."""
        item = self._under_way.get(ref)
        if item is not None and item.lane is lane:
            item.held = False  # what was sent is held no more: that was part of the transaction
            self._finish(item, Fate.PROTECTED)

    # -- the ways it ends ---------------------------------------------------------------------------------------------

    def _leave(self, item: Outgoing, raw: bytes, fate: Fate) -> None:
        """Let *raw*, which policy cleared, leave; if the stanza was held, the store has to know first."""
        if not item.held:
            self._ways.to_server(raw, Care(stanza=item.stanza))
            self._finish(item, fate)
            return
        # Not to be sent again as it is: policy may say otherwise by then.
        self._leave_noted(item, raw, self._leaves(item, None, item.ref), fate)

    def _leave_noted(self, item: Outgoing, raw: bytes, note: Leaves, fate: Fate) -> None:
        self._leaving.add(item.ref)
        outer = note.sent.outer_id
        item.made = [(raw, outer)]

        def noted(_: object) -> None:
            if item.ref in self._leaving:
                item.held, item.made = False, []
                self._ways.to_server(raw, Care(stanza=item.stanza, outer_id=outer))
                self._finish(item, fate)

        def failed(_: object) -> None:
            item.made = []
            self._unacknowledged.forget(outer)
            if item.ref in self._leaving:
                self._fail(item, Why.NOT_STORED, "internal-server-error", _NOT_STORED)

        self._desk.cabinet.note(note).addCallbacks(noted, failed)

    def _fail(self, item: Outgoing, why: Why, condition: str, text: str) -> None:
        self._back(item, why, condition, text)
        self._finish(item, Fate.REFUSED)

    def _finish(self, item: Outgoing, fate: Fate) -> None:
        self._count(item, fate)
        self._forget(item)
        self._lines.done(Direction.OUT, item.line)
        self._let_go(item)
        self.go_on(item.line)

    def _forget(self, item: Outgoing) -> None:
        self._under_way.pop(item.ref, None)
        self._leaving.discard(item.ref)

    def _let_go(self, item: Outgoing) -> None:
        """The client has *item* back, or the server has it."""
        if item.held:
            item.held = False
            self._desk.cabinet.settled(held=[item.ref])
        self._is_safe(item)

    def _give_back(
        self, item: Outgoing, why: Why, condition: str, text: str, fate: Fate = Fate.REFUSED
    ) -> None:
        """Give back a stanza that stands in no line."""
        self._forget(item)
        self._back(item, why, condition, text)
        self._count(item, fate)
        self._let_go(item)

    def _back(self, item: Outgoing, why: Why, condition: str, text: str) -> None:
        self._tally.failed(Direction.OUT, why, item.method)
        raw = error_to_client(item.stanza, condition, text, own=str(self._scene().own))
        if raw is not None:
            self._ways.to_client(raw)

    # -- counting ------------------------------------------------------------------------------------------------------

    def _held(self, item: Outgoing) -> None:
        if not item.waited:
            item.waited = True
            self._tally.held(Direction.OUT, item.method)

    def _count(self, item: Outgoing, fate: Fate) -> None:
        method = item.method if FATES[Direction.OUT][fate].by_method else NO_METHOD
        self._tally.stanza(Direction.OUT, fate, method)
        self._patience.over(item, fate)
        if item.since is not None:
            self._tally.took(Direction.OUT, method, item.since)
