"""What was sent to each contact last, for a minute: a method may have it sent again, because it did not get through.

Law 4: the peer's client may say that it could not read a text, when the user believes it read. Only the newest to each contact
is kept, in memory, and no longer than the peer needs to say so.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from e2eproxy.methods.events import Ref
    from e2eproxy.proxy.on_its_way import Outgoing
    from e2eproxy.xmpp.jid import JID

#: Seconds after which a stanza is not sent again.
LATELY: Final = 60.0
#: Contacts of whom one is kept.
MOST_CONTACTS: Final = 1_000


class Lately:
    """That of one stream; times are seconds of its clock."""

    def __init__(self) -> None:
        self._last: OrderedDict[JID, tuple[float, Outgoing]] = OrderedDict()

    def note(self, item: Outgoing, now: float) -> None:
        """Take note that *item* leaves; what was before it, and what is too old, is forgotten."""
        self._last.pop(item.contact, None)
        self._last[item.contact] = (now, item)
        while len(self._last) > MOST_CONTACTS or now - next(iter(self._last.values()))[0] > LATELY:
            self._last.popitem(last=False)

    def take(self, ref: Ref, now: float) -> Outgoing | None:
        """Return what left under *ref*, once, if it may be sent again."""
        for contact, (at, item) in self._last.items():
            if item.ref == ref:
                del self._last[contact]
                return item if now - at <= LATELY else None
        return None
