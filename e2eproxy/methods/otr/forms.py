"""What a message's text is to OTR: a query, a tagged text, an error, a fragment, an encoded message, or nothing of it.

Law 10 and law 6: only white space may stand in front of ``?OTR``. A text that merely quotes OTR must not start anything, so
elsewhere in a text it is text.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from attrs import field, frozen

from e2eproxy.methods.door import MethodError

MOST_TEXT: Final = 1 << 20
"""An encoded message is at most this many characters long, whole or put together."""
PREFIX: Final = "?OTR"
TAG: Final = " \t  \t\t\t\t \t \t \t  "
"""The whitespace tag's beginning; the groups of the offered versions follow."""
_GROUPS: Final = {" \t \t  \t ": 1, "  \t\t  \t ": 2, "  \t\t  \t\t": 3, "  \t\t \t  ": 4}
_GROUP: Final = 8
_QUERY: Final = re.compile(r"\?OTR(\?)?(?:v([0-9A-Za-z]{0,32})\?)?")
_ENCODED: Final = re.compile(r"\?OTR:([A-Za-z0-9+/]+={0,2})\.\s*\Z")
_FRAGMENT: Final = re.compile(
    r"\?OTR(?:\|([0-9A-Fa-f]{1,8})\|([0-9A-Fa-f]{1,8}))?,([0-9]{1,5}),([0-9]{1,5}),([^,]+),\s*\Z"
)
_ERROR: Final = re.compile(r"\?OTR Error:\s*")


@frozen
class Query:
    """An offer of *versions* (1 among them, if it is made), which asks for a handshake."""

    versions: frozenset[int]


@frozen
class Tagged:
    """Plain *text* with an offer of *versions* in white space, which is taken out."""

    text: str = field(repr=False)
    versions: frozenset[int]


@frozen
class ErrorText:
    """What the other side's OTR complains about, for people; nothing proves who wrote it."""

    text: str = field(repr=False)


@frozen(kw_only=True)
class Fragment:
    """Piece ``number`` of ``count`` of an encoded message; the instance tags are 0 in version 2's form."""

    number: int
    count: int
    piece: str = field(repr=False)
    sender: int = 0
    receiver: int = 0
    tagged: bool = False


@frozen
class Encoded:
    """An encoded message's bytes."""

    value: bytes = field(repr=False)


Form = Query | Tagged | ErrorText | Fragment | Encoded


def form_of(text: str) -> Form | None:
    """What *text* is to OTR; None if it is plain text. Raises MethodError if it is OTR's, but damaged."""
    start = text.lstrip()
    if not start.startswith(PREFIX):
        return _tagged(text)
    if start.startswith("?OTR:"):
        return Encoded(_decoded(start))
    if start.startswith(("?OTR,", "?OTR|")):
        return _fragment(start)
    if found := _ERROR.match(start):
        return ErrorText(start[found.end() :])
    query = _QUERY.match(start)
    if query and (query[1] or query[2] is not None):
        return Query(_versions(first=query[1] is not None, digits=query[2] or ""))
    return None


def _versions(*, first: bool, digits: str) -> frozenset[int]:
    offered = {int(one) for one in digits if one in "123456789"}
    return frozenset(offered | {1} if first else offered)


def _decoded(text: str) -> bytes:
    if len(text) > MOST_TEXT:
        raise MethodError("An OTR message arrived that is too long.")
    found = _ENCODED.match(text)
    try:
        value = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        value = b""
    if not value:
        raise MethodError("An OTR message arrived that is damaged.")
    return value


def _fragment(text: str) -> Fragment:
    found = _FRAGMENT.match(text) if len(text) <= MOST_TEXT else None
    if found is None:
        raise MethodError("A part of an OTR message arrived that is damaged.")
    return Fragment(
        number=int(found[3]),
        count=int(found[4]),
        piece=found[5],
        sender=int(found[1] or "0", 16),
        receiver=int(found[2] or "0", 16),
        tagged=found[1] is not None,
    )


def _tagged(text: str) -> Tagged | None:
    at = text.find(TAG)
    if at < 0:
        return None
    end = at + len(TAG)
    versions = set()
    while (group := text[end : end + _GROUP]) in _GROUPS:
        versions.add(_GROUPS[group])
        end += _GROUP
    return Tagged(text[:at] + text[end:], frozenset(versions))


def encoded_text(value: bytes) -> str:
    """An encoded message as text."""
    return f"?OTR:{base64.b64encode(value).decode()}."


def query_text(versions: frozenset[int], explanation: str = "") -> str:
    """A query that offers *versions*; *explanation* is for people whose client has no OTR."""
    digits = "".join(str(one) for one in sorted(versions))
    return f"?OTRv{digits}?" + (f"\n{explanation}" if explanation else "")


def tag_text(versions: frozenset[int]) -> str:
    """The whitespace tag that offers *versions*."""
    return TAG + "".join(group for group, version in _GROUPS.items() if version in versions)
