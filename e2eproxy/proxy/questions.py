"""What the proxy asks the network by IQs of its own, for methods and for itself, and whose answers the client never sees.

Law 6: an answer counts only from whom was asked; everything that is open ends, at the latest when its time is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import frozen

from e2eproxy.methods.events import Outcome
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.stanza import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from e2eproxy.xmpp.stanza import Stanza

#: Questions that may be open at once on one stream.
MOST_QUESTIONS: Final = 1_000


@frozen
class _Question:
    """Whom was asked, what gives up waiting, and who hears of the end."""

    to: JID
    late: IDelayedCall
    done: Callable[[Outcome, Stanza | None], None]


class Questions:
    """The open questions of the stream of *own*; *send* takes whole stanzas to the server."""

    def __init__(self, own: JID, clock: IReactorTime, send: Callable[[bytes], None]) -> None:
        self._own = own
        self._clock = clock
        self._send = send
        #: To be read only: the open ones, by the id they were asked under.
        self.pending: dict[str, _Question] = {}

    def __len__(self) -> int:
        """How many are open."""
        return len(self.pending)

    def ask(
        self,
        to: JID | None,
        kind: Literal["get", "set"],
        payload: bytes,
        timeout: float,
        done: Callable[[Outcome, Stanza | None], None],
    ) -> None:
        """Ask *to* (None: our own account); *done* is called once, after *timeout* seconds at the latest."""
        if len(self.pending) >= MOST_QUESTIONS:
            done(Outcome.TIMEOUT, None)
            return
        identifier = uuid4().hex
        late = self._clock.callLater(timeout, self._late, identifier)
        self.pending[identifier] = _Question(to or self._own.bare, late, done)
        head = {"to": None if to is None else str(to), "type": kind, "id": identifier}
        self._send(build("iq", head, payload))

    def answered(self, stanza: Stanza) -> bool:
        """Whether *stanza*, of the server, answers a question from whom was asked; it is dealt with then."""
        question = self.pending.get(stanza.id or "")
        if question is None or stanza.type not in {"result", "error"}:
            return False
        sender = self._sender(stanza)
        # Our own account and its server answer for each other, as servers do for their users.
        if sender != question.to and not {sender, question.to} <= {self._own.bare, self._own}:
            return False
        del self.pending[stanza.id or ""]
        question.late.cancel()
        question.done(Outcome.RESULT if stanza.type == "result" else Outcome.ERROR, stanza)
        return True

    def _sender(self, stanza: Stanza) -> JID | None:
        try:
            return self._own.bare if stanza.from_ is None else JID.parse(stanza.from_)
        except BadJID:
            return None

    def _late(self, identifier: str) -> None:
        self.pending.pop(identifier).done(Outcome.TIMEOUT, None)

    def close(self) -> None:
        """Forget them all; nobody is called."""
        for question in self.pending.values():
            question.late.cancel()
        self.pending.clear()
