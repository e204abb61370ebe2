"""What engines want done beside what becomes of a stanza: to say something of their own, to ask, to tell the user.

Law 1: nothing of this carries what the user wrote (the fence in front of an engine sees to that), and a key for the user's
texts goes to accepted keys only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from twisted.logger import Logger

from e2eproxy.errors import RemoteError
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.proxy import sticky
from e2eproxy.proxy.outer import OF_THE_MOMENT
from e2eproxy.xmpp import names
from e2eproxy.xmpp.reaching import printable
from e2eproxy.xmpp.stanza import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.questions import Questions
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

#: Ids of stanzas that methods emitted that are remembered.
MOST_EMITTED: Final = 5_000
_LONGEST_TOLD: Final = 2_000


class Errands:
    """Those of the stream of *own*. *send* takes stanzas to the server, *tell* notices to the user."""

    _log = Logger()

    def __init__(
        self,
        own: JID,
        questions: Questions,
        send: Callable[[bytes], None],
        tell: Callable[[str, JID | None], None],
    ) -> None:
        self._own = own
        self._questions = questions
        self._send = send
        self._tell = tell
        self._emitted: OrderedDict[str, None] = OrderedDict()

    def emitted(self, identifier: str | None) -> bool:
        """Whether a stanza with that id was a method's own, so that the client knows nothing of it."""
        return identifier in self._emitted

    def do(self, lane: Lane, effect: e.Effect, desk: Desk) -> None:
        """Do one effect of *lane*."""
        match effect:
            case e.Emit():
                self._emit(lane, effect, desk)
            case e.Ask():
                self._ask(lane, effect, desk)
            case e.Consult(token=token, backend=backend):
                why = f"There is no {backend} here."
                lane.tell(events.Consulted(token=token, outcome=events.Outcome.ERROR, why=why))
            case e.SessionChanged():
                desk.session(lane.name, effect)
            case e.ProvedReading(contact=contact):
                desk.remember(contact.bare, sticky.peer_proved(desk.memory(contact)))
            case e.Tell(text=text, contact=contact):
                self._tell(_told(text, contact), contact)
            case _:
                self._log.error(
                    "{method} wanted {what} where it cannot be", method=lane.name, what=type(effect)
                )

    def _emit(self, lane: Lane, emit: e.Emit, desk: Desk) -> None:
        if not self._may_have(lane, desk, emit.to, emit):
            return
        identifier = emit.id or uuid4().hex
        if emit.id is None:
            self._emitted[identifier] = None
            if len(self._emitted) > MOST_EMITTED:
                self._emitted.popitem(last=False)
        head = {"to": str(emit.to), "type": emit.type or None, "id": identifier}
        content = emit.payload + (OF_THE_MOMENT if emit.kind == "message" else b"")
        self._send(build(emit.kind, head, content))

    def _ask(self, lane: Lane, ask: e.Ask, desk: Desk) -> None:
        if not self._may_have(lane, desk, ask.to or self._own.bare, ask):
            lane.tell(events.Answer(own=self._own, token=ask.token, outcome=events.Outcome.ERROR))
            return

        def done(outcome: events.Outcome, stanza: Stanza | None) -> None:
            condition = "" if stanza is None else _condition(stanza)
            lane.tell(
                events.Answer(
                    own=self._own, token=ask.token, outcome=outcome, stanza=stanza, condition=condition
                )
            )

        self._questions.ask(ask.to, ask.type, ask.payload, ask.timeout, done)

    def _may_have(self, lane: Lane, desk: Desk, to: JID, effect: e.Emit | e.Ask) -> bool:
        """Whether policy accepts every key that *effect* gives a key to, which is nearly always none."""
        if all(desk.views[lane.name].usable(to.bare, key) for key in effect.keys):
            return True
        self._log.warn("{method} wanted to give a key away to one that is not accepted", method=lane.name)
        return False


def _told(text: str, contact: JID | None) -> str:
    """Return *text* as a notice that says whom it is about: in one window there are those of many contacts.

    In it may be what a peer wrote, a question for instance: it stays within its line, and writes in one direction.
    """
    line = printable(text, _LONGEST_TOLD)
    return line if contact is None or str(contact.bare) in line else f"{contact.bare}: {line}"


def _condition(stanza: Stanza) -> str:
    """Return the defined condition of an error, empty for a result."""
    try:
        errors = stanza.all(names.CLIENT + names.SEPARATOR + "error")
    except RemoteError:
        return ""
    found = (names.split_name(child.name) for error in errors for child in error.children)
    return next((local for namespace, local in found if namespace == names.STANZA_ERRORS), "")
