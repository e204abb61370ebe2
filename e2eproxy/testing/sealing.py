"""The reference object method's sealed object: written, opened and checked by pure functions.

A stanza with its addresses and its time is signed (Ed25519), then encrypted under a fresh key (AES-256-GCM), and that key is
wrapped for each receiver (X25519 with a fresh key, HKDF, AES-256-GCM). The receivers' part is authenticated with the
text, the addresses are inside the signature: nobody can pass a sealed object on as written to somebody else.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from e2eproxy.methods.door import MethodError
from e2eproxy.testing.fields import KEY, agree, derive, fingerprint_of, pack, public_of, raw, unpack
from e2eproxy.xmpp.names import SEPARATOR
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

NAMESPACE = "urn:e2eproxy:reference:object:0"
SEALED = NAMESPACE + SEPARATOR + "sealed"
_KEY = NAMESPACE + SEPARATOR + "key"
_DATA = NAMESPACE + SEPARATOR + "data"
_LABEL = b"e2eproxy reference object"
_NONCE = bytes(12)
"""Each key here encrypts one thing."""


@frozen(kw_only=True)
class Identity:
    """Our two secrets, 32 bytes each; the public identity is both public keys, 64 bytes."""

    agreement: bytes = field(repr=False)
    signing: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """X25519 public key, Ed25519 public key."""
        signing = Ed25519PrivateKey.from_private_bytes(self.signing)
        return public_of(self.agreement) + raw(signing.public_key())

    @property
    def fingerprint(self) -> str:
        """The public identity's."""
        return fingerprint_of(self.public)


@frozen(kw_only=True)
class Object:
    """A sealed object as it arrived: ``keys`` maps fingerprints to wrapped keys, ``data`` is what they open."""

    keys: dict[str, bytes]
    data: bytes = field(repr=False)

    @property
    def covered(self) -> bytes:
        """The receivers' part as the cipher authenticates it."""
        return pack(*(part for name, key in sorted(self.keys.items()) for part in (name.encode(), key)))

    def to_bytes(self) -> bytes:
        """As a payload."""
        keys = b"".join(element("key", {"for": name}, _text(key)) for name, key in self.keys.items())
        return element("sealed", {"xmlns": NAMESPACE}, keys + element("data", {}, _text(self.data)))


@frozen(kw_only=True)
class Inner:
    """What was signed: the author's fingerprint, both addresses (bare, as text), the time in seconds, the stanza."""

    author: str
    sender: str
    to: str
    at: float
    stanza: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)


def parse(stanza: Stanza) -> Object:
    """The sealed object in *stanza*; raises MethodError if it is not whole."""
    sealed = stanza.child(SEALED)
    if sealed is None or not all(one.name in {_KEY, _DATA} for one in sealed.children):
        raise MethodError("A sealed object has parts that do not belong there.")
    keys = {one.attributes.get("for", ""): _decoded(one.node.text) for one in sealed.all(_KEY)}
    data = [_decoded(one.node.text) for one in sealed.all(_DATA)]
    if len(data) != 1 or not keys or len(keys) != len(sealed.all(_KEY)):
        raise MethodError("A sealed object is not whole.")
    return Object(keys=keys, data=data[0])


def seal(
    identity: Identity,
    sender: JID,
    to: JID,
    stanza: bytes,
    receivers: Iterable[bytes],
    *,
    at: float,
    random: Callable[[int], bytes],
) -> Object:
    """Sign and encrypt *stanza* for the public identities *receivers*."""
    head = {"author": identity.fingerprint, "sender": str(sender), "to": str(to), "at": at}
    signed = pack(_LABEL, json.dumps(head).encode(), stanza)
    signature = Ed25519PrivateKey.from_private_bytes(identity.signing).sign(signed)
    content = random(KEY)
    keys = {fingerprint_of(one): _wrap(content, one[:KEY], random) for one in receivers}
    covered = Object(keys=keys, data=b"").covered
    return Object(keys=keys, data=AESGCM(content).encrypt(_NONCE, pack(signature, signed), covered))


def unseal(identity: Identity, sealed: Object) -> Inner:
    """Decrypt, without checking the signature; raises MethodError."""
    wrapped = sealed.keys.get(identity.fingerprint)
    if wrapped is None:
        raise MethodError("It was not encrypted to this device's key.")
    try:
        content = _unwrap(wrapped, identity)
        plain = AESGCM(content).decrypt(_NONCE, sealed.data, sealed.covered)
    except (InvalidTag, ValueError):
        raise MethodError("A sealed object was altered on its way.") from None
    signature, signed = unpack(plain, 2)
    label, head, stanza = unpack(signed, 3)
    try:
        values = json.loads(head)
        author, sender, to, at = values["author"], values["sender"], values["to"], values["at"]
    except (ValueError, KeyError, TypeError):
        raise MethodError("A sealed object's head cannot be read.") from None
    if (
        label != _LABEL
        or not all(isinstance(one, str) for one in (author, sender, to))
        or type(at) is not float
    ):
        raise MethodError("A sealed object's head is not what it should be.")
    return Inner(
        author=author, sender=sender, to=to, at=at, stanza=stanza, signature=signature, signed=signed
    )


def check(inner: Inner, public: bytes) -> None:
    """Check the signature against the author's public identity; raises MethodError."""
    try:
        Ed25519PublicKey.from_public_bytes(public[KEY:]).verify(inner.signature, inner.signed)
    except (ValueError, InvalidSignature):
        raise MethodError("The signature of a sealed object does not hold.") from None


def _wrap(content: bytes, receiver: bytes, random: Callable[[int], bytes]) -> bytes:
    secret = random(KEY)
    public = public_of(secret)
    key = derive(agree(secret, receiver), public + receiver, _LABEL)
    return public + AESGCM(key).encrypt(_NONCE, content, None)


def _unwrap(wrapped: bytes, identity: Identity) -> bytes:
    public = wrapped[:KEY]
    key = derive(agree(identity.agreement, public), public + public_of(identity.agreement), _LABEL)
    return AESGCM(key).decrypt(_NONCE, wrapped[KEY:], None)


def _text(data: bytes) -> bytes:
    return escape_text(base64.b64encode(data).decode()).encode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MethodError("A sealed object is not base64.") from None
