"""Connecting to real servers on loopback: STARTTLS and its refusals, redirects, addresses, time, no socket left."""

# ruff: noqa: N802 - the methods are named by Twisted

from __future__ import annotations

import socket

from connect_case import DOMAIN, ConnectCase
from tls_servers import (
    HEADER,
    OFFER,
    PROCEED,
    DirectServer,
    PlainServer,
    ScriptedServer,
    ServerContext,
    SilentServer,
)
from twisted.internet import defer, protocol, reactor
from twisted.internet.task import deferLater

from e2eproxy.xmpp import connect as connect_module


class GoodServers(ConnectCase):
    async def test_starttls(self):
        context = ServerContext(self.good)
        server = ScriptedServer(context)
        port = self.listen(server)
        upstream = await self.connector(port).connect("Example.Test.")
        self.assertEqual((upstream.domain, upstream.secure), (DOMAIN, True))
        self.assertEqual(upstream.description, f"starttls to 127.0.0.1:{port}, TLSv1.3")
        await self.use(upstream, server)
        self.assertEqual(context.seen, [(DOMAIN.encode(), [])])
        self.assertNotIn(b"from=", server.received)
        self.assertIn(b"to=\"example.test\" version='1.0'", server.received)

    async def test_starttls_one_byte_at_a_time(self):
        server = ScriptedServer(ServerContext(self.good), piecewise=True)
        await self.use(await self.connector(self.listen(server)).connect(DOMAIN), server)

    async def test_direct_tls(self):
        context = ServerContext(self.good)
        server = DirectServer(context)
        port = self.listen(server)
        upstream = await self.connector(port, tls="direct").connect(DOMAIN)
        self.assertEqual(upstream.description, f"direct TLS to 127.0.0.1:{port}, TLSv1.3")
        await self.use(upstream, server)
        self.assertEqual(context.seen, [(DOMAIN.encode(), [b"xmpp-client"])])

    async def test_plain_to_loopback(self):
        server = PlainServer()
        upstream = await self.connector(self.listen(server), tls="none").connect(DOMAIN)
        self.assertFalse(upstream.secure)
        await self.use(upstream, server)

    async def test_redirect_is_verified_for_the_domain(self):
        first, second = SilentServer(), ScriptedServer(ServerContext(self.good))
        connector = self.connector(self.listen(first))
        port = self.listen(second)
        await self.use(await connector.connect(DOMAIN, redirect=("127.0.0.1", port)), second)
        self.assertEqual(first.made, 0)

    async def test_redirect_to_a_host_with_its_own_certificate(self):
        server = ScriptedServer(ServerContext(self.authority.issue("localhost", ips=["127.0.0.1"])))
        connector = self.connector(1)
        error = await self.refused(
            connector.connect(DOMAIN, redirect=("127.0.0.1", self.listen(server))), server
        )
        self.assertIn(f"is for localhost, 127.0.0.1, not for {DOMAIN}.", error.text)

    async def test_the_other_address_family_is_dead(self):
        server = ScriptedServer(ServerContext(self.good))
        port = self.listen(server)
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", port))
            except OSError as reason:
                self.skipTest(f"this machine has no IPv6 loopback: {reason}")
        connector = self.connector(port, address=("localhost", port))
        await self.use(await connector.connect(DOMAIN), server)


class BadStartTLS(ConnectCase):
    async def refuse(self, **script):
        context = ServerContext(self.good) if script.pop("tls", False) else None
        server = ScriptedServer(context, **script)
        error = await self.refused(self.connector(self.listen(server)).connect(DOMAIN), server)
        self.assertEqual(server.made, 1)
        self.assertNotIn(b"hello", server.received)
        return error

    async def test_not_offered(self):
        error = await self.refuse(features=b"<stream:features><mechanisms xmlns='x'/></stream:features>")
        self.assertEqual((error.condition, error.final), ("policy-violation", True))
        self.assertIn("no STARTTLS", error.text)

    async def test_offered_under_a_wrong_namespace(self):
        error = await self.refuse(
            features=b"<stream:features><starttls xmlns='jabber:client'/></stream:features>"
        )
        self.assertIn("no STARTTLS", error.text)

    async def test_server_older_than_xmpp(self):
        header = HEADER.replace(b"version='1.0' ", b"")
        self.assertIn("no STARTTLS", (await self.refuse(header=header, features=b"")).text)

    async def test_failure_instead_of_proceed(self):
        failure = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
        error = await self.refuse(proceed=failure)
        self.assertEqual((error.condition, error.final), ("policy-violation", True))

    async def test_bytes_in_the_clear_behind_proceed(self):
        for more in (b" ", b"\n", b"<", b"x", b"<a/>", HEADER, b"\x16\x03\x01"):
            error = await self.refuse(proceed=PROCEED + more, tls=True)
            self.assertEqual((error.condition, error.final), ("policy-violation", True), more)
            self.assertIn("in the clear", error.text)

    async def test_proceed_before_it_was_asked_for(self):
        error = await self.refuse(features=OFFER + PROCEED)
        self.assertIn("<proceed/>", error.text)

    async def test_garbage(self):
        error = await self.refuse(header=b"SSH-2.0-OpenSSH_9.2\r\n", features=b"")
        self.assertEqual(error.condition, "remote-connection-failed")
        self.assertIn("no XMPP server", error.text)

    async def test_endless(self):
        for flood in (b"<a>" + b"x" * 70_000, b"<b/>" * 20_000, b" " * 70_000, b"<c " + b"d='e' " * 12_000):
            error = await self.refuse(features=flood)
            self.assertEqual(error.condition, "remote-connection-failed", flood[:4])

    async def test_stream_error_is_passed_on(self):
        error = await self.refuse(
            features=b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>No\x7f such\nhost</text></stream:error>"
        )
        self.assertEqual((error.condition, error.final), ("host-unknown", True))
        self.assertIn("host-unknown: No such host.", error.text)

    async def test_passing_stream_error(self):
        error = await self.refuse(
            features=b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        )
        self.assertEqual((error.condition, error.final), ("system-shutdown", False))

    async def test_other_host_before_tls(self):
        error = await self.refuse(
            features=b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>evil.test"
            b"</see-other-host></stream:error>"
        )
        self.assertEqual((error.condition, error.final), ("policy-violation", True))
        self.assertNotIn("evil", error.text)

    async def test_server_hangs_up(self):
        class HangUp(protocol.Protocol):
            def connectionMade(self):
                self.transport.loseConnection()

        error = await self.refused(
            self.connector(self.listen(protocol.Factory.forProtocol(HangUp))).connect(DOMAIN)
        )
        self.assertIn("closed the connection before TLS began", error.text)

    async def test_server_hangs_up_in_the_handshake(self):
        server = ScriptedServer(None)
        connecting = self.connector(self.listen(server)).connect(DOMAIN)
        while b"starttls" not in server.received:
            await deferLater(reactor, 0.01)
        for talker in server.living:
            talker.transport.loseConnection()
        error = await self.refused(connecting, server)
        self.assertEqual(error.condition, "remote-connection-failed")


class Addresses(ConnectCase):
    def closed_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    async def test_refused(self):
        port = self.closed_port()
        error = await self.refused(self.connector(port).connect(DOMAIN))
        self.assertEqual(error.condition, "remote-connection-failed")
        self.assertEqual(
            error.text,
            f"The server of {DOMAIN} could not be reached. Tried 127.0.0.1:{port}: connection refused."
            " Is this machine online, and the server up? Another address of it is set with --upstream.",
        )

    async def test_silence_ends_in_time(self):
        self.patch(connect_module, "SECURE_SECONDS", 0.2)
        server = SilentServer()
        error = await self.refused(self.connector(self.listen(server)).connect(DOMAIN), server)
        self.assertIn("no TLS connection within", error.text)

    async def test_silent_direct_tls_ends_in_time(self):
        self.patch(connect_module, "SECURE_SECONDS", 0.2)
        server = SilentServer()
        await self.refused(self.connector(self.listen(server), tls="direct").connect(DOMAIN), server)

    async def test_whole_time_is_bounded(self):
        self.patch(connect_module, "WHOLE_SECONDS", 0.2)
        server = SilentServer()
        error = await self.refused(self.connector(self.listen(server)).connect(DOMAIN), server)
        self.assertIn("could not be reached within", error.text)

    async def test_no_domain(self):
        for text in ("", "a b", "-x", "1.2.3", "example..test", "x" * 2000):
            self.assertEqual((await self.refused(self.connector(1).connect(text))).condition, "host-unknown")

    async def test_without_tls_only_to_this_machine(self):
        for settings in ({"address": ("192.0.2.1", 5222)}, {"address": None}):
            error = await self.refused(self.connector(1, tls="none", **settings).connect(DOMAIN))
            self.assertEqual((error.condition, error.final), ("policy-violation", True))
            self.assertIn("TLS is switched off", error.text)

    async def test_without_tls_a_redirect_is_not_followed(self):
        error = await self.refused(self.connector(1, tls="none").connect(DOMAIN, redirect=("127.0.0.1", 1)))
        self.assertEqual(error.condition, "policy-violation")

    async def test_redirect_to_nonsense(self):
        for target in (("a b", 5222), ("", 1), ("example.test", 0), ("example.test", 70000)):
            error = await self.refused(self.connector(1).connect(DOMAIN, redirect=target))
            self.assertEqual(error.condition, "policy-violation")

    async def test_cancelled_everywhere(self):
        """Cancel after the first, second, ... step of the reactor: always CancelledError, never a socket left."""
        server = ScriptedServer(ServerContext(self.good), piecewise=True)
        connector = self.connector(self.listen(server))
        steps = 0
        while (
            steps < 60 or not server.made
        ):  # names are looked up in a thread, which may have to wait for a processor
            connecting = connector.connect(DOMAIN)
            for _ in range(steps):
                await deferLater(reactor, 0)
            if connecting.called:
                (await connecting).abort()
            else:
                connecting.cancel()
                try:
                    await connecting
                except defer.CancelledError:
                    pass
                else:
                    self.fail("not cancelled")
            await server.gone()
            steps += max(3, steps // 20)

    async def test_cancelled_while_it_is_silent(self):
        server = SilentServer()
        connecting = self.connector(self.listen(server)).connect(DOMAIN)
        while not server.living:
            await deferLater(reactor, 0.01)
        connecting.cancel()
        await self.assertFailure(connecting, defer.CancelledError)
        await server.gone()
