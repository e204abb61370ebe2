"""The long-term DSA keys: their encoding, fingerprint, signature, and how one is made.

The signed value is 32 bytes as a number, reduced modulo q: neither hashed again nor cut to q's length, as DSA in FIPS 186 would.
Clients exist with any size of q. So signatures are computed here with the group's arithmetic; the nonce of a signature
comes from the randomness that is handed in (law 7).
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr.arithmetic import (
    inverse,
    is_prime,
    number_of,
    power,
    secret_below,
    secret_inverse,
    secret_power,
)
from e2eproxy.methods.otr.encoding import Reader, mpi, short

if TYPE_CHECKING:
    from collections.abc import Callable

P_BITS: Final = 1024
Q_BITS: Final = 160
"""The sizes of a new key, which are those that every client takes: libotr reads signatures of 40 bytes only."""
_LEAST_P_BITS: Final = 512
_LEAST_Q_BITS: Final = 160
_MOST_Q_BITS: Final = 256
_DSA: Final = 0


@frozen
class PublicKey:
    """A DSA public key."""

    p: int
    q: int
    g: int
    y: int

    def encoded(self) -> bytes:
        """As PUBKEY."""
        return short(_DSA) + self._numbers()

    def _numbers(self) -> bytes:
        return mpi(self.p) + mpi(self.q) + mpi(self.g) + mpi(self.y)

    @property
    def hashed(self) -> bytes:
        """The 20 bytes that its fingerprint shows."""
        return hashlib.sha1(self._numbers()).digest()  # noqa: S324 - what OTR calls a fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Five groups of eight digits, as people compare them; each message is told by it."""
        digits = self.hashed.hex().upper()
        return " ".join(digits[at : at + 8] for at in range(0, 40, 8))

    @property
    def signature_bytes(self) -> int:
        """How long its signatures are."""
        return 2 * _length(self.q)

    def verify(self, value: bytes, signature: bytes) -> None:
        """Raise MethodError unless *signature* is this key's over *value* (32 bytes)."""
        half = _length(self.q)
        r, s = number_of(signature[:half]), number_of(signature[half:])
        if len(signature) == 2 * half and 0 < r < self.q and 0 < s < self.q and self._holds(value, r, s):
            return
        raise MethodError("The contact's signature in the OTR handshake does not hold.")

    def _holds(self, value: bytes, r: int, s: int) -> bool:
        try:
            w = inverse(s, self.q)
        except ZeroDivisionError:  # q is the peer's choice, and need not be a prime
            return False
        one = power(self.g, number_of(value) * w % self.q, self.p)
        other = power(self.y, r * w % self.q, self.p)
        return one * other % self.p % self.q == r


@frozen
class PrivateKey:
    """A DSA key of our own: ``x`` is the secret."""

    public: PublicKey
    x: int = field(repr=False)

    def sign(self, value: bytes, random: Callable[[int], bytes]) -> bytes:
        """The signature over *value* (32 bytes)."""
        key = self.public
        message = number_of(value) % key.q
        while True:
            nonce = secret_below(key.q, random)
            # The factor hides nonce and key from whoever can time the steps that are not made for secrets.
            factor = secret_below(key.q, random)
            r = secret_power(key.g, nonce, key.p) % key.q
            summed = (factor * message + factor * self.x % key.q * r) % key.q
            s = secret_inverse(nonce * factor % key.q, key.q) * summed % key.q
            if r and s:
                half = _length(key.q)
                return r.to_bytes(half, "big") + s.to_bytes(half, "big")

    def encoded(self) -> bytes:
        """As it is kept: PUBKEY, then x as MPI."""
        return self.public.encoded() + mpi(self.x)

    @classmethod
    def decoded(cls, value: bytes) -> PrivateKey:
        """From what ``encoded`` made; raises MethodError."""
        reader = Reader(value)
        public = read_public(reader)
        x = reader.mpi()
        reader.end()
        if not 0 < x < public.q or secret_power(public.g, x, public.p) != public.y:
            raise MethodError("The two halves of an OTR key do not belong together.")
        return cls(public, x)


@frozen(kw_only=True)
class Party:
    """Who we are: our identity, and secret random bytes."""

    identity: PrivateKey = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False)


def _length(number: int) -> int:
    return (number.bit_length() + 7) // 8


def read_public(reader: Reader) -> PublicKey:
    """The PUBKEY that follows; raises MethodError if it is not a DSA key of a size that is in use."""
    if reader.short() != _DSA:
        raise MethodError("The contact has an OTR key of an unknown kind.")
    key = PublicKey(reader.mpi(), reader.mpi(), reader.mpi(), reader.mpi())
    sizes = key.p.bit_length() >= _LEAST_P_BITS and _LEAST_Q_BITS <= key.q.bit_length() <= _MOST_Q_BITS
    if not (sizes and key.p % 2 and key.q % 2 and 1 < key.g < key.p - 1 and 1 < key.y < key.p - 1):
        raise MethodError("The contact has an OTR key that is not usable.")
    return key


def public_of(value: bytes) -> PublicKey:
    """The key that *value* (PUBKEY) is; raises MethodError."""
    reader = Reader(value)
    key = read_public(reader)
    reader.end()
    return key


def new_key(random: Callable[[int], bytes]) -> PrivateKey:
    """A new key of 1024 and 160 bits, with numbers of its own. Takes some tenths of a second of CPU."""
    q = _new_prime(Q_BITS, 2, random)
    p = _new_prime(P_BITS, 2 * q, random)
    g = 1
    while g == 1:
        g = power(secret_below(p - 1, random), (p - 1) // q, p)
    x = secret_below(q, random)
    return PrivateKey(PublicKey(p, q, g, secret_power(g, x, p)), x)


def _new_prime(bits: int, divisor: int, random: Callable[[int], bytes]) -> int:
    """A prime of exactly *bits* bits which is 1 more than a multiple of *divisor*."""
    while True:
        number = number_of(random(bits // 8)) | 1 << (bits - 1)
        number -= number % divisor - 1
        if number.bit_length() == bits and is_prime(number, random):
            return number
