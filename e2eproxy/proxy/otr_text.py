"""Whether a body is exactly one OTR query, fragment or encoded message, and nothing else (law 10).

A user can write ``?OTR`` in front of anything. So an encoded message is taken apart down to its last field; one byte
too many, and it is text. An error message and a tagged text are text for people, and so never count.
"""

from __future__ import annotations

import re
from typing import Final

from e2eproxy.proxy.shapes import decoded

# What libotr and profanity write behind a query for people without OTR, white space made one blank; none of it is sent on.
_FOR_PEOPLE: Final = re.compile(
    r"This user has requested an Off-the-Record private conversation\. However, you do not have a plugin to support that\. "
    r"See http://otr\.cypherpunks\.ca/ for more information\."
    r"|<b>[^<>&\" ]{1,1023}</b> has requested an <a href=\"https?://otr\.cypherpunks\.ca/\">Off-the-Record private "
    r"conversation</a>\. However, you do not have a plugin to support that\. "
    r"(?:If you are using Pidgin in Debian or Ubuntu, ?install the pidgin-otr package\. )?"
    r"See <a href=\"https?://otr\.cypherpunks\.ca/\"> ?https?://otr\.cypherpunks\.ca/</a> for more information\."
)
_QUERY: Final = re.compile(r"\?OTR(?:\??v[0-9x]{0,8}\?|\?)")
_ENCODED: Final = re.compile(r"\?OTR:([A-Za-z0-9+/]+={0,2})\.")
_FRAGMENT: Final = re.compile(
    r"\?OTR(?:,|\|[0-9a-f]{1,8}\|[0-9a-f]{1,8},)([0-9]{1,5}),([0-9]{1,5}),([A-Za-z0-9+/=?:.]+),"
)
_START: Final = "?OTR:"
_PIECE: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}\.?")
_MOST_FRAGMENTS: Final = 65535
# Of each type of message the fields behind the header: D data with its length, M an MPI, m a MAC of 20 bytes, b a byte,
# I an integer of 4 bytes, c a counter of 8 (OTR version 3, "Encoded messages").
_FIELDS: Final = {0x02: "DD", 0x0A: "M", 0x11: "DDm", 0x12: "Dm", 0x03: "bIIMcDmD"}
_FIXED: Final = {"m": 20, "b": 1, "I": 4, "c": 8}
_VERSIONS: Final = {2: 0, 3: 8}  # and how many bytes of instance tags they have


def query(body: str) -> str | None:
    """Return the query that *body* is, without the sentence for people without OTR; None if it is none."""
    found = _QUERY.match(body)
    if found is None:
        return None
    rest = " ".join(body[found.end() :].split())
    return found[0] if not rest or _FOR_PEOPLE.fullmatch(rest) else None


def is_encoded(body: str) -> bool:
    """Whether *body* is one encoded message of version 2 or 3, complete, with every field where it has to be."""
    found = _ENCODED.fullmatch(body)
    data = decoded(found[1]) if found else None
    if data is None:
        return False
    tags = _VERSIONS.get(int.from_bytes(data[:2], "big"))
    fields = _FIELDS.get(int.from_bytes(data[2:3], "big"))
    return tags is not None and fields is not None and _end_of_fields(data, 3 + tags, fields) == len(data)


def is_fragment(body: str) -> bool:
    """Whether *body* is one fragment of an encoded message.

    A piece from the middle is letters and digits like any word, so this only means something from a client that speaks
    OTR itself.
    """
    found = _FRAGMENT.fullmatch(body)
    if found is None:
        return False
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count <= _MOST_FRAGMENTS:
        return False
    piece = found[3]
    if count == 1:
        return is_encoded(piece)
    if number == 1:
        if not _START.startswith(piece[: len(_START)]):
            return False
        piece = piece[len(_START) :]
    return _PIECE.fullmatch(piece) is not None and piece.endswith(".") == (number == count)


def _end_of_fields(data: bytes, at: int, fields: str) -> int:
    """Return where *fields* end that begin at *at*: behind the end of *data* if they are cut short."""
    for one in fields:
        if one in _FIXED:
            at += _FIXED[one]
        else:
            at += 4 + int.from_bytes(data[at : at + 4], "big")
    return at
