"""Stream management step by step, and a server that does it wrong."""

from __future__ import annotations

import pytest

from e2eproxy.errors import LocalError, RemoteError, StreamError
from e2eproxy.xmpp.stream_management import (
    ENABLE,
    REQUEST,
    TRANSITIONS,
    Limits,
    QueueFull,
    State,
    StreamManagement,
    offered,
)

SM = "urn:xmpp:sm:3\x01"


class Clock:
    """Seconds, set by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def asked(clock):
    made = StreamManagement(clock)
    assert made.enable() == ENABLE
    return made


@pytest.fixture
def on(asked):
    asked.from_server(SM + "enabled", ["id", "x", "resume", "true", "location", "elsewhere"])
    return asked


def acknowledge(made, h):
    return made.from_server(SM + "a", ["h", h])


def test_enabled_and_acknowledged(on):
    assert on.state is State.ON
    assert [on.sent(item, 1) for item in "abcd"] == [b""] * 4
    assert on.sent("e", 1) == REQUEST
    assert acknowledge(on, "2").acknowledged == ("a", "b")
    assert acknowledge(on, "5").acknowledged == ("c", "d", "e")
    assert on.lost() == []
    assert on.state is State.OFF


def test_asks_for_no_resumption():
    assert ENABLE == b"<enable xmlns='urn:xmpp:sm:3'/>"


def test_counts_from_the_request_on_what_is_sent_and_from_the_answer_on_what_comes(asked):
    assert asked.arrived() == 0
    assert asked.sent("a", 1) == b""
    asked.from_server(SM + "enabled", [])
    assert asked.arrived() == 1
    asked.handled(1)
    assert asked.from_server(SM + "r", []).to_server == b"<a xmlns='urn:xmpp:sm:3' h='1'/>"
    assert acknowledge(asked, "1").acknowledged == ("a",)


def test_asks_at_once_for_what_was_sent_before_the_answer(asked):
    for item in "abcde":
        assert asked.sent(item, 1) == b""
    assert asked.from_server(SM + "enabled", []).to_server == REQUEST


def test_one_request_at_a_time(on, clock):
    requests = [on.sent(at, 1) for at in range(20)]
    assert requests.count(REQUEST) == 1
    clock.now += 0.1
    assert acknowledge(on, "5").to_server == REQUEST
    clock.now += 0.1
    assert acknowledge(on, "20").to_server == b""


def test_the_next_request_comes_after_as_many_again(on, clock):
    for at in range(5):
        on.sent(at, 1)
    acknowledge(on, "5")
    clock.now += 0.1
    assert [bool(on.sent(at, 1)) for at in range(5)] == [False, False, False, False, True]


def test_requests_are_a_tenth_of_a_second_or_a_hundred_stanzas_apart(on, clock):
    requests = []
    for number in range(1, 1001):
        if on.sent(number, 1):
            requests.append(number)
            acknowledge(on, str(number))
    assert requests == [5, *range(105, 1001, 100)]
    clock.now += 0.09
    assert on.sent("almost", 1) == b""
    clock.now += 0.02
    assert on.sent("now", 1) == REQUEST


def test_what_was_not_asked_for_because_of_the_pause_is_asked_for_in_silence(on, clock):
    for at in range(5):
        on.sent(at, 1)
    acknowledge(on, "5")
    assert [on.sent(at, 1) for at in range(7)] == [b""] * 7
    assert on.next_timer == clock.now + 2
    clock.now += 2
    assert on.timer() == REQUEST


def handled(on, number):
    return b"".join(on.taken() for _ in range(number))


def test_the_first_question_is_answered_at_once_and_those_behind_it_together(on, clock):
    handled(on, 3)
    assert on.from_server(SM + "r", []).to_server == b"<a xmlns='urn:xmpp:sm:3' h='3'/>"
    for _ in range(20):
        assert handled(on, 1) == b""
        assert on.from_server(SM + "r", []).to_server == b""
    assert on.next_timer == clock.now + 0.1
    assert on.timer() == b""
    clock.now += 0.1
    assert on.timer() == b"<a xmlns='urn:xmpp:sm:3' h='23'/>"
    assert on.next_timer is None
    handled(on, 1)
    clock.now += 0.1
    assert on.from_server(SM + "r", []).to_server == b"<a xmlns='urn:xmpp:sm:3' h='24'/>"


@pytest.mark.parametrize("late", [False, True])
def test_a_flood_is_answered_by_the_hundred(on, late):
    """A server keeps so many stanzas and no more: it must not wait for the time to pass."""
    on.from_server(SM + "r", [])
    on.from_server(SM + "r", [])
    if late:
        numbers = [on.arrived() for _ in range(100)]
        assert not any(on.handled(number) for number in numbers[1:])
        assert on.handled(1) == b"<a xmlns='urn:xmpp:sm:3' h='100'/>"
    else:
        assert handled(on, 99) == b""
        assert handled(on, 1) == b"<a xmlns='urn:xmpp:sm:3' h='100'/>"
    assert handled(on, 500) == b"", "it has not asked again"
    assert on.from_server(SM + "r", []).to_server == b"<a xmlns='urn:xmpp:sm:3' h='600'/>"


def test_an_answer_owed_and_a_question_due_at_one_time(on, clock):
    on.from_server(SM + "r", [])
    on.sent("a", 1)
    clock.now += 1.95
    on.from_server(SM + "r", [])
    on.from_server(SM + "r", [])
    assert on.next_timer == pytest.approx(clock.now + 0.05)
    clock.now += 0.2
    assert on.timer() == b"<a xmlns='urn:xmpp:sm:3' h='0'/>" + REQUEST


def test_what_is_owed_is_said_at_the_end_and_not_after_it(on):
    on.from_server(SM + "r", [])
    handled(on, 1)
    on.from_server(SM + "r", [])
    assert on.closing() == b"<a xmlns='urn:xmpp:sm:3' h='1'/>"
    assert on.next_timer is None


def test_nothing_is_kept_before_it_is_asked_for_and_after_it_is_refused(clock):
    made = StreamManagement(clock)
    assert made.sent("a", 1) == b""
    made.enable()
    made.sent("b", 1)
    made.from_server(SM + "failed", [])
    assert made.state is State.REFUSED
    made.sent("c", 1)
    assert made.closing() == b""
    assert made.next_timer is None
    assert made.lost() == []


def test_asked_for_once(on):
    with pytest.raises(ValueError, match="once"):
        on.enable()


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("local", ["enabled", "failed", "a", "r", "resumed", "x", ""])
def test_what_means_nothing_is_ignored(clock, state, local):
    made = StreamManagement(clock)
    made.state = state
    reaction = made.from_server(SM + local, ["h", "0"])
    assert made.state is TRANSITIONS.get((state, local), state)
    assert reaction.acknowledged == ()
    assert bool(reaction.to_server) == (state is State.ON and local == "r")


def test_numbers_where_none_is_meant_are_not_read(on, clock):
    assert StreamManagement(clock).from_server(SM + "a", []).acknowledged == ()
    on.from_server(SM + "x", [])
    on.from_server(SM + "resumed", ["h", "7"])
    on.sent("a", 1)
    assert on.from_server(SM + "x", ["h", "1"]).acknowledged == ()
    assert on.lost() == ["a"]


def test_silence(on, clock):
    assert on.next_timer is None
    assert on.timer() == b""
    on.sent("a", 1)
    assert on.next_timer == clock.now + 2
    assert on.timer() == b""
    clock.now += 1.5
    on.sent("b", 1)
    clock.now += 1.5
    assert on.timer() == b""
    clock.now += 0.5
    assert on.timer() == REQUEST
    assert on.timer() == b""
    assert acknowledge(on, "2").to_server == b""
    assert on.next_timer is None


def test_a_server_that_gets_no_further_is_asked_less_often(on, clock):
    on.sent("a", 1)
    waits = []
    for _ in range(9):
        waits.append(on.next_timer - clock.now)
        clock.now = on.next_timer
        assert on.timer() == REQUEST
        acknowledge(on, "0")
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120, 120]
    acknowledge(on, "1")
    on.sent("b", 1)
    assert on.next_timer - clock.now == 2


def test_no_answer_to_a_request_means_a_dead_connection(on, clock):
    for item in "abcde":
        on.sent(item, 1)
    clock.now += 119
    assert on.timer() == b""
    clock.now += 1
    with pytest.raises(StreamError) as caught:
        on.timer()
    assert caught.value.condition == "connection-timeout"
    assert on.lost() == list("abcde")
    assert on.lost() == []


def test_no_answer_to_the_first_request_means_a_dead_connection(asked, clock):
    asked.sent("a", 1)
    clock.now += 119
    assert asked.timer() == b""
    clock.now += 1
    with pytest.raises(StreamError):
        asked.timer()
    assert asked.lost() == ["a"]


@pytest.mark.parametrize("h", ["3", "4", "1000", "4294967295", "2147483648"])
def test_too_high(on, h):
    on.sent("a", 1)
    on.sent("b", 1)
    with pytest.raises(StreamError) as caught:
        acknowledge(on, h)
    assert caught.value.condition == "undefined-condition"
    assert on.lost() == ["a", "b"]


def test_lower_than_before_is_ignored(on, clock):
    for item in "abc":
        on.sent(item, 1)
    acknowledge(on, "2")
    for h in ("0", "1"):
        assert acknowledge(on, h).acknowledged == ()
    assert acknowledge(on, "2").acknowledged == ()
    assert on.lost() == ["c"]
    assert clock.now


@pytest.mark.parametrize(
    "attributes",
    [
        [],
        ["h", ""],
        ["h", "-1"],
        ["h", "x"],
        ["h", "1.0"],
        ["h", "0x1"],
        ["h", "\u0661"],
        ["h", "\u00b2"],
        ["h", "1_0"],
        ["h", "4294967296"],
        ["h", "9" * 100_000],
        ["H", "1"],
    ],
)
def test_no_number(on, attributes):
    on.sent("a", 1)
    with pytest.raises(RemoteError):
        on.from_server(SM + "a", attributes)
    assert on.lost() == ["a"]


@pytest.mark.parametrize("h", ["1", " 1 ", "+1", "0001", "\n1"])
def test_every_spelling_of_an_unsigned_integer(on, h):
    on.sent("a", 1)
    assert acknowledge(on, h).acknowledged == ("a",)


def test_numbers_already_counted_are_not_kept(on):
    number = on.arrived()
    on.handled(number)
    on.handled(number)
    assert not on._handled_early


def test_wraps(on):
    on._acknowledged = 2**32 - 2
    on._arrived = on._handled = 2**32 - 1
    for item in "abcd":
        on.sent(item, 1)
    assert acknowledge(on, "4294967295").acknowledged == ("a",)
    assert acknowledge(on, "1").acknowledged == ("b", "c")
    assert acknowledge(on, "4294967295").acknowledged == ()
    on.handled(on.arrived())
    assert on.closing() == b"<a xmlns='urn:xmpp:sm:3' h='0'/>"


def test_only_a_beginning_that_is_whole_counts_as_handled(on, clock):
    numbers = [on.arrived() for _ in range(4)]

    def said():
        clock.now += 0.1
        return on.from_server(SM + "r", []).to_server.partition(b"h='")[2][:1]

    assert said() == b"0"
    on.handled(numbers[1])
    on.handled(numbers[3])
    assert said() == b"0"
    on.handled(numbers[0])
    assert said() == b"2"
    for wrong in (0, -1, 1, 2, 5, 99):
        on.handled(wrong)
    assert said() == b"2"
    on.handled(numbers[2])
    assert said() == b"4"
    assert not on._handled_early


def test_full_by_number(clock):
    made = StreamManagement(clock, Limits(stanzas=2, reserve=1, ask_after=10))
    made.enable()
    made.from_server(SM + "enabled", [])
    made.sent("a", 1)
    assert not made.full
    made.sent("b", 1)
    assert made.full
    made.sent("c", 1)
    with pytest.raises(QueueFull) as caught:
        made.sent("d", 1)
    assert isinstance(caught.value, LocalError)
    assert made.lost() == ["a", "b", "c"]


def test_full_by_size(clock):
    made = StreamManagement(clock, Limits(payload=10, ask_after=10))
    made.enable()
    made.from_server(SM + "enabled", [])
    made.sent("large", 15)
    assert made.full
    made.sent("b", 5)
    with pytest.raises(QueueFull):
        made.sent("c", 1)
    acknowledge(made, "1")
    assert not made.full
    made.sent("c", 4)
    assert not made.full
    made.sent("d", 1)
    assert made.full
    assert made.lost() == ["b", "c", "d"]


def test_full_before_the_server_answers(clock):
    made = StreamManagement(clock, Limits(stanzas=1, reserve=0))
    made.enable()
    made.sent("a", 1)
    with pytest.raises(QueueFull):
        made.sent("b", 1)
    assert made.lost() == ["a"]


def test_payload_alone_makes_it_full(clock):
    made = StreamManagement(clock, Limits(payload=10))
    made.enable()
    made.sent("a", 10)
    assert made.full
    made.sent("b", 10)
    with pytest.raises(QueueFull):
        made.sent("c", 1)


def test_a_stanza_of_any_size_fits_while_it_is_not_full(clock):
    made = StreamManagement(clock, Limits(payload=10))
    made.enable()
    made.sent("a", 9)
    assert not made.full
    made.sent("b", 1000)
    assert made.full


@pytest.mark.parametrize("answered", ["lost", "failed"])
def test_what_was_kept_no_longer_counts(clock, answered):
    made = StreamManagement(clock, Limits(stanzas=1, payload=1))
    made.enable()
    made.sent("a", 1)
    assert made.full
    if answered == "lost":
        made.lost()
    else:
        made.from_server(SM + "failed", [])
    assert not made.full


def test_silence_since_before_the_answer(asked, clock):
    asked.sent("a", 1)
    clock.now += 3
    asked.from_server(SM + "enabled", [])
    assert asked.timer() == REQUEST


def test_offer():
    root = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    features = b"<stream:features><x xmlns='urn:x'><sm xmlns='urn:xmpp:sm:3'/></x>%b</stream:features>"
    assert offered(root, features % b"<sm xmlns='urn:xmpp:sm:3'><optional/></sm>")
    assert not offered(root, features % b"<sm xmlns='urn:xmpp:sm:2'/>")
    assert not offered(root, features % b"")
    with pytest.raises(RemoteError):
        offered(root, b"<stream:features>")


def test_names():
    assert StreamManagement.concerns(SM + "a")
    assert not StreamManagement.concerns("urn:xmpp:sm:2\x01a")
    assert not StreamManagement.concerns("jabber:client\x01a")
