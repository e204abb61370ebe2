"""The reference session method's handshake: three messages, as pure functions, and how messages are carried in a body.

h: initiator's ephemeral key. r: responder's ephemeral key, identity, signature, MAC. f: initiator's identity, signature, MAC.
The signature covers both ephemeral keys and a role, never a name; the MAC, which both sides could make, binds identity
and names. So each side knows who it talks to, and neither has a proof of it for others.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from e2eproxy.methods.door import MethodError
from e2eproxy.testing import ratchet
from e2eproxy.testing.fields import KEY, agree, fingerprint_of, mac, pack, public_of, raw, same, unpack
from e2eproxy.xmpp.names import CLIENT, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.xmpp.jid import JID

__all__ = ["BODY", "PREFIX", "carried", "decoded", "fingerprint_of"]

BODY = CLIENT + SEPARATOR + "body"
PREFIX = "?E2EREF:"
_CARRIED = re.compile(r"\s*\?E2EREF:([A-Za-z0-9+/]+={0,2})\.\s*\Z")

Role = Literal["initiator", "responder"]


@frozen(kw_only=True)
class Party:
    """Who we are in a handshake: both bare JIDs, our Ed25519 secret."""

    own: JID
    peer: JID
    signing: bytes = field(repr=False)


@frozen(kw_only=True)
class Half:
    """A handshake under way: our ephemeral key, the peer's (empty until known), the message that was sent."""

    role: Role
    secret: bytes = field(repr=False)
    public: bytes
    peer_public: bytes = b""
    message: bytes = field(repr=False)


@frozen(kw_only=True)
class Done:
    """A handshake that is over: the peer's identity (Ed25519 public), the ratchet, and the message that ends it."""

    identity: bytes
    state: ratchet.Ratchet
    message: bytes = field(default=b"", repr=False)


def carried(message: bytes) -> str:
    """*Message* as a body's text."""
    return f"{PREFIX}{base64.b64encode(message).decode()}."


def decoded(text: str) -> tuple[bytes, bytes]:
    """(Kind, the rest) of the message that *text* carries; raises MethodError if it is not one whole message."""
    found = _CARRIED.match(text)
    try:
        message = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        message = b""
    if not message:
        raise MethodError("Something arrived that looks encrypted but is damaged.")
    return message[:1], message[1:]


def verifying_key(secret: bytes) -> bytes:
    """The Ed25519 public key of *secret*."""
    return raw(Ed25519PrivateKey.from_private_bytes(secret).public_key())


def hello(random: Callable[[int], bytes]) -> Half:
    """Begin."""
    secret = random(KEY)
    public = public_of(secret)
    return Half(role="initiator", secret=secret, public=public, message=b"h" + public)


def reply(party: Party, peer_public: bytes, random: Callable[[int], bytes]) -> Half:
    """Answer the hello with the ephemeral key *peer_public*; raises MethodError if that is no key."""
    secret = random(KEY)
    public = public_of(secret)
    _, _, key = ratchet.first_keys(agree(secret, peer_public), peer_public, public)
    proof = _proof(party, b"responder", peer_public, public, key)
    message = b"r" + pack(public, *proof)
    return Half(role="responder", secret=secret, public=public, peer_public=peer_public, message=message)


def finish(party: Party, half: Half, data: bytes) -> Done:
    """End the handshake as initiator; raises MethodError if the responder's proof does not hold."""
    peer_public, identity, signature, tag = unpack(data, 4)
    shared = agree(half.secret, peer_public)
    _, _, key = ratchet.first_keys(shared, half.public, peer_public)
    _check(party, b"responder", (half.public, peer_public), key, (identity, signature, tag))
    state = ratchet.initiator(_tag(half.public, peer_public), shared, half.secret, peer_public)
    proof = _proof(party, b"initiator", half.public, peer_public, key)
    return Done(identity=identity, state=state, message=b"f" + pack(*proof))


def accept(party: Party, half: Half, data: bytes) -> Done:
    """End the handshake as responder; raises MethodError if the initiator's proof does not hold."""
    identity, signature, tag = unpack(data, 3)
    shared = agree(half.secret, half.peer_public)
    _, _, key = ratchet.first_keys(shared, half.peer_public, half.public)
    _check(party, b"initiator", (half.peer_public, half.public), key, (identity, signature, tag))
    state = ratchet.responder(_tag(half.peer_public, half.public), shared, half.secret, half.peer_public)
    return Done(identity=identity, state=state)


def _tag(hello_key: bytes, reply_key: bytes) -> bytes:
    return bytes.fromhex(fingerprint_of(hello_key + reply_key))[:16]


def _signed(role: bytes, hello_key: bytes, reply_key: bytes) -> bytes:
    return pack(b"e2eproxy reference handshake", role, hello_key, reply_key)


def _proof(
    party: Party, role: bytes, hello_key: bytes, reply_key: bytes, key: bytes
) -> tuple[bytes, bytes, bytes]:
    identity = verifying_key(party.signing)
    signature = Ed25519PrivateKey.from_private_bytes(party.signing).sign(_signed(role, hello_key, reply_key))
    tag = mac(key, role, str(party.own).encode(), str(party.peer).encode(), identity, signature)
    return identity, signature, tag


def _check(
    party: Party, role: bytes, keys: tuple[bytes, bytes], key: bytes, proof: tuple[bytes, bytes, bytes]
) -> None:
    identity, signature, tag = proof
    expected = mac(key, role, str(party.peer).encode(), str(party.own).encode(), identity, signature)
    try:
        if not same(expected, tag):
            raise MethodError("The contact's proof in the handshake does not hold.")
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, _signed(role, *keys))
    except (ValueError, InvalidSignature):
        raise MethodError("The contact's signature in the handshake does not hold.") from None
