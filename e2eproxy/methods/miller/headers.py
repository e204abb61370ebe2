"""JOSE headers: what may stand in one, and nothing else.

A header steers what we do with secrets, and a peer writes it. So it is read against a list of members and of algorithms: ``crit``,
``zip``, ``b64``, ``jku``, ``x5u``, ``alg: none``, and whatever else is not in the list, ends it. Nothing is ever fetched.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from e2eproxy.methods.miller import fields
from e2eproxy.methods.miller.failures import DecryptionError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from e2eproxy.methods.miller.failures import FailedError

OWN: Final = "urn:e2eproxy:miller:0"
"""The namespace of all that the draft does not have and we add."""
READ: Final = OWN + ":read"
"""A member of a signature's header: the SID under which its author has opened something of the receiver's."""
VOUCHED: Final = OWN + ":vouched"
"""A member of a JWK: statements of other devices of its owner that this key is the owner's, too."""
DEVICE: Final = OWN + ":device"
"""A member of a JWK for encryption: its owner's statement, signed, that it belongs to his signing key."""

LONGEST: Final = 2048
"""Octets of a header that only names algorithms and a key."""
LONGEST_SIGNED: Final = 24 * 1024
"""Octets of a signature's header, which may hold a key, certificates and statements."""
WRAPPINGS: Final = {"A128KW": 16, "A192KW": 24, "A256KW": 32}
"""Algorithms for wrapping with an SMK, and the octets of the SMK."""
CONTENT: Final = {"A128CBC-HS256": 32, "A256CBC-HS512": 64, "A128GCM": 16, "A256GCM": 32}
"""Algorithms for what is encrypted, and the octets of their keys."""
DIRECT: Final = "dir"
TRANSPORTS: Final = ("RSA-OAEP", "RSA-OAEP-256")
RSA1_5: Final = "RSA1_5"
SIGNATURES: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256")
_KEY_CONTENT: Final = frozenset({"jwk+json", "application/jwk+json"})
_ENCRYPTED: Final = frozenset({"alg", "enc", "kid", "typ", "cty"})
_SIGNED: Final = frozenset({"alg", "kid", "typ", "cty", "jwk", "x5c", READ})
_LONGEST_NAME: Final = 1024


@frozen(kw_only=True)
class Encryption:
    """The header of what is encrypted: algorithms, and the name of the key (None if it has none)."""

    alg: str
    enc: str
    kid: str | None = None


@frozen(kw_only=True)
class Signature:
    """The header of what is signed; ``jwk`` as it was written (None if absent), ``read`` a SID or ""."""

    alg: str
    kid: str | None = None
    typ: str = ""
    jwk: Mapping[str, Any] | None = field(default=None, repr=False)
    x5c: tuple[str, ...] = field(default=(), repr=False)
    read: str = ""


@lru_cache(256)  # it is the same for all that one device encrypts under one key
def of_stanza(text: str, sid: str, *, direct: bool = False, legacy: bool = False) -> Encryption:
    """The header of a stanza encrypted under the SMK called *sid*; *text* is base64url as ``fields.bare`` made it.

    *direct* allows the SMK itself as content key, *legacy* the algorithms' names of older JOSE drafts. Raises DecryptionError.
    """
    allowed = {*WRAPPINGS, DIRECT} if direct else set(WRAPPINGS)
    header = _encryption(text, allowed, {"A256CBC+HS512"} if legacy else CONTENT)
    if header.kid not in {None, sid}:
        raise DecryptionError("Its header names another key than it does itself.")
    return header


def of_key(text: str, *, rsa15: bool = False, legacy: bool = False) -> Encryption:
    """The header of a wrapped SMK; *rsa15* allows RSA1_5. Raises DecryptionError."""
    allowed = {*TRANSPORTS, RSA1_5} if rsa15 else set(TRANSPORTS)
    return _encryption(text, allowed, {"A256CBC+HS512"} if legacy else CONTENT, key=True)


def _encryption(text: str, algs: Collection[str], encs: Collection[str], *, key: bool = False) -> Encryption:
    header = _members(text, LONGEST, _ENCRYPTED, DecryptionError)
    alg, enc = _name(header, "alg", DecryptionError), _name(header, "enc", DecryptionError)
    if alg not in algs or enc not in encs:
        raise DecryptionError("It is encrypted with an algorithm that is not used here.")
    content = header.get("cty")
    if content is not None and not (key and content in _KEY_CONTENT):
        raise DecryptionError("It says that something else is in it than belongs there.")
    return Encryption(alg=alg, enc=enc, kid=_optional(header, "kid", DecryptionError))


def of_signature(text: str) -> Signature:
    """The header of a signature; *text* as above. Raises VerificationError."""
    header = _members(text, LONGEST_SIGNED, _SIGNED, VerificationError)
    alg = _name(header, "alg", VerificationError)
    if alg not in SIGNATURES:
        raise VerificationError("It is signed with an algorithm that is not used here.")
    jwk, chain = header.get("jwk"), header.get("x5c", [])
    if not isinstance(jwk, dict | None) or not isinstance(chain, list):
        raise VerificationError("The header of a signature is not what it should be.")
    if not all(isinstance(one, str) for one in chain):
        raise VerificationError("The header of a signature is not what it should be.")
    return Signature(
        alg=alg,
        kid=_optional(header, "kid", VerificationError),
        typ=_optional(header, "typ", VerificationError) or "",
        jwk=jwk,
        x5c=tuple(chain),
        read=_optional(header, READ, VerificationError) or "",
    )


def _members(
    text: str, most: int, allowed: frozenset[str], failure: Callable[[str], FailedError]
) -> Mapping[str, Any]:
    octets = fields.decode(text)
    if len(octets) > most:
        raise failure("Its header is longer than it may be.")
    header = fields.json_object(octets, failure)
    if not allowed >= header.keys():
        raise failure("Its header has members that are not known here.")
    return header


def _name(header: Mapping[str, Any], member: str, failure: Callable[[str], FailedError]) -> str:
    found = _optional(header, member, failure)
    if found is None:
        raise failure("Its header names no algorithm.")
    return found


def _optional(header: Mapping[str, Any], member: str, failure: Callable[[str], FailedError]) -> str | None:
    found = header.get(member)
    if member in header and not (isinstance(found, str) and len(found) <= _LONGEST_NAME):
        raise failure("A member of its header is not what it should be.")
    return found
