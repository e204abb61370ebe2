"""How long a text waits to hear whether its contact can be encrypted to (DESIGN.md, "Not yet discovered").

Under ``require`` it is held, then refused. Under ``prefer`` it waits at most two seconds, once for each contact and presence
session, and then leaves in clear. No clock here: times are handed in, in seconds (law 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.kinds import Setting

if TYPE_CHECKING:
    from e2eproxy.xmpp.jid import JID

#: Seconds; the default of ``require`` is that of all holding.
LONGEST: Final[dict[Setting, float]] = {Setting.REQUIRE: 60.0, Setting.PREFER: 2.0}
_MOST_CONTACTS: Final = 20_000


class Waits:
    """When the first text to each contact began to wait, for one account and presence session.

    *hold_for*: seconds a text is held under ``require``.
    """

    def __init__(self, hold_for: float = LONGEST[Setting.REQUIRE]) -> None:
        self._longest = {**LONGEST, Setting.REQUIRE: hold_for}
        self._waits: dict[JID, float] = {}

    def begin(self, contact: JID, now: float) -> None:
        """Note that a text to the bare JID *contact* waits; a wait that has begun goes on as it is."""
        if contact not in self._waits:
            while len(self._waits) >= _MOST_CONTACTS:
                del self._waits[next(iter(self._waits))]
            self._waits[contact] = now

    def over(self, contact: JID, setting: Setting, now: float) -> bool:
        """Whether the wait for *contact* that *setting* allows has been used up."""
        return contact in self._waits and now >= self.until(contact, setting)

    def until(self, contact: JID, setting: Setting) -> float:
        """Return when the wait that has begun for *contact* is over. Raises KeyError if none has."""
        return self._waits[contact] + self._longest.get(setting, 0.0)

    def presence_session_began(self, contact: JID) -> None:
        """Note that *contact* came online: it may be another client, worth another wait."""
        self._waits.pop(contact, None)
