"""Each kind of stanza is recognised as what it is, and the kinds table says what DESIGN.md lays down."""

from __future__ import annotations

import re

import pytest

from e2eproxy.methods.traits import Traits
from e2eproxy.proxy.classify import Scene, classify, command
from e2eproxy.proxy.kinds import KINDS, METHOD_KINDS, Kind, Row, Setting, Treatment, Whose
from e2eproxy.proxy.shapes import Ids
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.tree import parse

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
OWN = JID.parse("romeo@example.test/orchard")
ROOM = JID.parse("hall@rooms.example.test")
SCENE = Scene(own=OWN, rooms={ROOM}, proxy=JID.parse("e2e.localhost"))
SPEAKS = Scene(own=OWN, rooms={ROOM}, proxy=JID.parse("e2e.localhost"), speaks={"omemo-legacy"})


def tree(text: str):
    return parse(ROOT, text.encode())


def kind(text: str, scene: Scene = SCENE, **ids) -> Kind:
    return classify(tree(text), scene, Ids(**ids)).kind


def test_a_line_that_is_meant_as_text_is_none_to_the_proxy():
    said = tree("<message to='j@x.test'><body>/e2e clear once</body></message>")
    assert classify(said, SCENE).kind is Kind.PROXY
    assert classify(said, SCENE, literal=True).kind is Kind.CHAT
    assert (
        classify(tree("<message to='e2e.localhost'><body>/e2e</body></message>"), SCENE, literal=True).kind
        is Kind.PROXY
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<presence><body>/e2e clear</body></presence>", Kind.PRESENCE),
        ("<iq to='j@x.test' type='result' id='1'><body>/e2e clear</body></iq>", Kind.IQ_RESULT),
    ],
)
def test_only_a_message_says_something_to_the_proxy(text, found):
    assert kind(text) is found


MESSAGES = [
    ("<message to='j@x.test'><body>hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test/r' type='chat'><body>hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test' type='headline'><body>hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test' type='normal'><body>hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test' type='invented'><body>hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test'><body/></message>", Kind.CHAT),
    ("<message to='x.test'><body>hi</body></message>", Kind.CHAT),
    ("<message to='example.test/announce/online'><body>hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test'><body>//e2e is a command</body></message>", Kind.CHAT),
    ("<message to='j@x.test'><body>/e2ee hi</body></message>", Kind.CHAT),
    ("<message to='j@x.test'><body>hi /e2e clear</body></message>", Kind.CHAT),
    (
        "<message to='j@x.test'><body>hi</body><html xmlns='http://jabber.org/protocol/xhtml-im'/></message>",
        Kind.CHAT,
    ),
    ("<message to='j@x.test'><body>?OTR: hi</body></message>", Kind.CHAT),
    ("<message to='romeo@example.test'><body>hi</body></message>", Kind.SELF),
    ("<message to='ROMEO@EXAMPLE.TEST/other'><body>hi</body></message>", Kind.SELF),
    ("<message><body>hi</body></message>", Kind.SELF),
    (
        "<message to='j@x.test'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        Kind.SIGNAL,
    ),
    ("<message to='j@x.test'/>", Kind.SIGNAL),
    ("<message><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", Kind.SIGNAL),
    (
        (
            "<message to='j@x.test' id='7'><paused xmlns='http://jabber.org/protocol/chatstates'/>"
            "<origin-id xmlns='urn:xmpp:sid:0' id='7'/></message>"
        ),
        Kind.SIGNAL,
    ),
    (
        "<message to='j@x.test'><received xmlns='urn:xmpp:receipts' id='1f0ec9a4-7c35-4dbe-8f3b-0a4c6d0f1b2e'/></message>",
        Kind.SIGNAL,
    ),
    (
        "<message to='j@x.test'><received xmlns='urn:xmpp:receipts' id='tell juliet'/></message>",
        Kind.BODYLESS,
    ),
    (
        "<message to='j@x.test'><composing xmlns='http://jabber.org/protocol/chatstates'>hi</composing></message>",
        Kind.BODYLESS,
    ),
    ("<message to='j@x.test'>hi</message>", Kind.BODYLESS),
    ("<message to='j@x.test'><rtt xmlns='urn:xmpp:rtt:0'><t>h</t></rtt></message>", Kind.BODYLESS),
    ("<message to='j@x.test'><subject>hi</subject></message>", Kind.BODYLESS),
    ("<message to='j@x.test'><thread>hi there</thread></message>", Kind.BODYLESS),
    ("<message to='j@x.test'><body xmlns='jabber:server'>hi</body></message>", Kind.BODYLESS),
    (
        "<message to='j@x.test'><x xmlns='jabber:x:conference' jid='a@b' reason='hi'/></message>",
        Kind.BODYLESS,
    ),
    ("<message to='j@x.test'><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>", Kind.BODYLESS),
    ("<message to='hall@rooms.example.test' type='groupchat'><body>hi</body></message>", Kind.GROUP_CHAT),
    ("<message to='unknown@rooms.example.test' type='groupchat'><body>hi</body></message>", Kind.GROUP_CHAT),
    (
        "<message to='hall@rooms.example.test' type='groupchat'><subject>hi</subject></message>",
        Kind.GROUP_CHAT,
    ),
    ("<message type='groupchat'><body>hi</body></message>", Kind.GROUP_CHAT),
    ("<message to='HALL@rooms.example.test/nick'><body>hi</body></message>", Kind.MUC_PRIVATE),
    (
        "<message to='hall@rooms.example.test/nick' type='chat'><subject>hi</subject></message>",
        Kind.MUC_PRIVATE,
    ),
    (
        (
            "<message to='hall@rooms.example.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='j@x.test'>"
            "<reason>hi</reason></invite></x></message>"
        ),
        Kind.ROOM_REQUEST,
    ),
    ("<message to='hall@rooms.example.test'><body>hi</body></message>", Kind.ROOM_REQUEST),
    (
        (
            "<message to='other@rooms.example.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='j@x.test'/>"
            "</x><body>hi</body></message>"
        ),
        Kind.ROOM_REQUEST,
    ),
    (
        "<message to='other@rooms.example.test/nick'><body>hi</body><x xmlns='http://jabber.org/protocol/muc#user'/></message>",
        Kind.CHAT,
    ),
    ("<message to='j@x.test' type='error'><body>hi</body><error type='cancel'/></message>", Kind.ERROR),
    ("<message to='j@x.test' type='error'><body>/e2e hi</body></message>", Kind.ERROR),
    ("<message to='j@x.test'><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>", Kind.TRANSFER),
    (
        "<message to='j@x.test'><data xmlns='http://jabber.org/protocol/ibb'>aGk=</data></message>",
        Kind.TRANSFER,
    ),
    (
        "<message to='j@x.test'><body>hi</body><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>",
        Kind.TRANSFER,
    ),
    (
        (
            "<message to='multicast.x.test'><addresses xmlns='http://jabber.org/protocol/address'>"
            "<address type='to' jid='j@x.test'/></addresses><body>hi</body></message>"
        ),
        Kind.MULTICAST,
    ),
    (
        "<message to='j@x.test'><addresses xmlns='http://jabber.org/protocol/address'/><body>/e2e hi</body></message>",
        Kind.MULTICAST,
    ),
    (
        (
            "<message to='j@x.test'><addresses xmlns='http://jabber.org/protocol/address'>"
            "<address type='to' jid='a@@b'/></addresses></message>"
        ),
        Kind.BAD_ADDRESS,
    ),
    ("<message to='j@x.test'><body>/e2e clear once</body></message>", Kind.PROXY),
    ("<message to='j@x.test'><body>/e2e</body></message>", Kind.PROXY),
    ("<message to='j@x.test'><body> \n/E2E what</body></message>", Kind.PROXY),
    ("<message to='j@x.test'><body>hi</body><body xml:lang='de'>/e2e clear</body></message>", Kind.PROXY),
    ("<message to='j@x.test' type='groupchat'><body>/e2e clear</body></message>", Kind.PROXY),
    ("<message to='hall@rooms.example.test/nick'><body>/e2e clear</body></message>", Kind.PROXY),
    ("<message to='e2e.localhost'><body>hi</body></message>", Kind.PROXY),
    ("<message to='E2E.localhost/x' type='error'/>", Kind.PROXY),
    ("<message to=''><body>hi</body></message>", Kind.BAD_ADDRESS),
    ("<message to='j@@x'><body>hi</body></message>", Kind.BAD_ADDRESS),
    ("<message to='j\uff20x.test'><body>hi</body></message>", Kind.BAD_ADDRESS),
    ("<message to='j@x.test'><body>?OTRv23?</body></message>", Kind.ENCRYPTED),
    ("<message to='j@x.test' type='groupchat'><body>?OTRv23?</body></message>", Kind.ENCRYPTED),
    ("<message to='j@x.test' type='error'><body>?OTRv23?</body></message>", Kind.ERROR),
]

PRESENCES = [
    ("<presence/>", Kind.PRESENCE),
    ("<presence type='unavailable'><status>bye</status></presence>", Kind.PRESENCE),
    ("<presence type='invisible'/>", Kind.UNKNOWN),
    ("<presence to='j@x.test' type='invented'/>", Kind.UNKNOWN),
    ("<presence to='j@x.test'><status>hi</status></presence>", Kind.DIRECTED_PRESENCE),
    ("<presence to='j@x.test/r'/>", Kind.DIRECTED_PRESENCE),
    ("<presence to='j@x.test' type='probe'/>", Kind.DIRECTED_PRESENCE),
    ("<presence to='j@x.test' type='unavailable'/>", Kind.DIRECTED_PRESENCE),
    (
        "<presence to='j@x.test'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
        Kind.DIRECTED_PRESENCE,
    ),
    ("<presence to='j@x.test/n'><x xmlns='http://jabber.org/protocol/muc'/></presence>", Kind.ROOM_PRESENCE),
    ("<presence to='hall@rooms.example.test/n'/>", Kind.ROOM_PRESENCE),
    ("<presence to='hall@rooms.example.test/n' type='unavailable'/>", Kind.ROOM_PRESENCE),
    *(
        (f"<presence to='j@x.test' type='{one}'/>", Kind.SUBSCRIPTION)
        for one in ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
    ),
    ("<presence type='subscribe'/>", Kind.SUBSCRIPTION),
    ("<presence to='j@x.test' type='error'/>", Kind.ERROR),
    ("<presence type='error'/>", Kind.ERROR),
    ("<presence to='@'/>", Kind.BAD_ADDRESS),
    ("<presence to='e2e.localhost'/>", Kind.PROXY),
]


def iq(payload: str, to: str = "j@x.test/r", type_: str = "get", more: str = "id='1'") -> str:
    address = f"to='{to}'" if to else ""
    return f"<iq {more} type='{type_}' {address}>{payload}</iq>"


DISCO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
NODE = "<query xmlns='http://jabber.org/protocol/disco#info' node='http://c.test#abc'/>"
FETCH = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='eu.siacs.conversations.axolotl.devicelist'/></pubsub>"
PUBLISH = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='mood'><item/></publish></pubsub>"

# What clients ask their own servers.
SERVERS = [
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    "jabber:iq:version",
    "urn:xmpp:ping",
    "urn:xmpp:time",
    "jabber:iq:time",
    "jabber:iq:last",
    "urn:ietf:params:xml:ns:xmpp-bind",
    "urn:ietf:params:xml:ns:xmpp-session",
    "jabber:iq:register",
    "jabber:iq:privacy",
    "jabber:iq:search",
    "urn:xmpp:blocking",
    "urn:xmpp:reporting:1",
    "urn:xmpp:carbons:2",
    "urn:xmpp:mam:0",
    "urn:xmpp:mam:1",
    "urn:xmpp:mam:2",
    "urn:xmpp:push:0",
    "urn:xmpp:extdisco:1",
    "urn:xmpp:extdisco:2",
    "urn:xmpp:sic:0",
    "urn:xmpp:sic:1",
    "urn:xmpp:invite#invite",
    "http://jabber.org/protocol/commands",
    "http://jabber.org/protocol/offline",
    "google:mail:notify",
]
TOLD = SERVERS[:7]

HARMLESS = [
    DISCO,
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    "<query xmlns='jabber:iq:version'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<query xmlns='jabber:iq:time'/>",
    "<time xmlns='urn:xmpp:time'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
]
IQS = [
    *((iq(one), Kind.IQ_HARMLESS) for one in HARMLESS),
    *((iq(one, to="hall@rooms.example.test/n"), Kind.IQ_HARMLESS) for one in HARMLESS),
    *((iq(one, type_="set"), Kind.IQ) for one in HARMLESS),
    *(
        (iq(one.replace("/>", ">hi</query>").replace("<ping", "<query").replace("<time", "<query")), Kind.IQ)
        for one in HARMLESS
    ),
    *((iq(one.replace("/>", " a='hi'/>")), Kind.IQ) for one in HARMLESS),
    *(
        (
            iq(one.replace("/>", "><x/></query>").replace("<ping", "<query").replace("<time", "<query")),
            Kind.IQ,
        )
        for one in HARMLESS
    ),
    (iq(NODE), Kind.IQ),
    (iq("<vCard xmlns='vcard-temp'/>"), Kind.IQ),
    (iq("<query xmlns='jabber:iq:roster'/>"), Kind.IQ),
    (iq("<query xmlns='jabber:iq:private'/>"), Kind.IQ),
    (iq(PUBLISH, type_="set"), Kind.IQ),
    (iq(FETCH), Kind.IQ),
    (iq(DISCO, to="x.test"), Kind.IQ_HARMLESS),
    (iq("<query xmlns='jabber:iq:register'/>", to="x.test"), Kind.IQ),
    (iq(DISCO, to="romeo@example.test/other"), Kind.IQ_HARMLESS),
    (iq("<query xmlns='jabber:iq:roster'/>", to="romeo@example.test/other"), Kind.IQ),
    (iq("<query xmlns='http://jabber.org/protocol/muc#owner'/>", to="hall@rooms.example.test"), Kind.ROOM_IQ),
    (iq("<vCard xmlns='vcard-temp'/>", to="hall@rooms.example.test/n"), Kind.ROOM_IQ),
    (iq(DISCO + DISCO), Kind.UNKNOWN),
    (iq(""), Kind.UNKNOWN),
    (iq(DISCO, type_="invented"), Kind.UNKNOWN),
    (iq(DISCO, more=""), Kind.UNKNOWN),
    (iq(DISCO, more="id=''"), Kind.UNKNOWN),
    ("<iq id='1' to='j@x.test'><ping xmlns='urn:xmpp:ping'/></iq>", Kind.UNKNOWN),
    (iq("", type_="error"), Kind.ERROR),
    (iq(DISCO, type_="result"), Kind.IQ_RESULT_OF_ITSELF),
    (iq("", type_="result"), Kind.IQ_RESULT_OF_ITSELF),
    (iq("", type_="result", to=""), Kind.IQ_RESULT_OF_ITSELF),
    (iq("<time xmlns='urn:xmpp:time'><utc>x</utc></time>", type_="result"), Kind.IQ_RESULT_OF_ITSELF),
    *(
        (iq(f"<query xmlns='{namespace}'>x</query>", type_="result"), Kind.IQ_RESULT_OF_ITSELF)
        for namespace in TOLD
    ),
    (
        iq("".join(f"<query xmlns='{namespace}'/>" for namespace in TOLD), type_="result"),
        Kind.IQ_RESULT_OF_ITSELF,
    ),
    (iq("<vCard xmlns='vcard-temp'/>", type_="result"), Kind.IQ_RESULT),
    (iq(DISCO + "<x xmlns='jabber:x:data'/>", type_="result"), Kind.IQ_RESULT),
    *(
        (iq(f"<a xmlns='{namespace}'/>", type_="set"), Kind.TRANSFER)
        for namespace in (
            "urn:xmpp:jingle:1",
            "http://jabber.org/protocol/si",
            "http://jabber.org/protocol/ibb",
            "http://jabber.org/protocol/bytestreams",
            "jabber:iq:oob",
            "urn:xmpp:bob",
            "urn:xmpp:jingle-message:0",
            "urn:xmpp:call-invites:0",
            "http://jabber.org/protocol/jinglenodes",
            "http://www.google.com/session",
            "http://www.google.com/transport/p2p",
        )
    ),
    (iq("<query xmlns='http://jabber.org/protocol/bytestreams'/>", to="proxy.example.test"), Kind.TRANSFER),
    (iq("<query xmlns='http://jabber.org/protocol/bytestreams'/>", to="example.test"), Kind.TRANSFER),
    *(
        (iq(f"<request xmlns='{namespace}' filename='x'/>", to=to), Kind.UPLOAD)
        for namespace in (
            "urn:xmpp:http:upload",
            "urn:xmpp:http:upload:0",
            "eu:siacs:conversations:http:upload",
            "p1:s3filetransfer",
        )
        for to in ("upload.example.test", "example.test", "")
    ),
    *(
        (iq(f"<save xmlns='{namespace}'/>", to=to, type_="set"), Kind.ARCHIVING)
        for namespace in ("urn:xmpp:archive", "http://www.xmpp.org/extensions/xep-0136.html#ns")
        for to in ("", "example.test")
    ),
    *(
        (iq(payload, to=to, type_=type_), expected)
        for to in ("", "romeo@example.test", "example.test", "Romeo@EXAMPLE.test")
        for type_ in ("get", "set")
        for payload, expected in (
            ("<query xmlns='jabber:iq:roster'/>", Kind.ROSTER),
            ("<vCard xmlns='vcard-temp'/>", Kind.VCARD),
            ("<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>", Kind.VCARD),
            ("<query xmlns='jabber:iq:private'/>", Kind.PRIVATE),
            (PUBLISH, Kind.PEP),
            ("<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'/>", Kind.PEP),
            (DISCO, Kind.OWN_IQ),
            (NODE, Kind.OWN_IQ),
            ("<enable xmlns='urn:xmpp:carbons:2'/>", Kind.OWN_IQ),
            ("<query xmlns='urn:xmpp:mam:2'/>", Kind.OWN_IQ),
            ("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>", Kind.OWN_IQ),
            *((f"<query xmlns='{namespace}'/>", Kind.OWN_IQ) for namespace in SERVERS),
            ("<query xmlns='urn:invented'/>", Kind.OWN_IQ_UNKNOWN),
            ("<query/>", Kind.OWN_IQ_UNKNOWN),
        )
    ),
]


@pytest.mark.parametrize(("text", "expected"), [*MESSAGES, *PRESENCES, *IQS])
def test_stanzas_are_of_their_kind(text, expected):
    assert kind(text) is expected


def test_every_kind_of_stanza_is_tried():
    tried = {expected for _, expected in (*MESSAGES, *PRESENCES, *IQS)}
    assert set(Kind) - tried == {Kind.NONZA, Kind.KEY_REQUEST}  # the next tests try the latter


def test_what_is_no_stanza_is_unknown():
    assert kind("<messages to='j@x.test'/>") is Kind.UNKNOWN
    assert kind("<message xmlns='jabber:server' to='j@x.test'/>") is Kind.UNKNOWN


def test_a_node_is_harmless_only_if_the_contact_announced_it():
    assert kind(iq(NODE), nodes={"http://c.test#abc"}) is Kind.IQ_HARMLESS
    assert kind(iq(NODE), nodes={"http://c.test#other"}) is Kind.IQ


@pytest.mark.parametrize(
    "node",
    [
        "http://jabber.org/protocol/commands",
        "http://jabber.org/protocol/muc#rooms",
        "http://jabber.org/protocol/muc#traffic",
        "x-roomuser-item",
    ],
)
def test_nodes_of_standards_are_harmless(node):
    assert kind(iq(NODE.replace("http://c.test#abc", node))) is Kind.IQ_HARMLESS


def test_a_receipt_is_a_signal_if_the_contact_used_the_id():
    receipt = "<message to='j@x.test'><received xmlns='urn:xmpp:receipts' id='of juliet'/></message>"
    assert kind(receipt, of_peer={"of juliet"}) is Kind.SIGNAL
    assert kind(receipt, of_peer={"of nobody"}) is Kind.BODYLESS


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (FETCH, Kind.KEY_REQUEST),
        (FETCH.replace("devicelist", "bundles:31415"), Kind.KEY_REQUEST),
        (FETCH.replace("/></pubsub>", "><item id='31415'/></items></pubsub>"), Kind.KEY_REQUEST),
        (FETCH.replace("devicelist'", "devicelist' max_items='1'"), Kind.KEY_REQUEST),
        (
            FETCH.replace("eu.siacs.conversations.axolotl.devicelist", "urn:xmpp:omemo:2:bundles"),
            Kind.KEY_REQUEST,
        ),
        (
            FETCH.replace("eu.siacs.conversations.axolotl.devicelist", "urn:xmpp:openpgp:0:public-keys"),
            Kind.KEY_REQUEST,
        ),
        (FETCH.replace("eu.siacs.conversations.axolotl.devicelist", "urn:xmpp:microblog:0"), Kind.IQ),
        (FETCH.replace("devicelist", "devicelist hi"), Kind.IQ),
        (FETCH.replace("/></pubsub>", "><item id='hi'/></items></pubsub>"), Kind.IQ),
        (FETCH.replace(" node='eu.siacs.conversations.axolotl.devicelist'", ""), Kind.IQ),
        (FETCH.replace("/></pubsub>", "><item id='current'/></items></pubsub>"), Kind.KEY_REQUEST),
        (FETCH.replace("/></pubsub>", f">{'<item/>' * 100}</items></pubsub>"), Kind.KEY_REQUEST),
        (FETCH.replace("/></pubsub>", f">{'<item/>' * 101}</items></pubsub>"), Kind.IQ),
        (PUBLISH, Kind.IQ),
    ],
)
def test_keys_are_fetched_by_clients_that_encrypt_themselves(payload, expected):
    assert kind(iq(payload), SPEAKS) is expected
    assert kind(iq(payload, type_="set"), SPEAKS) is Kind.IQ


def test_whom_it_concerns():
    found = classify(tree("<message to='J@X.test/R'><body>hi</body></message>"), SCENE)
    assert str(found.to) == "j@x.test/R"
    assert str(found.contact) == "j@x.test"
    for text in ("<message><body>hi</body></message>", "<presence/>"):
        found = classify(tree(text), SCENE)
        assert found.to is None
        assert found.contact == OWN.bare
    assert classify(tree("<message to='@'/>"), SCENE).contact is None


def test_all_recipients_of_a_multicast_are_named():
    found = classify(
        tree(
            "<message to='m.x.test'><addresses xmlns='http://jabber.org/protocol/address'>"
            "<address type='to' jid='J@x.test/r'/><address type='bcc' jid='a@x.test'/><address type='cc' uri='mailto:x'/>"
            "<other jid='o@x.test'/></addresses></message>"
        ),
        SCENE,
    )
    assert [str(one) for one in found.recipients] == ["a@x.test", "j@x.test", "m.x.test"]


def test_without_a_reserved_jid_nothing_is_for_the_proxy():
    assert kind("<message to='e2e.localhost'><body>hi</body></message>", Scene(own=OWN)) is Kind.CHAT


def test_the_text_of_a_command():
    assert (
        command(tree("<message><body>hi</body><body xml:lang='x'> /e2e a b</body></message>")) == " /e2e a b"
    )
    assert command(tree("<message><body>hi</body></message>")) is None
    assert command(tree("<message><subject>/e2e clear</subject></message>")) is None


def test_what_was_encrypted_does_not_show():
    found = classify(tree("<message to='j@x.test'><body>?OTRv23?</body></message>"), SCENE)
    assert found.encrypted is not None
    assert "OTRv23" not in repr(found)


# The kinds table once more, from DESIGN.md and not from the code: require, prefer, accept, never, unknown, whose, marks.
TABLE = """
chat                  must           should         may            pass refuse contact sticky
signal                inside-or-trim inside-or-pass inside-or-pass pass trim   contact answer
bodyless              rest-must      rest-should    rest-may       pass refuse contact sticky
self                  must           should         may            pass refuse contact sticky
muc-private           must           should         may            pass refuse room    sticky
groupchat             must           should         may            pass refuse room    sticky
room-request          refuse         pass           pass           pass refuse room
multicast             refuse         pass           pass           pass refuse recipients sticky
client-encrypted      trim           trim           trim           trim trim   nobody
error                 bare           pass           pass           pass bare   contact sticky answer
presence              pass           pass           pass           pass trim   account visible
directed-presence     trim           pass           pass           pass trim   contact visible
subscription          trim           pass           pass           pass trim   contact
room-presence         trim           pass           pass           pass trim   room    visible
iq-harmless           trim           pass           pass           pass trim   contact
iq                    must           may            may            pass refuse contact
iq-result             bare           pass           pass           pass bare   contact sticky answer
iq-result-of-itself   pass           pass           pass           pass bare   contact visible answer
key-request           trim           pass           pass           pass trim   contact
room-iq               refuse         pass           pass           pass refuse room
transfer              refuse         pass           pass           pass refuse contact sticky
upload                refuse         pass           pass           pass refuse account
archiving             refuse         pass           pass           pass refuse account
roster                pass           pass           pass           pass refuse account visible
vcard                 pass           pass           pass           pass refuse account visible
private-storage       pass           pass           pass           pass refuse account visible
pep                   pass           pass           pass           pass refuse account visible
own-iq                pass           pass           pass           pass refuse account visible
own-iq-unknown        refuse         pass           pass           pass refuse account
proxy                 take           take           take           take take   nobody
nonza                 pass           pass           pass           pass pass   nobody  visible
bad-address           refuse         refuse         refuse         refuse refuse nobody
unknown               refuse         refuse         refuse         refuse refuse nobody
"""
LINES = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()}
ORDER = (Setting.REQUIRE, Setting.PREFER, Setting.ACCEPT, Setting.NEVER, Setting.UNKNOWN)


def test_every_kind_has_a_row():
    assert set(KINDS) == set(Kind)
    assert set(LINES) == {one.value for one in Kind}


@pytest.mark.parametrize("one", list(Kind), ids=lambda one: one.value)
def test_rows_say_what_the_design_says(one):
    row, line = KINDS[one], LINES[one.value]
    assert isinstance(row, Row)
    assert [row.treatment(setting).name.lower().replace("_", "-") for setting in ORDER] == line[:5]
    assert row.whose is Whose[line[5].upper()]
    marks = set(line[6:])
    assert row.sticky is ("sticky" in marks)
    assert row.answer is ("answer" in marks)
    assert bool(row.visible) is ("visible" in marks)
    assert row.condition == ("jid-malformed" if one is Kind.BAD_ADDRESS else "policy-violation")


def test_what_passes_verbatim_under_require_is_marked():
    for row in KINDS.values():
        if row.require is Treatment.PASS:
            assert row.visible


NAMES = """
chat                chat
self                chat
bodyless            bodyless
signal              bodyless
groupchat           groupchat
muc-private         muc-private
directed-presence   directed-presence
iq                  iq
iq-result           iq
iq-result-of-itself iq
"""


def test_kinds_have_the_names_that_methods_use_in_their_traits():
    assert {kind.value: name for kind, name in METHOD_KINDS.items()} == dict(
        line.split() for line in NAMES.strip().splitlines()
    )


def test_whatever_policy_may_want_encrypted_is_a_kind_that_methods_have_a_name_for():
    for one, row in KINDS.items():
        if any("encrypted" in row.treatment(setting).value for setting in ORDER):
            assert one in METHOD_KINDS


def test_the_traits_name_the_kinds_that_can_be_carried_and_no_others():
    kinds = re.search(r"``kinds``: (.*?);", Traits.__doc__, re.DOTALL)[1]
    assert set(re.findall(r'"([a-z-]+)"', kinds)) == set(METHOD_KINDS.values())
