"""The draft's elements: ``<e2e/>``, ``<keyreq/>`` and their parts, taken apart and put together.

Everything is opaque text here, base64url without padding or white space, as it is joined for JOSE: the dots between the parts of
a compact serialisation are the borders between elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.methods.miller import fields, headers
from e2eproxy.methods.miller.failures import DecryptionError, VerificationError
from e2eproxy.xmpp.names import SEPARATOR
from e2eproxy.xmpp.stanza import element

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2eproxy.methods.door import MethodError
    from e2eproxy.xmpp.stanza import Span

NAMESPACE: Final = "urn:ietf:params:xml:ns:xmpp-e2e:6"
ENCRYPTION: Final = NAMESPACE + ":encryption"
SIGNATURES: Final = NAMESPACE + ":signatures"
E2E: Final = NAMESPACE + SEPARATOR + "e2e"
KEY_REQUEST: Final = NAMESPACE + SEPARATOR + "keyreq"
PKEY: Final = NAMESPACE + SEPARATOR + "pkey"

LONGEST_SID: Final = 128
_MOST_PAYLOAD: Final = 768 * 1024
_MOST_KEYS: Final = 64 * 1024
# Octets that each part may have: a key wrapped with RSA of 8192 bits, the longest IV and tag there are.
_PARTS: Final = {
    "encheader": headers.LONGEST,
    "cmk": 1024,
    "iv": 16,
    "data": _MOST_PAYLOAD,
    "mac": 32,
}
_SIGNED_PARTS: Final = {
    "sigheader": headers.LONGEST_SIGNED,
    "data": _MOST_PAYLOAD,
    "sig": 1024,
}


@frozen(kw_only=True)
class Encrypted:
    """The five parts of a JWE, and the SID it came under."""

    sid: str
    header: str
    key: str = field(repr=False)
    iv: str = field(repr=False)
    data: str = field(repr=False)
    tag: str = field(repr=False)

    @property
    def compact(self) -> str:
        """As any JOSE library reads it."""
        return f"{self.header}.{self.key}.{self.iv}.{self.data}.{self.tag}"

    @classmethod
    def of(cls, sid: str, compact: str) -> Encrypted:
        """The parts of *compact*, which we made."""
        header, key, iv, data, tag = compact.split(".")
        return cls(sid=sid, header=header, key=key, iv=iv, data=data, tag=tag)

    def parts(self, namespace: str | None = None) -> bytes:
        """The five elements."""
        values = (self.header, self.key, self.iv, self.data, self.tag)
        return _elements(zip(_PARTS, values, strict=True), namespace)

    def to_bytes(self) -> bytes:
        """As the payload of a stanza."""
        return element("e2e", {"xmlns": NAMESPACE, "type": "enc", "id": self.sid}, self.parts())


@frozen(kw_only=True)
class Signed:
    """The three parts of a JWS."""

    header: str
    data: str = field(repr=False)
    signature: str = field(repr=False)

    @property
    def compact(self) -> str:
        """As any JOSE library reads it."""
        return f"{self.header}.{self.data}.{self.signature}"

    @classmethod
    def of(cls, compact: str) -> Signed:
        """The parts of *compact*, which we made."""
        header, data, signature = compact.split(".")
        return cls(header=header, data=data, signature=signature)

    def to_bytes(self) -> bytes:
        """As the payload of a stanza."""
        parts = _elements(zip(_SIGNED_PARTS, (self.header, self.data, self.signature), strict=True))
        return element("e2e", {"xmlns": NAMESPACE, "type": "sig"}, parts)


def _elements(parts: zip[tuple[str, str]], namespace: str | None = None) -> bytes:
    return b"".join(element(name, {"xmlns": namespace}, text.encode()) for name, text in parts)


def layer_of(e2e: Span) -> Encrypted | Signed:
    """What the element *e2e* holds; a missing ``type`` is that of its parts. Raises FailedError."""
    what = e2e.attributes.get("type")
    if what is None and e2e.child(NAMESPACE + SEPARATOR + "encheader") is not None:
        what = "enc"
    if what == "enc":
        return Encrypted(sid=sid_of(e2e, DecryptionError), **_encrypted_parts(e2e))
    if what == "sig":
        texts = _texts(e2e, _SIGNED_PARTS, NAMESPACE, VerificationError)
        return Signed(header=texts["sigheader"], data=texts["data"], signature=texts["sig"])
    raise DecryptionError("It is neither encrypted nor signed.")


def wrapped_key(around: Span, sid: str, namespace: str = NAMESPACE) -> Encrypted:
    """The wrapped key in *around*, an answer to a request for the key *sid*. Raises DecryptionError."""
    return Encrypted(sid=sid, **_encrypted_parts(around, namespace))


def _encrypted_parts(around: Span, namespace: str = NAMESPACE) -> dict[str, str]:
    texts = _texts(around, _PARTS, namespace, DecryptionError)
    return {
        "header": texts["encheader"],
        "key": texts["cmk"],
        "iv": texts["iv"],
        "data": texts["data"],
        "tag": texts["mac"],
    }


def sid_of(around: Span, failure: Callable[[str], MethodError]) -> str:
    """The name of a key that an element has as its ``id``. Raises *failure*."""
    sid = around.attributes.get("id", "")
    if not 0 < len(sid) <= LONGEST_SID:
        raise failure("It names no key.")
    return sid


def keys_of(request: Span) -> bytes:
    """The JSON of the keys in a request. Raises DecryptionError."""
    texts = _texts(request, {"pkey": _MOST_KEYS}, NAMESPACE, DecryptionError)
    return fields.decode(texts["pkey"])


def request(sid: str, keys: bytes) -> bytes:
    """The payload of a request for the key *sid*; *keys* is the JSON of a JWK Set."""
    pkey = element("pkey", {}, fields.encode(keys).encode())
    return element("keyreq", {"xmlns": NAMESPACE, "id": sid}, pkey)


def answer(wrapped: Encrypted) -> bytes:
    """The payload of the answer to a request."""
    return element("keyreq", {"xmlns": NAMESPACE, "id": wrapped.sid}, wrapped.parts())


def _texts(
    around: Span, most: Mapping[str, int], namespace: str, failure: Callable[[str], MethodError]
) -> dict[str, str]:
    names = {namespace + SEPARATOR + name: name for name in most}
    found = [names.get(child.name) for child in around.children]
    if len(found) != len(names) or set(found) != set(names.values()) or around.text.strip():
        raise failure("It has not the parts that it should have.")
    if any(child.children for child in around.children):
        raise failure("A part of it is no text.")
    return {
        name: fields.bare(child.text, most[name], failure)
        for child in around.children
        if (name := names.get(child.name)) is not None
    }
