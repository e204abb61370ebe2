"""Keys for miller-e2e in tests: made once for a run; which one a device gets is decided by its randomness, and so by the seed."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa

from e2eproxy.methods.miller.keys import PrivateKey

_MOST = 40
_numbers: dict[bytes, int] = {}


@cache
def key(number: int) -> PrivateKey:  # noqa: ARG001 - what it is kept under
    """One of them; of 2048 bits, because they are made faster."""
    return PrivateKey.of(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def make(random) -> PrivateKey:
    """The same key for the same randomness, and another one for other randomness (until all have been used)."""
    return key(_numbers.setdefault(random(8), len(_numbers) % _MOST))


def method():
    """The method as tests use it."""
    from e2eproxy.methods.miller.method import MillerMethod

    return MillerMethod(make)
