"""What a user is told at the next login about stanzas that an ended stream or daemon left behind (law 4).

The client that sent them has gone, so no stanza error would be understood; a sentence with the beginning of the text is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from e2eproxy.errors import RemoteError
from e2eproxy.proxy.allowed_children import CHAT_STATES, EVENTS, HINTS, MARKERS, RECEIPTS
from e2eproxy.proxy.outer import given_back
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2eproxy.proxy.cabinet import Cabinet
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.trust.values import HeldStanza, SentId
    from e2eproxy.xmpp.jid import JID

#: Characters of a text that a report quotes.
QUOTED: Final = 200
_BODY: Final = names.CLIENT + names.SEPARATOR + "body"
#: Namespaces of what clients send by themselves: nobody misses it.
_SIGNALS: Final = frozenset((CHAT_STATES, RECEIPTS, MARKERS, EVENTS, HINTS))


def reports_of(held: Sequence[HeldStanza], unacknowledged: Sequence[SentId]) -> list[str]:
    """Return a report for each message that was held, or sent and never acknowledged, when an earlier daemon ended."""
    reports = []
    for sent in unacknowledged:
        if sent.original is not None:
            stanza = _parsed(sent.original)
            reports += [] if stanza is None else doubtful(stanza, sent.to, sent.sent_at)
    for one in held:
        stanza = _parsed(one.stanza)
        reports += [] if stanza is None else unsent(stanza, one.contact, one.held_at)
    return reports


def unsent(stanza: Stanza, to: str, at: float) -> list[str]:
    """Return the report on a message that never left; empty for what no person wrote."""
    return _report(stanza, f"was not sent: e2eproxy ended while it waited. To {to}, {_time(at)}")


def doubtful(stanza: Stanza, to: str, at: float) -> list[str]:
    """Return the report on a message that left and was never acknowledged; empty for what no person wrote."""
    return _report(
        stanza,
        f"may not have arrived: the connection ended before the server acknowledged it. To {to}, {_time(at)}",
    )


def _report(stanza: Stanza, what: str) -> list[str]:
    if stanza.type in {"error", "result"} or stanza.kind == "presence":
        return []
    if stanza.kind == "iq":
        return [f"A request of your client {what}."]
    try:
        body = stanza.child(_BODY)
        said = [one for one in stanza.children if names.split_name(one.name)[0] not in _SIGNALS]
    except RemoteError:
        return [f"A message of yours {what}; it cannot be read any more."]
    if body is not None:
        text = body.text if len(body.text) <= QUOTED else body.text[:QUOTED] + " ..."
        return [f"A message of yours {what}: {text}"]
    return [f"A message of yours without a text {what}."] if said else []


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _parsed(raw: bytes) -> Stanza | None:
    try:
        return Stanza.parse(raw)
    except RemoteError:
        return None


def unlooked(stanza: Stanza, own: JID, ways: Ways, cabinet: Cabinet | None) -> None:
    """Give back, or keep a report of, a stanza of the client *own* that was not even looked at when its stream ended."""
    if ways.client_there:
        raw = given_back(stanza, "recipient-unavailable", "Not sent: the connection ended first.", str(own))
        if raw is not None:
            ways.to_client(raw)
    elif cabinet is not None:
        cabinet.report(unsent(stanza, stanza.to or str(own.bare), cabinet.now()))
