"""What a stream's client announces with the methods' features in it: when it is asked, what waits, who is answered."""

from __future__ import annotations

import re

import pytest
from bed.caps_samples import EXODUS, FEATURES, SIMPLE, c, result

from e2eproxy.proxy import announcing
from e2eproxy.proxy.announcing import Announcing
from e2eproxy.proxy.notices import PROXY
from e2eproxy.xmpp import caps, disco_info, own_caps
from e2eproxy.xmpp.caps import Caps
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

OWN = JID.parse("juliet@example.test/balcony")
ROMEO = JID.parse("romeo@example.test/garden")
ROOM = JID.parse("room@muc.example.test/nurse")
METHOD = "urn:method:0"
DISCO = caps.DISCO_INFO
INFO = disco_info.read(result(EXODUS + FEATURES))
MERGED = INFO.with_features([METHOD])
HASHED = c(f"hash='sha-1' node='urn:n' ver='{SIMPLE}'")
OTHER = EXODUS + FEATURES + "<feature var='urn:other'/>"
OTHER_INFO = disco_info.read(result(OTHER))
UNAVAILABLE = (
    "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)
FORBIDDEN = "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def stanza(raw):
    return Stanza.parse(raw.replace(" ", " xmlns='jabber:client' ", 1).encode())


def presence(content="", head="id='p'"):
    return stanza(f"<presence {head}>{content}</presence>")


def hashed(info, node="urn:n"):
    return c(f"hash='sha-1' node='{node}' ver='{info.ver()}'")


class Bench:
    """An Announcing, what it said to the client, and what it let go on."""

    def __init__(self):
        self.features = [METHOD]
        self.asked = []
        self.gone_on = []
        self.timers = []
        self.subscribed = {ROMEO.bare}
        self.announcing = Announcing(
            OWN,
            lambda: self.features,
            proxy=PROXY,
            to_client=lambda raw: self.asked.append(Stanza.parse(raw)),
            later=lambda seconds, function: self.timers.append((seconds, function)),
            go_on=self.go_on,
            may_know=lambda asker: asker.bare in self.subscribed,
        )

    def go_on(self, stanzas):
        """As a guard does: they are taken again, in their order."""
        for one in stanzas:
            self.says(one)

    def says(self, one):
        taken = None if self.announcing.answered(one) else self.announcing.from_client(one)
        if taken is not None:
            self.gone_on.append(taken)
        return taken

    def answers(self, content, kind="result", around=None):
        """The client answers the oldest open question."""
        asked = self.asked.pop(0)
        node = asked.child(caps.QUERY).attributes.get("node")
        about = "" if node is None else f" node='{node}'"
        inside = f"<query xmlns='{DISCO}'{about}>{content}</query>" if kind == "result" else content
        return self.says(stanza(f"<iq type='{kind}' to='{around or PROXY}' id='{asked.id}'>{inside}</iq>"))

    def time_passes(self):
        timers, self.timers[:] = list(self.timers), []
        for seconds, function in timers:
            assert seconds == announcing.WAIT_SECONDS
            function()

    def went(self):
        gone, self.gone_on[:] = list(self.gone_on), []
        return gone

    def is_told(self, node, by=ROMEO, query=DISCO):
        """What somebody who asks for *node* is told; None if the client is asked."""
        about = "" if node is None else f" node='{node}'"
        whom = "" if by is None else f"from='{by}'"
        asks = stanza(f"<iq type='get' {whom} id='q1'><query xmlns='{query}'{about}/></iq>")
        return self.announcing.answer(asks)

    def knows(self, content=EXODUS + FEATURES, announced=HASHED):
        """The client has said what it can do."""
        self.says(presence(announced))
        self.answers(content)
        self.went()


@pytest.fixture
def bench():
    return Bench()


# ---- presence ----


def test_the_first_presence_waits_for_the_clients_answer_and_announces_the_method(bench):
    assert bench.says(presence(HASHED)) is None
    (asked,) = bench.asked
    assert (asked.from_, asked.to, asked.type) == (str(PROXY), str(OWN), "get")
    assert disco_info.asked(asked) == (True, f"urn:n#{SIMPLE}")
    assert bench.answers(EXODUS + FEATURES) is None
    (went,) = bench.went()
    assert went.raw == presence(HASHED).raw.replace(SIMPLE.encode(), MERGED.ver().encode())


def test_what_comes_behind_a_presence_that_waits_stays_behind_it(bench):
    bench.says(presence(HASHED))
    behind = [stanza(f"<message to='{ROMEO}' id='{n}'/>") for n in range(3)]
    assert [bench.says(one) for one in behind] == [None] * 3
    assert not bench.gone_on
    bench.answers(EXODUS + FEATURES)
    assert [one.id for one in bench.went()] == ["p", "0", "1", "2"]


def test_the_same_presence_again_asks_nobody(bench):
    bench.knows()
    went = bench.says(presence(HASHED + "<show>away</show>"))
    assert own_caps.announced(went).is_of(MERGED)
    assert not bench.asked


def test_a_client_that_sends_no_caps_is_asked_once_and_gets_some(bench):
    bench.says(presence())
    (asked,) = bench.asked
    assert disco_info.asked(asked) == (True, None)
    bench.answers(EXODUS + FEATURES)
    (went,) = bench.went()
    assert own_caps.announced(went).caps == Caps(announcing.NODE, MERGED.ver(), "sha-1")
    assert own_caps.announced(bench.says(presence())).is_of(MERGED)
    assert not bench.asked


def test_a_presence_without_caps_behind_one_with_them_still_has_those(bench):
    """A server that leaves unchanged ones out would take it so. But what was written to one contact is not told to others."""
    bench.knows()
    assert own_caps.announced(bench.says(presence())).caps == Caps(announcing.NODE, MERGED.ver(), "sha-1")
    assert bench.is_told(f"{announcing.NODE}#{MERGED.ver()}") is not None


def test_a_client_with_the_features_already_is_left_alone(bench):
    has = EXODUS + FEATURES + f"<feature var='{METHOD}'/>"
    announced = hashed(disco_info.read(result(has)))
    bench.says(presence(announced))
    bench.answers(has)
    assert [one.raw for one in bench.went()] == [presence(announced).raw]
    bare = Bench()
    bare.says(presence())
    bare.answers(has)
    assert [one.raw for one in bare.went()] == [presence().raw], "nothing to add, so nothing is announced"


def test_without_features_nothing_changes_and_nobody_is_asked(bench):
    bench.features = []
    for one in (presence(HASHED), presence(), presence(HASHED, "type='unavailable'")):
        assert bench.says(one) is one
    answer = stanza(f"<iq type='result' to='{ROMEO}' id='1'><query xmlns='{DISCO}'/></iq>")
    assert bench.says(answer) is answer
    assert not bench.asked


def test_features_that_go_are_not_announced_any_more(bench):
    bench.knows()
    bench.features = []
    assert bench.says(presence(HASHED)).raw == presence(HASHED).raw
    assert bench.is_told(f"urn:n#{MERGED.ver()}") is not None, "who heard it before still asks for it"


@pytest.mark.parametrize("kind", ["unavailable", "subscribe", "subscribed", "probe", "error"])
def test_presence_of_a_type_is_not_touched(bench, kind):
    one = presence(HASHED, f"type='{kind}'")
    assert bench.says(one) is one
    assert not bench.asked


def test_directed_presence_and_one_to_a_room_announce_the_same(bench):
    bench.knows()
    for to in (ROMEO, ROOM):
        went = bench.says(presence(HASHED, f"to='{to}'"))
        assert went.to == str(to)
        assert own_caps.announced(went).is_of(MERGED)


def test_both_kinds_of_hashes_are_of_the_same_answer(bench):
    both = HASHED + (
        "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>"
        + INFO.hash("sha3-256")
        + "</hash></c>"
    )
    bench.knows(announced=both)
    found = own_caps.announced(bench.says(presence(both)))
    assert found.is_of(MERGED)
    assert found.hashes == (("sha3-256", MERGED.hash("sha3-256")),)
    for node in found.nodes:
        assert disco_info.read(bench.is_told(node)) == MERGED


def test_the_program_of_before_the_hash_is_not_given_features_for_everybody(bench):
    old = c("node='http://old/' ver='0.11' ext='voice'")
    bench.says(presence(old))
    assert disco_info.asked(bench.asked[0]) == (True, None)
    bench.answers(EXODUS + FEATURES)
    (went,) = bench.went()
    assert own_caps.announced(went).caps == Caps("http://old/", MERGED.ver(), "sha-1")
    assert bench.is_told("http://old/#0.11") is None


# ---- the client's answer ----


def test_a_client_that_says_nothing_is_waited_for_once(bench):
    bench.says(presence(HASHED))
    bench.says(stanza(f"<message to='{ROMEO}' id='1'/>"))
    bench.time_passes()
    assert [one.raw for one in bench.went()[:1]] == [presence(HASHED).raw]
    # Another one does not wait, and passes as it came.
    other = presence(hashed(OTHER_INFO))
    assert bench.says(other) is other


def test_an_answer_that_comes_late_is_good_for_the_next_presence(bench):
    bench.says(presence(HASHED))
    bench.time_passes()
    bench.went()
    assert bench.answers(EXODUS + FEATURES) is None, "it is nobody else's"
    assert not bench.went()
    assert own_caps.announced(bench.says(presence(HASHED))).is_of(MERGED)


def test_too_much_behind_a_presence_that_waits_lets_all_of_it_go(bench):
    bench.says(presence(HASHED))
    big = stanza(f"<message to='{ROMEO}' id='m'><body>{'x' * announcing.MOST_WAITING}</body></message>")
    bench.says(big)
    assert [one.raw for one in bench.went()] == [presence(HASHED).raw, big.raw]


def test_a_client_whose_answer_is_not_what_it_announced_is_believed(bench):
    """It has changed meanwhile: what it says now is what others would be told."""
    bench.says(presence(HASHED))
    bench.answers(OTHER)
    (went,) = bench.went()
    merged = OTHER_INFO.with_features([METHOD])
    assert own_caps.announced(went).is_of(merged)
    assert disco_info.read(bench.is_told(f"urn:n#{merged.ver()}")) == merged


def test_an_answer_to_somebody_else_that_proves_the_hash_is_learnt(bench):
    bench.says(presence(HASHED))
    bench.answers(FORBIDDEN, "error")
    bench.answers(FORBIDDEN, "error")
    (went,) = bench.went()
    assert went.raw == presence(HASHED).raw
    raw = f"<iq type='result' to='{ROMEO}' id='1'><query xmlns='{DISCO}' node='urn:n#{SIMPLE}'>"
    told = stanza(f"{raw}{OTHER}</query></iq>")
    assert bench.says(told) is told
    assert bench.says(presence(HASHED)).raw == presence(HASHED).raw, "that was not what it announced"
    told = stanza(f"{raw}{EXODUS}{FEATURES}</query></iq>")
    assert bench.says(told) is told
    assert own_caps.announced(bench.says(presence(HASHED))).is_of(MERGED)


def test_an_answer_that_proves_the_hash_is_better_than_one_that_does_not(bench):
    """It may tell the proxy's address, a stranger, less than a contact."""
    bench.says(presence(HASHED))
    bench.answers(EXODUS)
    (went,) = bench.went()
    assert own_caps.announced(went).is_of(disco_info.read(result(EXODUS)).with_features([METHOD]))
    raw = f"<iq type='result' to='{ROMEO}' id='1'><query xmlns='{DISCO}' node='urn:n#{SIMPLE}'>"
    bench.says(stanza(f"{raw}{EXODUS}{FEATURES}</query></iq>"))
    assert own_caps.announced(bench.says(presence(HASHED))).is_of(MERGED)


def test_a_client_that_announces_hashes_is_never_taken_for_one_that_can_do_nothing(bench):
    bench.says(presence(HASHED))
    bench.answers(UNAVAILABLE, "error")
    bench.answers(UNAVAILABLE, "error")
    (went,) = bench.went()
    assert went.raw == presence(HASHED).raw
    assert bench.is_told(None) is None


def test_a_client_that_knows_no_such_node_is_asked_without_one(bench):
    bench.says(presence(HASHED))
    bench.answers("<error type='cancel'><item-not-found xmlns='urn:x'/></error>", "error")
    assert disco_info.asked(bench.asked[0]) == (True, None)
    bench.answers(EXODUS + FEATURES)
    (went,) = bench.went()
    assert own_caps.announced(went).is_of(MERGED)


def test_a_client_without_service_discovery_has_an_answer_made_for_it(bench):
    bench.says(presence())
    bench.answers(UNAVAILABLE, "error")
    (went,) = bench.went()
    found = own_caps.announced(went)
    for node in (found.caps.full_node, None):
        told = disco_info.read(bench.is_told(node))
        assert set(told.features) == {DISCO, METHOD}
        assert found.is_of(told)


def test_a_client_that_refuses_to_say_is_not_spoken_for(bench):
    bench.says(presence())
    bench.answers(FORBIDDEN, "error")
    (went,) = bench.went()
    assert went.raw == presence().raw
    assert bench.is_told(None) is None


def test_a_huge_or_broken_answer_changes_nothing(bench):
    bench.says(presence(HASHED))
    bench.answers(f"<feature var='{'x' * 70_000}'/>")
    (went,) = bench.went()
    assert went.raw == presence(HASHED).raw
    assert not bench.asked


def test_an_answer_under_our_id_to_somebody_else_is_not_ours(bench):
    bench.says(presence(HASHED))
    assert bench.answers(EXODUS, around=ROMEO) is None
    assert len(bench.announcing.waiting) == 2


def test_a_presence_that_cannot_be_read_is_somebody_elses_to_refuse(bench):
    broken = Stanza(b"<presence><c></presence>", b"<x>", caps.names.PRESENCE, {})
    assert bench.says(broken) is broken


def test_a_flood_of_new_hashes_is_bounded(bench):
    bench.says(presence(c("hash='sha-1' node='urn:n' ver='first'")))
    bench.time_passes()
    for number in range(100):
        bench.says(presence(c(f"hash='sha-1' node='urn:n' ver='{number}'")))
    machine = bench.announcing
    assert len(machine._questions) <= announcing.MOST_KNOWN
    assert len(machine._known) <= announcing.MOST_KNOWN
    assert not machine.waiting
    assert len(bench.went()) == 101


def test_asked_again_while_the_question_is_open_is_asked_once(bench):
    bench.says(presence(HASHED))
    bench.time_passes()
    other = hashed(OTHER_INFO)
    bench.says(presence(other))
    bench.says(presence(other))
    assert len(bench.asked) == 2


# ---- what others ask ----


def test_who_asks_for_our_hash_is_told_what_it_is_of(bench):
    bench.knows()
    told = bench.is_told(f"urn:n#{MERGED.ver()}")
    assert (told.type, told.to, told.id, told.from_) == ("result", str(ROMEO), "q1", None)
    assert told.child(caps.QUERY).attributes["node"] == f"urn:n#{MERGED.ver()}"
    assert caps.answer(told).ver == MERGED.ver()
    assert METHOD in caps.answer(told).features


@pytest.mark.parametrize("by", [None, OWN.bare, OWN, "example.test", "juliet@example.test/other"])
def test_our_server_and_our_own_devices_are_told(bench, by):
    bench.knows()
    told = bench.is_told(f"urn:n#{MERGED.ver()}", by=by)
    assert told is not None
    assert told.to == (None if by is None else str(by))


def test_the_client_decides_whether_a_stranger_learns_that_it_is_there(bench):
    bench.knows()
    node = f"urn:n#{MERGED.ver()}"
    assert bench.is_told(node, by="stranger@example.test/x") is None
    assert bench.is_told(node, by="muc.example.test") is None
    assert bench.is_told(node, by=ROOM) is None
    assert bench.is_told(node, by="@@@") is None
    bench.says(presence(HASHED, f"to='{ROOM}'"))
    assert bench.is_told(node, by="room@muc.example.test/romeo") is not None
    bench.says(presence("", f"to='{ROOM}' type='unavailable'"))
    assert bench.is_told(node, by=ROOM) is None
    bench.says(presence(HASHED, f"to='{ROOM}'"))
    bench.says(presence("", "type='unavailable'"))
    assert bench.is_told(node, by=ROOM) is None


@pytest.mark.parametrize("node", [None, f"urn:n#{SIMPLE}", "http://jabber.org/protocol/commands", "urn:n#x"])
def test_all_else_is_the_clients_to_answer(bench, node):
    bench.knows()
    assert bench.is_told(node) is None


def test_items_and_answers_are_not_for_us(bench):
    bench.knows()
    node = f"urn:n#{MERGED.ver()}"
    assert bench.is_told(node, query="http://jabber.org/protocol/disco#items") is None
    for kind in ("result", "set", "error"):
        one = stanza(f"<iq type='{kind}' from='{ROMEO}' id='1'><query xmlns='{DISCO}' node='{node}'/></iq>")
        assert bench.announcing.answer(one) is None


def test_the_last_three_sets_are_answered_for(bench):
    nodes = []
    for number in range(4):
        content = f"{EXODUS}<feature var='urn:{number}'/>"
        announced = hashed(disco_info.read(result(content)))
        bench.says(presence(announced))
        bench.answers(content)
        nodes.append(own_caps.announced(bench.went()[0]).caps.full_node)
    told = [bench.is_told(node) for node in nodes]
    assert told[0] is None
    assert [caps.answer(one).ver for one in told[1:]] == [node.partition("#")[2] for node in nodes[1:]]
    # One that is announced again is the newest again.
    bench.says(presence(hashed(disco_info.read(result(f"{EXODUS}<feature var='urn:1'/>")))))
    bench.says(presence(HASHED))
    bench.answers(EXODUS + FEATURES)
    assert [bench.is_told(node) is None for node in nodes] == [True, False, True, False]


def test_a_program_that_changes_its_name_all_the_time_is_bounded(bench):
    for number in range(100):
        bench.says(presence(hashed(INFO, f"urn:{number}")))
        bench.answers(EXODUS + FEATURES)
    assert len(bench.announcing._sets) == 1
    assert len(bench.announcing._sets[0].nodes) <= announcing.MOST_KNOWN + 1
    assert bench.is_told(f"urn:99#{MERGED.ver()}") is not None


def test_an_answer_that_passes_gets_the_features_and_one_about_a_hash_does_not(bench):
    bench.knows()
    raw = f"<iq type='result' to='{ROMEO}' id='1'><query xmlns='{DISCO}'%s>{EXODUS}{FEATURES}</query></iq>"
    went = bench.says(stanza(raw % ""))
    assert disco_info.read(went) == MERGED
    for node in (f"urn:n#{SIMPLE}", "http://jabber.org/protocol/commands"):
        one = stanza(raw % f" node='{node}'")
        assert bench.says(one).raw == one.raw


def test_an_answer_that_passes_before_anything_is_known_gets_the_features(bench):
    went = bench.says(
        stanza(f"<iq type='result' to='{ROMEO}' id='1'><query xmlns='{DISCO}'>{EXODUS}</query></iq>")
    )
    assert METHOD in disco_info.read(went).features
    assert re.search(rb"Exodus", went.raw)


def test_the_end_lets_go_of_what_waits(bench):
    bench.says(presence(HASHED))
    bench.announcing.give_up()
    assert [one.raw for one in bench.went()] == [presence(HASHED).raw]
    bench.announcing.give_up()
    assert not bench.went()
