"""Whether the client has encrypted a stanza itself, so that the proxy stands down (law 10).

Only what parses as a system's wire form, whole, counts. What is sent on is written anew from what was checked, so a
sentence hidden in an attribute or between two elements of it does not leave. Anything else is plain text under policy.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.proxy import openpgp_packets, otr_text
from e2eproxy.proxy.allowed_children import BODY
from e2eproxy.proxy.shapes import (
    BARE_JID,
    BASE64,
    BOOLEAN,
    NUMBER,
    TOKEN,
    URL_BASE64,
    Allowed,
    Ids,
    Shape,
    decoded,
    fits,
    one_of,
    written,
)
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Collection

    from e2eproxy.xmpp.tree import Node

LEGACY_OMEMO: Final = "eu.siacs.conversations.axolotl"
OMEMO: Final = "urn:xmpp:omemo:2"
XEP_0027: Final = "jabber:x:encrypted"
OX: Final = "urn:xmpp:openpgp:0"
MILLER: Final = "urn:ietf:params:xml:ns:xmpp-e2e:6"
RFC_3923: Final = "urn:ietf:params:xml:ns:xmpp-e2e"
OTR: Final = "urn:xmpp:otr:0"

#: The systems that are recognised, by the names policy and ``client_speaks`` have for them, with that of XEP-0380.
SYSTEMS: Final = {
    "otr": OTR,
    "omemo": OMEMO,
    "omemo-legacy": LEGACY_OMEMO,
    "ox": OX,
    "xep-0027": XEP_0027,
    "miller-e2e": MILLER,
    "rfc3923": RFC_3923,
}

#: What stands in the place of a fallback body: fixed, so that it says nothing of the user's.
HINT: Final = "This message is encrypted end to end, and this client cannot open it."

_MOST_KEYS: Final = 2000
_SEQUENCE: Final = b"\x30"
_ENVELOPED_DATA: Final = bytes.fromhex("06092a864886f70d010703")
_HEADER: Final = {
    "alg": one_of("A128KW", "A192KW", "A256KW", "dir"),
    "enc": one_of("A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"),
    "kid": TOKEN,
}


@frozen
class Encrypted:
    """A stanza that the client encrypted: with which *systems* (names), and *payload*, all that leaves of it."""

    systems: tuple[str, ...]
    payload: bytes


def _name(namespace: str, local: str) -> str:
    return namespace + names.SEPARATOR + local


def _is_armoured(text: str, _ids: Ids) -> bool:
    # The checksum is a line of its own: "=" and four characters (RFC 4880 section 6.1). Some leave it out.
    body, mark, last = text.strip().rpartition("\n=")
    data = decoded(body if mark else last)
    if data is None or (mark and decoded(last) != _crc24(data)):
        return False
    return openpgp_packets.is_encrypted(data)


def _crc24(data: bytes) -> bytes:
    value = 0xB704CE
    for byte in data:
        value ^= byte << 16
        for _ in range(8):
            value = value << 1 ^ (0x1864CFB if value & 0x800000 else 0)
    return value.to_bytes(3, "big")


def _is_openpgp(text: str, _ids: Ids) -> bool:
    data = decoded(text)
    return data is not None and openpgp_packets.is_encrypted(data)


def _is_enveloped(text: str, ids: Ids) -> bool:
    """Whether *text* is base64 of CMS EnvelopedData, or of OpenPGP as Kontalk puts it into the same element."""
    data = decoded(text)
    if data is None or not data.startswith(_SEQUENCE):
        return _is_openpgp(text, ids)
    first = int.from_bytes(data[1:2], "big")
    size = max(first - 0x80, 0)
    length = int.from_bytes(data[2 : 2 + size], "big") if size else first
    inside = data[2 + size :]
    return len(inside) == length and inside.startswith(_ENVELOPED_DATA)


def _is_jose_header(text: str, ids: Ids) -> bool:
    data = decoded(text, url=True)
    if data is None:
        return False
    try:
        # Pairs rather than a dict: of a key that is there twice, the first could say anything.
        pairs = json.loads(data, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return False
    if not isinstance(pairs, tuple) or len(pairs) != len({key for key, _ in pairs}):
        return False
    header = dict(pairs)
    known = {"alg", "enc"} <= header.keys() <= _HEADER.keys()
    return known and all(
        isinstance(header[key], str) and _HEADER[key].test(header[key], ids) for key in header
    )


_ARMOURED: Final = Shape(
    "an encrypted OpenPGP message without its armour's first and last line", _is_armoured
)
_OPENPGP: Final = Shape("base64 of an encrypted OpenPGP message", _is_openpgp)
_ENVELOPED: Final = Shape("base64 of CMS EnvelopedData or of an encrypted OpenPGP message", _is_enveloped)
_JOSE_HEADER: Final = Shape("base64url of a JOSE header", _is_jose_header)


def _key(namespace: str, mark: str) -> Allowed:
    return Allowed(
        element=_name(namespace, "key"),
        attributes={"rid": NUMBER, mark: BOOLEAN},
        required=frozenset({"rid"}),
        text=BASE64,
        most=_MOST_KEYS,
    )


def _texts(namespace: str, *locals_: str, shape: Shape = BASE64) -> tuple[Allowed, ...]:
    return tuple(Allowed(element=_name(namespace, local), text=shape) for local in locals_)


ENVELOPES: Final[dict[str, Allowed]] = {
    "omemo-legacy": Allowed(
        element=_name(LEGACY_OMEMO, "encrypted"),
        children=(
            Allowed(
                element=_name(LEGACY_OMEMO, "header"),
                attributes={"sid": NUMBER},
                required=frozenset({"sid"}),
                children=(_key(LEGACY_OMEMO, "prekey"), *_texts(LEGACY_OMEMO, "iv")),
            ),
            *_texts(LEGACY_OMEMO, "payload"),
        ),
    ),
    "omemo": Allowed(
        element=_name(OMEMO, "encrypted"),
        children=(
            Allowed(
                element=_name(OMEMO, "header"),
                attributes={"sid": NUMBER},
                required=frozenset({"sid"}),
                children=(
                    Allowed(
                        element=_name(OMEMO, "keys"),
                        attributes={"jid": BARE_JID},
                        required=frozenset({"jid"}),
                        children=(_key(OMEMO, "kex"),),
                        most=_MOST_KEYS,
                    ),
                ),
            ),
            *_texts(OMEMO, "payload"),
        ),
    ),
    "ox": Allowed(element=_name(OX, "openpgp"), text=_OPENPGP),
    "xep-0027": Allowed(element=_name(XEP_0027, "x"), text=_ARMOURED),
    "miller-e2e": Allowed(
        element=_name(MILLER, "e2e"),
        # A signed one has type "sig" and its text in clear, whatever the encoding.
        attributes={"type": one_of("enc"), "id": TOKEN},
        required=frozenset({"type", "id"}),
        children=(
            *_texts(MILLER, "encheader", shape=_JOSE_HEADER),
            *_texts(MILLER, "cmk", "iv", "data", "mac", shape=URL_BASE64),
        ),
    ),
    "rfc3923": Allowed(element=_name(RFC_3923, "e2e"), text=_ENVELOPED),
}

# What has to be there beside what may be there, as paths of local names.
_COMPLETE: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "omemo-legacy": (("header", "iv"), ("header", "key")),
    "omemo": (("header", "keys", "key"),),
    "miller-e2e": (("encheader",), ("cmk",), ("iv",), ("data",), ("mac",)),
}
_SYSTEM_OF: Final = {allowed.element: system for system, allowed in ENVELOPES.items()}


def encrypted(tree: Node, speaks: Collection[str] = ()) -> Encrypted | None:
    """Return what leaves of *tree*, a message or an IQ, if the client encrypted all of it; None if it is plain text.

    *speaks*: the systems (names of ``SYSTEMS``) that the client is known to speak.
    """
    if tree.attributes.get("type") == "error" or tree.text.strip():
        return None
    bodies = [child for child in tree.children if child.name == BODY]
    envelopes = [child for child in tree.children if child.name in _SYSTEM_OF]
    if envelopes:
        return _in_elements(tree, envelopes, fallback=bool(bodies))
    only = bodies.pop() if len(bodies) == 1 else None
    if tree.name == names.MESSAGE and only is not None and not only.children:
        return _in_body(only.text, speaks)
    return None


def _in_elements(tree: Node, envelopes: list[Node], *, fallback: bool) -> Encrypted | None:
    found = {_SYSTEM_OF[envelope.name]: envelope for envelope in envelopes}
    alone = len(tree.children) == 1
    if len(found) != len(envelopes) or (tree.name == names.IQ and not alone):
        return None
    payload = b""
    for system, envelope in found.items():
        if not fits(envelope, ENVELOPES[system]) or not _complete(system, envelope):
            return None
        payload += written(envelope, ENVELOPES[system])
    if fallback:
        payload += element("body", {}, escape_text(HINT).encode())
    return Encrypted(tuple(found), payload)


def _complete(system: str, envelope: Node) -> bool:
    return all(_has(envelope, path) for path in _COMPLETE.get(system, ()))


def _has(node: Node, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    namespace, _ = names.split_name(node.name)
    wanted = _name(namespace, path[0])
    found = [child for child in node.children if child.name == wanted]
    return bool(found) and all(_has(child, path[1:]) for child in found)


def _in_body(body: str, speaks: Collection[str]) -> Encrypted | None:
    query = otr_text.query(body)
    if query is not None:
        body = query
    elif not otr_text.is_encoded(body) and not ("otr" in speaks and otr_text.is_fragment(body)):
        return None
    return Encrypted(("otr",), element("body", {}, escape_text(body).encode()))
