"""The metrics on loopback, for a Prometheus that cannot read a Unix socket: GET /metrics and nothing else.

Every user of this machine can read there; so there is nothing in it that is not for all of them (law 8). A page in somebody's
browser is kept out: a request has to name this machine, not a name that somebody lets point to it.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.internet.error import CannotListenError
from twisted.web.resource import Resource

from e2eproxy.control.bounds import BoundedSite
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort
    from twisted.web.iweb import IRequest

    from e2eproxy.control.web import Page

PATH: Final = b"/metrics"
#: Connections at one time.
MOST_CONNECTIONS: Final = 20
_TEXT: Final = "text/plain; charset=utf-8"


class _Page(Resource):
    """Everything that is asked comes here."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, page: Page) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self._page = page

    def render(self, request: IRequest) -> bytes:
        """Answer with the page, or say why not."""
        host: bytes | None = request.getHeader(b"host")  # type: ignore[no-untyped-call] # Twisted's
        if not names_this_machine(host):
            return _said(request, 403, _TEXT, b"Name 127.0.0.1, [::1] or localhost.\n")
        if request.path != PATH:
            return _said(request, 404, _TEXT, b"There is nothing but /metrics.\n")
        if request.method != b"GET":
            request.setHeader(b"allow", b"GET")  # type: ignore[no-untyped-call] # Twisted's
            return _said(request, 405, _TEXT, b"It can be read with GET, and nothing else.\n")
        kind, content = self._page()
        return _said(request, 200, kind, content)


def _said(request: IRequest, status: int, kind: str, content: bytes) -> bytes:
    request.setResponseCode(status)  # type: ignore[no-untyped-call] # Twisted's
    request.setHeader(b"content-type", kind.encode())  # type: ignore[no-untyped-call] # Twisted's
    request.setHeader(b"content-length", b"%d" % len(content))  # type: ignore[no-untyped-call] # Twisted's
    return content


def names_this_machine(host: bytes | None) -> bool:
    """Whether a request's *host* header is this machine's loopback; programs that send none are no browsers."""
    if host is None:
        return True
    name = host.decode("ascii", "replace").lower()
    if name.startswith("["):
        name, _, port = name[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = name.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class _Site(BoundedSite):
    """Serves it."""

    most_connections: ClassVar[int] = MOST_CONNECTIONS
    there_is: ClassVar[str] = "There is nothing but /metrics."


def listen(
    reactor: Any,  # noqa: ANN401 - several interfaces of Twisted's reactor in one object
    host: str,
    port: int,
    backlog: int,
    page: Page,
) -> IListeningPort:
    """Serve *page* at the loopback address *host*, at *port* (0: one that is free). Raises LocalError.

    *backlog*: how many connections may wait to be taken.
    """
    site = _Site(_Page(page), reactor)
    try:
        opened: IListeningPort = reactor.listenTCP(port, site, backlog=backlog, interface=host)
    except CannotListenError as error:
        why = getattr(error.socketError, "strerror", None) or error.socketError
        raise LocalError(
            f"the metrics cannot be served on port {port} of {host}: {why}; name another port with --metrics, or none"
        ) from error
    return opened
