"""Which certificates are accepted, and what a refusal says: real handshakes on loopback, both ways into TLS."""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

from connect_case import DOMAIN, ConnectCase
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from tls_servers import DAY, PROCEED, Authority, DirectServer, ScriptedServer, ServerContext
from twisted.internet import reactor
from twisted.internet.testing import StringTransport
from twisted.internet.utils import getProcessOutputAndValue

from e2eproxy.errors import LocalError
from e2eproxy.xmpp.connect import Connector, UpstreamSettings


class Accepted(ConnectCase):
    async def accept(self, identity, domain=DOMAIN, **settings):
        for kind, make in (("starttls", ScriptedServer), ("direct", DirectServer)):
            context = ServerContext(identity)
            server = make(context)
            upstream = await self.connector(self.listen(server), tls=kind, **settings).connect(domain)
            await self.use(upstream, server)
        return context.seen[-1][0] if context.seen else None

    async def test_name(self):
        self.assertEqual(await self.accept(self.good), b"example.test")

    async def test_one_of_many_names(self):
        await self.accept(self.authority.issue("a.test", "b.test", "EXAMPLE.test"))

    async def test_wildcard(self):
        await self.accept(self.authority.issue("*.example.test"), domain="chat.example.test")

    async def test_srv_names(self):
        for service in ("_xmpp-client", "_xmpps-client"):
            await self.accept(self.authority.issue(srv=[f"{service}.example.test"]))

    async def test_internationalised_name(self):
        identity = self.authority.issue("xn--bcher-kva.test")
        seen = await self.accept(identity, domain="B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test")
        self.assertEqual(seen, b"xn--bcher-kva.test")

    async def test_address(self):
        for domain, ip in (("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")):
            seen = await self.accept(self.authority.issue(ips=[ip]), domain=domain)
            self.assertIsNone(seen, "an address must not be sent as server name")

    async def test_malformed_names_beside_a_good_one(self):
        await self.accept(self.authority.issue("*", "a.*.test", "example.test"))

    async def test_pin_on_top(self):
        await self.accept(self.good, pins=(bytes(32), self.good.pin))

    async def test_pin_only(self):
        for identity in (
            self.authority.issue("other.test", self_signed=True),
            self.authority.issue(DOMAIN, end=-DAY / 2),
            self.authority.issue(),
        ):
            await self.accept(identity, pins=(identity.pin,), pin_only=True, ca_file=None)

    async def test_old_tls_12(self):
        server = DirectServer(ServerContext(self.good, newest=SSL.TLS1_2_VERSION))
        upstream = await self.connector(self.listen(server), tls="direct").connect(DOMAIN)
        self.assertTrue(upstream.description.endswith("TLSv1.2"), upstream.description)
        await self.use(upstream, server)

    async def test_system_authorities(self):
        """Without a CA file OpenSSL's own places count; SSL_CERT_FILE names one."""
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(self.authority.file)}):
            await self.accept(self.good, ca_file=None)


class Refused(ConnectCase):
    async def refuse(self, identity, domain=DOMAIN, **settings):
        """Return the text of the refusal, the same over both kinds."""
        texts = []
        for kind, make in (("starttls", ScriptedServer), ("direct", DirectServer)):
            server = make(ServerContext(identity))
            connecting = self.connector(self.listen(server), tls=kind, **settings).connect(domain)
            error = await self.refused(connecting, server)
            self.assertEqual((error.condition, error.final, server.made), ("policy-violation", True, 1))
            place, _, text = error.text.partition(". ")
            self.assertIn(f"Not connected to {domain} at 127.0.0.1:", place)
            texts.append(text)
        self.assertEqual(texts[0], texts[1])
        return texts[0]

    async def test_wrong_name(self):
        wrong = self.authority.issue(
            "a.test", "*.b.test", srv=["_xmpp-server.example.test"], ips=["192.0.2.1"]
        )
        text = await self.refuse(wrong)
        self.assertIn(
            "certificate is for a.test, *.b.test, 192.0.2.1, _xmpp-server.example.test, not for example.test.",
            text,
        )
        self.assertIn(f"--pin-only --pin {wrong.pin.hex()}", text)

    async def test_many_names(self):
        text = await self.refuse(self.authority.issue(*(f"host-{n}.test" for n in range(40))))
        self.assertIn("host-4.test and 35 more, not for", text)
        self.assertLess(len(text), 500)

    async def test_hostile_names(self):
        text = await self.refuse(self.authority.issue("evil\r\n\x1b[31m<x/>\x00.test" + "y" * 300))
        self.assertTrue(text.isprintable(), text)
        self.assertLess(len(text), 500)

    async def test_wildcard_covers_one_level(self):
        for domain in ("example.test", "a.b.example.test"):
            self.assertIn("not for", await self.refuse(self.authority.issue("*.example.test"), domain=domain))

    async def test_no_name(self):
        self.assertIn("is for no name at all", await self.refuse(self.authority.issue()))

    async def test_name_for_an_address(self):
        self.assertIn("not for 127.0.0.1", await self.refuse(self.good, domain="127.0.0.1"))

    async def test_expired(self):
        end = dt.datetime.now(dt.UTC) - DAY / 2
        text = await self.refuse(self.authority.issue(DOMAIN, end=-DAY / 2))
        self.assertIn(f"expired on {end:%Y-%m-%d}", text)

    async def test_not_yet_valid(self):
        text = await self.refuse(self.authority.issue(DOMAIN, start=2 * DAY, end=3 * DAY))
        self.assertIn("is not valid before", text)

    async def test_the_clock_is_an_hour_off(self):
        """By our clock it is not valid yet, or not any more: which of both is wrong nobody can tell but the user."""
        hour = dt.timedelta(hours=1)
        for start, end, said in (
            (hour / 2, 2 * hour, "is not valid before"),
            (-2 * hour, -hour / 2, "expired on"),
        ):
            text = await self.refuse(self.authority.issue(DOMAIN, start=start, end=end))
            self.assertIn(said, text)
            now = dt.datetime.now(dt.UTC)
            self.assertRegex(text, rf"this machine's clock says {now:%Y-%m-%d}, \d\d:\d\d UTC; is it right\?")

    async def test_self_signed(self):
        identity = self.authority.issue(DOMAIN, self_signed=True)
        text = await self.refuse(identity)
        self.assertIn("The server's certificate is self-signed.", text)
        self.assertIn("--upstream-ca", text)
        self.assertIn(f"--pin-only --pin {identity.pin.hex()}", text)

    async def test_unknown_authority(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        other = Authority(Path(directory.name), 'Somebody "else"\n')
        self.assertIn('was issued by "Somebody', await self.refuse(other.issue(DOMAIN)))

    async def test_certificate_for_clients(self):
        text = await self.refuse(self.authority.issue(DOMAIN, usage=ExtendedKeyUsageOID.CLIENT_AUTH))
        self.assertIn("is not one for servers", text)

    async def test_wrong_pin(self):
        text = await self.refuse(self.good, pins=(bytes(32),))
        self.assertIn(f"its SHA-256 is {self.good.pin.hex()}", text)

    async def test_pin_does_not_replace_the_authority(self):
        identity = self.authority.issue(DOMAIN, self_signed=True)
        self.assertIn("self-signed", await self.refuse(identity, pins=(identity.pin,)))

    async def test_pin_only_with_another_key(self):
        self.assertIn("not a pinned one", await self.refuse(self.good, pins=(bytes(32),), pin_only=True))


class Handshakes(ConnectCase):
    async def test_older_than_tls_12(self):
        for kind, make in (("starttls", ScriptedServer), ("direct", DirectServer)):
            server = make(ServerContext(self.good, newest=SSL.TLS1_1_VERSION))
            error = await self.refused(self.connector(self.listen(server), tls=kind).connect(DOMAIN), server)
            self.assertEqual(error.condition, "remote-connection-failed")
            self.assertIn("TLS could not be agreed upon", error.text)

    async def test_direct_tls_to_a_port_for_starttls(self):
        server = ScriptedServer(None)
        connecting = self.connector(self.listen(server), tls="direct").connect(DOMAIN)
        while not server.living:
            await self.a_moment()
        for talker in server.living:
            talker.transport.write(b"<?xml version='1.0'?><stream:stream")
        self.assertIn("is that a port for STARTTLS?", (await self.refused(connecting, server)).text)

    def test_a_hello_that_spells_a_header_is_not_answered(self):
        """A ClientHello is random bytes: the bed's own server once took two of them for the end of a header."""
        talker = ScriptedServer(None).buildProtocol(None)
        talker.transport = said = StringTransport()
        talker.dataReceived(b"\x16\x03\x01\x02\x00" + b"'>")
        self.assertEqual(said.value(), b"")

    async def test_garbage_after_proceed(self):
        server = ScriptedServer(None, proceed=PROCEED)
        connecting = self.connector(self.listen(server)).connect(DOMAIN)
        while b"\x16\x03\x01" not in server.received:
            await self.a_moment()
        for talker in server.living:
            talker.transport.write(b"\x15\x03\x03\x00\x02\x02\x28" + b"z" * 5000)
        self.assertIn("TLS could not be agreed upon", (await self.refused(connecting, server)).text)


class Settings(ConnectCase):
    def test_unusable(self):
        missing = UpstreamSettings(ca_file=str(self.authority.file) + ".missing")
        for settings, words in (
            (missing, "cannot be read"),
            (UpstreamSettings(ca_file=__file__), "holds no certificate"),
            (UpstreamSettings(pins=(b"short",)), "32 bytes"),
            (UpstreamSettings(pin_only=True), "there is no pin"),
        ):
            self.assertIn(words, str(self.assertRaises(LocalError, Connector, reactor, settings)))

    def test_no_python_callback_in_the_context(self):
        """They need memory that is writable and executable, which a hardened service does not get."""
        for settings in (UpstreamSettings(), UpstreamSettings(pins=(bytes(32),), pin_only=True)):
            context = Connector(reactor, settings)._tls._context
            for name in ("_verify_callback", "_info_callback", "_alpn_select_callback", "_ocsp_helper"):
                self.assertIsNone(getattr(context, name))


class Hardened(ConnectCase):
    async def test_without_writable_and_executable_memory(self):
        """Whole connections in a process that can never have such memory, as under MemoryDenyWriteExecute."""
        for kind, make in (("starttls", ScriptedServer), ("direct", DirectServer)):
            server = make(ServerContext(self.good))
            arguments = (str(self.listen(server)), str(self.authority.file), kind)
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            out, err, code = await getProcessOutputAndValue(
                sys.executable, ("-c", _HARDENED_CLIENT, *arguments), env=environment
            )
            if code == NO_MDWE:
                self.skipTest("this kernel cannot forbid writable and executable memory (needs Linux 6.3)")
            self.assertEqual((code, err), (0, b""))
            self.assertIn(kind.encode(), out)
            self.assertIn(b"[hello]", out)
            await server.gone()


NO_MDWE = 77

#: Arguments: port, CA file, kind of TLS. Prints the connection's description and the server's answer.
_HARDENED_CLIENT = """
import ctypes, mmap, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    pass
else:
    sys.exit("writable and executable memory is still to be had")
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from e2eproxy.xmpp.connect import Connector, UpstreamSettings

class Take(Protocol):
    def __init__(self):
        self.lost = Deferred()
    def connectionMade(self):
        self.transport.write(b"hello")
    def dataReceived(self, data):
        print(data.decode())
        self.transport.loseConnection()
    def connectionLost(self, reason):
        self.lost.callback(None)

async def main(reactor, port, ca_file, kind):
    settings = UpstreamSettings(address=("127.0.0.1", int(port)), ca_file=ca_file, tls=kind)
    upstream = await Connector(reactor, settings).connect("example.test")
    print(upstream.description)
    taker = Take()
    upstream.hand_over(taker)
    await taker.lost

task.react(lambda *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
"""
