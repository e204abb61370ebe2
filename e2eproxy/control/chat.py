"""The chat's face: what a user says to the proxy, and the lines he says to it in the chat with somebody.

A line that is not understood is answered, and never sent to anybody; no text of it is repeated (law 8). In a group chat
nothing is done: whoever reads along there would see no answer, and the user might think that all did it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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


class Chat:
    """The lines of all streams."""

    _log = Logger()

    def __init__(self, api: Api) -> None:
        self._api = api

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
            by.answer(misused.told(Face.CHAT))
            return
        doing = self._api.do(request, Asker(face=Face.CHAT, own=by.own))
        doing.addCallbacks(self._done, self._failed, callbackArgs=(by,), errbackArgs=(by, request.command))
        doing.addErrback(lambda failure: self._log.failure("this is a bug in e2eproxy", failure))

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
