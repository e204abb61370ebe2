"""Takes clients in, and sees them all off.

One listener serves any number of ports and clients; what it hands on to a session (connector, limits, pipeline) can
be replaced while it runs and then holds for new clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from e2eproxy.proxy.pipeline import verbatim
from e2eproxy.proxy.redirects import Redirects
from e2eproxy.proxy.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress
    from twisted.internet.protocol import Protocol

    from e2eproxy.proxy.pipeline import Pipeline, Ways
    from e2eproxy.xmpp.connect import Connector

#: Seconds that ``close`` waits for clients to go.
CLOSE_SECONDS: Final = 5.0


class ClientListener(Factory):
    """The factory behind every listening port.

    *reactor*: time. ``max_clients``: how many may be connected; ``max_stanza_bytes``: a client's longest element once
    it is authenticated. ``connector``, ``make_pipeline`` and both limits may be replaced; they hold for new clients.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several interfaces of Twisted's reactor in one object
        connector: Connector,
        *,
        max_clients: int = 1000,
        max_stanza_bytes: int = 2**20,
        make_pipeline: Callable[[Ways], Pipeline] = verbatim,
    ) -> None:
        self._clock = reactor
        self.connector = connector
        self.make_pipeline = make_pipeline
        self.max_clients = max_clients
        self.max_stanza_bytes = max_stanza_bytes
        # Those whose clients are connected, and those that have something to wait for, on either side.
        self._clients: set[Session] = set()
        self._sessions: set[Session] = set()
        self._redirects = Redirects()
        self._number = 0
        self._closing: Deferred[None] | None = None

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: N802, ARG002 - Twisted's
        """Return the protocol of a client that has just connected."""
        self._number += 1
        session = Session(
            self._clock,
            self.connector,
            self.make_pipeline,
            self._redirects,
            max_stanza_bytes=self.max_stanza_bytes,
            number=self._number,
            refusal=self._refusal(),
            on_gone=self._gone,
            on_over=self._over,
        )
        self._clients.add(session)
        self._sessions.add(session)
        return session.client

    def _refusal(self) -> tuple[str, str] | None:
        if self._closing is not None:
            return "system-shutdown", "e2eproxy is shutting down."
        if len(self._clients) < self.max_clients:
            return None
        self._log.warn("a client was refused: {most} are connected (max_clients)", most=self.max_clients)
        return "resource-constraint", f"e2eproxy serves at most {self.max_clients} clients at once."

    def close(self, text: str) -> Deferred[None]:
        """Say ``system-shutdown`` with *text* to every client; fires when all are gone, within about 5 s.

        That is also the time their servers have to say what they have taken.
        """
        if self._closing is not None:
            return self._closing
        closing: Deferred[None] = Deferred()
        self._closing = closing
        for session in list(self._sessions):
            session.end("system-shutdown", text)
        self._look_if_closed()
        return closing

    def _gone(self, session: Session) -> None:
        self._clients.discard(session)
        self._look_if_closed()

    def _over(self, session: Session) -> None:
        self._sessions.discard(session)
        self._look_if_closed()

    def _look_if_closed(self) -> None:
        closing = self._closing
        if closing is not None and not closing.called and not self._clients and not self._sessions:
            closing.callback(None)
