"""What a stream is cut into, and the limits it is held to: the framer's values.

Each piece is the bytes that came (law 2) and as much about them as can be known without a tree.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from attrs import frozen

Excess = Literal["bytes", "depth", "attributes"]


@frozen
class Limits:
    """What one direction may send.

    ``element_bytes``: the longest element. ``depth``: levels, the stanza itself being the first.
    ``strict``: whether excess ends the stream (a client's) or is only marked (a server's).
    """

    element_bytes: int
    depth: int = 64
    attributes: int = 100
    strict: bool = True


@frozen
class Header:
    """A stream header: XML declaration, if any, and the root's start tag, which alone is ``root``."""

    raw: bytes
    attributes: list[str]
    root: bytes

    def attribute(self, name: str) -> str | None:
        """Return the value of attribute *name* (``to``, or ``names.LANG``), or None."""
        return attribute(self.attributes, name)


class Element(NamedTuple):
    """One whole stanza or nonza. ``attributes`` is flat: name, value, name, value.

    ``watched``: something in it has one of the names that its framer was told to watch for.

    A named tuple, because it is made once per stanza: a frozen attrs class takes twice as long to make, which is a
    twentieth of all the framer does for a stanza.
    """

    raw: bytes
    name: str
    attributes: list[str]
    excess: Excess | None = None
    watched: bool = False

    def attribute(self, name: str) -> str | None:
        """Return the value of attribute *name*, or None."""
        return attribute(self.attributes, name)


@frozen
class Part:
    """A piece of an element too large to be held: ``first`` and ``last`` say where in it this one stands."""

    raw: bytes
    name: str
    attributes: list[str]
    first: bool
    last: bool

    def attribute(self, name: str) -> str | None:
        """Return the value of attribute *name*, or None."""
        return attribute(self.attributes, name)


@frozen
class Whitespace:
    """White space between elements (a keep-alive), or before a header."""

    raw: bytes


@frozen
class End:
    """The end of the stream; ``raw`` is empty if its header was an empty element."""

    raw: bytes


Piece = Header | Element | Part | Whitespace | End


def attribute(attributes: list[str], name: str) -> str | None:
    """Return the value of *name* in a flat list of attributes, or None."""
    for at in range(0, len(attributes), 2):
        if attributes[at] == name:
            return attributes[at + 1]
    return None
