# ruff: noqa: N802 - the methods are named by Twisted
"""Handing a checked connection over: order, pausing both ways, loss in between."""

from __future__ import annotations

from unittest import mock

from connect_case import DOMAIN, ConnectCase
from tls_servers import DirectServer, PlainServer, ScriptedServer, ServerContext, Taker
from twisted.internet import reactor
from twisted.internet.task import deferLater


class HandingOver(ConnectCase):
    async def test_what_came_before_is_delivered_first(self):
        server = DirectServer(ServerContext(self.good), greeting=b"early")
        upstream = await self.connector(self.listen(server), tls="direct").connect(DOMAIN)
        taker = await self.use(upstream, server)
        self.assertEqual(taker.received, b"early[hello]")
        self.assertRaises(RuntimeError, upstream.hand_over, Taker())

    async def test_nothing_is_read_until_then(self):
        server = PlainServer()
        server.greeting = b"x" * 4_000_000
        upstream = await self.connector(self.listen(server), tls="none").connect(DOMAIN)
        await deferLater(reactor, 0.2)
        (talker,) = server.living
        self.assertTrue(
            talker.transport.dataBuffer or talker.transport._tempDataBuffer, "all of it was taken"
        )
        taker = Taker()
        upstream.hand_over(taker)
        taker.transport.write(b"end")
        await taker.until(b"[end]")
        self.assertEqual(len(taker.received), 4_000_000 + len(b"[end]"))
        taker.transport.loseConnection()
        await server.gone()

    async def test_taker_may_pause_at_once(self):
        class Shy(Taker):
            def connectionMade(self):
                self.transport.pauseProducing()

        server = ScriptedServer(ServerContext(self.good))
        upstream = await self.connector(self.listen(server)).connect(DOMAIN)
        taker = Shy()
        upstream.hand_over(taker)
        taker.transport.write(b"hello")
        await deferLater(reactor, 0.1)
        self.assertEqual(taker.received, b"")
        taker.transport.resumeProducing()
        await taker.until(b"[hello]")
        taker.transport.loseConnection()
        await server.gone()

    async def test_writing_is_held_back_by_a_server_that_does_not_read(self):
        server = DirectServer(ServerContext(self.good))
        upstream = await self.connector(self.listen(server), tls="direct").connect(DOMAIN)
        taker = Taker()
        upstream.hand_over(taker)
        (talker,) = server.living
        talker.transport.pauseProducing()
        producer = mock.Mock()
        taker.transport.registerProducer(producer, True)
        for _ in range(200):
            taker.transport.write(b"y" * 65536)
            if producer.pauseProducing.called:
                break
            await deferLater(reactor, 0.01)
        self.assertTrue(producer.pauseProducing.called)
        self.assertFalse(producer.resumeProducing.called)
        talker.dataReceived = lambda _data: None
        talker.transport.resumeProducing()
        while not producer.resumeProducing.called:
            await deferLater(reactor, 0.01)
        taker.transport.unregisterProducer()
        taker.transport.loseConnection()
        await server.gone()

    async def test_connection_lost_before_it_was_taken(self):
        server = ScriptedServer(ServerContext(self.good))
        upstream = await self.connector(self.listen(server)).connect(DOMAIN)
        upstream.abort()
        await server.gone()
        taker = Taker()
        upstream.hand_over(taker)
        await taker.closed()
