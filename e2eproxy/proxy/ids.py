"""Under which id a stanza is known on which side: the client's, the outer one, that of the peer (laws 1, 4 and 5).

What leaves under an id of the proxy's own has to be found again when an answer names it, and what was inside a ciphertext
under an id of its own must not be named outside. All of it is bounded, the oldest goes first; pairs of protected stanzas
are in the store as well.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.proxy.allowed_children import EVENTS, MARKERS, RECEIPTS
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import escape_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza
    from e2eproxy.xmpp.tree import Node

#: Pairs that are remembered, and bytes of stanzas with them.
MOST_PAIRS: Final = 10_000
MOST_BYTES: Final = 4 * 1024 * 1024
#: Opened stanzas that are remembered.
MOST_OPENED: Final = 10_000
#: Ids of one contact that are remembered, and characters of one: strangers fill this, too.
MOST_IDS: Final = 50
_LONGEST_SEEN: Final = 128
#: Characters of an id of an opened stanza.
_LONGEST: Final = 1_023

_EVENT: Final = EVENTS + names.SEPARATOR + "x"
_EVENT_ID: Final = EVENTS + names.SEPARATOR + "id"
#: Elements that name a message of the other side by its id.
_NAMING: Final = frozenset(
    namespace + names.SEPARATOR + local
    for namespace, local in (
        (RECEIPTS, "received"),
        (MARKERS, "received"),
        (MARKERS, "displayed"),
        (MARKERS, "acknowledged"),
        (EVENTS, "x"),
        ("urn:xmpp:reactions:0", "reactions"),
        ("urn:xmpp:reply:0", "reply"),
    )
)


@frozen
class Pair:
    """What left under another id: the client's id for it, the bare JID it went to, and the client's stanza, if kept."""

    client_id: str | None
    to: JID
    stanza: Stanza | None = field(default=None, repr=False)


class Pairs:
    """Pairs by outer id."""

    def __init__(self) -> None:
        #: To be read only.
        self.by_outer_id: OrderedDict[str, Pair] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self.by_outer_id)

    def note(self, outer_id: str, pair: Pair) -> None:
        """Remember *pair*."""
        self._bytes += _size(pair)
        self.by_outer_id[outer_id] = pair
        while len(self.by_outer_id) > MOST_PAIRS or (self._bytes > MOST_BYTES and len(self.by_outer_id) > 1):
            _, old = self.by_outer_id.popitem(last=False)
            self._bytes -= _size(old)

    def find(self, outer_id: str | None) -> Pair | None:
        """Return what left under *outer_id*, if it is remembered."""
        return None if outer_id is None else self.by_outer_id.get(outer_id)

    def with_client_ids(self, stanza: Stanza) -> bytes:
        """Return an inbound message whose receipts, markers and the like name the client's stanzas by the client's ids."""
        changes: dict[object, bytes] = {}
        for child in stanza.children:
            if child.name in _NAMING:
                named = _named(child.node)
                pair = self.find(named)
                if pair is not None and pair.client_id is not None and named is not None:
                    written = escape_value(escape_value(pair.client_id, "'"), '"').encode()
                    changes[child] = child.raw.replace(named.encode(), written)
        return stanza.replaced(changes) if changes else stanza.raw  # type: ignore[arg-type] # keys are its children


def _size(pair: Pair) -> int:
    return 0 if pair.stanza is None else len(pair.stanza.raw)


@frozen
class Opened:
    """A stanza that was delivered decrypted: the id it came under, the address it came from, as written, and who opened it."""

    outer_id: str | None
    sender: str
    method: str


class OpenedStanzas:
    """What was delivered decrypted, by contact (bare JID) and the id the client was shown."""

    def __init__(self) -> None:
        self._opened: OrderedDict[tuple[JID, str], Opened] = OrderedDict()

    def note(self, contact: JID, shown: str | None, opened: Opened) -> None:
        """Remember that the client saw the stanza under the id *shown*."""
        if shown is None or len(shown) > _LONGEST:
            return
        self._opened[contact.bare, shown] = opened
        while len(self._opened) > MOST_OPENED:
            self._opened.popitem(last=False)

    def answered_by(self, contact: JID, tree: Node) -> Opened | None:
        """Return which of them *tree*, a stanza to *contact*, answers: by its own id, or by one that it names."""
        if not self._opened:
            return None
        named = [tree.attributes.get("id"), *(_named(child) for child in tree.children)]
        return next(
            (found for one in named if one and (found := self._opened.get((contact.bare, one)))), None
        )

    def naming_outer(self, contact: JID, tree: Node) -> Node:
        """Return *tree* with the ids of opened stanzas that its children name replaced by those they came under."""
        if not self._opened:
            return tree
        return evolve(tree, children=[self._outside(contact, child) for child in tree.children])

    def _outside(self, contact: JID, child: Node) -> Node:
        named = _named(child) if child.name in _NAMING else None
        found = None if named is None else self._opened.get((contact.bare, named))
        if found is None or found.outer_id is None:
            return child
        if child.name == _EVENT:
            inner = [
                evolve(one, texts=[found.outer_id]) if one.name == _EVENT_ID else one
                for one in child.children
            ]
            return evolve(child, children=inner)
        return evolve(child, attributes={**child.attributes, "id": found.outer_id})


def _named(child: Node) -> str | None:
    if child.name != _EVENT:
        return child.attributes.get("id") if child.name in _NAMING else None
    inner = child.child(_EVENT_ID)
    return None if inner is None else inner.text


class SeenIds:
    """The ids a contact gave to what it sent, the newest of them: repeating one says nothing new."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def note(self, identifier: str | None) -> None:
        """Remember *identifier*."""
        if identifier is None or len(identifier) > _LONGEST_SEEN:
            return
        self._ids.pop(identifier, None)
        self._ids[identifier] = None
        if len(self._ids) > MOST_IDS:
            del self._ids[next(iter(self._ids))]

    @property
    def ids(self) -> Mapping[str, None]:
        """The ids, as the keys."""
        return self._ids
