"""Which conversations an account has, and which one a text or a message belongs to.

Sessions are held in memory only, one for each pair of full JIDs. Version 3's session moves with its peer's instance tag,
where the peer comes back with another resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from e2eproxy.methods.otr import ake, fragments
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr.forms import MOST_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.methods.events import Ref
    from e2eproxy.xmpp.jid import JID

MOST_STRANGERS: Final = 1000
"""So many conversations without a session are remembered, at most; who invents resources pushes out its own."""
MOST_PARTS: Final = 4 * MOST_TEXT
"""So many characters of unfinished messages are kept for an account, whoever sends them."""


@define(kw_only=True, eq=False)
class Entry:
    """One conversation, and what the engine remembers beside it. Times are seconds since 1970.

    ``waiting``: the user's text waits for a session. ``failed``: a session was tried, and none came. ``asked``: how many
    offers came since ``asked_at``; ``complained_at``: when we last said that we could not read something. ``away``: its client has gone, and
    may come back elsewhere. ``offered``: the version in which a
    session with us waits for our first key, or 0. ``spoken``: our user has written into the session since the peer last proved to have read.
    ``checking``: it was asked whether the peer still has the session. ``last``: the user's last text, sent at ``last_at``, and
    ``resend`` the one that goes into the next session once more. ``html``: whether it writes HTML, None as long as that is not
    known.
    """

    now: talk.Conversation
    partial: fragments.Partial = field(factory=fragments.Partial)
    partial_tag: int = 0
    waiting: bool = False
    failed: bool = False
    tagged: bool = False
    away: bool = False
    offered: int = 0
    spoken: bool = False
    checking: bool = False
    last: Ref | None = None
    last_at: float = 0.0
    resend: Ref | None = None
    html: bool | None = None
    heard_at: float = 0.0
    sent_at: float = 0.0
    asked_at: float = 0.0
    asked: int = 0
    complained_at: float = 0.0

    @property
    def live(self) -> bool:
        """Whether there is a session."""
        return self.now.state is talk.State.ENCRYPTED

    @property
    def exchanging(self) -> bool:
        """Whether a handshake is under way."""
        return self.now.exchange.state is not ake.State.NONE

    @property
    def disposable(self) -> bool:
        """Whether no session, and no text that waits, would be lost with it."""
        return self.now.state is talk.State.PLAINTEXT and not self.waiting


class Book:
    """The conversations of an account, by our full JID, the contact and the peer's full JID (bare, where we only asked so far).

    Nothing that is done for a message looks at all of them: an account may have ten thousand.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._streams: dict[JID, dict[JID, dict[JID, Entry]]] = {}
        self._count = 0
        self._look_at = MOST_STRANGERS
        # Those with an unfinished message, the oldest first; some may have finished it meanwhile.
        self._unfinished: dict[Entry, JID] = {}

    def find(self, own: JID, peer: JID) -> Entry | None:
        """The conversation, or None."""
        return self._with(own, peer.bare).get(peer)

    def entry(self, own: JID, peer: JID, tag: int) -> Entry:
        """The conversation, begun if there is none; *tag* is our instance tag."""
        found = self.find(own, peer)
        if found is None:
            self._forget_strangers()
            found = Entry(now=talk.Conversation(own_tag=tag))
            self._put(own, peer, found)
        return found

    def _with(self, own: JID, contact: JID) -> dict[JID, Entry]:
        return self._streams.get(own, {}).get(contact, {})

    def _put(self, own: JID, peer: JID, entry: Entry) -> None:
        self._streams.setdefault(own, {}).setdefault(peer.bare, {})[peer] = entry
        self._count += 1

    def _take(self, own: JID, peer: JID) -> Entry | None:
        known = self._with(own, peer.bare)
        taken = known.pop(peer, None)
        if taken is not None:
            self._count -= 1
            if not known:
                del self._streams[own][peer.bare]
        return taken

    def _forget_strangers(self) -> None:
        """Forget those without a session if there are too many, a tenth at once, so that it is not done each time."""
        if self._count < self._look_at:
            return
        idle = sorted(self._idle(), key=lambda one: one[0], reverse=True)
        gone = idle[: len(idle) - MOST_STRANGERS * 9 // 10] if len(idle) >= MOST_STRANGERS else []
        for _, own, peer in gone:
            self.forget(own, peer)
        self._look_at = self._count + MOST_STRANGERS - (len(idle) - len(gone))

    def _idle(self) -> Iterator[tuple[int, JID, JID]]:
        """Those that can be forgotten: how many the contact has that were begun no earlier, our and the peer's JID."""
        for own, contacts in self._streams.items():
            for known in contacts.values():
                for number, (peer, one) in enumerate(known.items()):
                    if one.disposable:
                        yield len(known) - number, own, peer

    def of(self, own: JID, contact: JID) -> list[tuple[JID, Entry]]:
        """All conversations with a *contact* (bare), the one last heard from first."""
        found = self._with(own, contact).items()
        return sorted(found, key=lambda one: one[1].heard_at, reverse=True)

    def of_stream(self, own: JID) -> Iterator[tuple[JID, Entry]]:
        """All conversations of a stream of ours."""
        return iter([one for known in self._streams.get(own, {}).values() for one in known.items()])

    def all(self) -> Iterator[tuple[JID, JID, Entry]]:
        """Every conversation, with our and the peer's JID."""
        return iter([(own, peer, one) for own in self._streams for peer, one in self.of_stream(own)])

    def forget(self, own: JID, peer: JID) -> None:
        """Forget a conversation."""
        taken = self._take(own, peer)
        if taken is not None:
            self._unfinished.pop(taken, None)

    def bound_parts(self, newest: Entry, peer: JID) -> tuple[JID, ...]:
        """Give up unfinished messages, that of the *newest* (with *peer*) last, until the rest is not too long.

        Returns whose they were.
        """
        self._unfinished = {one: whose for one, whose in self._unfinished.items() if one.partial.text}
        if newest.partial.text:
            self._unfinished[newest] = peer
        total = sum(len(one.partial.text) for one in self._unfinished)
        lost: list[JID] = []
        for one, whose in self._unfinished.items():
            if total <= MOST_PARTS:
                break
            if one is not newest:
                total -= len(one.partial.text)
                one.partial = fragments.Partial()
                lost.append(whose)
        return tuple(lost)

    def move(self, own: JID, old: JID, new: JID) -> None:
        """The peer's client is at another JID now."""
        moved = self._take(own, old)
        if moved is not None:
            self.forget(own, new)
            self._put(own, new, moved)
            if moved in self._unfinished:
                self._unfinished[moved] = new

    def with_tag(self, own: JID, contact: JID, tag: int) -> JID | None:
        """Where the client of *contact* that has the instance *tag* was last, if we have a session with it."""
        for peer, one in self.of(own, contact):
            if one.live and tag and one.now.peer_tag == tag:
                return peer
        return None
