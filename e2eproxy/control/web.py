"""The API as HTTP and JSON, for the command line and other programs of the same user.

    GET  /v1/commands          the table
    POST /v1/commands/NAME     does one command (``json_request``), and answers as ``json_form`` says
    GET  /NAME                 one of the *pages* that were handed in, for instance for monitoring

Whatever is wrong is answered with ``{"error": {"kind": ..., "text": ...}}``, and the text says what to do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from werkzeug.exceptions import MethodNotAllowed, NotFound

from e2eproxy.control import json_request
from e2eproxy.control.api import Asker
from e2eproxy.control.chat import told
from e2eproxy.control.json_form import as_json
from e2eproxy.control.words import Face
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure
    from twisted.web.iweb import IRequest
    from twisted.web.resource import IResource

    from e2eproxy.control.answers import Answer
    from e2eproxy.control.api import Api

    #: Gives a content type and what is shown.
    Page = Callable[[], tuple[str, bytes]]

#: Bytes of a request, but for one with an archive in it.
MOST_BYTES: Final = 64 * 1024
_JSON: Final = "application/json"


class Web:
    """The routes. *pages* by their paths without the slash."""

    app = Klein()
    _log = Logger()

    def __init__(self, api: Api, pages: Mapping[str, Page] | None = None) -> None:
        self._api = api
        self._pages = dict(pages or {})

    def resource(self) -> IResource:
        """What a site serves."""
        return self.app.resource()

    @app.route("/v1/commands", methods=["GET"])
    def commands(self, request: IRequest) -> bytes:
        """Say which commands there are."""
        return _answer(request, 200, {"commands": json_request.table()})

    @app.route("/v1/commands/<name>", methods=["POST"])
    def command(self, request: IRequest, name: str) -> bytes | Deferred[bytes]:
        """Do one command."""
        raw: bytes = request.content.read()
        if len(raw) > MOST_BYTES and name != "import":
            return _error(request, 413, "too-large", f"Send at most {MOST_BYTES} bytes.")
        try:
            asked, more = json_request.read(name, raw)
        except LocalError as error:
            return _error(request, 400, "bad-request", str(error))
        doing = self._api.do(asked, Asker(face=Face.CLI, **more))
        done: Deferred[bytes] = doing.addCallbacks(
            self._done, self._failed, callbackArgs=(request,), errbackArgs=(request,)
        )
        return done

    def _done(self, answer: Answer, request: IRequest) -> bytes:
        return _answer(request, 200, as_json(answer))

    def _failed(self, failure: Failure, request: IRequest) -> bytes:
        if isinstance(failure.value, CancelledError):
            return b""  # nobody is there to read it any more
        known = isinstance(failure.value, LocalError)
        kind = "cannot-be-done" if known else "bug"
        return _error(request, 409 if known else 500, kind, told(failure))

    @app.route("/<name>", methods=["GET"])
    def page(self, request: IRequest, name: str) -> bytes:
        """Show one of the pages."""
        made = self._pages.get(name)
        if made is None:
            return _no_such_path(request)
        kind, content = made()
        request.setHeader(b"content-type", kind.encode())  # type: ignore[no-untyped-call] # Twisted's
        return content

    @app.handle_errors(NotFound)  # type: ignore[arg-type] # Klein's type takes Exception itself only
    def not_found(self, request: IRequest, _failure: Failure) -> bytes:
        """There is nothing at this path."""
        return _no_such_path(request)

    @app.handle_errors(MethodNotAllowed)  # type: ignore[arg-type] # Klein's type takes Exception itself only
    def not_allowed(self, request: IRequest, _failure: Failure) -> bytes:
        """The path is right, the verb is not."""
        return _error(
            request, 405, "method-not-allowed", "Commands are done by POST, all else is read by GET."
        )

    @app.handle_errors(Exception)
    def bug(self, request: IRequest, failure: Failure) -> bytes:
        """Whatever else is raised is our bug."""
        self._log.failure("this is a bug in e2eproxy", failure)
        return _error(request, 500, "bug", "That is a bug in e2eproxy. Its log says more; please report it.")


def _answer(request: IRequest, status: int, value: dict[str, Any]) -> bytes:
    body = json.dumps(value).encode() + b"\n"
    request.setResponseCode(status)  # type: ignore[no-untyped-call] # Twisted's
    request.setHeader(b"content-type", _JSON.encode())  # type: ignore[no-untyped-call] # Twisted's
    request.setHeader(b"content-length", b"%d" % len(body))  # type: ignore[no-untyped-call] # Twisted's
    return body


def _error(request: IRequest, status: int, kind: str, text: str) -> bytes:
    return _answer(request, status, {"error": {"kind": kind, "text": text}})


def _no_such_path(request: IRequest) -> bytes:
    return _error(request, 404, "not-found", "There is nothing here; GET /v1/commands says what there is.")
