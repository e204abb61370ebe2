"""HTTP within bounds: what one request may have is limited, and so is how many connections there are.

Whoever is refused is told so before anything of the request is looked at. Stanzas come first: of all that is said at once, one
piece is looked at in each turn of the reactor, so that a hundred who ask make a stanza wait for one of them, not for all.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import frozen
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

#: Seconds after which a connection that says nothing is closed.
IDLE_SECONDS: Final = 60


@frozen
class No:
    """Why a connection or request is refused: a *status* line of HTTP, and a *kind* and *text* (without quotes) of ours."""

    status: str
    kind: str
    text: str


class Turns:
    """Does one thing in each turn of *clock*'s reactor, in the order they came."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, do: Callable[[], None]) -> None:
        """Have *do* called when it is its turn."""
        self._waiting.append(do)
        if len(self._waiting) == 1:
            self._clock.callLater(0, self._next)

    def _next(self) -> None:
        try:
            self._waiting[0]()
        finally:
            self._waiting.popleft()
            if self._waiting:
                self._clock.callLater(0, self._next)


class BoundedRequest(Request):
    """A request whose body is bounded whatever its header says; its site says by how much."""

    _taken = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Refuse what says that it is too long."""
        if length is not None and length > self.channel.factory.most_body:
            self._too_large()
        super().gotLength(0 if self._refused else length)  # type: ignore[no-untyped-call] # Twisted's

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Refuse what is too long without having said so."""
        self._taken += len(data)
        if not self._refused and self._taken > self.channel.factory.most_body:
            self._too_large()
        if not self._refused:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call] # Twisted's

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 - Twisted's name
        """Do nothing with what was refused, nor with a path that is spelled as none of ours is."""
        if b"%" in path or not path.isascii():
            self._refuse(No("404 Not Found", "not-found", self.channel.factory.there_is))
        if not self._refused:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call] # Twisted's

    def _too_large(self) -> None:
        most = self.channel.factory.most_body
        self._refuse(No("413 Content Too Large", "too-large", f"Send at most {most} bytes."))

    def _refuse(self, why: No) -> None:
        if not self._refused:
            self._refused = True
            say_no(self.channel, why)


class BoundedChannel(HTTPChannel):
    """A connection, unless its site refuses it."""

    transport: Any  # Twisted's interface of transports does not say that reading can be paused
    _refused = False
    _counted = False
    _log = Logger()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Ask the site."""
        why = self.factory.refusal(self.transport)
        if why is not None:
            self._refused = True
            say_no(self, why)
        else:
            self.factory.open += 1
            self._counted = True
            super().connectionMade()  # type: ignore[no-untyped-call] # Twisted's

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Read no further until it is the turn of *data*, unless it was refused."""
        if not self._refused:
            self.transport.pauseProducing()
            self.factory.turns.add(partial(self._look_at, data))

    def _look_at(self, data: bytes) -> None:
        if not self._counted:
            return  # it has ended meanwhile
        # Before, since what is in there may be a reason to read no further.
        self.transport.resumeProducing()
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call] # Twisted's
        except Exception:  # noqa: BLE001 - as the reactor does with whatever reading raises
            self._log.failure("this is a bug in e2eproxy")
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Count it no more."""
        if self._counted:
            self.factory.open -= 1
            self._counted = False
            super().connectionLost(reason)  # type: ignore[no-untyped-call] # Twisted's


class BoundedSite(Site):
    """Serves at most so many connections; *open*: how many there are. What is asked is nobody's to log (law 8).

    ``most_body``: bytes of a request's body; ``there_is``: what whoever asked for something else is told.
    """

    protocol = BoundedChannel  # type: ignore[assignment] # HTTP/2 is nothing for this machine alone
    requestFactory = BoundedRequest  # noqa: N815 - Twisted's name
    noisy = False
    open = 0
    most_body: ClassVar[int] = 0
    most_connections: ClassVar[int] = 1
    there_is: ClassVar[str] = "There is nothing here."

    def __init__(self, resource: IResource, reactor: Any) -> None:  # noqa: ANN401 - several of its interfaces in one object
        super().__init__(resource, timeout=IDLE_SECONDS, reactor=reactor)  # type: ignore[no-untyped-call] # Twisted's
        self.turns = Turns(reactor)

    def refusal(self, transport: Any) -> No | None:  # noqa: ANN401, ARG002 - Twisted's, without types; for those below
        """Return why a new connection over *transport* is refused, None if it is not."""
        if self.open < self.most_connections:
            return None
        return No("503 Service Unavailable", "busy", "There are too many connections; try again in a moment.")

    def log(self, request: object) -> None:
        """Log nothing."""


def say_no(channel: Any, why: No) -> None:  # noqa: ANN401 - Twisted's, without types
    """Answer for a request that is not read any further, and close."""
    body = f'{{"error": {{"kind": "{why.kind}", "text": "{why.text}"}}}}\n'
    head = f"HTTP/1.1 {why.status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    channel.transport.write(f"{head}\r\n{body}".encode())
    channel.transport.loseConnection()
