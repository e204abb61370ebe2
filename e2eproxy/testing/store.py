"""What a simulated device keeps: records, identities, peers' keys and what is thought of them, all in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import evolve

from e2eproxy.methods.effects import Learn, Persist, PersistIdentity, Verified
from e2eproxy.methods.events import TrustChanged
from e2eproxy.trust.values import Decision, Fingerprint, IdentityKey, PeerKey, decision_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2eproxy.methods.door import Stolen
    from e2eproxy.methods.effects import Durable
    from e2eproxy.xmpp.jid import JID

TrustPolicy = Literal["verified", "tofu", "blind"]
_USABLE: Mapping[str, frozenset[Decision]] = {
    "verified": frozenset({Decision.VERIFIED}),
    "tofu": frozenset({Decision.VERIFIED, Decision.ACCEPTED, Decision.TOFU}),
    "blind": frozenset({Decision.VERIFIED, Decision.ACCEPTED, Decision.TOFU, Decision.UNDECIDED}),
}


class MemoryStore:
    """A device's store, and the view of it that an engine gets. It outlives the device's restarts."""

    def __init__(self, account: JID, method: str, clock: Callable[[], float]) -> None:
        """Begin empty."""
        self.account = account
        self.method = method
        self.policy: TrustPolicy = "tofu"
        self.settings: dict[tuple[JID, str], str] = {}
        self._clock = clock
        self._records: dict[str, bytes] = {}
        self._identities: dict[str, IdentityKey] = {}
        self._keys: dict[JID, dict[Fingerprint, PeerKey]] = {}

    # -- the view --

    def record(self, key: str) -> bytes | None:
        """As ``View`` says."""
        return self._records.get(key)

    def records(self, prefix: str) -> Mapping[str, bytes]:
        """As ``View`` says."""
        return {key: data for key, data in self._records.items() if key.startswith(prefix)}

    def identity(self, name: str) -> IdentityKey | None:
        """As ``View`` says."""
        return self._identities.get(name)

    def peer_keys(self, contact: JID) -> tuple[PeerKey, ...]:
        """As ``View`` says."""
        return tuple(self._keys.get(contact.bare, {}).values())

    def usable(self, contact: JID, fingerprint: Fingerprint) -> bool:
        """As ``View`` says."""
        known = self._keys.get(contact.bare, {})
        if fingerprint in known:
            return known[fingerprint].decision in _USABLE[self.policy]
        return self.policy != "verified" and (not known or self.policy == "blind")

    def setting(self, contact: JID, name: str) -> str:
        """As ``View`` says."""
        return self.settings.get((contact.bare, name), "")

    # -- the pipeline's side --

    @property
    def identities(self) -> tuple[IdentityKey, ...]:
        """Our own long-term keys."""
        return tuple(self._identities.values())

    def adopt(self, stolen: Stolen, owner: MemoryStore) -> None:
        """Become what a thief has: *stolen*, and the public keys that *owner* knows."""
        self.policy = "blind"
        self._records = dict(stolen.records)
        self._identities = {one.name: one for one in stolen.identities}
        self._keys = {contact: dict(keys) for contact, keys in owner._keys.items()}

    def commit(self, effects: tuple[Durable, ...]) -> list[TrustChanged]:
        """Make *effects* durable, all or nothing, and return what the engine has to be told about trust."""
        changes = []
        for one in effects:
            match one:
                case Persist(key=key, data=None):
                    self._records.pop(key, None)
                case Persist(key=key, data=bytes(data)):
                    self._records[key] = data
                case PersistIdentity():
                    self._keep(one)
                case Learn():
                    changes += self._learn(one)
                case Verified():
                    decision = decision_of(one.how, holds=one.holds)
                    changes += self.decide(one.contact, one.fingerprint, decision)
        return changes

    def decide(self, contact: JID, fingerprint: Fingerprint, decision: Decision) -> list[TrustChanged]:
        """Set what is thought of a key, also of one never seen (compared beforehand, on paper)."""
        keys = self._keys.setdefault(contact.bare, {})
        now = self._clock()
        known = keys.get(fingerprint) or self._peer_key(contact, fingerprint, b"")
        verified = decision is Decision.VERIFIED
        keys[fingerprint] = evolve(
            known,
            decision=decision,
            how_verified="fingerprint" if verified else None,
            verified_at=now if verified else None,
        )
        usable = self.usable(contact, fingerprint)
        return [TrustChanged(contact=contact.bare, fingerprint=fingerprint, decision=decision, usable=usable)]

    def _keep(self, identity: PersistIdentity) -> None:
        self._identities[identity.name] = IdentityKey(
            account=str(self.account),
            method=self.method,
            name=identity.name,
            public=identity.public,
            secret=identity.secret,
            created_at=self._clock(),
        )

    def _learn(self, learnt: Learn) -> list[TrustChanged]:
        keys = self._keys.setdefault(learnt.contact.bare, {})
        known = keys.get(learnt.fingerprint)
        if known is not None:
            keys[learnt.fingerprint] = evolve(known, public=learnt.public, last_seen=self._clock())
            return []
        first = not keys and self.policy != "verified"
        keys[learnt.fingerprint] = self._peer_key(learnt.contact, learnt.fingerprint, learnt.public)
        return self.decide(learnt.contact, learnt.fingerprint, Decision.TOFU if first else Decision.UNDECIDED)

    def _peer_key(self, contact: JID, fingerprint: Fingerprint, public: bytes) -> PeerKey:
        now = self._clock()
        return PeerKey(
            account=str(self.account),
            contact=str(contact.bare),
            fingerprint=fingerprint,
            public=public,
            first_seen=now,
            last_seen=now,
        )
