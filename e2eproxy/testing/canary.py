"""A text that must not show, and the search for it in whatever the server saw, however it was written.

Looked for as it stands, entity-escaped, in base64 at all three offsets and in both alphabets, percent-encoded, as UTF-16,
in hexadecimal, with JSON escapes, deflated, inside of base64, and in pieces that only make sense when fragments
of several stanzas are joined.
"""

from __future__ import annotations

import base64
import html
import re
import urllib.parse
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEEPEST = 3
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
_TEXT = re.compile(rb">([^<]+)<")
_VALUE = re.compile(rb"""=\s*(?:"([^"]*)"|'([^']*)')""")
_OTR_PIECE = re.compile(rb"\?OTR[|,][^,]*,(?:[^,]*,)*([^,]*),\Z")
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUOTED = re.compile(r"=([0-9A-F]{2})")
_FOLD = re.compile(rb"[ \t\r\n]+(?=[A-Za-z0-9+/_=-])")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[\s:]?){8,}")
_MOST_INFLATED = 2**22
_LEAST_INFLATED = 8
# What is searched comes again and again (namespaces, stanzas that are searched alone and joined): that much is remembered.
_REMEMBERED = 2**13
_MOST_REMEMBERED = 2**12


@frozen
class Canary:
    """``token``: at least 12 ASCII letters and digits that occur nowhere by chance."""

    token: str

    def text(self, around: str = "The canary & <its> 'cage' {}: ü") -> str:
        """A sentence to be sent, with the token and with characters that have to be escaped."""
        return around.format(self.token)

    def places(self, seen: Iterable[bytes]) -> list[str]:
        """How the token shows in *seen* (stanzas in the order they were sent): one short name for each way."""
        stanzas = list(seen)
        found = {way for raw in stanzas for way in self._in(raw, 0)}
        for name, joined in _joined(stanzas):
            found |= {f"{name}, {way}" for way in self._in(joined, 1)}
        return sorted(found)

    def _in(self, data: bytes, depth: int) -> tuple[str, ...]:
        search = _ways if len(data) <= _MOST_REMEMBERED else _ways.__wrapped__
        return search(self, data, depth)


@lru_cache(maxsize=_REMEMBERED)
def _ways(canary: Canary, data: bytes, depth: int) -> tuple[str, ...]:
    found = []
    token, lowered = canary.token.lower(), data.lower()
    for way, pattern in _patterns(canary.token):
        if pattern in (lowered if way in {"raw", "hex"} else data):
            found.append(way)
    if any(token in text.lower() for text in _unescaped(data)):
        found.append("escaped")
    if depth < _DEEPEST:
        for way, inner in _inside(data):
            found += [f"{way}, {deeper}" for deeper in canary._in(inner, depth + 1)]  # noqa: SLF001 - its other half
    return tuple(found)


@cache
def _patterns(token: str) -> tuple[tuple[str, bytes], ...]:
    """What the token looks like in bytes; "raw" and "hex" are looked for in lower case."""
    plain = token.encode("ascii")
    utf16 = [token.encode("utf-16-le"), token.encode("utf-16-be")]
    found = [("raw", plain.lower()), *(("UTF-16", one) for one in utf16), ("hex", plain.hex().encode())]
    for offset in range(3):
        whole = _whole_groups(plain, offset)
        found.append((f"base64 at offset {offset}", whole))
        found.append((f"base64url at offset {offset}", whole.replace(b"+", b"-").replace(b"/", b"_")))
        found += [(f"UTF-16 in base64 at offset {offset}", _whole_groups(one, offset)) for one in utf16]
    return tuple(found)


def _whole_groups(data: bytes, offset: int) -> bytes:
    """Return the base64 of *data* behind *offset* other bytes: the groups that no other bytes have a part in."""
    coded = base64.b64encode(b"\0" * offset + data)
    return coded[4 if offset else 0 : len(coded) - (4 if coded.endswith(b"=") else 0)]


def _unescaped(data: bytes) -> set[str]:
    """Each different text that *data* is if somebody undoes one way of escaping; most undo nothing."""
    text = data.decode("utf-8", "replace")
    plain = html.unescape(text)
    found = {text, plain, urllib.parse.unquote(text), urllib.parse.unquote(plain)}
    if "\\u" in text:
        found.add(_JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))
    if "=" in text:
        found.add(_QUOTED.sub(lambda found: chr(int(found[1], 16)), text.replace("=\n", "")))
    return found


def _inside(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What *data* holds in another form: decoded runs of base64 and hexadecimal, inflated bytes."""
    for found in _BASE64.finditer(_FOLD.sub(b"", data)):
        yield from _in_run(found[0])
    for found in _HEX.finditer(data):
        yield "in hex", bytes.fromhex(re.sub(rb"[\s:]", b"", found[0]).decode())
    yield from (("deflated", one) for one in _inflated(data, everywhere=True))


def _in_run(coded: bytes) -> tuple[tuple[str, bytes], ...]:
    return (_decodings if len(coded) <= _MOST_REMEMBERED else _decodings.__wrapped__)(coded)


@lru_cache(maxsize=_REMEMBERED)
def _decodings(coded: bytes) -> tuple[tuple[str, bytes], ...]:
    """What a run of base64 holds, whichever character its first group begins with."""
    run = coded.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    found = [("in base64", _decoded(run))]
    for shift in range(4):
        found += [("deflated in base64", one) for one in _inflated(_decoded(run[shift:]), everywhere=False)]
    return tuple(found)


def _decoded(run: bytes) -> bytes:
    """Return what *run*, base64 without padding, stands for; a single character at its end is none of it."""
    whole = run[:-1] if len(run) % 4 == 1 else run
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))


def _inflated(data: bytes, *, everywhere: bool) -> Iterator[bytes]:
    starts = {(0, -15), (0, 31), (0, 15)}
    if everywhere:
        starts |= {(found.start(), 15) for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data)}
        starts |= {(found.start(), 31) for found in re.finditer(rb"\x1f\x8b\x08", data)}
    for at, bits in sorted(starts):
        if not _may_inflate(data[at : at + 5], bits):
            continue
        try:
            out = zlib.decompressobj(bits).decompress(data[at:], _MOST_INFLATED)
        except zlib.error:
            continue
        if len(out) >= _LEAST_INFLATED:
            yield out


def _may_inflate(start: bytes, bits: int) -> bool:
    """Whether zlib gets past *start*, the first five bytes: asked first, as nearly all that is tried is no such thing.

    It says no only where zlib itself does at these bytes (RFC 1950, 1951 and 1952).
    """
    if len(start) < 5:
        return True
    if bits == 31:
        return start.startswith(b"\x1f\x8b\x08")
    if bits == 15:
        return start[0] & 15 == 8 and start[0] >> 4 <= 7 and int.from_bytes(start[:2], "big") % 31 == 0
    block = start[0] >> 1 & 3
    return block in {1, 2} or (block == 0 and start[1] ^ start[3] == start[2] ^ start[4] == 255)


def _joined(stanzas: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """The stanzas as somebody sees them who puts the pieces together again."""
    if len(stanzas) < 2:
        return
    yield "joined", b"".join(stanzas)
    texts = [
        [html.unescape(one.decode("utf-8", "replace")).encode() for one in _TEXT.findall(raw)]
        for raw in stanzas
    ]
    yield "joined texts", b"".join(one for own in texts for one in own)
    for position in range(max((len(own) for own in texts), default=0)):
        column = [own[position] for own in texts if position < len(own)]
        yield "joined fragments", b"".join(column)
        yield (
            "joined fragments",
            b"".join((found[1] if (found := _OTR_PIECE.match(one.strip())) else one) for one in column),
        )
    yield "joined values", b"".join(a or b for raw in stanzas for a, b in _VALUE.findall(raw))
