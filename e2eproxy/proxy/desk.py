"""What one account has, whichever of its streams is concerned: engines, rules, what is remembered of contacts.

The desk knows the methods and answers two questions about them: what they can do for a contact (``reach``), and whose an
inbound stanza is (``recognised``). It holds no stream; the guards of the account's streams register here. While its
cabinet has not been opened, nothing is decided; if it cannot be, everything is refused (law 1).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from attrs import define, evolve, field, frozen

from e2eproxy.errors import LocalError
from e2eproxy.methods import effects as e
from e2eproxy.methods.door import Recognition
from e2eproxy.methods.traits import Scope
from e2eproxy.proxy import delivery, sticky
from e2eproxy.proxy.asked import resolved_for
from e2eproxy.proxy.cabinet import TWICE_WITHIN
from e2eproxy.proxy.ids import OpenedStanzas, Pairs, SeenIds
from e2eproxy.proxy.kinds import Setting
from e2eproxy.proxy.known_caps import KnownCaps
from e2eproxy.proxy.lane import Lane
from e2eproxy.proxy.policy import Reach
from e2eproxy.proxy.rules import resolve
from e2eproxy.proxy.suggestion import Suggestion
from e2eproxy.proxy.unasked import Unasked
from e2eproxy.trust.values import Decision, PolicyRow, RosterChange, StickyContact, StoredRoster
from e2eproxy.xmpp.jid import JID, prepared
from e2eproxy.xmpp.roster import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Sized

    from e2eproxy.methods.door import View
    from e2eproxy.methods.events import Event
    from e2eproxy.methods.harness import Harness
    from e2eproxy.proxy.cabinet import Cabinet
    from e2eproxy.proxy.classify import Classified
    from e2eproxy.proxy.in_conversation import InConversation
    from e2eproxy.proxy.lane import Apply
    from e2eproxy.proxy.rules import Resolved, Rules
    from e2eproxy.trust.transaction import Loaded, Transaction
    from e2eproxy.trust.values import Fingerprint, KnownCapabilities, SentId
    from e2eproxy.xmpp.pieces import Element
    from e2eproxy.xmpp.roster import Change, Subscription
    from e2eproxy.xmpp.stanza import Stanza

#: Contacts whose features are remembered, the oldest goes first: those that were asked because we wrote to them.
MOST_CONTACTS: Final = 20_000
#: Contacts whose ids are remembered. Strangers fill this, so it holds nothing that protects.
MOST_SEEN: Final = 5_000
#: Stanzas that were sent and not acknowledged, and may be sent again by a client that has reconnected.
MOST_DOUBTFUL: Final = 1_000
#: Changes of the roster that are stored one by one, before it is stored whole again.
MOST_ROSTER_CHANGES: Final = 1_000
_ROSTER_NOT_STORED: Final = "the copy of the roster could not be stored"
_CAPS_NOT_STORED: Final = "what the clients of contacts can do could not be stored"
#: The policy row that says that a contact is not to be remembered as encrypted again.
NEVER_AGAIN: Final = ("contact", "sticky", "never")

# A key that was taken, and may not be used all the same: only verified ones may.
_MARKS: Final = {Decision.UNDECIDED: delivery.NOT_ACCEPTED, Decision.DISTRUSTED: delivery.REFUSED}
_REACH: Final = {
    e.State.ACTIVE: Reach.LIVE,
    e.State.NEGOTIATING: Reach.LIVE,
    e.State.FINISHED: Reach.FINISHED,
}


@frozen
class Equipped:
    """One method as the account has it: its engine behind the fence, and what it reads."""

    harness: Harness
    view: View


@define
class _Contact:
    """What is known of one contact just now; of all this only what is sticky outlives the daemon."""

    memory: sticky.Memory = sticky.NOTHING_KNOWN
    sessions: dict[tuple[str, JID], e.SessionChanged] = field(factory=dict)


class Desk:
    """One account's; *world* does what an engine wants done (see ``Lane``), *tell* tells the user on all streams.

    *inside* are the notices that stand in conversations.
    """

    def __init__(
        self,
        cabinet: Cabinet,
        rules: Rules,
        world: Apply,
        tell: Callable[[str], None],
        inside: InConversation,
    ) -> None:
        self.account = cabinet.account
        self.cabinet = cabinet
        self.views: dict[str, View] = {}
        self.lanes: dict[str, Lane] = {}
        self.unasked = Unasked(lambda: cabinet.writer.book.version)
        self.pairs = Pairs()
        self.opened = OpenedStanzas()
        #: Names of methods whose stanzas go to the client: it speaks them itself.
        self.speaks: frozenset[str] = frozenset()
        self.inside = inside
        self.suggestion = Suggestion(cabinet, lambda: self.speaks, tell)
        #: The roster as an earlier stream left it.
        self.roster: Snapshot | None = None
        self._roster: dict[str, Subscription] = {}
        self._roster_changes = 0
        self._name = str(self.account)
        self._rules = rules
        #: Whether nothing that is set, and nobody who is remembered, keeps text from leaving in clear.
        self.lenient: Callable[[], bool] = partial(rules.lenient, self._name)
        self._world = world
        self._contacts: dict[JID, _Contact] = {}
        self._features: dict[JID, dict[JID, frozenset[str]]] = {}
        #: What the clients of contacts can do, by the hashes that prove it.
        self.caps = KnownCaps(now=cabinet.now, keep=self._keep_caps, used=self._caps_used)
        self._seen: dict[JID, SeenIds] = {}
        self._doubtful: deque[SentId] = deque(maxlen=MOST_DOUBTFUL)
        #: While anything is in one of these, every stanza is looked at in full.
        self.attention: tuple[Sized, ...] = (self._contacts, self.pairs.by_outer_id, inside.ids)

    def equip(self, equipment: Sequence[Equipped]) -> None:
        """Take the engines, once the cabinet is open."""
        self.views = {one.harness.name: one.view for one in equipment}
        self.lanes.update(
            (one.harness.name, Lane(one.harness, self.cabinet, self._world, self.unasked.forget))
            for one in equipment
        )
        self.unasked.equip(one.harness.method.traits for one in equipment)

    def remember_earlier(self, loaded: Loaded) -> None:
        """Take over what an earlier daemon knew: the roster, and what it sent and never saw acknowledged."""
        if loaded.roster is not None:
            self.roster = _snapshot(loaded.roster)
            self._roster = dict(self.roster.subscriptions)
            self._roster_changes = loaded.roster.changes
        self._doubtful.extend((*loaded.doubtful, *loaded.unacknowledged))
        self.caps.remember(loaded.capabilities)

    def leaves_unasked(self, element: Element) -> bool:
        """Whether no method has to be asked about the client's *element*, where policy lets it leave."""
        return not self.lanes or self.unasked.leaves(element)

    def enters_unasked(self, element: Element) -> bool:
        """Whether no method can have anything to do with the server's *element*, whose id is noted then."""
        if not self.lanes:
            return True
        if not self.unasked.enters(element):
            return False
        self.saw(prepared(element.attribute("from")) or self.account, element.attribute("id"))
        return True

    def tell_all(self, event: Event) -> None:
        """Let every engine have *event*."""
        for lane in self.lanes.values():
            lane.tell(event)

    def keep_roster(self, snapshot: Snapshot | None) -> None:
        """Store the copy of the roster as it is now."""
        if snapshot is None:
            return
        self.roster, self._roster = snapshot, dict(snapshot.subscriptions)
        self._roster_changes = 0
        stored = StoredRoster(version=snapshot.version, subscriptions=snapshot.subscriptions)
        self.cabinet.run(lambda work: work.rosters.put(self._name, stored), _ROSTER_NOT_STORED)

    def keep_contact(self, change: Change) -> None:
        """Store that one contact of the roster is another now, and the whole once many are."""
        known = self.roster
        if known is None:
            return
        if change.subscription is None:
            self._roster.pop(change.contact, None)
        else:
            self._roster[change.contact] = change.subscription
        # It shares what is under it: a roster is large, and pushes come in streams.
        self.roster = Snapshot(change.version, self._roster)
        self._roster_changes += 1
        if self._roster_changes > MOST_ROSTER_CHANGES:
            self.keep_roster(Snapshot(change.version, dict(self._roster)))
            return
        stored = RosterChange(self._roster_changes, change.version, change.contact, change.subscription)
        self.cabinet.run(lambda work: work.rosters.change(self._name, stored), _ROSTER_NOT_STORED)

    def _keep_caps(self, known: KnownCapabilities) -> None:
        self.cabinet.run(lambda work: work.capabilities.put(self._name, known), _CAPS_NOT_STORED)

    def _caps_used(self, ver: str, at: float) -> None:
        self.cabinet.run(lambda work: work.capabilities.used(self._name, ver, at), _CAPS_NOT_STORED)

    def refuse_all(self, why: str) -> None:
        """Decide nothing any more: what is stored cannot be read (law 1)."""
        self._rules = Unreadable(why)
        self.lenient = partial(self._rules.lenient, self._name)

    def logged_out(self) -> None:
        """Forget what holds for one session of the user's: all its clients have gone."""
        for known in self._contacts.values():
            known.memory = sticky.logged_out(known.memory)

    # -- policy ----------------------------------------------------------------------------------------------------------

    def resolved(self, found: Classified) -> Resolved:
        """Return what policy holds for a stanza that was *found* to be of its kind."""
        return resolved_for(self._rules, self.account, found)

    def order(self, resolved: Resolved) -> list[Lane]:
        """Return the engines in policy's order; those it does not name are not asked."""
        return [self.lanes[name] for name in resolved.methods if name in self.lanes]

    # -- what is remembered of a contact -----------------------------------------------------------------------------

    def memory(self, contact: JID) -> sticky.Memory:
        """Return what is remembered of the bare JID *contact*; what is stored of it holds in any case."""
        known = self._contacts.get(contact.bare)
        memory = sticky.NOTHING_KNOWN if known is None else known.memory
        book = self.cabinet.writer.book
        stored = book.sticky(str(self.account), str(contact.bare))
        if memory.why is None and not memory.never_again:
            scope, setting, value = NEVER_AGAIN
            never = book.settings(str(self.account), scope, str(contact.bare)).get(setting) == value
            if never or stored is not None:
                why = None if stored is None else sticky.Why(stored.why)
                memory = evolve(memory, why=why, never_again=never)
        return memory

    def remembered(self, contacts: Sequence[JID]) -> tuple[bool, bool]:
        """Return whether any of *contacts* is remembered as encrypted, and whether the user's word clears all of those."""
        memories = [self.memory(contact) for contact in contacts]
        cleared = all(memory.cleared or not memory.sticky for memory in memories)
        return any(memory.sticky for memory in memories), cleared and any(one.cleared for one in memories)

    def remember(self, contact: JID, memory: sticky.Memory) -> None:
        """Remember *memory* of the bare JID *contact*; what has to outlive the daemon is stored."""
        before = self.memory(contact)
        self._contact(contact).memory = memory
        if (before.why, before.never_again) != (memory.why, memory.never_again):
            self._store(str(contact.bare), memory)

    def _store(self, contact: str, memory: sticky.Memory) -> None:
        account, at = str(self.account), self.cabinet.now()
        scope, setting, value = NEVER_AGAIN

        def change(work: Transaction) -> None:
            work.sticky.remove(account, contact)
            if memory.why is not None:
                work.sticky.add(
                    StickyContact(account=account, contact=contact, since=at, why=memory.why.value)
                )
            if memory.never_again:
                work.policy.set(
                    PolicyRow(account=account, scope=scope, key=contact, setting=setting, value=value)
                )
            else:
                work.policy.unset(account, scope, contact, setting)

        self.cabinet.run(change, "who is remembered as encrypted could not be stored")

    def session(self, method: str, change: e.SessionChanged) -> None:
        """Note how the session of *method* with a peer is."""
        known = self._contact(change.peer)
        if change.state is e.State.NONE:
            known.sessions.pop((method, change.peer), None)
            known.memory = sticky.session_ended(self.memory(change.peer))
            if not known.sessions and known.memory == sticky.NOTHING_KNOWN:
                del self._contacts[change.peer.bare]
        else:
            known.sessions[method, change.peer] = change

    def sessions(self, contact: JID | None = None) -> list[tuple[str, e.SessionChanged]]:
        """Return the sessions with the bare JID *contact* (None: with all) as (method, how it is)."""
        asked = [contact.bare] if contact is not None else list(self._contacts)
        known = [self._contacts[one] for one in asked if one in self._contacts]
        return [(method, change) for one in known for (method, _), change in one.sessions.items()]

    def contacts(self) -> list[JID]:
        """Return the bare JIDs of whom anything is known: of now, and of what is stored."""
        stored = self.cabinet.writer.book.contacts(self._name)
        found = {*self._contacts, *map(JID.parse, stored)} - {self.account}
        return sorted(found, key=str)

    def holds(self, contact: JID | None) -> Resolved:
        """Return what policy holds for *contact*, None for the account itself."""
        return resolve(self._rules, self.account, contact)

    def may_encrypt(self, contact: JID) -> bool:
        """Whether policy has any method encrypt to *contact*; not where it is not known."""
        return self.holds(contact.bare).when not in {Setting.NEVER, Setting.UNKNOWN}

    def peer_of(self, method: str, contact: JID) -> JID:
        """Return with whom of *contact* the method has a session, *contact* itself if with nobody."""
        known = self._contacts.get(contact.bare)
        sessions = {} if known is None else known.sessions
        return next((peer for name, peer in reversed(sessions) if name == method), contact)

    def features(self, peer: JID, features: frozenset[str]) -> None:
        """Note what the full JID *peer* announces."""
        known = self._features.get(peer.bare)
        if known is None:
            while len(self._features) >= MOST_CONTACTS:
                del self._features[next(iter(self._features))]
            known = self._features[peer.bare] = {}
        known[peer] = features

    def gone(self, peer: JID) -> None:
        """Note that the full JID *peer* is not there any more."""
        known = self._features.get(peer.bare)
        if known is not None:
            known.pop(peer, None)

    def saw(self, contact: JID, identifier: str | None) -> None:
        """Note an id that *contact* gave to a stanza to us."""
        known = self._seen.get(contact.bare)
        if known is None:
            while len(self._seen) >= MOST_SEEN:
                del self._seen[next(iter(self._seen))]
            known = self._seen[contact.bare] = SeenIds()
        known.note(identifier)

    def seen(self, contact: JID) -> Mapping[str, None]:
        """Return the newest ids that *contact* gave to stanzas to us."""
        known = self._seen.get(contact.bare)
        return {} if known is None else known.ids

    def _contact(self, jid: JID) -> _Contact:
        return self._contacts.setdefault(jid.bare, _Contact())

    # -- what was sent and never acknowledged ---------------------------------------------------------------------------

    def in_doubt(self, sent: SentId) -> None:
        """Note that it is not known whether what left as *sent* arrived."""
        self._doubtful.append(sent)

    def sent_before(self, to: JID, stanza: Stanza, now: float) -> SentId | None:
        """Return the first copy of *stanza* if it was sent to the same address shortly before, on an earlier stream.

        It is found once: then it is under way again.
        """
        if not self._doubtful or stanza.id is None:
            return None
        written = stanza.standalone()
        for sent in self._doubtful:
            same = sent.to == str(to) and sent.client_id == stanza.id and sent.original == written
            if same and sent.outer is not None and now - sent.sent_at <= TWICE_WITHIN:
                self._doubtful.remove(sent)
                return sent
        return None

    # -- what the methods can do --------------------------------------------------------------------------------------

    def announces(self) -> tuple[str, ...]:
        """Return what the methods announce, but for systems that the client speaks itself: it announces those itself."""
        each = [
            lane.harness.method.traits.announces
            for lane in self.lanes.values()
            if lane.name not in self.speaks
        ]
        return tuple(dict.fromkeys(feature for features in each for feature in features))

    def reach(self, lanes: Sequence[Lane], peer: JID) -> Reach:
        """Return the best that *lanes* can do for *peer* (bare or full) as far as is known.

        A method that announces nothing has its own ways of finding out: it counts as possible until it declines.
        """
        found = [self._reach_by(lane, peer) for lane in lanes]
        best = (Reach.LIVE, Reach.FINISHED, Reach.POSSIBLE, Reach.UNDISCOVERED)
        return next((reach for reach in best if reach in found), Reach.NONE)

    def _reach_by(self, lane: Lane, peer: JID) -> Reach:
        known = self._contacts.get(peer.bare)
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
        known_features = self._features.get(peer.bare)
        if not known_features:
            return Reach.POSSIBLE if not peer.full and self._has_key(lane, peer) else Reach.UNDISCOVERED
        seen = [known_features.get(peer)] if peer.full else list(known_features.values())
        if seen == [None]:
            return Reach.UNDISCOVERED
        able = any(features is not None and features.issuperset(needed) for features in seen)
        return Reach.POSSIBLE if able else Reach.NONE

    def _has_key(self, lane: Lane, contact: JID) -> bool:
        """Whether a key of *contact*'s for this method may be used: he has had it, though none of his clients is seen now.

        A session needs a client that is there, whatever keys are known.
        """
        if lane.harness.method.traits.scope is not Scope.CONTACT:
            return False
        keys = (one.fingerprint for one in self.cabinet.keys(contact))
        return any(one.method == lane.name and self.cabinet.usable(contact, one) for one in keys)

    def mark(self, author: JID, key: Fingerprint | None) -> str:
        """Return what is put before a text of *author*'s that was opened and is proved by *key*; "" if that is his (law 9)."""
        if key is None:
            return delivery.NOT_PROVED
        if self.cabinet.usable(author.bare, key):
            return ""
        decisions = [one.decision for one in self.cabinet.keys(author) if one.fingerprint == key]
        return _MARKS.get(decisions[0] if decisions else Decision.UNDECIDED, delivery.NOT_VERIFIED)

    def recognised(self, stanza: Stanza) -> Lane | None:
        """Return whose the inbound *stanza* is: the method for which it is complete, else one whose mark it carries.

        A system that the client speaks itself is the client's (law 10).
        """
        marked = None
        for lane in self.lanes.values():
            if lane.name in self.speaks:
                continue
            found = lane.harness.method.recognise(stanza)
            if found is Recognition.COMPLETE:
                return lane
            if found is Recognition.MARKED and marked is None:
                marked = lane
        return marked

    def encrypted_with(self, contact: JID) -> bool:
        """Whether text of the bare JID *contact* is expected to come encrypted."""
        known = self._contacts.get(contact.bare)
        active = known is not None and any(
            change.state is e.State.ACTIVE for change in known.sessions.values()
        )
        return active or self.memory(contact).sticky


def _snapshot(stored: StoredRoster) -> Snapshot:
    known: dict[str, Subscription] = {}
    for contact, subscription in stored.subscriptions.items():
        if subscription in {"none", "to", "from", "both"}:
            known[contact] = cast("Subscription", subscription)
    return Snapshot(stored.version, known)


class Unreadable:
    """The rules of an account whose store cannot be read: they refuse (law 1). *why* is a sentence."""

    def __init__(self, why: str) -> None:
        self.why = why

    def settings(self, _account: str, _scope: str, _key: str) -> Mapping[str, str]:
        """Raise LocalError, always."""
        raise LocalError(self.why)

    def methods(self, _account: str) -> frozenset[str]:
        """None that is known."""
        return frozenset()

    def lenient(self, _account: str) -> bool:
        """Nobody knows."""
        return False
