"""Who asks at the control socket waits for his turn: a stanza never waits for more than one of them."""

from __future__ import annotations

import pytest

from e2eproxy.control.bounds import Turns


class Reactor:
    """Turns of a reactor: what is asked for in one happens in the next."""

    def __init__(self):
        self.calls = []

    def callLater(self, delay, function):  # noqa: N802 - the interface's
        assert delay == 0
        self.calls.append(function)

    def turn(self):
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def test_one_thing_is_done_in_a_turn_in_order():
    reactor, done = Reactor(), []
    turns = Turns(reactor)
    for number in range(3):
        turns.add(lambda number=number: done.append(number))
    assert done == []
    for count in range(1, 4):
        reactor.turn()
        assert done == list(range(count))
    assert not reactor.calls


def test_what_comes_while_one_is_looked_at_has_a_turn_of_its_own():
    reactor, done = Reactor(), []
    turns = Turns(reactor)
    turns.add(lambda: (done.append("first"), turns.add(lambda: done.append("second"))))
    reactor.turn()
    assert (done, len(reactor.calls)) == (["first"], 1)
    reactor.turn()
    assert (done, reactor.calls) == (["first", "second"], [])


def test_one_that_fails_does_not_take_the_turns_of_the_others():
    reactor, done = Reactor(), []
    turns = Turns(reactor)
    turns.add(lambda: 1 / 0)
    turns.add(lambda: done.append(1))
    with pytest.raises(ZeroDivisionError):
        reactor.turn()
    reactor.turn()
    assert done == [1]
