"""The demo's embedded server: strict at the door, and it routes as a server does."""

from __future__ import annotations

import base64
import random

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from e2eproxy.demo.attacker import Turncoat, flipped
from e2eproxy.demo.server import DISCO, MOST_ITEMS, PUBSUB, Server
from e2eproxy.demo.wire import Wires
from e2eproxy.xmpp import names, stream
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, End, Limits
from e2eproxy.xmpp.roster import ROSTER
from e2eproxy.xmpp.stanza import Stanza

DOMAIN = "verona.example"
HEADER = stream.header(to=DOMAIN)
USERS = {"romeo": "garden", "juliet": "balcony"}


class Raw(Protocol):
    """Writes what it is told, and keeps what comes: whole elements and the end of the stream."""

    def __init__(self, world):
        self.world = world
        self.framer = Framer(Limits(2**20, strict=False), restart_after=frozenset((names.SASL_SUCCESS,)))
        self.pieces = []
        self.gone = False

    def dataReceived(self, data):  # noqa: N802 - Twisted's name
        self.pieces += self.framer.receive(data)

    def connectionLost(self, _reason=None):  # noqa: N802 - Twisted's name
        self.gone = True

    def say(self, *raw):
        """Send each of *raw*, and return the elements that came then."""
        before = len(self.pieces)
        for one in raw:
            self.transport.write(one if isinstance(one, bytes) else one.encode())
        self.world.wires.run()
        return self.elements[len([piece for piece in self.pieces[:before] if isinstance(piece, Element)]) :]

    @property
    def elements(self):
        return [piece.raw.decode() for piece in self.pieces if isinstance(piece, Element)]

    @property
    def ended(self):
        return any(isinstance(piece, End) for piece in self.pieces) and self.gone

    def stanzas(self, kind):
        """The stanzas of *kind* so far."""
        root = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        found = [
            Stanza.of(one, root)
            for one in self.pieces
            if isinstance(one, Element) and one.name in names.STANZAS
        ]
        return [one for one in found if one.kind == kind]


class World:
    """A server and whoever connects."""

    def __init__(self, make=Server, **more):
        self.wires = Wires(Clock())
        self.seen = []
        self.server = make(
            DOMAIN,
            USERS,
            random=random.Random(1).randbytes,
            seen=lambda sender, stanza: self.seen.append((str(sender), stanza.raw)),
            **more,
        )

    def connect(self):
        ours, theirs = self.wires.connection()
        client = Raw(self)
        theirs.attach(self.server.connection())
        ours.attach(client)
        return client

    def log_in(self, user, resource, password=None, *, presence=True):
        client = self.connect()
        client.say(HEADER)
        client.say(plain(user, password or USERS[user]))
        client.say(HEADER)
        client.say(bind(resource))
        if presence:
            client.say("<presence/>")
        return client


def plain(user, password):
    response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return f"<auth xmlns='{names.SASL}' mechanism='PLAIN'>{response}</auth>"


def bind(resource):
    return f"<iq type='set' id='b'><bind xmlns='{names.BIND}'><resource>{resource}</resource></bind></iq>"


@pytest.fixture
def world():
    return World()


def test_a_login_goes_through_its_steps(world):
    client = world.connect()
    (offer,) = client.say(HEADER)
    assert "<mechanism>PLAIN</mechanism>" in offer
    (success,) = client.say(plain("romeo", "garden"))
    assert success.startswith("<success")
    (offer,) = client.say(HEADER)
    assert names.BIND in offer
    assert "mechanism" not in offer
    (bound,) = client.say(bind("garden"))
    assert f"<jid>romeo@{DOMAIN}/garden</jid>" in bound


def test_it_is_the_same_in_single_bytes(world):
    client = world.connect()
    for raw in (HEADER, plain("romeo", "garden").encode(), HEADER, bind("garden").encode()):
        for at in range(len(raw)):
            client.say(raw[at : at + 1])
    assert f"romeo@{DOMAIN}/garden" in client.elements[-1]


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ([stream.header(to="mantua.example")], "host-unknown"),
        ([stream.header()], "host-unknown"),
        ([HEADER, "<presence/>"], "not-authorized"),
        ([HEADER, bind("x")], "not-authorized"),
        ([HEADER, plain("romeo", "garden"), HEADER, "<presence/>"], "not-authorized"),
        ([HEADER, plain("romeo", "garden"), HEADER, bind("\x7f\x7f")], "invalid-xml"),
        ([HEADER, plain("romeo", "garden"), HEADER, bind("x"), "<r xmlns='urn:xmpp:sm:3'/>"],
         "unsupported-stanza-type"),
        ([HEADER, plain("romeo", "garden"), HEADER, bind("x"), HEADER], "not-authorized"),
        ([HEADER, "<<"], "not-well-formed"),
        ([HEADER, "<auth>" + "x" * 300_000], "policy-violation"),
    ],
)  # fmt: skip
def test_what_is_out_of_turn_ends_the_stream(world, said, condition):
    client = world.connect()
    client.say(*said[:1])
    for one in said[1:]:
        client.say(one)
    assert f"<{condition} " in client.elements[-1]
    assert client.ended
    assert world.seen == []


@pytest.mark.parametrize(
    "attempt",
    [
        plain("romeo", "balcony"),
        plain("romeo", ""),
        plain("tybalt", "garden"),
        f"<auth xmlns='{names.SASL}' mechanism='PLAIN'>?</auth>",
        f"<auth xmlns='{names.SASL}' mechanism='PLAIN'>//8=</auth>",
        plain("romeo", "garden").replace("PLAIN", "ANONYMOUS"),
    ],
)
def test_nobody_else_gets_in(world, attempt):
    client = world.connect()
    client.say(HEADER)
    (failure,) = client.say(attempt)
    assert "<not-authorized/>" in failure
    assert client.ended


def test_a_resource_is_bound_once(world):
    world.log_in("romeo", "garden")
    second = world.log_in("romeo", "garden")
    assert "<conflict " in second.elements[-1]
    assert second.ended


def test_presence_of_contacts_comes_and_goes(world):
    romeo = world.log_in("romeo", "garden")
    juliet = world.log_in("juliet", "balcony")
    mine, hers = romeo.stanzas("presence")
    assert (mine.from_, hers.from_) == (f"romeo@{DOMAIN}/garden", f"juliet@{DOMAIN}/balcony")
    assert f"romeo@{DOMAIN}/garden" in [one.from_ for one in juliet.stanzas("presence")]
    juliet.say(stream.END)
    assert juliet.ended
    gone = romeo.stanzas("presence")[-1]
    assert (gone.from_, gone.type) == (f"juliet@{DOMAIN}/balcony", "unavailable")


def test_who_sent_no_presence_gets_none_and_no_messages_to_the_account(world):
    quiet = world.log_in("juliet", "cellar", presence=False)
    romeo = world.log_in("romeo", "garden")
    (error,) = romeo.say(f"<message to='juliet@{DOMAIN}' id='1'><body>x</body></message>")
    assert "<service-unavailable " in error
    assert quiet.stanzas("presence") == quiet.stanzas("message") == []


def test_messages_go_to_the_resource_or_to_all_that_are_there(world):
    romeo = world.log_in("romeo", "garden")
    balcony, cellar = world.log_in("juliet", "balcony"), world.log_in("juliet", "cellar")
    romeo.say(f"<message to='juliet@{DOMAIN}/cellar' id='1' from='tybalt@{DOMAIN}'><body>1</body></message>")
    romeo.say(f"<message to='JULIET@{DOMAIN}' id='2'><body>2</body></message>")
    romeo.say(f"<message to='juliet@{DOMAIN}/gone' id='3'><body>3</body></message>")
    assert [one.id for one in balcony.stanzas("message")] == ["2", "3"]
    assert [one.id for one in cellar.stanzas("message")] == ["1", "2", "3"]
    assert {one.from_ for one in cellar.stanzas("message")} == {f"romeo@{DOMAIN}/garden"}, (
        "what it said of itself"
    )
    assert [sender for sender, raw in world.seen if raw.startswith(b"<message")] == [
        f"romeo@{DOMAIN}/garden"
    ] * 3


PUBLISH_AT_JULIET = (
    f"<iq type='set' to='juliet@verona.example' id='1'><pubsub xmlns='{PUBSUB}'><publish node='n'><item/></publish>"
    "</pubsub></iq>"
)


@pytest.mark.parametrize(
    ("raw", "condition"),
    [
        ("<message to='a@@b' id='1'><body>x</body></message>", "jid-malformed"),
        ("<message to='tybalt@verona.example' id='1'><body>x</body></message>", "service-unavailable"),
        ("<message to='juliet@mantua.example' id='1'><body>x</body></message>", "service-unavailable"),
        ("<iq type='get' to='juliet@verona.example/x' id='1'><q xmlns='urn:x'/></iq>", "service-unavailable"),
        ("<iq type='get' id='1'><query xmlns='urn:unknown'/></iq>", "service-unavailable"),
        (f"<iq type='get' to='juliet@verona.example' id='1'><query xmlns='{ROSTER}'/></iq>", "service-unavailable"),
        (f"<iq type='set' id='1'><query xmlns='{ROSTER}'/></iq>", "service-unavailable"),
        (PUBLISH_AT_JULIET, "service-unavailable"),
    ],
)  # fmt: skip
def test_what_goes_nowhere_comes_back(world, raw, condition):
    romeo = world.log_in("romeo", "garden")
    (error,) = romeo.say(raw)
    assert "type='error'" in error
    assert "id='1'" in error
    assert f"<{condition} " in error


@pytest.mark.parametrize(
    "raw",
    [
        "<message to='juliet@verona.example' type='error' id='1'/>",
        "<iq type='result' to='juliet@verona.example/x' id='1'/>",
        "<iq type='error' id='1'/>",
        "<presence to='tybalt@verona.example'/>",
        "<presence type='subscribe' to='juliet@verona.example'/>",
    ],
)
def test_answers_and_presence_are_never_answered(world, raw):
    assert world.log_in("romeo", "garden").say(raw) == []


def test_roster_and_service_discovery(world):
    romeo = world.log_in("romeo", "garden")
    (roster,) = romeo.say(f"<iq type='get' id='1'><query xmlns='{ROSTER}'/></iq>")
    assert f"<item jid='juliet@{DOMAIN}' subscription='both'/>" in roster
    (info,) = romeo.say(f"<iq type='get' to='{DOMAIN}' id='2'><query xmlns='{DISCO}'/></iq>")
    assert "category='server'" in info


def test_iqs_between_clients_pass(world):
    romeo, juliet = world.log_in("romeo", "garden"), world.log_in("juliet", "balcony")
    romeo.say(f"<iq type='get' to='juliet@{DOMAIN}/balcony' id='7'><q xmlns='urn:x'/></iq>")
    asked = juliet.stanzas("iq")[-1]
    assert (asked.id, asked.from_) == ("7", f"romeo@{DOMAIN}/garden")
    juliet.say(f"<iq type='result' to='{asked.from_}' id='7'/>")
    assert romeo.stanzas("iq")[-1].type == "result"


def publish(item, text):
    return (
        f"<iq type='set' id='p'><pubsub xmlns='{PUBSUB}'><publish node='keys'><item id='{item}'>"
        f"<k xmlns='urn:k'>{text}</k></item></publish></pubsub></iq>"
    )


ITEMS = (
    f"<iq type='get' to='romeo@{DOMAIN}' id='i'><pubsub xmlns='{PUBSUB}'><items node='keys'/></pubsub></iq>"
)


def test_what_is_published_can_be_looked_up_by_others_and_is_bounded(world):
    romeo, juliet = world.log_in("romeo", "garden"), world.log_in("juliet", "balcony")
    romeo.say(publish("one", "old"))
    romeo.say(publish("one", "new"))
    (found,) = juliet.say(ITEMS)
    assert "new" in found
    assert "old" not in found
    for number in range(MOST_ITEMS + 3):
        romeo.say(publish(f"more{number}", "x"))
    (found,) = juliet.say(ITEMS)
    assert found.count("<item ") == MOST_ITEMS
    assert "'one'" not in found


# -- the attacker ------------------------------------------------------------------------------------------------------


def turncoat():
    changed = []
    world = World(Turncoat, changed=lambda before, after: changed.append((before.raw, after.raw)))
    return world, changed


@pytest.mark.parametrize("data", [bytes(range(n)) for n in (6, 7, 8, 40, 250)], ids=len)
@pytest.mark.parametrize("code", [base64.b64encode, base64.urlsafe_b64encode])
def test_one_bit_is_changed(data, code):
    raw = b"<message xmlns='jabber:client'><body>?X:" + code(data) + b".</body></message>"
    changed = flipped(raw)
    assert len(changed) == len(raw)
    decode = base64.b64decode if code is base64.b64encode else base64.urlsafe_b64decode
    after = decode(Stanza.parse(changed).tree.children[0].text[3:-1])
    assert len(after) == len(data)
    assert sum((one ^ other).bit_count() for one, other in zip(data, after, strict=True)) == 1


def test_without_base64_nothing_is_changed():
    assert flipped(b"<message xmlns='jabber:client'><body>so.</body></message>") is None


def test_the_attacker_is_honest_until_told():
    world, changed = turncoat()
    romeo, juliet = world.log_in("romeo", "garden"), world.log_in("juliet", "balcony")
    text = "?X:" + base64.b64encode(b"0123456789abcdef").decode() + "."
    say = f"<message to='juliet@{DOMAIN}' id='1'><body>{text}</body></message>"
    romeo.say(say)
    assert juliet.stanzas("message")[-1].tree.children[0].text == text
    assert changed == []
    world.server.change_next()
    romeo.say(say)
    assert juliet.stanzas("message")[-1].tree.children[0].text != text
    romeo.say(say)
    assert juliet.stanzas("message")[-1].tree.children[0].text == text, "it was told to change one"
    ((before, after),) = changed
    assert text.encode() in before
    assert text.encode() not in after


def test_the_deceived_sees_the_impostor_and_nobody_else_does():
    world, _ = turncoat()
    romeo, juliet = world.log_in("romeo", "garden"), world.log_in("juliet", "balcony")
    juliet.say(publish("hers", "her-key"))
    world.server.show_another("juliet", "romeo", "salt")
    world.wires.run()
    gone = romeo.stanzas("presence")[-1]
    assert (gone.from_, gone.type) == (f"juliet@{DOMAIN}/balcony", "unavailable")
    false = world.log_in("juliet", "cellar", "salt")
    false.say(publish("false", "false-key"))
    came = romeo.stanzas("presence")[-1]
    assert (came.from_, came.type) == (f"juliet@{DOMAIN}/cellar", None)
    before = len(juliet.pieces)
    romeo.say(f"<message to='juliet@{DOMAIN}' id='1'><body>x</body></message>")
    romeo.say(f"<message to='juliet@{DOMAIN}/balcony' id='2'><body>x</body></message>")
    assert [one.id for one in false.stanzas("message")] == ["1", "2"]
    assert len(juliet.pieces) == before
    items = ITEMS.replace("romeo@", "juliet@")
    assert "false-key" in romeo.say(items)[0]
    assert "her-key" in juliet.say(items)[0]
    juliet.say("<presence/>")
    assert romeo.stanzas("presence")[-1] == came


def test_the_victim_still_gets_in_and_a_guess_does_not():
    world, _ = turncoat()
    world.log_in("romeo", "garden")
    world.server.show_another("juliet", "romeo", "salt")
    assert world.server.log_in("juliet", "balcony") is world.server.accounts["juliet"]
    assert world.server.log_in("juliet", "salt") is not world.server.accounts["juliet"]
    assert world.server.log_in("juliet", "pepper") is None
    assert world.server.log_in("romeo", "salt") is None
