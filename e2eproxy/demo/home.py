"""One person's machine in the demo: a legacy client, and a real proxy with its store between it and the server.

The proxy is the daemon's own from the listener to the store: sessions, guards, policy, method, trust, sealed on disk. Only
sockets, time and the store's thread are others: bytes go by cables in memory, and what is written is durable at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from e2eproxy.control.assembly import Control
from e2eproxy.demo.client import Client
from e2eproxy.errors import LocalError
from e2eproxy.proxy.guards import Guards
from e2eproxy.proxy.listener import ClientListener
from e2eproxy.proxy.rules import METHODS, WHEN, WHOM
from e2eproxy.proxy.stored_rules import StoredRules
from e2eproxy.trust.key_sources import KeyFile
from e2eproxy.trust.store import open_store
from e2eproxy.trust.writer import Writer
from e2eproxy.xmpp.connect import Connector
from e2eproxy.xmpp.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IProtocol

    from e2eproxy.demo.server import Server
    from e2eproxy.demo.wire import End, Wires
    from e2eproxy.methods.door import Method
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.guard import Guard
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.trust.values import PeerKey
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

T = TypeVar("T")

#: What holds for both: nothing that they write may leave in clear.
POLICY: Final = {WHEN: "require", WHOM: "tofu"}


def _now(function: Callable[[], T]) -> Deferred[T]:
    """Call a slow function here: nobody else has to wait for it."""
    return maybeDeferred(function)


class AtOnce:
    """The store's thread and the way back from it: neither takes any time."""

    def callInThread(self, func: Callable[[], object]) -> object:  # noqa: N802 - Twisted's name
        """Run *func* now."""
        return func()

    def back(self, func: Callable[..., object], *arguments: object) -> object:
        """Run *func* now."""
        return func(*arguments)


class CableUpstream(Upstream):
    """A server at the other end of a cable in memory."""

    def __init__(self, end: End, domain: str) -> None:
        self._end = end
        self.transport = end
        self.domain = domain
        self.secure = False
        self.description = "a cable in memory"

    def hand_over(self, protocol: IProtocol) -> None:
        """Give the cable to *protocol*."""
        self._end.attach(protocol)

    def abort(self) -> None:
        """Pull it out."""
        self._end.abortConnection()


class CableConnector(Connector):
    """Reaches the embedded server and no other: no name is looked up."""

    def __init__(self, wires: Wires, server: Server) -> None:
        self._wires = wires
        self._server = server

    def connect(self, domain: str, redirect: tuple[str, int] | None = None) -> Deferred[Upstream]:  # noqa: ARG002
        """Plug a new cable in."""
        ours, theirs = self._wires.connection()
        theirs.attach(self._server.connection())
        return succeed(CableUpstream(ours, domain))


class Home:
    """The machine of the full JID *jid*. *folder*: an empty place for its store; *shown*: each message its client gets."""

    def __init__(
        self,
        wires: Wires,
        server: Server,
        jid: JID,
        password: str,
        *,
        method: Method,
        folder: Path,
        random: Callable[[int], bytes],
        shown: Callable[[Stanza], None],
    ) -> None:
        self._wires = wires
        self.jid = jid
        self._method = method.traits.name
        self._guard: Guard | None = None
        clock = wires.clock
        thread = AtOnce()
        folder.mkdir()
        self._writer = Writer(open_store(folder, KeyFile(folder / "store.key")), thread, thread.back)
        self._writer.start()
        rules = StoredRules(self._writer.book, {**POLICY, METHODS: self._method})
        control = Control(
            version="demo",
            wall=clock.seconds,
            random=random,
            in_thread=_now,
            clients=lambda: 1,
        )
        self._guards = Guards(
            clock,
            self._writer,
            rules,
            [method],
            wall=clock.seconds,
            random=random,
            in_thread=_now,
            steering=control.steering,
        )
        self._listener = ClientListener(clock, CableConnector(wires, server), make_pipeline=self._made)
        self.client = Client(jid, password, method.traits.features, shown)

    def _made(self, ways: Ways) -> Guard:
        self._guard = guard = self._guards(ways)
        return guard

    def log_in(self) -> None:
        """Connect the client with the proxy. Raises LocalError if that does not end in a login."""
        ours, theirs = self._wires.connection()
        theirs.attach(self._listener.buildProtocol(None))
        ours.attach(self.client)
        self._wires.run()
        if not self.client.online:
            raise LocalError(f"{self.jid} did not get through to the demo's own server")

    @property
    def _desk(self) -> Desk:
        desk = None if self._guard is None else self._guard.desk
        if desk is None:
            raise LocalError(f"{self.jid} is not logged in at the demo's own server")
        return desk

    def keys(self, contact: JID) -> tuple[PeerKey, ...]:
        """Return the keys of the bare JID *contact*, or of our own account, that the store has."""
        return self._desk.cabinet.keys(contact)

    def close(self) -> None:
        """Log out, and close the store."""
        self.client.leave()
        self._wires.run()
        self._guards.stop()
        self._writer.stop()
