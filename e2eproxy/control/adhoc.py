"""The face for clients with a command menu: ad-hoc commands (XEP-0050) made from the table.

A session is one user's way through the steps of one command; it belongs to the stream that began it, and there are few of
them, for a limited time. What cannot be used is asked again in the same form; a wrong protocol gets the errors of section 4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import define, field
from twisted.logger import Logger

from e2eproxy.control import forms, steps
from e2eproxy.control.api import Asker, address
from e2eproxy.control.chat import told
from e2eproxy.control.lines import Request
from e2eproxy.control.pages import page
from e2eproxy.control.table import COMMANDS
from e2eproxy.control.words import Face
from e2eproxy.errors import LocalError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from e2eproxy.control.answers import Answer, Key, Keys
    from e2eproxy.control.api import Api
    from e2eproxy.control.forms import Form
    from e2eproxy.control.words import Argument, Command
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.tree import Node

COMMANDS_NS: Final = "http://jabber.org/protocol/commands"
COMMAND: Final = COMMANDS_NS + names.SEPARATOR + "command"
#: Seconds that a form may lie open.
OPEN_FOR: Final = 600.0
#: Forms that may lie open for one stream; the oldest goes first.
MOST_OPEN: Final = 8
_ACTIONS: Final = frozenset(("execute", "next", "prev", "complete", "cancel"))

NODES: Final = {one.name: one for one in COMMANDS if steps.in_forms(one)}
"""The commands that have a form, by their node."""


class Wrong(Exception):  # noqa: N818 - what it carries is an answer
    """A request that XEP-0050 has an error for: *condition*, and *detail* in the namespace of commands, which may be empty."""

    def __init__(self, condition: str, detail: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.detail = detail
        self.text = text


@define(kw_only=True)
class _Open:
    """A session: what was said so far, and what is *asked* now, with the *form* as it was sent."""

    identifier: str
    own: JID
    command: Command
    since: float
    contact: str = ""
    values: dict[str, str] = field(factory=dict, repr=False)
    asked: tuple[Argument, ...] = ()
    form: Form | None = None
    second: bool = False


class AdHoc:
    """The sessions of all streams; *now* gives seconds."""

    _log = Logger()

    def __init__(self, api: Api, now: Callable[[], float]) -> None:
        self._api = api
        self._now = now
        self._open: dict[JID, dict[str, _Open]] = {}

    def left(self, own: JID) -> None:
        """Forget the sessions of a stream that has ended."""
        self._open.pop(own, None)

    def execute(self, request: Node, own: JID, reply: Callable[[bytes], None]) -> None:
        """Do what the ``command`` element *request* of the stream *own* says; *reply* gets the element that answers it.

        Raises Wrong.
        """
        node, action = request.attributes.get("node", ""), request.attributes.get("action", "execute")
        command = NODES.get(node)
        if command is None:
            raise Wrong(
                "item-not-found", "", "There is no such command; the list of commands names them all."
            )
        if action not in _ACTIONS:
            raise Wrong("bad-request", "malformed-action", "There is no such action.")
        identifier = request.attributes.get("sessionid")
        if identifier is None:
            self._begin(command, action, own, reply)
            return
        session = self._session(own, identifier, command)
        if action == "cancel":
            self._close(session)
            reply(_command(session, "canceled"))
        elif action == "prev":
            self._back(session, reply)
        else:
            self._forth(session, request, reply)

    def _begin(self, command: Command, action: str, own: JID, reply: Callable[[bytes], None]) -> None:
        if action != "execute":
            raise Wrong("bad-request", "bad-action", "Begin with execute.")
        session = _Open(identifier=uuid4().hex, own=own, command=command, since=self._now())
        form = steps.first(command)
        if form is None:
            self._perform(session, reply)
            return
        mine = self._open.setdefault(own, {})
        while len(mine) >= MOST_OPEN:
            del mine[next(iter(mine))]
        mine[session.identifier] = session
        self._ask_first(session, form, reply)

    def _session(self, own: JID, identifier: str, command: Command) -> _Open:
        session = self._open.get(own, {}).get(identifier)
        if session is None or session.command is not command:
            raise Wrong("bad-request", "bad-sessionid", "There is no such form any more; begin anew.")
        if self._now() - session.since > OPEN_FOR:
            self._close(session)
            raise Wrong("not-allowed", "session-expired", "The form was open for too long; begin anew.")
        return session

    def _close(self, session: _Open) -> None:
        mine = self._open.get(session.own, {})
        mine.pop(session.identifier, None)
        if not mine:
            self._open.pop(session.own, None)

    # -- steps -----------------------------------------------------------------------------------------------------------

    def _ask_first(self, session: _Open, form: Form, reply: Callable[[bytes], None]) -> None:
        session.form, session.asked, session.second = form, steps.simple(session.command), False
        reply(_command(session, "executing", _actions(session), forms.asking(form)))

    def _back(self, session: _Open, reply: Callable[[bytes], None]) -> None:
        form = steps.first(session.command)
        if not session.second or form is None:
            raise Wrong("bad-request", "bad-action", "This is the first step.")
        session.contact, session.values = "", {}
        self._ask_first(session, form, reply)

    def _forth(self, session: _Open, request: Node, reply: Callable[[bytes], None]) -> None:
        given = forms.submitted(request)
        if given is None:
            raise Wrong("bad-request", "bad-payload", "The form that was asked for is missing.")
        try:
            if not session.second:
                contact = steps.whom(session.command, given)
                session.contact = str(address(contact, "a contact").bare) if contact else ""
            session.values |= steps.taken(given, session.asked)
        except LocalError as error:
            self._again(session, str(error), reply)
            return
        later = () if session.second else steps.later(session.command, session.values)
        if not later:
            self._close(session)
            self._perform(session, reply)
        elif steps.needs_keys(later):
            self._ask_key(session, later, reply)
        else:
            self._ask_second(session, later, (), reply)

    def _again(self, session: _Open, why: str, reply: Callable[[bytes], None]) -> None:
        """Ask the same once more: *why* what came cannot be used."""
        asked = b"" if session.form is None else forms.asking(session.form)
        reply(_command(session, "executing", _actions(session), asked, _note("error", why)))

    def _ask_key(self, session: _Open, later: tuple[Argument, ...], reply: Callable[[bytes], None]) -> None:
        keys = Request(command=NODES["keys"], contact=session.contact or None)

        def found(answer: Keys) -> None:
            if not answer.keys:
                self._close(session)
                reply(_command(session, "completed", forms.showing(session.command.name, page(answer))))
                return
            self._ask_second(session, later, answer.keys, reply)

        self._do(keys, session, found, reply)

    def _ask_second(
        self,
        session: _Open,
        later: tuple[Argument, ...],
        keys: tuple[Key, ...],
        reply: Callable[[bytes], None],
    ) -> None:
        form = steps.second(session.command, later, session.values, keys)
        session.form, session.asked, session.second = form, later, True
        reply(_command(session, "executing", _actions(session), forms.asking(form)))

    # -- the end ---------------------------------------------------------------------------------------------------------

    def _perform(self, session: _Open, reply: Callable[[bytes], None]) -> None:
        asked = Request(command=session.command, contact=session.contact or None, values=dict(session.values))

        def done(answer: Answer) -> None:
            reply(_command(session, "completed", forms.showing(session.command.name, page(answer))))

        self._do(asked, session, done, reply)

    def _do(
        self,
        asked: Request,
        session: _Open,
        done: Callable[..., None],
        reply: Callable[[bytes], None],
    ) -> None:
        def failed(failure: Failure) -> None:
            self._close(session)
            reply(_command(session, "completed", _note("error", told(failure))))

        doing = self._api.do(asked, Asker(face=Face.FORM, own=session.own))
        doing.addCallbacks(done, failed)
        doing.addErrback(lambda failure: self._log.failure("this is a bug in e2eproxy", failure))


def _command(session: _Open, status: str, *content: bytes) -> bytes:
    head = {
        "xmlns": COMMANDS_NS,
        "node": session.command.name,
        "sessionid": session.identifier,
        "status": status,
    }
    return element("command", head, b"".join(content))


def _actions(session: _Open) -> bytes:
    if session.second:
        return element("actions", {"execute": "complete"}, b"<prev/><complete/>")
    more = any(one not in steps.simple(session.command) for one in session.command.arguments)
    word = "next" if more else "complete"
    return element("actions", {"execute": word}, f"<{word}/>".encode())


def _note(kind: str, text: str) -> bytes:
    return element("note", {"type": kind}, escape_text(text).encode())
