"""What one account has in the store, for the pipeline: opened at its login, changed in order, read from memory.

Law 5: everything here that changes something is durable when its Deferred fires, and not before. What a method persisted
is read once, when the account is opened, and then kept as it was committed, so that an engine can look at it at any time
without touching the database. Law 4: what an earlier run of the daemon left unfinished becomes reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from twisted.logger import Logger

from e2eproxy.methods.effects import Learn, Persist, PersistIdentity, Verified
from e2eproxy.methods.events import TrustChanged
from e2eproxy.proxy import key_rules
from e2eproxy.proxy.leftovers import reports_of
from e2eproxy.proxy.notes import Leaves, Waits
from e2eproxy.proxy.rules import first_of, resolve
from e2eproxy.trust.values import Decision, IdentityKey, MethodRecord, decision_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from twisted.internet.defer import Deferred

    from e2eproxy.methods.effects import Durable
    from e2eproxy.proxy.notes import Note
    from e2eproxy.proxy.rules import Rules
    from e2eproxy.trust.transaction import Loaded, Transaction
    from e2eproxy.trust.values import Fingerprint, KeptOriginal, KeySeen, PeerKey, Report, SentId
    from e2eproxy.trust.writer import Writer
    from e2eproxy.xmpp.jid import JID

#: Seconds that the pair of ids of an acknowledged stanza is kept, for errors that still come.
PAIRS_KEPT: Final = 7 * 86_400.0
#: Seconds that the original behind a placeholder is kept.
ORIGINALS_KEPT: Final = 30 * 86_400.0
#: Seconds that is kept what clients can do, since it was last of use.
CAPABILITIES_KEPT: Final = 90 * 86_400.0
#: Seconds within which the same stanza, sent again after a reconnect, is the same.
TWICE_WITHIN: Final = 600.0


class Cabinet:
    """One account's. *clock*: seconds since 1970. *learnt* is told of each key that was seen, once that is committed."""

    _log = Logger()

    def __init__(
        self,
        writer: Writer,
        account: JID,
        rules: Rules,
        clock: Callable[[], float],
        learnt: Callable[[KeySeen], None],
    ) -> None:
        self.account = account
        self.writer = writer
        self._name = str(account)
        self._rules = rules
        self._clock = clock
        self._learnt = learnt
        self._records: dict[str, dict[str, bytes]] = {}
        self._identities: dict[tuple[str, str], IdentityKey] = {}

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    # -- opening and closing -------------------------------------------------------------------------------------------

    def open(self) -> Deferred[Loaded]:
        """Open the account's vault; fires with what is in it once all leftovers are reports. Fails with StoreError."""
        at = self._clock()

        def change(work: Transaction) -> Loaded:
            work.open_account(self._name, at)
            purge(work, at)
            loaded = work.load(self._name)
            for text in reports_of(loaded.held, loaded.unacknowledged):
                work.reports.add(self._name, text, at)
            work.held.remove(self._name, [one.reference for one in loaded.held])
            work.sent.told(self._name, [one.outer_id for one in loaded.unacknowledged])
            return loaded

        return self.writer.run(change).addCallback(self._opened)

    def _opened(self, loaded: Loaded) -> Loaded:
        for record in loaded.records:
            self._records.setdefault(record.method, {})[record.key] = record.data
        self._identities = {(key.method, key.name): key for key in loaded.identities}
        return loaded

    def close(self) -> None:
        """Let go of the account, all of whose streams have ended."""
        self._complain(self.writer.close_account(self._name), "an account could not be closed")

    def _complain(self, done: Deferred[Any], what: str) -> None:
        done.addErrback(lambda failure: self._log.failure("{what}", failure, what=what))

    # -- what is durable together --------------------------------------------------------------------------------------

    def commit(
        self, method: str, durable: Sequence[Durable], notes: Sequence[Note]
    ) -> Deferred[list[TrustChanged]]:
        """Commit what *method* wants kept and the pipeline's *notes*, all or nothing; fires with what became of keys."""
        at = self._clock()

        def change(work: Transaction) -> list[KeySeen | _Checked]:
            found = [one for effect in durable if (one := self._keep(work, method, effect, at)) is not None]
            for note in notes:
                self._note(work, note)
            return found

        def committed(found: list[KeySeen | _Checked]) -> list[TrustChanged]:
            self._remember(method, durable, at)
            return [self._changed(one) for one in found if isinstance(one, _Checked) or one.new]

        return self.writer.run(change).addCallback(committed)

    def note(self, *notes: Note) -> Deferred[None]:
        """Commit *notes* alone."""

        def change(work: Transaction) -> None:
            for note in notes:
                self._note(work, note)

        return self.writer.run(change)

    def _note(self, work: Transaction, note: Note) -> None:
        if isinstance(note, Leaves):
            work.sent.note(note.sent, note.stanza)
            if note.held is not None:
                work.held.remove(self._name, [note.held])
        elif isinstance(note, Waits):
            work.held.add(note.held)
        else:
            work.originals.keep(note.original)

    def _keep(self, work: Transaction, method: str, effect: Durable, at: float) -> KeySeen | _Checked | None:
        match effect:
            case Persist(key=key, data=None):
                work.records.remove(self._name, method, key)
            case Persist(key=key, data=bytes(data)):
                work.records.put(MethodRecord(account=self._name, method=method, key=key, data=data))
            case PersistIdentity():
                work.identities.put(self._identity(method, effect, at))
            case Learn():
                return self._learn(work, method, effect, at)
            case Verified(contact=contact, fingerprint=fingerprint, how=how, holds=holds):
                decision = decision_of(how, holds=holds)
                work.peer_keys.decide(
                    self._name,
                    str(contact.bare),
                    fingerprint,
                    decision,
                    how=how if holds else None,
                    at=at if holds else None,
                )
                return _Checked(contact.bare, fingerprint, decision)
        return None

    def _learn(self, work: Transaction, method: str, effect: Learn, at: float) -> KeySeen | None:
        contact = str(effect.contact.bare)
        if contact == self._name:
            own = any(key.public == effect.public for key in work.identities.all(self._name, method))
            if own:
                # Made here, so nobody has to be asked; no event either, since nothing was found out.
                work.peer_keys.learn(self._name, contact, effect.fingerprint, effect.public, at)
                work.peer_keys.decide(
                    self._name, contact, effect.fingerprint, Decision.ACCEPTED, how="own", at=at
                )
                return None
        return work.peer_keys.learn(
            self._name, contact, effect.fingerprint, effect.public, at, first=Decision.TOFU
        )

    def _identity(self, method: str, wanted: PersistIdentity, at: float) -> IdentityKey:
        return IdentityKey(
            account=self._name,
            method=method,
            name=wanted.name,
            public=wanted.public,
            secret=wanted.secret,
            created_at=at,
        )

    def _remember(self, method: str, durable: Sequence[Durable], at: float) -> None:
        kept = self._records.setdefault(method, {})
        for effect in durable:
            if isinstance(effect, PersistIdentity):
                self._identities[method, effect.name] = self._identity(method, effect, at)
            elif isinstance(effect, Persist) and effect.data is None:
                kept.pop(effect.key, None)
            elif isinstance(effect, Persist) and effect.data is not None:
                kept[effect.key] = effect.data

    def _changed(self, seen: KeySeen | _Checked) -> TrustChanged:
        if isinstance(seen, _Checked):
            return self.trust_changed(seen.contact, seen.fingerprint, seen.decision)
        self._learnt(seen)
        contact = type(self.account).parse(seen.key.contact)
        return self.trust_changed(contact, seen.key.fingerprint, seen.key.decision)

    def trust_changed(self, contact: JID, fingerprint: Fingerprint, decision: Decision) -> TrustChanged:
        """Return the event for a key of *contact* about which *decision* now stands."""
        return TrustChanged(
            contact=contact,
            fingerprint=fingerprint,
            decision=decision,
            usable=self.usable(contact, fingerprint),
        )

    # -- keys ------------------------------------------------------------------------------------------------------------

    def keys(self, contact: JID) -> tuple[PeerKey, ...]:
        """All keys of the bare JID *contact*, of whatever method, oldest first."""
        return self.writer.book.keys(self._name, str(contact.bare))

    def usable(self, contact: JID, fingerprint: Fingerprint) -> bool:
        """Policy's word on a key; one that was never seen counts as it would if it were seen now."""
        whom = resolve(self._rules, self.account, contact).whom
        known = self.keys(contact)
        mine = next((key.decision for key in known if key.fingerprint == fingerprint), None)
        others = [key.decision for key in known if key.fingerprint != fingerprint]
        if mine is None:
            mine = Decision.UNDECIDED if others else Decision.TOFU
        return key_rules.usable(whom, mine, others)

    def setting(self, contact: JID, name: str) -> str:
        """Return what is set under *name* for the bare JID *contact*, its domain, the account or everybody; "" if nothing is."""
        return first_of(self._rules, self.account, contact, name)

    def decide(
        self, contact: JID, fingerprint: Fingerprint, decision: Decision, how: str | None = None
    ) -> Deferred[TrustChanged]:
        """Set what the user thinks of a key, and *how* it was checked; fires with the event for its method."""
        at = None if how is None else self._clock()
        done = self.writer.run(
            lambda work: work.peer_keys.decide(
                self._name, str(contact.bare), fingerprint, decision, how=how, at=at
            )
        )
        return done.addCallback(lambda _: self.trust_changed(contact.bare, fingerprint, decision))

    # -- ids and reports -------------------------------------------------------------------------------------------------

    def by_outer(self, outer_id: str) -> Deferred[SentId | None]:
        """Fire with what left under *outer_id*."""
        return self.writer.run(lambda work: work.sent.by_outer(self._name, outer_id))

    def acknowledged(self, outer_ids: Sequence[str]) -> None:
        """Note that the server has taken these."""
        self._complain(
            self.writer.run(lambda work: work.sent.acknowledge(self._name, outer_ids)),
            "an acknowledgement could not be noted",
        )

    def settled(self, held: Sequence[str] = (), sent: Sequence[str] = ()) -> None:
        """Note that these went back to the client: *held* references, and *sent* outer ids."""

        def change(work: Transaction) -> None:
            work.held.remove(self._name, held)
            work.sent.remove(self._name, sent)

        self._complain(self.writer.run(change), "what went back to the client could not be noted")

    def report(self, texts: Iterable[str], *, sent: Sequence[str] = (), held: Sequence[str] = ()) -> None:
        """Keep *texts* for the next login, in the place of what they are about."""
        at = self._clock()
        kept = list(texts)

        def change(work: Transaction) -> None:
            for text in kept:
                work.reports.add(self._name, text, at)
            work.sent.told(self._name, sent)
            work.held.remove(self._name, held)

        self._complain(self.writer.run(change), "a report could not be kept")

    def reports(self) -> Deferred[tuple[Report, ...]]:
        """Fire with what the account has to be told."""
        return self.writer.run(lambda work: work.reports.all(self._name))

    def told(self, reports: Sequence[Report]) -> None:
        """Forget reports that were told."""
        numbers = [report.number for report in reports]
        self._complain(
            self.writer.run(lambda work: work.reports.remove(self._name, numbers)),
            "reports could not be removed",
        )

    def original(self, reference: str) -> Deferred[KeptOriginal | None]:
        """Fire with what stands behind a placeholder."""
        return self.writer.run(lambda work: work.originals.get(self._name, reference, now=self._clock()))

    def run(self, change: Callable[[Transaction], object], what: str) -> None:
        """Make a change nobody waits for; *what* is logged if it fails."""
        self._complain(self.writer.run(change), what)

    # -- what methods read ---------------------------------------------------------------------------------------------

    def view(self, method: str) -> CabinetView:
        """Return what the engine of *method* may read."""
        return CabinetView(self, method)

    def record(self, method: str, key: str) -> bytes | None:
        """Return what *method* persisted under *key*."""
        return self._records.get(method, {}).get(key)

    def records(self, method: str, prefix: str) -> Mapping[str, bytes]:
        """Return all records of *method* whose keys begin with *prefix*."""
        return {key: data for key, data in self._records.get(method, {}).items() if key.startswith(prefix)}

    def identity(self, method: str, name: str) -> IdentityKey | None:
        """Return our own long-term key of *method* called *name*."""
        return self._identities.get((method, name))


def purge(work: Transaction, now: float) -> None:
    """Remove, of every account, what has been kept long enough."""
    work.sent.purge(now - PAIRS_KEPT)
    work.sent.never_again(now - TWICE_WITHIN)
    work.originals.purge(now)
    work.capabilities.purge(now - CAPABILITIES_KEPT)


@frozen
class _Checked:
    """A key that people checked, and what they found."""

    contact: JID
    fingerprint: Fingerprint
    decision: Decision


@frozen
class CabinetView:
    """What one method may read of an account's cabinet (``methods.door.View``)."""

    _cabinet: Cabinet
    _method: str

    def record(self, key: str) -> bytes | None:
        """What ``Persist`` kept under *key*, or None."""
        return self._cabinet.record(self._method, key)

    def records(self, prefix: str) -> Mapping[str, bytes]:
        """All records whose keys begin with *prefix*."""
        return self._cabinet.records(self._method, prefix)

    def identity(self, name: str) -> IdentityKey | None:
        """Our own long-term key *name*, or None."""
        return self._cabinet.identity(self._method, name)

    def peer_keys(self, contact: JID) -> tuple[PeerKey, ...]:
        """This method's keys of *contact* (bare), oldest first, distrusted ones included."""
        book = self._cabinet.writer.book
        return tuple(
            book.with_public(key)
            for key in self._cabinet.keys(contact)
            if key.fingerprint.method == self._method
        )

    def usable(self, contact: JID, fingerprint: Fingerprint) -> bool:
        """Policy's word: whether text for *contact* may be encrypted to this key now."""
        return self._cabinet.usable(contact, fingerprint)

    def setting(self, contact: JID, name: str) -> str:
        """What is set under the method's own *name* for *contact*, or wider."""
        return self._cabinet.setting(contact, f"{self._method}-{name}")
