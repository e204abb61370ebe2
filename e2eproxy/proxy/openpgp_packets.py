"""Whether bytes are one whole encrypted OpenPGP message: nothing before it, behind it, or in clear within it (law 10)."""

from __future__ import annotations

from typing import Final

_PUBLIC_KEY_SESSION: Final = 1
_SYMMETRIC_SESSION: Final = 3
_ENCRYPTED: Final = frozenset({9, 18, 20})
_SMALLEST_DATA: Final = 16
# Session key packets are small, and a sender has few recipients: what is larger is no such packet but a place for text.
_LARGEST_KEY: Final = 4096


def is_encrypted(data: bytes) -> bool:
    """Whether *data* is session key packets and then one encrypted data packet (RFC 4880 section 11.3)."""
    at, keys = 0, 0
    while at < len(data):
        packet = _packet(data, at)
        if packet is None:
            return False
        tag, length, at = packet
        if tag in _ENCRYPTED:
            return keys > 0 and at == len(data) and length >= _SMALLEST_DATA
        if tag not in {_PUBLIC_KEY_SESSION, _SYMMETRIC_SESSION} or length > _LARGEST_KEY:
            return False
        keys += 1
    return False


def _packet(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return (tag, length of the body, place behind the packet) of the packet at *at*, RFC 4880 section 4.2."""
    first = data[at]
    if not first & 0x80:
        return None
    if first & 0x40:
        return _new_packet(data, first & 0x3F, at + 1)
    size = (1, 2, 4, 0)[first & 3]
    if not size:
        return None
    start = at + 1 + size
    length = int.from_bytes(data[at + 1 : start], "big")
    return None if start + length > len(data) else ((first >> 2) & 0xF, length, start + length)


def _new_packet(data: bytes, tag: int, at: int) -> tuple[int, int, int] | None:
    total = 0
    while at < len(data):
        first = data[at]
        partial = 224 <= first < 255  # RFC 4880 section 4.2.2
        size = 1 if first < 192 or partial else 2 if first < 224 else 5
        field = data[at : at + size]
        if len(field) < size:
            return None
        length = _new_length(field, partial=partial)
        at += size + length
        total += length
        if at > len(data):
            return None
        if not partial:
            return tag, total, at
    return None


def _new_length(field: bytes, *, partial: bool) -> int:
    if partial:
        return 1 << (field[0] & 0x1F)
    if len(field) == 1:
        return field[0]
    if len(field) == 2:
        return ((field[0] - 192) << 8) + field[1] + 192
    return int.from_bytes(field[1:], "big")
