"""A reference method for tests: whole stanzas sealed to keys that are looked up; group chat, offline, many devices.

The opposite of the session method in every trait: static keys published by each device (PEP), no session, signed and so
no deniability, no forward secrecy. The daemon never offers it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from attrs import evolve

from e2eproxy.errors import RemoteError
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import DOOR_VERSION, MethodError, Recognition, Secrets, Stolen
from e2eproxy.methods.traits import Carries, Claim, Claims, Scope, Traits, Wire
from e2eproxy.testing import directory, sealing
from e2eproxy.testing.fields import KEY, fingerprint_of
from e2eproxy.testing.sealing import NAMESPACE, Identity
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from e2eproxy.methods.door import Context, Forgery, Transcript
    from e2eproxy.xmpp.jid import JID

NAME = "reference-object"
FRESH = 300.0
"""Seconds for which a looked-up list of keys is believed, and by which clocks may differ."""
LONGEST = 30 * 86400.0
"""Seconds a stored stanza may be old, and for which opened ones are remembered."""

TRAITS = Traits(
    name=NAME,
    title="Reference object",
    standard="none: for tests of this program only",
    summary="whole stanzas, signed and sealed to published keys",
    carries=Carries.STANZA,
    scope=Scope.CONTACT,
    kinds=frozenset({"chat", "groupchat", "bodyless"}),
    wire=Wire(elements=frozenset({(NAMESPACE, "sealed")}), eme=NAMESPACE),
    features=(NAMESPACE,),
    survives_offline="Everything: what is sealed can be opened whenever it arrives, for 30 days.",
    needs=("personal eventing (XEP-0163) on the server",),
    commands=(("fingerprint", "show the keys of both sides"),),
    claims=Claims(
        authenticity=Claim(True, "signature"),
        integrity=Claim(True, "AEAD and signature"),
        encryption=Claim(True, "whole stanza"),
        forward_secrecy=Claim(False),
        malleable_encryption=Claim(False, "signed"),
        one_to_one=Claim(True),
        group_chat=Claim(True, "sealed to all members"),
        online_chats=Claim(True),
        offline_messages=Claim(True),
        multiple_resources=Claim(True, "sealed to all devices"),
        discovery_of_support=Claim(True, "key lookup"),
        replay_protection=Claim(True, "signatures remembered"),
        recovery=Claim(False),
    ),
)


class ObjectMethod:
    """The method; see the module."""

    traits = TRAITS
    door_version = DOOR_VERSION

    def engine(self, context: Context) -> ObjectEngine:
        """Make an account's engine."""
        return ObjectEngine(context)

    def recognise(self, stanza: Stanza) -> Recognition:
        """A message with a sealed object that can be decoded is complete."""
        if stanza.kind != "message" or stanza.child(sealing.SEALED) is None:
            return Recognition.NONE
        try:
            sealing.parse(stanza)
        except MethodError:
            return Recognition.MARKED
        return Recognition.COMPLETE

    def open_recorded(self, stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
        """A stolen identity opens all that was ever sealed to it."""
        texts = []
        for one in transcript:
            for identity in stolen.identities:
                secrets = Identity(agreement=identity.secret[:KEY], signing=identity.secret[KEY:])
                try:
                    inner = sealing.unseal(secrets, sealing.parse(Stanza.parse(one.raw)))
                    body = Stanza.parse(inner.stanza).child("jabber:client\x01body")
                except RemoteError:
                    continue
                if body is not None:
                    texts.append(body.node.text)
        return tuple(texts)

    def forge(self, transcript: Transcript, accomplice: Stolen | None) -> Forgery | None:  # noqa: ARG002 - nobody can
        """There is no way: every text is signed."""
        return None


class ObjectEngine:
    """One account's engine. In memory: which questions are open and who waits for them. All else is in the view."""

    def __init__(self, context: Context) -> None:
        """Begin with what is in the view."""
        self.context = context
        self._asked: dict[str, JID] = {}
        self._waiting: set[JID] = set()

    def handle(self, event: events.Event) -> tuple[e.Effect, ...]:
        """As ``Engine`` says."""
        match event:
            case events.Starting():
                return self._starting(event)
            case events.Outbound():
                return self._outbound(event)
            case events.Inbound():
                return self._inbound(event)
            case events.Answer():
                return self._answer(event)
            case events.Command():
                return self._command(event)
            case _:
                return ()

    def _identity(self) -> Identity | None:
        kept = self.context.view.identity("device")
        return Identity(agreement=kept.secret[:KEY], signing=kept.secret[KEY:]) if kept else None

    def _starting(self, event: events.Starting) -> tuple[e.Effect, ...]:
        identity = self._identity()
        made: tuple[e.Effect, ...] = ()
        if identity is None:
            secret = self.context.random(2 * KEY)
            identity = Identity(agreement=secret[:KEY], signing=secret[KEY:])
            own = Fingerprint(NAME, identity.fingerprint)
            made = (
                e.PersistIdentity(name="device", public=identity.public, secret=secret),
                e.Learn(contact=self.context.account, fingerprint=own, public=identity.public),
            )
        publish = directory.publish(identity.fingerprint, identity.public)
        return (
            *made,
            e.Ask(token="publish", to=None, type="set", payload=publish, own=event.own),  # noqa: S106 - no password
            *self._look_up(self.context.account),
        )

    # -- keys --

    def _look_up(self, contact: JID) -> tuple[e.Effect, ...]:
        token = f"keys:{contact}"
        if token in self._asked:
            return ()
        self._asked[token] = contact
        return (e.Ask(token=token, to=contact, payload=directory.question()),)

    def _listed(self, contact: JID) -> list[bytes] | None:
        """The public identities in the list last looked up; None if that is too long ago."""
        record = self.context.view.record(f"list:{contact}")
        if record is None:
            return None
        kept = json.loads(record)
        if not 0 <= self.context.clock() - kept["at"] <= FRESH:
            return None
        return [bytes.fromhex(one) for one in kept["keys"]]

    def _answer(self, event: events.Answer) -> tuple[e.Effect, ...]:
        contact = self._asked.pop(event.token, None)
        if contact is None:
            return ()
        found = (
            directory.answer(event.stanza) if event.outcome is events.Outcome.RESULT and event.stanza else []
        )
        listed = {"at": self.context.clock(), "keys": [one.hex() for one in found]}
        waiting, self._waiting = self._waiting, set()
        learnt = (
            e.Learn(
                contact=contact, fingerprint=Fingerprint(NAME, fingerprint_of(one)), public=one, proved=False
            )
            for one in found
        )
        return (
            e.Persist(key=f"list:{contact}", data=json.dumps(listed).encode()),
            *learnt,
            *(e.Retry(contact=one) for one in sorted(waiting, key=str)),
        )

    # -- stanzas --

    def _outbound(self, event: events.Outbound) -> tuple[e.Effect, ...]:
        group = event.stanza.type == "groupchat"
        if event.stanza.kind != "message" or (group and not event.members):
            return (
                e.Decline(
                    ref=event.ref, why="It protects messages to people and to rooms with known members."
                ),
            )
        contacts = (
            [one for one in event.members if one != self.context.account] if group else [event.peer.bare]
        )
        identity = self._identity()
        missing = [one for one in (*contacts, self.context.account) if self._listed(one) is None]
        if identity is None or missing:
            asks = [ask for one in missing for ask in self._look_up(one)]
            self._waiting.add(event.peer.bare)
            return (*asks, e.Hold(ref=event.ref, why="The contact's keys are being looked up."))
        keys: dict[Fingerprint, bytes] = {}
        for contact in contacts:
            found = {Fingerprint(NAME, fingerprint_of(one)): one for one in self._listed(contact) or ()}
            usable = {key: one for key, one in found.items() if self.context.view.usable(contact, key)}
            if not found:
                return (e.Decline(ref=event.ref, why=f"No key of {contact} is published."),)
            if not usable:
                why = f"No key of {contact} is accepted."
                return (e.Return(ref=event.ref, condition="policy-violation", why=why),)
            keys |= usable
        own = [one for one in self._listed(self.context.account) or () if self._is_ours(one)]
        sealed = sealing.seal(
            identity,
            self.context.account,
            event.peer.bare,
            event.stanza.standalone(),
            [*keys.values(), *own],
            at=float(self.context.clock()),
            random=self.context.random,
        )
        return (e.Send(ref=event.ref, to=event.peer, payload=sealed.to_bytes(), keys=tuple(keys)),)

    def _is_ours(self, public: bytes) -> bool:
        return self.context.view.usable(self.context.account, Fingerprint(NAME, fingerprint_of(public)))

    def _inbound(self, event: events.Inbound) -> tuple[e.Effect, ...]:
        identity = self._identity()
        if identity is None:
            raise MethodError("There is no key of our own yet.")
        inner = sealing.unseal(identity, sealing.parse(event.stanza))
        author = self.check_head(event, inner)
        key = Fingerprint(NAME, inner.author)
        public = self._public(author, inner.author)
        if public is None:
            if self._listed(author) is None:
                why = "The author's key is being looked up."
                self._waiting.add(event.peer.bare)
                return (*self._look_up(author), e.Hold(ref=event.ref, why=why))
            raise MethodError("It is signed with a key that its author has not published.")
        sealing.check(inner, public)
        seen = "seen:" + hashlib.sha256(inner.signature).hexdigest()
        if self.context.view.record(seen) is not None:
            return (e.Absorb(ref=event.ref, why="It was opened before."),)
        return (
            *self._forget_old(),
            e.Persist(key=seen, data=json.dumps(self.context.clock()).encode()),
            e.Deliver(ref=event.ref, inside=e.Whole(inner.stanza), protection=e.Protection(key=key)),
        )

    def check_head(self, event: events.Inbound, inner: sealing.Inner) -> JID:
        """Return the author's bare JID if the addresses and the time inside are those of the stanza."""
        group = event.stanza.type == "groupchat"
        author = event.author if group else event.peer.bare
        expected = event.peer.bare if group else event.to.bare
        if author is None or inner.sender != str(author) or inner.to != str(expected):
            raise MethodError("What is inside was written by or to somebody else than the stanza says.")
        age = self.context.clock() - inner.at
        waited = event.way is not events.Way.LIVE
        if age < -FRESH or age > (LONGEST if waited else FRESH):
            raise MethodError("It was written too long ago, or a clock is wrong.")
        inside = Stanza.parse(inner.stanza)
        if inside.kind != event.stanza.kind or inside.type != event.stanza.type:
            raise MethodError("What is inside is of another kind than the stanza.")
        return author

    def _public(self, contact: JID, fingerprint: str) -> bytes | None:
        return next(
            (
                one.public
                for one in self.context.view.peer_keys(contact)
                if one.fingerprint.text == fingerprint and one.public
            ),
            None,
        )

    def _forget_old(self) -> tuple[e.Persist, ...]:
        now = self.context.clock()
        records = self.context.view.records("seen:")
        return tuple(
            e.Persist(key=name, data=None)
            for name, data in records.items()
            if now - json.loads(data) > 2 * LONGEST
        )

    def _command(self, event: events.Command) -> tuple[e.Effect, ...]:
        keys = [
            *self.context.view.peer_keys(self.context.account),
            *self.context.view.peer_keys(event.peer.bare),
        ]
        text = " ".join(f"{one.contact} has the key {one.fingerprint.text}." for one in keys)
        return (e.Tell(contact=event.peer.bare, text=text or "No key is known yet."),)

    def stolen_state(self, what: Secrets) -> Stolen:
        """As ``Engine`` says."""
        view = self.context.view
        kept = view.identity("device")
        stolen = Stolen(what=what, account=self.context.account, identities=(kept,) if kept else ())
        return evolve(stolen, records=dict(view.records(""))) if what is Secrets.SESSION else stolen
