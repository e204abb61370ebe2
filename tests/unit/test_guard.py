"""Two clients without encryption, each behind a guard, and a server between them that sees everything."""

from __future__ import annotations

import random

import pytest
from test_session import DOMAIN, Bed
from twisted.internet.defer import Deferred, fail, succeed

from e2eproxy.errors import LocalError
from e2eproxy.methods import events
from e2eproxy.methods.door import Context
from e2eproxy.methods.harness import Harness
from e2eproxy.proxy.desk import Equipped
from e2eproxy.proxy.guard import Guards
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import FEATURE, SessionMethod
from e2eproxy.testing.store import MemoryStore
from e2eproxy.xmpp import names
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.pieces import Element, Limits
from e2eproxy.xmpp.stanza import Stanza, build, element

ROOT = f"<stream:stream xmlns='jabber:client' xmlns:stream='{names.STREAMS}'>".encode()
PUBSUB = "http://jabber.org/protocol/pubsub"
ROMEO, JULIET = JID.parse(f"romeo@{DOMAIN}/garden"), JID.parse(f"juliet@{DOMAIN}/balcony")
SECRET = "wherefore art thou romeo"


class Keeper:
    """Commits to memory; slowly, if told so, or never."""

    def __init__(self, store):
        self.store = store
        self.waiting = None
        self.broken = False

    def commit(self, effects):
        if self.broken:
            return fail(OSError("disk full"))
        if self.waiting is None:
            return succeed(self.store.commit(tuple(effects)))
        committed = Deferred()
        self.waiting.append(lambda: committed.callback(self.store.commit(tuple(effects))))
        return committed


class Rules:
    """The settings of one side, which can be edited, or be unreadable."""

    def __init__(self):
        self.rows = {("default", ""): {"when": "prefer", "methods": "reference-session reference-object"}}
        self.unreadable = False

    def settings(self, _account, scope, key):
        if self.unreadable:
            raise LocalError("the store cannot be read")
        return self.rows.get((scope, key), {})


class Side:
    """A client, its guard, and what both see."""

    def __init__(self, world, jid, methods):
        self.world, self.jid = world, jid
        self.keepers = {}
        self.bugs = []
        self.rules = Rules()
        self.bed = None
        self.methods = methods
        self.framer = Framer(Limits(2**24, strict=False))
        self.framer.receive(ROOT)
        self.shown_framer = Framer(Limits(2**24, strict=False))
        self.shown_framer.receive(ROOT)
        self.shown = []

    def log_in(self, clock):
        self.guards = Guards(clock, self.equip, self.rules)
        self.bed = Bed(make_pipeline=self.guards)
        self.bed.clock.callLater = clock.callLater
        self.bed.forget = lambda: self.bed  # what engines say at once is not to be lost
        self.bed.logged_in(str(self.jid))
        self.bed.client.written.clear()

    def equip(self, account):
        found = []
        for method in self.methods:
            store = MemoryStore(account, method.traits.name, self.world.clock.seconds)
            self.keepers[method.traits.name] = Keeper(store)
            rng = random.Random(f"{account} {method.traits.name}")
            context = Context(
                account=account, view=store, clock=self.world.clock.seconds, random=rng.randbytes
            )
            found.append(
                Equipped(Harness(method, context, self.bugs.append), store, self.keepers[method.traits.name])
            )
        return found

    @property
    def desk(self):
        return self.guards._desks[self.jid.bare]

    def knows(self, other):
        """The other side is there, and its features have been found out."""
        self.bed.server.deliver(f"<presence from='{other.jid}'/>".encode())
        self.desk.features(other.jid, frozenset({FEATURE}))
        self.desk.tell_all(events.PeerFeatures(own=self.jid, peer=other.jid, features=frozenset({FEATURE})))

    def write(self, raw):
        self.bed.client.deliver(raw)
        self.world.run()

    def say(self, to, text=SECRET, number="c1"):
        self.write(f"<message to='{to}' type='chat' id='{number}'><body>{text}</body></message>".encode())

    def read(self):
        raw = bytes(self.bed.client.written)
        self.bed.client.written.clear()
        self.shown += [
            Stanza.of(piece, ROOT) for piece in self.shown_framer.receive(raw) if isinstance(piece, Element)
        ]
        return self.shown

    @property
    def texts(self):
        return [text(stanza) for stanza in self.read() if stanza.kind == "message" and text(stanza)]

    @property
    def errors(self):
        return [stanza for stanza in self.read() if stanza.type == "error"]


def text(stanza):
    body = stanza.child(names.CLIENT + names.SEPARATOR + "body")
    return "" if body is None or stanza.type == "error" else body.text


class World:
    """Romeo, Juliet, and the server, which records whatever it sees."""

    def __init__(self, *methods):
        first = Bed()
        self.clock = first.clock
        self.sides = [Side(self, jid, methods) for jid in (ROMEO, JULIET)]
        self.seen = []
        self.published = {}
        self.hold_back = False
        for side in self.sides:
            side.log_in(self.clock)
        self.run()

    def run(self):
        """Let the server route until nothing moves any more."""
        moved = not self.hold_back
        while moved:
            self.clock.advance(0)
            moved = self._route(self.sides[0]) | self._route(self.sides[1])

    def _route(self, side):
        raw = bytes(side.bed.server.written)
        side.bed.server.written.clear()
        for piece in side.framer.receive(raw):
            self.seen.append(piece.raw)
            if isinstance(piece, Element) and piece.name in names.STANZAS and b"xmpp-bind" not in piece.raw:
                self._stanza(side, Stanza.of(piece, ROOT))
        return bool(raw)

    def _stanza(self, side, stanza):
        to = JID.parse(stanza.to) if stanza.to else side.jid.bare
        other = next(one for one in self.sides if one is not side)
        if stanza.kind == "iq" and not to.full and stanza.type in {"get", "set"}:
            side.bed.server.deliver(self._answer(side, stanza, to))
        elif to.bare == other.jid.bare:
            other.bed.server.deliver(
                stanza.changed(stanza.with_attributes({"from": str(side.jid), "to": str(to)})).standalone()
            )

    def _answer(self, side, stanza, owner):
        pubsub = stanza.child(PUBSUB + names.SEPARATOR + "pubsub")
        payload = pubsub.children[0]
        head = {"type": "result", "from": str(owner), "to": str(side.jid), "id": stanza.id}
        if payload.local_name == "publish":
            items = b"".join(stanza.standalone_part(item) for item in payload.children)
            self.published[owner] = self.published.get(owner, b"") + items
            return build("iq", head)
        items = element("items", {"node": payload.attributes["node"]}, self.published.get(owner, b""))
        return build("iq", head, element("pubsub", {"xmlns": PUBSUB}, items))


@pytest.fixture
def world():
    return World(SessionMethod())


def test_a_session_begins_by_itself_and_the_server_sees_nothing(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    juliet.knows(romeo)
    juliet.say(romeo.jid, "my only love")
    assert juliet.texts == [SECRET]
    assert romeo.texts[-1] == "my only love"
    assert SECRET.encode() not in b"".join(world.seen)
    assert not romeo.errors
    assert not romeo.bugs + juliet.bugs


def test_a_method_that_declines_inside_a_session_does_not_let_text_out_in_clear(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    # Juliet's engine has not seen Romeo's presence, and says that he is away.
    juliet.say(romeo.jid, "my only love", "c9")
    assert [error.id for error in juliet.errors] == ["c9"]
    assert b"my only love" not in b"".join(world.seen)


def test_whole_stanzas_are_sealed_to_published_keys():
    world = World(ObjectMethod())
    romeo, juliet = world.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.desk.features(other.jid, frozenset(ObjectMethod.traits.features))
    romeo.say(juliet.jid.bare)
    assert juliet.texts == [SECRET]
    assert SECRET.encode() not in b"".join(world.seen)
    assert juliet.read()[-1].id == "c1", "inside, the stanza keeps the client's id"


def test_order_is_kept_while_a_session_begins(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.bed.client.deliver(
        b"".join(
            f"<message to='{juliet.jid}' type='chat' id='c{n}'><body>line {n}</body></message>".encode()
            for n in range(20)
        )
    )
    world.run()
    assert juliet.texts == [f"line {n}" for n in range(20)]


def test_under_require_nothing_leaves_in_clear_and_everything_comes_back(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    romeo.say(juliet.jid)
    romeo.write(f"<message to='{juliet.jid}' id='c2'><subject>{SECRET}</subject></message>".encode())
    assert not romeo.errors
    world.clock.advance(61)
    world.run()
    assert [error.id for error in romeo.errors] == ["c1", "c2"]
    assert all(error.from_ == str(juliet.jid) for error in romeo.errors)
    assert SECRET.encode() in romeo.errors[0].raw
    assert SECRET.encode() not in b"".join(world.seen)


def test_under_prefer_a_text_waits_two_seconds_once_and_then_leaves(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid)
    assert juliet.texts == []
    world.clock.advance(2)
    world.run()
    assert juliet.texts == [SECRET]
    romeo.say(juliet.jid, "again")
    assert juliet.texts[-1] == "again"


def test_an_unreadable_store_lets_nothing_out(world):
    romeo, juliet = world.sides
    romeo.rules.unreadable = True
    romeo.say(juliet.jid)
    romeo.write(f"<presence><status>{SECRET}</status></presence>".encode())
    assert len(romeo.errors) == 1
    assert SECRET.encode() not in b"".join(world.seen)


def test_nothing_is_seen_before_it_is_durable(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    keeper = romeo.keepers["reference-session"]
    keeper.waiting = []
    romeo.say(juliet.jid)
    before = len(world.seen)
    world.run()
    assert len(world.seen) == before, "something left before it was durable"
    romeo.say(juliet.jid, "second", "c2")
    for _ in range(50):
        if not keeper.waiting:
            break
        keeper.waiting.pop(0)()
        world.run()
    assert juliet.texts == [SECRET, "second"]
    assert len(world.seen) > before


def test_a_commit_that_fails_sends_nothing_and_tells_the_client(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.keepers["reference-session"].broken = True
    romeo.say(juliet.jid)
    world.clock.advance(61)
    world.run()
    assert [error.id for error in romeo.errors] == ["c1"]
    assert SECRET not in juliet.texts
    assert SECRET.encode() not in b"".join(world.seen)


def test_plain_text_in_an_encrypted_conversation_is_marked(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    plain = f"<message from='{romeo.jid}' to='{juliet.jid}' type='chat'><body>trust me</body></message>"
    juliet.bed.server.deliver(plain.encode())
    assert juliet.texts[-1] == "[not encrypted] trust me"


def test_what_cannot_be_opened_is_a_placeholder(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    sealed = [raw for raw in world.seen if b"<message" in raw][-1]
    damaged = Stanza.parse(sealed).with_attributes({"from": f"nobody@{DOMAIN}/x", "to": str(juliet.jid)})
    juliet.bed.server.deliver(damaged)
    world.run()
    assert "could not be opened" in juliet.texts[-1]
    assert not juliet.bugs


def test_the_proxys_own_address_cannot_be_taken_and_never_leaves(world):
    romeo, juliet = world.sides
    for _ in range(5):
        juliet.bed.server.deliver(b"<message from='e2eproxy.localhost'><body>all is well</body></message>")
    assert "all is well" not in "".join(juliet.texts)
    assert len(juliet.texts) == 1
    before = len(world.seen)
    romeo.say("e2eproxy.localhost", "status")
    assert len(romeo.errors) == 1
    assert len(world.seen) == before


def test_a_forged_carbon_is_dropped(world):
    _, juliet = world.sides
    inner = f"<message xmlns='jabber:client' from='{ROMEO}' to='{JULIET}'><body>forged</body></message>"
    carbon = (
        f"<message from='evil@{DOMAIN}/x'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"{inner}</forwarded></received></message>"
    )
    juliet.bed.server.deliver(carbon.encode())
    assert "forged" not in [stanza.tree.text for stanza in juliet.read()]
    assert all("forged</body>" not in stanza.raw.decode() for stanza in juliet.read())


def test_what_waits_when_the_stream_ends_comes_back_first(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    romeo.say(juliet.jid)
    romeo.bed.server.deliver(b"</stream:stream>")
    raw = bytes(romeo.bed.client.written)
    assert raw.endswith(b"</stream:stream>")
    assert [error.id for error in romeo.errors] == ["c1"]


def test_a_line_that_is_full_gives_back_the_next_one(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "reference-session"}
    for n in range(52):
        romeo.say(juliet.jid, f"line {n}", f"c{n}")
    assert [error.id for error in romeo.errors] == ["c50", "c51"]


def test_others_are_not_held_up(world):
    romeo, juliet = world.sides
    romeo.rules.rows["contact", str(juliet.jid.bare)] = {"when": "require", "methods": "reference-session"}
    romeo.rules.rows["default", ""] = {"when": "never", "methods": ""}
    romeo.say(juliet.jid)
    romeo.say(f"nurse@{DOMAIN}", "good morrow")
    assert b"good morrow" in b"".join(world.seen)
    assert SECRET.encode() not in b"".join(world.seen)
