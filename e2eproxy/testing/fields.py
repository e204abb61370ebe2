"""How the reference methods write things: fields with a length in front, and the few primitives both use."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from e2eproxy.methods.door import MethodError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY = 32
"""Bytes of every key here."""


def pack(*parts: bytes) -> bytes:
    """*Parts*, each behind its length in 4 bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def unpack(data: bytes, count: int) -> tuple[bytes, ...]:
    """Exactly *count* parts; raises MethodError for anything else."""
    parts = []
    for _ in range(count):
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise MethodError("Something encrypted arrived that is cut off.")
        parts.append(data[4 : 4 + length])
        data = data[4 + length :]
    if data:
        raise MethodError("Something encrypted arrived that is too long.")
    return tuple(parts)


def derive(secret: bytes, salt: bytes, label: bytes, length: int = KEY) -> bytes:
    """HKDF-SHA-256."""
    return HKDF(hashes.SHA256(), length, salt, label).derive(secret)


def mac(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 over the packed *parts*."""
    return hmac.digest(key, pack(*parts), "sha256")


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


def agree(secret: bytes, public: bytes) -> bytes:
    """X25519; raises MethodError for a public key that is none, or of small order."""
    if len(public) != KEY:
        raise MethodError("A key has the wrong length.")
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise MethodError("A key that arrived is not usable.") from None


def public_of(secret: bytes) -> bytes:
    """The X25519 public key of *secret*."""
    return raw(X25519PrivateKey.from_private_bytes(secret).public_key())


def raw(key: X25519PublicKey | Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fingerprint_of(public: bytes) -> str:
    """SHA-256 of a public key in hexadecimal: 64 digits."""
    return hashlib.sha256(public).hexdigest()
