"""Keys as JSON Web Keys: what a peer offers, our own, and the thumbprint (RFC 7638) by which people and policy know them.

Law 6: a peer's key is read into its numbers and written anew, so that one key has one thumbprint however it was spelt, and its
size is bounded before anything is computed with it.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import ECKey, RSAKey

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.miller import fields
from e2eproxy.methods.miller.headers import DEVICE, VOUCHED
from e2eproxy.trust.values import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "miller-e2e"
BITS: Final = 3072
"""The size of a new RSA key."""
_LEAST_BITS: Final = 2048
_MOST_BITS: Final = 8192
_MOST_EXPONENT: Final = 2**32
_MOST_OCTETS: Final = _MOST_BITS // 8 + 1
_COORDINATE: Final = 32
_STATEMENTS: Final = 4
_LONGEST_STATEMENT: Final = 4096


class KeyError_(MethodError):  # noqa: N801, N818 - KeyError is Python's
    """A key is none that can be used."""


@frozen(kw_only=True, cache_hash=True)
class PublicKey:
    """A peer's public key, or ours.

    ``numbers`` are the members that make its thumbprint, ``kid``, ``alg`` and ``use`` what its owner says of it ("" for nothing),
    ``device`` and ``vouched`` the statements that came with it, ``x5c`` its certificates, in base64.
    """

    numbers: tuple[tuple[str, str], ...]
    kid: str = field(default="", eq=False)
    alg: str = field(default="", eq=False)
    use: str = field(default="", eq=False)
    device: str = field(default="", eq=False, repr=False)
    vouched: tuple[str, ...] = field(default=(), eq=False, repr=False)
    x5c: tuple[str, ...] = field(default=(), eq=False, repr=False)

    @property
    def kind(self) -> str:
        """``RSA`` or ``EC``."""
        return dict(self.numbers)["kty"]

    @property
    def encoded(self) -> bytes:
        """The members that make its thumbprint as JSON (RFC 7638 section 3): how the store keeps it."""
        return json.dumps(dict(self.numbers), separators=(",", ":"), sort_keys=True).encode()

    @property
    def thumbprint(self) -> str:
        """As JOSE writes it: SHA-256 in base64url."""
        return fields.encode(hashlib.sha256(self.encoded).digest())

    @property
    def fingerprint(self) -> Fingerprint:
        """The thumbprint as people compare it: in hexadecimal, eight groups of eight digits."""
        return fingerprint_of(self.thumbprint)

    def jose(self) -> RSAKey | ECKey:
        """For joserfc."""
        return _jose(self.numbers)


@lru_cache(256)
def _jose(numbers: tuple[tuple[str, str], ...]) -> RSAKey | ECKey:
    # Making one takes longer than a signature's check does.
    members: dict[str, str | list[str]] = dict(numbers)
    return RSAKey.import_key(members) if members["kty"] == "RSA" else ECKey.import_key(members)


def fingerprint_of(thumbprint: str) -> Fingerprint:
    """The fingerprint of the key with that *thumbprint* in base64url."""
    digits = fields.decode(thumbprint).hex().upper()
    return Fingerprint(NAME, " ".join(digits[at : at + 8] for at in range(0, len(digits), 8)))


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The public key that *jwk* describes, whatever else is in it. Raises MethodError."""
    kind = jwk.get("kty")
    if kind == "RSA":
        numbers = _rsa(jwk)
    elif kind == "EC" and jwk.get("crv") == "P-256":
        numbers = _ec(jwk)
    else:
        raise KeyError_("A key is of a kind that is not used here.")
    return PublicKey(
        numbers=tuple(sorted(numbers.items())),
        kid=_text(jwk, "kid"),
        alg=_text(jwk, "alg"),
        use=_text(jwk, "use"),
        device=_text(jwk, DEVICE, _LONGEST_STATEMENT),
        vouched=_list(jwk, VOUCHED, _LONGEST_STATEMENT),
        x5c=_list(jwk, "x5c", 8 * 1024),
    )


def stored_key(encoded: bytes) -> PublicKey:
    """The key that was kept as ``PublicKey.encoded``. Raises MethodError."""
    return public_key(fields.json_object(encoded, KeyError_))


def _rsa(jwk: Mapping[str, Any]) -> dict[str, str]:
    n = int.from_bytes(fields.octets_of(jwk.get("n"), _MOST_OCTETS, KeyError_), "big")
    e = int.from_bytes(fields.octets_of(jwk.get("e"), _MOST_OCTETS, KeyError_), "big")
    if not (_LEAST_BITS <= n.bit_length() <= _MOST_BITS and n % 2 and 3 <= e < _MOST_EXPONENT and e % 2):
        raise KeyError_("An RSA key is of a size that is not used here.")
    return {"kty": "RSA", "n": _number(n), "e": _number(e)}


def _ec(jwk: Mapping[str, Any]) -> dict[str, str]:
    x, y = (fields.octets_of(jwk.get(name), _COORDINATE, KeyError_) for name in ("x", "y"))
    if len(x) != _COORDINATE or len(y) != _COORDINATE:
        raise KeyError_("A key's numbers have the wrong length.")
    point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    try:
        point.public_key()
    except ValueError:
        raise KeyError_("A key is no point of its curve.") from None
    return {"kty": "EC", "crv": "P-256", "x": fields.encode(x), "y": fields.encode(y)}


def _number(value: int) -> str:
    return fields.encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _text(jwk: Mapping[str, Any], member: str, most: int = 1024) -> str:
    found = jwk.get(member, "")
    if not isinstance(found, str) or len(found) > most:
        raise KeyError_("A member of a key is not what it should be.")
    return found


def _list(jwk: Mapping[str, Any], member: str, most: int) -> tuple[str, ...]:
    found = jwk.get(member, [])
    fits = isinstance(found, list) and len(found) <= _STATEMENTS
    if not fits or not all(isinstance(one, str) and len(one) <= most for one in found):
        raise KeyError_("A member of a key is not what it should be.")
    return tuple(found)


# ---- our own ----


@frozen(eq=False)
class PrivateKey:
    """An RSA key of ours: ``jose`` for joserfc, ``raw`` for what joserfc does not do."""

    raw: rsa.RSAPrivateKey = field(repr=False)
    jose: RSAKey = field(repr=False)
    public: PublicKey

    @classmethod
    def of(cls, raw: rsa.RSAPrivateKey) -> PrivateKey:
        """The same key."""
        numbers = raw.public_key().public_numbers()
        public = public_key({"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)})
        return cls(raw, RSAKey.import_key(raw), public)

    @classmethod
    def decoded(cls, secret: bytes) -> PrivateKey:
        """From what ``encoded`` made. Raises MethodError."""
        try:
            # It was made here and sealed since; a check of its primes takes longer than all a stanza needs.
            raw = serialization.load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
        except ValueError:
            raw = None
        if not isinstance(raw, rsa.RSAPrivateKey):
            raise KeyError_("A key of our own cannot be read.")
        return cls.of(raw)

    def encoded(self) -> bytes:
        """PKCS #8, as the store keeps it."""
        return self.raw.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def new_key() -> PrivateKey:
    """A new key of ``BITS`` bits. Takes a good part of a second of CPU, and randomness from the operating system."""
    return PrivateKey.of(rsa.generate_private_key(public_exponent=65537, key_size=BITS))
