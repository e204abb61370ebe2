"""Sealing of what must not be readable at rest (law 8): AES-256-GCM, bound to the very cell that it lies in.

A sealed value is one version byte, a random nonce of 12 bytes, then ciphertext and tag. The associated data names
table, column and row, so that a cell which was copied or swapped to another place does not open there. Each account
has a random key of its own, wrapped by the store's key: a damaged account stops alone, and forgetting the wrapped
key forgets all that was sealed with it. One account's key may seal 2**32 values (NIST SP 800-38D section 8.3).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

    Random = Callable[[int], bytes]
    """Gives that many random bytes; ``os.urandom`` but in tests."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SEAL_VERSION: Final = b"\x01"
OVERHEAD: Final = len(SEAL_VERSION) + NONCE_BYTES + TAG_BYTES
"""By how many bytes a sealed value is longer than what is in it."""

_CONTEXT: Final = b"e2eproxy vault 1"


class VaultError(LocalError):
    """The vault does not open: a key that is missing, unsafe or not the right one, or damaged data."""


def cell(table: str, column: str, *row: str) -> bytes:
    """The place of a sealed value, as associated data: *row* are the parts of the row's key.

    Each part goes in with its length before it, so that no two places have the same name.
    """
    return joined(_CONTEXT, *(part.encode() for part in (table, column, *row)))


def joined(*parts: bytes) -> bytes:
    """*parts* in one piece that only these parts give: each with its length (4 bytes) before it."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class Vault:
    """Seals and opens with one key of 32 bytes. Nothing of the key shows in ``repr`` or in an error."""

    def __init__(self, key: bytes, random: Random) -> None:
        """Use *key*; *random* gives the nonces."""
        if len(key) != KEY_BYTES:
            raise VaultError(f"a vault key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._digest_key = hmac.digest(key, _CONTEXT + b" digest", "sha256")
        self._random = random

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """*plain* sealed for *place* (see ``cell``); ``OVERHEAD`` bytes longer."""
        nonce = self._random(NONCE_BYTES)
        return SEAL_VERSION + nonce + self._cipher.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """What was sealed for *place*; raises VaultError for anything else, without saying what is wrong with it."""
        if sealed[:1] != SEAL_VERSION or len(sealed) < OVERHEAD:
            raise VaultError("a sealed value is damaged, or was written by a newer e2eproxy")
        nonce = sealed[1 : 1 + NONCE_BYTES]
        try:
            return self._cipher.decrypt(nonce, sealed[1 + NONCE_BYTES :], place)
        except InvalidTag:
            raise VaultError(
                "a sealed value does not open: it is damaged, or the key is not its own"
            ) from None

    def digest(self, *parts: bytes) -> bytes:
        """A keyed digest (32 bytes): equal for equal *parts*, and no way to guess them from it without the key."""
        return hmac.digest(self._digest_key, joined(*parts), "sha256")


def row_id(*parts: str) -> bytes:
    """The key of a row, 32 bytes: a digest, because a database index has no room for two JIDs of 3071 bytes."""
    return hashlib.sha256(joined(*(part.encode() for part in parts))).digest()
