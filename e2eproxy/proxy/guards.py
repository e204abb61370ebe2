"""The pipelines of all streams, and what is shared by those of one account: its desk, its engines' timers.

An account's cabinet is opened when its first stream is bound, and let go a while after its last one ended. What an engine
wants done goes to the guard of the stream the event belongs to; if that has ended, to another one of the account.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import define, field
from twisted.logger import Logger

from e2eproxy.errors import LocalError, StreamError
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Context
from e2eproxy.methods.harness import Bug, Harness
from e2eproxy.proxy.cabinet import TWICE_WITHIN, Cabinet, purge
from e2eproxy.proxy.computations import Computations
from e2eproxy.proxy.desk import Desk, Equipped
from e2eproxy.proxy.guard import Guard
from e2eproxy.proxy.history import Histories, Told
from e2eproxy.proxy.in_conversation import InConversation
from e2eproxy.proxy.notices import PROXY
from e2eproxy.proxy.rules import client_speaks
from e2eproxy.proxy.tally import Tally
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.jid import JID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from e2eproxy.methods.door import Method
    from e2eproxy.proxy.computations import InThread
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.notes import Note
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.proxy.rules import Rules
    from e2eproxy.proxy.steering import Steering
    from e2eproxy.trust.transaction import Loaded
    from e2eproxy.trust.values import KeySeen
    from e2eproxy.trust.writer import Writer

#: Seconds between two looks for what has been kept long enough.
PURGE_EVERY: Final = 86_400.0
#: Seconds that an account stays open after its last stream: what was sent last may be sent again.
OPEN_AFTER: Final = TWICE_WITHIN


@define(eq=False)
class _Open:
    """An account that is open, or being opened: *waiting* are told when it is, or why it cannot be."""

    desk: Desk
    waiting: list[Guard] | None = field(factory=list)
    why_not: str = ""
    closing: IDelayedCall | None = None
    earlier: Loaded | None = None


class Guards:
    """Makes the guards of all streams.

    *methods* are those an account is equipped with; *wall* gives seconds since 1970, *random* secret bytes, in any thread.
    *in_thread* calls a slow function elsewhere. *steering* makes what takes the users' words to the proxy, which is the contact
    *proxy*. *settings* are the methods' own, by name; another one holds from an account's next login on.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        writer: Writer,
        rules: Rules,
        methods: Sequence[Method],
        *,
        wall: Callable[[], float],
        random: Callable[[int], bytes],
        in_thread: InThread,
        steering: Callable[[Guards], Steering],
        settings: Mapping[str, Mapping[str, str]] | None = None,
        proxy: JID = PROXY,
    ) -> None:
        self.clock = clock
        self.proxy = proxy
        self.rules = rules
        self._writer = writer
        self._methods = methods
        self.tally = Tally([method.traits.name for method in methods], clock.seconds)
        self._wall = wall
        self._random = random
        self.settings = settings or {}
        self._open: dict[JID, _Open] = {}
        self._stopped = False
        self._guards: dict[JID, Guard] = {}
        self._timers: dict[tuple[JID, str, str], IDelayedCall] = {}
        self._computations = Computations(in_thread)
        self._purging: IDelayedCall | None = None
        self.histories = Histories()
        self.steering = steering(self)

    def start(self) -> None:
        """Begin to remove, from time to time, what has been kept long enough."""
        self._purging = self.clock.callLater(PURGE_EVERY, self._purge)

    def _purge(self) -> None:
        now = self._wall()
        self._writer.run(lambda work: purge(work, now)).addErrback(
            lambda failure: self._log.failure("what is old could not be removed", failure)
        )
        self.start()

    def __call__(self, ways: Ways) -> Guard:
        """Make the guard of a new stream; what ``ClientListener`` takes as ``make_pipeline``."""
        return Guard(self, ways)

    # -- accounts ----------------------------------------------------------------------------------------------------

    def enter(self, own: JID, guard: Guard) -> None:
        """Register *guard* as that of the full JID *own*; it hears by ``opened`` or ``stopped`` when it can begin.

        Raises StreamError if the account's server has the very domain that the proxy's contact has.
        """
        if own.domain == self.proxy.domain:
            raise StreamError(
                "not-authorized",
                f"The proxy's own contact has the name of this account's server, {self.proxy}: choose another one with "
                "contact_name in the proxy's configuration, and restart it.",
            )
        self._guards[own] = guard
        known = self._open.get(own.bare)
        if known is None:
            known = self._open[own.bare] = self._new(own.bare)
            opening = known.desk.cabinet.open()
            opening.addCallbacks(self._opened, self._not_opened, callbackArgs=(known,), errbackArgs=(known,))
            opening.addErrback(lambda failure: self._log.failure("this is a bug in e2eproxy", failure))
        if known.closing is not None:
            known.closing.cancel()
            known.closing = None
        if known.waiting is not None and guard not in known.waiting:
            known.waiting.append(guard)
        elif known.waiting is None:
            self._begin(guard, known)

    def _new(self, account: JID) -> _Open:
        def learnt(seen: KeySeen) -> None:
            self._learnt(account, seen)

        cabinet = Cabinet(self._writer, account, self.rules, self._wall, learnt)
        inside = InConversation(self._random)
        return _Open(Desk(cabinet, self.rules, self, partial(self._tell, account), inside))

    def _opened(self, loaded: Loaded, known: _Open) -> None:
        desk = known.desk
        if self._stopped:
            return
        desk.remember_earlier(loaded)
        named = self.rules.methods(str(desk.account))
        desk.equip([self._equipped(one, desk.cabinet) for one in self._methods if one.traits.name in named])
        known.earlier = loaded
        self._ready(known)

    def _equipped(self, method: Method, cabinet: Cabinet) -> Equipped:
        name = method.traits.name
        view = cabinet.view(name)
        context = Context(
            account=cabinet.account,
            view=view,
            clock=self._wall,
            random=self._random,
            settings=self.settings.get(name, {}),
        )
        return Equipped(Harness(method, context, self._bug), view)

    def _bug(self, bug: Bug) -> None:
        self.tally.bug(bug.method)
        self._log.error(
            "the method {method} has a bug: at {event} {what} {where}",
            method=bug.method,
            event=bug.event,
            what=bug.what,
            where=bug.where,
        )

    def _not_opened(self, failure: Failure, known: _Open) -> None:
        error = failure.value
        if not isinstance(error, LocalError):
            self._log.failure("an account could not be opened", failure)
        known.why_not = str(error) if isinstance(error, LocalError) else "the store could not be read"
        self._log.error("{account}: {why}", account=str(known.desk.account), why=known.why_not)
        known.desk.refuse_all(known.why_not)
        self._ready(known)

    def _ready(self, known: _Open) -> None:
        if self._stopped:
            return
        waiting, known.waiting = known.waiting or [], None
        for guard in waiting:
            self._begin(guard, known)

    def _begin(self, guard: Guard, known: _Open) -> None:
        earlier, known.earlier = known.earlier, None
        known.desk.speaks = client_speaks(self.rules, known.desk.account)
        guard.opened(known.desk, known.why_not)
        doubtful = () if earlier is None else _peers(earlier)
        if doubtful:
            # The stream that sent them ended with an earlier daemon.
            known.desk.tell_all(events.Interrupted(own=guard.own, doubtful=doubtful))
        known.desk.tell_all(events.Starting(own=guard.own))

    def leave(self, own: JID, guard: Guard) -> None:
        """Take *guard* off the register, unless another stream has taken its address."""
        if self._guards.get(own) is guard:
            del self._guards[own]
        known = self._open.get(own.bare)
        if known is None:
            return
        if known.waiting is not None and guard in known.waiting:
            known.waiting.remove(guard)
        if known.closing is None and not self.of(own.bare):
            known.desk.logged_out()
            # What could not be opened may be by the next login.
            after = 0.0 if known.why_not else OPEN_AFTER
            known.closing = self.clock.callLater(after, self._close, own.bare)

    def has(self, own: JID, guard: Guard) -> bool:
        """Whether *guard* is that of *own*: another stream may have taken its address, and put it out."""
        return self._guards.get(own) is guard

    def of(self, account: JID) -> list[Guard]:
        """Return the guards of the account's streams."""
        return [guard for jid, guard in self._guards.items() if jid.bare == account]

    @property
    def all(self) -> Iterable[Guard]:
        """The guards of all streams."""
        return self._guards.values()

    def heard(self, account: JID, text: str) -> None:
        """Take note that *account* was told *text*."""
        self.histories.add(account, Told(self._wall(), text))

    # -- for those who steer -------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> tuple[JID, ...]:
        """The accounts that are open."""
        return tuple(self._open)

    @property
    def methods(self) -> Sequence[Method]:
        """All methods there are."""
        return self._methods

    @property
    def writer(self) -> Writer:
        """The one that changes the store."""
        return self._writer

    def desk(self, account: JID) -> tuple[Desk | None, str]:
        """Return the desk of *account*, None if it is not open or being opened, and why nothing of it can leave."""
        known = self._open.get(account)
        if known is None or known.waiting is not None:
            return None, ""
        return known.desk, known.why_not

    def state(self, account: JID) -> str:
        """Return how the open *account* is: "opening", "open", or "refused" if nothing of it can leave."""
        known = self._open[account]
        if known.waiting is not None:
            return "opening"
        return "refused" if known.why_not else "open"

    def let_go(self, account: JID) -> bool:
        """Close *account* now if no stream of it is there; return whether it is closed."""
        known = self._open.get(account)
        if known is None:
            return True
        if known.waiting is not None or self.of(account):
            return False
        if known.closing is not None:
            known.closing.cancel()
        self._close(account)
        return True

    def _close(self, account: JID) -> None:
        known = self._open.pop(account)
        for key in [key for key in self._timers if key[0] == account]:
            timer = self._timers.pop(key)
            if timer.active():
                timer.cancel()
        for lane in known.desk.lanes.values():
            self._computations.forget(lane)
        if not known.why_not:
            known.desk.cabinet.close()

    def stop(self) -> None:
        """Let nothing happen later: the daemon ends, and an account that is still being opened begins nothing."""
        self._stopped = True
        self._computations.stop()
        if self._purging is not None:
            self._purging.cancel()
            self._purging = None
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        for known in self._open.values():
            if known.closing is not None:
                known.closing.cancel()
        self._timers.clear()

    # -- what engines want done (lane.Apply) ---------------------------------------------------------------------------

    def prepare(self, lane: Lane, event: events.Event, effects: Sequence[e.Effect]) -> Sequence[Note]:
        """Return what has to be durable before the visible *effects* of *event* are done."""
        guard = self._guard_of(lane, event)
        return () if guard is None else guard.prepare(lane, event, effects)

    def unkept(self, lane: Lane, event: events.Event) -> None:
        """Take note that what ``prepare`` returned last for *event* could not be made durable."""
        guard = self._guard_of(lane, event)
        if guard is not None:
            guard.unkept(event)

    def apply(self, lane: Lane, event: events.Event, effects: Sequence[e.Effect]) -> None:
        """Do what can be seen of *event*."""
        guard = self._guard_of(lane, event)
        for effect in effects:
            if isinstance(effect, e.SetTimer):
                self._set_timer(lane, effect)
            elif isinstance(effect, e.Compute):
                self._compute(lane, effect)
            elif isinstance(effect, e.Retry):
                # The engine is the account's, and what waits may be another stream's than the event.
                for one in self.of(lane.harness.context.account):
                    one.do(lane, event, effect)
            elif isinstance(effect, e.SessionChanged) and guard is None:
                # Nobody is there to be told, but the pipeline must not believe in a session that has ended.
                self._session_changed(lane, effect)
            elif guard is not None:
                own = getattr(effect, "own", None)
                target = guard if own is None else self._guards.get(own, guard)
                target.do(lane, event, effect)
        if guard is not None:
            guard.settle(lane, event)

    def _guard_of(self, lane: Lane, event: events.Event) -> Guard | None:
        own = getattr(event, "own", None)
        guard = self._guards.get(own) if own is not None else None
        if guard is not None or isinstance(event, events.Outbound | events.Inbound | events.Stopping):
            # A stanza in the care of a stream that has ended was given back by it; and a goodbye is that stream's own,
            # from no other address would it be understood.
            return guard
        others = self.of(lane.harness.context.account)
        return others[0] if others else None

    def _session_changed(self, lane: Lane, change: e.SessionChanged) -> None:
        known = self._open.get(lane.harness.context.account)
        if known is not None:
            known.desk.session(lane.name, change)

    def _compute(self, lane: Lane, wanted: e.Compute) -> None:
        known = self._open.get(lane.harness.context.account)
        if known is not None and known.desk.lanes.get(lane.name) is lane:
            self._computations.begin(lane, wanted)

    def _set_timer(self, lane: Lane, wanted: e.SetTimer) -> None:
        key = (lane.harness.context.account, lane.name, wanted.name)
        old = self._timers.pop(key, None)
        if old is not None and old.active():
            old.cancel()
        if wanted.seconds is not None:
            self._timers[key] = self.clock.callLater(
                max(wanted.seconds, 0.0), self._timer, key, lane, events.Timer(name=wanted.name)
            )

    def _timer(self, key: tuple[JID, str, str], lane: Lane, event: events.Timer) -> None:
        self._timers.pop(key, None)
        lane.tell(event)

    def _learnt(self, account: JID, seen: KeySeen) -> None:
        """Tell the user of a key that was not seen before."""
        if not seen.new:
            return
        name, whom = seen.key.fingerprint, seen.key.contact
        if seen.key.decision is Decision.TOFU:
            text = f"First key of {whom}: {name}. It was taken unseen; compare it with the person to be sure."
        else:
            text = (
                f"A NEW KEY of {whom}: {name}. It is not used until you accept it"
                f" (/e2e trust {name.text}), which you should only do after asking the person."
            )
        self._tell(account, text, JID.parse(whom))

    def _tell(self, account: JID, text: str, contact: JID | None = None) -> None:
        for guard in self.of(account):
            guard.tell(text, contact)


def _peers(loaded: Loaded) -> tuple[JID, ...]:
    found: dict[JID, None] = {}
    for sent in loaded.unacknowledged:
        found[JID.parse(sent.to)] = None
    return tuple(found)
