"""A throw-away certificate authority and the certificates of the bed.

``ca_path`` is the authority once more as a *hashed directory*, the only form that profanity takes. ``rogue`` is a
self-signed certificate for the same names: a program that accepts it does not check.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

if TYPE_CHECKING:
    from pathlib import Path

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DOMAIN = "example.test"
ANONYMOUS_DOMAIN = "anonymous.example.test"
VALID = dt.timedelta(days=30)


@frozen
class Pair:
    """Files in PEM: a certificate, its private key, and both in one (the form that ejabberd takes)."""

    certificate: Path
    key: Path
    both: Path


@frozen
class Certificates:
    """Where everything is."""

    ca_file: Path
    ca_path: Path
    server: Pair
    rogue: Pair


def make_certificates(directory: Path) -> Certificates:
    """Make an authority, a server certificate for the bed's domains, and a rogue one, below *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Throw-away authority of the test bed")
    ca = _builder(ca_name, ca_name, ca_key, ca_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    ca = ca.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    ca_certificate = ca.sign(ca_key, hashes.SHA256())
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(ca_certificate.public_bytes(serialization.Encoding.PEM))
    return Certificates(
        ca_file=ca_file,
        ca_path=_hashed_directory(directory / "ca-path", ca_certificate),
        server=_server_pair(directory / "server", ca_certificate.subject, ca_key),
        rogue=_server_pair(directory / "rogue", None, None),
    )


def _server_pair(stem: Path, issuer: x509.Name | None, issuer_key: PrivateKey | None) -> Pair:
    # RSA, because the oldest client library of the bed (loudmouth) copes with it for certain.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = _name(DOMAIN)
    names = [DOMAIN, f"conference.{DOMAIN}", ANONYMOUS_DOMAIN, "localhost"]
    alternatives = [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        _builder(subject, issuer or subject, key, issuer_key or key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    )
    certificate = builder.sign(issuer_key or key, hashes.SHA256())
    pair = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"), stem.with_suffix(".pem"))
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.certificate.write_bytes(certificate_pem)
    for path, content in ((pair.key, key_pem), (pair.both, key_pem + certificate_pem)):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return pair


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, issuer_key: PrivateKey
) -> x509.CertificateBuilder:
    # Python from 3.13 on checks strictly (RFC 5280): without the two key identifiers it refuses.
    now = dt.datetime.now(dt.UTC)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in every})


def _hashed_directory(directory: Path, certificate: x509.Certificate) -> Path:
    """Store *certificate* under the file name by which OpenSSL looks it up: its subject's hash."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    subject_hash = crypto.X509.from_cryptography(certificate).subject_name_hash()
    (directory / f"{subject_hash:08x}.0").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return directory
