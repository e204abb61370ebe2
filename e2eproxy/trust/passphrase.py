"""A key from a passphrase: scrypt (RFC 7914), with its parameters kept beside what the key seals.

They are read back from places that others may have written (an archive), so they are bounded before use: nobody
makes us spend gigabytes, and nobody makes us accept a key that is cheap to guess.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Self

from attrs import frozen
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from e2eproxy.trust.vault import KEY_BYTES, VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.trust.vault import Random

SALT_BYTES = 16
MAX_MEMORY = 256 * 2**20
MAX_PARALLEL = 16


@frozen
class ScryptParameters:
    """Cost *n* (a power of two), block size *r*, *p* passes; memory is 128·n·r bytes (64 MiB), time about 0.4 s."""

    salt: bytes
    n: int = 2**16
    r: int = 8
    p: int = 2

    @classmethod
    def new(cls, random: Random) -> Self:
        """The parameters of today, with a new salt."""
        return cls(random(SALT_BYTES))

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Read what ``as_texts`` gave; raises VaultError for what is missing, senseless, too weak or too dear."""
        try:
            n, r, p = (_number(texts[f"scrypt-{name}"]) for name in "nrp")
            salt = bytes.fromhex(texts["scrypt-salt"])
        except (KeyError, ValueError):
            raise VaultError("the parameters of the passphrase are damaged") from None
        power_of_two = n >= 2**14 and n & (n - 1) == 0
        if not (power_of_two and 8 <= r <= 32 and 1 <= p <= MAX_PARALLEL and 128 * n * r <= MAX_MEMORY):
            raise VaultError("the parameters of the passphrase are outside what this e2eproxy computes")
        if not SALT_BYTES <= len(salt) <= 64:
            raise VaultError("the parameters of the passphrase are damaged")
        return cls(salt, n, r, p)

    def as_texts(self) -> dict[str, str]:
        """As texts, to be kept in clear."""
        return {
            "scrypt-n": str(self.n),
            "scrypt-r": str(self.r),
            "scrypt-p": str(self.p),
            "scrypt-salt": self.salt.hex(),
        }


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValueError
    return int(text)


def derive(passphrase: str, parameters: ScryptParameters) -> bytes:
    """The key (32 bytes) of *passphrase*, which is taken in Unicode's composed form whatever keyboard typed it."""
    if not passphrase:
        raise VaultError("an empty passphrase protects nothing; choose one")
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return Scrypt(
        salt=parameters.salt, length=KEY_BYTES, n=parameters.n, r=parameters.r, p=parameters.p
    ).derive(secret)
