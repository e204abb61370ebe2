"""What holds for whom: contact before domain before account before default, each setting on its own, and edits of it."""

from __future__ import annotations

import itertools
import timeit

import pytest

from e2eproxy.errors import LocalError
from e2eproxy.proxy.asked import resolved_for
from e2eproxy.proxy.classify import Classified
from e2eproxy.proxy.kinds import KINDS, Kind, Setting
from e2eproxy.proxy.rules import (
    DEFAULTS,
    SPEAKS,
    UNREADABLE,
    Scope,
    Whom,
    client_speaks,
    edited,
    levels,
    resolve,
    stricter,
    strictest,
)
from e2eproxy.xmpp.jid import JID

ROMEO = JID.parse("romeo@example.test/orchard")
JULIET = JID.parse("Juliet@Capulet.test/balcony")
HALL = JID.parse("hall@capulet.test")


class Stored:
    """The rules in a dictionary: (account, scope, key) to settings."""

    def __init__(self, **rules):
        self.rules = {tuple(key.split("|")): value for key, value in rules.items()}

    def settings(self, account, scope, key):
        return self.rules.get((account, scope, key), {})


class Broken:
    def settings(self, *_level):
        raise LocalError("The store cannot be read.")


DEFAULT = "|default|"
ACCOUNT = "romeo@example.test|account|romeo@example.test"
DOMAIN = "romeo@example.test|domain|capulet.test"
CONTACT = "romeo@example.test|contact|juliet@capulet.test"
ROOM = "romeo@example.test|room|hall@capulet.test"


def test_without_rules_the_defaults_hold():
    found = resolve(Stored(), ROMEO, JULIET)
    assert found.when is Setting.PREFER
    assert found.whom is Whom.TOFU
    assert found.methods == ("otr",)
    assert found.when_from is found.whom_from is found.methods_from is Scope.DEFAULT


@pytest.mark.parametrize(
    ("levels_set", "expected"),
    [
        ([DEFAULT], Scope.DEFAULT),
        ([DEFAULT, ACCOUNT], Scope.ACCOUNT),
        ([DEFAULT, ACCOUNT, DOMAIN], Scope.DOMAIN),
        ([DEFAULT, ACCOUNT, DOMAIN, CONTACT], Scope.CONTACT),
        ([DEFAULT, CONTACT], Scope.CONTACT),
        ([DOMAIN, ACCOUNT, ROOM], Scope.DOMAIN),
    ],
)
def test_the_nearest_level_decides(levels_set, expected):
    words = dict(
        zip(
            [DEFAULT, ACCOUNT, DOMAIN, CONTACT, ROOM],
            ["never", "accept", "require", "never", "accept"],
            strict=True,
        )
    )
    rules = Stored(**{level: {"when": words[level]} for level in levels_set})
    found = resolve(rules, ROMEO, JULIET)
    assert found.when_from is expected
    by_scope = {Scope.DEFAULT: DEFAULT, Scope.ACCOUNT: ACCOUNT, Scope.DOMAIN: DOMAIN, Scope.CONTACT: CONTACT}
    assert found.when.value == words[by_scope[expected]]


def test_each_setting_is_resolved_on_its_own():
    rules = Stored(
        **{
            CONTACT: {"when": "require"},
            DOMAIN: {"when": "never", "whom": "verified"},
            ACCOUNT: {"methods": "otr", "whom": "blind"},
        }
    )
    found = resolve(rules, ROMEO, JULIET)
    assert (found.when, found.whom, found.methods) == (Setting.REQUIRE, Whom.VERIFIED, ("otr",))
    assert (found.when_from, found.whom_from, found.methods_from) == (
        Scope.CONTACT,
        Scope.DOMAIN,
        Scope.ACCOUNT,
    )


def test_a_room_has_a_rule_of_its_own():
    rules = Stored(
        **{
            ROOM: {"when": "never"},
            ACCOUNT: {"when": "require"},
            "romeo@example.test|contact|hall@capulet.test": {"when": "accept"},
        }
    )
    assert resolve(rules, ROMEO, HALL, room=True).when is Setting.NEVER
    assert resolve(rules, ROMEO, HALL, room=True).when_from is Scope.ROOM
    assert resolve(rules, ROMEO, HALL).when is Setting.ACCEPT
    assert resolve(rules, ROMEO, JULIET, room=True).when is Setting.REQUIRE


def test_the_account_itself_is_asked_without_a_contact():
    rules = Stored(**{ACCOUNT: {"when": "require"}, CONTACT: {"when": "never"}})
    assert resolve(rules, ROMEO, None).when is Setting.REQUIRE
    assert levels(ROMEO, None) == (
        (Scope.ACCOUNT, "romeo@example.test", "romeo@example.test"),
        (Scope.DEFAULT, "", ""),
    )


def test_levels_are_asked_by_bare_prepared_jids():
    assert levels(ROMEO, JULIET) == (
        (Scope.CONTACT, "romeo@example.test", "juliet@capulet.test"),
        (Scope.DOMAIN, "romeo@example.test", "capulet.test"),
        (Scope.ACCOUNT, "romeo@example.test", "romeo@example.test"),
        (Scope.DEFAULT, "", ""),
    )


def test_what_cannot_be_read_is_unknown():
    assert resolve(Broken(), ROMEO, JULIET) is UNREADABLE
    assert UNREADABLE.when is Setting.UNKNOWN
    assert UNREADABLE.whom is Whom.VERIFIED
    assert UNREADABLE.methods == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"when": "sometimes"},
        {"when": "unknown"},
        {"when": ""},
        {"whom": "all"},
        {"methods": "otr otr"},
        {"methods": "OTR!"},
    ],
)
def test_what_nobody_understands_is_unknown(settings):
    assert resolve(Stored(**{CONTACT: settings}), ROMEO, JULIET) is UNREADABLE


def test_a_setting_of_a_newer_version_beside_ours_does_no_harm():
    assert (
        resolve(Stored(**{CONTACT: {"colour": "red", "when": "never"}}), ROMEO, JULIET).when is Setting.NEVER
    )


def test_no_methods_is_an_answer():
    assert resolve(Stored(**{CONTACT: {"methods": ""}}), ROMEO, JULIET).methods == ()


def test_the_strictest_of_several():
    order = [Setting.NEVER, Setting.ACCEPT, Setting.PREFER, Setting.REQUIRE, Setting.UNKNOWN]
    for one, other in itertools.product(order, order):
        assert stricter(one, other) is (order.index(one) > order.index(other))
        assert strictest([one, other]) is order[max(order.index(one), order.index(other))]
    assert strictest([]) is Setting.UNKNOWN


def test_edits_make_new_settings():
    current = {"when": "prefer", "whom": "blind"}
    assert edited(current, "when", " Require ") == {"when": "require", "whom": "blind"}
    assert edited(current, "whom", "verified") == {"when": "prefer", "whom": "verified"}
    assert edited(current, "methods", "otr, Miller-E2E") == {**current, "methods": "otr miller-e2e"}
    assert edited(current, "when", "") == {"whom": "blind"}
    assert current == {"when": "prefer", "whom": "blind"}
    assert edited({}, "whom", "") == {}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("when", "maybe", "when is one of require, prefer, accept, never."),
        ("when", "unknown", "when is one of"),
        ("when", "require prefer", "when is one of"),
        ("whom", "require", "whom is one of verified, tofu, blind."),
        ("methods", "otr otr", "each once"),
        ("methods", "o_t_r", "methods is a list"),
        ("colour", "red", "There is no setting 'colour'; there are when, whom, methods, notices, otr-html."),
    ],
)
def test_edits_that_make_no_sense_say_what_would(name, value, says):
    with pytest.raises(LocalError) as caught:
        edited({}, name, value)
    assert says in str(caught.value)


def test_defaults_can_be_set():
    for name, value in DEFAULTS.items():
        assert edited({}, name, value) == {name: value}


def test_ten_thousand_contacts_are_resolved_in_less_than_a_millisecond_each():
    rules = Stored(
        **{f"romeo@example.test|contact|j{number}@x.test": {"when": "require"} for number in range(10_000)}
    )
    jid = JID.parse("J9999@x.test/r")
    assert resolve(rules, ROMEO, jid).when is Setting.REQUIRE
    assert min(timeit.repeat(lambda: resolve(rules, ROMEO, jid), number=50, repeat=5)) / 50 < 1e-3


# -- whose settings are asked --------------------------------------------------------------------------------------

NURSE = JID.parse("nurse@capulet.test")


@pytest.mark.parametrize("kind", list(Kind), ids=lambda one: one.value)
def test_whose_settings_are_asked(kind):
    here = {
        "contact": Setting.REQUIRE,
        "room": Setting.ACCEPT,
        "account": Setting.NEVER,
        "strictest of the recipients": Setting.REQUIRE,
        "nobody": Setting.NEVER,
    }
    rules = Stored(
        **{
            CONTACT: {"when": "require"},
            ACCOUNT: {"when": "never"},
            "romeo@example.test|room|juliet@capulet.test": {"when": "accept"},
        }
    )
    found = Classified(kind=kind, contact=JULIET.bare, recipients=(NURSE, JULIET.bare))
    assert resolved_for(rules, ROMEO, found).when is here[KINDS[kind].whose.value]


def test_several_recipients_are_as_strict_as_the_strictest_and_the_account():
    found = Classified(kind=Kind.MULTICAST, recipients=(NURSE, JULIET.bare))
    assert resolved_for(Stored(), ROMEO, found).when is Setting.PREFER
    assert (
        resolved_for(Stored(**{ACCOUNT: {"when": "require"}, DOMAIN: {"when": "never"}}), ROMEO, found).when
        is Setting.REQUIRE
    )
    assert (
        resolved_for(
            Stored(**{DOMAIN: {"when": "never"}, CONTACT: {"when": "accept"}, ACCOUNT: {"when": "never"}}),
            ROMEO,
            found,
        ).when
        is Setting.ACCEPT
    )
    assert resolved_for(Broken(), ROMEO, found).when is Setting.UNKNOWN


def test_what_the_clients_speak_is_the_accounts_own_setting_or_the_default():
    everyone, mine = {DEFAULT: {"client-speaks": "otr"}}, {ACCOUNT: {"client-speaks": "omemo ox"}}
    assert SPEAKS == "client-speaks"
    assert client_speaks(Stored(), ROMEO) == frozenset()
    assert client_speaks(Stored(**everyone), ROMEO) == {"otr"}
    assert client_speaks(Stored(**everyone, **mine), ROMEO) == {"omemo", "ox"}
    assert client_speaks(Stored(**everyone, **mine), JULIET) == {"otr"}
    assert client_speaks(Stored(**everyone, **{ACCOUNT: {"client-speaks": ""}}), ROMEO) == frozenset()
    assert client_speaks(Stored(**everyone, **{ACCOUNT: {"when": "never"}}), ROMEO) == {"otr"}


def test_a_store_that_cannot_be_read_says_of_no_system_that_the_client_speaks_it():
    assert client_speaks(Broken(), ROMEO) == frozenset()
