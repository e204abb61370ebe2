"""What left and is not acknowledged by the server: given back, or reported, if it never will be (law 4).

What a method made is in the store as well, under its outer id, until the server has it; what left as it came is only kept
here, since it reached the server before anything that the client sent after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy import leftovers
from e2eproxy.proxy.outer import given_back
from e2eproxy.xmpp.jid import JID, prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.pipeline import Care, Ways
    from e2eproxy.trust.values import SentId
    from e2eproxy.xmpp.stanza import Stanza

_NOT_KNOWN: Final = (
    "It is not known whether this arrived: the connection to the server ended before it was acknowledged."
)
_NOT_TAKEN: Final = "Not sent: the server has not acknowledged what was sent before."


class Unacknowledged:
    """One stream's, of the full JID *own*."""

    def __init__(self, desk: Desk, ways: Ways, own: JID) -> None:
        self._desk = desk
        self._ways = ways
        self._own = str(own)
        self._sent: dict[str, SentId] = {}

    def note(self, sent: SentId) -> None:
        """Take note of what is about to leave."""
        self._sent[sent.outer_id] = sent

    def forget(self, outer_id: str) -> None:
        """Take note that it does not leave after all."""
        self._sent.pop(outer_id, None)

    def acknowledged(self, items: Sequence[Care]) -> None:
        """Take note of what the server has."""
        outer = [one.outer_id for one in items if one.outer_id is not None]
        for one in outer:
            self.forget(one)
        if outer:
            self._desk.cabinet.acknowledged(outer)

    def refused(self, care: Care) -> None:
        """Give back a stanza that could not be sent after all."""
        if care.outer_id is not None:
            self.forget(care.outer_id)
            self._desk.cabinet.settled(sent=[care.outer_id])
        if care.stanza is not None:
            self._back(care.stanza, "resource-constraint", _NOT_TAKEN)

    def lost(self, items: Sequence[Care]) -> tuple[JID, ...]:
        """Give back, or report, what was sent and never acknowledged; return the peers of what methods had made."""
        reports: list[str] = []
        given: list[str] = []
        for care in items:
            noted = None if care.outer_id is None else self._sent.pop(care.outer_id, None)
            if noted is not None:
                self._desk.in_doubt(noted)
                given.append(noted.outer_id)
            if care.stanza is None:
                continue
            if self._ways.client_there:
                self._back(care.stanza, "remote-server-timeout", _NOT_KNOWN)
            else:
                to = noted.to if noted is not None else care.stanza.to or str(self._desk.account)
                reports += leftovers.doubtful(care.stanza, to, self._desk.cabinet.now())
        if reports or given:
            self._desk.cabinet.report(reports, sent=given)
        peers = (prepared(care.stanza.to) for care in items if care.outer_id and care.stanza is not None)
        return tuple({peer: None for peer in peers if peer is not None})

    def _back(self, stanza: Stanza, condition: str, text: str) -> None:
        if stanza.kind == "presence" and stanza.to is None:
            return
        raw = given_back(stanza, condition, text, self._own)
        if raw is not None:
            self._ways.to_client(raw)
