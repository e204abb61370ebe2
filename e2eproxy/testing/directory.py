"""How the reference object method publishes and looks up keys: one PEP node, one item for each device."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from e2eproxy.methods.door import MethodError
from e2eproxy.testing.fields import KEY, fingerprint_of
from e2eproxy.testing.sealing import NAMESPACE
from e2eproxy.xmpp.names import SEPARATOR
from e2eproxy.xmpp.stanza import element

if TYPE_CHECKING:
    from e2eproxy.xmpp.stanza import Stanza

PUBSUB = "http://jabber.org/protocol/pubsub"
NODE = NAMESPACE + ":keys"
MOST_KEYS = 20


def publish(fingerprint: str, public: bytes) -> bytes:
    """The payload of an IQ set that publishes a public identity."""
    key = element("identity", {"xmlns": NAMESPACE}, base64.b64encode(public))
    item = element("item", {"id": fingerprint}, key)
    return element("pubsub", {"xmlns": PUBSUB}, element("publish", {"node": NODE}, item))


def question() -> bytes:
    """The payload of an IQ get for all identities."""
    return element("pubsub", {"xmlns": PUBSUB}, element("items", {"node": NODE}))


def answer(stanza: Stanza) -> list[bytes]:
    """The public identities in the answer *stanza*; raises MethodError if one is damaged."""
    pubsub = stanza.child(PUBSUB + SEPARATOR + "pubsub")
    items = pubsub and pubsub.child(PUBSUB + SEPARATOR + "items")
    found = []
    for item in (items.children if items else ())[:MOST_KEYS]:
        identity = item.child(NAMESPACE + SEPARATOR + "identity")
        try:
            public = base64.b64decode(identity.node.text, validate=True) if identity else b""
        except (binascii.Error, ValueError):
            public = b""
        if len(public) != 2 * KEY or item.attributes.get("id") != fingerprint_of(public):
            raise MethodError("A published key of the contact is damaged.")
        found.append(public)
    return found
