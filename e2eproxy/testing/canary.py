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
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[\s:]?){8,}")
_MOST_INFLATED = 2**22


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

    def _in(self, data: bytes, depth: int) -> Iterator[str]:
        for way, pattern in self._patterns():
            if pattern.lower() in data.lower() if way.startswith(("raw", "hex")) else pattern in data:
                yield way
        if any(self.token.lower() in text.lower() for text in _unescaped(data)):
            yield "escaped"
        if depth < _DEEPEST:
            for way, inner in _inside(data):
                yield from (f"{way}, {deeper}" for deeper in self._in(inner, depth + 1))

    def _patterns(self) -> Iterator[tuple[str, bytes]]:
        token = self.token.encode("ascii")
        yield "raw", token
        yield "UTF-16", self.token.encode("utf-16-le")
        yield "UTF-16", self.token.encode("utf-16-be")
        yield "hex", token.hex().encode()
        for offset in range(3):
            whole = _whole_groups(token, offset)
            yield f"base64 at offset {offset}", whole
            yield f"base64url at offset {offset}", whole.replace(b"+", b"-").replace(b"/", b"_")
            for end in ("le", "be"):
                yield (
                    f"UTF-16 in base64 at offset {offset}",
                    _whole_groups(self.token.encode(f"utf-16-{end}"), offset),
                )


def _whole_groups(data: bytes, offset: int) -> bytes:
    """Return the base64 of *data* behind *offset* other bytes: the groups that no other bytes have a part in."""
    coded = base64.b64encode(b"\0" * offset + data)
    return coded[4 if offset else 0 : len(coded) - (4 if coded.endswith(b"=") else 0)]


def _unescaped(data: bytes) -> Iterator[str]:
    text = data.decode("utf-8", "replace")
    yield html.unescape(text)
    yield urllib.parse.unquote(text)
    yield urllib.parse.unquote(html.unescape(text))
    yield _JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    yield re.sub(r"=([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text.replace("=\n", ""))


def _inside(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What *data* holds in another form: decoded runs of base64 and hexadecimal, inflated bytes."""
    for found in _BASE64.finditer(re.sub(rb"[ \t\r\n]+(?=[A-Za-z0-9+/_=-])", b"", data)):
        run = found[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        for shift in range(4):
            decoded = _decoded(run[shift:])
            inflated = list(_inflated(decoded, everywhere=False))
            if shift == 0:
                yield "in base64", decoded
            yield from (("deflated in base64", one) for one in inflated)
    for found in _HEX.finditer(data):
        yield "in hex", bytes.fromhex(re.sub(rb"[\s:]", b"", found[0]).decode())
    yield from (("deflated", one) for one in _inflated(data, everywhere=True))


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
        try:
            out = zlib.decompressobj(bits).decompress(data[at:], _MOST_INFLATED)
        except zlib.error:
            continue
        if len(out) >= 8:
            yield out


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
