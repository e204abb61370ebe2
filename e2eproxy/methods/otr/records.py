"""What is inside a data message: a text, and records (TLVs) behind it for the machines.

Law 6: all of it is the peer's. A record whose length points behind the end ends the list; the text before it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.methods.otr.encoding import short

if TYPE_CHECKING:
    from collections.abc import Iterable

PADDING: Final = 0
DISCONNECTED: Final = 1
SMP_1: Final = 2
SMP_2: Final = 3
SMP_3: Final = 4
SMP_4: Final = 5
SMP_ABORT: Final = 6
SMP_1_QUESTION: Final = 7
EXTRA_KEY: Final = 8

MOST_RECORDS: Final = 64
"""More than any client sends in one message."""
MOST_VALUE: Final = 0xFFFF


@frozen
class Record:
    """A record: its type, and its value."""

    type: int
    value: bytes = field(default=b"", repr=False)


def join(text: bytes, records: Iterable[Record] = ()) -> bytes:
    """*Text* (without a zero byte in it) and *records* as they are encrypted; libotr writes the zero byte in any case."""
    return text + b"\0" + b"".join(short(one.type) + short(len(one.value)) + one.value for one in records)


def split(plain: bytes) -> tuple[bytes, tuple[Record, ...]]:
    """(The text, the records that are whole) of what was decrypted."""
    text, _, rest = plain.partition(b"\0")
    records: list[Record] = []
    while len(rest) >= 4 and len(records) < MOST_RECORDS:
        length = int.from_bytes(rest[2:4], "big")
        if len(rest) < 4 + length:
            break
        records.append(Record(int.from_bytes(rest[:2], "big"), rest[4 : 4 + length]))
        rest = rest[4 + length :]
    return text, tuple(records)
