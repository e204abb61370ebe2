"""Where one stream's client is: its contacts, the rooms it is in, the archives it has asked.

Learnt from what passes, and asked by the halves of the pipeline. Law 1: until the roster is known contacts count as
strangers, so nothing is answered for the user that only a contact may know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from e2eproxy.errors import RemoteError
from e2eproxy.proxy.classify import Scene
from e2eproxy.proxy.rooms import Rooms
from e2eproxy.xmpp.archive_queries import ArchiveQueries
from e2eproxy.xmpp.jid import prepared
from e2eproxy.xmpp.roster import ROSTER, RosterCopy

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza


class Surroundings:
    """Those of the full JID *own*; *send* sends the server a stanza of the proxy's, *proxy* is its contact."""

    def __init__(self, own: JID, send: Callable[[bytes], None], *, proxy: JID) -> None:
        self._own = own
        self._send = send
        self._proxy = proxy
        self._desk: Desk | None = None
        self.rooms = Rooms()
        self.queries = ArchiveQueries(own.bare)
        self.roster = RosterCopy(own.bare, None)

    def opened(self, desk: Desk) -> None:
        """Go on from what *desk* has stored of the roster."""
        self._desk = desk
        self.roster = RosterCopy(self._own.bare, desk.roster)

    def from_client(self, stanza: Stanza) -> bool:
        """Learn from what the client says; return whether it says that it is there. Raises RemoteError."""
        if stanza.kind == "iq":
            self.queries.sent(stanza)
            if ROSTER.encode() in stanza.raw:
                self.roster.from_client(stanza)
        elif stanza.kind == "presence":
            to = prepared(stanza.to)
            if to is None:
                return stanza.type is None
            self.rooms.presence(to, stanza.tree)
        return False

    def of_roster(self, stanza: Stanza) -> bool:
        """Learn from the server's IQ if it is about the roster; return whether it is not for the client."""
        if ROSTER.encode() not in stanza.raw and stanza.type not in {"result", "error"}:
            return False
        try:
            reaction = self.roster.from_server(stanza)
        except RemoteError:
            return False
        if reaction.to_server:
            self._send(reaction.to_server)
        if reaction.change is not None and self._desk is not None:
            self._desk.keep_contact(reaction.change)
        elif reaction.changed and self._desk is not None:
            self._desk.keep_roster(self.roster.snapshot())
        return reaction.swallow

    def ask_roster(self) -> None:
        """Ask for the roster if the client has not."""
        if self.roster.should_ask:
            self._send(self.roster.request(uuid4().hex))

    def may_know(self, asker: JID) -> bool:
        """Whether *asker* is subscribed to our presence; while the roster is not known, anybody may be."""
        return not self.roster.known or self.roster.gets_our_presence(asker)

    def is_contact(self, contact: JID) -> bool:
        """Whether *contact* is in the roster."""
        return self.roster.subscription(contact) is not None

    def may_answer(self, peer: JID) -> bool:
        """Whether *peer* may learn that we are here and can encrypt, because it began."""
        self.ask_roster()  # unless it is known, or was asked for
        friend = self.roster.gets_our_presence(peer)
        return friend and self._desk is not None and self._desk.may_encrypt(peer)

    def scene(self) -> Scene:
        """Return what is known when a stanza of the client's is classified."""
        speaks = () if self._desk is None else self._desk.speaks
        return Scene(own=self._own, rooms=self.rooms.jids, proxy=self._proxy, speaks=speaks)
