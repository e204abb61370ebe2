"""On which line a TOML document names each of its top-level keys.

``tomllib`` tells lines for syntax errors only, but a wrong value deserves one as well. This walks a document
that ``tomllib`` has already accepted, so it need not judge, only keep step with strings, arrays and tables.
"""

from __future__ import annotations

import re
import tomllib

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'  # multi-line basic: up to two quotes may stand before the closing three
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(
    r"""[^\s,=#"'\[\]{}]+(?: \d[^\s,\]}#]*)?"""
)  # a date and its time may be parted by a space
_BRACKETS = {"[": "]", "{": "}"}


def key_lines(text: str) -> dict[str, int]:
    """Map each top-level key of *text*, a valid TOML document, to the line (from 1) where it first stands."""
    lines: dict[str, int] = {}
    position = _skip(_BLANK, text, 0)
    table: str | None = None
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        if text[position] == "[":
            opening = 2 if text.startswith("[[", position) else 1
            position = _skip(_SPACE, text, position + opening)
            table, position = _key(text, position)
            lines.setdefault(table, line)
            position = _skip(_SPACE, text, position) + opening
        else:
            first, position = _key(text, position)
            if table is None:
                lines.setdefault(first, line)
            position = _value(text, _skip(_SPACE, text, position) + 1)
        position = _skip(_BLANK, text, position)
    return lines


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _key(text: str, position: int) -> tuple[str, int]:
    """Read a key, dotted or not; returns its first part and the place behind all of it."""
    first: str | None = None
    while True:
        match = _KEY_PART.match(text, position)
        if match is None:
            raise ValueError(f"no TOML key at character {position}")
        if first is None:
            first = _unquoted(match[0])
        position = _skip(_SPACE, text, match.end())
        if not text.startswith(".", position):
            return first, match.end()
        position = _skip(_SPACE, text, position + 1)


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    return str(tomllib.loads(f"k = {part}")["k"])


def _value(text: str, position: int) -> int:
    """Step over the value that starts at or behind *position*; returns the place behind it."""
    closing: list[str] = []
    while True:
        # Line breaks and comments are part of a value only inside brackets, but tomllib has seen to that already.
        position = _skip(_BLANK, text, position)
        character = text[position : position + 1]
        if character in _BRACKETS:
            closing.append(_BRACKETS[character])
            position += 1
        elif closing and character == closing[-1]:
            closing.pop()
            position += 1
        elif closing and character in {",", "=", "."}:
            position += 1
            continue
        else:
            match = _STRING.match(text, position) or _SCALAR.match(text, position)
            if match is None:
                raise ValueError(f"no TOML value at character {position}")
            position = match.end()
        if not closing:
            return position
