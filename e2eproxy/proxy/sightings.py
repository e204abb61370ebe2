"""Who is online and what they announce, as one stream sees it: for the engines, and for policy's waits.

Nothing here decides anything; what is found is told to the account's desk and to its engines, and what waited for it tries
again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from e2eproxy.methods import events
from e2eproxy.proxy.discovery import Bounds, Discovery
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.stanza import element

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from twisted.internet.interfaces import IReactorTime

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.questions import Questions
    from e2eproxy.xmpp.stanza import Stanza

#: Seconds a contact's client has to say what it can do.
DISCO_SECONDS: Final = 30.0
#: Resources seen online that are remembered.
MOST_ONLINE: Final = 5_000
_DISCO: Final = "http://jabber.org/protocol/disco#info"


class Sightings:
    """Those of the stream of *own*. *came* is told of each resource that came online, *retry* whose stanzas may go on."""

    def __init__(
        self,
        own: JID,
        clock: IReactorTime,
        questions: Questions,
        *,
        is_contact: Callable[[JID], bool],
        came: Callable[[JID], None],
        retry: Callable[[JID], None],
    ) -> None:
        self._own = own
        self._clock = clock
        self._questions = questions
        self._came = came
        self._retry = retry
        self._online: OrderedDict[JID, None] = OrderedDict()
        self._discovery = Discovery(
            self._ask,
            self._found,
            lambda: uuid4().hex,
            is_contact=is_contact,
            bounds=Bounds(peers=MOST_ONLINE),
        )
        # Once it is open; without methods nobody needs any of this.
        self.desk: Desk | None = None

    def opened(self, desk: Desk) -> None:
        """Take note that the account is open: what is known is its *desk*'s from now on."""
        self.desk = desk
        self._discovery.answers = desk.caps

    def presence(self, stanza: Stanza) -> None:
        """Take note of a presence of the server's."""
        try:
            peer = None if stanza.from_ is None else JID.parse(stanza.from_)
        except BadJID:
            return
        if peer is None or self.desk is None or not self.desk.lanes:
            return
        self._discovery.presence(peer, stanza)
        if not peer.full or stanza.type not in {None, "unavailable"}:
            return
        available = stanza.type is None
        if not available:
            self.desk.gone(peer)
            self._online.pop(peer, None)
        elif peer not in self._online:
            self._online[peer] = None
            if len(self._online) > MOST_ONLINE:
                self._online.popitem(last=False)
            self._came(peer)
        self.desk.tell_all(events.PeerPresence(own=self._own, peer=peer, available=available))

    def wanted(self, to: JID) -> None:
        """See to it that what *to* announces is found out."""
        self._discovery.wanted(to)

    def nodes(self, contact: JID) -> Collection[str]:
        """Return the disco nodes that *contact* announced."""
        return self._discovery.nodes(contact)

    def _ask(self, to: JID, node: str | None, token: str) -> None:
        def done(_outcome: events.Outcome, stanza: Stanza | None) -> None:
            self._discovery.answered(token, stanza)

        self._questions.ask(to, "get", element("query", {"xmlns": _DISCO, "node": node}), DISCO_SECONDS, done)

    def _found(self, peer: JID, features: frozenset[str], known: bool) -> None:
        if self.desk is None:
            return
        if known:
            self.desk.features(peer, features)
        self.desk.tell_all(events.PeerFeatures(own=self._own, peer=peer, features=features, known=known))
        # Not at once: the text that made it ask may only just be about to wait.
        self._clock.callLater(0, self._retry, peer.bare)
