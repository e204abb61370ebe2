"""The X.509 route: a certificate that names a JID makes its key that JID's, if an authority that the user configured says so.

Law 6: the chain is the peer's. It is short, checked by ``cryptography`` against the configured anchors and no others, and nothing is
fetched; whatever is wrong with it, the key is simply not certified.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from e2eproxy.errors import LocalError
from e2eproxy.xmpp.jid import JID, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e2eproxy.methods.miller.keys import PublicKey

XMPP_ADDRESS: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
"""id-on-xmppAddr, RFC 6120 section 13.7.1.4."""
_UTF8_STRING: Final = 0x0C
_MOST_CERTIFICATES: Final = 4


def anchors_of(pem: str) -> tuple[x509.Certificate, ...]:
    """The certificates in *pem*, none if it is blank. Raises LocalError: it is our user's setting."""
    if not pem.strip():
        return ()
    try:
        return tuple(x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        raise LocalError("The setting anchors of miller-e2e holds no certificates in PEM.") from None


def certified(key: PublicKey, owner: JID, anchors: Sequence[x509.Certificate], at: float) -> bool:
    """Whether the certificates that came with *key* prove, at the time *at* (seconds since 1970), that it is *owner*'s."""
    if not anchors or not 0 < len(key.x5c) <= _MOST_CERTIFICATES:
        return False
    try:
        leaf, *others = (
            x509.load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in key.x5c
        )
        if not _is_for(leaf, key):
            return False
        verifier = (
            PolicyBuilder()
            .store(Store(list(anchors)))
            .time(datetime.fromtimestamp(at, UTC))
            .max_chain_depth(_MOST_CERTIFICATES)
            .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_LEAF)
            .build_client_verifier()
        )
        verifier.verify(leaf, others)
        return owner.bare in _jids(leaf)
    except (binascii.Error, ValueError, TypeError, OverflowError, OSError, VerificationError):
        return False
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.ExtensionNotFound):
        return False


#: A person's certificate: it has to name somebody, and its key has to be for signatures if it says what it is for.
_LEAF: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
)


def _is_for(leaf: x509.Certificate, key: PublicKey) -> bool:
    ours = key.jose().public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    theirs = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ours == theirs


def _jids(leaf: x509.Certificate) -> Iterator[JID]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for name in names.get_values_for_type(x509.OtherName):
        found = prepared(_utf8(name.value)) if name.type_id == XMPP_ADDRESS else None
        if found is not None and not found.resource:
            yield found


def _utf8(der: bytes) -> str | None:
    """The text of a DER UTF8String of less than 64 KiB."""
    if len(der) < 2 or der[0] != _UTF8_STRING:
        return None
    octets = {0x81: 1, 0x82: 2}.get(der[1], 0)
    length = der[1] if der[1] < 0x80 else int.from_bytes(der[2 : 2 + octets], "big")
    text = der[2 + octets :]
    try:
        return text.decode() if len(text) == length else None
    except UnicodeDecodeError:
        return None
