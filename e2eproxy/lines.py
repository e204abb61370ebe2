"""Text for one line of a log or a terminal.

Much of what is logged came from afar (law 8 lets JIDs through), so nothing in it may begin a line of its own,
colour a terminal, turn the reading direction, or fill the disk.
"""

from __future__ import annotations

import re

MOST_CHARACTERS = 8192
"""A longer text is cut, with a note of how much is missing."""

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: line breaks and terminal commands
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the reading direction
    "\ud800-\udfff]"  # lone surrogates, which no encoding can write
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """*Text* cut to MOST_CHARACTERS and with everything escaped that could leave its line or steer a terminal."""
    return _UNSAFE.sub(_escaped, cut(text))


def cut(text: str) -> str:
    """*Text*, or its beginning and the number of characters left out."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}... ({len(text) - MOST_CHARACTERS} more characters)"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
