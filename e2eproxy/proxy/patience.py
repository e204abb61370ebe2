"""What the user hears of a text that waits: that it does, and that it has left after all (law 4: held with a notice).

Nobody is told of what waits for a moment, as the first text to a contact does while it is found out what he can read. Of a line
only the first text is told of, so that a contact who does not answer makes no flood of notices. A text that comes back says so itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.allowed_children import BODY
from e2eproxy.proxy.holding import Bounds, Direction
from e2eproxy.proxy.tally import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.holding import Lines
    from e2eproxy.proxy.on_its_way import Outgoing
    from e2eproxy.xmpp.jid import JID

#: Seconds that a text waits before its user is told.
NOTICE_SECONDS: Final = 4.0
_LEFT: Final = frozenset((Fate.PASSED, Fate.CHANGED, Fate.PROTECTED))


class Patience:
    """That of one stream. *now*: seconds; *schedule(seconds, function)* calls back later, *tell* tells the user."""

    def __init__(
        self,
        lines: Lines[Outgoing],
        now: Callable[[], float],
        schedule: Callable[[float, Callable[[], None]], None],
        tell: Callable[[str, JID], None],
    ) -> None:
        self._lines = lines
        self._now = now
        self._schedule = schedule
        self._tell = tell
        # By line, what waits and may have to be told of, with the time when that is; and of whose line the user knows.
        self._waiting: dict[JID, dict[str, tuple[float, Outgoing]]] = {}
        self._timed: set[JID] = set()
        self._told: dict[JID, str] = {}

    def begin(self, item: Outgoing) -> None:
        """Take note that *item* did not leave at once."""
        if item.stanza.kind == "message" and item.stanza.child(BODY) is not None:
            due = self._now() + NOTICE_SECONDS
            self._waiting.setdefault(item.line, {})[item.ref] = (due, item)
            self._look_again(item.line)

    def _look_again(self, line: JID) -> None:
        """See to it that the next text of *line* is told of in time; a line has one timer, however many texts wait in it."""
        now = self._now()
        later = [due for due, _ in self._waiting.get(line, {}).values() if due > now]
        if later and line not in self._timed:
            self._timed.add(line)
            self._schedule(min(later) - now, partial(self._look, line))

    def _look(self, line: JID) -> None:
        self._timed.discard(line)
        now = self._now()
        late = [item for due, item in self._waiting.get(line, {}).values() if due <= now]
        if late and line not in self._told:
            self._late(late[0])
        self._look_again(line)

    def _late(self, item: Outgoing) -> None:
        self._told[item.line] = item.ref
        line = self._lines.by_contact.get((Direction.OUT, item.line))
        why = line.held[0].waiting if line is not None else ""
        self._tell(
            f"Your message to {item.contact} waits: {why.removesuffix('.') or 'its method is at work'}. It leaves when that is done; if it cannot within "
            f"{Bounds().seconds:.0f} seconds, it comes back to you. /e2e status shows what waits.",
            item.contact,
        )

    def over(self, item: Outgoing, fate: Fate) -> None:
        """Take note of what became of *item*."""
        there = self._waiting.get(item.line, {})
        if there.pop(item.ref, None) is None:
            return
        if not there:
            del self._waiting[item.line]
        if self._told.get(item.line) == item.ref:
            del self._told[item.line]
            if fate in _LEFT:
                self._tell(f"Your message to {item.contact} that waited has left now.", item.contact)
