"""Instance tags: one for each client of an account, the same after a restart, never shared by two that are online.

A tag belongs to a slot; a stream takes the first free slot, in order, so that peers do not see a new client after each login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.otr.messages import LOWEST_TAG

if TYPE_CHECKING:
    from e2eproxy.methods.door import Context
    from e2eproxy.xmpp.jid import JID

_RECORD: Final = "tag:"


def record_of(slot: int) -> str:
    """The record that keeps the tag of *slot*, 4 bytes."""
    return f"{_RECORD}{slot}"


class Slots:
    """Which stream has which tag."""

    def __init__(self, context: Context) -> None:
        """Begin with no stream; the tags are in the view."""
        self._context = context
        self._taken: dict[JID, tuple[int, int]] = {}

    def take(self, own: JID) -> tuple[int, tuple[e.Effect, ...]]:
        """(The tag of *own*, what has to be kept for it)."""
        if own in self._taken:
            return self._taken[own][1], ()
        taken = {slot for slot, _ in self._taken.values()}
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        kept = self._context.view.record(record_of(slot))
        tag = int.from_bytes(kept, "big") if kept else self._new_tag()
        self._taken[own] = slot, tag
        record = e.Persist(key=record_of(slot), data=tag.to_bytes(4, "big"))
        return tag, (() if kept else (record,))

    def _new_tag(self) -> int:
        used = set(self._context.view.records(_RECORD).values())
        used |= {tag.to_bytes(4, "big") for _, tag in self._taken.values()}
        while True:
            made = self._context.random(4)
            if int.from_bytes(made, "big") >= LOWEST_TAG and made not in used:
                return int.from_bytes(made, "big")

    def leave(self, own: JID) -> None:
        """The stream is gone; its slot is free."""
        self._taken.pop(own, None)
