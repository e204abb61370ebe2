"""The sentences with which a stanza returns to the client: why it was not sent, and what the user can do (laws 4 and 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.proxy.kinds import KINDS, Kind
from e2eproxy.proxy.policy import Reason

if TYPE_CHECKING:
    from e2eproxy.proxy.policy import Ruling


@frozen
class Refusal:
    """A stanza error's defined *condition* and its *text*."""

    condition: str
    text: str


#: By reason; {whom} is the contact, {what} the row of the kinds table.
TEXTS: Final[dict[Reason, str]] = {
    Reason.NO_METHOD: "{whom} cannot be reached by any end-to-end encryption this proxy has, and it is required.",
    Reason.NOT_DISCOVERED: "It could not be found out in time whether {whom} can receive encrypted messages; "
    "encryption is required.",
    Reason.KEY: "{whom} has a key that is new or not verified. See it with /e2e keys, and accept or verify it if it is right.",
    Reason.FINISHED: "{whom} has ended the encrypted session. Start a new one with /e2e start.",
    Reason.KIND: "The policy does not let this leave unencrypted, and it cannot be encrypted: {what}.",
    Reason.UNREADABLE: "The proxy cannot read its own settings, so nobody knows what may leave unencrypted. Its log says more.",
    Reason.UNKNOWN_KIND: "The proxy does not know this kind of stanza, so it does not let it leave.",
    Reason.BAD_ADDRESS: "The address is not a JID that every server reads alike.",
    Reason.NOTHING_LEFT: "Nothing of this may leave unencrypted: {what}.",
}

#: Added where the user's word would let it leave.
WORD: Final = (
    " To send it unencrypted all the same, say /e2e clear once (or: session, always) and send it again."
)

#: Added where encryption is wanted and lacks, and only another setting would let it leave.
OTHERWISE: Final = " Ask for a client or a proxy that can; or let it leave unencrypted by another policy: /e2e policy when prefer."
_LACKING: Final = frozenset((Reason.NO_METHOD, Reason.NOT_DISCOVERED))

_CONDITIONS: Final[dict[Reason, str]] = {
    Reason.NOT_DISCOVERED: "remote-server-timeout",
    Reason.UNREADABLE: "internal-server-error",
}


def refusal(kind: Kind, ruling: Ruling, whom: str) -> Refusal:
    """Return how a stanza of *kind* to *whom* (a JID as text, "" for nobody) returns after *ruling* refused it."""
    reason = ruling.reason or Reason.NOTHING_LEFT
    row = KINDS[kind]
    text = "Not sent. " + TEXTS[reason].format(whom=whom or "The server", what=row.what)
    advice = WORD if ruling.word_helps else OTHERWISE if reason in _LACKING and row.sticky else ""
    return Refusal(_CONDITIONS.get(reason, row.condition), text + advice)
