"""Every command of the table does and says the same in a chat, as an ad-hoc command and at the command line.

Each case is played three times, in three worlds that are alike to the last random byte, once by each face.
"""

from __future__ import annotations

import json
import re

import pytest
from bed.guard_world import DOMAIN, World
from bed.requests import DATA, execute, field_names, filled, result_text

from e2eproxy.control import json_request, lines
from e2eproxy.control.api import Asker
from e2eproxy.control.chat import told
from e2eproxy.control.json_form import as_json, page_of
from e2eproxy.control.pages import plain
from e2eproxy.control.table import BY_NAME, COMMANDS
from e2eproxy.control.words import Face
from e2eproxy.testing.session_method import SessionMethod

JULIET, NURSE = f"juliet@{DOMAIN}", f"nurse@{DOMAIN}"
KEY = "the key of juliet"
"""Stands in a case for the fingerprint that she has."""

DONE = [
    ("status", None, {}),
    ("peers", None, {}),
    ("end", JULIET, {}),
    ("keys", JULIET, {}),
    ("keys", None, {}),
    ("fingerprints", JULIET, {}),
    ("trust", JULIET, {"fingerprint": KEY}),
    ("distrust", JULIET, {"fingerprint": KEY}),
    ("verify", JULIET, {}),
    ("verify", JULIET, {"way": "fingerprint", "fingerprint": KEY}),
    ("policy", JULIET, {}),
    ("policy", None, {}),
    ("policy", JULIET, {"setting": "when", "value": "require"}),
    ("policy", JULIET, {"setting": "whom", "value": "verified", "scope": "domain"}),
    ("policy", None, {"setting": "when", "value": "never"}),
    ("policy", None, {"setting": "when", "value": "inherit"}),
    ("clear", JULIET, {"word": "once"}),
    ("clear", NURSE, {"word": "always"}),
    ("require", NURSE, {}),
    ("methods", None, {}),
    ("log", None, {}),
    ("log", None, {"number": "1"}),
]
REFUSED = [
    ("start", JULIET, {}),
    ("verify", JULIET, {"way": "code"}),
    ("verify", JULIET, {"way": "same"}),
    ("verify", JULIET, {"way": "secret", "secret": "swordfish"}),
    ("verify", JULIET, {"way": "question", "question": "Which fish?", "secret": "swordfish"}),
    ("policy", JULIET, {"setting": "when", "value": "sometimes"}),
    ("policy", JULIET, {"setting": "methods", "value": "swordfish"}),
    ("policy", None, {"setting": "when", "value": "require", "scope": "domain"}),
    ("show", None, {"reference": "7f3a"}),
    ("keys", "a@b@c", {}),
]
ONLY_CLI = {"export", "import", "reset"}
ADVICE = re.compile(
    r"\b(say|write|log in|compare|the command|choose|ask|start|name|set this|is one of|list of some|shows|expor)\b",
    re.IGNORECASE,
)


def played():
    """Romeo, in the middle of an encrypted conversation with Juliet, who has been told things."""
    world = World(SessionMethod())
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark")
    assert juliet.texts == ["hark"]
    return world, romeo


def with_key(romeo, values):
    (key,) = romeo.desk.cabinet.keys(romeo.world.sides[1].jid)
    return {name: key.fingerprint.text if value == KEY else value for name, value in values.items()}


def words(command, values):
    """*Values* as they are written behind the command's name."""
    told_last = [one for one in command.arguments if one.keyword and one.name in values]
    said = [values[one.name] for one in command.arguments if one.name in values and not one.keyword]
    return " ".join([*said, *(f"{one.keyword} {values[one.name]}" for one in told_last)])


def by_chat(name, contact, values):
    _, romeo = played()
    line = f"/e2e {name} {words(BY_NAME[name], with_key(romeo, values))}"
    before = len(romeo.notices)
    romeo.say(contact if contact and "@b@" not in contact else "e2eproxy.localhost", line, "said")
    if contact == "a@b@c":
        romeo.say("e2eproxy.localhost", f"{name} {contact}", "said")
    return romeo.notices[-1] if len(romeo.notices) > before else None, state(romeo)


def by_form(name, contact, values):
    _, romeo = played()
    given = {**with_key(romeo, values), **({"contact": contact} if contact else {})}
    answer = execute(romeo, name)
    for _ in range(2):
        if answer.get("status") != "executing":
            break
        fields = field_names(answer)
        options = [one.text for one in answer.iter(f"{{{DATA}}}value")]
        if "fingerprint" in fields:
            given["fingerprint"] = next(one for one in options if one.endswith(given["fingerprint"]))
        answer = execute(
            romeo,
            name,
            answer.get("sessionid"),
            filled(**{one: given[one] for one in fields if one in given}),
        )
    return result_text(answer), state(romeo)


def by_command_line(name, contact, values):
    _, romeo = played()
    said = with_key(romeo, values)
    secret = {one: said.pop(one) for one in ("secret",) if one in said}
    request = lines.read(" ".join(filter(None, [name, contact, words(BY_NAME[name], said)])), Face.CLI, None)
    request = lines.Request(
        command=request.command, contact=request.contact, values={**request.values, **secret}
    )
    asked, more = json_request.read(name, json_request.written(request, {"account": str(romeo.jid.bare)}))
    shown = []
    doing = romeo.control.api.do(asked, Asker(face=Face.CLI, **more))
    doing.addCallbacks(
        lambda answer: shown.append(plain(page_of(json.loads(json.dumps(as_json(answer)))["page"]))),
        lambda failure: shown.append(told(failure)),
    )
    romeo.world.run()
    return shown[0], state(romeo)


def state(romeo):
    """What a command may have changed."""
    desk = romeo.desk
    keys = [
        (str(key.fingerprint), key.decision, key.how_verified)
        for key in desk.cabinet.keys(romeo.world.sides[1].jid)
    ]
    contacts = [romeo.world.sides[1].jid.bare, type(romeo.jid).parse(NURSE)]
    return keys, [desk.memory(one) for one in contacts], [desk.holds(one) for one in [*contacts, None]]


@pytest.mark.parametrize(("name", "contact", "values"), [*DONE, *REFUSED])
def test_the_same_in_every_face(name, contact, values):
    chat, form, line = (face(name, contact, values) for face in (by_chat, by_form, by_command_line))
    assert chat[0]
    assert line[0] == chat[0]
    if not (values.get("way") or contact == "a@b@c") or (name, contact, values) in DONE:
        # A form's lines are wrapped, and a long word of one is cut.
        assert "".join(form[0].split()) == "".join(chat[0].split())
    assert chat[1] == form[1] == line[1]
    assert "swordfish" not in chat[0] + form[0] + line[0]


@pytest.mark.parametrize(("name", "contact", "values"), REFUSED)
def test_every_refusal_says_what_to_do_next(name, contact, values):
    text, after = by_command_line(name, contact, values)
    assert ADVICE.search(text), text
    assert text[-1] in ".!?"
    assert after == state(played()[1])


def test_no_command_is_left_out():
    walked = {name for name, _, _ in [*DONE, *REFUSED]}
    assert walked | ONLY_CLI | {"help"} == {one.name for one in COMMANDS}
    assert {one.name for one in COMMANDS if one.faces == {Face.CLI}} == ONLY_CLI


def test_help_is_there_in_every_face():
    world, romeo = played()
    romeo.say("e2eproxy.localhost", "help policy", "h")
    form = execute(romeo, "help")
    shown = result_text(execute(romeo, "help", form.get("sessionid"), filled(command="policy")))
    for text in (romeo.notices[-1], shown, lines.help_text(Face.CLI, "policy")):
        assert BY_NAME["policy"].help in text
    assert world.sides[0] is romeo
