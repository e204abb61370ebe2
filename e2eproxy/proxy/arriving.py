"""One stanza of the server on its way in: what is known of it, and where it waits (law 4)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from attrs import define, field

from e2eproxy.errors import RemoteError
from e2eproxy.proxy.pipeline import Kept
from e2eproxy.proxy.tally import NO_METHOD, Fate
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from e2eproxy.methods.events import Ref, Way
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza
    from e2eproxy.xmpp.wrappers import Wrapper

#: How servers mark what they had kept, now (XEP-0203) and formerly (XEP-0091).
_DELAYS: Final = tuple(
    namespace + names.SEPARATOR + name
    for namespace, name in (("urn:xmpp:delay", "delay"), ("jabber:x:delay", "x"))
)
#: Digits of a reference that a placeholder names; the store looks for the whole.
REFERENCE: Final = 12


@define(eq=False)
class Incoming:
    """One stanza of the server on its way: as it came, and what is to be opened in it.

    Without a ``lane`` it is an error whose original is looked up in the store, or (*plain*) needs nothing but its turn.
    """

    ref: Ref
    outer: Stanza
    wrapper: Wrapper | None
    lane: Lane | None
    peer: JID
    to: JID
    way: Way
    sent_at: float | None
    again: bool = False
    plain: bool = False
    kept: Kept = field(factory=Kept)
    # Since when it is in its line, in seconds; None if it never was in one.
    since: float | None = None
    # What became of it, as far as that is known.
    fate: Fate = Fate.ABSORBED
    # What a method found inside, each part as it can be shown, or why it cannot.
    inside: list[Stanza | str] = field(factory=list)
    # Whether the original is in the store before a placeholder for it is shown.
    promised: bool = False
    # Whether it stands in no line: others may wait for the answer to it.
    at_once: bool = False

    @property
    def inner(self) -> Stanza:
        """The stanza that is to be opened."""
        return self.outer if self.wrapper is None else self.wrapper.inner

    @property
    def reference(self) -> str:
        """The name under which the original is kept if it cannot be opened."""
        return self.ref[:REFERENCE]

    @property
    def method(self) -> str:
        """The name of the method that has it, as it is counted."""
        return NO_METHOD if self.lane is None else self.lane.name

    @property
    def is_message(self) -> bool:
        """Whether a placeholder can stand for it."""
        return self.inner.kind == "message"

    @property
    def title(self) -> str:
        """What people call the method that has it; empty if none has."""
        return "" if self.lane is None else self.lane.harness.method.traits.title


def is_at_once(lane: Lane, stanza: Stanza) -> bool:
    """Whether *stanza* is a request that *lane*'s method wants presented past what waits of its sender."""
    at_once = lane.harness.method.traits.wire.at_once
    return (
        bool(at_once)
        and stanza.kind == "iq"
        and any(names.split_name(child.name) in at_once for child in stanza.children)
    )


def stamp_of(stanza: Stanza) -> str | None:
    """What a stanza that was kept says about when it was sent, "" if nothing; None if it was not kept."""
    try:
        delay = next((found for name in _DELAYS if (found := stanza.child(name))), None)
    except RemoteError:
        return None
    return None if delay is None else delay.attributes.get("stamp", "")


def seconds_of(stamp: str | None) -> float | None:
    """Return *stamp* as seconds since 1970; None if it cannot be read."""
    try:
        return None if stamp is None else datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return None
