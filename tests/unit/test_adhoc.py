"""The proxy as a contact with a command menu: service discovery, vCard, version, presence, and ad-hoc commands."""

from __future__ import annotations

import pytest
from bed.guard_world import World
from bed.requests import COMMANDS, DATA, ask, execute, field_names, filled, result_text
from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.control import forms
from e2eproxy.control.adhoc import MOST_OPEN, NODES, OPEN_FOR
from e2eproxy.testing.session_method import SessionMethod

STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


@pytest.fixture
def world():
    return World(SessionMethod())


@pytest.fixture
def romeo(world):
    return world.sides[0]


def condition(answer):
    """Condition and, in the namespace of commands, what it is closer."""
    error = answer.find("{jabber:client}error")
    found = [child.tag.removeprefix(STANZAS) for child in error if child.tag.startswith(STANZAS)]
    closer = [child.tag.rpartition("}")[2] for child in error if child.tag.startswith(f"{{{COMMANDS}}}")]
    assert error.find(f"{STANZAS}text").text
    return (found[0], *closer)


# ---- the contact ----


def test_what_it_says_of_itself(world, romeo):
    info = ask(romeo, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    features = {one.get("var") for one in info.iter("{http://jabber.org/protocol/disco#info}feature")}
    assert {COMMANDS, DATA, "vcard-temp", "jabber:iq:version", "urn:xmpp:ping"} <= features
    vcard = ask(romeo, "<vCard xmlns='vcard-temp'/>")
    assert vcard.find(".//{vcard-temp}FN").text == "e2eproxy"
    version = ask(romeo, "<query xmlns='jabber:iq:version'/>")
    assert version.find(".//{jabber:iq:version}version").text == "0.0.test"
    assert ask(romeo, "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
    assert not any(b"e2eproxy.localhost" in raw for raw in world.seen)


def test_the_commands_are_listed(romeo):
    query = f"<query xmlns='http://jabber.org/protocol/disco#items' node='{COMMANDS}'/>"
    items = list(ask(romeo, query).iter("{http://jabber.org/protocol/disco#items}item"))
    assert [item.get("node") for item in items] == list(NODES)
    assert {item.get("jid") for item in items} == {"e2eproxy.localhost"}
    assert not {"export", "import", "reset"} & set(NODES)
    for node in NODES:
        info = ask(romeo, f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>")
        assert info.find(".//{http://jabber.org/protocol/disco#info}identity").get("type") == "command-node"


@pytest.mark.parametrize(
    ("payload", "kind", "expected"),
    [
        ("<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>", "get", "item-not-found"),
        ("<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>", "get", "item-not-found"),
        ("<query xmlns='jabber:iq:last'/>", "get", "service-unavailable"),
        ("<vCard xmlns='vcard-temp'/>", "set", "service-unavailable"),
        (f"<command xmlns='{COMMANDS}' node='status'/>", "get", "service-unavailable"),
        ("<a xmlns='urn:a'/><b xmlns='urn:b'/>", "get", "bad-request"),
        ("", "get", "bad-request"),
    ],
)
def test_what_it_does_not_know(romeo, payload, kind, expected):
    assert condition(ask(romeo, payload, kind)) == (expected,)


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("subscribe", ["subscribed", None]),
        ("probe", [None]),
        ("unsubscribe", ["unsubscribed", "unavailable"]),
        ("unsubscribed", []),
        ("unavailable", []),
    ],
)
def test_presence_to_it_does_no_harm(world, romeo, kind, answers):
    before = len(romeo.read())
    romeo.write(f"<presence to='e2eproxy.localhost' type='{kind}'/>".encode())
    assert [one.type for one in romeo.read()[before:]] == answers
    assert not any(b"e2eproxy.localhost" in raw for raw in world.seen)


# ---- commands ----


def test_one_that_asks_nothing(romeo):
    answer = execute(romeo, "status")
    assert answer.get("status") == "completed"
    assert "e2eproxy 0.0.test" in result_text(answer)


def test_one_step(romeo):
    form = execute(romeo, "clear")
    assert form.get("status") == "executing"
    assert field_names(form) == ["contact", "word"]
    session = form.get("sessionid")
    done = execute(romeo, "clear", session, filled(contact="nurse@example.test", word="session"))
    assert done.get("status") == "completed"
    assert "may leave unencrypted until you log out" in result_text(done)
    assert condition(execute(romeo, "clear", session, filled(contact="a@b", word="once"))) == (
        "bad-request",
        "bad-sessionid",
    )


def test_a_list_that_may_be_left_alone_has_that_as_its_first_choice(romeo):
    """A list is answered with an option by poezio, the first unless another is chosen; profanity shows them only if one is."""
    form = execute(romeo, "policy")
    chosen = {one.get("var"): one.find(f"{{{DATA}}}value") for one in form.iter(f"{{{DATA}}}field")}
    firsts = {
        one.get("var"): one.find(f"{{{DATA}}}option/{{{DATA}}}value")
        for one in form.iter(f"{{{DATA}}}field")
        if one.get("type") == "list-single"
    }
    assert set(firsts) == {"setting", "scope"}
    assert all((chosen[name].text, first.text) == (None, None) for name, first in firsts.items())
    answered = filled(**dict.fromkeys(firsts, ""))
    done = execute(romeo, "policy", form.get("sessionid"), answered)
    assert done.get("status") == "completed"
    assert "whom: is" in result_text(done)


def test_a_list_that_must_be_answered_has_no_empty_choice(romeo):
    form = execute(romeo, "clear")
    assert [one.text for one in form.iter(f"{{{DATA}}}value")] == ["once", "session", "always"]


def test_two_steps_with_a_choice_of_keys(world, romeo):
    juliet = world.sides[1]
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark")
    (key,) = romeo.desk.cabinet.keys(juliet.jid)
    form = execute(romeo, "verify")
    session = form.get("sessionid")
    assert field_names(form) == ["contact", "way"]
    second = execute(romeo, "verify", session, filled(contact=juliet.jid.bare, way="fingerprint"))
    assert field_names(second) == ["fingerprint"]
    options = [one.text for one in second.iter(f"{{{DATA}}}value")]
    assert options == [str(key.fingerprint)]
    first = execute(romeo, "verify", session, action="prev")
    assert field_names(first) == ["contact", "way"]
    execute(romeo, "verify", session, filled(contact=juliet.jid, way="fingerprint"), action="next")
    done = execute(romeo, "verify", session, filled(fingerprint=options[0]), action="complete")
    assert "is verified now" in result_text(done)
    assert romeo.desk.cabinet.keys(juliet.jid)[0].decision.value == "verified"


def test_without_a_key_there_is_nothing_to_choose(romeo):
    session = execute(romeo, "trust").get("sessionid")
    done = execute(romeo, "trust", session, filled(contact="nurse@example.test"))
    assert done.get("status") == "completed"
    assert "No key of nurse@example.test is known" in result_text(done)


def test_a_policy_is_set_in_two_steps(romeo):
    session = execute(romeo, "policy").get("sessionid")
    second = execute(romeo, "policy", session, filled(setting="when"))
    assert field_names(second) == ["value"]
    done = execute(romeo, "policy", session, filled(value="require"))
    assert result_text(done) == "when is require for romeo@example.test."
    session = execute(romeo, "policy").get("sessionid")
    assert "when: is require" in result_text(execute(romeo, "policy", session, filled()))


@pytest.mark.parametrize(
    "given", [{}, {"contact": "a@b@c", "word": "once"}, {"contact": "a@b", "word": "swordfish"}]
)
def test_what_cannot_be_used_is_asked_again(romeo, given):
    session = execute(romeo, "clear").get("sessionid")
    again = execute(romeo, "clear", session, filled(**given))
    assert again.get("status") == "executing"
    assert again.find(f"{{{COMMANDS}}}note").get("type") == "error"
    assert "swordfish" not in again.find(f"{{{COMMANDS}}}note").text
    assert execute(romeo, "clear", session, filled(contact="a@b", word="once")).get("status") == "completed"


def test_cancelled(romeo):
    session = execute(romeo, "clear").get("sessionid")
    assert execute(romeo, "clear", session, action="cancel").get("status") == "canceled"
    assert condition(execute(romeo, "clear", session, filled())) == ("bad-request", "bad-sessionid")


def test_errors_of_the_protocol(world, romeo):
    assert condition(execute(romeo, "no-such")) == ("item-not-found",)
    assert condition(execute(romeo, "reset")) == ("item-not-found",)
    assert condition(execute(romeo, "clear", action="sing")) == ("bad-request", "malformed-action")
    assert condition(execute(romeo, "clear", action="complete")) == ("bad-request", "bad-action")
    assert condition(execute(romeo, "clear", "none", filled())) == ("bad-request", "bad-sessionid")
    session = execute(romeo, "clear").get("sessionid")
    assert condition(execute(romeo, "clear", session, action="prev")) == ("bad-request", "bad-action")
    assert condition(execute(romeo, "clear", session)) == ("bad-request", "bad-payload")
    assert condition(execute(romeo, "verify", session, filled())) == ("bad-request", "bad-sessionid")
    world.wait(OPEN_FOR + 1)
    assert condition(execute(romeo, "clear", session, filled())) == ("not-allowed", "session-expired")


def test_a_form_belongs_to_the_stream_that_asked_for_it(world, romeo):
    session = execute(romeo, "clear").get("sessionid")
    assert condition(execute(world.sides[1], "clear", session, filled())) == ("bad-request", "bad-sessionid")


def test_few_forms_lie_open_at_once_and_none_after_the_stream(romeo):
    sessions = [execute(romeo, "clear").get("sessionid") for _ in range(MOST_OPEN + 1)]
    assert condition(execute(romeo, "clear", sessions[0], filled())) == ("bad-request", "bad-sessionid")
    good = filled(contact="a@b", word="once")
    assert execute(romeo, "clear", sessions[1], good).get("status") == "completed"
    romeo.end_stream()
    romeo.log_in()
    assert condition(execute(romeo, "clear", sessions[2], good)) == ("bad-request", "bad-sessionid")


# ---- long lines ----


@pytest.mark.parametrize("node", list(NODES))
def test_no_line_of_an_answer_is_longer_than_a_narrow_window(romeo, world, node):
    juliet = world.sides[1]
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark")
    answer = execute(romeo, node)
    for _ in range(3):
        if answer.get("status") == "executing":
            given = {"contact": str(juliet.jid.bare), "word": "once", "reference": "7f3a"}
            keys = [one.text for one in answer.iter(f"{{{DATA}}}value") if one.text and ":" in one.text]
            given |= {"fingerprint": keys[0]} if keys else {}
            said = {name: given[name] for name in field_names(answer) if name in given}
            answer = execute(romeo, node, answer.get("sessionid"), filled(**said))
    shown = [one.text for one in answer.iter(f"{{{DATA}}}value")]
    assert answer.get("status") == "completed"
    assert all(len(one) <= forms.WIDTH for one in shown if one)


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=400))
def test_wrapping_hides_nothing(line):
    pieces = forms.wrapped(line)
    assert all(len(one) <= forms.WIDTH for one in pieces) or not line.strip()
    assert "".join("".join(pieces).split()) == "".join(line.split())
    assert all(one.startswith(forms.INDENT) for one in pieces[1:])
