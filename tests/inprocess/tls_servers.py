"""Certificates of every kind and small servers with them, for the tests of connecting. Real sockets, real TLS."""

# ruff: noqa: N802, ARG002 - the methods and arguments are named and given by Twisted

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from typing import TYPE_CHECKING

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from twisted.internet import defer, protocol
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.timedelta(days=1)
SRV_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")

HEADER = (
    b"<?xml version='1.0'?><stream:stream id='1' from='example.test' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
OFFER = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


@frozen
class Identity:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pin(self) -> bytes:
        """SHA-256 of the public key, computed apart from the code under test."""
        return hashlib.sha256(
            self.key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).digest()


class Authority:
    """A throw-away certificate authority; ``file`` is its certificate in PEM."""

    def __init__(self, directory: Path, name: str = "Throw-away authority"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = common_name(name)
        self.certificate = (
            builder(self.name, self.name, self.key, -DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = directory / f"{hashlib.sha256(name.encode()).hexdigest()[:8]}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *names,
        ips=(),
        srv=(),
        start=-DAY,
        end=DAY,
        self_signed=False,
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
    ):
        """Return an Identity for DNS *names*, addresses and SRV names; valid from now + *start* to now + *end*."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = common_name(names[0] if names else "nameless")
        made = builder(subject, subject if self_signed else self.name, key, start, end)
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        alternatives = [
            *map(x509.DNSName, names),
            *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips),
            *(x509.OtherName(SRV_NAME, b"\x16" + bytes([len(name)]) + name.encode()) for name in srv),
        ]
        if alternatives:
            made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return Identity(made.sign(key if self_signed else self.key, hashes.SHA256()), key)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:40])])


def builder(subject, issuer, key, start, end):
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
    )


@implementer(IOpenSSLServerConnectionCreator)
class ServerContext:
    """The server's side of TLS. ``seen`` collects (SNI, ALPN offered) of each handshake."""

    def __init__(self, identity: Identity, *, newest=None):
        self.seen: list[tuple[bytes | None, list[bytes]]] = []
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        if newest is not None:
            # OpenSSL gives old versions out only below its default security level.
            self.context.set_cipher_list(b"ALL:@SECLEVEL=0")
            self.context.set_min_proto_version(SSL.TLS1_VERSION)
            self.context.set_max_proto_version(newest)
        self.context.use_certificate(identity.certificate)
        self.context.use_privatekey(identity.key)
        self.context.set_tlsext_servername_callback(self._server_name)
        self.context.set_alpn_select_callback(self._alpn)

    def _server_name(self, connection):
        self.seen.append((connection.get_servername(), []))

    def _alpn(self, _connection, offered):
        self.seen[-1][1].extend(offered)
        return b"xmpp-client" if b"xmpp-client" in offered else SSL.NO_OVERLAPPING_PROTOCOLS

    def serverConnectionForTLS(self, _protocol):
        return SSL.Connection(self.context, None)


class Echo(protocol.Protocol):
    """Inside TLS: answers each chunk in brackets."""

    def connectionMade(self):
        self.factory.living.add(self)
        if self.factory.greeting:
            self.transport.write(self.factory.greeting)

    def dataReceived(self, data):
        self.transport.write(b"[" + data + b"]")

    def connectionLost(self, reason):
        self.factory.lost(self)


class CountingFactory(protocol.Factory):
    """Knows which of its connections are open: ``gone`` fires when the last one has been closed."""

    noisy = False
    greeting = b""

    def __init__(self):
        self.living = set()
        self.made = 0
        self._waiting = []

    def buildProtocol(self, addr):
        self.made += 1
        return super().buildProtocol(addr)

    def lost(self, which):
        self.living.discard(which)
        if not self.living:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def gone(self):
        done = defer.Deferred()
        if self.living:
            self._waiting.append(done)
        else:
            done.callback(None)
        return done


class DirectServer(CountingFactory):
    """A server for direct TLS; give ``tls`` to ``listen``."""

    protocol = Echo

    def __init__(self, context: ServerContext, greeting=b""):
        super().__init__()
        self.greeting = greeting
        self.tls = TLSMemoryBIOFactory(context, False, self)
        self.tls.noisy = False


class PlainServer(CountingFactory):
    protocol = Echo


class ScriptedServer(CountingFactory):
    """A server for STARTTLS.

    ``script`` maps what the client has to send (a byte string that ends its turn) to what is then answered. After
    ``proceed_with`` the server begins TLS with ``context``; without ``context`` it goes on in the clear.
    """

    def __init__(
        self, context=None, *, features=OFFER, proceed=PROCEED, header=HEADER, greeting=b"", piecewise=False
    ):
        super().__init__()
        self.context = context
        self.header = header
        self.features = features
        self.proceed = proceed
        self.greeting = greeting
        self.piecewise = piecewise
        self.received = b""
        self.protocol = ScriptedProtocol


class ScriptedProtocol(protocol.Protocol):
    secure = False
    answered = False
    pending = b""
    next = None

    def connectionMade(self):
        self.factory.living.add(self)
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data):
        if self.secure:
            self.transport.write(b"[" + data + b"]")
            return
        self.factory.received += data
        self.pending += data
        # A ClientHello is random: two bytes of it spell the end of a stream header now and then.
        if not self.answered and self.pending.startswith(b"<") and b"'>" in self.pending:
            self.answered = True
            self.pending = b""
            self.say(self.factory.header + self.factory.features)
        elif b"starttls" in self.pending:
            self.pending = b""
            self.say(self.factory.proceed, self.begin_tls)

    def say(self, data, then=None):
        if not self.factory.piecewise:
            self.transport.write(data)
        elif data:
            from twisted.internet import reactor

            self.transport.write(data[:1])
            self.next = reactor.callLater(0, self.say, data[1:], then)
            return
        if then is not None:
            then()

    def begin_tls(self):
        if self.factory.context is not None and self.transport.connected:
            self.secure = True
            self.transport.startTLS(self.factory.context)
            if self.factory.greeting:
                self.transport.write(self.factory.greeting)

    def connectionLost(self, reason):
        if self.next is not None and self.next.active():
            self.next.cancel()
        self.factory.lost(self)


class SilentServer(CountingFactory):
    """Accepts and never says anything."""

    class protocol(protocol.Protocol):  # noqa: N801 - Twisted's attribute
        def connectionMade(self):
            self.factory.living.add(self)

        def connectionLost(self, reason):
            self.factory.lost(self)


class Taker(protocol.Protocol):
    """What the session is in the real program: takes an upstream over."""

    def __init__(self):
        self.received = b""
        self._wanted = None
        self._lost = defer.Deferred()

    def dataReceived(self, data):
        self.received += data
        self._check()

    def connectionLost(self, reason):
        self._lost.callback(reason.value)

    def until(self, wanted: bytes):
        """Fires when *wanted* has come."""
        self._wanted = (wanted, defer.Deferred())
        done = self._wanted[1]
        self._check()
        return done

    def closed(self):
        return self._lost

    def _check(self):
        if self._wanted is not None and self._wanted[0] in self.received:
            done, self._wanted = self._wanted[1], None
            done.callback(None)
