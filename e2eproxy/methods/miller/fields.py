"""The text of an element as octets, and JSON that a peer wrote: both within bounds, before anything looks inside.

Law 6: lengths are checked first; base64url has one spelling for each value once white space and padding are off; JSON has no
member twice, no number that is none, no text that cannot be written as UTF-8, and no more levels than our stack bears.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.door import MethodError

_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]+")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*\Z")
_DEEPEST: Final = 8
"""Levels of JSON: a JWK Set has three, a header with a key in it two."""


def encode(octets: bytes) -> str:
    """*Octets* in base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def bare(text: str, most: int, failure: Callable[[str], MethodError]) -> str:
    """*Text* without XML's white space and without padding, which is base64url of at most *most* octets.

    Raises *failure* for any other character, padding where none is, or bits that belong to no octet.
    """
    if len(text) > 4 * most + 100:
        raise failure("A part of it is longer than it may be.")
    plain = _WHITE_SPACE.sub("", text)
    found = plain.rstrip("=")
    padding = len(plain) - len(found)
    wrong_padding = padding not in {0, -len(found) % 4} or len(found) % 4 == 1
    if wrong_padding or not _BASE64URL.match(found) or encode(_decode(found)) != found:
        raise failure("A part of it is not base64url.")
    if len(found) * 3 // 4 > most:
        raise failure("A part of it is longer than it may be.")
    return found


def decode(text: str) -> bytes:
    """The octets of *text*, which ``bare`` has made or we have."""
    return _decode(text)


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def octets_of(text: object, most: int, failure: Callable[[str], MethodError]) -> bytes:
    """The octets of *text*, a member of a JSON object: base64url without white space. Raises *failure* if it is not."""
    if not isinstance(text, str) or len(text) > 2 * most + 100 or not _BASE64URL.match(text):
        raise failure("A part of it is not base64url.")
    return decode(bare(text, most, failure))


def json_object(octets: bytes, failure: Callable[[str], MethodError]) -> dict[str, Any]:
    """The JSON object that *octets* is; its values can be anything. Raises *failure*."""
    try:
        found = json.loads(octets.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        if b"\\u" in octets:  # written so, half a character can be there
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise failure("A part of it is no JSON, or JSON with a member twice.") from None
    if not isinstance(found, dict) or _deeper(found, _DEEPEST):
        raise failure("A part of it is other JSON than expected.")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _no_number(_name: str) -> NoReturn:
    raise ValueError("no number")


def _deeper(value: object, levels: int) -> bool:
    """Whether *value* is nested deeper than *levels*; it is not followed any further, for that many levels have no bound."""
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inside)
