"""What the tests of connecting have in common: an authority, servers that go away again, and refusals."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from tls_servers import Authority, Taker
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from e2eproxy.xmpp.connect import ConnectError, Connector, UpstreamSettings

DOMAIN = "example.test"


class ConnectCase(TestCase):
    timeout = 20

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.authority = Authority(Path(directory.name))
        self.good = self.authority.issue(DOMAIN)

    def listen(self, factory, interface="127.0.0.1"):
        port = reactor.listenTCP(0, getattr(factory, "tls", factory), interface=interface)
        self.addCleanup(port.stopListening)
        return port.getHost().port

    def connector(self, port, **settings):
        settings.setdefault("ca_file", str(self.authority.file))
        settings.setdefault("address", ("127.0.0.1", port))
        return Connector(reactor, UpstreamSettings(**settings), random=Random(1))

    async def use(self, upstream, server):
        """Send something over *upstream*, see the answer, close it, and wait until the server saw that."""
        taker = Taker()
        upstream.hand_over(taker)
        taker.transport.write(b"hello")
        await taker.until(b"[hello]")
        taker.transport.loseConnection()
        await taker.closed()
        await server.gone()
        return taker

    async def refused(self, connecting, server=None):
        """Return the ConnectError, after the server has lost all its connections."""
        try:
            await connecting
        except ConnectError as error:
            if server is not None:
                await server.gone()
            self.assertTrue(error.text.endswith("."), error.text)
            return error
        self.fail("connected, and must not have")
        return None

    def a_moment(self):
        """Let the reactor go on a little: for loops that wait for something, bounded by the case's time."""
        return deferLater(reactor, 0.01)
