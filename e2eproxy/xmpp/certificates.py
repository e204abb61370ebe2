"""Whom a certificate belongs to, and why one was not accepted, in words a user can act on.

OpenSSL checks the chain during the handshake; the name and the pins are checked here, when it is done and before a
byte is written. There is no Python callback inside OpenSSL: those need memory that is writable and executable, which
a hardened service does not get.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier
from OpenSSL import crypto
from OpenSSL.SSL import X509VerificationCodes as Codes
from service_identity import CertificateError
from service_identity.hazmat import (
    DNS_ID,
    SRV_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    SRVPattern,
)

from e2eproxy.xmpp.domain import ip_literal
from e2eproxy.xmpp.reaching import ConnectError, printable, unsafe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SRV_NAME: Final = ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # id-on-dnsSRV, RFC 4985
_SRV_SERVICES: Final = ("_xmpp-client", "_xmpps-client")  # the first also for direct TLS, XEP-0368 section 2
_IA5_STRING: Final = 0x16
_NAMES_TOLD: Final = 5

#: In how many ways the library refuses a certificate whose content is strange.
UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


def key_pin(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 (32 bytes) of the certificate's SubjectPublicKeyInfo. Raises ConnectError if unreadable."""
    try:
        key = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except UNREADABLE as error:
        raise unsafe(
            f"The server's certificate has a key that cannot be read: {printable(str(error))}."
        ) from None
    return hashlib.sha256(key).digest()


def check_pins(certificate: x509.Certificate, pins: Sequence[bytes]) -> None:
    """Raise ConnectError unless the key of *certificate* is one of *pins*; without pins any is good."""
    if not pins:
        return
    seen = key_pin(certificate)
    if seen not in pins:
        raise unsafe(
            f"The server's key is not a pinned one: its SHA-256 is {seen.hex()}. If the server really has a new"
            " key, give that value with --pin; if not, someone is listening in."
        )


def check_name(certificate: x509.Certificate, domain: str) -> None:
    """Raise ConnectError unless *certificate* is for the prepared *domain* (RFC 6120 section 13.7.1.2, RFC 9525)."""
    try:
        patterns, names = _subject_names(certificate)
    except UNREADABLE as error:
        raise unsafe(f"The server's certificate cannot be read: {printable(str(error))}.") from None
    address = ip_literal(domain)
    wanted: list[DNS_ID | SRV_ID | IPAddress_ID]
    if address is not None:
        wanted = [IPAddress_ID(str(address))]
    else:
        wanted = [DNS_ID(domain), *(SRV_ID(f"{service}.{domain}") for service in _SRV_SERVICES)]
    if any(name.verify(pattern) for name in wanted for pattern in patterns):
        return
    told = ", ".join(printable(name, 80) for name in names[:_NAMES_TOLD]) or "no name at all"
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    raise unsafe(
        f"The server's certificate is for {told}{more}, not for {domain}. {_advice(certificate, authority=False)}"
    )


def _subject_names(certificate: x509.Certificate) -> tuple[list[CertificatePattern], list[str]]:
    """Return the names that can be matched, and all as text; one that is malformed matches nothing."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return [], []
    alternatives = extension.value
    assert isinstance(alternatives, x509.SubjectAlternativeName)  # noqa: S101 - what that OID means
    patterns: list[CertificatePattern] = []
    texts: list[str] = []

    def add(make: Callable[[bytes], CertificatePattern], name: bytes) -> None:
        texts.append(name.decode("utf-8", "replace"))
        try:
            patterns.append(make(name))
        except (CertificateError, ValueError, IndexError):
            return

    for name in alternatives.get_values_for_type(x509.DNSName):
        add(DNSPattern.from_bytes, name.encode("utf-8"))
    for address in alternatives.get_values_for_type(x509.IPAddress):
        texts.append(str(address))
        if isinstance(address, IPv4Address | IPv6Address):
            patterns.append(IPAddressPattern(address))
    for other in alternatives.get_values_for_type(x509.OtherName):
        service = _ia5_text(other.value) if other.type_id == _SRV_NAME else None
        if service:
            add(SRVPattern.from_bytes, service)
    return patterns, texts


def _ia5_text(der: bytes) -> bytes | None:
    """Return the content of *der* if it is one short IA5String, else None."""
    if len(der) < 3 or der[0] != _IA5_STRING:
        return None
    short = der[1] < 0x80
    length, start = (der[1], 2) if short else (der[2], 3)
    if (not short and der[1] != 0x81) or len(der) != start + length:
        return None
    return der[start:]


def chain_refused(store: crypto.X509Store | None, chain: Sequence[crypto.X509] | None) -> ConnectError:
    """Return why the *chain* (the server's own certificate first) does not lead to an authority in *store*.

    Called when OpenSSL has refused it: the check is made once more, because only then it tells what was wrong.
    """
    if not chain or store is None:
        return unsafe("The server's certificate was refused, and it showed none that could be described.")
    try:
        reason, authority = _verify_again(store, chain)
        advice = _advice(chain[0].to_cryptography(), authority=authority)
    except UNREADABLE as error:
        return unsafe(f"The server's certificate was refused and cannot be read: {printable(str(error))}.")
    except ConnectError as error:
        return error
    return unsafe(f"The server's certificate {reason}. {advice}")


def _verify_again(store: crypto.X509Store, chain: Sequence[crypto.X509]) -> tuple[str, bool]:
    """Return what is wrong with *chain*, and whether it is that nobody trusted has issued it."""
    try:
        crypto.X509StoreContext(store, chain[0], list(chain[1:])).verify_certificate()
    except crypto.X509StoreContextError as error:
        return _chain_reason(error), error.errors[0] in _UNKNOWN_AUTHORITY
    # The context knows no purpose, so this is what is left.
    return "is not one for servers", False


_UNKNOWN_AUTHORITY: Final = frozenset(
    (
        Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN,
        Codes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    )
)


def _chain_reason(error: crypto.X509StoreContextError) -> str:
    code, depth, message = error.errors
    at_fault = error.certificate.to_cryptography()
    whose = "" if depth == 0 else f"has in its chain {_common_name(at_fault.subject)}, which "
    if code == Codes.ERR_CERT_HAS_EXPIRED:
        return f"{whose}expired on {at_fault.not_valid_after_utc:%Y-%m-%d at %H:%M} UTC{_clock()}"
    if code == Codes.ERR_CERT_NOT_YET_VALID:
        return f"{whose}is not valid before {at_fault.not_valid_before_utc:%Y-%m-%d, %H:%M} UTC{_clock()}"
    if code == Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "is self-signed"
    if code in _UNKNOWN_AUTHORITY:
        return f"was issued by {_common_name(at_fault.issuer)}, which is not a trusted authority here"
    return f"was refused: {whose}{message}"


def _clock() -> str:
    """What the clock says by which a certificate was found out of its time: it may be the clock that is wrong."""
    return f" (this machine's clock says {datetime.now(UTC):%Y-%m-%d, %H:%M} UTC; is it right?)"


def _common_name(name: x509.Name) -> str:
    attributes = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(attributes[0].value) if attributes else name.rfc4514_string()
    return f'"{printable(text, 80)}"'


def _advice(certificate: x509.Certificate, *, authority: bool) -> str:
    pin = f"trust exactly its key with --pin-only --pin {key_pin(certificate).hex()}"
    if authority:
        return f"If it is the right server, name its authority's file with --upstream-ca, or {pin}."
    return f"Its operator has to correct that; if you are sure that it is the right server, {pin}."
