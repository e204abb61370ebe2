"""What policy is told of one stanza on its way: which engines may still have it, and how far they reach."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from e2eproxy.methods.events import Ref
from e2eproxy.methods.traits import Carries, Scope
from e2eproxy.proxy.classify import Classified
from e2eproxy.proxy.ids import Opened
from e2eproxy.proxy.kinds import Kind, Setting
from e2eproxy.proxy.on_its_way import Outgoing
from e2eproxy.proxy.policy import Outcome, Reach, Reason
from e2eproxy.proxy.rules import Resolved, Whom
from e2eproxy.proxy.rulings import Rulings
from e2eproxy.proxy.waits import Waits
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

JULIET, BALCONY, NURSE = map(JID.parse, ("juliet@two.test", "juliet@two.test/balcony", "nurse@two.test"))
TEXT = Stanza.parse(
    b"<message xmlns='jabber:client' to='juliet@two.test' type='chat' id='m1'><body>hi</body></message>"
)


def lane(name, kinds=("chat",), features=(), *, scope=Scope.PEER, carries=Carries.STANZA):
    """An engine as far as a ruling looks at it."""
    traits = SimpleNamespace(
        kinds=frozenset(kinds), features=frozenset(features), scope=scope, carries=carries
    )
    return SimpleNamespace(name=name, harness=SimpleNamespace(method=SimpleNamespace(traits=traits)))


class Desk:
    """What is known of the account's contacts, as the test says; what it was asked is noted."""

    def __init__(self, *lanes, when=Setting.PREFER, reach=None):
        self.lanes, self.when = list(lanes), when
        self.reaches = reach or {}
        self.sticky = self.cleared = False
        self.ids, self.asked = {}, []
        self.ordered = 0

    def resolved(self, _found):
        return Resolved(when=self.when, whom=Whom.TOFU, methods=tuple(one.name for one in self.lanes))

    def order(self, resolved):
        self.ordered += 1
        return [one for one in self.lanes if one.name in resolved.methods]

    def reach(self, lanes, peer):
        self.asked.append((tuple(one.name for one in lanes), peer))
        found = [self.reaches.get(one.name, Reach.NONE) for one in lanes]
        best = (Reach.LIVE, Reach.FINISHED, Reach.POSSIBLE, Reach.UNDISCOVERED)
        return next((one for one in best if one in found), Reach.NONE)

    def remembered(self, contacts):
        self.contacts = tuple(contacts)
        return self.sticky, self.cleared

    def seen(self, contact):
        return self.ids.get(contact, {})


def item(kind=Kind.CHAT, *, to=BALCONY, recipients=(), answers=None, stanza=TEXT):
    found = Classified(kind=kind, to=to, contact=JULIET, recipients=recipients)
    return Outgoing(ref=Ref("r"), stanza=stanza, found=found, contact=JULIET, line=JULIET, answers=answers)


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def rulings(desk, waits=None, now=lambda: 0.0):
    return Rulings(desk, Waits() if waits is None else waits, now)


def test_the_engines_are_asked_for_once_and_in_policys_order():
    desk = Desk(lane("first"), lane("second"), reach={"second": Reach.LIVE})
    one = item()
    rules = rulings(desk)
    assert rules.of(one).outcome is Outcome.PROTECT
    assert [each.name for each in one.lanes] == ["first", "second"]
    assert desk.asked == [(("first", "second"), BALCONY)]
    one.lanes.clear()  # both have declined it
    assert rules.of(one).outcome is Outcome.PASS
    assert desk.ordered == 1
    assert one.lanes == []


def test_an_engine_that_cannot_carry_the_kind_is_not_asked_for_what_another_can():
    desk = Desk(lane("text"), lane("all", ("chat", "iq")), reach={"text": Reach.LIVE, "all": Reach.POSSIBLE})
    one = item(Kind.IQ)
    desk.when = Setting.REQUIRE
    assert rulings(desk).of(one).outcome is Outcome.PROTECT
    assert desk.asked == [(("all",), BALCONY)]
    assert [each.name for each in rulings(desk).able(one)] == ["all"]


@pytest.mark.parametrize("reach", [Reach.LIVE, Reach.FINISHED])
def test_a_session_that_cannot_carry_the_kind_counts_all_the_same(reach):
    desk = Desk(lane("text"), reach={"text": reach})
    ruling = rulings(desk).of(item(Kind.BODYLESS))
    assert ruling.outcome is Outcome.TRIM
    assert desk.asked[-1] == (("text",), BALCONY)


@pytest.mark.parametrize("reach", [Reach.POSSIBLE, Reach.UNDISCOVERED, Reach.NONE])
def test_a_method_that_announces_nothing_and_cannot_carry_the_kind_says_nothing(reach):
    desk = Desk(lane("text"), reach={"text": reach})
    assert rulings(desk).of(item(Kind.BODYLESS)).outcome is Outcome.PASS
    assert desk.asked == [
        (("text",), BALCONY)
    ]  # only whether it counts; of none that counts nothing is asked


def test_a_method_that_announces_itself_counts_even_where_it_cannot_carry_the_kind():
    desk = Desk(lane("announced", features=("urn:one",)), reach={"announced": Reach.POSSIBLE})
    assert rulings(desk).of(item(Kind.BODYLESS)).outcome is Outcome.TRIM


def test_where_no_engine_is_left_nothing_reaches_and_nothing_cannot():
    desk = Desk(when=Setting.REQUIRE)
    ruling = rulings(desk).of(item())
    assert (ruling.outcome, ruling.reason) == (Outcome.REFUSE, Reason.NO_METHOD)
    assert desk.asked == []


def test_the_contact_is_asked_about_where_there_is_no_address():
    desk = Desk(lane("first"), reach={"first": Reach.LIVE})
    rulings(desk).of(item(to=None))
    assert desk.asked == [(("first",), JULIET)]


def test_what_is_remembered_of_each_recipient_counts():
    desk = Desk()
    desk.sticky = True
    assert rulings(desk).of(item(recipients=(JULIET, NURSE))).outcome is Outcome.REFUSE
    assert desk.contacts == (JULIET, NURSE)
    assert rulings(desk).of(item()).word_helps
    assert desk.contacts == (JULIET,)


def test_the_users_word_is_used():
    desk = Desk()
    desk.sticky = desk.cleared = True
    ruling = rulings(desk).of(item())
    assert ruling.outcome is Outcome.PASS
    assert ruling.by_word


def test_a_wait_that_is_over_is_over_by_the_clock_and_the_setting():
    desk = Desk(lane("first"), reach={"first": Reach.UNDISCOVERED})
    waits, now = Waits(), Clock()
    rules = rulings(desk, waits, now)
    assert rules.of(item()).outcome is Outcome.WAIT
    waits.begin(JULIET, 0.0)
    assert rules.of(item()).outcome is Outcome.WAIT
    now.seconds = 2.0
    assert rules.of(item()).outcome is Outcome.PASS
    desk.when = Setting.REQUIRE
    assert rules.of(item()).outcome is Outcome.HOLD
    now.seconds = 60.0
    ruling = rules.of(item())
    assert (ruling.outcome, ruling.reason) == (Outcome.REFUSE, Reason.NOT_DISCOVERED)


@pytest.mark.parametrize(
    ("when", "is_sticky", "required"),
    [
        (Setting.REQUIRE, False, True),
        (Setting.PREFER, False, False),
        (Setting.PREFER, True, True),
        (Setting.ACCEPT, False, False),
    ],
)
def test_encryption_is_required_where_nothing_would_leave_without_a_method(when, is_sticky, required):
    desk = Desk(lane("first"), when=when, reach={"first": Reach.LIVE})
    desk.sticky = is_sticky
    one = item()
    assert rulings(desk).of(one).outcome is Outcome.PROTECT
    assert one.required is required


def test_encryption_is_not_required_by_what_a_session_alone_keeps_back():
    desk = Desk(lane("text"), reach={"text": Reach.LIVE})
    one = item(Kind.BODYLESS)
    assert rulings(desk).of(one).outcome is Outcome.TRIM
    assert not one.required


def test_an_answer_to_what_was_opened_is_protected_or_bare():
    answer = Stanza.parse(
        b"<iq xmlns='jabber:client' to='juliet@two.test/balcony' type='result' id='q1'><a xmlns='urn:a'/></iq>"
    )
    opened = Opened("q0", "juliet@two.test/balcony", "all")
    desk = Desk(lane("all", ("chat", "iq")), reach={"all": Reach.LIVE})
    one = item(Kind.IQ_RESULT, answers=opened, stanza=answer)
    assert rulings(desk).of(one).outcome is Outcome.PROTECT
    desk.reaches = {}
    assert rulings(desk).of(item(Kind.IQ_RESULT, answers=opened, stanza=answer)).outcome is Outcome.BARE
    assert rulings(desk).of(item(Kind.IQ_RESULT, stanza=answer)).outcome is not Outcome.BARE


def test_what_software_says_of_itself_goes_under_require_only_to_who_asked():
    answer = Stanza.parse(b"<iq xmlns='jabber:client' to='juliet@two.test/balcony' type='result' id='q1'/>")
    desk = Desk(when=Setting.REQUIRE)
    one = item(Kind.IQ_RESULT_OF_ITSELF, stanza=answer)
    assert rulings(desk).of(one).outcome is Outcome.BARE
    desk.ids = {JULIET: {"q1": None}}
    assert rulings(desk).of(one).outcome is Outcome.PASS
    desk.ids = {NURSE: {"q1": None}, JULIET: {"q2": None}}
    assert rulings(desk).of(one).outcome is Outcome.BARE


def test_under_other_settings_it_goes_to_whoever_asked():
    answer = Stanza.parse(b"<iq xmlns='jabber:client' to='juliet@two.test/balcony' type='result' id='q1'/>")
    desk = Desk(when=Setting.PREFER)
    assert rulings(desk).of(item(Kind.IQ_RESULT_OF_ITSELF, stanza=answer)).outcome is Outcome.PASS
    desk = Desk(when=Setting.UNKNOWN)
    assert rulings(desk).of(item(Kind.IQ_RESULT_OF_ITSELF, stanza=answer)).outcome is Outcome.BARE


def test_only_such_an_answer_depends_on_who_asked():
    desk = Desk(when=Setting.REQUIRE)
    request = Stanza.parse(
        b"<iq xmlns='jabber:client' type='get' id='q1'><query xmlns='jabber:iq:roster'/></iq>"
    )
    assert rulings(desk).of(item(Kind.ROSTER, to=None, stanza=request)).outcome is Outcome.PASS


def test_such_an_answer_to_what_was_opened_stays_protected():
    answer = Stanza.parse(b"<iq xmlns='jabber:client' to='juliet@two.test/balcony' type='result' id='q1'/>")
    desk = Desk(lane("all", ("chat", "iq")), when=Setting.REQUIRE, reach={"all": Reach.LIVE})
    one = item(
        Kind.IQ_RESULT_OF_ITSELF, answers=Opened("q0", "juliet@two.test/balcony", "all"), stanza=answer
    )
    assert rulings(desk).of(one).outcome is Outcome.PROTECT


IQ_RESULT = Stanza.parse(
    b"<iq xmlns='jabber:client' to='juliet@two.test/balcony' type='result' id='q1'><a xmlns='urn:a'/></iq>"
)
IQ_ERROR = Stanza.parse(
    b"<iq xmlns='jabber:client' to='juliet@two.test/balcony' type='error' id='q1'><a xmlns='urn:a'/></iq>"
)
OPENED = Opened("q0", "juliet@two.test/balcony", "keys")


@pytest.mark.parametrize("reach", [Reach.POSSIBLE, Reach.UNDISCOVERED])
def test_a_method_that_needs_no_session_answers_what_it_opened(reach):
    keys = lane("keys", ("iq",), ("urn:k",), scope=Scope.CONTACT)
    desk = Desk(keys, when=Setting.REQUIRE, reach={"keys": reach})
    rules = rulings(desk)
    assert rules.of(item(Kind.IQ_RESULT, answers=OPENED, stanza=IQ_RESULT)).outcome is Outcome.PROTECT
    assert rules.of(item(Kind.ERROR, answers=OPENED, stanza=IQ_ERROR)).outcome is Outcome.PROTECT
    # What answers nothing that was opened is another matter.
    assert rules.of(item(Kind.IQ_RESULT, stanza=IQ_RESULT)).outcome is Outcome.BARE
    assert rules.of(item(Kind.ERROR, stanza=IQ_ERROR)).outcome is Outcome.BARE


def test_a_session_is_not_begun_for_an_answer():
    desk = Desk(lane("keys", ("iq",), ("urn:k",)), reach={"keys": Reach.POSSIBLE})
    assert rulings(desk).of(item(Kind.IQ_RESULT, answers=OPENED, stanza=IQ_RESULT)).outcome is Outcome.BARE


def test_an_answer_is_for_the_method_that_opened_the_question():
    other = lane("other", ("iq",), scope=Scope.CONTACT)
    keys = lane("keys", ("iq",), ("urn:k",), scope=Scope.CONTACT)
    desk = Desk(other, keys, reach={"other": Reach.LIVE, "keys": Reach.POSSIBLE})
    one = item(Kind.IQ_RESULT, answers=OPENED, stanza=IQ_RESULT)
    assert rulings(desk).of(one).outcome is Outcome.PROTECT
    assert [each.name for each in one.lanes] == ["keys"]
    one.lanes.clear()  # it has declined
    assert rulings(desk).of(one).outcome is Outcome.BARE
    desk.lanes = [other]
    assert rulings(desk).of(item(Kind.IQ_RESULT, answers=OPENED, stanza=IQ_RESULT)).outcome is Outcome.BARE


def test_the_error_that_answers_a_request_is_for_methods_that_carry_all_of_a_request():
    message = Stanza.parse(
        b"<message xmlns='jabber:client' to='juliet@two.test/balcony' type='error' id='q1'/>"
    )
    for kinds, carries, stanza, outcome in (
        (("iq",), Carries.STANZA, IQ_ERROR, Outcome.PROTECT),
        (("iq",), Carries.CHILDREN, IQ_ERROR, Outcome.BARE),
        (("chat",), Carries.STANZA, IQ_ERROR, Outcome.BARE),
        (("iq", "chat"), Carries.STANZA, message, Outcome.BARE),
    ):
        desk = Desk(lane("keys", kinds, carries=carries), reach={"keys": Reach.LIVE})
        assert rulings(desk).of(item(Kind.ERROR, answers=OPENED, stanza=stanza)).outcome is outcome
