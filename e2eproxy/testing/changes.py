"""Small changes of a stanza's bytes that leave it a stanza: bit flips, truncations, swapped parts, wherever data stands.

Where a text or an attribute is base64, as a whole or as the greatest part of it, it is changed inside, so that what is
tested is the cipher and not the decoder; every other text is changed as text.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from attrs import frozen

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DATA = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_TEXT = re.compile(rb">([^<>]+)<")
_VALUE = re.compile(rb"""(?<=[\s])(?!xmlns)[a-z-]+=(?:'([^']*)'|"([^"]*)")""")


@frozen
class Change:
    """``name`` says what was done (``flip bit 3 of byte 17 of part 2``), ``raw`` is the changed stanza."""

    name: str
    raw: bytes


def parts(raw: bytes) -> list[tuple[int, int]]:
    """Where in *raw*, behind its own start tag, data stands: (start, end) of each run of base64 of 8 or more."""
    head = raw.index(b">") + 1
    places = []
    for pattern in (_TEXT, _VALUE):
        for found in pattern.finditer(raw):
            group = next(
                number for number in range(1, (pattern.groups or 1) + 1) if found[number] is not None
            )
            start, end = found.span(group)
            if start >= head:
                places += [(start + one.start(), start + one.end()) for one in _DATA.finditer(raw[start:end])]
    return sorted(set(places))


def changes(
    raw: bytes, *, most: int = 60, wanted: Callable[[Change], bool] = lambda _: True
) -> Iterator[Change]:
    """At most *most* changes of *raw* that are *wanted*, spread over all its parts; each is still one stanza."""
    found = [one for one in _all(raw) if wanted(one) and _is_stanza(one.raw)]
    step = max(1, -(-len(found) // most))
    yield from found[::step]


def _all(raw: bytes) -> Iterator[Change]:
    for number, (start, end) in enumerate(parts(raw)):
        data = _decoded(raw[start:end])
        for name, changed in _of(data):
            coded = base64.b64encode(changed)
            if b"=" not in raw[start:end]:
                coded = coded.rstrip(b"=") if len(raw[start:end]) % 4 else coded
            yield Change(f"{name} of part {number}", raw[:start] + coded + raw[end:])
        yield Change(f"empty part {number}", raw[:start] + raw[end:])
        yield Change(f"turn round part {number}", raw[:start] + raw[start:end][::-1] + raw[end:])


def _of(data: bytes) -> Iterator[tuple[str, bytes]]:
    for at in range(0, len(data), max(1, len(data) // 24)):
        bit = at % 8
        yield f"flip bit {bit} of byte {at}", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    for keep in (len(data) - 1, len(data) - 16, len(data) // 2, 1):
        if 0 < keep < len(data):
            yield f"cut after byte {keep}", data[:keep]
    yield "one byte more at the end", data + b"\0"
    yield from _shortened(data)


def _shortened(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What looks like a field behind its length in 4 or 2 bytes loses its last byte, and the length is put right."""
    for width in (4, 2):
        for at in range(len(data) - width):
            length = int.from_bytes(data[at : at + width], "big")
            end = at + width + length
            if length > 1 and end <= len(data):
                less = (length - 1).to_bytes(width, "big")
                yield (
                    f"shorten the field at byte {at}",
                    data[:at] + less + data[at + width : end - 1] + data[end:],
                )


def _decoded(coded: bytes) -> bytes:
    plain = coded.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    if len(plain) % 4 == 1:
        plain = plain[:-1]
    return base64.b64decode(plain + b"=" * (-len(plain) % 4))


def _is_stanza(raw: bytes) -> bool:
    try:
        Stanza.parse(raw).tree  # noqa: B018 - reading it is the test
    except RemoteError:
        return False
    return True


def spliced(first: bytes, second: bytes) -> Iterator[Change]:
    """The second stanza with one part at a time, or one half, taken from the first."""
    ours, theirs = parts(second), parts(first)
    for number, ((start, end), (from_, to)) in enumerate(zip(ours, theirs, strict=False)):
        if second[start:end] == first[from_:to]:
            continue
        yield Change(f"part {number} of the other", second[:start] + first[from_:to] + second[end:])
        one, other = _decoded(first[from_:to]), _decoded(second[start:end])
        half = base64.b64encode(one[: len(one) // 2] + other[len(other) // 2 :])
        yield Change(f"half of part {number} of the other", second[:start] + half + second[end:])
