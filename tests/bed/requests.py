"""Requests to the proxy itself, as a client with a command menu makes them."""

from __future__ import annotations

from itertools import count
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

COMMANDS = "http://jabber.org/protocol/commands"
DATA = "jabber:x:data"
_numbers = count(1)


def ask(side, payload, kind="get", to="e2eproxy.localhost"):
    """Send a request with *payload*; return the answer that the client was shown."""
    number = f"ask{next(_numbers)}"
    side.write(f"<iq type='{kind}' to='{to}' id='{number}'>{payload}</iq>".encode())
    (answer,) = [one for one in side.read() if one.kind == "iq" and one.id == number]
    assert answer.from_ == to
    return ET.fromstring(answer.standalone())


def execute(side, node, session=None, form="", action=None):
    """Execute a command, or go on with it; return the ``command`` element, or the whole answer if it is an error."""
    given = {"node": node, "sessionid": session, "action": action}
    head = "".join(f" {key}={quoteattr(value)}" for key, value in given.items() if value)
    answer = ask(side, f"<command xmlns='{COMMANDS}'{head}>{form}</command>", "set")
    return answer if answer.get("type") == "error" else answer[0]


def filled(**values):
    """A form that was filled in."""
    fields = "".join(
        f"<field var={quoteattr(name)}><value>{escape(str(value))}</value></field>"
        for name, value in values.items()
    )
    return f"<x xmlns='{DATA}' type='submit'>{fields}</x>"


def field_names(command):
    """The names of the fields that are asked for."""
    return [one.get("var") for one in command.iter(f"{{{DATA}}}field")]


def result_text(command):
    """The text that a completed command shows, with its lines whole again; of one that failed, its note."""
    note = command.find(f"{{{COMMANDS}}}note")
    if note is not None:
        return note.text
    return "\n".join(one.text or "" for one in command.iter(f"{{{DATA}}}value")).replace("\n  ", " ")
