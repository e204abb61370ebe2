"""S-expressions as libotr's key files have them: lists of words, quoted texts, base64 between bars, hexadecimal numbers.

Such a file comes from another program, perhaps from another person: depth and number of things are bounded, and nothing is computed of
a number here.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

from e2eproxy.errors import LocalError

MOST_DEPTH: Final = 8
MOST_THINGS: Final = 50_000

Expression = bytes | list["Expression"]

_TOKEN: Final = re.compile(
    rb"""\s*(?:
    (?P<mark>[()])
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | \#(?P<hexadecimal>[0-9A-Fa-f\s]*)\#
    | \|(?P<base64>[A-Za-z0-9+/=\s]*)\|
    | (?P<word>[^\s()"\#|]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|[0-7]{3}|\r\n|.)", re.DOTALL)
_ESCAPED: Final = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"b": b"\b",
    b"v": b"\v",
    b"f": b"\f",
    b"\n": b"",
    b"\r\n": b"",
}


class NoExpressionError(LocalError):
    """What was read is no S-expression, or a larger one than any key file is."""


def parse(raw: bytes) -> list[Expression]:
    """The one list that *raw* is. Raises NoExpressionError."""
    outermost: list[Expression] = []
    stack = [outermost]
    at = things = 0
    end = len(raw.rstrip())
    while at < end:
        found = _TOKEN.match(raw, at, end)
        things += 1
        if found is None or things > MOST_THINGS:
            raise NoExpressionError("it is damaged" if found is None else "it is too large")
        at = found.end()
        if found["mark"] == b"(":
            inner: list[Expression] = []
            stack[-1].append(inner)
            stack.append(inner)
            if len(stack) > MOST_DEPTH:
                raise NoExpressionError("its lists are too deep")
        elif found["mark"] == b")":
            stack.pop()
            if not stack:
                raise NoExpressionError("it is damaged")
        else:
            stack[-1].append(_atom(found))
    if len(stack) != 1 or len(outermost) != 1 or not isinstance(outermost[0], list):
        raise NoExpressionError("it is not complete")
    return outermost[0]


def _atom(found: re.Match[bytes]) -> bytes:
    kind = found.lastgroup
    value = found[kind or "word"]
    try:
        if kind == "hexadecimal":
            return bytes.fromhex(b"".join(value.split()).decode())
        if kind == "base64":
            return b64decode(b"".join(value.split()), validate=True)
    except ValueError:
        raise NoExpressionError("it is damaged") from None
    return _ESCAPE.sub(_unescaped, value) if kind == "quoted" else value


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if len(code) == 3:
        number = int(code[1:], 16) if code[:1] == b"x" else int(code, 8)
        return bytes([number & 0xFF])
    return _ESCAPED.get(code, code)


def quoted(text: str) -> str:
    """*Text* in quotes, as ``parse`` and libgcrypt read it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
