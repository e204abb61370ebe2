"""XMPP domains in one prepared form, so that every comparison is between equals (laws 1 and 6).

A client writes ``Bücher.Example.``, a certificate says ``xn--bcher-kva.example``: both are the same domain only
after preparation. DNS, SNI and certificates use the ASCII form; a stream's ``to`` uses the Unicode form.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import idna

from e2eproxy.errors import RemoteError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
# What getaddrinfo (127.1, 0x7f.1) or Python (1_0) would read as a number, and so as an IPv4 address.
_NUMBER: Final = re.compile(r"(?:[0-9_]+|0x[0-9a-f_]*)\Z")
_LONGEST: Final = 253
_LONGEST_WRITTEN: Final = 1023  # bytes of UTF-8, RFC 7622 section 3.1


class BadDomain(RemoteError):  # noqa: N818 - it names the finding, as the other modules use it
    """The text is no domain: neither a DNS name nor an IP address."""


def prepare_domain(text: str) -> str:
    """Return the domainpart *text* in its prepared form.

    A DNS name becomes lower-case ASCII with A-labels (``xn--``), without a trailing dot; an IPv4 address its dotted
    form; an IPv6 address its shortest form in brackets. Raises BadDomain for anything else (RFC 7622 section 3.2).
    """
    if not text or len(text.encode("utf-8", "surrogatepass")) > _LONGEST_WRITTEN:
        raise BadDomain("A domain has between 1 and 1023 bytes.")
    address = _literal(text)
    if address is not None:
        return f"[{address}]" if address.version == 6 else str(address)
    name = _to_ascii(text).removesuffix(".")
    labels = name.split(".")
    if len(name) > _LONGEST or not all(map(_is_label, labels)) or _NUMBER.match(labels[-1]):
        raise BadDomain(f"{_quoted(text)} is not a domain name.")
    return name


def ip_literal(domain: str) -> IPAddress | None:
    """Return the IP address that the prepared *domain* is, or None if it is a DNS name."""
    return _literal(domain)


def unicode_domain(domain: str) -> str:
    """Return the prepared *domain* with U-labels, as a stream header's ``to`` has it."""
    if "xn--" not in domain:
        return domain
    return ".".join(_to_unicode(label) for label in domain.split("."))


def is_local(domain: str) -> bool:
    """Whether the prepared *domain* means this machine, so that DNS must not be asked (RFC 6761 section 6.3)."""
    return domain == "localhost" or domain.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """Whether *host* is the text of a loopback address (an IPv4 one may be written inside IPv6)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _literal(text: str) -> IPAddress | None:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in inner:
        return None
    try:
        address = ipaddress.ip_address(inner)
    except ValueError:
        return None
    return address if address.version == 6 or inner is text else None


def _to_ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return idna.encode(text, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise BadDomain(f"{_quoted(text)} is not an internationalised domain name.") from None


def _to_unicode(label: str) -> str:
    return idna.ulabel(label) if label.startswith("xn--") else label


def _is_label(label: str) -> bool:
    if not _LABEL.match(label):
        return False
    try:
        _to_unicode(label)
    except (idna.IDNAError, UnicodeError):
        return False
    return True


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "...")
