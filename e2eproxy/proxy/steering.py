"""Where what is for the proxy itself leaves the pipeline: whoever steers the daemon takes it from here (law 9).

The pipeline knows that there is somebody who takes the users' words, and no more; what they can say is a room of its own.
A word acts on nothing but the account of the stream that it came by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza


class Speaker(Protocol):
    """The stream that something came by; *own* is its full JID, *desk* its account's."""

    own: JID
    desk: Desk | None

    def answer(self, text: str) -> None:
        """Show the user *text*, which answers what was said; nothing happens if the stream has ended."""

    def reply(self, raw: bytes) -> None:
        """Send *raw*, one stanza of the proxy's, to the client; nothing happens if the stream has ended."""


class Steering(Protocol):
    """Takes what is for the proxy."""

    def take(self, stanza: Stanza, contact: JID, by: Speaker) -> None:
        """Do what *stanza* asks for, in the chat with the bare JID *contact*; *by* gets the answers, at once or later.

        Never raises for what a client may write.
        """

    def left(self, own: JID) -> None:
        """Take note that the stream of *own* has ended: what it was asked is not answered any more."""
