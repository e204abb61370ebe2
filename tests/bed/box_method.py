"""A method for tests of the pipeline that carries every kind of stanza whole: requests, answers, errors and presence as well.

The two reference methods carry messages only, and much of what may leak is none. There is no secret in it: whoever knows this
file can open the box. It only has to hide what is inside from somebody who looks for it.
"""

from __future__ import annotations

import base64
import hashlib

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import DOOR_VERSION, MethodError, Recognition, Stolen
from e2eproxy.methods.traits import Wire
from e2eproxy.testing.object_method import TRAITS
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import element

NAME = "box"
NAMESPACE = "urn:e2eproxy:test:box:0"
BOX = NAMESPACE + names.SEPARATOR + "box"
KEY = Fingerprint(NAME, "00")
PROTECTION = e.Protection(key=KEY)


def _mixed(data: bytes, salt: bytes) -> bytes:
    blocks = (hashlib.sha256(salt + bytes([n >> 8, n & 255])).digest() for n in range(len(data) // 32 + 1))
    return bytes(one ^ other for one, other in zip(data, b"".join(blocks), strict=False))


class BoxMethod:
    """The method; see the module."""

    door_version = DOOR_VERSION
    traits = evolve(
        TRAITS,
        name=NAME,
        title="Box",
        summary="every kind of stanza, whole",
        kinds=frozenset({"chat", "groupchat", "muc-private", "bodyless", "directed-presence", "iq", "error"}),
        wire=Wire(elements=frozenset({(NAMESPACE, "box")}), eme=NAMESPACE),
        features=(NAMESPACE,),
        commands=(("end", "end the session"),),
    )

    def engine(self, context):
        return BoxEngine(context)

    def recognise(self, stanza):
        return Recognition.NONE if stanza.child(BOX) is None else Recognition.COMPLETE


class BoxEngine:
    """There is a session with whoever can have one, until somebody ends it."""

    def __init__(self, context):
        self.context = context
        self.ended = set()

    def handle(self, event):
        match event:
            case events.Starting():
                return (e.Learn(contact=self.context.account, fingerprint=KEY, public=b"0"),)
            case events.PeerFeatures(peer=peer, features=features) if NAMESPACE in features:
                return (e.SessionChanged(peer=peer, state=e.State.ACTIVE, protection=PROTECTION),)
            case events.Outbound():
                return self._outbound(event)
            case events.Inbound():
                return self._inbound(event)
            case events.Command(peer=peer, verb="end"):
                end = e.Emit(to=peer, payload=element("box", {"xmlns": NAMESPACE, "end": "yes"}))
                return (end, e.SessionChanged(peer=peer, state=e.State.NONE))
        return ()

    def _outbound(self, event):
        salt = self.context.random(16)
        text = base64.b64encode(salt + _mixed(event.stanza.standalone(), salt))
        return (
            e.Learn(contact=event.peer.bare, fingerprint=KEY, public=b"0"),
            e.Send(
                ref=event.ref,
                to=event.peer,
                payload=element("box", {"xmlns": NAMESPACE}, text),
                keys=(KEY,),
            ),
        )

    def _inbound(self, event):
        box = event.stanza.child(BOX)
        if "end" in box.attributes:
            ended = e.SessionChanged(peer=event.peer, state=e.State.FINISHED)
            return (e.Absorb(ref=event.ref, why="The end."), ended)
        try:
            data = base64.b64decode(box.text, validate=True)
        except ValueError:
            raise MethodError("There is nothing in the box.") from None
        inside = e.Whole(_mixed(data[16:], data[:16]))
        return (
            e.Learn(contact=event.peer.bare, fingerprint=KEY, public=b"0"),
            e.ProvedReading(contact=event.peer.bare),
            e.Deliver(ref=event.ref, inside=inside, protection=PROTECTION),
        )

    def stolen_state(self, what):
        return Stolen(what=what, account=self.context.account)
