"""Text written as XML: escaping, start tags, and where the attributes of a start tag stand in its bytes.

Part of law 2 (what was not changed stays as it was spelt, so changes are made in place) and of law 6 (what a peer chose
cannot break out of the place it is written to).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A start tag; only ever applied where expat has accepted one.
START_TAG: Final = re.compile(rb"<[^\s>'\"]++(?:[^>'\"]++|'[^']*+'|\"[^\"]*+\")*+>")
_NAME: Final = re.compile(rb"<([^\s/>]+)")
_ATTRIBUTE: Final = re.compile(rb"\s+([^\s=]+)\s*=\s*('[^']*'|\"[^\"]*\")")
_UNPREFIXED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
# What XML 1.0 has no place for, written or as a reference (section 2.2).
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# A reader turns these into blanks, or loses them, unless they are references (XML 1.0 sections 2.11 and 3.3.3).
_SPACES: Final = {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_QUOTES: Final = {"'": "&apos;", '"': "&quot;"}


class Attribute(NamedTuple):
    """One attribute as written: its name with its prefix, and the offsets of all of it and of its value.

    ``start`` is where the white space before it begins, ``end`` is behind its closing quote; ``value_start`` and
    ``value_end`` are inside the quotes.
    """

    name: bytes
    start: int
    value_start: int
    value_end: int
    end: int


def escape_text(text: str) -> str:
    """Return *text* as character data; characters XML has no place for are replaced."""
    return _escape(_NOT_XML.sub(_REPLACEMENT, text)).replace("\r", "&#13;")


def escape_value(value: str, quote: str = "'") -> str:
    """Return *value* as it is written between two *quote* characters.

    Raises ValueError for characters XML has no place for: an address or an id must not be changed silently.
    """
    if _NOT_XML.search(value):
        raise ValueError("A value holds a character that XML has no place for.")
    escaped = _escape(value).replace(quote, _QUOTES[quote])
    for space, reference in _SPACES.items():
        escaped = escaped.replace(space, reference)
    return escaped


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def element(name: str, attributes: Mapping[str, str | None], content: bytes = b"") -> bytes:
    """Return an element; attributes that are None are left out. *content* is XML as it is.

    Raises ValueError for an attribute's value that cannot be written.
    """
    given = "".join(
        f" {key}='{escape_value(value)}'" for key, value in attributes.items() if value is not None
    )
    if not content:
        return f"<{name}{given}/>".encode()
    return f"<{name}{given}>".encode() + content + f"</{name}>".encode()


def tag_name(tag: bytes) -> bytes:
    """Return the name in a start tag, with its prefix."""
    found = _NAME.match(tag)
    assert found is not None  # noqa: S101 - it is a start tag
    return found[1]


def attributes_of(tag: bytes) -> list[Attribute]:
    """Return the attributes of a start tag, namespace declarations included, in their order."""
    after_name = len(tag_name(tag)) + 1
    return [
        Attribute(found[1], found.start(), found.start(2) + 1, found.end(2) - 1, found.end())
        for found in _ATTRIBUTE.finditer(tag, after_name)
    ]


def is_declaration(name: bytes) -> bool:
    """Whether an attribute of this name declares a namespace."""
    return name == b"xmlns" or name.startswith(b"xmlns:")


def is_unprefixed(name: str) -> bool:
    """Whether *name* may be written as the name of an attribute in no namespace."""
    return _UNPREFIXED.match(name) is not None and name != "xmlns"
