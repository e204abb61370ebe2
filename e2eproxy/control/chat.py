"""The chat's face: what a user says to the proxy, and the lines he says to it in the chat with somebody.

A line that is not understood is answered, and never sent to anybody; no text of it is repeated (law 8). A bot that answers
every message would have the proxy's contact as its partner for ever, so after a few such lines nothing more is said. In a group chat
nothing is done: whoever reads along there would see no answer, and the user might think that all did it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from e2eproxy.control.api import Asker
from e2eproxy.control.lines import Misused, from_chat
from e2eproxy.control.pages import page, plain
from e2eproxy.control.words import Face
from e2eproxy.errors import LocalError
from e2eproxy.proxy.allowed_children import BODY
from e2eproxy.proxy.classify import command

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from e2eproxy.control.answers import Answer
    from e2eproxy.control.api import Api
    from e2eproxy.proxy.steering import Speaker
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

_NOT_IN_ROOMS = (
    "Commands are not taken in group chats; nothing was sent to anybody. Say it to this contact, or in the chat with one "
    "person. To send a line that begins with /e2e as text, write //e2e."
)

MOST_IN_VAIN: Final = 5
"""So many lines to the proxy that are no commands are answered in a row: two programs could go on for ever."""
_NO_MORE = " That was the last answer to a line that is no command, until one is."


class Chat:
    """The lines of all streams."""

    _log = Logger()

    def __init__(self, api: Api) -> None:
        self._api = api
        self._in_vain: dict[JID, int] = {}

    def take(self, message: Stanza, contact: JID | None, by: Speaker) -> None:
        """Do what *message* says in the chat with *contact*, None for the proxy itself."""
        body = message.child(BODY)
        text = command(message.tree) or ("" if body is None else body.text)
        if not text.strip() or message.type == "error":
            return
        if message.type == "groupchat":
            by.answer(_NOT_IN_ROOMS)
            return
        try:
            request = from_chat(text, None if contact is None else str(contact))
        except Misused as misused:
            self._misused(misused, contact, by)
            return
        self._in_vain.pop(by.own, None)
        doing = self._api.do(request, Asker(face=Face.CHAT, own=by.own))
        doing.addCallbacks(self._done, self._failed, callbackArgs=(by,), errbackArgs=(by, request.command))
        doing.addErrback(lambda failure: self._log.failure("this is a bug in e2eproxy", failure))

    def _misused(self, misused: Misused, contact: JID | None, by: Speaker) -> None:
        """Say what is wrong; not for ever to a program that answers whoever writes to it."""
        if contact is not None:
            by.answer(misused.told(Face.CHAT))
            return
        times = self._in_vain[by.own] = self._in_vain.get(by.own, 0) + 1
        if times <= MOST_IN_VAIN:
            by.answer(misused.told(Face.CHAT) + (_NO_MORE if times == MOST_IN_VAIN else ""))

    def left(self, own: JID) -> None:
        """Forget what the stream of *own* said in vain."""
        self._in_vain.pop(own, None)

    def _done(self, answer: Answer, by: Speaker) -> None:
        by.answer(plain(page(answer)))

    def _failed(self, failure: Failure, by: Speaker, _command: object) -> None:
        by.answer(told(failure))


def told(failure: Failure) -> str:
    """What the user of a face is told of a *failure*; one that is no LocalError is our bug, and goes to the log."""
    error = failure.value
    if isinstance(error, LocalError):
        text = str(error)
        return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")
    Chat._log.failure("this is a bug in e2eproxy", failure)  # noqa: SLF001 - of the same module
    return "Nothing was changed: that is a bug in e2eproxy. Its log says more; please report it."
