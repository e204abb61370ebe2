"""Whether bytes are one whole encrypted OpenPGP message: nothing before it, behind it, or in clear within it (law 10)."""

from __future__ import annotations

from typing import Final

_PUBLIC_KEY_SESSION: Final = 1
_SYMMETRIC_SESSION: Final = 3
_ENCRYPTED: Final = frozenset({9, 18, 20})
# By the lowest bits of an old packet's tag; the fourth has no length, so nobody knows where it ends.
_OLD_SIZES: Final = {0: 1, 1: 2, 2: 4}
_SMALLEST_DATA: Final = 16
# Session key packets are small, and a sender has few recipients: what is larger is no such packet but a place for text.
_LARGEST_KEY: Final = 4096


def is_encrypted(data: bytes) -> bool:
    """Whether *data* is session key packets and then one encrypted data packet (RFC 4880 section 11.3)."""
    at, has_key = 0, False
    while at < len(data):
        packet = _packet(data, at)
        if packet is None:
            return False
        tag, length, at = packet
        if tag in _ENCRYPTED:
            return has_key and at == len(data) and length >= _SMALLEST_DATA
        if tag not in {_PUBLIC_KEY_SESSION, _SYMMETRIC_SESSION} or length > _LARGEST_KEY:
            return False
        has_key = True
    return False


def _packet(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return (tag, length of the body, place behind the packet) of the packet at *at*, RFC 4880 section 4.2.

    A packet that is cut short ends behind the end of *data*.
    """
    first = data[at]
    if not first & 0x80:
        return None
    if first & 0x40:
        return _new_packet(data, first & 0x3F, at + 1)
    size = _OLD_SIZES.get(first & 3)
    if size is None:
        return None
    start = at + 1 + size
    length = int.from_bytes(data[at + 1 : start], "big")
    return (first >> 2) & 0xF, length, start + length


def _new_packet(data: bytes, tag: int, at: int) -> tuple[int, int, int] | None:
    total = 0
    while at < len(data):
        size, length, partial = _new_length(data, at)
        at += size + length
        total += length
        if not partial:
            return tag, total, at
    return None


def _new_length(data: bytes, at: int) -> tuple[int, int, bool]:
    """Return (bytes of the length, the length, whether it is that of a part), RFC 4880 section 4.2.2."""
    first = data[at]
    if first < 192:
        return 1, first, False
    if first < 224:
        return 2, ((first - 192) << 8) + int.from_bytes(data[at + 1 : at + 2], "big") + 192, False
    if first < 255:
        return 1, 1 << (first & 0x1F), True
    return 5, int.from_bytes(data[at + 1 : at + 5], "big"), False
