"""What may be sent again: the newest of each contact, once, for a minute; and when what waits has waited too long."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.internet.task import Clock

from e2eproxy.proxy.lately import LATELY, MOST_CONTACTS, Lately
from e2eproxy.proxy.overdue import Deadlines


def sent(ref, contact="juliet"):
    return SimpleNamespace(ref=ref, contact=contact)


def test_the_newest_of_a_contact_is_given_once():
    lately = Lately()
    lately.note(sent("one"), 0)
    lately.note(sent("two"), 1)
    lately.note(sent("other", "nurse"), 2)
    assert lately.take("one", 3) is None
    assert lately.take("two", 3).ref == "two"
    assert lately.take("two", 3) is None
    assert lately.take("other", 3).ref == "other"


def test_after_a_minute_it_is_too_late():
    lately = Lately()
    lately.note(sent("one"), 0)
    assert lately.take("one", LATELY + 1) is None
    lately.note(sent("two"), 0)
    lately.note(sent("later", "nurse"), LATELY + 1)
    assert len(lately._last) == 1, "what is too old is forgotten, and not only refused"


def test_contacts_are_bounded():
    lately = Lately()
    for number in range(MOST_CONTACTS + 10):
        lately.note(sent(f"r{number}", f"c{number}"), 0)
    assert len(lately._last) == MOST_CONTACTS
    assert lately.take("r0", 0) is None
    assert lately.take(f"r{MOST_CONTACTS + 9}", 0) is not None


def test_one_timer_for_the_earliest_deadline():
    clock, over = Clock(), []
    lines = [SimpleNamespace(deadline=lambda: 30.0), SimpleNamespace(deadline=lambda: None)]
    deadlines = Deadlines(clock, tuple(lines), lambda: over.append(clock.seconds()))
    deadlines.look()
    deadlines.look()
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(30)
    assert over == [30.0]
    deadlines.look()
    deadlines.stop()
    deadlines.look()
    assert clock.getDelayedCalls() == []
