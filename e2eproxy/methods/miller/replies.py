"""Stanza errors of miller-e2e: what a sender is told of what could not be opened, and a requester of a key he does not get.

Never for an error, a room, something old, or somebody who may not know that we are here; and at a bounded rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.events import Way
from e2eproxy.methods.miller.wire import NAMESPACE
from e2eproxy.xmpp.names import CLIENT, STANZA_ERRORS
from e2eproxy.xmpp.stanza import element

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account
    from e2eproxy.methods.miller.failures import FailedError

_TYPES: Final = {
    "bad-request": "modify",
    "not-acceptable": "modify",
    "forbidden": "auth",
    "item-not-found": "cancel",
    "service-unavailable": "cancel",
    "resource-constraint": "wait",
}
"""The type of error for each condition that we send."""
REQUESTS: Final = frozenset({"get", "set"})


def error(condition: str, specific: str = "") -> bytes:
    """The element of a stanza error with *condition* (RFC 6120) and one of the draft's."""
    inside = element(condition, {"xmlns": STANZA_ERRORS})
    if specific:
        inside += element(specific, {"xmlns": NAMESPACE})
    return element("error", {"xmlns": CLIENT, "type": _TYPES[condition]}, inside)


def refused(event: events.Inbound, condition: str, specific: str = "") -> e.Emit:
    """Answer a request with an error."""
    payload = error(condition, specific)
    return e.Emit(to=event.peer, payload=payload, kind="iq", type="error", id=event.stanza.id, own=event.own)


def not_opened(account: Account, event: events.Inbound, failure: FailedError) -> tuple[e.Effect, ...]:
    """Dispose of a stanza that did not open, and tell its sender where that is right."""
    if event.stanza.kind == "iq" and event.stanza.type in REQUESTS and event.way is Way.LIVE:
        # The sender is waiting, and his program will be told: there is nothing in a request for our user to read.
        reply = (
            refused(event, failure.defined, failure.specific)
            if account.knows(event.peer)
            else refused(event, "service-unavailable")
        )
        return (e.Absorb(ref=event.ref, why=str(failure)), reply)
    shown = e.Unreadable(ref=event.ref, why=str(failure))
    if not _may_be_told(account, event):
        return (shown,)
    payload = error(failure.defined, failure.specific)
    reply = e.Emit(to=event.peer, payload=payload, type="error", id=event.stanza.id, own=event.own)
    return (shown, reply)


def _may_be_told(account: Account, event: events.Inbound) -> bool:
    if event.stanza.kind != "message" or event.stanza.type in {"error", "groupchat"} or event.author:
        return False
    now = account.context.clock()
    recent = event.way is Way.LIVE or (
        event.way is Way.DELAYED and event.sent_at is not None and abs(now - event.sent_at) <= account.window
    )
    ours = event.peer.bare == account.context.account
    return recent and not ours and account.knows(event.peer) and not account.replies.exceeded(event.peer, now)
