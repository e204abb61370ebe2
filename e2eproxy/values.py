"""What the text of one option means: each function reads one value and refuses the rest with a reason.

They are used for the command line and for the configuration file alike, so that both accept the same. Pure,
except ``certificates``, which reads the file that it is to judge.
"""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from e2eproxy.endpoints import EndpointError, is_loopback, read_endpoint, read_metrics_endpoint
from e2eproxy.errors import LocalError
from e2eproxy.trust import location

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST_BYTES = 32
"""Length of a SHA-256 digest."""

_METHOD = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_HOST = re.compile(r"[^\s\x00-\x20\x7f/@:\[\]]{1,253}")


class OptionError(LocalError):
    """A value that an option does not take; the text goes behind the option's name."""


def shown(value: object) -> str:
    """*Value* in quotes, escaped and cut to what fits in an error line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def listen_endpoint(text: str) -> str:
    """An endpoint string as it came, when it is one that may be listened on."""
    try:
        read_endpoint(text)
    except EndpointError as error:
        raise OptionError(f"{shown(text)}: {error}") from error
    return text


def metrics_endpoint(text: str) -> str | None:
    """An endpoint string as it came, when the metrics may be served there; None for "none"."""
    if text == "none":
        return None
    try:
        read_metrics_endpoint(text)
    except EndpointError as error:
        raise OptionError(f"{shown(text)}: {error}") from error
    return text


def host_and_port(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` as (host without brackets, port)."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise OptionError(f"{shown(text)} has no port; write it as {text}:5222")
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise OptionError(f"the port in {shown(text)} is not allowed; allowed: 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1], text), int(port)
    if ":" in host:
        raise OptionError(f"{shown(text)}: an IPv6 address goes in brackets, as in [::1]:5222")
    if not _HOST.fullmatch(host):
        raise OptionError(f"{shown(host)} is no host name or address")
    return host, int(port)


def _ipv6(host: str, text: str) -> str:
    from ipaddress import IPv6Address  # noqa: PLC0415  # only needed for this rare form

    try:
        return str(IPv6Address(host))
    except ValueError as error:
        raise OptionError(f"{shown(text)}: {host!r} is no IPv6 address") from error


def loopback_host(host: str) -> bool:
    """Whether connecting to *host* stays on this machine for certain: a literal loopback address."""
    return is_loopback(host)


def pin(text: str) -> bytes:
    """SHA-256 of a SubjectPublicKeyInfo (RFC 7469 section 2.4's pin), hex or base64, colons anywhere: 32 bytes."""
    plain = text.replace(":", "").strip()
    digest = b""
    with suppress(ValueError):  # of which binascii.Error is one
        hexadecimal = len(plain) == 2 * DIGEST_BYTES
        digest = (
            bytes.fromhex(plain) if hexadecimal else b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        )
    if len(digest) != DIGEST_BYTES:
        raise OptionError(f"{shown(text)} is no SHA-256 digest; allowed: 64 hexadecimal digits or base64")
    return digest


def one_of(*allowed: str) -> Callable[[str], str]:
    """A reader that takes only the words *allowed*."""

    def read(text: str) -> str:
        if text not in allowed:
            raise OptionError(f"{shown(text)} is not allowed; allowed: {', '.join(allowed)}")
        return text

    return read


def methods(text: str) -> tuple[str, ...]:
    """Names of methods between blanks or commas, in their order, each once; there may be none."""
    words = tuple(text.replace(",", " ").split())
    for word in words:
        if not _METHOD.fullmatch(word):
            raise OptionError(f"{shown(word)} is no name of a method; those are like miller-e2e")
    if len(set(words)) != len(words):
        raise OptionError(f"{shown(text)} names a method twice")
    return words


def some_of(*allowed: str) -> Callable[[str], frozenset[str]]:
    """A reader of any of the words *allowed*, between blanks or commas; there may be none."""

    def read(text: str) -> frozenset[str]:
        words = text.replace(",", " ").split()
        for word in words:
            if word not in allowed:
                raise OptionError(f"{shown(word)} is not allowed; allowed: any of {', '.join(allowed)}")
        return frozenset(words)

    return read


def store(text: str, base: Path) -> str:
    """A store's URL; a SQLite file with its absolute path, counted from *base*. No error quotes it."""
    try:
        return location.normal(text, base)
    except location.LocationError as error:
        raise OptionError(str(error)) from None


def control(text: str, base: Path) -> Path | None:
    """Where the control socket is, counted from *base*; None for "none"."""
    if text == "none":
        return None
    if not text:
        raise OptionError("the path is empty; write none for no socket")
    try:
        return any_path(base / Path(text).expanduser())
    except RuntimeError as error:
        raise OptionError(f"{shown(text)}: there is no such home directory") from error


def contact_name(text: str) -> str:
    """The domain that the proxy's own contact has, prepared."""
    from e2eproxy.xmpp.domain import BadDomain, ip_literal, prepare_domain  # noqa: PLC0415  # loads IDNA's tables

    try:
        name = prepare_domain(text)
    except BadDomain as error:
        raise OptionError(
            f"{shown(text)} is no domain; write one that is nobody's, without @ and /, such as e2eproxy.localhost"
        ) from error
    if ip_literal(name) is not None or name == "localhost":
        raise OptionError(
            f"{shown(text)} is a machine's; write a domain that is nobody's, such as e2eproxy.localhost"
        )
    return name


def number(least: int, most: int) -> Callable[[int], int]:
    """A reader that takes only whole numbers from *least* to *most*."""

    def read(value: int) -> int:
        if not least <= value <= most:
            raise OptionError(f"{shown(value)} is not allowed; allowed: {least} to {most}")
        return value

    return read


def number_or_zero(least: int, most: int) -> Callable[[int], int]:
    """A reader that takes 0, and whole numbers from *least* to *most*."""

    def read(value: int) -> int:
        if value and not least <= value <= most:
            raise OptionError(f"{shown(value)} is not allowed; allowed: 0, or {least} to {most}")
        return value

    return read


def some_numbers(*allowed: int) -> Callable[[list[int]], tuple[int, ...]]:
    """A reader of one or several of the numbers *allowed*; the same in any order, and once each."""

    def read(given: list[int]) -> tuple[int, ...]:
        if not given or not set(allowed).issuperset(given):
            names = ", ".join(map(str, allowed))
            raise OptionError(f"{shown(given)} is not allowed; allowed: one or several of {names}")
        return tuple(sorted(set(given)))

    return read


def flag(value: bool) -> bool:
    """True or false, both allowed."""
    return value


def any_path(path: Path) -> Path:
    """Any path; whether it can be used shows when it is used."""
    if "\0" in str(path):
        raise OptionError(f"{shown(str(path))} is no path")
    return path


def certificates(path: Path) -> Path:
    """A file of at least one certificate in PEM form (RFC 7468)."""
    from cryptography import x509  # noqa: PLC0415  # 10 MiB that `--help` and a daemon without a CA file can spare

    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise OptionError(f"{shown(str(path))} cannot be read: {reason(error)}") from error
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise OptionError(f"{shown(str(path))} holds no readable PEM certificate") from error
    if not found:
        raise OptionError(f"{shown(str(path))} holds no PEM certificate")
    return path


def reason(error: BaseException) -> str:
    """What the system said, without Python's number and path around it."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
