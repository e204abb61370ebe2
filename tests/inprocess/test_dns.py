# ruff: noqa: N802 - the methods are named by Twisted
"""From SRV records in a real name server to a checked connection: one whole way, on loopback."""

from __future__ import annotations

from connect_case import DOMAIN, ConnectCase
from tls_servers import DirectServer, ScriptedServer, ServerContext
from twisted.internet import reactor
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory

from e2eproxy.xmpp.connect import Connector, UpstreamSettings
from e2eproxy.xmpp.srv import SystemResolver


class NameServer(DNSServerFactory):
    noisy = False
    met_over_tcp = 0

    def connectionMade(self, protocol):
        self.met_over_tcp += 1
        super().connectionMade(protocol)


class ShortDatagrams(dns.DNSDatagramProtocol):
    """Cuts answers off at 512 bytes and says so, as a name server does (RFC 1035 section 4.2.1)."""

    def writeMessage(self, message, address):
        message.maxSize = 512
        super().writeMessage(message, address)


class RealDNS(ConnectCase):
    """A real name server on loopback, asked over UDP, and over TCP when its answer is long."""

    def dns(self, *records):
        class Zone(FileAuthority):
            def loadFile(self, _filename):
                self.soa = (b"example.test", dns.Record_SOA(b"ns.example.test", b"root.example.test", 1))
                self.records = {b"example.test": [self.soa[1]]}
                for name, record in records:
                    self.records.setdefault(name, []).append(record)

        self.server = factory = NameServer(authorities=[Zone("")])
        over_tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(over_tcp.stopListening)
        port = over_tcp.getHost().port
        over_udp = reactor.listenUDP(port, ShortDatagrams(factory), interface="127.0.0.1")
        self.addCleanup(over_udp.stopListening)
        # The resolver of the real program, but for the port.
        self.patch(dns, "PORT", port)
        return SystemResolver(reactor, lambda: "search test\nnameserver 127.0.0.1\n")

    async def test_srv_leads_to_the_server(self):
        direct, starttls = DirectServer(ServerContext(self.good)), ScriptedServer(ServerContext(self.good))
        resolver = self.dns(
            (b"_xmpp-client._tcp.example.test", dns.Record_SRV(5, 0, self.listen(starttls), b"localhost")),
            (b"_xmpps-client._tcp.example.test", dns.Record_SRV(1, 0, self.listen(direct), b"localhost")),
        )
        settings = UpstreamSettings(ca_file=str(self.authority.file))
        upstream = await Connector(reactor, settings, resolver=resolver).connect(DOMAIN)
        self.assertIn("direct TLS to localhost:", upstream.description)
        await self.use(upstream, direct)
        settings = UpstreamSettings(ca_file=str(self.authority.file), tls="starttls")
        upstream = await Connector(reactor, settings, resolver=resolver).connect(DOMAIN)
        self.assertIn("starttls to localhost:", upstream.description)
        await self.use(upstream, starttls)

    async def test_next_record_if_one_is_dead(self):
        server = ScriptedServer(ServerContext(self.good))
        resolver = self.dns(
            (b"_xmpp-client._tcp.example.test", dns.Record_SRV(1, 0, 1, b"localhost")),
            (b"_xmpp-client._tcp.example.test", dns.Record_SRV(2, 0, self.listen(server), b"localhost")),
        )
        settings = UpstreamSettings(ca_file=str(self.authority.file))
        upstream = await Connector(reactor, settings, resolver=resolver).connect(DOMAIN)
        await self.use(upstream, server)

    async def test_no_next_record_if_a_certificate_is_wrong(self):
        wrong = DirectServer(ServerContext(self.authority.issue("other.test")))
        good = ScriptedServer(ServerContext(self.good))
        resolver = self.dns(
            (b"_xmpps-client._tcp.example.test", dns.Record_SRV(1, 0, self.listen(wrong), b"localhost")),
            (b"_xmpp-client._tcp.example.test", dns.Record_SRV(2, 0, self.listen(good), b"localhost")),
        )
        settings = UpstreamSettings(ca_file=str(self.authority.file))
        error = await self.refused(Connector(reactor, settings, resolver=resolver).connect(DOMAIN), wrong)
        self.assertIn("is for other.test, not for example.test", error.text)
        self.assertEqual(good.made, 0)

    async def test_not_offered(self):
        resolver = self.dns((b"_xmpp-client._tcp.example.test", dns.Record_SRV(0, 0, 0, b".")))
        error = await self.refused(Connector(reactor, UpstreamSettings(), resolver=resolver).connect(DOMAIN))
        self.assertEqual((error.condition, error.final), ("host-unknown", True))

    async def test_an_answer_too_long_for_udp(self):
        server = ScriptedServer(ServerContext(self.good))
        many = (
            (b"_xmpp-client._tcp.example.test", dns.Record_SRV(9, 0, 1, b"host-%d.example.test" % number))
            for number in range(40)
        )
        resolver = self.dns(
            *many,
            (b"_xmpp-client._tcp.example.test", dns.Record_SRV(1, 0, self.listen(server), b"localhost")),
        )
        settings = UpstreamSettings(ca_file=str(self.authority.file))
        upstream = await Connector(reactor, settings, resolver=resolver).connect(DOMAIN)
        await self.use(upstream, server)
        self.assertEqual(self.server.met_over_tcp, 1)
        while self.server.connections:
            await self.a_moment()
