"""One stanza of the client's on its way out: what is known of it, and where it waits (law 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from e2eproxy.proxy.kinds import Kind
from e2eproxy.proxy.notes import Leaves
from e2eproxy.proxy.tally import NO_METHOD
from e2eproxy.trust.values import HeldStanza, SentId

if TYPE_CHECKING:
    from e2eproxy.methods.events import Ref
    from e2eproxy.proxy.cabinet import Cabinet
    from e2eproxy.proxy.classify import Classified
    from e2eproxy.proxy.ids import Opened
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.tally import Why
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza


@define(eq=False)
class Outgoing:
    """One stanza of the client on its way: what it is, and which methods have not declined it yet."""

    ref: Ref
    stanza: Stanza
    found: Classified
    contact: JID
    #: In which line it waits; see ``line_of``.
    line: JID
    #: The stanza that was delivered decrypted and that this one answers.
    answers: Opened | None = None
    lanes: list[Lane] = field(factory=list)
    lane: Lane | None = None
    asked: bool = False
    #: What methods that declined it asked to have added if it leaves in clear: text behind its body, and elements.
    offer: str = ""
    adds: bytes = b""
    #: Whether every method that was asked has declined it for good; None if none was asked.
    settled: bool | None = None
    again: bool = False
    #: Whether it left before, encrypted, and a method wants it sent again.
    repeated: bool = False
    #: Since when it is in its line, in seconds; None if it never was in one.
    since: float | None = None
    #: Whether it was counted as one that waits.
    waited: bool = False
    required: bool = False
    #: Whether it is stored among the held ones, or will be before anything later of it is.
    held: bool = False
    #: What a method made of it, ready to leave, by the order of the method's effects; with the outer id.
    made: list[tuple[bytes, str]] = field(factory=list)
    #: Why it cannot leave although a method made something: reason, condition and text.
    fault: tuple[Why, str, str] | None = None

    def to_be_held(self, cabinet: Cabinet) -> HeldStanza:
        """Return what *cabinet* keeps while it waits."""
        return HeldStanza(
            account=str(cabinet.account),
            contact=str(self.contact),
            reference=self.ref,
            stanza=self.stanza.standalone(),
            held_at=cabinet.now(),
        )

    def leaves(self, cabinet: Cabinet, raw: bytes | None, outer: str) -> Leaves:
        """Return what *cabinet* keeps before it leaves as *raw*, None for what is not to be sent again as it is."""
        sent = SentId(
            account=str(cabinet.account),
            outer_id=outer,
            client_id=self.stanza.id,
            to=str(self.found.to or self.contact),
            sent_at=cabinet.now(),
            original=self.stanza.standalone(),
            outer=raw,
        )
        return Leaves(sent=sent, stanza=self.stanza.raw, held=self.ref if self.held else None)

    @property
    def method(self) -> str:
        """The name of the method that has it, as it is counted."""
        return NO_METHOD if self.lane is None else self.lane.name


def line_of(stanza: Stanza, found: Classified, contact: JID, proxy: JID | None) -> JID:
    """Return in which line *stanza* waits: that of its contact; an answer to a request in one of its peer's own.

    The peer waits for the answer, and what it says may be just what a text to the same contact waits for. So may what the
    user says to the proxy about him, which therefore stands in the line of *proxy*.
    """
    if found.kind is Kind.PROXY and proxy is not None:
        return proxy
    answer = stanza.kind == "iq" and stanza.type in {"result", "error"}
    return found.to if answer and found.to is not None else contact
