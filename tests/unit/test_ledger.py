"""Stream management in a session: what is counted, what is told to the pipeline, and when, on a fake clock."""

from __future__ import annotations

import pytest
from test_session import AUTH, BIND, DEEP, END, HEADER, HUGE, SERVER_HEADER, SUCCESS, Bed, bound, in_parts
from twisted.internet.task import Clock

from e2eproxy.errors import StreamError
from e2eproxy.proxy.ledger import Ledger
from e2eproxy.proxy.life import State
from e2eproxy.proxy.pipeline import NO_CARE, Care, Kept, Verbatim
from e2eproxy.xmpp.pieces import Element
from e2eproxy.xmpp.stanza import Stanza
from e2eproxy.xmpp.stream_management import Limits, QueueFull

SM = "urn:xmpp:sm:3"
OFFER = f"<stream:features><sm xmlns='{SM}'/></stream:features>".encode()
ENABLE = f"<enable xmlns='{SM}'/>".encode()
ENABLED = f"<enabled xmlns='{SM}'/>".encode()
FAILED = f"<failed xmlns='{SM}'/>".encode()
REQUEST = f"<r xmlns='{SM}'/>".encode()
STREAM_ERROR = (
    b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" + END
)


def ack(h):
    return f"<a xmlns='{SM}' h='{h}'/>".encode()


def stanza(identifier):
    return f"<message id='{identifier}'/>".encode()


def stanzas(*identifiers):
    return b"".join(map(stanza, identifiers))


class Noting(Verbatim):
    """A pipeline that writes down what it is told; ``kept`` are the server's stanzas it has not dealt with."""

    def __init__(self, ways):
        self.ways = ways
        self.told = []
        self.kept = {}
        self.keeps = self.sees = False
        self.goodbye = b""

    def _tell(self, what, items):
        self.told.append(
            (what, [item.outer_id or (item.stanza.id if item.stanza else None) for item in items])
        )

    def acknowledged(self, items):
        self._tell("acknowledged", items)

    def refused(self, care):
        self._tell("refused", [care])

    def lost(self, items):
        self._tell("lost", items)
        for item in items:
            self.ways.to_client(f"<error id='{item.stanza.id if item.stanza else ''}'/>".encode())

    def closed(self, *, orderly):
        self.told.append(("closed", orderly))
        if self.goodbye:
            self.ways.to_server(self.goodbye)

    def must_see(self, _element):
        return self.sees

    def from_server(self, element, root):
        if not self.keeps:
            return super().from_server(element, root)
        self.kept[element.attribute("id")] = kept = Kept()
        return kept


def counting(answer=ENABLED, offer=OFFER):
    """A session whose server was asked for stream management and has said `answer`."""
    made = []

    def make(ways):
        made.append(Noting(ways))
        return made[0]

    bed = Bed(make_pipeline=make).opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + offer)
    bed.client.deliver(BIND)
    bed.forget()
    bed.server.deliver(bound())
    if offer is OFFER:
        assert bed.to_server == ENABLE
    bed.forget()
    bed.server.deliver(answer)
    assert bed.to_client == b""
    return bed.forget(), made[0]


# -- negotiation -----------------------------------------------------------------------------------------------------


def test_it_is_asked_for_before_anything_of_the_pipeline():
    class Eager(Verbatim):
        def __init__(self, ways):
            self.ways = ways

        def bound(self, _account):
            self.ways.to_server(b"<iq id='first'/>")

    bed = Bed(make_pipeline=Eager).opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + OFFER)
    assert SM.encode() not in bed.to_client
    bed.client.deliver(BIND)
    bed.forget()
    bed.server.deliver(bound())
    assert bed.to_server == ENABLE + b"<iq id='first'/>"
    assert bed.to_client == bound()


@pytest.mark.parametrize(
    "offer", [b"<stream:features/>", b"<stream:features><sm xmlns='urn:xmpp:sm:2'/></stream:features>"]
)
def test_a_server_that_does_not_offer_it_is_not_asked_and_nothing_is_told(offer):
    bed, pipeline = counting(b"", offer)
    bed.client.deliver(stanzas(*"abcdef"))
    bed.server.deliver(REQUEST + ack(3))
    assert bed.to_server == stanzas(*"abcdef")
    assert not bed.clock.getDelayedCalls()
    bed.server.hang_up()
    assert pipeline.told == [("closed", False)]


def test_an_offer_before_the_login_is_none():
    bed = Bed()
    bed.client.deliver(HEADER)
    bed.reach(SERVER_HEADER + OFFER)
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + b"<stream:features/>")
    bed.client.deliver(BIND)
    bed.forget()
    bed.server.deliver(bound())
    assert bed.to_server == b""


def test_features_that_cannot_be_looked_into_offer_nothing():
    bed, _ = counting(
        b"", b"<stream:features><sm xmlns='urn:xmpp:sm:3'/>" + b"<x/>" * 20_001 + b"</stream:features>"
    )
    bed.client.deliver(stanzas(*"abcdef"))
    assert bed.to_server == stanzas(*"abcdef")


def test_a_server_that_refuses_is_not_asked_again():
    bed, pipeline = counting(b"")
    bed.client.deliver(stanzas("a"))
    bed.server.deliver(FAILED)
    bed.client.deliver(stanzas(*"bcdefg"))
    assert bed.to_server == stanzas(*"abcdefg")
    assert bed.to_client == b""
    assert not bed.clock.getDelayedCalls()
    bed.server.hang_up()
    # Nobody will ever say more of what was sent before the refusal: it counts as taken.
    assert pipeline.told == [("acknowledged", ["a"]), ("closed", False)]


def test_without_stream_management_what_the_store_keeps_counts_as_taken_when_it_is_sent():
    told = []

    class Storing(Verbatim):
        def __init__(self, ways):
            self.ways = ways

        def from_client(self, element, _root):
            self.ways.to_server(element.raw, Care(outer_id=element.attribute("id")))

        def acknowledged(self, items):
            told.extend(item.outer_id for item in items)

    bed = Bed(make_pipeline=Storing).logged_in()
    bed.client.deliver(stanzas(*"ab"))
    assert told == ["a", "b"]


def test_a_server_that_never_answers_is_dead():
    bed, pipeline = counting(b"")
    bed.client.deliver(stanzas(*"abcdef"))
    assert bed.to_server == stanzas(*"abcdef")
    bed.clock.advance(119)
    assert bed.session.state is State.RELAYING
    bed.clock.advance(1)
    assert pipeline.told == [("lost", list("abcdef")), ("closed", False)]
    assert b"<connection-timeout " in bed.to_server
    assert bed.to_client.startswith(b"<error id='a'/>")
    assert bed.error()[0] == "remote-connection-failed"


def test_the_clients_own_stream_management_is_refused_as_ever():
    bed, pipeline = counting()
    bed.client.deliver(ENABLE + REQUEST + ack(0) + stanzas("a"))
    assert b"<failed " in bed.to_client
    assert bed.to_server == stanzas("a")
    bed.server.deliver(ack(1))
    assert pipeline.told == [("acknowledged", ["a"])]


# -- to the server ---------------------------------------------------------------------------------------------------


def test_stanzas_are_counted_and_what_is_no_stanza_is_not():
    bed, pipeline = counting()
    bed.client.deliver(stanzas(*"ab") + b" <active xmlns='urn:xmpp:csi:0'/> " + stanzas(*"cd"))
    pipeline.ways.to_server(b"<iq id='own'/>", Care(outer_id="o"))
    assert bed.to_server.endswith(b"<iq id='own'/>" + REQUEST)
    bed.server.deliver(ack(3) + ack(5))
    assert pipeline.told == [("acknowledged", list("abc")), ("acknowledged", ["d", "o"])]
    assert bed.to_client == b""


def test_the_care_of_a_clients_stanza_is_the_client_s():
    bed, pipeline = counting()
    given = []
    pipeline.acknowledged = given.extend
    bed.client.deliver(b"<message id='x' to='a@b'><body>secret</body></message>")
    pipeline.ways.to_server(b"<message id='y'/>")
    bed.server.deliver(ack(2))
    assert isinstance(given[0].stanza, Stanza)
    assert (given[0].stanza.id, given[0].stanza.to, given[0].outer_id) == ("x", "a@b", None)
    assert given[0].stanza.root == HEADER
    assert "secret" not in repr(given[0])
    assert given[1] is NO_CARE


def test_the_last_stanza_is_asked_about_after_a_silence():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a"))
    bed.clock.advance(1.5)
    bed.client.deliver(stanzas("b"))
    bed.clock.advance(1.5)
    assert REQUEST not in bed.to_server
    bed.clock.advance(0.5)
    assert bed.to_server == stanzas(*"ab") + REQUEST
    bed.clock.advance(119)
    bed.server.deliver(ack(2))
    bed.client.deliver(stanzas("c"))
    bed.clock.advance(2)
    assert bed.to_server.endswith(stanzas("c") + REQUEST)
    bed.server.deliver(ack(3))
    bed.clock.advance(1000)
    assert bed.session.state is State.RELAYING
    assert pipeline.told == [("acknowledged", ["a", "b"]), ("acknowledged", ["c"])]
    assert not bed.clock.getDelayedCalls()


def test_the_timer_is_not_armed_for_each_stanza():
    bed, _ = counting()
    due = []
    for _ in range(4):
        bed.client.deliver(stanzas("a"))
        due += [call.getTime() for call in bed.clock.getDelayedCalls()]
        bed.clock.advance(0.4)
    assert due == [2.0] * 4


def test_a_server_that_does_not_answer_a_request_is_dead():
    bed, pipeline = counting()
    bed.client.deliver(stanzas(*"abcde"))
    bed.clock.advance(120)
    assert pipeline.told == [("lost", list("abcde")), ("closed", False)]
    assert bed.error()[0] == "remote-connection-failed"


@pytest.mark.parametrize("false", [ack(3), ack("x"), ack(2**32), f"<a xmlns='{SM}'/>".encode()])
def test_a_server_that_acknowledges_too_much_or_nonsense_ends_both(false):
    bed, pipeline = counting()
    bed.client.deliver(stanzas(*"ab"))
    bed.server.deliver(ack(1) + false)
    assert pipeline.told == [("acknowledged", ["a"]), ("lost", ["b"]), ("closed", False)]
    assert b"<undefined-condition " in bed.to_server
    assert bed.to_server.endswith(END)
    assert bed.error()[0] == "remote-connection-failed"


class FakeReading:
    """Who holds the client."""

    def __init__(self):
        self.holders = set()
        self.hold = self.holders.add
        self.release = self.holders.discard


def ledger(**limits):
    sent, broken, reading, clock = [], [], FakeReading(), Clock()
    made = Ledger(clock, sent.append, reading, broken.append, number=1, limits=Limits(**limits))
    made.features(SERVER_HEADER, OFFER.replace(b"stream:", b""))
    made.begin()
    return made, sent, broken, reading, clock


def element(raw, name, *attributes):
    return Element(raw, f"{SM}\x01{name}", list(attributes))


def test_the_client_is_held_while_too_much_is_open():
    made, sent, _, reading, _ = ledger(stanzas=2, reserve=1)
    made.send(b"1", Care(outer_id="1"))
    assert not reading.holders
    made.send(b"2", Care(outer_id="2"))
    assert reading.holders == {"ledger"}
    made.send(b"3", Care(outer_id="3"))
    with pytest.raises(QueueFull):
        made.send(b"4", Care(outer_id="4"))
    assert sent == [ENABLE, b"1", b"2", b"3"]
    made.from_server(element(ENABLED, "enabled"))
    assert [care.outer_id for care in made.from_server(element(b"", "a", "h", "1"))] == ["1"]
    made.eased()
    assert reading.holders
    made.from_server(element(b"", "a", "h", "2"))
    made.eased()
    assert not reading.holders
    assert [care.outer_id for care in made.over()] == ["3"]


@pytest.mark.parametrize("how", ["over", "closing", "refused"])
def test_nobody_is_held_and_nothing_waits_behind_the_end(how):
    made, sent, broken, reading, clock = ledger(stanzas=1)
    made.send(b"1", NO_CARE)
    assert reading.holders
    if how == "refused":
        made.from_server(element(FAILED, "failed"))
        assert not made.in_use
    else:
        getattr(made, how)()
    assert not reading.holders
    assert not clock.getDelayedCalls()
    before = list(sent)
    made.from_server(element(REQUEST, "r"))
    clock.advance(1000)
    assert sent == before
    assert not broken


def test_behind_our_end_of_the_stream_nothing_is_said_but_all_is_heard():
    made, sent, *_ = ledger()
    made.from_server(element(ENABLED, "enabled"))
    made.send(b"1", Care(outer_id="1"))
    made.taken()
    assert made.closing() == REQUEST + ack(1)
    made.from_server(element(REQUEST, "r"))
    assert sent == [ENABLE, b"1"]
    assert [care.outer_id for care in made.from_server(element(b"", "a", "h", "1"))] == ["1"]
    assert not made.over()


def test_a_dead_server_is_told_once_by_the_timer():
    made, _, broken, _, clock = ledger(patience=10.0)
    clock.advance(9.9)
    assert not broken
    clock.advance(0.1)
    assert [type(error) for error in broken] == [StreamError]
    made.over()


def full():
    bed, pipeline = counting()
    limits = bed.session._relay._ledger._management._limits
    most = limits.stanzas + limits.reserve
    bed.client.deliver(b"".join(stanza(n) for n in range(most + 2)) + b"<presence/>")
    return bed, pipeline, limits, most


def test_what_is_too_much_comes_back_and_reading_stops_until_it_is_not():
    bed, pipeline, limits, most = full()
    assert pipeline.told == [
        ("refused", [str(most)]),
        ("refused", [str(most + 1)]),
        ("refused", [None]),
    ]
    assert bed.to_server.count(b"<message ") == most
    assert bed.client.paused
    pipeline.ways.to_server(b"<iq/>")
    assert pipeline.told.pop() == ("refused", [None])
    bed.server.deliver(ack(limits.reserve))
    assert bed.client.paused
    pipeline.ways.pause_client()
    bed.server.deliver(ack(limits.reserve + 1))
    assert bed.client.paused, "the pipeline still wants it"
    pipeline.ways.resume_client()
    assert not bed.client.paused


@pytest.mark.parametrize("first", ["pipeline", "buffer"])
def test_reasons_for_not_reading_nest(first):
    bed, pipeline = counting()
    stop = [pipeline.ways.pause_client, bed.server.stop_reading]
    go = [pipeline.ways.resume_client, bed.server.read_on]
    for act in stop if first == "pipeline" else reversed(stop):
        act()
    pipeline.ways.pause_client()
    for act in go if first == "pipeline" else reversed(go):
        assert bed.client.paused
        act()
    assert not bed.client.paused
    pipeline.ways.resume_client()
    assert not bed.client.paused


def test_nobody_stops_reading_a_client_that_is_leaving():
    bed, pipeline = counting()
    pipeline.ways.pause_client()
    bed.session.end("policy-violation", "Go.")
    assert not bed.client.paused
    pipeline.ways.pause_client()
    assert not bed.client.paused


# -- from the server -------------------------------------------------------------------------------------------------


def h(bed):
    """How many stanzas the server hears were handled."""
    bed.clock.advance(0.1)
    bed.forget()
    bed.server.deliver(REQUEST)
    return int(bed.to_server.partition(b"h='")[2].partition(b"'")[0])


def test_the_servers_stanzas_are_counted_and_nothing_else():
    bed, pipeline = counting(b"")
    bed.server.deliver(stanzas("early"))
    bed.server.deliver(ENABLED + stanzas(*"ab") + b" <x/>" + REQUEST)
    assert bed.to_client == stanzas("early", *"ab") + b" "
    assert bed.to_server == ack(2)
    pipeline.from_server = lambda *_: None
    bed.server.deliver(stanzas("dropped"))
    assert h(bed) == 3


@pytest.mark.parametrize("sees", [True, False])
def test_excess_counts_as_handled_and_so_do_answers_to_it(sees):
    bed, pipeline = counting()
    pipeline.sees = sees
    bed.server.deliver(DEEP + DEEP.replace(b"message", b"x"))
    assert h(bed) == 1
    bed.server.deliver(DEEP.replace(b"<message", b"<iq type='get'").replace(b"message", b"iq"))
    assert h(bed) == 2
    bed.server.deliver(ack(1 if sees else 0))
    assert pipeline.told == ([("acknowledged", [None])] if sees else [])


@pytest.mark.parametrize("sees", [True, False])
def test_parts_count_as_one_stanza_once_the_last_has_come(sees):
    bed, pipeline = counting()
    pipeline.sees = sees
    seen = []
    relay = bed.session._relay

    def look():
        pipeline.ways.to_server(b"<iq id='between'/>")
        seen.append(relay._ledger._management._arrived)

    in_parts(bed, HUGE, then=look)
    assert seen == [0]
    assert h(bed) == 1


def test_what_is_kept_is_acknowledged_once_it_is_released():
    bed, pipeline = counting()
    pipeline.keeps = True
    bed.server.deliver(stanzas(*"abc"))
    assert bed.to_client == b""
    assert h(bed) == 0
    pipeline.kept["b"].release()
    assert h(bed) == 0
    pipeline.kept["a"].release()
    pipeline.kept["a"].release()
    assert h(bed) == 2
    bed.server.hang_up()
    pipeline.kept["c"].release()


def test_kept_may_be_released_before_anybody_asks():
    kept, done = Kept(), []
    kept.release()
    assert not done
    kept.then(lambda: done.append(1))
    kept.release()
    assert done == [1]


# -- endings ---------------------------------------------------------------------------------------------------------


def test_a_client_that_vanishes_leaves_the_server_time_to_acknowledge():
    bed, pipeline = counting()
    pipeline.goodbye = b"<message id='goodbye'/>"
    bed.server.deliver(stanzas("x"))
    bed.client.deliver(stanzas(*"ab"))
    bed.forget()
    bed.client.hang_up()
    assert bed.listener.clients == 0
    assert bed.session.state is State.ENDING
    assert pipeline.told == [("closed", True)]
    assert bed.to_server == pipeline.goodbye + REQUEST + ack(1) + END
    bed.server.deliver(ack(2))
    assert pipeline.told[1:] == [("acknowledged", ["a", "b"])]
    bed.server.deliver(END)
    assert pipeline.told[2:] == [("acknowledged", [None])], "what it read before our end, it has taken"
    assert bed.session.state is State.OVER
    assert bed.server.finished
    bed.server.hang_up()
    assert not bed.clock.getDelayedCalls()
    assert len(pipeline.told) == 3


@pytest.mark.parametrize("how", ["linger", "broken", "error", "nonsense", "too much"])
def test_a_client_that_vanished_and_a_server_that_did_not_take_it_all(how):
    bed, pipeline = counting()
    bed.client.deliver(stanzas(*"abc"))
    bed.client.hang_up()
    bed.server.deliver(ack(1))
    bed.forget()
    if how == "linger":
        bed.clock.advance(4.9)
        assert len(pipeline.told) == 2
        bed.clock.advance(0.1)
    elif how == "broken":
        bed.server.hang_up()
    else:
        bed.server.deliver({"error": STREAM_ERROR, "nonsense": b"</iq>", "too much": ack(77)}[how])
    assert pipeline.told == [("closed", True), ("acknowledged", ["a"]), ("lost", ["b", "c"])]
    assert bed.session.state is State.OVER
    assert bed.to_server == b"", "behind our end of the stream nothing is said"


def test_stanzas_for_a_client_that_vanished_are_not_acknowledged():
    bed, pipeline = counting()
    bed.client.hang_up()
    bed.forget()
    pipeline.from_server = None
    bed.server.deliver(stanzas("x") + DEEP + REQUEST)
    in_parts(bed, HUGE)
    assert bed.session._relay._ledger._management._arrived == 0
    assert bed.to_server == b""
    assert not pipeline.ways.client_there


def test_a_client_that_vanished_while_it_did_not_read_does_not_keep_the_server_from_being_heard():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a"))
    bed.client.stop_reading()
    assert bed.server.paused
    bed.client.hang_up()
    assert not bed.server.paused
    bed.server.deliver(END)
    assert pipeline.told == [("closed", True), ("acknowledged", ["a"])]


def test_a_client_that_closes_its_sending_side_is_told_and_the_server_is_waited_for():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a"))
    bed.client.protocol.readConnectionLost()
    assert bed.to_client == END
    assert bed.client.finished
    assert bed.session.state is State.ENDING
    bed.server.deliver(END)
    assert pipeline.told == [("closed", True), ("acknowledged", ["a"])]
    assert bed.session.state is State.OVER


def test_the_client_ends_its_stream_in_good_order():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a") + END)
    assert bed.to_server == stanzas("a") + REQUEST + ack(0) + END
    bed.server.deliver(stanzas("late") + ack(1) + END)
    assert bed.to_client == stanzas("late") + END
    assert pipeline.told == [("closed", True), ("acknowledged", ["a"])]
    assert bed.session.state is State.OVER


def test_a_client_that_ended_its_stream_need_not_wait_for_the_server():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a") + END)
    bed.clock.advance(3)
    bed.client.hang_up()
    assert bed.session.state is State.ENDING
    bed.clock.advance(2)
    assert pipeline.told == [("closed", True), ("lost", ["a"])]
    assert bed.session.state is State.OVER


def test_the_server_is_lost_with_the_client_there():
    bed, pipeline = counting()
    bed.client.deliver(stanzas(*"ab"))
    bed.server.hang_up()
    assert pipeline.told == [("lost", ["a", "b"]), ("closed", False)]
    assert bed.to_client.startswith(b"<error id='a'/><error id='b'/><stream:error")
    assert bed.error()[0] == "remote-connection-failed"


def test_the_servers_stream_error_comes_behind_the_errors_of_what_is_lost():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a"))
    bed.server.deliver(STREAM_ERROR)
    assert bed.to_client == b"<error id='a'/>" + STREAM_ERROR
    assert pipeline.told == [("lost", ["a"]), ("closed", False)]


def test_a_server_that_ends_its_stream_first_takes_nothing_more():
    bed, pipeline = counting()
    bed.client.deliver(stanzas(*"ab"))
    bed.server.deliver(ack(1) + END)
    assert bed.to_client == b"<error id='b'/>" + END
    assert pipeline.told == [("acknowledged", ["a"]), ("lost", ["b"]), ("closed", True)]
    bed.forget()
    bed.client.deliver(stanzas("late"))
    assert pipeline.told[3:] == [("refused", ["late"])]
    pipeline.ways.to_client(b"<message/>")
    pipeline.ways.to_server(b"<iq/>", Care(outer_id="o"))
    assert pipeline.told[4:] == [("refused", ["o"])]
    bed.client.deliver(END)
    assert (bed.to_client, bed.to_server) == (b"", END)
    assert bed.session.state is State.OVER
    assert len(pipeline.told) == 5


def test_a_client_cut_off_inside_a_stanza_is_not_told_but_closed_first():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a"))
    bed.server.deliver(HUGE[: 20 * 1024 * 1024])
    bed.server.hang_up()
    assert pipeline.told == [("closed", False), ("lost", ["a"])]
    assert not pipeline.ways.client_there
    assert bed.client.finished


@pytest.mark.parametrize("wrong", [b"<nonsense xmlns='urn:x'/>", b"</iq>"])
def test_a_client_that_breaks_its_stream_leaves_the_server_time(wrong):
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a") + wrong + stanzas("b") + END)
    assert b"<stream:error" in bed.to_client
    assert bed.to_client.endswith(END)
    assert bed.client.finished
    assert bed.to_server == stanzas("a") + REQUEST + ack(0) + END
    assert bed.session.state is State.ENDING
    bed.client.hang_up()
    bed.server.deliver(ack(1) + END)
    assert pipeline.told == [("closed", True), ("acknowledged", ["a"])]
    assert bed.session.state is State.OVER


def test_nothing_behind_a_failed_starttls_is_looked_at():
    bed, pipeline = counting()
    bed.client.deliver(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + stanzas("a"))
    assert bed.to_client.startswith(b"<failure ")
    assert bed.to_client.endswith(b"</stream:error>" + END)
    assert bed.to_client.count(END) == 1
    assert bed.to_server == ack(0) + END
    assert pipeline.told == [("closed", True)]


def test_what_a_pipeline_says_too_late_is_refused():
    bed, pipeline = counting()
    bed.client.hang_up()
    bed.forget()
    pipeline.ways.to_server(b"<iq/>", Care(outer_id="o"))
    pipeline.ways.to_server(b"<iq/>")
    bed.server.deliver(END)
    pipeline.ways.to_server(b"<iq/>", Care(outer_id="p"))
    assert bed.to_server == b""
    assert pipeline.told == [("closed", True), ("refused", ["o"]), ("refused", [None]), ("refused", ["p"])]


def test_shutting_down_waits_for_the_server_but_not_for_ever():
    first, told = counting()
    second, lost = counting()
    second.listener._sessions.add(first.session)
    first.session._on_over = second.listener._over
    first.client.deliver(stanzas("a"))
    second.client.deliver(stanzas("b"))
    gone = []
    second.listener.close("Bye.").addCallback(gone.append)
    for bed in (first, second):
        assert b"<system-shutdown " in bed.to_client
        assert bed.to_server.endswith(REQUEST + ack(0) + END)
        bed.client.hang_up()
    assert second.listener.clients == 0
    assert not gone
    first.server.deliver(ack(1) + END)
    assert told.told == [("closed", True), ("acknowledged", ["a"])]
    assert not gone
    second.clock.advance(5)
    assert lost.told == [("closed", True), ("lost", ["b"])]
    assert gone == [None]


def test_ending_again_while_the_server_is_waited_for_changes_nothing():
    bed, pipeline = counting()
    bed.client.deliver(stanzas("a"))
    bed.session.end("policy-violation", "Go.")
    bed.forget()
    bed.clock.advance(4)
    bed.session.end("system-shutdown", "Bye.")
    assert bed.session.state is State.ENDING
    assert (bed.to_client, bed.to_server) == (b"", b"")
    bed.clock.advance(1)
    assert bed.session.state is State.OVER
    assert pipeline.told == [("closed", True), ("lost", ["a"])]


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_server_without_stream_management_is_not_waited_for(who):
    bed, pipeline = counting(b"", b"<stream:features/>")
    bed.client.deliver(stanzas("a"))
    getattr(bed, who).hang_up()
    assert bed.session.state is State.OVER
    assert pipeline.told == [("closed", who == "client")]
