"""Whatever a client sends: under ``require`` no free text leaves in clear, and a stricter setting never clears more."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.proxy import payloads
from e2eproxy.proxy.allowed_children import EME_NAMESPACES, OUTSIDE, Carries, split
from e2eproxy.proxy.classify import Scene, classify
from e2eproxy.proxy.kinds import KINDS, Kind, Setting
from e2eproxy.proxy.policy import Outcome, Reach, State, decide
from e2eproxy.proxy.shapes import Ids
from e2eproxy.proxy.stand_down import ENVELOPES
from e2eproxy.proxy.trim import PRESENCE, trimmed
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza
from e2eproxy.xmpp.tree import Node, parse

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
CANARY = "meet me at the Globe"
UUID = "1f0ec9a4-7c35-4dbe-8f3b-0a4c6d0f1b2e"
SCENE = Scene(
    own=JID.parse("romeo@example.test/r"), rooms={JID.parse("hall@x.test")}, speaks={"otr", "omemo"}
)
IDS = Ids(outer="o1", of_peer={"p1"}, nodes={"n1"})


def elements_of(allowed):
    for one in allowed:
        yield one.element
        yield from elements_of(one.children)


KNOWN = sorted(
    {
        *elements_of((*OUTSIDE, *PRESENCE, *payloads.HARMLESS, payloads.KEY_REQUEST, *ENVELOPES.values())),
        *(names.CLIENT + names.SEPARATOR + local for local in ("body", "subject", "status", "error", "x")),
        *(
            one + names.SEPARATOR + "query"
            for one in (payloads.ROSTER, "jabber:iq:private", "urn:invented", "urn:xmpp:mam:2")
        ),
        "urn:xmpp:jingle:1" + names.SEPARATOR + "jingle",
        "http://jabber.org/protocol/address" + names.SEPARATOR + "addresses",
        "http://jabber.org/protocol/muc" + names.SEPARATOR + "x",
    }
)
ATTRIBUTES = [
    "id",
    "namespace",
    "name",
    "node",
    "parent",
    "type",
    "sid",
    "rid",
    "ver",
    "hash",
    "since",
    "seconds",
    "jid",
    "max_items",
]
TEXTS = st.sampled_from(
    [
        "",
        " ",
        CANARY,
        CANARY,
        UUID,
        "p1",
        "n1",
        "away",
        "7",
        "aGk=",
        "?OTRv23?",
        f"?OTRv23? {CANARY}",
        "enc",
        "true",
        EME_NAMESPACES[0],
    ]
)


def tree_of(name, attributes, text, children):
    return Node(name, attributes, children, [text] if text else [])


LEAF = st.builds(
    tree_of,
    st.sampled_from(KNOWN),
    st.dictionaries(st.sampled_from(ATTRIBUTES), TEXTS, max_size=2),
    TEXTS,
    st.just([]),
)
CHILD = st.recursive(
    LEAF,
    lambda inner: st.builds(
        tree_of,
        st.sampled_from(KNOWN),
        st.dictionaries(st.sampled_from(ATTRIBUTES), TEXTS, max_size=2),
        TEXTS,
        st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)
ADDRESSES = [
    None,
    "j@x.test",
    "J@X.test/r",
    "hall@x.test",
    "hall@x.test/n",
    "x.test",
    "example.test",
    "romeo@example.test",
    "",
    "@",
]
TYPES = [None, "chat", "groupchat", "normal", "get", "set", "result", "subscribe", "unavailable", CANARY]


@st.composite
def stanzas(draw):
    attributes = {
        "to": draw(st.sampled_from(ADDRESSES)),
        "type": draw(st.sampled_from(TYPES)),
        "id": draw(st.sampled_from([None, "7", CANARY])),
        names.LANG: draw(st.sampled_from([None, CANARY])),
        "more": draw(st.sampled_from([None, CANARY])),
    }
    given_attributes = {name: value for name, value in attributes.items() if value is not None}
    return tree_of(
        draw(st.sampled_from(sorted(names.STANZAS))),
        given_attributes,
        draw(TEXTS),
        draw(st.lists(CHILD, max_size=4)),
    )


STATES = st.builds(
    State,
    reach=st.sampled_from(Reach),
    carries=st.booleans(),
    sticky=st.booleans(),
    cleared=st.booleans(),
    waited=st.booleans(),
    answers_decrypted=st.booleans(),
    by_keys=st.booleans(),
)


@given(stanzas(), STATES)
def test_under_require_no_text_leaves_in_clear(tree, state):
    found = classify(tree, SCENE, IDS)
    ruling = decide(found.kind, Setting.REQUIRE, state)
    if ruling.outcome is Outcome.PASS:
        assert KINDS[found.kind].visible
    elif ruling.outcome is Outcome.TRIM:
        raw = trimmed(tree, found, IDS)
        if raw is not None:
            assert CANARY.encode() not in raw
            again = Stanza.parse(raw)
            assert again.attributes.keys() <= {"to", "type", "id"}
            assert again.id == "o1"


@given(stanzas(), STATES)
def test_nothing_leaves_while_nobody_knows_the_policy(tree, state):
    found = classify(tree, SCENE, IDS)
    ruling = decide(found.kind, Setting.UNKNOWN, state)
    assert ruling.outcome in {Outcome.TRIM, Outcome.BARE, Outcome.REFUSE, Outcome.TAKE}


@given(st.lists(CHILD, max_size=6), st.sampled_from(Carries))
def test_each_child_goes_one_way(children, carries):
    found = split(children, carries, IDS)
    assert len(found.outside) + len(found.inside) + len(found.dropped) == len(children)
    assert not set(found.inside) & set(found.dropped)
    for raw in found.outside:
        assert CANARY.encode() not in raw
        assert parse(ROOT, raw).name in {one.element for one in OUTSIDE}


def test_a_stricter_setting_never_clears_more():
    order = [Setting.NEVER, Setting.ACCEPT, Setting.PREFER, Setting.REQUIRE, Setting.UNKNOWN]
    # What leaves in clear, ever: at once, or after waiting.
    rank = {Outcome.PASS: 2, Outcome.WAIT: 2, Outcome.TRIM: 1, Outcome.BARE: 1}
    flags = itertools.product((True, False), repeat=6)
    for reach, (carries, sticky, cleared, waited, answers, by_keys) in itertools.product(Reach, list(flags)):
        state = State(
            reach=reach,
            carries=carries,
            sticky=sticky,
            cleared=cleared,
            waited=waited,
            answers_decrypted=answers,
            by_keys=by_keys,
        )
        for kind in Kind:
            if kind is Kind.NONZA:
                continue
            clear = [rank.get(decide(kind, setting, state).outcome, 0) == 2 for setting in order]
            assert clear == sorted(clear, reverse=True), (kind, state, clear)


def test_a_word_and_a_memory_only_do_what_they_are_for():
    """Stickiness never clears more, the user's word never clears less, and neither means anything under require."""
    for kind, reach, setting in itertools.product(Kind, Reach, Setting):
        plain = decide(kind, setting, State(reach=reach))
        sticky = decide(kind, setting, State(reach=reach, sticky=True))
        word = decide(kind, setting, State(reach=reach, sticky=True, cleared=True))
        if sticky.outcome is Outcome.PASS:
            assert plain.outcome is Outcome.PASS
        if sticky.outcome is Outcome.PASS:
            assert word.outcome is Outcome.PASS
        if setting in {Setting.REQUIRE, Setting.NEVER, Setting.UNKNOWN}:
            assert plain == sticky == word
