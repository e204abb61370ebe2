# ruff: noqa: N802, N803, ARG002 - methods and arguments are named by Twisted
"""A network in memory for the tests of finding a server: names, connections and time by hand."""

from __future__ import annotations

from twisted.internet import defer, error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.names import dns
from zope.interface import implementer


@implementer(IReactorPluggableNameResolver)
class FakeReactor(Clock):
    """Time by ``advance``. ``names``: host to addresses; ``behaviour``: address to an exception, "answer" or "silent"."""

    def __init__(self, names=None, behaviour=None):
        super().__init__()
        self.names = names or {}
        self.behaviour = behaviour or {}
        self.nameResolver = self
        self.tried = []
        self.open = {}
        self.transports = []

    def installNameResolver(self, resolver):
        raise NotImplementedError

    def resolveHostName(self, receiver, host, portNumber=0, **_more):
        receiver.resolutionBegan(None)
        addresses = self.names.get(host, [])
        if addresses == "silent":
            return
        for address in [host] if not addresses and host[0].isdigit() else addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()

    def connectTCP(self, host, port, factory, timeout=30, bindAddress=None):
        connector = FakeConnector(self, host, port, factory, timeout)
        self.tried.append((round(self.seconds(), 3), host, port))
        connector.start()
        return connector


class FakeConnector:
    def __init__(self, reactor, host, port, factory, timeout):
        self.reactor, self.host, self.port, self.factory, self.timeout = reactor, host, port, factory, timeout

    def start(self):
        self.factory.startedConnecting(self)
        self.reactor.open[self] = self.reactor.callLater(self.timeout, self.fail, error.TimeoutError())
        behaviour = self.reactor.behaviour.get(self.host, error.ConnectionRefusedError())
        if behaviour == "answer":
            self.reactor.callLater(0, self.answer)
        elif behaviour != "silent":
            self.reactor.callLater(0, self.fail, behaviour)

    def answer(self):
        if self in self.reactor.open:
            self.reactor.open.pop(self).cancel()
            protocol = self.factory.buildProtocol(None)
            transport = FakeTransport(self.host)
            transport.protocol = protocol
            self.reactor.transports.append(transport)
            protocol.makeConnection(transport)

    def fail(self, reason):
        from twisted.python.failure import Failure

        timer = self.reactor.open.pop(self, None)
        if timer is not None:
            if timer.active():
                timer.cancel()
            self.factory.clientConnectionFailed(self, Failure(reason))

    def stopConnecting(self):
        self.fail(error.UserError())

    def getDestination(self):
        return IPv4Address("TCP", self.host, self.port)


class FakeTransport(StringTransport):
    aborted = False

    def __init__(self, host):
        super().__init__(peerAddress=IPv4Address("TCP", host, 5222))

    def abortConnection(self):
        self.aborted = True


class FakeResolver:
    """``answers``: query name to a list of (priority, weight, port, target), an exception, or "silent"."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.asked = []
        self.cancelled = 0

    def lookupService(self, name, timeout):
        self.asked.append(name)
        answer = self.answers.get(name.partition(".")[0], [])
        if answer == "silent":
            return defer.Deferred(self._cancel)
        if isinstance(answer, Exception):
            return defer.fail(answer)
        records = [
            dns.RRHeader(name, dns.SRV, payload=dns.Record_SRV(priority, weight, port, target.encode()))
            for priority, weight, port, target in answer
        ]
        return defer.succeed((records, [], []))

    def _cancel(self, _query):
        self.cancelled += 1
