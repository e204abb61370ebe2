"""The server's stanzas on their way in: whose they are, what was inside, and what the client is shown.

Law 4: each one is delivered, or a readable placeholder for it; only forged wrappers and forgeries of the proxy's own
address are dropped, and counted. Law 9: what came in the clear where it should not have is marked. Order is kept for each
contact: while a method works on a stanza, later ones from there wait.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import define

from e2eproxy.errors import RemoteError
from e2eproxy.methods import effects as e
from e2eproxy.methods.events import Inbound, Ref, Way
from e2eproxy.proxy.delivery import marked_plain, opened, placeholder
from e2eproxy.proxy.holding import NO_ROOM, Direction
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.wrappers import Forgery, Wrapper, rewrapped, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.holding import Lines
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.xmpp.archive_queries import ArchiveQueries
    from e2eproxy.xmpp.stanza import Stanza

_WAYS: Final = {
    "carbon received": Way.CARBON_RECEIVED,
    "carbon sent": Way.CARBON_SENT,
    "archive result": Way.ARCHIVE,
}
_DELAY: Final = "urn:xmpp:delay" + names.SEPARATOR + "delay"


@define(eq=False)
class Incoming:
    """One stanza of the server on its way: as it came, and what is to be opened in it."""

    ref: Ref
    outer: Stanza
    wrapper: Wrapper | None
    lane: Lane
    peer: JID
    to: JID
    way: Way
    sent_at: float | None
    again: bool = False

    @property
    def inner(self) -> Stanza:
        """The stanza that is to be opened."""
        return self.outer if self.wrapper is None else self.wrapper.inner


class IncomingStanzas:
    """The inbound half of a guard. *dropped* is told of each forgery, with the reason."""

    def __init__(
        self,
        desk: Desk,
        ways: Ways,
        lines: Lines[Incoming],
        queries: ArchiveQueries,
        *,
        own: JID,
        proxy: JID,
        now: Callable[[], float],
        dropped: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._ways = ways
        self._lines = lines
        self._queries = queries
        self._own = own
        self._proxy = proxy
        self._now = now
        self._dropped = dropped
        self._under_way: dict[Ref, Incoming] = {}

    def take(self, stanza: Stanza) -> bytes | None:
        """Take a stanza of the server; return it if the client gets it at once, as it came or marked, else None."""
        sender = _jid(stanza.from_) or self._own.bare
        if sender.bare == self._proxy:
            self._dropped("Somebody else wrote in the name of the proxy.")
            return None
        try:
            wrapper = unwrap(stanza, self._own.bare, self._queries)
        except RemoteError:
            wrapper = None
        if isinstance(wrapper, Forgery):
            self._dropped(wrapper.reason)
            return None
        item = self._for_a_method(stanza, wrapper if wrapper and wrapper.kind in _WAYS else None, sender)
        if item is None and not self._lines.standing(Direction.IN, sender.bare):
            return self._plain(stanza, sender)
        if item is None:
            self._ways.to_client(self._plain(stanza, sender))
            return None
        if self._lines.join(Direction.IN, item.peer.bare, item, len(stanza.raw), self._now()):
            self.go_on(item.peer.bare)
            return None
        return self._shown(item, placeholder(item.inner, _title(item.lane), f"{NO_ROOM}."))

    def go_on(self, contact: JID) -> None:
        """Let the stanzas of *contact* have their turn, as far as they need not wait."""
        while (held := self._lines.next(Direction.IN, contact)) is not None:
            item = held.item
            self._under_way[item.ref] = item
            item.lane.tell(
                Inbound(
                    ref=item.ref,
                    own=self._own,
                    peer=item.peer,
                    to=item.to,
                    stanza=item.inner,
                    way=item.way,
                    sent_at=item.sent_at,
                    again=item.again,
                )
            )

    def retry(self, contact: JID) -> None:
        """Let what waits from *contact* try again."""
        self._lines.retry(Direction.IN, contact)
        self.go_on(contact)

    def overdue(self, item: Incoming, why: str) -> None:
        """Deliver a placeholder for a stanza that has waited too long."""
        text = f"what it needed did not come in time ({why or 'its turn'})."
        self._ways.to_client(self._shown(item, placeholder(item.inner, _title(item.lane), text)))

    def outcome(self, event: Inbound, effect: e.Effect) -> bool:
        """Do what a method decided about a stanza in this guard's care; return whether *effect* was such a thing."""
        item = self._under_way.get(event.ref)
        if item is None:
            return False
        match effect:
            case e.Deliver(inside=inside):
                self._show(self._opened(item, inside))
            case e.Unreadable(why=why):
                self._show(self._unreadable(item, why))
            case e.Absorb():
                pass
            case e.Decline(body=body):
                self._show(self._shown(item, marked_plain(item.inner, body)))
            case e.Hold(why=why):
                del self._under_way[item.ref]
                item.again = True
                self._lines.wait(Direction.IN, item.peer.bare, why)
            case _:
                return False
        return True

    # -- what it is ----------------------------------------------------------------------------------------------------

    def _for_a_method(self, stanza: Stanza, wrapper: Wrapper | None, sender: JID) -> Incoming | None:
        inner = stanza if wrapper is None else wrapper.inner
        if inner.type == "error":
            # It may echo what we sent; no method ever sees its own ciphertext come back.
            return None
        try:
            lane = self._desk.recognised(inner)
        except RemoteError:
            return None
        if lane is None:
            return None
        way = Way.LIVE if wrapper is None else _WAYS[wrapper.kind]
        peer = sender if wrapper is None else _jid(inner.from_) or sender
        stamp = _stamp(stanza) if wrapper is None else wrapper.stamp
        sent_at = _seconds(stamp)
        if way is Way.LIVE and sent_at is not None:
            way = Way.DELAYED
        to = _jid(inner.to) or self._own
        return Incoming(Ref(uuid4().hex), stanza, wrapper, lane, peer, to, way, sent_at)

    def _plain(self, stanza: Stanza, sender: JID) -> bytes:
        """Return what the client gets of a stanza that is nobody's: marked, if it should have been encrypted."""
        speaks = stanza.kind == "message" and stanza.type not in {"error", "groupchat"}
        if not speaks or not self._desk.encrypted_with(sender.bare):
            return stanza.raw
        try:
            return marked_plain(stanza)
        except RemoteError:
            return stanza.raw

    # -- what becomes of it --------------------------------------------------------------------------------------------

    def _opened(self, item: Incoming, inside: e.Inside) -> bytes | None:
        try:
            return self._shown(item, opened(item.inner, inside))
        except RemoteError as error:
            return self._unreadable(item, str(error))

    def _unreadable(self, item: Incoming, why: str) -> bytes | None:
        if item.inner.kind != "message":
            return None
        return self._shown(item, placeholder(item.inner, _title(item.lane), why))

    def _shown(self, item: Incoming, raw: bytes) -> bytes:
        """Return *raw*, which stands for the inner stanza, where that one stood."""
        return raw if item.wrapper is None else rewrapped(item.outer, item.wrapper, raw)

    def _show(self, raw: bytes | None) -> None:
        if raw is not None:
            self._ways.to_client(raw)

    def settle(self, ref: Ref) -> None:
        """Take note that a method has said all it has to say about a stanza: unless it is held, the next one's turn."""
        item = self._under_way.pop(ref, None)
        if item is not None:
            self._lines.done(Direction.IN, item.peer.bare)
            self.go_on(item.peer.bare)


def _title(lane: Lane) -> str:
    return lane.harness.method.traits.title


def _jid(text: str | None) -> JID | None:
    try:
        return None if text is None else JID.parse(text)
    except BadJID:
        return None


def _stamp(stanza: Stanza) -> str | None:
    try:
        delay = stanza.child(_DELAY)
    except RemoteError:
        return None
    return None if delay is None else delay.attributes.get("stamp")


def _seconds(stamp: str | None) -> float | None:
    try:
        return None if stamp is None else datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return None
