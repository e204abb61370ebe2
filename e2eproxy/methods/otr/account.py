"""What the parts of OTR's engine share: an account's conversations, who is there, and effects that several of them make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.otr import forms, fragments, messages
from e2eproxy.methods.otr.book import Book
from e2eproxy.methods.otr.own_key import OwnKey, name_of
from e2eproxy.methods.otr.slots import Slots
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.methods.door import Context
    from e2eproxy.methods.otr.book import Entry
    from e2eproxy.methods.otr.identity import Party, PublicKey
    from e2eproxy.xmpp.jid import JID

EME: Final = "urn:xmpp:otr:0"
PATIENCE: Final = 60.0
"""Seconds until a handshake, or the rest of a message in parts, is given up."""
ENCRYPTED: Final = element("encryption", {"xmlns": "urn:xmpp:eme:0", "namespace": EME})
"""Says to clients without OTR what a body is (XEP-0380); not behind a query, which has a sentence for people."""
MOST_TOLD: Final = 5
"""Notices about offers that are not answered, in ``PATIENCE`` seconds."""
EXPLANATION: Final = "I would like to write to you encrypted, with Off-the-Record messaging (OTR). Your program does not seem to know it."
"""What people read whose client has no OTR; machines look at the query in front of it only."""


class Account:
    """See the module."""

    def __init__(self, context: Context) -> None:
        """Begin with what is in the view."""
        self.context = context
        self.book = Book()
        self.slots = Slots(context)
        self.here: set[JID] = set()
        """The peers whose presence we see: who is not among them may have gone without our hearing of it."""
        self.chosen: dict[tuple[JID, JID], JID] = {}
        """To which of a contact's clients texts go, where the user was told."""
        self._told_at = 0.0
        self._told = 0
        self.asked: set[tuple[JID, JID]] = set()
        """Which client of ours asked which contact for a session, and has none since."""
        self.key = OwnKey(context)

    # -- settings --

    @property
    def versions(self) -> frozenset[int]:
        """The versions that the user allows: setting ``versions``, as ``2,3`` (the default) or ``3``."""
        wanted = self.context.settings.get("versions", "2,3").replace(" ", "").split(",")
        return frozenset(one for one in messages.VERSIONS if str(one) in wanted)

    @property
    def longest(self) -> int:
        """The most characters of a message that is sent: setting ``fragment``; 0, the default, is no limit."""
        wanted = self.context.settings.get("fragment", "0")
        return int(wanted) if wanted.isdecimal() and len(wanted) <= 7 else 0

    def writes_html(self, contact: JID, entry: Entry) -> bool:
        """Whether the contact's client writes HTML and wants it: setting ``html``, as ``yes``, ``no`` or ``auto``."""
        wanted = self.context.view.setting(contact.bare, "html")
        return wanted == "yes" or (wanted != "no" and entry.html is True)

    # -- who is told --

    def may_tell(self) -> bool:
        """Whether the user hears of one more offer that is not answered: anybody can send a million."""
        now = self.context.clock()
        if not 0 <= now - self._told_at < PATIENCE:
            self._told_at, self._told = now, 0
        self._told += 1
        return self._told <= MOST_TOLD

    # -- who we are --

    def party(self) -> Party:
        """Our key, and randomness; raises MethodError while there is no key."""
        return self.key.party()

    def entry(self, own: JID, peer: JID) -> tuple[Entry, tuple[e.Effect, ...]]:
        """(The conversation with *peer*, what has to be kept for it)."""
        tag, kept = self.slots.take(own)
        return self.book.entry(own, peer, tag), kept

    # -- effects --

    def bodies(self, message: messages.Message) -> tuple[bytes, ...]:
        """*Message* as payloads, several if it has to be cut."""
        text = forms.encoded_text(messages.encode(message))
        tags = (message.sender, message.receiver) if message.version == 3 else None
        size = max(self.longest, 100) if self.longest else len(text)
        return tuple(body(one) for one in fragments.cut(text, size, tags))

    def emitted(self, own: JID, peer: JID, out: Iterable[messages.Message]) -> tuple[e.Effect, ...]:
        """Have *out* leave, as messages of the method's own."""
        return tuple(
            e.Emit(to=peer, payload=one + ENCRYPTED, own=own)
            for message in out
            for one in self.bodies(message)
        )

    def query(self, own: JID, peer: JID) -> e.Emit:
        """Ask *peer* for a session."""
        self.asked.add((own, peer.bare))
        return e.Emit(to=peer, payload=body(forms.query_text(self.versions, EXPLANATION)), own=own)

    def protection(self, key: PublicKey | None) -> e.Protection:
        """How a text is protected in a session with the owner of *key*."""
        return e.Protection(key=name_of(key) if key else None, forward_secret=True, deniable=True)


def body(text: str) -> bytes:
    """*Text* as a payload."""
    return element("body", {"xmlns": "jabber:client"}, escape_text(text).encode())


def patience(own: JID, peer: JID, seconds: float | None = PATIENCE) -> e.SetTimer:
    """Give a handshake up after a time; None: it is over."""
    return e.SetTimer(name=f"handshake {own} {peer}", seconds=seconds)


def begun(own: JID, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
    """What is to be done beside a handshake's first step."""
    if entry.live:  # a renewal
        return (patience(own, peer),)
    return patience(own, peer), e.SessionChanged(peer=peer, state=e.State.NEGOTIATING)
