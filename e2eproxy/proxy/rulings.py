"""What policy says about one stanza of the client's, given what its contact's methods can do just now (law 1).

The decision itself is ``policy``'s; this finds out what that has to be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from e2eproxy.methods.traits import Carries, Scope
from e2eproxy.proxy.kinds import METHOD_KINDS, Kind, Setting
from e2eproxy.proxy.policy import Outcome, Reach, State, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.traits import Traits
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.on_its_way import Outgoing
    from e2eproxy.proxy.policy import Ruling
    from e2eproxy.proxy.rules import Resolved
    from e2eproxy.proxy.waits import Waits
    from e2eproxy.xmpp.jid import JID

#: What a peer that a session is or was with can be reached by.
IN_SESSION: Final = frozenset((Reach.LIVE, Reach.FINISHED))


def _may_have(lane: Lane, item: Outgoing) -> bool:
    """Whether *lane* may be asked at all: an answer to what was opened is for the method that opened it (law 1)."""
    return item.answers is None or lane.name == item.answers.method


def _carries_errors(traits: Traits) -> bool:
    """Whether a method can carry the error that answers a request: outside it is a result, so all of it has to be inside."""
    return METHOD_KINDS[Kind.IQ] in traits.kinds and traits.carries is Carries.STANZA


class Rulings:
    """Those of one stream of *desk*'s account; *waits*: for what is being discovered, *now* gives seconds."""

    def __init__(self, desk: Desk, waits: Waits, now: Callable[[], float]) -> None:
        self._desk = desk
        self._waits = waits
        self._now = now

    def of(self, item: Outgoing) -> Ruling:
        """Return what becomes of *item*."""
        resolved = self._desk.resolved(item.found)
        if not item.asked:
            item.lanes = [lane for lane in self._desk.order(resolved) if _may_have(lane, item)]
            item.asked = True
        state = self._state(item, resolved)
        without = evolve(state, reach=Reach.NONE, carries=True)
        item.required = decide(item.found.kind, resolved.when, without).outcome is not Outcome.PASS
        ruling = decide(item.found.kind, resolved.when, state)
        answers = item.found.kind is Kind.IQ_RESULT_OF_ITSELF and resolved.when is Setting.REQUIRE
        if answers and ruling.outcome is Outcome.PASS and item.stanza.id not in self._desk.seen(item.contact):
            # What the software says of itself may go, but not under an id that nobody is known to have used.
            return evolve(ruling, outcome=Outcome.BARE)
        return ruling

    def _state(self, item: Outgoing, resolved: Resolved) -> State:
        able, peer = self.able(item), item.found.to or item.contact
        lanes = able or [lane for lane in item.lanes if self._counts(lane, peer)]
        is_sticky, cleared = self._desk.remembered(item.found.recipients or (item.contact,))
        return State(
            reach=self._desk.reach(lanes, peer) if lanes else Reach.NONE,
            carries=bool(able) or not lanes,
            sticky=is_sticky,
            cleared=cleared,
            waited=self._waits.over(item.contact, resolved.when, self._now()),
            answers_decrypted=item.answers is not None,
            by_keys=bool(able) and able[0].harness.method.traits.scope is Scope.CONTACT,
        )

    def able(self, item: Outgoing) -> list[Lane]:
        """Return the engines that have not declined *item* and can carry its kind, in policy's order."""
        kind = METHOD_KINDS.get(item.found.kind, "")
        if item.found.kind is Kind.ERROR and item.stanza.kind == "iq":
            return [lane for lane in item.lanes if _carries_errors(lane.harness.method.traits)]
        return [lane for lane in item.lanes if kind in lane.harness.method.traits.kinds]

    def _counts(self, lane: Lane, peer: JID) -> bool:
        """Whether a method that cannot carry this kind still says that the contact writes encrypted.

        One that announces nothing counts as possible for everybody, which says nothing before there is a session.
        """
        return bool(lane.harness.method.traits.features) or self._desk.reach([lane], peer) in IN_SESSION
