"""A stanza written anew with what is allowed and no more: the outcome ``TRIM`` (laws 1 and 10).

Nothing is copied from the client's bytes but the address. Every attribute, child and text of the result was compared with
an allow-list first, so neither a namespace prefix nor blanks between elements can carry anything out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy import payloads
from e2eproxy.proxy.allowed_children import Carries, split
from e2eproxy.proxy.kinds import Kind
from e2eproxy.proxy.shapes import (
    ANYTHING,
    BASE64,
    DATE_TIME,
    NUMBER,
    PRIORITY,
    SHA1,
    SOFTWARE,
    Allowed,
    Ids,
    fits,
    one_of,
    written,
)
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import build

if TYPE_CHECKING:
    from e2eproxy.proxy.classify import Classified
    from e2eproxy.xmpp.stanza import Kind as StanzaKind
    from e2eproxy.xmpp.tree import Node


def _name(namespace: str, local: str) -> str:
    return namespace + names.SEPARATOR + local


_CAPS: Final = "http://jabber.org/protocol/caps"
_PHOTO: Final = "vcard-temp:x:update"

PRESENCE: Final[tuple[Allowed, ...]] = (
    Allowed(
        element=_name(names.CLIENT, "show"),
        text=one_of("away", "chat", "dnd", "xa"),
        why="RFC 6121: one of four words.",
    ),
    Allowed(element=_name(names.CLIENT, "priority"), text=PRIORITY, why="RFC 6121: a number."),
    Allowed(
        element=_name(_CAPS, "c"),
        attributes={"hash": one_of("sha-1", "sha-256", "md5"), "node": SOFTWARE, "ver": BASE64},
        required=frozenset({"hash", "node", "ver"}),
        why="XEP-0115: what the client can do.",
    ),
    Allowed(
        element=_name("urn:xmpp:idle:1", "idle"),
        attributes={"since": DATE_TIME},
        required=frozenset({"since"}),
        why="XEP-0319: since when the user is idle.",
    ),
    Allowed(
        element=_name(payloads.LAST, "query"),
        attributes={"seconds": NUMBER},
        required=frozenset({"seconds"}),
        why="XEP-0256: the same, for old clients.",
    ),
    Allowed(
        element=_name(_PHOTO, "x"),
        children=(Allowed(element=_name(_PHOTO, "photo"), text=SHA1),),
        why="XEP-0153: the hash of the picture in the vCard.",
    ),
)

JOIN: Final = Allowed(
    element=_name(payloads.MUC, "x"),
    children=(
        Allowed(element=_name(payloads.MUC, "password"), text=ANYTHING),
        Allowed(
            element=_name(payloads.MUC, "history"),
            attributes={"maxchars": NUMBER, "maxstanzas": NUMBER, "seconds": NUMBER, "since": DATE_TIME},
        ),
    ),
    why="XEP-0045: joins a room; its password is for the server.",
)

_TYPES: Final[dict[str, frozenset[str]]] = {
    names.MESSAGE: frozenset({"chat", "groupchat", "headline", "normal"}),
    names.PRESENCE: frozenset(
        {"unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"}
    ),
    names.IQ: frozenset({"get", "set"}),
}
_KINDS: Final[dict[str, StanzaKind]] = {
    names.MESSAGE: "message",
    names.PRESENCE: "presence",
    names.IQ: "iq",
}


def trimmed(tree: Node, classified: Classified, ids: Ids) -> bytes | None:
    """Return *tree* with what is allowed and no more, with the id ``ids.outer``; None if nothing would be left of it.

    It keeps the address as it was written. An error has to be made bare instead; its kind raises ValueError.
    """
    what = tree.attributes.get("type")
    if classified.kind is Kind.ERROR:
        raise ValueError("An error is not trimmed but made bare.")
    content = _content(tree, classified, ids)
    if content is None:
        return None
    attributes = {
        "to": tree.attributes.get("to"),
        "type": what if what in _TYPES[tree.name] else None,
        "id": ids.outer,
    }
    return build(_KINDS[tree.name], attributes, content)


def bare_result(*, to: str | None, stanza_id: str | None) -> bytes:
    """Return an IQ result that says nothing, to the address and with the id of the request as the proxy knows them."""
    return build("iq", {"to": to, "id": stanza_id, "type": "result"})


def _content(tree: Node, classified: Classified, ids: Ids) -> bytes | None:
    if classified.encrypted is not None:
        return classified.encrypted.payload + (_beside(tree, classified.kind, ids) or b"")
    return _of_iq(tree, ids) if tree.name == names.IQ else _beside(tree, classified.kind, ids)


def _beside(tree: Node, kind: Kind, ids: Ids) -> bytes | None:
    """Return the children of what is no request that are allowed; None if it had some, and none of them is."""
    if tree.name == names.MESSAGE:
        outside = split(tree.children, Carries.NOTHING, ids).outside
        return b"".join(outside) if outside or not tree.children else None
    return _of_presence(tree, kind, ids)


def _of_presence(tree: Node, kind: Kind, ids: Ids) -> bytes:
    if kind is Kind.SUBSCRIPTION:
        return b""
    allowed = {one.element: one for one in (*PRESENCE, *((JOIN,) if kind is Kind.ROOM_PRESENCE else ()))}
    found: dict[str, bytes] = {}
    for child in tree.children:
        one = allowed.get(child.name)
        if one is not None and child.name not in found and fits(child, one, ids):
            found[child.name] = written(child, one, ids)
    return b"".join(found.values())


def _of_iq(tree: Node, ids: Ids) -> bytes | None:
    requests = (*payloads.HARMLESS, payloads.KEY_REQUEST)
    found = [written(child, one, ids) for child in tree.children for one in requests if fits(child, one, ids)]
    return found.pop() if len(found) == 1 else None
