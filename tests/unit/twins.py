"""Broken twins of the reference methods: each has one fault, which the experiment it is made for has to find."""

from __future__ import annotations

import base64
import urllib.parse
import zlib

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import DOOR_VERSION, Recognition
from e2eproxy.testing import WHO, ObjectMethod, SessionMethod
from e2eproxy.testing.device import BODY, text_of
from e2eproxy.testing.object_method import ObjectEngine
from e2eproxy.testing.session_method import FEATURE, NAME, SessionEngine
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import element


class Twin:
    """A reference method with another engine."""

    door_version = DOOR_VERSION

    def __init__(self, healthy, engine):
        self.healthy, self._engine, self.traits = healthy, engine, healthy.traits

    def engine(self, context):
        return self._engine(context)

    def recognise(self, stanza):
        return self.healthy.recognise(stanza)

    def open_recorded(self, stolen, transcript):
        return self.healthy.open_recorded(stolen, transcript)

    def forge(self, transcript, accomplice):
        return self.healthy.forge(transcript, accomplice)


def session(engine):
    return Twin(SessionMethod(), engine)


def sealed(engine):
    return Twin(ObjectMethod(), engine)


def changing(base, change):
    """An engine whose effects pass through `change` one by one."""

    class Changed(base):
        def handle(self, event):
            return tuple(new for one in super().handle(event) for new in [change(one)] if new is not None)

    return Changed


# ---- who can read ----


def leaking(write):
    """The text goes along in an element of its own, written by `write`."""

    class Leaking(SessionEngine):
        def handle(self, event):
            effects = super().handle(event)
            if not isinstance(event, events.Outbound):
                return effects
            leak = write(text_of(event.stanza).encode())
            return tuple(
                evolve(one, payload=one.payload + leak) if isinstance(one, e.Send) else one for one in effects
            )

    return session(Leaking)


LEAKS = {
    "raw": lambda text: element("debug", {"xmlns": "urn:x"}, text.replace(b"&", b"").replace(b"<", b"")),
    "entities": lambda text: element("debug", {"xmlns": "urn:x"}, b"".join(b"&#%d;" % byte for byte in text)),
    "base64": lambda text: element("debug", {"xmlns": "urn:x"}, base64.b64encode(text)),
    "base64 shifted": lambda text: element("debug", {"xmlns": "urn:x"}, base64.b64encode(b"~" + text)),
    "base64url": lambda text: element("debug", {"xmlns": "urn:x"}, base64.urlsafe_b64encode(b"~~" + text)),
    "percent": lambda text: element("debug", {"xmlns": "urn:x"}, "".join(f"%{b:02X}" for b in text).encode()),
    "attribute": lambda text: element("debug", {"xmlns": "urn:x", "v": urllib.parse.quote(text)}),
    "utf-16": lambda text: element(
        "debug", {"xmlns": "urn:x"}, base64.b64encode(text.decode().encode("utf-16-le"))
    ),
    "deflated": lambda text: element("debug", {"xmlns": "urn:x"}, base64.b64encode(zlib.compress(text))),
    "hex": lambda text: element("debug", {"xmlns": "urn:x"}, text.hex().encode()),
}


class StaticKeys(SessionEngine):
    """The identity's secret serves as every ephemeral key."""

    def ephemeral(self, length):
        return self.context.view.identity("signing").secret[:length]


class Secretive(SessionEngine):
    """MAC keys are never published."""

    def keep(self, own, peer, state):
        return super().keep(own, peer, state and evolve(state, publish=b""))


# ---- who wrote ----


class Gullible(SessionEngine):
    """Clear text is taken for the contact's, with the key he had last."""

    def handle(self, event):
        if isinstance(event, events.Inbound) and "?E2EREF:" not in text_of(event.stanza):
            keys = self.context.view.peer_keys(event.peer.bare)
            protection = e.Protection(key=keys[0].fingerprint if keys else None)
            return (e.Deliver(ref=event.ref, inside=e.Body(text_of(event.stanza)), protection=protection),)
        return super().handle(event)


class GullibleMethod(Twin):
    def recognise(self, stanza):
        has_body = stanza.kind == "message" and stanza.child(BODY) is not None
        return Recognition.COMPLETE if has_body else Recognition.NONE


class OneName(SessionEngine):
    """Every key has the same fingerprint."""

    def name_of(self, identity):  # noqa: ARG002 - that is the fault
        return Fingerprint(NAME, "00")


class Naive(SessionEngine):
    """Base64 is all the encryption there is."""

    def handle(self, event):
        key = Fingerprint(NAME, "00")
        match event:
            case events.Starting():
                return (e.Learn(contact=self.context.account, fingerprint=key, public=b"0"),)
            case events.Outbound():
                text = base64.b64encode(b"d" + text_of(event.stanza).encode()).decode()
                body = element("body", {"xmlns": "jabber:client"}, f"?E2EREF:{text}.".encode())
                return (e.Send(ref=event.ref, to=event.peer, payload=body, keys=(key,)),)
            case events.Inbound():
                coded = text_of(event.stanza).removeprefix("?E2EREF:").removesuffix(".")
                text = base64.b64decode(coded)[1:].decode("utf-8", "replace")
                learn = e.Learn(contact=event.peer.bare, fingerprint=key, public=b"0")
                return (
                    learn,
                    e.Deliver(ref=event.ref, inside=e.Body(text), protection=e.Protection(key=key)),
                )
        return ()


class Forgetful(ObjectEngine):
    """Nothing that was opened is remembered."""

    def handle(self, event):
        return tuple(
            one
            for one in super().handle(event)
            if not (isinstance(one, e.Persist) and one.key.startswith("seen:"))
        )


class Sleepy(Forgetful):
    """What was opened is remembered only until a restart."""

    def __init__(self, context):
        super().__init__(context)
        self.opened = set()

    def handle(self, event):
        effects = super().handle(event)
        if any(isinstance(one, e.Deliver) for one in effects):
            inner = next(one.inside.raw for one in effects if isinstance(one, e.Deliver))
            if inner in self.opened:
                return (e.Absorb(ref=event.ref, why="Opened before."),)
            self.opened.add(inner)
        return effects


class Vain(ObjectEngine):
    """Whoever is named inside has written it, whatever the stanza says."""

    def check_head(self, event, inner):  # noqa: ARG002 - that is the fault
        return JID.parse(inner.sender)


# ---- what can be done ----


def flattening(one):
    """Line breaks get lost."""
    if isinstance(one, e.Deliver) and isinstance(one.inside, e.Body):
        return evolve(one, inside=e.Body(one.inside.text.replace("\n", " ")))
    return one


def not_lasting(one):
    """Servers are told not to keep anything."""
    return evolve(one, lasting=False) if isinstance(one, e.Send) else one


def to_one_device(one):
    """Everything goes to Bob's telephone."""
    return evolve(one, to=WHO.bob) if isinstance(one, e.Send) and one.to == WHO.bob.bare else one


class Excluding(ObjectEngine):
    """A room has only its first two members."""

    def handle(self, event):
        if isinstance(event, events.Outbound):
            event = evolve(event, members=event.members[:2])
        return super().handle(event)


class Slow(SessionEngine):
    """Everything waits for ten seconds."""

    def handle(self, event):
        if isinstance(event, events.Outbound) and not event.again:
            return (e.SetTimer(name="slow", seconds=10), e.Hold(ref=event.ref, why="Later."))
        if isinstance(event, events.Timer) and event.name == "slow":
            return (e.Retry(contact=WHO.alice.bare), e.Retry(contact=WHO.bob.bare))
        return super().handle(event)


class Presuming(SessionEngine):
    """Everybody is thought to be able to do this."""

    def handle(self, event):
        if isinstance(event, events.PeerFeatures):
            event = evolve(event, features=event.features | {FEATURE})
        return super().handle(event)


class Blind(SessionEngine):
    """Nobody is ever found to be able to do this."""

    def handle(self, event):
        return () if isinstance(event, events.PeerFeatures) else super().handle(event)
