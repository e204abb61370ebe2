"""What each line to the proxy asks for, and that what is not understood is answered without a word of the line in it."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from e2eproxy.control import lines, table
from e2eproxy.control.account import selects
from e2eproxy.control.lines import Misused, Request, from_chat, help_text, read
from e2eproxy.control.table import BY_NAME, COMMANDS, WAYS
from e2eproxy.control.words import Face, Takes
from e2eproxy.proxy import classify, rules
from e2eproxy.proxy.kinds import Setting
from e2eproxy.proxy.literal import unescaped
from e2eproxy.proxy.rules import Scope, Whom
from e2eproxy.proxy.sticky import Word
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

JULIET = "juliet@example.test"
BOTH = pytest.mark.parametrize("contact", [JULIET, None])


def said(line, contact=JULIET):
    """What was understood: command, contact and values in their order; or what was answered instead."""
    try:
        request = from_chat(line, contact)
    except Misused as misused:
        return misused.told(Face.CHAT)
    return (request.command.name, request.contact, *request.values.values())


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        ("/e2e clear once", ("clear", JULIET, "once")),
        (" \n/E2E  Clear\tALWAYS\n", ("clear", JULIET, "always")),
        ("/e2e require", ("require", JULIET)),
        ("/e2e keys", ("keys", JULIET)),
        ("/e2e trust 0A1B2C3D", ("trust", JULIET, "0a1b2c3d")),
        ("/e2e accept 0a1b 2C:3D", ("trust", JULIET, "0a1b2c3d")),
        ("/e2e accept otr:0A1B2C3D 4E5F6071", ("trust", JULIET, "otr0a1b2c3d4e5f6071")),
        ("/e2e distrust 0A1B2C3D", ("distrust", JULIET, "0a1b2c3d")),
        ("/e2e show 7f3a-1", ("show", None, "7f3a-1")),
        ("/e2e set when require", ("policy", JULIET, "when", "require")),
        ("/e2e policy when never for contact", ("policy", JULIET, "when", "never", "contact")),
        ("/e2e set WHOM Blind For Domain", ("policy", JULIET, "whom", "Blind", "domain")),
        (
            "/e2e set methods OTR, miller-e2e for account",
            ("policy", JULIET, "methods", "OTR, miller-e2e", "account"),
        ),
        ("/e2e start", ("start", JULIET)),
        ("/e2e end", ("end", JULIET)),
        ("/e2e verify", ("verify", JULIET)),
        ("/e2e verify fingerprint 0A1B 2C3D", ("verify", JULIET, "fingerprint", "0a1b2c3d")),
        ("/e2e verify secret  a Word  of ours ", ("verify", JULIET, "secret", "a Word  of ours")),
        (
            "/e2e verify question Where did we meet? at the ball?",
            ("verify", JULIET, "question", "Where did we meet?", "at the ball?"),
        ),
        ("/e2e verify answer at the ball?", ("verify", JULIET, "answer", "at the ball?")),
        ("/e2e verify code", ("verify", JULIET, "code")),
        ("/e2e log 5", ("log", None, "5")),
        ("/e2e peers", ("peers", None)),
    ],
)
def test_lines_in_a_chat(line, understood):
    assert said(line) == understood


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        ("keys", ("keys", None)),
        ("/e2e keys", ("keys", None)),
        ("keys juliet@example.test", ("keys", JULIET)),
        ("accept 0A1B2C3D", ("trust", None, "0a1b2c3d")),
        ("trust juliet@example.test 0A1B2C3D", ("trust", JULIET, "0a1b2c3d")),
        ("start juliet@example.test", ("start", JULIET)),
        ("clear juliet@example.test once", ("clear", JULIET, "once")),
        ("show 7f3a", ("show", None, "7f3a")),
        ("set when require", ("policy", None, "when", "require")),
        (
            "policy juliet@example.test when require for domain",
            ("policy", JULIET, "when", "require", "domain"),
        ),
        ("policy", ("policy", None)),
        ("set whom inherit for account", ("policy", None, "whom", "inherit", "account")),
    ],
)
def test_lines_to_the_proxy_itself(line, understood):
    assert said(line, None) == understood


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        ("start juliet@example.test", ("start", JULIET)),
        ("start example.test", ("start", "example.test")),
        ("verify juliet@example.test secret", ("verify", JULIET, "secret")),
        ("verify juliet@example.test question Where? ", ("verify", JULIET, "question", "Where?")),
        ("reset", ("reset", None)),
        ("keys", ("keys", None)),
    ],
)
def test_words_at_the_command_line(line, understood):
    request = read(line, Face.CLI, None)
    assert (request.command.name, request.contact, *request.values.values()) == understood


@pytest.mark.parametrize(
    "line",
    ["verify juliet@example.test secret swordfish", "verify juliet@example.test question Where? swordfish"],
)
def test_no_secret_is_taken_from_the_command_line(line):
    with pytest.raises(Misused, match="everybody on this machine can read") as raised:
        read(line, Face.CLI, None)
    assert "swordfish" not in raised.value.told(Face.CLI)


@pytest.mark.parametrize("line", ["start", "end", "clear once", "require", "verify", "fingerprints"])
def test_what_is_about_a_contact_needs_one(line):
    assert "in the chat with the contact" in said(line, None)
    assert isinstance(said(line), tuple)


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
        "/e2e set when require for",
        "/e2e set when require for account please",
        "/e2e set when require for everybody",
        "/e2e set when require for room",
        "/e2e set colour red",
        "/e2e set for require",
        "/e2e log none",
        "/e2e log 0",
        "/e2e log 12345",
        "/e2e log \u0661",
        "/e2e log 1 2",
        "/e2e verify hard",
        "/e2e verify fingerprint 0A1B2C3",
        "/e2e verify code 12",
        "/e2e verify secret " + "x" * 1_001,
        "/e2e export",
        "/e2e import x",
        "/e2e reset",
        "/e2e help me please",
        "/e2e help me",
        "/e2e /e2e keys",
        "/e2e no-such-thing",
        "/e2e " + "x" * 2_000,
    ],
)
def test_what_is_not_understood_does_nothing_and_says_so(line, contact):
    assert "Nothing was sent" in said(line, contact)


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
    assert f"Did you mean {meant}?" in said(line)


def test_nothing_near_is_nothing_suggested():
    assert (
        said("/e2e zzzz")
        == "There is no such command. Nothing was sent to anybody. /e2e help shows them all."
    )


@BOTH
def test_a_text_that_is_no_command_is_never_repeated(contact):
    for line in (
        "/e2e verfy swordfish",
        "/e2e swordfish",
        "/e2e clear swordfish",
        "/e2e accept swordfish!",
        "/e2e show sword fish",
        "/e2e set swordfish swordfish",
        "/e2e set when require for swordfish",
        "/e2e verify swordfish",
        "/e2e log swordfish",
        "/e2e help swordfish",
        "/e2e keys swordfish",
        "/e2e reset swordfish",
    ):
        assert "swordfish" not in repr(said(line, contact)).lower()
    assert "swordfish" not in repr(from_chat("/e2e verify secret swordfish", JULIET)).lower()


@BOTH
def test_the_longest_line_is_read(contact):
    line = "/e2e keys"
    assert said(line + " " * (2_000 - len(line)), contact) == ("keys", contact)
    assert isinstance(said(line + " " * (2_001 - len(line)), contact), str)


# ---- the table ----


@BOTH
@pytest.mark.parametrize("line", ["", " ", "/e2e", "/E2E\n", "/e2e help"])
def test_help_names_every_command(line, contact):
    assert said(line, contact) == ("help", None)
    lines = help_text(Face.CHAT, None).splitlines()
    for one in COMMANDS:
        assert (f"{one.usage(Face.CHAT)}: {one.help}" in lines) is (Face.CHAT in one.faces)
    assert "//e2e" in lines[-1]
    assert any("e2eproxy reset" in line for line in help_text(Face.CLI, None).splitlines())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("face", [Face.CHAT, Face.CLI])
def test_each_command_holds_what_it_says(command, face):
    if face not in command.faces:
        return
    assert command.help.endswith(".")
    assert command.examples
    for one in command.examples:
        if face is Face.CHAT:
            assert from_chat(one.said, JULIET).command is command
    more = help_text(face, command.name)
    assert more.startswith(command.usage(face))
    assert len(command.arguments) == len({one.name for one in command.arguments})
    for argument in command.arguments:
        assert argument.help
        assert bool(argument.choices) is (argument.takes is Takes.CHOICE)


def test_the_example_of_the_command_line_can_be_written():
    for command in COMMANDS:
        shown = help_text(Face.CLI, command.name).rpartition("For example: e2eproxy ")[2]
        words = " ".join(shlex.split(shown.split(" --")[0]))
        assert read(words, Face.CLI, None).command is command, shown


def test_how_each_is_written():
    assert [one.usage(Face.CHAT) for one in COMMANDS if Face.CHAT in one.faces] == [
        "/e2e status",
        "/e2e peers",
        "/e2e start",
        "/e2e end",
        "/e2e keys",
        "/e2e fingerprints",
        "/e2e trust FINGERPRINT",
        "/e2e distrust FINGERPRINT",
        "/e2e verify [fingerprint|secret|question|answer|code|same|different] [FINGERPRINT] [QUESTION] [SECRET]",
        "/e2e policy [when|whom|methods|notices|otr-html] [VALUE] [for contact|domain|account|default]",
        "/e2e clear once|session|always",
        "/e2e require",
        "/e2e methods",
        "/e2e log [NUMBER]",
        "/e2e show REFERENCE",
        "/e2e help [COMMAND]",
    ]


def test_words_that_are_missing_are_shown():
    show = BY_NAME["show"]
    assert said("/e2e show") == (
        "That is not how this command is written. Nothing was sent to anybody.\n"
        f"{show.usage(Face.CHAT)}: {show.help} For example: /e2e {show.examples[0].said}"
    )


def test_names_are_unique():
    assert len(BY_NAME) == sum(1 + len(one.also) for one in COMMANDS)


def test_the_table_says_what_the_proxys_own_tables_say():
    assert tuple(rules.DEFAULTS) == table.SETTINGS
    assert {scope.value for scope in Scope} - {Scope.ROOM.value} == set(table.SCOPES)
    assert tuple(word.value for word in Word) == table.WORDS
    values = [one.value for one in Setting if one is not Setting.UNKNOWN] + [one.value for one in Whom]
    assert all(value in BY_NAME["policy"].help for value in values)
    assert set(WAYS) == set(BY_NAME["verify"].argument("way").choices)


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
    (given,) = from_chat(f"/e2e accept {prefix}", JULIET).values.values()
    assert selects(given, Fingerprint("otr", "0A1B2C3D 4E5F6071")) is chosen


def test_a_fingerprint_may_begin_like_its_method():
    assert selects("cafe0123", Fingerprint("cafe", "CAFE0123 45"))
    assert selects("cafecafe0123", Fingerprint("cafe", "CAFE0123 45"))
    assert not selects("cafe4567", Fingerprint("cafe", "CAFE0123 45"))


def test_a_method_with_a_hyphen_can_be_written():
    (given,) = from_chat("/e2e accept miller-e2e:Ab-_cd0123", JULIET).values.values()
    assert selects(given, Fingerprint("miller-e2e", "Ab-_cd0123456"))


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
        *BY_NAME,
        *WAYS,
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
def test_nothing_else_is_ever_raised(text):
    for contact in (JULIET, None):
        for face in Face:
            try:
                understood = read(text, face, contact)
            except Misused as misused:
                understood = misused
            assert isinstance(understood, Request) or understood.told(face)
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


def test_the_example_at_the_command_line_can_be_typed_as_it_stands():
    shown = lines.example(BY_NAME["verify"], Face.CLI)
    assert shown == 'verify juliet@example.org question "Where did we meet?"'
    request = lines.read(" ".join(shlex.split(shown)), Face.CLI, None)
    assert request.values == {"way": "question", "question": "Where did we meet?"}
