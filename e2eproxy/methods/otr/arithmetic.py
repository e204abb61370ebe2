"""The one place that computes with big numbers: the 1536-bit group of OTR, and powers with secret exponents.

Law 6: a number that a peer sent is checked here before it is used as an element of the group. Law 8: exponents that are
secret go through ``powmod_sec`` only, whose time does not depend on them; plain ``powmod`` is for what everybody may know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import gmpy2
from attrs import field, frozen

from e2eproxy.methods.door import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable

P: Final = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05"
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB"
    "9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF",
    16,
)
"""The prime of RFC 3526, group 5."""
Q: Final = (P - 1) // 2
"""The order of the group that ``G`` makes."""
G: Final = 2
EXPONENT_BYTES: Final = 40
"""Length of a secret exponent of handshake and data messages."""


@frozen
class Keypair:
    """A Diffie-Hellman key: the secret exponent, and ``G`` to its power."""

    secret: int = field(repr=False)
    public: int


def secret_power(base: int, exponent: int, modulus: int = P) -> int:
    """*Base* to a secret *exponent* (above 0), in a time that does not depend on it; *modulus* is odd."""
    return int(gmpy2.powmod_sec(base, exponent, modulus))


def power(base: int, exponent: int, modulus: int = P) -> int:
    """*Base* to an *exponent* that is no secret."""
    return int(gmpy2.powmod(base, exponent, modulus))


def inverse(number: int, modulus: int = P) -> int:
    """The inverse of a *number* that is no secret; *modulus* is prime and does not divide it."""
    return int(gmpy2.invert(number, modulus))


def secret_inverse(number: int, modulus: int) -> int:
    """The inverse of a secret *number*, by Fermat's theorem; *modulus* is an odd prime."""
    return secret_power(number, modulus - 2, modulus)


def is_prime(number: int, random: Callable[[int], bytes]) -> bool:
    """Whether *number* is prime; wrong with a chance below 4 to the power of -64."""
    # In one call it would keep every other thread waiting for a twentieth of a second.
    return bool(gmpy2.is_prime(number, 25)) and all(
        gmpy2.is_strong_prp(number, secret_below(number - 1, random) + 1) for _ in range(64)
    )


def number_of(data: bytes) -> int:
    """*Data* as a number, the most significant byte first."""
    return int.from_bytes(data, "big")


def secret_below(limit: int, random: Callable[[int], bytes]) -> int:
    """A secret number from 1 to *limit* - 1; of 8 bytes more than it needs, so that none is likelier than another."""
    length = (limit.bit_length() + 7) // 8 + 8
    return number_of(random(length)) % (limit - 1) + 1


def new_keypair(random: Callable[[int], bytes]) -> Keypair:
    """A new Diffie-Hellman key; *random* is asked for 40 bytes."""
    # Zero has a chance of 2 to the power of -320, and powmod_sec refuses it.
    secret = number_of(random(EXPONENT_BYTES)) or 1
    return Keypair(secret, secret_power(G, secret))


def checked(element: int) -> int:
    """*Element*, if it is one of the group's that a peer may send; raises MethodError for 0, 1, p - 1 and all above."""
    if not 2 <= element <= P - 2:
        raise MethodError("The contact's client sent a number that is not allowed in OTR.")
    return element
