"""What can be asked and done about one account: the typed functions behind every face.

Each returns a value, or a Deferred of one that fires when what it changed is durable (law 5). What cannot be done raises
LocalError, with a text that says what to do next and names commands without what a face writes before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.control import answers as a
from e2eproxy.control import everybody
from e2eproxy.control.words import SHORTEST_PREFIX, plain
from e2eproxy.errors import LocalError
from e2eproxy.methods.events import Command
from e2eproxy.proxy import kinds, rules, sticky
from e2eproxy.proxy.rules import Scope
from e2eproxy.trust.values import Decision, PolicyRow

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from e2eproxy.methods.effects import SessionChanged
    from e2eproxy.methods.events import TrustChanged
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.guards import Guards
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.rules import Resolved
    from e2eproxy.trust.values import Fingerprint, KeptOriginal, PeerKey
    from e2eproxy.xmpp.jid import JID

#: Characters of an original that are shown.
SHOWN: Final = 8_000
#: Notices that are shown if nobody says how many.
NOTICES: Final = 20


class OfAccount:
    """The account of *desk*; *own*: the full JID of the stream for which methods do something, None if there is none."""

    def __init__(self, guards: Guards, desk: Desk, own: JID | None, why_not: str = "") -> None:
        self._guards = guards
        self._desk = desk
        self._own = own
        self._why_not = why_not
        self._name = str(desk.account)

    # -- what is there -------------------------------------------------------------------------------------------------

    def status(self) -> a.AccountStatus:
        """How the account is."""
        streams = self._guards.of(self._desk.account)
        holds = self._desk.holds(None)
        return a.AccountStatus(
            account=self._name,
            streams=tuple(str(guard.own) for guard in streams),
            methods=tuple(self._desk.lanes),
            when=holds.when.value,
            whom=holds.whom.value,
            sessions=len(self._desk.sessions()),
            waiting=sum(guard.waiting for guard in streams),
            why_not=self._why_not,
        )

    def peers(self) -> a.Peers:
        """The contacts of whom anything is known."""
        return a.Peers(account=self._name, peers=tuple(map(self._peer, self._desk.contacts())))

    def _peer(self, contact: JID) -> a.Peer:
        memory = self._desk.memory(contact)
        keys = self._desk.cabinet.keys(contact)
        return a.Peer(
            contact=str(contact),
            when=self._desk.holds(contact).when.value,
            remembered=memory.why.value if memory.why else "",
            word=memory.word.value if memory.word else "",
            keys=len(keys),
            verified=sum(key.decision is Decision.VERIFIED for key in keys),
            sessions=tuple(self._session(*one) for one in self._desk.sessions(contact)),
        )

    def _session(self, method: str, change: SessionChanged) -> a.Session:
        protection = change.protection
        name = None if protection is None else protection.key
        known = self._desk.cabinet.keys(change.peer)
        decision = next((key.decision.value for key in known if key.fingerprint == name), "")
        return a.Session(
            method=method,
            peer=str(change.peer),
            state=change.state.value,
            fingerprint="" if name is None else name.text,
            decision=decision,
            forward_secret=protection is not None and protection.forward_secret,
        )

    def methods(self) -> a.Methods:
        """The end-to-end systems there are."""
        return everybody.methods(self._guards, self._name, self._desk.lanes)

    def log(self, number: int | None) -> a.Log:
        """The newest *number* notices."""
        told = self._guards.histories.of(self._desk.account)[-(number or NOTICES) :]
        return a.Log(account=self._name, notices=tuple(a.Notice(at=one.at, text=one.text) for one in told))

    def show(self, reference: str) -> Deferred[a.Original]:
        """What stands behind the placeholder with that *reference*."""

        def found(original: KeptOriginal | None) -> a.Original:
            if original is None:
                raise LocalError(
                    "That is not kept any more, or never was. Ask the contact to send the message once more."
                )
            raw = original.stanza.decode(errors="replace")
            return a.Original(
                reference=reference,
                contact=original.contact,
                text=raw[:SHOWN],
                more=max(0, len(raw) - SHOWN),
            )

        return self._desk.cabinet.original(reference).addCallback(found)

    # -- sessions --------------------------------------------------------------------------------------------------------

    def session(self, contact: JID, verb: str) -> a.Asked:
        """Have the methods that know *verb* ("start", "end") do it; they tell what came of it."""
        able = self.lanes_that(verb)
        if not able:
            names = ", ".join(self._desk.lanes) or "none"
            raise LocalError(
                f"No method of {self._name} ({names}) can {verb} a session; write to the contact, and one begins by itself "
                "where there is one. The command methods shows what there is."
            )
        return self.ask(able, contact, verb)

    def lanes_that(self, verb: str) -> list[Lane]:
        """The engines whose methods know *verb*."""
        lanes = self._desk.lanes.values()
        return [lane for lane in lanes if verb in {name for name, _ in lane.harness.method.traits.commands}]

    def ask(self, lanes: list[Lane], contact: JID, verb: str, arguments: tuple[str, ...] = ()) -> a.Asked:
        """Tell *lanes* to do *verb* with *contact*."""
        if self._own is None:
            raise LocalError(
                f"No client of {self._name} is logged in, so nothing can be sent: log in with one, and say it again."
            )
        for lane in lanes:
            peer = self._desk.peer_of(lane.name, contact.bare)
            lane.tell(Command(own=self._own, peer=peer, verb=verb, arguments=arguments))
        return a.Asked(contact=str(contact.bare), verb=verb, methods=tuple(lane.name for lane in lanes))

    # -- keys ------------------------------------------------------------------------------------------------------------

    def whose(self, contact: JID | None) -> JID:
        """*Contact*, or the account: what is said about keys without a contact is about our own."""
        return self._desk.account if contact is None else contact.bare

    def keys(self, contact: JID | None) -> a.Keys:
        """The keys of *contact*, None for our own."""
        whose = self.whose(contact)
        return a.Keys(account=self._name, contact=str(whose), keys=self._keys(whose))

    def fingerprints(self, contact: JID) -> a.Fingerprints:
        """The keys of both sides."""
        return a.Fingerprints(
            account=self._name,
            contact=str(contact.bare),
            own=self._keys(self._desk.account),
            theirs=self._keys(contact.bare),
        )

    def _keys(self, whose: JID) -> tuple[a.Key, ...]:
        return tuple(map(self._key, self._desk.cabinet.keys(whose)))

    def _key(self, key: PeerKey) -> a.Key:
        whose = type(self._desk.account).parse(key.contact)
        return a.Key(
            contact=key.contact,
            method=key.fingerprint.method,
            fingerprint=key.fingerprint.text,
            decision=key.decision.value,
            how=key.how_verified or "",
            usable=self._desk.cabinet.usable(whose, key.fingerprint),
            first_seen=key.first_seen,
        )

    def decide(self, contact: JID | None, prefix: str, decision: Decision) -> Deferred[a.Decided]:
        """Set what is thought of the one key that *prefix* selects."""
        whose = self.whose(contact)
        known = self._desk.cabinet.keys(whose)
        found = [key for key in known if selects(prefix, key.fingerprint)]
        if len(found) != 1:
            count = "No key" if not found else "More than one key"
            raise LocalError(f"{count} of {whose} begins like that; the command keys shows them.")
        fingerprint = found[0].fingerprint
        how = {Decision.ACCEPTED: "user", Decision.VERIFIED: "fingerprint"}.get(decision)

        def decided(event: TrustChanged) -> a.Decided:
            lane = self._desk.lanes.get(fingerprint.method)
            if lane is not None:
                lane.tell(event)
            now = next(key for key in self._desk.cabinet.keys(whose) if key.fingerprint == fingerprint)
            return a.Decided(contact=str(whose), key=self._key(now))

        return self._desk.cabinet.decide(whose, fingerprint, decision, how).addCallback(decided)

    # -- policy ----------------------------------------------------------------------------------------------------------

    def clear(self, contact: JID, word: sticky.Word) -> a.Cleared:
        """Take the user's *word* about clear text."""
        memory = sticky.user_clears(self._desk.memory(contact), word)
        self._desk.remember(contact, memory)
        return a.Cleared(contact=str(contact.bare), word=word.value)

    def require(self, contact: JID) -> a.Required:
        """Remember *contact* as encrypted."""
        self._desk.remember(contact, sticky.user_requires(self._desk.memory(contact)))
        return a.Required(contact=str(contact.bare))

    def policy(self, contact: JID | None) -> a.Policy:
        """What holds for *contact*, None for the account."""
        whose, holds = self.whose(contact), self._desk.holds(contact)
        memory = sticky.NOTHING_KNOWN if contact is None else self._desk.memory(contact)
        visible = dict.fromkeys(row.visible for row in kinds.KINDS.values() if row.visible)
        return a.Policy(
            account=self._name,
            contact=str(whose),
            settings=_settings(holds),
            remembered=memory.sticky,
            word=memory.word.value if memory.word else "",
            visible=tuple(visible) if holds.when is kinds.Setting.REQUIRE else (),
        )

    def set_policy(self, contact: JID | None, name: str, value: str, scope: Scope) -> Deferred[a.PolicySet]:
        """Set *name* at *scope*, of this account, to *value*, "" to take it away."""
        if scope in {Scope.CONTACT, Scope.DOMAIN} and contact is None:
            raise LocalError(
                f"Set this in the chat with the contact whose {scope.value} setting it is, or name the contact."
            )
        whose = self.whose(contact)
        key = {
            Scope.CONTACT: str(whose),
            Scope.DOMAIN: whose.domain,
            Scope.ACCOUNT: self._name,
        }[scope]
        row = PolicyRow(account=self._name, scope=scope.value, key=key, setting=name, value=value)
        return everybody.put(self._guards, row)


def _settings(holds: Resolved) -> tuple[a.Setting, ...]:
    return (
        a.Setting(name=rules.WHEN, value=holds.when.value, scope=holds.when_from.value),
        a.Setting(name=rules.WHOM, value=holds.whom.value, scope=holds.whom_from.value),
        a.Setting(name=rules.NOTICES, value=holds.notices, scope=holds.notices_from.value),
        a.Setting(name=rules.METHODS, value=" ".join(holds.methods), scope=holds.methods_from.value),
        a.Setting(name=rules.OTR_HTML, value=holds.otr_html, scope=holds.otr_html_from.value),
    )


def selects(prefix: str, fingerprint: Fingerprint) -> bool:
    """Whether *prefix* begins *fingerprint*, its method written before it or not.

    If it selects several keys that are known, none of them is meant.
    """
    whole = plain(fingerprint.text)
    without_method = prefix.removeprefix(plain(fingerprint.method))
    given = [one for one in (prefix, without_method) if len(one) >= SHORTEST_PREFIX]
    return any(whole.startswith(one) for one in given)
