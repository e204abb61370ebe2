"""Signing and verifying: JWS (RFC 7515) by joserfc.

A signature's header says whose key it is by giving the key itself (``jwk``), so that every device that can open a stanza can
check it, at any time; which key that is, and what it is worth, is policy's business. What is signed as a stanza is never taken for a
statement about keys or the reverse: statements say in their headers what they are, stanzas must not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from e2eproxy.methods.miller import fields, headers
from e2eproxy.methods.miller.failures import VerificationError
from e2eproxy.methods.miller.wire import Signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.methods.miller.keys import PrivateKey, PublicKey

DEFAULT: Final = "RS256"
CHOICES: Final = ("RS256", "PS256")
"""What we sign with: the first is mandatory in the draft, the second can be chosen."""
_STANZA: Final = frozenset({"", "JOSE"})


def sign(own: PrivateKey, payload: bytes, header: Mapping[str, Any], alg: str = DEFAULT) -> Signed:
    """Sign *payload* with the key *own*; *header* are further members."""
    protected = {"alg": alg, "kid": own.public.thumbprint, **header}
    return Signed.of(jws.serialize_compact(protected, payload, own.jose, registry=_registry(alg)))


def verify(signed: Signed, key: PublicKey, typ: str = "") -> bytes:
    """The payload of *signed* if it is signed with *key* and is of the kind *typ* ("": a stanza). Raises VerificationError."""
    header = headers.of_signature(signed.header)
    if header.typ != typ and not (not typ and header.typ in _STANZA):
        raise VerificationError("What is signed is something else than it is sent as.")
    if (header.alg == "ES256") != (key.kind == "EC"):
        raise VerificationError("It is signed with an algorithm that its key is not for.")
    try:
        jws.deserialize_compact(signed.compact, key.jose(), registry=_registry(header.alg))
    except (JoseError, ValueError, InvalidSignature):
        raise VerificationError("The signature does not hold.") from None
    return fields.decode(signed.data)


class _Registry(JWSRegistry):
    """Exactly one algorithm, and our bounds, which the elements were held to already; ``headers`` has read the members."""

    max_header_length = 2 * headers.LONGEST_SIGNED
    max_payload_length = 2**21
    max_signature_length = 2 * 1024

    def __init__(self, alg: str) -> None:
        super().__init__(algorithms=[alg], strict_check_header=False)


@lru_cache(len(headers.SIGNATURES))
def _registry(alg: str) -> _Registry:
    return _Registry(alg)
