"""Which rooms the client is in or asked to join: what goes there is under the room's own rule.

Learnt from the client's own presence alone: a server or a peer cannot make a contact a room, under a weaker rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy import payloads
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Collection

    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.tree import Node

#: Rooms of one stream; with more, the oldest is under the contact's rule again.
MOST_ROOMS: Final = 2_000
_JOIN: Final = payloads.MUC + names.SEPARATOR + "x"


class Rooms:
    """The rooms of one stream."""

    def __init__(self) -> None:
        self._rooms: dict[JID, None] = {}

    @property
    def jids(self) -> Collection[JID]:
        """Their bare JIDs."""
        return self._rooms.keys()

    def presence(self, to: JID, tree: Node) -> None:
        """Take note of the client's presence *tree* to the full JID *to*, if it joins or leaves a room."""
        what = tree.attributes.get("type")
        if what == "unavailable":
            self._rooms.pop(to.bare, None)
        elif what is None and to.full and tree.child(_JOIN) is not None:
            self._rooms.pop(to.bare, None)
            self._rooms[to.bare] = None
            if len(self._rooms) > MOST_ROOMS:
                del self._rooms[next(iter(self._rooms))]
