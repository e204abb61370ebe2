"""The decision, walked through all kinds, settings and states, against rules written here a second time."""

from __future__ import annotations

import itertools

import pytest
from attrs import evolve

from e2eproxy.proxy import refusals
from e2eproxy.proxy.kinds import KINDS, Kind, Setting, Treatment
from e2eproxy.proxy.policy import (
    ALWAYS,
    OUTCOMES,
    Outcome,
    Reach,
    Reason,
    Ruling,
    State,
    Way,
    decide,
    unprotected,
    way,
)
from e2eproxy.xmpp.client_error import CONDITIONS

STATES = [
    State(
        reach=reach,
        carries=carries,
        sticky=sticky,
        cleared=cleared,
        waited=waited,
        answers_decrypted=answers,
        by_keys=by_keys,
    )
    for reach, (carries, sticky, cleared, waited, answers, by_keys) in itertools.product(
        Reach, list(itertools.product((True, False), repeat=6))
    )
]
TEXT = {Kind.CHAT, Kind.SELF, Kind.MUC_PRIVATE, Kind.GROUP_CHAT}
CONTENT = {*TEXT, Kind.BODYLESS}
REFUSED_UNDER_REQUIRE = {
    Kind.ROOM_REQUEST,
    Kind.MULTICAST,
    Kind.ROOM_IQ,
    Kind.TRANSFER,
    Kind.UPLOAD,
    Kind.ARCHIVING,
    Kind.OWN_IQ_UNKNOWN,
}
NEEDS_WORD = {*CONTENT, Kind.MULTICAST, Kind.TRANSFER}
TRIMMED = {Kind.DIRECTED_PRESENCE, Kind.SUBSCRIPTION, Kind.ROOM_PRESENCE, Kind.IQ_HARMLESS, Kind.KEY_REQUEST}
VISIBLE = {Kind.ROSTER, Kind.VCARD, Kind.PRIVATE, Kind.PEP, Kind.OWN_IQ}
ANSWERS = {Kind.ERROR, Kind.IQ_RESULT, Kind.IQ_RESULT_OF_ITSELF, Kind.SIGNAL}


def text(setting: Setting, state: State) -> Outcome:
    """What becomes of a text: the heart of it, in words."""
    able = state.carries
    if state.reach is Reach.LIVE and able:
        return Outcome.PROTECT
    finished = state.reach is Reach.FINISHED and able
    if setting is Setting.ACCEPT:
        return Outcome.REFUSE if finished else Outcome.PASS
    if state.reach is Reach.POSSIBLE and able:
        return Outcome.PROTECT
    if state.reach is Reach.UNDISCOVERED and able and not state.waited:
        return Outcome.HOLD if setting is Setting.REQUIRE else Outcome.WAIT
    if setting is Setting.REQUIRE or finished or (state.reach is Reach.BLOCKED and able):
        return Outcome.REFUSE
    return Outcome.PASS


def bodyless(setting: Setting, state: State) -> Outcome:
    """What becomes of other content: as of a text, but what would be refused is cut down to what is allowed."""
    outcome = text(setting, state)
    if outcome is Outcome.REFUSE:
        return Outcome.TRIM
    if not state.carries and state.reach is not Reach.NONE:
        return Outcome.TRIM
    return outcome


def expected(kind: Kind, setting: Setting, state: State) -> Outcome:  # noqa: PLR0911, PLR0912, C901
    if kind in {Kind.UNKNOWN, Kind.BAD_ADDRESS}:
        return Outcome.REFUSE
    if kind is Kind.PROXY:
        return Outcome.TAKE
    if kind is Kind.NONZA:
        return Outcome.PASS
    if kind is Kind.ENCRYPTED:
        return Outcome.TRIM
    live = state.reach is Reach.LIVE and state.carries
    if kind in ANSWERS and state.answers_decrypted:
        by_keys = state.by_keys and state.carries and state.reach in {Reach.POSSIBLE, Reach.UNDISCOVERED}
        if setting is not Setting.UNKNOWN and (live or (by_keys and kind is not Kind.SIGNAL)):
            return Outcome.PROTECT
        return Outcome.TRIM if kind is Kind.SIGNAL else Outcome.BARE
    if setting is Setting.UNKNOWN:
        if kind in {*TRIMMED, Kind.PRESENCE, Kind.SIGNAL}:
            return Outcome.TRIM
        return Outcome.BARE if kind in ANSWERS else Outcome.REFUSE
    if setting is Setting.NEVER:
        return Outcome.PASS
    if kind in {*VISIBLE, Kind.PRESENCE, Kind.IQ_RESULT_OF_ITSELF}:
        return Outcome.PASS
    if kind is Kind.SIGNAL:
        if live:
            return Outcome.PROTECT
        return Outcome.TRIM if setting is Setting.REQUIRE else Outcome.PASS
    wavering = setting in {Setting.PREFER, Setting.ACCEPT}
    if wavering and state.cleared and kind in NEEDS_WORD:
        return Outcome.PASS
    remembered = wavering and state.sticky and not state.cleared
    if remembered and kind in {*NEEDS_WORD, Kind.ERROR, Kind.IQ_RESULT}:
        setting = Setting.REQUIRE
    if kind in TEXT:
        return text(setting, state)
    if kind is Kind.BODYLESS:
        return bodyless(setting, state)
    if kind is Kind.IQ:
        return (
            text(Setting.REQUIRE, state)
            if setting is Setting.REQUIRE
            else (Outcome.PROTECT if live else iq(state))
        )
    if setting is not Setting.REQUIRE:
        return Outcome.PASS
    if kind in REFUSED_UNDER_REQUIRE:
        return Outcome.REFUSE
    if kind in TRIMMED:
        return Outcome.TRIM
    assert kind in {Kind.ERROR, Kind.IQ_RESULT}
    return Outcome.BARE


def iq(state: State) -> Outcome:
    return Outcome.REFUSE if state.reach is Reach.FINISHED and state.carries else Outcome.PASS


@pytest.mark.parametrize("setting", list(Setting), ids=lambda one: one.value)
@pytest.mark.parametrize("kind", list(Kind), ids=lambda one: one.value)
def test_every_kind_setting_and_state(kind, setting):
    for state in STATES:
        ruling = decide(kind, setting, state)
        assert ruling.outcome is expected(kind, setting, state), state
        assert (ruling.reason is not None) is (ruling.outcome is Outcome.REFUSE)
        word = kind in NEEDS_WORD and setting in {Setting.PREFER, Setting.ACCEPT} and state.cleared
        assert ruling.by_word is word
        assert ruling.word_helps is (
            ruling.outcome is Outcome.REFUSE
            and kind in NEEDS_WORD
            and setting in {Setting.PREFER, Setting.ACCEPT}
        )


@pytest.mark.parametrize("kind", list(Kind), ids=lambda one: one.value)
def test_what_the_server_sees_is_told_with_each_ruling(kind):
    state = State(reach=Reach.LIVE)
    for setting in Setting:
        assert decide(kind, setting, state).visible == KINDS[kind].visible
    by_word = decide(Kind.CHAT, Setting.PREFER, State(cleared=True))
    assert by_word.visible == KINDS[Kind.CHAT].visible


@pytest.mark.parametrize(
    ("kind", "setting", "state", "reason"),
    [
        (Kind.CHAT, Setting.REQUIRE, State(reach=Reach.NONE), Reason.NO_METHOD),
        (Kind.CHAT, Setting.REQUIRE, State(reach=Reach.LIVE, carries=False), Reason.NO_METHOD),
        (Kind.CHAT, Setting.REQUIRE, State(reach=Reach.UNDISCOVERED, waited=True), Reason.NOT_DISCOVERED),
        (Kind.CHAT, Setting.REQUIRE, State(reach=Reach.BLOCKED), Reason.KEY),
        (Kind.CHAT, Setting.REQUIRE, State(reach=Reach.FINISHED), Reason.FINISHED),
        (Kind.CHAT, Setting.PREFER, State(reach=Reach.BLOCKED), Reason.KEY),
        (Kind.CHAT, Setting.PREFER, State(reach=Reach.FINISHED), Reason.FINISHED),
        (Kind.CHAT, Setting.ACCEPT, State(reach=Reach.FINISHED), Reason.FINISHED),
        (Kind.CHAT, Setting.PREFER, State(reach=Reach.NONE, sticky=True), Reason.NO_METHOD),
        (Kind.CHAT, Setting.UNKNOWN, State(), Reason.UNREADABLE),
        (Kind.UPLOAD, Setting.REQUIRE, State(), Reason.KIND),
        (Kind.UPLOAD, Setting.UNKNOWN, State(), Reason.UNREADABLE),
        (Kind.UNKNOWN, Setting.NEVER, State(), Reason.UNKNOWN_KIND),
        (Kind.UNKNOWN, Setting.UNKNOWN, State(), Reason.UNKNOWN_KIND),
        (Kind.BAD_ADDRESS, Setting.NEVER, State(), Reason.BAD_ADDRESS),
    ],
)
def test_why_something_is_refused(kind, setting, state, reason):
    assert decide(kind, setting, state).reason is reason


def test_a_kind_that_no_row_knows_is_refused():
    ruling = decide("something new", Setting.NEVER, State(reach=Reach.LIVE))
    assert ruling.outcome is Outcome.REFUSE


def test_a_state_that_nobody_described_is_the_most_careful():
    assert State() == State(
        reach=Reach.UNDISCOVERED,
        carries=True,
        sticky=False,
        cleared=False,
        waited=False,
        answers_decrypted=False,
        by_keys=False,
    )


def test_the_tables_are_whole():
    asked = set(Treatment) - set(ALWAYS) - {Treatment.REFUSE}
    assert set(OUTCOMES) == {(treatment, one) for treatment in asked for one in Way}
    for outcome, reason in OUTCOMES.values():
        assert (reason is not None) is (outcome is Outcome.REFUSE)


def test_names_that_others_see():
    assert " ".join(one.value for one in Outcome) == "protect hold wait pass trim bare refuse take"
    assert Ruling(outcome=Outcome.PASS) == Ruling(
        outcome=Outcome.PASS, reason=None, by_word=False, word_helps=False, visible=""
    )


@pytest.mark.parametrize("kind", sorted(ANSWERS, key=str), ids=lambda one: one.value)
def test_what_no_method_protects_leaves_as_one_that_was_never_asked(kind):
    for setting in Setting:
        assert unprotected(kind) == decide(kind, setting, State(reach=Reach.NONE, answers_decrypted=True))


def test_ways():
    assert way(State(reach=Reach.UNDISCOVERED)) is Way.UNDISCOVERED
    assert way(State(reach=Reach.UNDISCOVERED, waited=True)) is Way.WAITED
    assert way(State(reach=Reach.LIVE, waited=True)) is Way.LIVE
    assert way(State(reach=Reach.NONE, carries=False)) is Way.NONE
    assert way(State(reach=Reach.UNDISCOVERED, carries=False, waited=True)) is Way.CANNOT


# -- what is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind), ids=lambda one: one.value)
def test_each_refusal_has_a_sentence_and_a_known_condition(kind):
    for setting, state in itertools.product(Setting, STATES):
        ruling = decide(kind, setting, state)
        if ruling.outcome is not Outcome.REFUSE:
            continue
        said = refusals.refusal(kind, ruling, "juliet@example.test")
        assert said.condition in CONDITIONS
        assert said.text.startswith("Not sent. ")
        assert said.text.endswith(".")
        assert ("/e2e clear once" in said.text) is ruling.word_helps
        assert "{" not in said.text


@pytest.mark.parametrize(
    "state", [State(reach=Reach.NONE), State(waited=True)], ids=["none", "not discovered"]
)
def test_what_lacks_encryption_says_what_can_be_done(state):
    said = refusals.refusal(Kind.CHAT, decide(Kind.CHAT, Setting.REQUIRE, state), "juliet@example.test")
    assert "/e2e policy when prefer" in said.text
    word = decide(Kind.CHAT, Setting.PREFER, evolve(state, sticky=True))
    said = refusals.refusal(Kind.CHAT, word, "juliet@example.test")
    assert "/e2e clear once" in said.text
    assert "/e2e policy" not in said.text


def test_sentences_name_the_contact_the_kind_and_the_condition():
    chat = refusals.refusal(
        Kind.CHAT, decide(Kind.CHAT, Setting.REQUIRE, State(reach=Reach.NONE)), "juliet@example.test"
    )
    assert "juliet@example.test cannot be reached" in chat.text
    assert chat.condition == "policy-violation"
    late = decide(Kind.CHAT, Setting.REQUIRE, State(waited=True))
    assert refusals.refusal(Kind.CHAT, late, "").condition == "remote-server-timeout"
    assert "whether The server can" in refusals.refusal(Kind.CHAT, late, "").text
    upload = refusals.refusal(Kind.UPLOAD, decide(Kind.UPLOAD, Setting.REQUIRE, State()), "")
    assert KINDS[Kind.UPLOAD].what in upload.text
    unknown = decide(Kind.CHAT, Setting.UNKNOWN, State())
    assert refusals.refusal(Kind.CHAT, unknown, "a@b").condition == "internal-server-error"
    bad = decide(Kind.BAD_ADDRESS, Setting.NEVER, State())
    assert refusals.refusal(Kind.BAD_ADDRESS, bad, "").condition == "jid-malformed"


def test_what_was_trimmed_to_nothing_says_so():
    trimmed = decide(Kind.BODYLESS, Setting.REQUIRE, State(reach=Reach.NONE))
    said = refusals.refusal(Kind.BODYLESS, trimmed, "j@x.test")
    assert "Nothing of this may leave unencrypted" in said.text
    assert said.condition == "policy-violation"
