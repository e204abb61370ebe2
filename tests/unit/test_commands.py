"""What each line to the proxy asks for, and that what is not understood comes to help without a word of the line in it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from e2eproxy.proxy import classify, commands, rules
from e2eproxy.proxy.commands import (
    COMMANDS,
    Accept,
    Clear,
    Distrust,
    Help,
    Keys,
    Policy,
    Require,
    Session,
    Show,
    parse,
    selects,
    unescaped,
)
from e2eproxy.proxy.kinds import Setting
from e2eproxy.proxy.rules import Scope, Whom
from e2eproxy.proxy.sticky import Word
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

JULIET = JID.parse("juliet@example.test")
BOTH = pytest.mark.parametrize("contact", [JULIET, None])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/e2e clear once", Clear(Word.ONCE)),
        ("/e2e clear session", Clear(Word.SESSION)),
        ("/e2e clear always", Clear(Word.ALWAYS)),
        (" \n/E2E  Clear\tALWAYS\n", Clear(Word.ALWAYS)),
        ("/e2e require", Require()),
        ("/e2e keys", Keys()),
        ("/e2e accept 0A1B2C3D", Accept("0a1b2c3d")),
        ("/e2e accept 0a1b 2C:3D", Accept("0a1b2c3d")),
        ("/e2e accept otr:0A1B2C3D 4E5F6071", Accept("otr0a1b2c3d4e5f6071")),
        ("/e2e distrust 0A1B2C3D", Distrust("0a1b2c3d")),
        ("/e2e show 7f3a-1", Show("7f3a-1")),
        ("/e2e set when require", Policy("when", "require", Scope.CONTACT)),
        ("/e2e set when never for contact", Policy("when", "never", Scope.CONTACT)),
        ("/e2e set WHOM Blind For Domain", Policy("whom", "blind", Scope.DOMAIN)),
        ("/e2e set methods OTR, miller-e2e for account", Policy("methods", "otr miller-e2e", Scope.ACCOUNT)),
        ("/e2e start", Session("start")),
        ("/e2e end", Session("end")),
        ("/e2e set when inherit", Policy("when", "", Scope.CONTACT)),
    ],
)
def test_lines_in_a_chat(line, said):
    assert parse(line, JULIET) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("keys", Keys()),
        ("/e2e keys", Keys()),
        ("accept 0A1B2C3D", Accept("0a1b2c3d")),
        ("distrust 0A1B2C3D", Distrust("0a1b2c3d")),
        ("show 7f3a", Show("7f3a")),
        ("set when require", Policy("when", "require", Scope.ACCOUNT)),
        ("set whom inherit for account", Policy("whom", "", Scope.ACCOUNT)),
    ],
)
def test_lines_to_the_proxy_itself(line, said):
    assert parse(line, None) == said


@pytest.mark.parametrize(
    "line",
    ["start", "end", "clear once", "require", "set when never for contact", "set when never for domain"],
)
def test_what_is_about_a_contact_needs_one(line):
    said = parse(line, None)
    assert isinstance(said, Help)
    assert "in the chat with the contact" in said.text
    assert not isinstance(parse(line, JULIET), Help)


@BOTH
@pytest.mark.parametrize(
    "line",
    [
        "/e2e clear",
        "/e2e clear once more",
        "/e2e clear twice",
        "/e2e clear once\nand a text",
        "/e2e require it",
        "/e2e keys all",
        "/e2e accept",
        "/e2e accept 0A1B2C3",
        "/e2e accept 0A1B2C3D!",
        "/e2e accept \u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "/e2e accept :-:-:-:-:-",
        "/e2e distrust",
        "/e2e distrust 0A1B2C3",
        "/e2e show",
        "/e2e show a b",
        "/e2e show <a>",
        "/e2e show " + "a" * 101,
        "/e2e set",
        "/e2e set when",
        "/e2e set when sometimes",
        "/e2e set when require prefer",
        "/e2e set when for contact",
        "/e2e set when require for",
        "/e2e set when require for account please",
        "/e2e set when require for everybody",
        "/e2e set when require for room",
        "/e2e set colour red",
        "/e2e set for require",
        "/e2e set methods otr otr",
        "/e2e set methods -",
        "/e2e help me please",
        "/e2e help me",
        "/e2e /e2e keys",
        "/e2e no-such-thing",
        "/e2e " + "x" * 2_000,
    ],
)
def test_what_is_not_understood_does_nothing_and_says_so(line, contact):
    said = parse(line, contact)
    assert isinstance(said, Help)
    assert "Nothing was sent" in said.text or "in the chat with" in said.text


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("/e2e claer once", "clear"),
        ("/e2e key", "keys"),
        ("/e2e requires", "require"),
        ("/e2e clear allways", "always"),
        ("/e2e set wen require", "when"),
        ("/e2e set when require for acount", "account"),
        ("/e2e help claer", "clear"),
    ],
)
def test_what_is_misspelt_is_suggested(line, meant):
    assert f"Did you mean {meant}?" in parse(line, JULIET).text


def test_nothing_near_is_nothing_suggested():
    assert parse("/e2e zzzz", JULIET).text == (
        "There is no such command. Nothing was sent to anybody. /e2e help shows them all."
    )


@BOTH
def test_a_text_that_is_no_command_is_never_repeated(contact):
    for line in (
        "/e2e verify swordfish",
        "/e2e swordfish",
        "/e2e clear swordfish",
        "/e2e accept swordfish!",
        "/e2e show sword fish",
        "/e2e set swordfish swordfish",
        "/e2e set when swordfish",
        "/e2e set methods swordfish_",
        "/e2e set when require for swordfish",
        "/e2e help swordfish",
        "/e2e keys swordfish",
    ):
        assert "swordfish" not in repr(parse(line, contact)).lower()


@BOTH
def test_the_longest_line_is_read(contact):
    line = "/e2e keys"
    assert parse(line + " " * (2_000 - len(line)), contact) == Keys()
    assert isinstance(parse(line + " " * (2_001 - len(line)), contact), Help)


# ---- the table ----


@BOTH
@pytest.mark.parametrize("line", ["", " ", "/e2e", "/E2E\n", "/e2e help"])
def test_help_names_every_command(line, contact):
    text = parse(line, contact).text
    for row in COMMANDS:
        assert f"{row.usage}: {row.help}" in text.splitlines()
    assert "//e2e" in text


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_each_row_holds_what_it_says(row):
    assert row.help.endswith(".")
    assert row.example.startswith("/e2e " + row.name)
    said = parse(row.example, JULIET)
    more = parse(f"/e2e help {row.name}", JULIET)
    assert more == Help(f"{row.usage}: {row.help} For example: {row.example}")
    if row.name != "help":
        assert not isinstance(said, Help)
    if row.in_chat:
        assert isinstance(parse(row.example, None), Help)


def test_how_each_is_written():
    assert [row.usage for row in COMMANDS] == [
        "/e2e start",
        "/e2e end",
        "/e2e clear once|session|always",
        "/e2e require",
        "/e2e keys",
        "/e2e accept FINGERPRINT",
        "/e2e distrust FINGERPRINT",
        "/e2e show REFERENCE",
        "/e2e set when|whom|methods VALUE [for contact|domain|account]",
        "/e2e help [COMMAND]",
    ]


def test_words_that_are_missing_are_shown():
    (row,) = [row for row in COMMANDS if row.name == "show"]
    assert parse("/e2e show", JULIET).text == (
        "That is not how this command is written. Nothing was sent to anybody.\n"
        f"{row.usage}: {row.help} For example: {row.example}"
    )


def test_names_are_unique():
    assert len({row.name for row in COMMANDS}) == len(COMMANDS)


def test_the_help_names_all_values():
    (row,) = [row for row in COMMANDS if row.name == "set"]
    values = [one.value for one in Setting if one is not Setting.UNKNOWN] + [one.value for one in Whom]
    assert all(value in row.help for value in values)
    assert all(name in row.arguments for name in rules.DEFAULTS)


@pytest.mark.parametrize("name", rules.DEFAULTS)
def test_every_policy_can_be_applied(name):
    said = parse(f"/e2e set {name} {rules.DEFAULTS[name]}", JULIET)
    changed = rules.edited({}, said.name, said.value)
    assert changed == {name: rules.DEFAULTS[name]}
    taken = parse(f"/e2e set {name} inherit", JULIET)
    assert rules.edited(changed, taken.name, taken.value) == {}


# ---- fingerprints ----


@pytest.mark.parametrize(
    ("prefix", "chosen"),
    [
        ("0A1B2C3D", True),
        ("0a1b2c3d4e5f", True),
        ("otr:0A1B2C3D", True),
        ("OTR 0A1B2C3D4E5F6071", True),
        ("0A1B2C3D4E5F607199", False),
        ("1B2C3D4E", False),
        ("otr:0A1B2", False),
        ("ox:0A1B2C3D", False),
    ],
)
def test_which_key_a_prefix_selects(prefix, chosen):
    said = parse(f"/e2e accept {prefix}", JULIET)
    assert selects(said.prefix, Fingerprint("otr", "0A1B2C3D 4E5F6071")) is chosen


def test_a_fingerprint_may_begin_like_its_method():
    assert selects("cafe0123", Fingerprint("cafe", "CAFE0123 45"))
    assert selects("cafecafe0123", Fingerprint("cafe", "CAFE0123 45"))
    assert not selects("cafe4567", Fingerprint("cafe", "CAFE0123 45"))


def test_a_method_with_a_hyphen_can_be_written():
    said = parse("/e2e accept miller-e2e:Ab-_cd0123", JULIET)
    assert selects(said.prefix, Fingerprint("miller-e2e", "Ab-_cd0123456"))


# ---- literal lines ----


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("//e2e clear once", "/e2e clear once"),
        ("//e2e", "/e2e"),
        (" //E2E\nsecond line\n", " /E2E\nsecond line\n"),
        ("///e2e x", "//e2e x"),
        ("/e2e x", None),
        ("//e2ee", None),
        ("a //e2e x", None),
        ("", None),
        ("//", None),
    ],
)
def test_a_literal_line_loses_one_slash(text, literal):
    assert unescaped(text) == literal


# ---- whatever is said ----

_PARTS = st.sampled_from(
    [
        *(row.name for row in COMMANDS),
        *rules.DEFAULTS,
        "/e2e",
        "//e2e",
        "for",
        "contact",
        "domain",
        "once",
        "inherit",
    ]
)
_LINES = st.one_of(st.text(), st.lists(st.one_of(_PARTS, st.text(max_size=4)), max_size=8).map(" ".join))


def _is_command(text):
    body = element("body", {"xmlns": "jabber:client"}, escape_text(text).encode())
    return classify.command(Stanza.parse(build("message", {}, body)).tree) is not None


@given(_LINES)
@example("/e2e set for")
@example("/e2e set when for for")
def test_nothing_is_ever_raised(text):
    for contact in (JULIET, None):
        assert isinstance(parse(text, contact), commands.Command)
    unescaped(text)


@given(st.text(st.sampled_from("/e2E \nx"), max_size=12))
@example("//e2e")
@example("/e2e")
def test_what_is_a_command_is_no_literal_line_and_each_literal_line_can_be_written(text):
    if _is_command(text):
        assert unescaped(text) is None
        at = text.index("/")
        assert unescaped(text[:at] + "/" + text[at:]) == text
    if unescaped(text) is not None:
        assert not _is_command(text)
