"""Two daemons with their stores, a client of each, and a server between them: as few parts as one message needs.

Everything is the daemon's own but sockets, time, and the thread of the store, whose work is done at once. So what one
message sets off can be watched function by function.
"""

from __future__ import annotations

import random
import weakref
from types import SimpleNamespace

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from bed.memory_session import DOMAIN, MemoryTransport, MemoryUpstream
from bed.steering import steering
from bed.stores import Place
from e2eproxy.proxy.guards import Guards
from e2eproxy.proxy.listener import ClientListener
from e2eproxy.proxy.stored_rules import StoredRules
from e2eproxy.trust.values import PolicyRow
from e2eproxy.trust.writer import Writer
from e2eproxy.xmpp import names
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.pieces import Element, Limits
from e2eproxy.xmpp.stanza import Stanza, build, element

_NAMESPACES = f"xmlns='jabber:client' xmlns:stream='{names.STREAMS}'"
ROOT = f"<stream:stream {_NAMESPACES}>".encode()
HEADER = f"<stream:stream to='{DOMAIN}' version='1.0' {_NAMESPACES}>".encode()
SERVER_HEADER = (
    f"<?xml version='1.0'?><stream:stream from='{DOMAIN}' id='1' version='1.0' {_NAMESPACES}>".encode()
)
MECHANISMS = f"<mechanisms xmlns='{names.SASL}'><mechanism>PLAIN</mechanism></mechanisms>".encode()
AUTH = f"<auth xmlns='{names.SASL}' mechanism='PLAIN'>AGEAYg==</auth>".encode()
BIND = f"<iq type='set' id='b'><bind xmlns='{names.BIND}'/></iq>".encode()
PUBSUB = "http://jabber.org/protocol/pubsub"
DISCO = "http://jabber.org/protocol/disco#info"
MOST_ROUNDS = 200


class AtOnce:
    """The store's thread and the way back from it: neither takes any time."""

    def callInThread(self, function):  # noqa: N802 - Twisted's name
        function()

    def back(self, function, *arguments):
        function(*arguments)


class Side:
    """One daemon, and the one client it has."""

    def __init__(self, world, name, method, data):
        self.jid = JID.parse(f"{name}@{DOMAIN}/home")
        thread = AtOnce()
        data.mkdir()
        store = Place(data).open()
        weakref.finalize(self, store.close)
        self.writer = Writer(store, thread, thread.back)
        self.writer.start()
        methods = PolicyRow(account="", scope="default", key="", setting="methods", value=method.traits.name)
        self.writer.run(lambda work: work.policy.set(methods))
        guards = Guards(
            world.clock,
            self.writer,
            StoredRules(self.writer.book, {}),
            [method],
            wall=world.clock.seconds,
            random=random.Random(name).randbytes,
            in_thread=maybeDeferred,
            steering=steering(world.clock),
        )
        connector = SimpleNamespace(connect=self._connect)
        self.listener = ClientListener(world.clock, connector, make_pipeline=guards)
        self.client, self.server = MemoryTransport(), MemoryTransport()
        self.framer = Framer(Limits(2**24, strict=False))
        self.framer.receive(ROOT)
        self.counted = 0

    def _connect(self, _domain, _redirect=None):
        self.connecting = Deferred()
        return self.connecting

    def log_in(self):
        self.client.protocol = self.listener.buildProtocol(None)
        self.client.protocol.makeConnection(self.client)
        self.client.deliver(HEADER)
        self.connecting.callback(MemoryUpstream(self.server, DOMAIN))
        self.server.deliver(SERVER_HEADER + b"<stream:features>" + MECHANISMS + b"</stream:features>")
        self.client.deliver(AUTH)
        self.server.deliver(f"<success xmlns='{names.SASL}'/>".encode())
        self.client.deliver(HEADER)
        management = f"<stream:features><sm xmlns='{names.SM3}'/></stream:features>"
        self.server.deliver(SERVER_HEADER + management.encode())
        self.client.deliver(BIND)
        self.server.written.clear()
        jid = f"<bind xmlns='{names.BIND}'><jid>{self.jid}</jid></bind>"
        self.server.deliver(f"<iq type='result' id='b'>{jid}</iq>".encode())

    def say(self, to, text, number):
        self.client.deliver(
            f"<message to='{to}' type='chat' id='{number}'><body>{text}</body></message>".encode()
        )


class World:
    """Romeo, Juliet and their server."""

    def __init__(self, method, folder):
        self.clock = Clock()
        self.published = {}
        self.features = "".join(f"<feature var='{one}'/>" for one in method.traits.features).encode()
        self.sides = [Side(self, name, method, folder / name) for name in ("romeo", "juliet")]
        for side in self.sides:
            side.log_in()
        self.run()

    def run(self):
        """Let the server route until nothing moves any more."""
        for _ in range(MOST_ROUNDS):
            self.clock.advance(0)
            moved = [self.route(side) for side in self.sides]
            if not any(moved):
                return
        raise AssertionError("the two sides write to each other for ever")

    def route(self, side):
        """Take what *side* sent to the server, and do with it what servers do; return whether there was anything."""
        raw = bytes(side.server.written)
        side.server.written.clear()
        for piece in side.framer.receive(raw):
            if isinstance(piece, Element) and piece.name in names.STANZAS:
                side.counted += 1
                self._stanza(side, Stanza.of(piece, ROOT))
            elif isinstance(piece, Element) and piece.name == names.SM3 + names.SEPARATOR + "enable":
                side.server.deliver(f"<enabled xmlns='{names.SM3}'/>".encode())
        return bool(raw)

    def acknowledge(self, side):
        """The server says how many stanzas of *side* it has."""
        side.server.deliver(f"<a xmlns='{names.SM3}' h='{side.counted}'/>".encode())

    def _stanza(self, side, stanza):
        to = JID.parse(stanza.to) if stanza.to else side.jid.bare
        other = next(one for one in self.sides if one is not side)
        if stanza.kind == "iq" and stanza.type in {"get", "set"}:
            side.server.deliver(self._answer(side, stanza, to))
        elif to.bare == other.jid.bare:
            sent = stanza.changed(stanza.with_attributes({"from": str(side.jid), "to": str(to)}))
            other.server.deliver(sent.standalone())

    def _answer(self, side, stanza, owner):
        head = {"type": "result", "from": str(owner), "to": str(side.jid), "id": stanza.id}
        if stanza.child(DISCO + names.SEPARATOR + "query") is not None:
            return build("iq", head, element("query", {"xmlns": DISCO}, self.features))
        pubsub = stanza.child(PUBSUB + names.SEPARATOR + "pubsub")
        if pubsub is None or not pubsub.children:
            return build("iq", head)
        (payload,) = pubsub.children
        if payload.local_name == "publish":
            items = b"".join(stanza.standalone_part(item) for item in payload.children)
            self.published[owner] = self.published.get(owner, b"") + items
            return build("iq", head)
        items = element("items", {"node": payload.attributes["node"]}, self.published.get(owner, b""))
        return build("iq", head, element("pubsub", {"xmlns": PUBSUB}, items))
