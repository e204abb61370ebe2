"""Who is remembered as encrypted, what the user's word does about it, which keys are used, and how long a text waits."""

from __future__ import annotations

import itertools

import pytest

from e2eproxy.proxy import sticky
from e2eproxy.proxy.key_rules import USABLE, pinned, usable
from e2eproxy.proxy.kinds import Setting
from e2eproxy.proxy.rules import Whom
from e2eproxy.proxy.sticky import NOTHING_KNOWN, Memory, Why, Word
from e2eproxy.proxy.waits import Waits
from e2eproxy.trust.values import Decision, Fingerprint, KeySeen, PeerKey
from e2eproxy.xmpp.jid import JID

PROVED = Memory(why=Why.PROVED)


def test_text_that_the_peer_proved_to_have_read_makes_sticky():
    sent = sticky.text_encrypted(NOTHING_KNOWN)
    assert not sent.sticky
    proved = sticky.peer_proved(sent)
    assert proved == PROVED
    assert proved.sticky


def test_a_stranger_cannot_make_himself_sticky():
    assert sticky.peer_proved(NOTHING_KNOWN) is NOTHING_KNOWN
    ended = sticky.session_ended(sticky.text_encrypted(NOTHING_KNOWN))
    assert sticky.peer_proved(ended) == NOTHING_KNOWN
    away = sticky.logged_out(sticky.text_encrypted(NOTHING_KNOWN))
    assert sticky.peer_proved(away) == NOTHING_KNOWN


def test_the_first_reason_stays():
    user = sticky.user_requires(NOTHING_KNOWN)
    assert user == Memory(why=Why.USER)
    assert sticky.peer_proved(sticky.text_encrypted(user)) == user
    assert sticky.user_requires(PROVED).why is Why.USER


def test_once_is_used_up_by_what_left():
    cleared = sticky.user_clears(PROVED, Word.ONCE)
    assert cleared.cleared
    assert cleared.sticky
    assert sticky.left_in_clear(cleared) == PROVED


def test_session_holds_until_logging_out():
    cleared = sticky.user_clears(PROVED, Word.SESSION)
    assert sticky.left_in_clear(cleared) is cleared
    assert sticky.session_ended(cleared).cleared
    assert sticky.logged_out(cleared) == PROVED


def test_always_forgets_and_does_not_remember_again():
    cleared = sticky.user_clears(sticky.text_encrypted(sticky.user_clears(PROVED, Word.ONCE)), Word.ALWAYS)
    assert cleared == Memory(never_again=True)
    assert not cleared.sticky
    assert not cleared.cleared
    again = sticky.peer_proved(sticky.text_encrypted(cleared))
    assert again == cleared
    assert sticky.user_requires(again) == Memory(why=Why.USER)


def test_requiring_takes_a_word_back():
    assert sticky.user_requires(sticky.user_clears(PROVED, Word.SESSION)) == Memory(why=Why.USER)


def test_nothing_left_by_no_word():
    assert sticky.left_in_clear(PROVED) is PROVED


def test_values_that_are_stored():
    assert {one.value for one in Why} == {"proved", "user"}
    assert [one.value for one in Word] == ["once", "session", "always"]


# -- keys ----------------------------------------------------------------------------------------------------------

USED = {
    Whom.VERIFIED: {Decision.VERIFIED},
    Whom.TOFU: {Decision.TOFU, Decision.ACCEPTED, Decision.VERIFIED},
    Whom.BLIND: {Decision.UNDECIDED, Decision.TOFU, Decision.ACCEPTED, Decision.VERIFIED},
}


def test_which_keys_are_used():
    assert set(USABLE) == set(itertools.product(Whom, Decision))
    for whom, decision in itertools.product(Whom, Decision):
        assert usable(whom, decision) is (decision in USED[whom])
        for other in Decision:
            beside_verified = decision is Decision.UNDECIDED and other is Decision.VERIFIED
            assert usable(whom, decision, [other]) is (decision in USED[whom] and not beside_verified)


def key(decision: Decision) -> PeerKey:
    return PeerKey(
        account="romeo@example.test",
        contact="juliet@example.test",
        fingerprint=Fingerprint("otr", "aa"),
        public=b"k",
        first_seen=1.0,
        last_seen=1.0,
        decision=decision,
    )


def test_only_the_first_key_is_pinned():
    first, known, other = key(Decision.UNDECIDED), key(Decision.ACCEPTED), key(Decision.DISTRUSTED)
    assert pinned(KeySeen(key=first, new=True)) is Decision.TOFU
    assert pinned(KeySeen(key=first, new=True, others=(other,))) is Decision.UNDECIDED
    assert pinned(KeySeen(key=first, new=False)) is Decision.UNDECIDED
    assert pinned(KeySeen(key=known, new=True)) is Decision.ACCEPTED
    assert pinned(KeySeen(key=other, new=True)) is Decision.DISTRUSTED


# -- waiting -------------------------------------------------------------------------------------------------------

JULIET = JID.parse("juliet@example.test")
NURSE = JID.parse("nurse@example.test")


@pytest.mark.parametrize(
    ("setting", "seconds"), [(Setting.PREFER, 2.0), (Setting.REQUIRE, 60.0), (Setting.ACCEPT, 0.0)]
)
def test_waits_are_bounded(setting, seconds):
    waits = Waits()
    assert not waits.over(JULIET, setting, 1e9)
    waits.begin(JULIET, 100.0)
    assert waits.until(JULIET, setting) == 100.0 + seconds
    if seconds:
        assert not waits.over(JULIET, setting, 100.0 + seconds - 0.001)
    assert waits.over(JULIET, setting, 100.0 + seconds)
    assert not waits.over(NURSE, setting, 1e9)


def test_a_contact_is_waited_for_once_in_a_presence_session():
    waits = Waits()
    waits.begin(JULIET, 100.0)
    waits.begin(JULIET, 200.0)
    assert waits.over(JULIET, Setting.PREFER, 102.0)
    waits.presence_session_began(NURSE)
    assert waits.over(JULIET, Setting.PREFER, 102.0)
    waits.presence_session_began(JULIET)
    assert not waits.over(JULIET, Setting.PREFER, 1e9)
    waits.begin(JULIET, 300.0)
    assert not waits.over(JULIET, Setting.PREFER, 301.0)
    assert waits.over(JULIET, Setting.PREFER, 302.0)


def test_how_long_a_text_is_held_is_a_setting():
    waits = Waits(hold_for=5.0)
    waits.begin(JULIET, 0.0)
    assert waits.until(JULIET, Setting.REQUIRE) == 5.0
    assert waits.until(JULIET, Setting.PREFER) == 2.0


def test_the_waits_that_are_remembered_are_bounded():
    waits = Waits()
    jids = [JID(f"j{number}", "x.test") for number in range(20_001)]
    for jid in jids:
        waits.begin(jid, 0.0)
    assert not waits.over(jids[0], Setting.PREFER, 9.0)
    assert waits.over(jids[1], Setting.PREFER, 9.0)
    assert waits.over(jids[-1], Setting.PREFER, 9.0)
