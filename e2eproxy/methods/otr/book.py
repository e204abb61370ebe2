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
"""So many conversations without a session are remembered; a contact that invents resources pushes out its own."""
MOST_PARTS: Final = 4 * MOST_TEXT
"""So many characters of unfinished messages are kept for an account, whoever sends them."""


@define(kw_only=True)
class Entry:
    """One conversation, and what the engine remembers beside it. Times are seconds since 1970.

    ``waiting``: the user's text waits for a session. ``failed``: a session was tried, and none came. ``asked``: how many
    offers came since ``asked_at``; ``complained_at``: when we last said that we could not read something. ``away``: its client has gone, and
    may come back elsewhere. ``offered``: the version in which a
    session with us waits for our first key, or 0. ``spoken``: our user has written into the session since the peer last proved to have read.
    ``checking``: it was asked whether the peer still has the session. ``last``: the user's last text, sent at ``last_at``, and
    ``resend`` the one that goes into the next session once more.
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
    """The conversations of an account, by our and the peer's full JID (bare, where we only asked so far)."""

    def __init__(self) -> None:
        """Begin without any."""
        self._entries: dict[tuple[JID, JID], Entry] = {}

    def find(self, own: JID, peer: JID) -> Entry | None:
        """The conversation, or None."""
        return self._entries.get((own, peer))

    def entry(self, own: JID, peer: JID, tag: int) -> Entry:
        """The conversation, begun if there is none; *tag* is our instance tag."""
        found = self._entries.get((own, peer))
        if found is None:
            self._forget_strangers()
            found = Entry(now=talk.Conversation(own_tag=tag))
            self._entries[own, peer] = found
        return found

    def _forget_strangers(self) -> None:
        if len(self._entries) < MOST_STRANGERS:
            return
        # The oldest first: a dict keeps the order in which they were begun.
        idle = [key for key, one in self._entries.items() if one.disposable]
        for key in idle[: len(self._entries) - MOST_STRANGERS + 1]:
            del self._entries[key]

    def of(self, own: JID, contact: JID) -> list[tuple[JID, Entry]]:
        """All conversations with a *contact* (bare), the one last heard from first."""
        found = [
            (peer, one) for (ours, peer), one in self._entries.items() if ours == own and peer.bare == contact
        ]
        return sorted(found, key=lambda one: one[1].heard_at, reverse=True)

    def of_stream(self, own: JID) -> Iterator[tuple[JID, Entry]]:
        """All conversations of a stream of ours."""
        return iter([(peer, one) for (ours, peer), one in self._entries.items() if ours == own])

    def all(self) -> Iterator[tuple[JID, JID, Entry]]:
        """Every conversation, with our and the peer's JID."""
        return iter([(own, peer, one) for (own, peer), one in self._entries.items()])

    def forget(self, own: JID, peer: JID) -> None:
        """Forget a conversation."""
        self._entries.pop((own, peer), None)

    def bound_parts(self, newest: Entry) -> tuple[JID, ...]:
        """Give up unfinished messages, the *newest* last, until the rest is not too long; returns whose they were."""
        total = sum(len(one.partial.text) for one in self._entries.values())
        lost: list[JID] = []
        for (_, peer), one in self._entries.items():
            if total <= MOST_PARTS:
                break
            if one is not newest and one.partial.text:
                total -= len(one.partial.text)
                one.partial = fragments.Partial()
                lost.append(peer)
        return tuple(lost)

    def move(self, own: JID, old: JID, new: JID) -> None:
        """The peer's client is at another JID now."""
        self._entries[own, new] = self._entries.pop((own, old))

    def with_tag(self, own: JID, contact: JID, tag: int) -> JID | None:
        """Where the client of *contact* that has the instance *tag* was last, if we have a session with it."""
        for peer, one in self.of(own, contact):
            if one.live and tag and one.now.peer_tag == tag:
                return peer
        return None
