"""Order for each contact, and waiting that is bounded (law 3).

A stanza that has to wait holds back later ones in the same direction to or from the same contact, and no others. What
has waited too long, or finds too much waiting before it, comes out again to be answered: nothing vanishes (law 4).
Sans-IO: the caller says what time it is, and does with a stanza what its turn means.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.xmpp.jid import JID

Item = TypeVar("Item")


class Direction(enum.Enum):
    """Which way a stanza goes."""

    OUT = "out"
    IN = "in"


@frozen
class Bounds:
    """How long one stanza may wait (seconds), and how many and how large (bytes) those of one contact may be."""

    seconds: float = 60.0
    stanzas: int = 50
    bytes: int = 256 * 1024
    #: All contacts together: a peer who writes under many addresses must not cost more than that.
    all_bytes: int = 16 * 1024 * 1024


@define(eq=False)
class Held(Generic[Item]):
    """A stanza in a line: the caller's *item*, its size in bytes, since when it is there."""

    item: Item
    size: int
    since: float
    #: Whether it is its turn now, and somebody is working on it.
    under_way: bool = False
    #: Whether it waits for something that was asked for, with the words for the user.
    waiting: str = ""


@define(eq=False)
class _Line(Generic[Item]):
    """The stanzas of one direction and contact, the first one next."""

    held: deque[Held[Item]] = field(factory=deque)
    size: int = 0


Key = tuple[Direction, "JID"]


class Lines(Generic[Item]):
    """All lines of one account."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        #: To be read only: empty exactly if nothing waits.
        self.by_contact: OrderedDict[Key, _Line[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """How many stanzas are in all lines."""
        return sum(len(line.held) for line in self.by_contact.values())

    def __bool__(self) -> bool:
        """Whether anything is in any line."""
        return bool(self.by_contact)

    def standing(self, direction: Direction, contact: JID) -> bool:
        """Whether anything of *contact* (bare) is before a new stanza in this direction."""
        return (direction, contact) in self.by_contact

    def of(self, direction: Direction, contact: JID) -> list[JID]:
        """Return the lines of the bare JID *contact* and of its resources."""
        return [jid for one, jid in self.by_contact if one is direction and jid.bare == contact.bare]

    def join(self, direction: Direction, contact: JID, item: Item, size: int, now: float) -> bool:
        """Put *item* at the end of its line; return whether there was room. Without room it is not in the line."""
        line = self.by_contact.get((direction, contact))
        bounds = self._bounds
        if line is not None and (len(line.held) >= bounds.stanzas or line.size + size > bounds.bytes):
            return False
        if line is not None and self._size + size > bounds.all_bytes:
            return False
        if line is None:
            line = self.by_contact[direction, contact] = _Line()
        line.held.append(Held(item, size, now))
        line.size += size
        self._size += size
        return True

    def next(self, direction: Direction, contact: JID) -> Held[Item] | None:
        """Return the stanza whose turn it is, and mark it as under way; None if it waits or is under way already."""
        line = self.by_contact.get((direction, contact))
        if line is None:
            return None
        first = line.held[0]
        if first.under_way or first.waiting:
            return None
        first.under_way = True
        return first

    def wait(self, direction: Direction, contact: JID, why: str) -> None:
        """Let the stanza that is under way wait, for *why*, until ``retry``."""
        first = self.by_contact[direction, contact].held[0]
        first.under_way = False
        first.waiting = why

    def retry(self, direction: Direction, contact: JID) -> None:
        """Let what waits in this line have its turn again."""
        line = self.by_contact.get((direction, contact))
        if line is not None:
            line.held[0].waiting = ""

    def done(self, direction: Direction, contact: JID) -> None:
        """Take the stanza that is under way out of its line: the next one's turn comes."""
        line = self.by_contact[direction, contact]
        self._take(line, line.held.popleft())
        if not line.held:
            del self.by_contact[direction, contact]

    def remove(self, direction: Direction, contact: JID, item: Item) -> bool:
        """Take *item* out of its line, wherever it stands, unless it is under way; return whether it was there."""
        line = self.by_contact.get((direction, contact))
        held = next((one for one in line.held if one.item is item), None) if line is not None else None
        if line is None or held is None or held.under_way:
            return False
        line.held.remove(held)
        self._take(line, held)
        if not line.held:
            del self.by_contact[direction, contact]
        return True

    def overdue(self, now: float) -> Iterator[tuple[Direction, JID, Held[Item]]]:
        """Take out, in order, what has waited longer than it may, but for what is under way, and yield it."""
        oldest = now - self._bounds.seconds
        for (direction, contact), line in list(self.by_contact.items()):
            while line.held and line.held[0].since <= oldest and not line.held[0].under_way:
                held = line.held.popleft()
                self._take(line, held)
                yield direction, contact, held
            if not line.held:
                del self.by_contact[direction, contact]

    def deadline(self) -> float | None:
        """When ``overdue`` is next worth asking, on the same clock; None if nothing waits."""
        firsts = [line.held[0].since for line in self.by_contact.values() if not line.held[0].under_way]
        return min(firsts) + self._bounds.seconds if firsts else None

    def empty(self) -> Iterator[tuple[Direction, JID, Held[Item]]]:
        """Take everything out, each line in order: what has to be answered when the stream is gone."""
        for (direction, contact), line in list(self.by_contact.items()):
            for held in line.held:
                self._take(line, held)
                yield direction, contact, held
            del self.by_contact[direction, contact]

    def _take(self, line: _Line[Item], held: Held[Item]) -> None:
        line.size -= held.size
        self._size -= held.size


#: The words for what finds no room in its line.
NO_ROOM: Final = "too many stanzas are waiting for this contact already"
