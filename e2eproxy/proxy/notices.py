"""What the proxy tells the user by itself, in one place and from one address (law 9).

A flood of notices is a way to hide one: beyond so many a minute they are only counted and logged.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from twisted.logger import Logger

from e2eproxy.proxy.in_conversation import CONVERSATION
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.in_conversation import InConversation
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.proxy.rooms import Rooms

#: The address notices come from, and to which nothing ever goes out, unless another one was chosen.
PROXY: Final = JID.parse("e2eproxy.localhost")
#: Notices of one stream in a minute; the rest are counted.
NOTICES_A_MINUTE: Final = 20


class Notices:
    """Those of the stream of *own*; *heard* is told of each that was shown, but for answers; they come from *proxy*.

    Those about a contact stand in the conversation as well if that is set, but not in *rooms*, where nobody is one contact.
    """

    _log = Logger()

    def __init__(
        self,
        own: JID,
        ways: Ways,
        clock: IReactorTime,
        heard: Callable[[str], None] = lambda _: None,
        *,
        proxy: JID = PROXY,
        rooms: Rooms,
    ) -> None:
        self._own = own
        self._proxy = str(proxy)
        self._rooms = rooms
        #: The account's, once it is open.
        self.desk: Desk | None = None
        self._ways = ways
        self._clock = clock
        self._heard = heard
        self._told: deque[float] = deque()
        self._forged = 0

    def tell(self, text: str, contact: JID | None = None, *, counted: bool = True) -> None:
        """Tell the user *text*, which is about *contact* if it is about one; what is not *counted* is told in any case."""
        now = self._clock.seconds()
        while self._told and self._told[0] <= now - 60:
            self._told.popleft()
        if counted and len(self._told) >= NOTICES_A_MINUTE:
            self._log.warn("a notice was left out, there were too many in a minute")
            return
        if counted:
            self._told.append(now)
        self._heard(text)
        self.answer(text)
        there = None if contact is None else self._inside(contact)
        if contact is not None and there is not None:
            self._ways.to_client(there.shown(self._own, contact, text))

    def _inside(self, contact: JID) -> InConversation | None:
        if self.desk is None or contact.bare in {self._own.bare, *self._rooms.jids}:
            return None
        return self.desk.inside if self.desk.holds(contact).notices == CONVERSATION else None

    def answer(self, text: str) -> None:
        """Show the user what he asked for: that is no notice, and neither counted nor remembered."""
        body = element("body", {"xmlns": names.CLIENT}, escape_text(text).encode())
        attributes = {"from": self._proxy, "to": str(self._own), "type": "chat", "id": uuid4().hex}
        self._ways.to_client(build("message", attributes, body))

    def dropped(self, reason: str) -> None:
        """Count a forgery; the user hears of the first."""
        self._forged += 1
        self._log.warn("a forged stanza was dropped: {reason}", reason=reason)
        if self._forged == 1:
            self.tell(
                f"A forged stanza was dropped and not shown. {reason} More of them will only be counted."
            )
