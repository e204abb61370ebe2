"""A canary in every place a client can put text, in every state of a conversation: the server never sees it.

Except where the kinds table says that it does; those places are listed here, printed, and the same in the threat model. No
stanza vanishes either (law 4). This takes a sample, with a seed that is printed; ``tests/faults/leaks.py`` takes all of it.
"""

from __future__ import annotations

import base64
import os
import random
import re
import zlib
from pathlib import Path

import pytest
from attrs import evolve
from bed.guard_world import JULIET, ROMEO, ROOT, Leaky, World
from bed.leak_try import AFTERWARDS, CANARY, GROUPS, Conversation, Group, fits
from bed.place import SPELLINGS, Writing
from bed.places import PLACES, rows
from bed.session_states import METHODS, PREFER
from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.proxy.classify import Scene, classify
from e2eproxy.proxy.kinds import KINDS, Kind
from e2eproxy.proxy.notices import PROXY
from e2eproxy.testing.canary import Canary, _may_inflate
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

pytestmark = pytest.mark.once

SEED = int(os.environ["E2EPROXY_SEED"])  # which tests/conftest.py has set, if nobody else had
#: Places that are tried in every group.
ALWAYS = (
    "body",
    "subject",
    "id of a ping",
    "body with XEP-0033 addresses",
    "error that echoes an opened message",
    "result with an opened request's id",
)
THREAT_MODEL = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"
STANZAS = [place for place in PLACES if not place.no_stanza]


# -- nothing leaks --------------------------------------------------------------------------------------------------


def dealt():
    """Which places are tried in which group: each at least once."""
    rng = random.Random(SEED)
    always = {
        group: [place for place in PLACES if place.name in ALWAYS and fits(place, group)] for group in GROUPS
    }
    for place in PLACES:
        if place.name not in ALWAYS:
            always[rng.choice([group for group in GROUPS if fits(place, group)])].append(place)
    return always


def tried(group, places):
    """Write the places, and one of them once more with something that happens afterwards; yield each try."""
    rng = random.Random(f"{SEED} {group}")
    conversation = None
    for place in places:
        if conversation is None or not conversation.lasts:
            conversation = Conversation(group, SEED)
        yield conversation.write(place)
    ending = evolve(group, afterwards=rng.choice(AFTERWARDS[1:]))
    yield Conversation(ending, SEED).write(rng.choice(places))


DEALT = dealt()


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_nothing_leaks_and_nothing_vanishes(group):
    places = DEALT[group]
    rng = random.Random(f"{SEED} {group}")
    rng.shuffle(places)
    faults = [fault for one in tried(group, places) for fault in one.faults()]
    assert not faults, f"with E2EPROXY_SEED={SEED}:\n" + "\n".join(faults)


@pytest.mark.parametrize("ending", ["stream lost", "killed"])
def test_what_left_in_clear_is_not_repeated_under_require(ending):
    world = World(METHODS["session"](), manages=True)
    romeo, juliet = world.sides
    world.acknowledges = False
    text = f"<message to='{JULIET}' type='chat' id='c1'><body>{CANARY.token}</body></message>".encode()
    romeo.write(text)
    world.wait(3)
    assert CANARY.places(romeo.seen), "it was to wait for two seconds, and then to leave in clear"
    romeo.seen.clear()
    if ending.startswith("killed"):
        romeo.start()
    else:
        romeo.lose_stream()
    romeo.rules.rows["default", ""] |= {"when": "require"}
    romeo.log_in()
    world.acknowledges = True
    romeo.knows(juliet)
    romeo.write(text)
    world.wait(61)
    assert not CANARY.places(romeo.seen)


@pytest.mark.parametrize("method", ["session", "otr"])
def test_in_a_session_nothing_leaves_in_clear_though_policy_would_let_it(method):
    made = METHODS[method]()
    world = World(made)
    romeo, juliet = world.sides
    for side in world.sides:
        side.rules.rows["default", ""] = PREFER | {"methods": made.traits.name}
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.is_friend_of(other)
        side.knows(other)
    romeo.command(juliet, "start")
    assert not romeo.is_sticky(juliet.jid)
    romeo.say(juliet.jid.bare, CANARY.token, "c1")
    assert CANARY.token in juliet.texts
    juliet.command(romeo, "end")
    romeo.say(juliet.jid.bare, CANARY.token, "c2")
    world.wait(61)
    assert not CANARY.places(romeo.seen)


@pytest.fixture(scope="module")
def leaking():
    return {method: Conversation(Group(method, "live", "require"), SEED, twin=Leaky) for method in METHODS}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_pipeline_that_forwards_everything_is_found_out(place, leaking):
    conversation = leaking["box" if place.needs else "object"]
    if place.no_stanza:
        # It never comes to a pipeline; that the search would find it is shown by what the client writes.
        assert CANARY.places([place.stanza(conversation._writing(place))])
    else:
        assert conversation.write(place).leaks


@pytest.mark.parametrize("place", STANZAS, ids=lambda place: place.name)
def test_each_place_is_what_the_table_takes_it_for(place):
    scene = Scene(own=ROMEO, rooms={JID.parse("garden@rooms.example.test")}, proxy=PROXY)
    coded = SPELLINGS["base64 at offset 1"](CANARY.token) if place.kind is Kind.ENCRYPTED else ""
    writing = Writing(
        canary=CANARY.token,
        c=coded,
        to=str(JULIET),
        opened="<body>hi</body>",
        opened_id="0" * 16,
        request="<x/>",
    )
    assert classify(Stanza.parse(place.stanza(writing), ROOT).tree, scene).kind is place.kind


# -- what the server sees -------------------------------------------------------------------------------------------

# Under ``require``, by kind; the kinds are those that the threat model lists as visible.
SEEN = """
    directed-presence: program in the capabilities of directed presence
    iq-result-of-itself: attribute in a namespace of a version
    iq-result-of-itself: declared namespace of a version
    iq-result-of-itself: declared prefix of a version
    iq-result-of-itself: from of a version
    iq-result-of-itself: identity of the client
    iq-result-of-itself: language of a version
    iq-result-of-itself: name of an unknown attribute of a version
    iq-result-of-itself: operating system of the client
    iq-result-of-itself: reason of being idle
    iq-result-of-itself: time zone of the client
    iq-result-of-itself: unknown attribute of a version
    nonza: attribute of a client state
    nonza: attribute of the stream
    nonza: declared namespace of the stream
    nonza: language of the stream
    nonza: sender of the stream
    nonza: text in a client state
    nonza: text of a stream error
    own-iq: account's registration
    own-iq: attribute in a namespace of a ping of the server
    own-iq: block list
    own-iq: command of the server
    own-iq: declared namespace of a ping of the server
    own-iq: declared prefix of a ping of the server
    own-iq: from of a ping of the server
    own-iq: id of a ping of the server
    own-iq: language of a ping of the server
    own-iq: name of an unknown attribute of a ping of the server
    own-iq: node of the server
    own-iq: privacy list
    own-iq: push service
    own-iq: report of abuse
    own-iq: search for people
    own-iq: search in the archive
    own-iq: unknown attribute of a ping of the server
    pep: PEP item
    pep: PEP node
    pep: PEP node's settings
    presence: attribute in a namespace of a presence
    presence: attribute of show of presence
    presence: child of the capabilities of presence
    presence: ciphertext of presence
    presence: data form of presence
    presence: declared namespace of a presence
    presence: declared prefix of a presence
    presence: extension of the capabilities of presence
    presence: from of a presence
    presence: hash of the picture of presence
    presence: id of a presence
    presence: language of a presence
    presence: language of a status of presence
    presence: last activity of presence
    presence: name of an unknown attribute of a presence
    presence: nick of presence
    presence: node of the capabilities of presence
    presence: prefix of a presence to everybody
    presence: priority of presence
    presence: program in the capabilities of presence
    presence: second status of presence
    presence: signature of presence
    presence: status of presence
    presence: status when being called away
    presence: status when going away
    presence: text of presence
    presence: time of idling of presence
    presence: unknown attribute of a presence
    presence: unknown child of presence
    presence: word of show of presence
    private-storage: private XML storage
    room-presence: nick in a room
    room-presence: password of a room
    roster: roster: a contact's group
    roster: roster: a contact's name
    vcard: vCard
    vcard: vCard, version 4
"""
# What no table can hide.
BEYOND = """
    client-encrypted: text in base64 that the client calls ciphertext
    signal: contact's name
    signal: resource of the contact
"""
# While the store cannot be read, when every setting is as good as unknown.
SEEN_UNREADABLE = """
    client-encrypted: text in base64 that the client calls ciphertext
    directed-presence: program in the capabilities of directed presence
    nonza: attribute of a client state
    nonza: attribute of the stream
    nonza: declared namespace of the stream
    nonza: language of the stream
    nonza: sender of the stream
    nonza: text in a client state
    nonza: text of a stream error
    presence: program in the capabilities of presence
    room-presence: nick in a room
    room-presence: password of a room
    signal: contact's name
    signal: resource of the contact
"""


def lines(text):
    return {line.strip() for line in text.splitlines() if line.strip()}


def found_in(places, state):
    """The names of those *places* in which the server does see the canary, with their kinds."""
    seen = set()
    conversation = None
    for place in places:
        if conversation is None or not conversation.lasts:
            conversation = Conversation(Group("session", state, "require"), SEED)
        if conversation.write(place).leaks:
            seen.add(f"{place.kind.value}: {place.name}")
    return seen


def test_the_server_sees_what_is_listed_and_no_more(tell):
    tell(f"\nplaces that the server sees; leaks are looked for with E2EPROXY_SEED={SEED}")
    for kind, words, places in rows():
        tell(f"{kind}: {words}\n    " + "\n    ".join(places))
    visible = [place for place in PLACES if place.visible]
    beyond = [place for place in PLACES if place.beyond]
    assert found_in(visible, "live") == lines(SEEN)
    assert found_in(beyond, "live") == lines(BEYOND)
    assert found_in([*visible, *beyond], "unreadable") == lines(SEEN_UNREADABLE)
    assert {place.kind for place in visible} == {kind for kind, row in KINDS.items() if row.visible}


def test_the_threat_model_lists_the_same():
    page = THREAT_MODEL.read_text("utf-8")
    table = re.search(r"<!-- table: visible -->\n(.*?)<!-- end -->", page, re.DOTALL)[1]
    listed = set(re.findall(r"^\| `([a-z-]+)` \| (.+?) \|$", table, re.MULTILINE))
    assert listed == {(kind, words) for kind, words, _ in rows() if kind != "any"}


# -- the search finds what it is to find ------------------------------------------------------------------------------

TOKEN = CANARY.token
PLAIN = TOKEN.encode()


def deflated(bits):
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(b"what stands before " + PLAIN) + packer.flush()


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


#: Each way to write the token that the search knows, and its name there.
DRESSES = {
    "as it stands": ([PLAIN], "raw"),
    "in other letters": ([TOKEN.swapcase().encode()], "raw"),
    "decimal": (["".join(f"&#{ord(one)};" for one in TOKEN).encode()], "escaped"),
    "hexadecimal": (["".join(f"&#x{ord(one):x};" for one in TOKEN).encode()], "escaped"),
    "one letter escaped": ([PLAIN.replace(b"Q", b"&#81;")], "escaped"),
    "percent-encoded": (["".join(f"%{ord(one):02x}" for one in TOKEN).encode()], "escaped"),
    "percent-encoded, then escaped": (["".join(f"&#37;{ord(one):02X}" for one in TOKEN).encode()], "escaped"),
    "JSON": (["".join(f"\\u{ord(one):04x}" for one in TOKEN).encode()], "escaped"),
    "quoted-printable": (["".join(f"={ord(one):02X}" for one in TOKEN).encode()], "escaped"),
    "hex": ([PLAIN.hex().encode()], "hex"),
    "UTF-16 LE": ([TOKEN.encode("utf-16-le")], "UTF-16"),
    "UTF-16 BE": ([TOKEN.encode("utf-16-be")], "UTF-16"),
    **{
        f"base64 at offset {n}": ([base64.b64encode(b"<" * n + PLAIN + b"~~")], f"base64 at offset {n}")
        for n in range(3)
    },
    **{
        f"base64url at offset {n}": ([base64.urlsafe_b64encode(b"~" * n + PLAIN)], f"base64url at offset {n}")
        for n in range(3)
    },
    "base64 in lines": ([b"\n".join(pieces(base64.b64encode(PLAIN), 8))], "in base64"),
    "base64 twice": ([base64.b64encode(base64.b64encode(PLAIN))], "in base64, base64"),
    **{
        f"UTF-16 {end} in base64 at offset {n}": (
            [base64.b64encode(b"x" * n + TOKEN.encode(f"utf-16-{end}") + b"y")],
            "UTF-16 in base64",
        )
        for n in range(3)
        for end in ("le", "be")
    },
    "raw deflate": ([deflated(-15)], "deflated"),
    "zlib": ([b"<m>" + deflated(15) + b"</m>"], "deflated"),
    "gzip": ([b"<m>" + deflated(31) + b"</m>"], "deflated"),
    "raw deflate in base64": ([base64.b64encode(deflated(-15))], "deflated in base64"),
    "zlib in base64": ([base64.b64encode(deflated(15))], "deflated in base64"),
    "gzip in base64url": ([base64.urlsafe_b64encode(deflated(31))], "deflated in base64"),
    "across stanzas": ([b"<m>a</m>" + PLAIN[:9], PLAIN[9:] + b"<m/>"], "joined, raw"),
    "texts of several stanzas": (
        [b"<m><body>" + piece + b"</body></m>" for piece in pieces(PLAIN, 4)],
        "joined texts",
    ),
    "base64 over several stanzas": (
        [b"<m><body>" + piece + b"</body></m>" for piece in pieces(base64.b64encode(PLAIN), 5)],
        "joined texts, base64",
    ),
    "fragments": (
        [
            f"<m><body>?OTR,{n},4,{piece},</body><thread>t</thread></m>".encode()
            for n, piece in enumerate(pieces(TOKEN, 5), 1)
        ],
        "joined fragments, raw",
    ),
    "values of several stanzas": (
        [b"<m id='" + piece + b"'/>" for piece in pieces(PLAIN, 5)],
        "joined values",
    ),
}


@pytest.mark.parametrize("bits", [-15, 15, 31])
@given(data=st.data())
def test_what_is_not_even_tried_would_not_have_inflated(bits, data):
    """The quick look at the first bytes leaves out nothing: whatever zlib makes anything of passes it."""
    heads = {-15: [b""], 15: [b"", b"\x78\x9c", b"\x78\x01"], 31: [b"", b"\x1f\x8b\x08\x00"]}[bits]
    raw = data.draw(st.sampled_from(heads)) + data.draw(st.binary(min_size=1, max_size=12))
    level = data.draw(st.integers(0, 9))
    packer = zlib.compressobj(level, wbits=bits)
    whole = packer.compress(raw) + packer.flush(
        data.draw(st.sampled_from([zlib.Z_FINISH, zlib.Z_SYNC_FLUSH]))
    )
    assert _may_inflate(whole[:5], bits)
    try:
        out = zlib.decompressobj(bits).decompress(raw)
    except zlib.error:
        return
    assert not out or _may_inflate(raw[:5], bits)


@pytest.mark.parametrize(("written", "way"), DRESSES.values(), ids=DRESSES)
def test_the_canary_is_found_in_each_dress(written, way):
    around = [b"<m xmlns='jabber:client'/>", *written]
    assert any(found.startswith(way) for found in CANARY.places(around)), CANARY.places(around)
    assert not Canary("Krahmer8Zeitlose2Wind").places(around), "it would find anything"
