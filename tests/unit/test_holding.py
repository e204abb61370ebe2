"""Lines: order for each contact, bounds in time, number and size, and nothing lost."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.proxy.holding import Bounds, Direction, Lines
from e2eproxy.xmpp.jid import JID

OUT, IN = Direction.OUT, Direction.IN
ROMEO, JULIET = JID.parse("romeo@example.test"), JID.parse("juliet@example.test")


def test_one_after_the_other_and_others_are_not_held_up():
    lines = Lines()
    for item in ("a", "b"):
        assert lines.join(OUT, JULIET, item, 1, 0.0)
    assert lines.join(OUT, ROMEO, "c", 1, 0.0)
    assert lines.join(IN, JULIET, "d", 1, 0.0)
    assert lines.next(OUT, JULIET).item == "a"
    assert lines.next(OUT, JULIET) is None, "two of one contact at once"
    assert lines.next(OUT, ROMEO).item == "c"
    assert lines.next(IN, JULIET).item == "d"
    lines.done(OUT, JULIET)
    assert lines.next(OUT, JULIET).item == "b"
    lines.done(OUT, JULIET)
    assert not lines.standing(OUT, JULIET)
    assert lines.next(OUT, JULIET) is None
    assert len(lines) == 2


def test_what_waits_holds_back_later_ones_until_it_is_tried_again():
    lines = Lines()
    lines.join(OUT, JULIET, "a", 1, 0.0)
    lines.join(OUT, JULIET, "b", 1, 1.0)
    lines.next(OUT, JULIET)
    lines.wait(OUT, JULIET, "a key is fetched")
    assert lines.next(OUT, JULIET) is None
    lines.retry(IN, JULIET)
    assert lines.next(OUT, JULIET) is None
    lines.retry(OUT, JULIET)
    assert lines.next(OUT, JULIET).item == "a"


@pytest.mark.parametrize(
    ("bounds", "size"), [(Bounds(stanzas=3), 1), (Bounds(bytes=30), 10), (Bounds(all_bytes=30), 10)]
)
def test_a_line_is_bounded_to_the_last_place(bounds, size):
    lines = Lines(bounds)
    assert [lines.join(OUT, JULIET, n, size, 0.0) for n in range(4)] == [True, True, True, False]
    assert len(lines) == 3
    lines.next(OUT, JULIET)
    lines.done(OUT, JULIET)
    assert lines.join(OUT, JULIET, 4, size, 0.0)
    assert not lines.join(OUT, JULIET, 5, size, 0.0)


def test_the_first_of_a_contact_always_finds_a_place():
    lines = Lines(Bounds(bytes=10, all_bytes=10))
    assert lines.join(OUT, JULIET, "large", 1000, 0.0)
    assert lines.join(OUT, ROMEO, "large", 1000, 0.0)
    assert not lines.join(OUT, ROMEO, "more", 1, 0.0)


def test_what_waited_too_long_comes_out_in_order():
    lines = Lines(Bounds(seconds=60))
    for at, item in enumerate("abc"):
        lines.join(OUT, JULIET, item, 1, float(at))
    assert lines.deadline() == 60.0
    lines.next(OUT, JULIET)
    assert lines.deadline() is None
    assert list(lines.overdue(100.0)) == [], "taken away under somebody's hands"
    lines.wait(OUT, JULIET, "why")
    assert list(lines.overdue(59.9)) == []
    assert [(held.item, held.waiting) for _, _, held in lines.overdue(61.0)] == [("a", "why"), ("b", "")]
    assert lines.next(OUT, JULIET).item == "c"
    lines.done(OUT, JULIET)
    assert not lines.standing(OUT, JULIET)
    assert lines.deadline() is None


def test_at_the_end_everything_comes_out():
    lines = Lines()
    for item in "ab":
        lines.join(OUT, JULIET, item, 5, 0.0)
    lines.join(IN, ROMEO, "c", 5, 0.0)
    lines.next(OUT, JULIET)
    assert [held.item for _, _, held in lines.empty()] == ["a", "b", "c"]
    assert not len(lines)
    assert not lines.standing(OUT, JULIET)


@given(
    st.lists(st.tuples(st.sampled_from(["join", "next", "wait", "retry", "done", "time"]), st.integers(0, 3)))
)
def test_whatever_happens_order_is_kept_and_nothing_is_lost(steps):
    lines = Lines(Bounds(seconds=5, stanzas=4, bytes=100))
    contacts = [(OUT, JULIET), (IN, JULIET), (OUT, ROMEO), (IN, ROMEO)]
    joined, out, refused = defaultdict(list), defaultdict(list), []
    current, now = {}, 0.0
    for number, (step, which) in enumerate(steps):
        key = contacts[which]
        if step == "join":
            (joined[key] if lines.join(*key, number, 10, now) else refused).append(number)
        elif step == "next" and (held := lines.next(*key)) is not None:
            current[key] = held.item
        elif step == "wait" and key in current:
            del current[key]
            lines.wait(*key, "why")
        elif step == "retry":
            lines.retry(*key)
        elif step == "done" and key in current:
            lines.done(*key)
            out[key].append(current.pop(key))
        elif step == "time":
            now += which
            for direction, contact, held in lines.overdue(now):
                out[direction, contact].append(held.item)
    for direction, contact, held in lines.empty():
        out[direction, contact].append(held.item)
    assert out == {key: items for key, items in joined.items() if items}
