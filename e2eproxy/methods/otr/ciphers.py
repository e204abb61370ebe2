"""AES in counter mode and the hashes of OTR, each under the name of what it is for."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from e2eproxy.methods.otr.messages import COUNTER_BYTES, MAC_BYTES

_ZERO = bytes(COUNTER_BYTES)


def crypt(key: bytes, data: bytes, counter: bytes = _ZERO) -> bytes:
    """AES-128-CTR; *counter* is the high half of the first block. The same step opens and closes."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter + _ZERO)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def sha1(data: bytes) -> bytes:
    """SHA-1, where OTR derives keys with it."""
    return hashlib.sha1(data).digest()  # noqa: S324 - the protocol's choice


def mac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256, whole: 32 bytes."""
    return hmac.digest(key, data, "sha256")


def short_mac_sha256(key: bytes, data: bytes) -> bytes:
    """The first 20 bytes of HMAC-SHA-256."""
    return mac_sha256(key, data)[:MAC_BYTES]


def mac_sha1(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-1: 20 bytes."""
    return hmac.digest(key, data, "sha1")


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)
