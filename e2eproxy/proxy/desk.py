"""What one account has, whichever of its streams is concerned: engines, rules, what is remembered of contacts.

The desk knows the methods and answers two questions about them: what they can do for a contact (``reach``), and whose an
inbound stanza is (``recognised``). It holds no stream; the guards of the account's streams register here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import Recognition
from e2eproxy.proxy import sticky
from e2eproxy.proxy.lane import Lane
from e2eproxy.proxy.policy import Reach
from e2eproxy.proxy.rules import Resolved, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2eproxy.methods.door import View
    from e2eproxy.methods.events import Event
    from e2eproxy.methods.harness import Harness
    from e2eproxy.proxy.lane import Keeper
    from e2eproxy.proxy.rules import Rules
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

#: Contacts whose sessions and features are remembered; the oldest goes first.
MOST_CONTACTS: Final = 20_000

_REACH: Final = {
    e.State.ACTIVE: Reach.LIVE,
    e.State.NEGOTIATING: Reach.LIVE,
    e.State.FINISHED: Reach.FINISHED,
}


@frozen
class Equipped:
    """One method as the account has it: its engine behind the fence, what it reads, and what makes things durable."""

    harness: Harness
    view: View
    keeper: Keeper


@define
class _Contact:
    """What is known of one contact just now; nothing of it outlives the daemon."""

    memory: sticky.Memory = sticky.NOTHING_KNOWN
    sessions: dict[tuple[str, JID], e.SessionChanged] = field(factory=dict)
    features: dict[JID, frozenset[str]] = field(factory=dict)


class Desk:
    """One account's. *apply* is given what an engine wants done; see ``Lane``."""

    def __init__(
        self,
        account: JID,
        equipment: Sequence[Equipped],
        rules: Rules,
        apply: Callable[[Lane, Event, Sequence[e.Effect]], None],
    ) -> None:
        self.account = account
        self.views = {one.harness.name: one.view for one in equipment}
        self.lanes = {one.harness.name: Lane(one.harness, one.keeper, apply) for one in equipment}
        self._rules = rules
        self._contacts: dict[JID, _Contact] = {}

    def tell_all(self, event: Event) -> None:
        """Let every engine have *event*."""
        for lane in self.lanes.values():
            lane.tell(event)

    def resolved(self, contact: JID | None, *, room: bool = False) -> Resolved:
        """Return what policy holds for *contact* (bare; None for the account itself)."""
        return resolve(self._rules, self.account, contact, room=room)

    def order(self, resolved: Resolved) -> list[Lane]:
        """Return the engines in policy's order; those it does not name are not asked."""
        return [self.lanes[name] for name in resolved.methods if name in self.lanes]

    # -- what is remembered of a contact -----------------------------------------------------------------------------

    def memory(self, contact: JID) -> sticky.Memory:
        """Return what is remembered of the bare JID *contact*."""
        known = self._contacts.get(contact.bare)
        return sticky.NOTHING_KNOWN if known is None else known.memory

    def remember(self, contact: JID, memory: sticky.Memory) -> None:
        """Remember *memory* of the bare JID *contact*."""
        self._contact(contact).memory = memory

    def session(self, method: str, change: e.SessionChanged) -> None:
        """Note how the session of *method* with a peer is."""
        known = self._contact(change.peer)
        if change.state is e.State.NONE:
            known.sessions.pop((method, change.peer), None)
            known.memory = sticky.session_ended(known.memory)
        else:
            known.sessions[method, change.peer] = change

    def features(self, peer: JID, features: frozenset[str]) -> None:
        """Note what the full JID *peer* announces."""
        self._contact(peer).features[peer] = features

    def gone(self, peer: JID) -> None:
        """Note that the full JID *peer* is not there any more."""
        known = self._contacts.get(peer.bare)
        if known is not None:
            known.features.pop(peer, None)

    def _contact(self, jid: JID) -> _Contact:
        known = self._contacts.get(jid.bare)
        if known is None:
            while len(self._contacts) >= MOST_CONTACTS:
                del self._contacts[next(iter(self._contacts))]
            known = self._contacts[jid.bare] = _Contact()
        return known

    # -- what the methods can do --------------------------------------------------------------------------------------

    def reach(self, lanes: Sequence[Lane], peer: JID) -> Reach:
        """Return the best that *lanes* can do for *peer* (bare or full) as far as is known.

        A method that announces nothing has its own ways of finding out: it counts as possible until it declines.
        """
        known = self._contacts.get(peer.bare)
        found = [self._reach_by(lane, peer, known) for lane in lanes]
        best = (Reach.LIVE, Reach.FINISHED, Reach.POSSIBLE, Reach.UNDISCOVERED)
        return next((reach for reach in best if reach in found), Reach.NONE)

    def _reach_by(self, lane: Lane, peer: JID, known: _Contact | None) -> Reach:
        sessions = {} if known is None else known.sessions
        for (method, one), change in sessions.items():
            if (
                method == lane.name
                and (one == peer or not peer.full or not one.full)
                and change.state in _REACH
            ):
                return _REACH[change.state]
        needed = lane.harness.method.traits.features
        if not needed:
            return Reach.POSSIBLE
        if known is None or not known.features:
            return Reach.UNDISCOVERED
        seen = [known.features.get(peer)] if peer.full else list(known.features.values())
        if seen == [None]:
            return Reach.UNDISCOVERED
        able = any(features is not None and features.issuperset(needed) for features in seen)
        return Reach.POSSIBLE if able else Reach.NONE

    def recognised(self, stanza: Stanza) -> Lane | None:
        """Return whose the inbound *stanza* is: the method for which it is complete, else one whose mark it carries."""
        marked = None
        for lane in self.lanes.values():
            found = lane.harness.method.recognise(stanza)
            if found is Recognition.COMPLETE:
                return lane
            if found is Recognition.MARKED and marked is None:
                marked = lane
        return marked

    def encrypted_with(self, contact: JID) -> bool:
        """Whether text of the bare JID *contact* is expected to come encrypted."""
        known = self._contacts.get(contact.bare)
        if known is None:
            return False
        active = any(change.state is e.State.ACTIVE for change in known.sessions.values())
        return known.memory.sticky or active
