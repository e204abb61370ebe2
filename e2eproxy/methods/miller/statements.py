"""Statements in our own namespace, signed by a device: which key it encrypts with, and which other devices its owner has.

The draft has none of this. A device is known by its signing key, so that people compare one thumbprint for each device: the key that
others encrypt SMKs to is named in a statement by it. A device whose user has accepted another device of his own says so in a statement that
the other one shows around; to whom the first is accepted, the second is. docs/miller-e2e.md has the forms.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.miller import fields, headers, signing, wire
from e2eproxy.methods.miller.failures import VerificationError
from e2eproxy.methods.miller.keys import PublicKey, public_key

if TYPE_CHECKING:
    from e2eproxy.methods.miller.keys import PrivateKey
    from e2eproxy.xmpp.jid import JID

_DEVICE: Final = headers.DEVICE
_VOUCH: Final = headers.OWN + ":vouch"
_LONGEST: Final = 3 * 1024


def device(own: PrivateKey, owner: JID, encryption: PublicKey) -> str:
    """*Own*, a device's signing key, says that *encryption* is the key to encrypt to for it; *owner* is the account."""
    return _stated(own, _DEVICE, {"jid": str(owner.bare), "key": encryption.thumbprint})


def device_key(statement: str, owner: JID, encryption: PublicKey) -> PublicKey:
    """The signing key of the device of *owner* that has the key *encryption*. Raises VerificationError."""
    key, values = _read(statement, _DEVICE)
    if values != {"jid": str(owner.bare), "key": encryption.thumbprint}:
        raise VerificationError("A device's statement is about another key than it came with.")
    return key


def vouched(own: PrivateKey, owner: JID, other: PublicKey) -> str:
    """*Own* says that the device with the signing key *other* is *owner*'s as well."""
    return _stated(own, _VOUCH, {"jid": str(owner.bare), "key": other.thumbprint})


def vouching_key(statement: str, owner: JID, other: PublicKey) -> PublicKey:
    """Which key says that *other* is of a device of *owner*; what that is worth is not said. Raises VerificationError."""
    key, values = _read(statement, _VOUCH)
    if values != {"jid": str(owner.bare), "key": other.thumbprint} or key == other:
        raise VerificationError("A device vouches for another key than it was shown for.")
    return key


def _stated(own: PrivateKey, typ: str, values: dict[str, str]) -> str:
    header = {"typ": typ, "jwk": dict(own.public.numbers)}
    return signing.sign(own, json.dumps(values).encode(), header).compact


def _read(statement: str, typ: str) -> tuple[PublicKey, dict[str, Any]]:
    parts = statement.split(".")
    if len(parts) != 3:
        raise VerificationError("A statement about a key is not whole.")
    header, data, signature = (fields.bare(one, _LONGEST, VerificationError) for one in parts)
    jwk = headers.of_signature(header).jwk
    try:
        key = public_key(jwk or {})
    except MethodError as error:
        raise VerificationError(str(error)) from None
    payload = signing.verify(wire.Signed(header=header, data=data, signature=signature), key, typ)
    return key, fields.json_object(payload, VerificationError)
