"""Two clients without encryption, each behind a daemon of its own, and a server between them that sees everything.

No sockets and no time of its own: streams end in memory transports, and the clock moves when a test says so. What a test
needs of the pipeline's inside is asked for here and nowhere else, so that a change of it is a change of this module.
"""

from __future__ import annotations

import math
import random
import weakref
from types import SimpleNamespace

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from bed.memory_session import DOMAIN, MemoryTransport, MemoryUpstream
from bed.quick_store import QuickStore
from bed.steering import control
from e2eproxy.errors import LocalError
from e2eproxy.methods import events
from e2eproxy.proxy import sticky
from e2eproxy.proxy.guards import Guards
from e2eproxy.proxy.listener import ClientListener
from e2eproxy.proxy.notices import PROXY
from e2eproxy.proxy.stored_rules import StoredRules
from e2eproxy.trust.errors import StoreError
from e2eproxy.trust.writer import Writer
from e2eproxy.xmpp import caps, disco_info, names
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.pieces import Element, Limits
from e2eproxy.xmpp.roster import ROSTER
from e2eproxy.xmpp.stanza import Stanza, build, element

ROOT = f"<stream:stream xmlns='jabber:client' xmlns:stream='{names.STREAMS}'>".encode()
PUBSUB = "http://jabber.org/protocol/pubsub"
ROMEO, JULIET = JID.parse(f"romeo@{DOMAIN}/garden"), JID.parse(f"juliet@{DOMAIN}/balcony")
SECRET = "wherefore art thou romeo"

_NAMESPACES = f"xmlns='jabber:client' xmlns:stream='{names.STREAMS}'"
HEADER = f"<stream:stream to='{DOMAIN}' version='1.0' {_NAMESPACES}>".encode()
_SERVER_HEADER = (
    f"<?xml version='1.0'?><stream:stream from='{DOMAIN}' id='1' version='1.0' {_NAMESPACES}>".encode()
)
_MECHANISMS = f"<mechanisms xmlns='{names.SASL}'><mechanism>PLAIN</mechanism></mechanisms>".encode()
_AUTH = f"<auth xmlns='{names.SASL}' mechanism='PLAIN'>AGEAYg==</auth>".encode()
_BIND = f"<iq type='set' id='b'><bind xmlns='{names.BIND}'/></iq>".encode()
_MOST_ROUNDS = 500


@implementer(IReactorTime)
class DaemonTime:
    """The world's clock as one daemon has it: once the daemon is dead, nothing that it wanted to do later happens."""

    def __init__(self, clock):
        self._clock = clock
        self.dead = False

    def seconds(self):
        return self._clock.seconds()

    def callLater(self, delay, callable, *args, **kw):  # noqa: N802, A002 - the interface's
        return self._clock.callLater(delay, self._unless_dead, callable, args, kw)

    def getDelayedCalls(self):  # noqa: N802 - the interface's
        return self._clock.getDelayedCalls()

    def _unless_dead(self, function, args, kw):
        if not self.dead:
            function(*args, **kw)


class Pool:
    """Does what it is given at once; or, if told so, when a test says so."""

    def __init__(self):
        self.waiting = None

    def callInThread(self, function):  # noqa: N802 - the interface's
        if self.waiting is None:
            function()
        else:
            self.waiting.append(function)


class Thread:
    """Does what it is given at once; or, if told so, when a test says so."""

    def __init__(self):
        self.waiting = None

    def __call__(self, function):
        if self.waiting is None:
            return maybeDeferred(function)
        done = Deferred()
        self.waiting.append((function, done))
        return done

    def end(self):
        """What was begun first ends."""
        function, done = self.waiting.pop(0)
        maybeDeferred(function).chainDeferred(done)


class Disk:
    """A real store in memory, which fails if it is broken: as often as ``broken`` says, or for good if that is True."""

    def __init__(self):
        self._disk = QuickStore()
        weakref.finalize(self, self._disk.discard)
        self.broken = False
        self.open()

    def open(self):
        """Have another run of the daemon open it."""
        self._store = self._disk.open()

    def transaction(self):
        if self.broken:
            self.broken = self.broken is True or self.broken - 1
            raise StoreError("the disk is full")
        return self._store.transaction()

    def __getattr__(self, name):
        return getattr(self._store, name)

    def discard(self):
        self._disk.discard()


class Rules:
    """The settings of one side, which can be edited, or be unreadable."""

    def __init__(self):
        self.rows = {("default", ""): {"when": "prefer", "methods": "reference-session reference-object"}}
        self.unreadable = False
        self.stored = None
        self.every = set()

    def settings(self, account, scope, key):
        if self.unreadable:
            raise LocalError("the store cannot be read")
        return {**self.rows.get((scope, key), {}), **self.stored.settings(account, scope, key)}

    def methods(self, account):
        return frozenset(self.every) | self.stored.methods(account)

    def lenient(self, account):
        words = [row.get("when", "prefer") for row in self.rows.values()]
        return not self.unreadable and "require" not in words and self.stored.lenient(account)


class Leaky:
    """A broken twin of a guard: from when *side* is told to leak, whatever the client writes goes out as it came."""

    def __init__(self, guard, side):
        self._guard = guard
        self._side = side

    def __getattr__(self, name):
        return getattr(self._guard, name)

    def from_client(self, element, root):
        """Forward it, whatever policy says about it."""
        return element.raw if self._side.leaks else self._guard.from_client(element, root)


class Side:
    """A client, its daemon with the store, and what both see."""

    def __init__(self, world, jid, methods, twin=None):
        self.world, self.jid = world, jid
        self.methods = methods
        self.twin = twin or (lambda guard, _side: guard)
        self.leaks = False
        self.roster = None
        #: What the client answers when its daemon asks what it can do; None: nothing.
        self.can = b"<identity category='client' type='pc'/>"
        self.rules = Rules()
        self.rules.every = {method.traits.name for method in methods}
        self.bugs = []
        self.disk = Disk()
        self.pool = Pool()
        self.thread = Thread()
        self.generation = 0
        self.shown = []
        self.seen = []
        self.time = None
        self.start()

    # -- the daemon ------------------------------------------------------------------------------------------------

    def start(self):
        """Start the daemon, over whatever is in the store; an older one is dead at this very moment."""
        if self.time is not None:
            self.time.dead = True
            self.disk.open()
        self.time = DaemonTime(self.world.clock)
        self.writer = Writer(self.disk, self.pool, lambda function, *given: function(*given))
        self.rules.stored = StoredRules(self.writer.book, {})
        self.generation += 1
        self.control = control(self.world.clock)
        self.guards = Guards(
            self.time,
            self.writer,
            self.rules,
            self.methods,
            wall=self.world.clock.seconds,
            random=random.Random(f"{self.jid} {self.generation}").randbytes,
            in_thread=self.thread,
            steering=self.control.steering,
            proxy=self.world.proxy,
        )
        self.guards._bug = self.bugs.append
        connector = SimpleNamespace(connect=self._connect)
        self.listener = ClientListener(
            self.time, connector, make_pipeline=lambda ways: self.twin(self.guards(ways), self)
        )

    def _connect(self, _domain, _redirect=None):
        self.connecting = Deferred()
        return self.connecting

    @property
    def desk(self):
        return self.guards._open[self.jid.bare].desk

    # -- the client's stream ---------------------------------------------------------------------------------------

    def log_in(self, header=HEADER):
        self.client, self.server = MemoryTransport(), MemoryTransport()
        self.framer = _server_framer()
        self.shown_framer = _server_framer()
        self.client.protocol = self.listener.buildProtocol(None)
        self.client.protocol.makeConnection(self.client)
        self.client.deliver(header)
        self.connecting.callback(MemoryUpstream(self.server, DOMAIN))
        self.server.deliver(_SERVER_HEADER + b"<stream:features>" + _MECHANISMS + b"</stream:features>")
        self.client.deliver(_AUTH)
        self.server.deliver(f"<success xmlns='{names.SASL}'/>".encode())
        self.client.deliver(header)
        self.server.deliver(_SERVER_HEADER + b"<stream:features>" + self.world.offers + b"</stream:features>")
        self.taken = 0
        self.client.deliver(_BIND)
        self.login = bytes(self.server.written)
        self.server.written.clear()
        jid = f"<bind xmlns='{names.BIND}'><jid>{self.jid}</jid></bind>"
        self.server.deliver(f"<iq type='result' id='b'>{jid}</iq>".encode())
        self.told_at_login = bytes(self.client.written)
        self.client.written.clear()

    def end_stream(self):
        """The server ends the stream in good order, and the client its own."""
        self.world.run()
        self.server.deliver(b"</stream:stream>")
        self.world.run()
        self.read()
        if not self.client.finished:
            self.client.deliver(b"</stream:stream>")

    def lose_stream(self):
        """The connection to the server is gone all of a sudden, and the client's with it."""
        self.world.run()
        self.server.hang_up()
        self.read()
        if not self.client.finished:
            self.client.hang_up()

    # -- what is known of the other --------------------------------------------------------------------------------

    def knows(self, other):
        """The other side is there, and its features have been found out."""
        features = frozenset(feature for method in other.methods for feature in method.traits.features)
        self.server.deliver(f"<presence from='{other.jid}'/>".encode())
        self.desk.features(other.jid, features)
        self.desk.tell_all(events.PeerFeatures(own=self.jid, peer=other.jid, features=features))
        self.world.run()

    def is_friend_of(self, other, subscription="both"):
        """The other side is in the roster, and the client has asked for it."""
        self.roster = {other.jid.bare: subscription}
        self.write(f"<iq type='get' id='roster'><query xmlns='{ROSTER}'/></iq>".encode())

    def requires(self, contact):
        """The user said that *contact* is to be encrypted."""
        self.desk.remember(contact.bare, sticky.user_requires(self.desk.memory(contact.bare)))

    def is_sticky(self, contact):
        return self.desk.memory(contact.bare).sticky

    def command(self, other, verb):
        """The user tells the methods to do something with the session with *other*."""
        self.desk.tell_all(events.Command(own=self.jid, peer=other.jid, verb=verb))
        self.world.run()

    # -- what the user does, and sees ------------------------------------------------------------------------------

    def write(self, raw):
        self.client.deliver(raw)
        self.read()
        self.world.run()

    def say(self, to, text=SECRET, number="c1"):
        self.write(f"<message to='{to}' type='chat' id='{number}'><body>{text}</body></message>".encode())

    def read(self):
        raw = bytes(self.client.written)
        self.client.written.clear()
        came = [
            Stanza.of(piece, ROOT)
            for piece in self.shown_framer.receive(raw)
            if isinstance(piece, Element) and piece.name in names.STANZAS
        ]
        asked = [stanza for stanza in came if self._asks_what_it_can(stanza)]
        self.shown += [stanza for stanza in came if stanza not in asked]
        for stanza in asked:
            _, node = disco_info.asked(stanza)
            query = element("query", {"xmlns": caps.DISCO_INFO, "node": node}, self.can)
            self.client.deliver(build("iq", {"type": "result", "to": stanza.from_, "id": stanza.id}, query))
        return self.shown

    def _asks_what_it_can(self, stanza):
        """Whether the client answers *stanza* by itself: its daemon asks what it can do."""
        asks = self.can is not None and stanza.from_ == str(self.world.proxy) and stanza.type == "get"
        return asks and disco_info.asked(stanza)[0]

    @property
    def texts(self):
        return [text(stanza) for stanza in self._messages() if stanza.from_ != str(self.world.proxy)]

    @property
    def notices(self):
        return [text(stanza) for stanza in self._messages() if stanza.from_ == str(self.world.proxy)]

    def _messages(self):
        return [stanza for stanza in self.read() if stanza.kind == "message" and text(stanza)]

    @property
    def errors(self):
        return [stanza for stanza in self.read() if stanza.type == "error"]


def _server_framer():
    framer = Framer(Limits(2**24, strict=False))
    framer.receive(ROOT)
    return framer


def text(stanza):
    body = stanza.child(names.CLIENT + names.SEPARATOR + "body")
    return "" if body is None or stanza.type == "error" else body.text


class World:
    """Romeo, Juliet, and the server, which records whatever it sees."""

    def __init__(self, *methods, theirs=None, twin=None, manages=False, proxy=PROXY):
        self.clock = Clock()
        self.proxy = proxy
        self.seen = []
        self.published = {}
        self.opened = self.opened_request = None
        self.offers = f"<sm xmlns='{names.SM3}'/>".encode() if manages else b""
        self.acknowledges = True
        self.hold_back = False
        self.deaf = set()
        self.sides = [
            Side(self, ROMEO, methods, twin),
            Side(self, JULIET, methods if theirs is None else theirs),
        ]
        for side in self.sides:
            side.log_in()
        self.run()

    def run(self):
        """Let the server route until nothing moves any more."""
        moved = not self.hold_back
        for _ in range(_MOST_ROUNDS):
            if not moved:
                return
            self.clock.advance(0)
            moved = self._route(self.sides[0]) | self._route(self.sides[1])
        raise AssertionError("the two sides write to each other for ever")

    def wait(self, seconds):
        """Let time pass, a second at once at most; whole seconds in which nothing is due are one step."""
        while seconds > 0:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=math.inf)
            idle = min(math.ceil(min(due - self.clock.seconds(), seconds)) - 1, seconds)
            if idle > 0:
                self.clock.advance(idle)
                seconds -= idle
            self.clock.advance(min(seconds, 1))
            self.run()
            seconds -= 1

    def _route(self, side):
        raw = bytes(side.server.written)
        side.server.written.clear()
        for piece in side.framer.receive(raw):
            self.seen.append(piece.raw)
            side.seen.append(piece.raw)
            if isinstance(piece, Element) and piece.name not in names.STANZAS:
                self._management(side, names.split_name(piece.name)[1])
            elif isinstance(piece, Element):
                side.taken += 1
                self._stanza(side, Stanza.of(piece, ROOT))
        return bool(raw)

    def _management(self, side, what):
        """Be a server with stream management."""
        if what == "enable":
            side.server.deliver(f"<enabled xmlns='{names.SM3}'/>".encode())
        elif what == "r" and self.acknowledges:
            side.server.deliver(f"<a xmlns='{names.SM3}' h='{side.taken}'/>".encode())

    def _stanza(self, side, stanza):
        try:
            to = JID.parse(stanza.to) if stanza.to else side.jid.bare
        except BadJID:
            return
        other = next(one for one in self.sides if one is not side)
        if to.bare in self.deaf:
            return
        if stanza.kind == "iq" and not to.full and stanza.type in {"get", "set"}:
            side.server.deliver(self._answer(side, stanza, to))
        elif to.bare == other.jid.bare and not other.server.finished:
            other.server.deliver(
                stanza.changed(stanza.with_attributes({"from": str(side.jid), "to": str(to)})).standalone()
            )

    def _answer(self, side, stanza, owner):
        pubsub = stanza.child(PUBSUB + names.SEPARATOR + "pubsub")
        head = {"type": "result", "from": str(owner), "to": str(side.jid), "id": stanza.id}
        if side.roster is not None and stanza.child(ROSTER + names.SEPARATOR + "query") is not None:
            items = (
                element("item", {"jid": str(jid), "subscription": what}) for jid, what in side.roster.items()
            )
            return build("iq", head, element("query", {"xmlns": ROSTER}, b"".join(items)))
        payload = pubsub.children[0] if pubsub is not None and pubsub.children else None
        if payload is None or "node" not in payload.attributes:
            return build("iq", head)
        if payload.local_name == "publish":
            items = b"".join(stanza.standalone_part(item) for item in payload.children)
            self.published[owner] = self.published.get(owner, b"") + items
            return build("iq", head)
        items = element("items", {"node": payload.attributes["node"]}, self.published.get(owner, b""))
        return build("iq", head, element("pubsub", {"xmlns": PUBSUB}, items))
