"""Which plain stanzas no method has to be asked about, although there are methods: the way of most texts in clear.

Outbound: each method has declined a stanza of that type to that address, and has said that it would say the same of the
next one; whatever else comes to any method of the account ends that. Inbound: nothing in the stanza could be a wire form. Law 1
does not lean on it: it is looked at only where policy lets everything leave in clear, and while nobody has a session.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e2eproxy.methods.traits import Traits, Wire
    from e2eproxy.xmpp.pieces import Element
    from e2eproxy.xmpp.stanza import Stanza

#: Addresses of which it is remembered, each of 3 KiB at the most.
_MOST: Final = 1_000
#: What could hide any character of a text.
_HIDING: Final = (rb"&#", rb"<!\[")
_MARKUP: Final = frozenset("<>&'\"")


class Unasked:
    """What is known of one account; *version* gives that of what is set and stored, with which everything may change."""

    def __init__(self, version: Callable[[], int]) -> None:
        self._version = version
        self._as_of = 0
        self._known: dict[tuple[str | None, str | None], None] = {}
        self._never = True
        self._wire_form = re.compile(b"").search

    def equip(self, methods: Iterable[Traits]) -> None:
        """Take note of how the stanzas of all *methods* look; where one is announced, all that passes is looked at."""
        every = tuple(methods)
        self._never = any(one.announces for one in every)
        self._wire_form = re.compile(_expression([one.wire for one in every])).search

    def note(self, stanza: Stanza) -> None:
        """Take note that all methods have declined *stanza* of the client's, and every later one like it."""
        if self._as_of != self._version():
            self.forget()
            self._as_of = self._version()
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[stanza.to, stanza.type] = None

    def forget(self) -> None:
        """Something has come to a method: it may want to say otherwise."""
        if self._known:
            self._known.clear()

    def leaves(self, element: Element) -> bool:
        """Whether no method has to be asked about the client's *element*."""
        if self._never or not self._known:
            return False
        if self._as_of != self._version():
            self.forget()
            return False
        return (element.attribute("to"), element.attribute("type")) in self._known

    def enters(self, element: Element) -> bool:
        """Whether no method can have anything to do with the server's *element*."""
        return not self._never and element.name == names.MESSAGE and not self._wire_form(element.raw)


def _expression(wires: Sequence[Wire]) -> bytes:
    """What finds all that may be a wire form of *wires*: an empty one finds everything."""
    texts = [text for wire in wires for text in (*wire.body_prefixes, *wire.body_marks)]
    in_elements = any(wire.elements or wire.iq_elements or wire.pep_nodes for wire in wires)
    if in_elements or any(len(text) < 2 or not _MARKUP.isdisjoint(text) for text in texts):
        return b""
    # Its first two characters, or what cuts them in two; the end of the text cuts nothing.
    starts = [
        re.escape(text[0].encode()) + b"(?:" + re.escape(text[1].encode()) + b"|<[^/])" for text in texts
    ]
    return b"|".join((*_HIDING, *dict.fromkeys(starts)))
