"""The zero-knowledge proofs of the socialist millionaires' protocol: made, and checked.

A proof is a challenge ``c``, a hash, and responses ``d``, exponents; each kind has a label of its own, so that none stands
for another. Law 6: group elements and responses are checked for their range before anything is computed with them.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr.arithmetic import G, P, Q, checked, number_of, power, secret_power
from e2eproxy.methods.otr.ciphers import sha256
from e2eproxy.methods.otr.encoding import mpi

_MOST_CHALLENGE: Final = 1 << 256


@frozen
class Known:
    """That somebody knows the exponent of an element (or of two elements, which have the same)."""

    c: int
    d: int


@frozen
class Composed:
    """That somebody knows how the two numbers P and Q were made."""

    c: int
    d5: int
    d6: int


def challenge(label: int, *numbers: int) -> int:
    """The hash that a proof's random commitments are bound with."""
    return number_of(sha256(bytes([label]) + b"".join(mpi(one) for one in numbers)))


def _response(nonce: int, secret: int, c: int) -> int:
    return (nonce - secret * c) % Q


def prove_exponent(label: int, secret: int, nonce: int) -> Known:
    """That we know *secret*, the exponent of ``G``; *nonce* is a fresh random exponent."""
    c = challenge(label, secret_power(G, nonce))
    return Known(c, _response(nonce, secret, c))


def check_exponent(label: int, element: int, proof: Known) -> None:
    """Raise MethodError unless the peer knows the exponent of *element*."""
    _check_range(proof.c, proof.d)
    _check(proof.c, challenge(label, power(G, proof.d) * power(checked(element), proof.c) % P))


def prove_composed(
    label: int, bases: tuple[int, int], secrets: tuple[int, int], nonces: tuple[int, int]
) -> Composed:
    """That P is g3 to *secrets*' first and Q is ``G`` to the first times g2 to the second; *bases* are g2, g3."""
    (g2, g3), (first, second) = bases, secrets
    mixed = secret_power(G, nonces[0]) * secret_power(g2, nonces[1]) % P
    c = challenge(label, secret_power(g3, nonces[0]), mixed)
    return Composed(c, _response(nonces[0], first, c), _response(nonces[1], second, c))


def check_composed(label: int, bases: tuple[int, int], numbers: tuple[int, int], proof: Composed) -> None:
    """Raise MethodError unless the peer knows how *numbers* (its P, Q) were made."""
    _check_range(proof.c, proof.d5, proof.d6)
    (g2, g3), (p, q) = bases, (checked(numbers[0]), checked(numbers[1]))
    one = power(g3, proof.d5) * power(p, proof.c) % P
    other = power(G, proof.d5) * power(g2, proof.d6) % P * power(q, proof.c) % P
    _check(proof.c, challenge(label, one, other))


def prove_equal(label: int, base: int, secret: int, nonce: int) -> Known:
    """That *secret* is the exponent of ``G`` in one element and of *base* in another."""
    c = challenge(label, secret_power(G, nonce), secret_power(base, nonce))
    return Known(c, _response(nonce, secret, c))


def check_equal(label: int, base: int, elements: tuple[int, int], proof: Known) -> None:
    """Raise MethodError unless *elements*, of ``G`` and of *base*, have the same exponent."""
    _check_range(proof.c, proof.d)
    of_g, of_base = checked(elements[0]), checked(elements[1])
    one = power(G, proof.d) * power(of_g, proof.c) % P
    other = power(base, proof.d) * power(of_base, proof.c) % P
    _check(proof.c, challenge(label, one, other))


def _check_range(c: int, *responses: int) -> None:
    if c >= _MOST_CHALLENGE or not all(1 <= one < Q for one in responses):
        raise MethodError("The contact's client sent a number that is not allowed when secrets are compared.")


def _check(c: int, expected: int) -> None:
    if c != expected:
        raise MethodError("The contact's client sent a proof that does not hold when secrets were compared.")
