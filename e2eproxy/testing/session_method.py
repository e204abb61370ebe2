"""A reference method for tests: text in the body, a session by handshake, full JID to full JID, deniable.

Hello and Reply exchange ephemeral X25519 keys; Reply and Finish prove the Ed25519 identities by a signature over both
ephemeral keys and a MAC over identity and JIDs (SIGMA). Then a ratchet. It is honest and complete, but nobody has
reviewed it: the daemon never offers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import DOOR_VERSION, MethodError, Recognition, Secrets, Stolen
from e2eproxy.methods.traits import Carries, Claim, Claims, Scope, Traits, Wire
from e2eproxy.testing import handshake, ratchet
from e2eproxy.testing.handshake import BODY, PREFIX, carried
from e2eproxy.testing.session_attacks import forge, open_recorded
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from e2eproxy.methods.door import Context, Forgery, Transcript
    from e2eproxy.testing.handshake import Half
    from e2eproxy.xmpp.stanza import Stanza

NAME = "reference-session"
FEATURE = "urn:e2eproxy:reference:session:0"
PATIENCE = 60.0
"""Seconds until a handshake is given up."""

TRAITS = Traits(
    name=NAME,
    title="Reference session",
    standard="none: for tests of this program only",
    summary="text in the body, a session by handshake between two resources, deniable",
    carries=Carries.BODY,
    scope=Scope.PEER,
    kinds=frozenset({"chat"}),
    wire=Wire(body_prefixes=(PREFIX,)),
    features=(FEATURE,),
    survives_offline="A session lives until one side ends it; nothing can be written while the peer is away.",
    commands=(("end", "end the session"), ("fingerprint", "show the keys of both sides")),
    claims=Claims(
        authenticity=Claim(True, "signed handshake"),
        integrity=Claim(True, "MAC"),
        encryption=Claim(True, "body only"),
        forward_secrecy=Claim(True, "for each message"),
        malleable_encryption=Claim(True, "anybody, once MAC keys are published"),
        one_to_one=Claim(True),
        group_chat=Claim(False),
        online_chats=Claim(True),
        offline_messages=Claim(False),
        multiple_resources=Claim(False, "one resource has the session"),
        discovery_of_support=Claim(True, "service discovery"),
        replay_protection=Claim(True, "message numbers"),
        recovery=Claim(True, "after a round trip"),
    ),
)


class SessionMethod:
    """The method; see the module. With *parting* its sessions die with the stream, as OTR's do, and the peer is told."""

    traits = TRAITS
    door_version = DOOR_VERSION

    def __init__(self, *, parting: bool = False) -> None:
        """Sessions live until somebody ends them, or (*parting*) as long as the stream."""
        self._parting = parting

    def engine(self, context: Context) -> SessionEngine:
        """Make an account's engine."""
        return SessionEngine(context, parting=self._parting)

    def recognise(self, stanza: Stanza) -> Recognition:
        """A message whose body is one carried message and nothing else is complete."""
        body = stanza.child(BODY) if stanza.kind == "message" else None
        if body is None or not body.node.text.lstrip().startswith(PREFIX):
            return Recognition.NONE
        try:
            handshake.decoded(body.node.text)
        except MethodError:
            return Recognition.MARKED
        return Recognition.COMPLETE

    def open_recorded(self, stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
        """Try every stolen key on everything."""
        return open_recorded(stolen, transcript)

    def forge(self, transcript: Transcript, accomplice: Stolen | None) -> Forgery | None:  # noqa: ARG002 - anybody can
        """Alter a message whose MAC key was published."""
        return forge(transcript)


class SessionEngine:
    """One account's engine. In memory: who is there, and half-done handshakes. Sessions are persisted at every step."""

    def __init__(self, context: Context, *, parting: bool = False) -> None:
        """Begin with what is in the view."""
        self.context = context
        self._parting = parting
        self._here: dict[JID, bool] = {}
        self._able: set[JID] = set()
        self._half: dict[JID, Half] = {}
        self._failed: set[JID] = set()

    # -- small things --

    def _session(self, own: JID, peer: JID) -> ratchet.Ratchet | None:
        record = self.context.view.record(f"session:{own}:{peer}")
        return ratchet.Ratchet.from_bytes(record) if record else None

    def name_of(self, identity: bytes) -> Fingerprint:
        """The fingerprint of a public identity."""
        return Fingerprint(NAME, handshake.fingerprint_of(identity))

    def ephemeral(self, length: int) -> bytes:
        """A secret of *length* bytes that is used once."""
        return self.context.random(length)

    def keep(self, own: JID, peer: JID, state: ratchet.Ratchet | None) -> e.Persist:
        """Persist a session, or forget it."""
        return e.Persist(key=f"session:{own}:{peer}", data=state.to_bytes() if state else None)

    def _key_of(self, own: JID, peer: JID) -> Fingerprint | None:
        record = self.context.view.record(f"key:{own}:{peer}")
        return Fingerprint(NAME, record.decode()) if record else None

    def _emit(self, peer: JID, message: bytes) -> e.Emit:
        return e.Emit(to=peer, payload=_body(message))

    def _protection(self, key: Fingerprint | None) -> e.Protection:
        return e.Protection(key=key, forward_secret=True, deniable=True)

    # -- events --

    def handle(self, event: events.Event) -> tuple[e.Effect, ...]:
        """As ``Engine`` says."""
        match event:
            case events.Outbound():
                return self._outbound(event)
            case events.Inbound():
                return self._inbound(event)
            case events.Timer(name=name):
                return self._late(name)
            case events.Command():
                return self._command(event)
            case _:
                return self._news(event)

    def _news(self, event: events.Event) -> tuple[e.Effect, ...]:
        match event:
            case events.Starting(own=own):
                return self._starting() + self._unproved(own)
            case events.PeerFeatures(peer=peer, features=features):
                (self._able.add if FEATURE in features else self._able.discard)(peer)
            case events.PeerPresence():
                return self._presence(event)
            case events.Stopping(own=own) if self._parting:
                return self._goodbyes(own)
            case _:
                pass
        return ()

    def _goodbyes(self, own: JID) -> tuple[e.Effect, ...]:
        prefix = f"session:{own}:"
        peers = [JID.parse(key.removeprefix(prefix)) for key in self.context.view.records(prefix)]
        parted = [(peer, state) for peer in peers if (state := self._session(own, peer)) is not None]
        farewells = [(peer, ratchet.seal(state, b"", self.ephemeral)[1]) for peer, state in parted]
        return (
            *(self.keep(own, peer, None) for peer, _ in farewells),
            *(self._emit(peer, b"x" + message.to_bytes()) for peer, message in farewells),
            *(e.SessionChanged(peer=peer, state=e.State.NONE) for peer, _ in farewells),
        )

    def _starting(self) -> tuple[e.Effect, ...]:
        known = self.context.view.identity("signing")
        if known is not None:
            return ()
        secret = self.context.random(32)
        public = handshake.verifying_key(secret)
        own = self.name_of(public)
        return (
            e.PersistIdentity(name="signing", public=public, secret=secret),
            e.Learn(contact=self.context.account, fingerprint=own, public=public),
        )

    def _unproved(self, own: JID) -> tuple[e.Effect, ...]:
        """Forget sessions whose last step may never have left: what was committed was perhaps not sent any more."""
        peers = [
            key.removeprefix(f"unproved:{own}:") for key in self.context.view.records(f"unproved:{own}:")
        ]
        return tuple(
            e.Persist(key=f"{kind}:{own}:{peer}", data=None)
            for peer in peers
            for kind in ("session", "unproved")
        )

    def _presence(self, event: events.PeerPresence) -> tuple[e.Effect, ...]:
        if event.available:
            self._here[event.peer] = True
            self._failed.discard(event.peer)
            return ()
        self._here.pop(event.peer, None)
        if self._half.pop(event.peer, None):
            return (
                e.SessionChanged(peer=event.peer, state=e.State.NONE),
                e.SetTimer(name=str(event.peer), seconds=None),
                e.Retry(contact=event.peer.bare),
            )
        return ()

    def _outbound(self, event: events.Outbound) -> tuple[e.Effect, ...]:
        body = event.stanza.child(BODY)
        if event.stanza.kind != "message" or event.stanza.type == "groupchat" or body is None:
            return (e.Decline(ref=event.ref, why="It protects the text of messages to one person only."),)
        peer = self._whom(event.own, event.peer)
        if peer is None:
            return (e.Decline(ref=event.ref, why="The contact has no client online that can do this."),)
        state = self._session(event.own, peer)
        if state is None:
            return self._open(event, peer)
        key = self._key_of(event.own, peer)
        if key is None or not self.context.view.usable(peer.bare, key):
            why = "The contact's key is not accepted."
            return (e.Return(ref=event.ref, condition="policy-violation", why=why),)
        state, message = ratchet.seal(state, body.node.text.encode(), self.ephemeral)
        payload = _body(b"d" + message.to_bytes())
        return (
            self.keep(event.own, peer, state),
            e.Send(ref=event.ref, to=peer, payload=payload, keys=(key,), lasting=False),
        )

    def _whom(self, own: JID, peer: JID) -> JID | None:
        """The resource to write to: the one that is meant, else one with a session, else one that can do this."""
        there = [one for one in self._here if one.bare == peer.bare and (one in self._able)]
        if peer.full:
            return peer if peer in there else None
        with_session = [one for one in there if self.context.view.record(f"session:{own}:{one}")]
        return next(iter(with_session or there), None)

    def _open(self, event: events.Outbound, peer: JID) -> tuple[e.Effect, ...]:
        if peer in self._failed:
            why = "No encrypted session could be made with the contact's client."
            return (e.Return(ref=event.ref, condition="remote-server-timeout", why=why),)
        hold = e.Hold(ref=event.ref, why="An encrypted session is being made.")
        if peer in self._half:
            return (hold,)
        half = handshake.hello(self.ephemeral)
        self._half[peer] = half
        return (
            self._emit(peer, half.message),
            e.SetTimer(name=str(peer), seconds=PATIENCE),
            e.SessionChanged(peer=peer, state=e.State.NEGOTIATING),
            hold,
        )

    def _late(self, name: str) -> tuple[e.Effect, ...]:
        peer = next((one for one in self._half if str(one) == name), None)
        if peer is None:
            return ()
        del self._half[peer]
        self._failed.add(peer)
        return (
            e.SessionChanged(peer=peer, state=e.State.NONE),
            e.Tell(
                contact=peer.bare, text="No encrypted session could be made: no answer.", tone=e.Tone.WARNING
            ),
            e.Retry(contact=peer.bare),
        )

    def _inbound(self, event: events.Inbound) -> tuple[e.Effect, ...]:
        body = event.stanza.child(BODY)
        if body is None:
            raise MethodError("A message without text arrived.")
        kind, data = handshake.decoded(body.node.text)
        if event.way is not events.Way.LIVE:
            why = "It is a copy of a conversation that another device, or this one at another time, had."
            return (e.Unreadable(ref=event.ref, why=why),)
        steps = {
            b"h": self._hello,
            b"r": self._reply,
            b"f": self._finish,
            b"d": self._data,
            b"x": self._ended,
        }
        if kind not in steps:
            raise MethodError("A message of an unknown kind arrived.")
        return steps[kind](event, data)

    def _hello(self, event: events.Inbound, data: bytes) -> tuple[e.Effect, ...]:
        mine = self._half.get(event.peer)
        if mine is not None and mine.role == "initiator" and mine.public > data:
            return (e.Absorb(ref=event.ref, why="Both sides began; ours goes on."),)
        again = mine is not None and mine.peer_public == data
        half = mine if mine and again else handshake.reply(self._party(event), data, self.ephemeral)
        self._half[event.peer] = half
        return (
            e.Absorb(ref=event.ref, why="A step of a handshake."),
            self._emit(event.peer, half.message),
            e.SetTimer(name=str(event.peer), seconds=PATIENCE),
            e.SessionChanged(peer=event.peer, state=e.State.NEGOTIATING),
        )

    def _party(self, event: events.Inbound) -> handshake.Party:
        identity = self.context.view.identity("signing")
        if identity is None:
            raise MethodError("There is no key of our own yet.")
        return handshake.Party(own=event.own.bare, peer=event.peer.bare, signing=identity.secret)

    def _reply(self, event: events.Inbound, data: bytes) -> tuple[e.Effect, ...]:
        half = self._half.get(event.peer)
        if half is None or half.role != "initiator":
            return (e.Absorb(ref=event.ref, why="An answer to nothing."),)
        done = handshake.finish(self._party(event), half, data)
        unproved = e.Persist(key=f"unproved:{event.own}:{event.peer}", data=b"\x01")
        return (unproved, *self._established(event, done, (self._emit(event.peer, done.message),)))

    def _finish(self, event: events.Inbound, data: bytes) -> tuple[e.Effect, ...]:
        half = self._half.get(event.peer)
        if half is None or half.role != "responder":
            return (e.Absorb(ref=event.ref, why="An answer to nothing."),)
        return self._established(event, handshake.accept(self._party(event), half, data), ())

    def _established(
        self, event: events.Inbound, done: handshake.Done, answer: tuple[e.Emit, ...]
    ) -> tuple[e.Effect, ...]:
        self._half.pop(event.peer, None)
        self._failed.discard(event.peer)
        # Who went through a handshake is there and able, whatever its presence and its features say.
        self._able.add(event.peer)
        self._here[event.peer] = True
        key = self.name_of(done.identity)
        return (
            e.Learn(contact=event.peer.bare, fingerprint=key, public=done.identity),
            self.keep(event.own, event.peer, done.state),
            e.Persist(key=f"key:{event.own}:{event.peer}", data=key.text.encode()),
            e.Absorb(ref=event.ref, why="A step of a handshake."),
            *answer,
            e.SetTimer(name=str(event.peer), seconds=None),
            e.SessionChanged(peer=event.peer, state=e.State.ACTIVE, protection=self._protection(key)),
            e.Retry(contact=event.peer.bare),
        )

    def _data(self, event: events.Inbound, data: bytes) -> tuple[e.Effect, ...]:
        state = self._session(event.own, event.peer)
        message = ratchet.Message.from_bytes(data)
        if state is None or message.tag != state.tag:
            why = "It belongs to a session that is not there any more; the contact has to write again."
            return (e.Unreadable(ref=event.ref, why=why),)
        try:
            after, text = ratchet.open_(state, message)
        except ratchet.RepeatedError:
            return (e.Absorb(ref=event.ref, why="It was opened before."),)
        try:
            inside = e.Body(text.decode())
        except UnicodeDecodeError:
            raise MethodError("A message is not text.") from None
        key = self._key_of(event.own, event.peer)
        replied: tuple[e.Effect, ...] = (
            (e.ProvedReading(contact=event.peer.bare),) if after.peer != state.peer and state.sent else ()
        )
        unproved = f"unproved:{event.own}:{event.peer}"
        proved: tuple[e.Effect, ...] = (
            () if self.context.view.record(unproved) is None else (e.Persist(key=unproved, data=None),)
        )
        return (
            self.keep(event.own, event.peer, after),
            *proved,
            e.Deliver(ref=event.ref, inside=inside, protection=self._protection(key)),
            *replied,
        )

    def _ended(self, event: events.Inbound, data: bytes) -> tuple[e.Effect, ...]:
        state = self._session(event.own, event.peer)
        if state is None:
            return (e.Absorb(ref=event.ref, why="The end of a session that is not there."),)
        ratchet.open_(state, ratchet.Message.from_bytes(data))
        return (
            self.keep(event.own, event.peer, None),
            e.Absorb(ref=event.ref, why="The session was ended."),
            e.SessionChanged(peer=event.peer, state=e.State.FINISHED),
            e.Tell(contact=event.peer.bare, text="The contact ended the encrypted session."),
        )

    def _command(self, event: events.Command) -> tuple[e.Effect, ...]:
        peer = self._whom(event.own, event.peer) or event.peer
        state = self._session(event.own, peer)
        if event.verb == "end" and state is not None:
            _, message = ratchet.seal(state, b"", self.ephemeral)
            return (
                self.keep(event.own, peer, None),
                self._emit(peer, b"x" + message.to_bytes()),
                e.SessionChanged(peer=peer, state=e.State.NONE),
                e.Tell(contact=peer.bare, text="The encrypted session is ended."),
            )
        if event.verb == "fingerprint":
            keys = [
                *self.context.view.peer_keys(self.context.account),
                *self.context.view.peer_keys(peer.bare),
            ]
            text = " ".join(f"{one.contact} has the key {one.fingerprint.text}." for one in keys)
            return (e.Tell(contact=peer.bare, text=text or "No key is known yet."),)
        return (e.Tell(contact=peer.bare, text="There is no encrypted session."),)

    def stolen_state(self, what: Secrets) -> Stolen:
        """As ``Engine`` says."""
        view = self.context.view
        identity = view.identity("signing")
        stolen = Stolen(what=what, account=self.context.account, identities=(identity,) if identity else ())
        if what is Secrets.LONG_TERM:
            return stolen
        memory = {f"half:{peer}": half.secret for peer, half in self._half.items()}
        return evolve(stolen, records=dict(view.records("")), memory=memory)


def _body(message: bytes) -> bytes:
    return element("body", {"xmlns": "jabber:client"}, escape_text(carried(message)).encode())


__all__ = ["FEATURE", "NAME", "TRAITS", "SessionEngine", "SessionMethod"]
