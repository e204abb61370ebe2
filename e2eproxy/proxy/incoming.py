"""The server's stanzas on their way in: whose they are, what was inside, and what the client is shown.

Law 4: each one is delivered, or a readable placeholder for it; only forged wrappers and forgeries of the proxy's own
address are dropped, and counted. Law 9: what came in the clear where it should not have is marked. Order is kept for each
contact: while a method works on a stanza, or the store is asked, later ones from there wait. The server is told that a stanza
was taken once the client has it, or what stands for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from e2eproxy.errors import RemoteError
from e2eproxy.methods import effects as e
from e2eproxy.methods.events import Inbound, Ref, Way
from e2eproxy.proxy.arriving import Incoming, is_at_once, seconds_of, stamp_of
from e2eproxy.proxy.cabinet import ORIGINALS_KEPT
from e2eproxy.proxy.delivery import error_of_client, marked, marked_plain, opened, placeholder, with_text
from e2eproxy.proxy.holding import NO_ROOM, Direction
from e2eproxy.proxy.ids import Opened, Pair
from e2eproxy.proxy.in_conversation import NO_NOTICE
from e2eproxy.proxy.notes import Shown
from e2eproxy.proxy.tally import FATES, NO_METHOD, Fate, Why
from e2eproxy.trust.values import KeptOriginal
from e2eproxy.xmpp import names
from e2eproxy.xmpp.client_error import bare_error, error_to_client
from e2eproxy.xmpp.jid import JID, prepared
from e2eproxy.xmpp.stanza import Stanza
from e2eproxy.xmpp.wrappers import Forgery, Wrapper, rewrapped, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.holding import Lines
    from e2eproxy.proxy.notes import Note
    from e2eproxy.proxy.pipeline import Kept, Ways
    from e2eproxy.proxy.tally import Tally
    from e2eproxy.trust.values import SentId
    from e2eproxy.xmpp.archive_queries import ArchiveQueries

    #: What the client gets, and what that makes of the stanza.
    _Shown = tuple[bytes, Fate]

_WAYS: Final = {
    "carbon received": Way.CARBON_RECEIVED,
    "carbon sent": Way.CARBON_SENT,
    "archive result": Way.ARCHIVE,
}
_BODY: Final = names.CLIENT + names.SEPARATOR + "body"


class IncomingStanzas:
    """The inbound half of a guard.

    *dropped* is told of each forgery, with the reason; *tally* counts what becomes of them. *may_answer* says whether what a
    contact begins may be answered, *rooms* are the bare JIDs of rooms.
    """

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
        may_answer: Callable[[JID], bool],
        rooms: Callable[[], Collection[JID]],
        tally: Tally,
    ) -> None:
        self._desk = desk
        self._ways = ways
        self._lines = lines
        self._queries = queries
        self._own = own
        self._proxy = proxy
        self._now = now
        self._dropped = dropped
        self._may_answer = may_answer
        self._rooms = rooms
        self._tally = tally
        self._under_way: dict[Ref, Incoming] = {}

    def take(self, stanza: Stanza) -> bytes | Kept | None:
        """Take a stanza of the server; return what the client gets at once, as it came or changed, else what it awaits."""
        sender = prepared(stanza.from_) or self._own.bare
        try:
            wrapper = (
                None if sender.domain == self._proxy.domain else unwrap(stanza, self._own.bare, self._queries)
            )
        except RemoteError:
            wrapper = None
        if sender.domain == self._proxy.domain:
            self._drop("Somebody else wrote in the name of the proxy.")
            return None
        if isinstance(wrapper, Forgery):
            self._drop(wrapper.reason)
            return None
        if stanza.kind != "presence":
            self._desk.saw(sender, stanza.id)
        return self._sorted(stanza, wrapper if wrapper and wrapper.kind in _WAYS else None, sender)

    def _drop(self, why: str) -> None:
        self._tally.failed(Direction.IN, Why.FORGED)
        self._tally.stanza(Direction.IN, Fate.DROPPED)
        self._dropped(why)

    def _sorted(self, stanza: Stanza, wrapper: Wrapper | None, sender: JID) -> bytes | Kept:
        item = self._for_a_method(stanza, wrapper, sender)
        if item is None and wrapper is not None:
            return self._at_once(self._plain_inside(stanza, wrapper))
        if item is None and stanza.type in {"error", "result"}:
            answer = self._answer(stanza, sender)
            if isinstance(answer, bytes):
                return self._at_once((answer, Fate.CHANGED))
            item = answer
        if item is None and not self._lines.standing(Direction.IN, sender.bare):
            return self._at_once(self._plain(stanza, sender))
        if item is None:
            # It needs nothing, but what is before it from there does.
            item = self._behind(stanza, sender)
        if item.at_once:
            self._tell(item)
            return item.kept
        now = self._now()
        if self._lines.join(Direction.IN, item.peer.bare, item, len(stanza.raw), now):
            item.since = now
            self.go_on(item.peer.bare)
        else:
            self._placeholder(item, f"{NO_ROOM}.", Why.NO_ROOM)
        return item.kept

    def _at_once(self, shown: _Shown) -> bytes:
        raw, fate = shown
        self._tally.stanza(Direction.IN, fate)
        return raw

    def go_on(self, contact: JID) -> None:
        """Let the stanzas of *contact* have their turn, as far as they need not wait."""
        while (held := self._lines.next(Direction.IN, contact)) is not None:
            item = held.item
            if item.plain:
                self._under_way[item.ref] = item
                raw, item.fate = self._plain(item.outer, item.peer)
                self._show(raw)
                self.settle(item.ref)
            elif item.lane is None:
                self._under_way[item.ref] = item
                self._look_up(item)
            else:
                self._tell(item)

    def _tell(self, item: Incoming) -> None:
        """Let the method that has *item* say what becomes of it."""
        assert item.lane is not None  # noqa: S101 - whoever calls has looked
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
                may_answer=self._may_answer(item.peer),
                room=item.peer.bare in self._rooms(),
                again=item.again,
            )
        )

    def retry(self, contact: JID) -> None:
        """Let what waits from *contact* try again."""
        self._lines.retry(Direction.IN, contact)
        self.go_on(contact)

    def overdue(self, item: Incoming, why: str, reason: Why = Why.OVERDUE) -> None:
        """Deliver a placeholder for a stanza that has waited too long."""
        self._under_way.pop(item.ref, None)
        self._placeholder(item, f"what it needed did not come in time ({why or 'its turn'}).", reason)

    def prepare(self, event: Inbound, effects: Sequence[e.Effect]) -> Sequence[Note]:
        """Return what has to be durable before ``outcome`` does what a method decided."""
        item = self._under_way.get(event.ref)
        if item is None:
            return ()
        item.inside = [self._found(item, one.inside) for one in effects if isinstance(one, e.Deliver)]
        unreadable = any(isinstance(one, e.Unreadable) for one in effects)
        item.promised = item.is_message and (unreadable or any(isinstance(one, str) for one in item.inside))
        return (self._original(item),) if item.promised else ()

    def unkept(self, event: Inbound) -> None:
        """Take note that the original could not be stored."""
        item = self._under_way.get(event.ref)
        if item is not None:
            item.promised = False

    def outcome(self, event: Inbound, effect: e.Effect) -> bool:
        """Do what a method decided about a stanza in this guard's care; return whether *effect* was such a thing."""
        item = self._under_way.get(event.ref)
        if item is None:
            # A placeholder stands for it already.
            return getattr(effect, "ref", None) == event.ref
        match effect:
            case e.Deliver(protection=protection):
                self._show(self._opened(item, item.inside.pop(0), protection))
            case e.Unreadable(why=why):
                self._show(self._unreadable(item, why))
            case e.Absorb():
                pass
            case e.Decline(body=body):
                self._show(self._shown(item, self._declined(item, body)))
            case e.Hold() if item.at_once:
                self._show(self._unreadable(item, "The method wanted it to wait, which it cannot."))
            case e.Hold(why=why):
                del self._under_way[item.ref]
                if not item.again:
                    self._tally.held(Direction.IN, item.method)
                item.again = True
                self._lines.wait(Direction.IN, item.peer.bare, why)
            case _:
                return False
        return True

    # -- what it is ----------------------------------------------------------------------------------------------------

    def _for_a_method(self, stanza: Stanza, wrapper: Wrapper | None, sender: JID) -> Incoming | None:
        inner = stanza if wrapper is None else wrapper.inner
        if inner.type == "error" or not self._desk.lanes:
            # An error may echo what we sent; no method ever sees its own ciphertext come back.
            return None
        try:
            lane = self._desk.recognised(inner)
        except RemoteError:
            return None
        if lane is None:
            return None
        way = Way.LIVE if wrapper is None else _WAYS[wrapper.kind]
        peer = sender if wrapper is None else prepared(inner.from_) or sender
        stamp = stamp_of(stanza) if wrapper is None else wrapper.stamp
        sent_at = seconds_of(stamp)
        if way is Way.LIVE and stamp is not None:
            way = Way.DELAYED
        to = prepared(inner.to) or self._own
        at_once = wrapper is None and is_at_once(lane, inner)
        return Incoming(Ref(uuid4().hex), stanza, wrapper, lane, peer, to, way, sent_at, at_once=at_once)

    def _plain_inside(self, stanza: Stanza, wrapper: Wrapper) -> _Shown:
        """Return a carbon or an archived message that is nobody's, marked if it should have been encrypted."""
        author = prepared(wrapper.inner.from_)
        if author is None or wrapper.inner.kind != "message":
            return stanza.raw, Fate.PASSED
        shown, fate = self._plain(wrapper.inner, author)
        return stanza.raw if fate is Fate.PASSED else rewrapped(stanza, wrapper, shown), fate

    def _behind(self, stanza: Stanza, sender: JID) -> Incoming:
        return Incoming(Ref(uuid4().hex), stanza, None, None, sender, self._own, Way.LIVE, None, plain=True)

    def _plain(self, stanza: Stanza, sender: JID) -> _Shown:
        """Return what the client gets of a stanza that is nobody's: marked, if it should have been encrypted."""
        came = raw = stanza.raw
        if stanza.kind != "message" or stanza.type == "error":
            return came, Fate.PASSED
        try:
            if len(self._desk.pairs):
                stanza = stanza.changed(self._desk.pairs.with_client_ids(stanza))
                raw = stanza.raw
            if self._imitates(stanza):
                stanza = stanza.changed(marked(stanza, NO_NOTICE))
                raw = stanza.raw
            if stanza.type != "groupchat" and self._desk.encrypted_with(sender.bare):
                shown = marked_plain(stanza)
                if shown != raw:
                    return shown, Fate.MARKED
        except RemoteError:
            # What cannot be read cannot be marked either; the framer has let it pass, so the client may read it.
            return raw, Fate.PASSED if raw == came else Fate.CHANGED
        return raw, Fate.PASSED if raw == came else Fate.CHANGED

    # -- what answers ours -----------------------------------------------------------------------------------------------

    def _answer(self, stanza: Stanza, sender: JID) -> Incoming | bytes | None:
        """Return an error or result as the client expects it, if it answers what left under another id."""
        pair = self._desk.pairs.find(stanza.id)
        if pair is not None and pair.to == sender.bare:
            return self._as_answer(stanza, pair)
        if pair is not None or stanza.type != "error" or stanza.kind != "message" or stanza.id is None:
            return None
        # It may be of an earlier run: the store knows.
        return Incoming(Ref(uuid4().hex), stanza, None, None, sender, self._own, Way.LIVE, None)

    def _as_answer(self, stanza: Stanza, pair: Pair) -> bytes:
        try:
            if stanza.type == "error" and pair.stanza is not None:
                return error_of_client(stanza, pair.stanza, pair.client_id)
            return stanza.with_attributes({"id": pair.client_id})
        except RemoteError:
            return stanza.raw

    def _look_up(self, item: Incoming) -> None:
        def found(sent: SentId | None) -> None:
            if item.ref not in self._under_way:
                return
            raw = item.outer.raw
            if (
                sent is not None
                and sent.original is not None
                and prepared(sent.to) in {item.peer, item.peer.bare}
            ):
                original = Stanza.parse(sent.original)
                raw = self._as_answer(item.outer, Pair(sent.client_id, item.peer.bare, original))
            item.fate = Fate.PASSED if raw == item.outer.raw else Fate.CHANGED
            self._show(raw)
            self.settle(item.ref)

        looking = self._desk.cabinet.by_outer(item.outer.id or "")
        looking.addCallbacks(found, lambda _: found(None))

    # -- what becomes of it --------------------------------------------------------------------------------------------

    def _found(self, item: Incoming, inside: e.Inside) -> Stanza | str:
        """Return what the client is to get of what was *inside*, or why that cannot be read."""
        try:
            raw = opened(item.inner, inside)
            stanza = Stanza.parse(raw, item.inner.root)
            if len(self._desk.pairs) and stanza.kind == "message":
                stanza = Stanza.parse(self._desk.pairs.with_client_ids(stanza), item.inner.root)
        except RemoteError as error:
            return str(error)
        return stanza

    def _opened(self, item: Incoming, stanza: Stanza | str, protection: e.Protection) -> bytes | None:
        if isinstance(stanza, str):
            return self._unreadable(item, stanza)
        item.fate = Fate.OPENED
        if item.wrapper is None:
            sender = item.inner.from_ or str(item.peer)
            self._desk.opened.note(item.peer, stanza.id, Opened(item.inner.id, sender, item.method))
        mark = self._desk.mark(item.peer, protection.key) + (NO_NOTICE if self._imitates(stanza) else "")
        return self._shown(item, marked(stanza, mark) if mark and stanza.kind == "message" else stanza.raw)

    def _imitates(self, stanza: Stanza) -> bool:
        """Whether a message looks like a notice of ours in the conversation."""
        if not self._desk.inside.ids or stanza.kind != "message":
            return False
        return any(self._desk.inside.imitated(body.text) for body in stanza.all(_BODY))

    def _declined(self, item: Incoming, body: str | None) -> bytes:
        """What a method does not want is plain text like any other, but for the offer it has taken out."""
        inner = item.inner
        if body is not None:
            inner = inner.changed(with_text(inner, body))
        raw, fate = self._plain(inner, item.peer)
        item.fate = Fate.CHANGED if fate is Fate.PASSED and body is not None else fate
        return raw

    def _unreadable(self, item: Incoming, why: str, reason: Why = Why.NOT_OPENED) -> bytes | None:
        item.fate = Fate.UNREADABLE
        self._tally.failed(Direction.IN, reason, item.method)
        if not item.is_message:
            self._answer_for_client(item)
            return self._for_the_request(item, why)
        reference = item.reference if item.promised else None
        return self._shown(item, placeholder(item.inner, item.title, why, reference))

    def _answer_for_client(self, item: Incoming) -> None:
        """Tell a peer that its request could not be opened: the client cannot, for it never saw it."""
        inner = item.inner
        if inner.kind == "iq" and inner.type in {"get", "set"} and item.wrapper is None:
            self._ways.to_server(bare_error("iq", "not-acceptable", to=inner.from_, stanza_id=inner.id))

    def _for_the_request(self, item: Incoming, why: str) -> bytes | None:
        """Return the error that answers the client's request in the place of a result that could not be opened."""
        pair = self._desk.pairs.find(item.inner.id) if item.inner.type == "result" else None
        if pair is None or pair.stanza is None or pair.stanza.kind != "iq" or pair.to != item.peer.bare:
            return None
        text = f"The answer, encrypted with {item.title}, could not be opened: {why}"
        return error_to_client(pair.stanza, "not-acceptable", text, own=str(self._own))

    def _placeholder(self, item: Incoming, why: str, reason: Why) -> None:
        """Deliver a placeholder that no method asked for, once the original is kept."""
        if item.lane is None:
            raw, item.fate = self._plain(item.outer, item.peer)
            self._ways.to_client(raw)
            self._done(item)
            return
        if not item.is_message:
            self._show(self._unreadable(item, why, reason))
            self._done(item)
            return

        def show(kept: bool) -> None:
            item.promised = kept
            self._show(self._unreadable(item, why, reason))
            self._done(item)

        noting = self._desk.cabinet.note(self._original(item))
        noting.addCallbacks(lambda _: show(True), lambda _: show(False))

    def _original(self, item: Incoming) -> Shown:
        cabinet = self._desk.cabinet
        return Shown(
            original=KeptOriginal(
                account=str(cabinet.account),
                contact=str(item.peer.bare),
                reference=item.reference,
                stanza=item.inner.standalone(),
                expires_at=cabinet.now() + ORIGINALS_KEPT,
            )
        )

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
            self._done(item)
        if item is not None and not item.at_once:
            self._lines.done(Direction.IN, item.peer.bare)
            self.go_on(item.peer.bare)

    def _done(self, item: Incoming) -> None:
        """The client has *item*, or what stands for it."""
        method = item.method if FATES[Direction.IN][item.fate].by_method else NO_METHOD
        self._tally.stanza(Direction.IN, item.fate, method)
        if item.since is not None:
            self._tally.took(Direction.IN, method, item.since)
        item.kept.release()
