"""Errors for the client, and errors of the client's that go on."""

from __future__ import annotations

import pytest

from e2eproxy.xmpp import names
from e2eproxy.xmpp.client_error import CONDITIONS, bare_error, error_to_client, stripped
from e2eproxy.xmpp.stanza import Stanza, injected

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:h' xml:lang='en'>"
ERROR = "jabber:client\x01error"
TEXT = names.STANZA_ERRORS + "\x01text"
MESSAGE = Stanza.parse(
    b"<message to='juliet@example.test/balcony' id='m1' type='chat'>between<body>hi</body><h:x a='1'/></message>",
    ROOT,
)


def test_error_comes_from_the_contact_with_the_payload():
    made = injected(error_to_client(MESSAGE, "policy-violation", "No <key>.", own="romeo@example.test/r"))
    assert (made.kind, made.from_, made.to, made.id, made.type) == (
        "message",
        "juliet@example.test/balcony",
        "romeo@example.test/r",
        "m1",
        "error",
    )
    assert [child.name for child in made.children] == ["jabber:client\x01body", "urn:h\x01x", ERROR]
    assert made.span.text == ""
    error = made.children[-1]
    assert error.attributes == {"type": "modify", "code": "406"}
    assert [child.name for child in error.children] == [names.STANZA_ERRORS + "\x01policy-violation", TEXT]
    assert error.children[1].text == "No <key>."
    assert error.children[1].attributes == {names.LANG: "en"}


def test_written_as_the_client_wrote_it():
    assert error_to_client(
        Stanza.parse(b"<iq type='get' to=\"a@b\" id='1'><h:q/></iq>", ROOT), "item-not-found", "Gone."
    ) == (
        b"<iq xmlns='jabber:client' xmlns:h='urn:h' xml:lang='en' type='error' id='1' from='a@b'><h:q/>"
        b"<error xmlns='jabber:client' type='cancel' code='404'>"
        b"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Gone.</text></error></iq>"
    )


def test_for_nobody_it_comes_from_nobody():
    made = injected(
        error_to_client(
            Stanza.parse(b"<iq from='x' type='set'/>", ROOT), "forbidden", "No.", error_type="cancel"
        )
    )
    assert (made.to, made.from_, made.id) == (None, None, None)
    assert made.children[0].attributes == {"type": "cancel", "code": "403"}


@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
@pytest.mark.parametrize("answered", ["error", "result"])
def test_answers_are_not_answered(kind, answered):
    raw = f"<{kind} type='{answered}'/>".encode()
    assert error_to_client(Stanza.parse(raw, ROOT), "forbidden", "No.") is None


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_condition(condition):
    made = injected(error_to_client(MESSAGE, condition, "Text."))
    error = made.child(ERROR)
    assert error.children[0].name == names.STANZA_ERRORS + "\x01" + condition
    assert error.attributes == {"type": CONDITIONS[condition].type, "code": str(CONDITIONS[condition].code)}
    assert 300 <= CONDITIONS[condition].code < 600


# XEP-0086, table 1: what a client that knows numbers only reads a condition as.
LEGACY = {
    302: "gone redirect",
    400: "bad-request jid-malformed unexpected-request",
    401: "not-authorized",
    402: "payment-required",
    403: "forbidden",
    404: "item-not-found recipient-unavailable remote-server-not-found",
    405: "not-allowed",
    406: "not-acceptable policy-violation",
    407: "registration-required subscription-required",
    409: "conflict",
    500: "internal-server-error resource-constraint undefined-condition",
    501: "feature-not-implemented",
    503: "service-unavailable",
    504: "remote-server-timeout",
}


def test_codes():
    expected = {name: code for code, conditions in LEGACY.items() for name in conditions.split()}
    assert {name: condition.code for name, condition in CONDITIONS.items()} == expected


def test_unknown_condition_is_our_fault():
    with pytest.raises(KeyError):
        error_to_client(MESSAGE, "no-such-condition", "Text.")


def test_payload_is_bounded_and_holds_no_other_error():
    raw = b"<message to='a@b'><error/><a>" + b"x" * 93 + b"</a><b>" + b"y" * 93 + b"</b></message>"
    one = Stanza.parse(raw, ROOT)

    def locals_in(most):
        made = injected(error_to_client(one, "forbidden", "No.", payload_bytes=most))
        return [child.local_name for child in made.children]

    assert locals_in(200) == ["a", "b", "error"]
    assert locals_in(199) == ["a", "error"]
    assert locals_in(99) == ["error"]


def test_error_in_a_stanza_that_redeclares_the_default_namespace():
    one = Stanza.parse(b"<c:message xmlns='urn:x' xmlns:c='jabber:client' to='a@b'><y/></c:message>", ROOT)
    made = injected(error_to_client(one, "forbidden", "No."))
    assert [child.name for child in made.children] == ["urn:x\x01y", ERROR]


def test_text_holds_only_what_xml_allows():
    made = injected(error_to_client(MESSAGE, "forbidden", "a\0b]]>\ud800<"))
    assert made.child(ERROR).children[1].text == "a\ufffdb]]>\ufffd<"


ECHO = (
    b"<message to='j@e/canary' from='canary' id='canary' type='error' xml:lang='x-canary' canary='canary'>canary"
    b"<!-- canary --><body>canary</body><error type='%b' code='canary' by='canary' canary='canary'>canary%b"
    b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='canary'>canary</text>"
    b"<canary xmlns='urn:canary'>canary</canary></error></message>"
)
CONDITION = b"<%b xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'%b"


@pytest.mark.parametrize(
    ("given_type", "condition", "expected"),
    [
        (b"auth", CONDITION % (b"forbidden", b"/>"), ("auth", "403", "forbidden")),
        (b"cancel", CONDITION % (b"gone", b">xmpp:canary</gone>"), ("cancel", "302", "gone")),
        (
            b"canary",
            CONDITION % (b"redirect", b" a='canary'><canary/></redirect>"),
            ("modify", "302", "redirect"),
        ),
        (b"wait", CONDITION % (b"canary", b"/>"), ("wait", "500", "undefined-condition")),
        (b"wait", b"<forbidden/>", ("wait", "500", "undefined-condition")),
        (b"", b"", ("cancel", "500", "undefined-condition")),
    ],
)
def test_nothing_but_the_condition_is_kept(given_type, condition, expected):
    answer = Stanza.parse(ECHO % (given_type, condition), ROOT)
    raw = stripped(answer, to="juliet@example.test/b", stanza_id="m2")
    assert b"canary" not in raw
    error_type, code, name = expected
    assert (
        raw
        == (
            f"<message xmlns='jabber:client' to='juliet@example.test/b' id='m2' type='error'>"
            f"<error xmlns='jabber:client' type='{error_type}' code='{code}'>"
            f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ).encode()
    )


def test_error_without_an_error():
    raw = stripped(Stanza.parse(b"<iq type='error' id='1'>canary</iq>", ROOT), to=None, stanza_id=None)
    assert b"undefined-condition" in raw
    assert b"canary" not in raw


def test_only_errors_are_stripped():
    with pytest.raises(ValueError, match="Only an error"):
        stripped(MESSAGE, to=None, stanza_id=None)


def test_bare_error_is_a_stanza_of_its_own():
    made = injected(bare_error("iq", "service-unavailable", to="a@b/c", stanza_id="1"))
    assert (made.to, made.from_, made.id, made.type) == ("a@b/c", None, "1", "error")
