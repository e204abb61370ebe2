"""Encoded messages in pieces: put together as they arrive, cut where a transport is narrow.

Law 6: a peer that sends pieces without end, or out of order, costs at most ``MOST_TEXT`` characters of memory, and loses
only its own message.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr.forms import MOST_TEXT, Fragment

MOST_PIECES: Final = 65535


@frozen
class Partial:
    """The pieces 1 to ``number`` of ``count``; 0 of 0 where there is none."""

    number: int = 0
    count: int = 0
    text: str = field(default="", repr=False)


def put_together(partial: Partial, fragment: Fragment) -> tuple[Partial, str | None]:
    """(What is there now, the whole text if *fragment* was its last piece).

    A piece that has no place is left out, and what was begun is given up, as the specification says. Raises
    MethodError, and *partial* stays good, for a number that no piece can have.
    """
    number, count = fragment.number, fragment.count
    if not 1 <= number <= count <= MOST_PIECES:
        raise MethodError("A part of an OTR message arrived that has an impossible number.")
    if number == 1:
        text = fragment.piece
    elif (partial.number, partial.count) == (number - 1, count):
        text = partial.text + fragment.piece
    else:
        return Partial(), None
    if len(text) > MOST_TEXT:
        return Partial(), None
    if number == count:
        return Partial(), text
    return Partial(number, count, text), None


def cut(text: str, size: int, tags: tuple[int, int] | None) -> tuple[str, ...]:
    """*Text* in pieces of at most *size* characters; *tags* (ours, the peer's) in version 3's form.

    Raises ValueError if *size* is too small for it to be cut into 65,535 pieces.
    """
    if len(text) <= size:
        return (text,)
    start = "?OTR" if tags is None else f"?OTR|{tags[0]:08x}|{tags[1]:08x}"
    room = size - len(f"{start},00001,00001,,")
    count = -(-len(text) // room) if room > 0 else MOST_PIECES + 1
    if count > MOST_PIECES:
        raise ValueError(f"{size} characters are too few for the parts of an OTR message")
    pieces = [text[at : at + room] for at in range(0, len(text), room)]
    return tuple(f"{start},{number:05d},{count:05d},{piece}," for number, piece in enumerate(pieces, 1))
