"""What is in an archive, and how each value is written as JSON: texts, numbers, bytes as base64."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

from attrs import field, fields, frozen

from e2eproxy.errors import LocalError
from e2eproxy.trust.values import Decision, Fingerprint, IdentityKey, PeerKey, PolicyRow, StickyContact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ArchiveError(LocalError):
    """A file that is no archive, or one that does not open."""


@frozen(kw_only=True)
class Content:
    """Identities and trust of *account*."""

    account: str
    identities: tuple[IdentityKey, ...] = field(default=(), repr=False)
    peer_keys: tuple[PeerKey, ...] = ()
    policy: tuple[PolicyRow, ...] = ()
    sticky: tuple[StickyContact, ...] = ()


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError("a text is missing")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise TypeError("a number is missing")
    return float(value)


def _bytes(value: object) -> bytes:
    return b64decode(_text(value), validate=True)


def _fingerprint(value: object) -> Fingerprint:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("a fingerprint is missing")
    return Fingerprint(_text(value[0]), _text(value[1]))


def _optional(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


Codec = tuple[type[Any], dict[str, "Callable[[object], Any]"]]

CODECS: Final[dict[str, Codec]] = {
    "identities": (
        IdentityKey,
        {"method": _text, "name": _text, "public": _bytes, "secret": _bytes, "created_at": _number},
    ),
    "peer_keys": (
        PeerKey,
        {
            "contact": _text,
            "fingerprint": _fingerprint,
            "public": _bytes,
            "first_seen": _number,
            "last_seen": _number,
            "decision": lambda value: Decision(_text(value)),
            "how_verified": _optional(_text),
            "verified_at": _optional(_number),
        },
    ),
    "policy": (PolicyRow, {"scope": _text, "key": _text, "setting": _text, "value": _text}),
    "sticky": (StickyContact, {"contact": _text, "since": _number, "why": _text}),
}
"""Kind: its value type, and for each attribute but the account how it is read."""


def to_json(content: Content) -> dict[str, Any]:
    """*content* as JSON has it."""
    written: dict[str, Any] = {"account": content.account}
    for kind, (_, readers) in CODECS.items():
        written[kind] = [
            {name: _written(getattr(value, name)) for name in readers} for value in getattr(content, kind)
        ]
    return written


def from_json(given: Mapping[str, Any]) -> Content:
    """The content in what JSON gave; raises TypeError, ValueError or KeyError for anything else."""
    account = _text(given["account"])
    read: dict[str, Any] = {}
    for kind, (value_type, readers) in CODECS.items():
        names = {attribute.name for attribute in fields(value_type)} - {"account"}
        if names != set(readers):
            raise AssertionError(f"the archive does not know all of {value_type.__name__}")
        read[kind] = tuple(
            value_type(account=account, **{name: reader(entry[name]) for name, reader in readers.items()})
            for entry in given[kind]
        )
    return Content(account=account, **read)


def _written(value: object) -> object:
    match value:
        case bytes():
            return b64encode(value).decode("ascii")
        case Decision():
            return value.value
        case Fingerprint():
            return [value.method, value.text]
    return value
