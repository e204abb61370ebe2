"""Whom a text makes us ask what it announces, which answers are good for others, and what a hostile peer costs."""

from __future__ import annotations

import itertools

import pytest
from bed.caps_samples import BASIC, EXODUS, FEATURES, SIMPLE, c, presence, result

from e2eproxy.proxy.discovery import Bounds, Discovery
from e2eproxy.xmpp import caps
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

ROMEO = JID.parse("romeo@example.test")
ORCHARD = JID.parse("romeo@example.test/orchard")
GARDEN = JID.parse("romeo@example.test/garden")
NURSE = JID.parse("nurse@example.test/chamber")
NODE = f"urn:n#{SIMPLE}"
HASHED = presence(c(f"hash='sha-1' node='urn:n' ver='{SIMPLE}'"))
PLAIN = presence("")
ANSWER = result(EXODUS + FEATURES)
LIE = result(EXODUS + "<feature var='urn:lie'/>")
NOTHING = frozenset()


def other(number):
    """A presence with a hash of its own."""
    return presence(c(f"hash='sha-1' node='urn:n' ver='{number:027}='"))


def typed(kind):
    return Stanza.parse(f"<presence xmlns='jabber:client' type='{kind}'/>".encode())


def error(kind):
    return Stanza.parse(f"<iq xmlns='jabber:client' type='error' id='1'><error type='{kind}'/></iq>".encode())


class Bench:
    """A Discovery and what it asked and found; tokens are "1", "2", ..."""

    def __init__(self, **given):
        self.asked = []
        self.found = []
        tokens = itertools.count(1)
        self.discovery = Discovery(
            lambda to, node, token: self.asked.append((to, node, token)),
            lambda peer, features, known: self.found.append((peer, features, known)),
            lambda: str(next(tokens)),
            **given,
        )
        self.presence = self.discovery.presence
        self.wanted = self.discovery.wanted
        self.answered = self.discovery.answered

    def all_found(self):
        found, self.found[:] = list(self.found), []
        return found

    def all_asked(self):
        asked, self.asked[:] = list(self.asked), []
        return asked


@pytest.fixture
def bench():
    return Bench()


# ---- whom we ask ----


def test_presence_alone_asks_nobody(bench):
    bench.presence(ORCHARD, HASHED)
    assert bench.asked == bench.found == []


def test_every_resource_that_is_online_is_asked_once(bench):
    bench.presence(ORCHARD, HASHED)
    bench.presence(GARDEN, PLAIN)
    bench.presence(NURSE, PLAIN)
    assert bench.wanted(ROMEO)
    assert bench.all_asked() == [(ORCHARD, NODE, "1"), (GARDEN, None, "2")]
    assert bench.wanted(ROMEO)
    bench.answered("1", LIE)
    bench.answered("2", ANSWER)
    assert bench.wanted(ROMEO)
    assert bench.asked == []


def test_nobody_online_is_nobody_to_ask(bench):
    assert not bench.wanted(ROMEO)
    bench.presence(ORCHARD, PLAIN)
    bench.presence(ORCHARD, typed("unavailable"))
    assert not bench.wanted(ROMEO)
    assert bench.asked == bench.found == []


def test_a_full_jid_is_asked_without_any_presence(bench):
    assert bench.wanted(ORCHARD)
    assert bench.asked == [(ORCHARD, None, "1")]
    bench.wanted(ORCHARD)
    assert len(bench.all_asked()) == 1
    # It has not shown itself, so it does not count among the contact's resources.
    assert not bench.wanted(ROMEO)
    bench.answered("1", ANSWER)
    assert bench.found == [(ORCHARD, frozenset(BASIC), True)]


def test_who_comes_online_after_an_error_is_asked_again(bench):
    bench.wanted(ORCHARD)
    bench.answered("1", error("cancel"))
    bench.wanted(ORCHARD)
    assert len(bench.all_asked()) == 1
    bench.presence(ORCHARD, PLAIN)
    bench.wanted(ORCHARD)
    assert bench.asked == [(ORCHARD, None, "2")]


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "x"])
def test_other_presences_say_nothing(bench, kind):
    bench.presence(ORCHARD, typed(kind))
    assert not bench.wanted(ROMEO)
    bench.presence(ORCHARD, PLAIN)
    bench.presence(ORCHARD, typed(kind))
    assert bench.wanted(ROMEO)


def test_a_presence_of_a_bare_jid_is_nobodys(bench):
    bench.presence(ROMEO, HASHED)
    assert not bench.wanted(ROMEO)
    assert bench.discovery.nodes(ROMEO) == NOTHING


def test_caps_of_the_old_format_are_asked_without_a_node(bench):
    bench.presence(ORCHARD, presence(c("node='urn:n' ver='0.11' ext='a b'")))
    bench.wanted(ORCHARD)
    assert bench.asked == [(ORCHARD, None, "1")]


def test_caps_with_another_hash_are_asked_with_it(bench):
    bench.presence(ORCHARD, presence(c("hash='sha-256' node='urn:n' ver='x'")))
    bench.wanted(ORCHARD)
    assert bench.asked == [(ORCHARD, "urn:n#x", "1")]


def test_an_empty_presence_leaves_caps_as_they_were(bench):
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ROMEO)
    bench.answered("1", LIE)
    bench.presence(ORCHARD, PLAIN)
    bench.presence(ORCHARD, HASHED)
    bench.presence(ORCHARD, presence(c("node='urn:without-a-version'")))
    bench.wanted(ROMEO)
    assert len(bench.asked) == 1
    assert bench.discovery.nodes(ROMEO) == {"urn:n", NODE}


def test_new_caps_are_asked_again_but_not_while_it_is_being_asked(bench):
    bench.presence(ORCHARD, other(1))
    bench.wanted(ROMEO)
    bench.presence(ORCHARD, other(2))
    bench.wanted(ROMEO)
    assert [node for _, node, _ in bench.all_asked()] == [f"urn:n#{1:027}="]
    bench.answered("1", ANSWER)
    assert bench.asked == []
    bench.wanted(ROMEO)
    assert [node for _, node, _ in bench.asked] == [f"urn:n#{2:027}="]


# ---- what is found ----


def test_a_verified_answer_is_good_for_all_who_announce_it(bench):
    for peer in (ORCHARD, NURSE):
        bench.presence(peer, HASHED)
    bench.presence(GARDEN, other(1))
    bench.wanted(ORCHARD)
    bench.answered("1", ANSWER)
    bench.all_asked()
    assert bench.all_found() == [(ORCHARD, frozenset(BASIC), True)]
    bench.wanted(NURSE)
    assert bench.asked == []
    assert bench.all_found() == [(NURSE, frozenset(BASIC), True)]
    bench.wanted(NURSE)
    assert bench.all_found() == []
    bench.wanted(GARDEN)
    assert len(bench.asked) == 1


def test_a_lie_counts_for_the_liar_alone(bench):
    for peer in (ORCHARD, NURSE):
        bench.presence(peer, HASHED)
    bench.wanted(ORCHARD)
    bench.answered("1", LIE)
    assert bench.all_found() == [(ORCHARD, frozenset({"urn:lie"}), True)]
    bench.wanted(NURSE)
    assert bench.asked[-1] == (NURSE, NODE, "2")
    assert bench.found == []
    # What it would be the honest answer for was not announced by it.
    third = JID.parse("third@example.test/x")
    bench.presence(third, presence(c(f"hash='sha-1' node='n' ver='{caps.answer(LIE).ver}'")))
    bench.wanted(third)
    assert len(bench.asked) == 3


def test_an_ill_formed_answer_is_the_answerer_s_alone(bench):
    for peer in (ORCHARD, NURSE):
        bench.presence(peer, HASHED)
    bench.wanted(ORCHARD)
    bench.answered("1", result(EXODUS + FEATURES + FEATURES))
    assert bench.all_found() == [(ORCHARD, frozenset(BASIC), True)]
    bench.wanted(NURSE)
    assert len(bench.asked) == 2


@pytest.mark.parametrize("given", ["hash='md5' ", ""])
def test_what_was_verified_is_not_for_who_announces_no_such_hash(bench, given):
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ORCHARD)
    bench.answered("1", ANSWER)
    bench.presence(NURSE, presence(c(f"{given}node='urn:n' ver='{SIMPLE}'")))
    bench.wanted(NURSE)
    assert len(bench.asked) == 2


@pytest.mark.parametrize(
    "announced",
    [
        pytest.param(f"node='urn:n' ver='{SIMPLE}'", id="no hash"),
        pytest.param(f"hash='md5' node='urn:n' ver='{SIMPLE}'", id="another hash"),
    ],
)
def test_what_cannot_be_verified_is_not_kept(bench, announced):
    for peer in (ORCHARD, NURSE):
        bench.presence(peer, presence(c(announced)))
    bench.wanted(ORCHARD)
    bench.answered("1", ANSWER)
    bench.wanted(NURSE)
    assert len(bench.asked) == 2
    # Nor does it take what was verified for somebody else's.
    third = JID.parse("third@example.test/x")
    bench.presence(third, HASHED)
    bench.wanted(third)
    assert len(bench.asked) == 3


def test_an_answer_for_no_caps_is_not_kept(bench):
    bench.wanted(ORCHARD)
    bench.answered("1", ANSWER)
    bench.presence(NURSE, HASHED)
    bench.wanted(NURSE)
    assert len(bench.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        error("cancel"),
        error("wait"),
        result("", "urn:x"),
        Stanza.parse(b"<iq xmlns='jabber:client' type='result' id='1'/>"),
        Stanza.parse(b"<iq xmlns='jabber:client' type='error' id='1'/>"),
        # An answer with the type of a question is none.
        Stanza.parse(ANSWER.raw.replace(b"type='result'", b"type='get'")),
    ],
)
def test_no_answer_is_not_known(bench, answer):
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ORCHARD)
    bench.answered("1", answer)
    assert bench.found == [(ORCHARD, NOTHING, False)]


@pytest.mark.parametrize(
    ("answer", "again"), [(None, True), (error("wait"), True), (error("cancel"), False), (LIE, False)]
)
def test_what_may_change_is_asked_again_by_the_next_text(bench, answer, again):
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ORCHARD)
    bench.answered("1", answer)
    assert len(bench.all_asked()) == 1
    bench.wanted(ORCHARD)
    assert bool(bench.asked) is again


def test_an_answer_comes_once(bench):
    bench.wanted(ORCHARD)
    bench.answered("2", ANSWER)
    assert bench.found == []
    bench.answered("1", ANSWER)
    bench.answered("1", ANSWER)
    assert len(bench.found) == 1


def test_others_answer_for_one_who_does_not(bench):
    for peer in (ORCHARD, NURSE):
        bench.presence(peer, HASHED)
        bench.wanted(peer)
    bench.answered("2", ANSWER)
    bench.answered("1", None)
    assert bench.found == [(NURSE, frozenset(BASIC), True), (ORCHARD, frozenset(BASIC), True)]


@pytest.mark.parametrize("kind", ["unavailable", "error"])
def test_who_goes_is_forgotten_and_so_is_the_question(bench, kind):
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ORCHARD)
    bench.presence(ORCHARD, typed(kind))
    assert bench.all_found() == [(ORCHARD, NOTHING, False)]
    assert bench.discovery.nodes(ROMEO) == NOTHING
    bench.answered("1", ANSWER)
    assert bench.found == []
    bench.presence(ORCHARD, typed(kind))
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ORCHARD)
    assert len(bench.asked) == 2
    assert bench.found == []


def test_an_answer_may_come_while_it_is_asked_for(bench):
    bench.discovery._ask = lambda _to, _node, token: bench.answered(token, None)
    for peer in (ORCHARD, GARDEN):
        bench.presence(peer, PLAIN)
    bench.wanted(ROMEO)
    assert bench.found == [(ORCHARD, NOTHING, False), (GARDEN, NOTHING, False)]


def test_what_is_found_may_make_another_go(bench):
    for peer in (ORCHARD, GARDEN):
        bench.presence(peer, HASHED)
    bench.presence(NURSE, HASHED)
    bench.wanted(NURSE)
    bench.answered("1", ANSWER)
    found = bench.discovery._found

    def take(peer, features, known):
        found(peer, features, known)
        bench.presence(GARDEN, typed("unavailable"))

    bench.discovery._found = take
    bench.all_found()
    bench.wanted(ROMEO)
    assert bench.found == [(ORCHARD, frozenset(BASIC), True)]


# ---- nodes ----


def test_nodes_are_those_the_contact_announced(bench):
    bench.presence(ORCHARD, HASHED)
    bench.presence(GARDEN, presence(c("node='urn:m' ver='1'")))
    bench.presence(JID.parse("romeo@example.test/plain"), PLAIN)
    bench.presence(NURSE, presence(c("node='urn:nurse' ver='1'")))
    expected = {"urn:n", NODE, "urn:m", "urn:m#1"}
    assert bench.discovery.nodes(ROMEO) == bench.discovery.nodes(GARDEN) == expected
    bench.presence(GARDEN, typed("unavailable"))
    assert bench.discovery.nodes(ROMEO) == {"urn:n", NODE}


# ---- bounds ----


def peer(number):
    return JID.parse(f"p{number}@example.test/x")


def test_the_oldest_peers_are_forgotten():
    bench = Bench(bounds=Bounds(peers=3))
    for number in range(4):
        bench.presence(peer(number), PLAIN)
    assert [bench.wanted(peer(number).bare) for number in range(4)] == [False, True, True, True]
    assert len(bench.discovery._peers) == 3


def test_strangers_are_forgotten_before_contacts():
    contacts = set()
    bench = Bench(bounds=Bounds(peers=3), is_contact=contacts.__contains__)
    bench.presence(peer(0), PLAIN)
    # The roster comes after the first presence.
    contacts.update(peer(number).bare for number in (0, 1))
    bench.presence(peer(1), PLAIN)
    for number in range(2, 10):
        bench.presence(peer(number), PLAIN)
    online = [number for number in range(10) if bench.wanted(peer(number).bare)]
    assert online == [0, 1, 9]
    contacts.update(peer(number).bare for number in (9, 10, 11))
    for number in (10, 11):
        bench.presence(peer(number), PLAIN)
    assert len(bench.discovery._peers) == 3
    online = [number for number in range(12) if bench.wanted(peer(number).bare)]
    assert len(online) == 3
    assert 11 in online


def test_one_contact_takes_no_room_from_others():
    bench = Bench(bounds=Bounds(resources=2))
    bench.presence(NURSE, PLAIN)
    resources = [JID.parse(f"romeo@example.test/{number}") for number in range(50)]
    for resource in resources:
        bench.presence(resource, PLAIN)
    assert len(bench.discovery._peers) == 3
    bench.wanted(ROMEO)
    assert [to for to, _, _ in bench.asked] == resources[-2:]


def test_the_answer_of_one_that_was_forgotten_meanwhile_still_counts():
    bench = Bench(bounds=Bounds(resources=1))
    bench.presence(ORCHARD, HASHED)
    bench.wanted(ORCHARD)
    bench.presence(GARDEN, HASHED)
    bench.presence(ORCHARD, HASHED)
    # It is asked anew; the first question's end leaves the second one open.
    bench.wanted(ORCHARD)
    assert [token for _, _, token in bench.asked] == ["1", "2"]
    bench.answered("1", LIE)
    bench.presence(ORCHARD, other(1))
    bench.wanted(ORCHARD)
    assert len(bench.asked) == 2
    bench.presence(GARDEN, HASHED)
    bench.answered("2", None)
    assert [known for _, _, known in bench.found] == [True, False]


def test_a_flood_of_new_hashes_asks_nothing_and_keeps_one():
    bench = Bench()
    for number in range(1_000):
        bench.presence(ORCHARD, other(number))
    assert bench.asked == bench.found == []
    assert len(bench.discovery._peers) == 1
    assert bench.discovery.nodes(ROMEO) == {"urn:n", f"urn:n#{999:027}="}
    bench.wanted(ROMEO)
    assert len(bench.asked) == 1


def test_open_questions_are_bounded():
    bench = Bench(bounds=Bounds(questions=5, of_one=2))
    resources = [JID.parse(f"romeo@example.test/{number}") for number in range(4)]
    for resource in resources:
        bench.presence(resource, PLAIN)
    bench.wanted(ROMEO)
    assert [to for to, _, _ in bench.asked] == resources[:2]
    assert bench.all_found() == [(resource, NOTHING, False) for resource in resources[2:]]
    for number in range(3):
        bench.wanted(peer(number))
    assert len(bench.asked) == 5
    bench.wanted(peer(4))
    assert bench.all_found() == [(peer(4), NOTHING, False)]
    # Who was not asked for lack of room is asked by a later text.
    bench.answered("1", ANSWER)
    bench.wanted(peer(4))
    assert [to for to, _, _ in bench.asked][5:] == [peer(4)]


def test_answers_kept_for_others_are_bounded():
    bench = Bench(bounds=Bounds(vers=2))
    answers = [result(EXODUS + f"<feature var='urn:{number}'/>") for number in range(3)]
    vers = [_ver(answer) for answer in answers]
    for number, ver in enumerate(vers):
        _learn(bench, number, ver, answers[number])
    bench.all_asked()
    assert len(bench.discovery.answers) == 2
    for number, ver in enumerate(vers[1:], 1):
        bench.presence(peer(10 + number), presence(c(f"hash='sha-1' node='n' ver='{ver}'")))
        bench.wanted(peer(10 + number))
    assert bench.asked == []
    bench.presence(peer(10), presence(c(f"hash='sha-1' node='n' ver='{vers[0]}'")))
    bench.wanted(peer(10))
    assert len(bench.asked) == 1


def test_answers_in_use_are_kept():
    bench = Bench(bounds=Bounds(vers=2))
    answers = [result(EXODUS + f"<feature var='urn:{number}'/>") for number in range(3)]
    vers = [_ver(answer) for answer in answers]
    for number in (0, 1):
        _learn(bench, number, vers[number], answers[number])
    bench.presence(peer(5), presence(c(f"hash='sha-1' node='n' ver='{vers[0]}'")))
    bench.wanted(peer(5))
    _learn(bench, 2, vers[2], answers[2])
    assert list(bench.discovery.answers._entries) == [vers[0], vers[2]]


def test_an_answer_that_comes_twice_is_kept_once(bench):
    for number in range(2):
        bench.presence(peer(number), HASHED)
        bench.wanted(peer(number))
    bench.answered("1", ANSWER)
    once = bench.discovery.answers.memory
    bench.answered("2", ANSWER)
    assert bench.discovery.answers.memory == once > 0
    assert len(bench.discovery.answers) == 1


def test_answers_kept_for_others_are_bounded_in_memory():
    large = [result(EXODUS + f"<feature var='{'x' * 1_000}{number}'/>") for number in range(5)]
    bench = Bench(bounds=Bounds(kept_bytes=3_000))
    for number, answer in enumerate(large):
        _learn(bench, number, _ver(answer), answer)
        _learn(bench, 10 + number, _ver(answer), answer)
    assert len(bench.discovery.answers) == 2
    too_large = result(EXODUS + "".join(f"<feature var='{'x' * 1_000}{number}'/>" for number in range(5)))
    _learn(bench, 20, _ver(too_large), too_large)
    assert len(bench.discovery.answers) == 0
    assert bench.discovery.answers.memory == 0
    assert bench.found[-1][2] is True


def _ver(answer):
    return caps.answer(answer).ver


def _learn(bench, number, ver, answer):
    """Let a peer announce, be asked and answer."""
    bench.presence(peer(number), presence(c(f"hash='sha-1' node='n' ver='{ver}'")))
    asked = len(bench.asked)
    bench.wanted(peer(number))
    for _, _, token in bench.asked[asked:]:
        bench.answered(token, answer)


# ---- what cannot be read ----


def test_what_cannot_be_read_stays_inside(bench):
    bench.presence(ORCHARD, HASHED)
    broken = Stanza(b"<presence><c xmlns='http://jabber.org/protocol/caps'", b"<x>", HASHED.name, {})
    bench.presence(ORCHARD, broken)
    assert bench.discovery.nodes(ROMEO) == {"urn:n", NODE}
    bench.wanted(ORCHARD)
    bench.answered("1", Stanza(b"<iq", b"<x>", ANSWER.name, {"type": "result"}))
    assert bench.all_found() == [(ORCHARD, NOTHING, False)]
    bench.wanted(GARDEN)
    bench.answered("2", Stanza(b"<iq", b"<x>", ANSWER.name, {"type": "error"}))
    assert bench.all_found() == [(GARDEN, NOTHING, False)]
    bench.wanted(GARDEN)
    assert len(bench.asked) == 2


def test_a_presence_without_caps_is_not_read(bench):
    bench.presence(
        ORCHARD, Stanza(HASHED.raw.replace(b"protocol/", b"protocol&#47;"), b"<x>", HASHED.name, {})
    )
    assert bench.discovery.nodes(ROMEO) == NOTHING
    assert bench.wanted(ROMEO)
