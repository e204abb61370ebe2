"""A request as JSON, at both ends: the command line writes it, the socket reads it and believes nothing of it.

    {"contact": "juliet@example.org", "values": {"word": "once"}, "account": "romeo@example.org",
     "passphrase": "...", "archive": "base64", "sure": true, "replace": false}

All members may be left out; any other is an error, so that a misspelt one is not passed over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from e2eproxy.control.lines import Request
from e2eproxy.control.table import BY_NAME, COMMANDS
from e2eproxy.control.words import About, Face, checked
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.control.words import Command

#: Characters of an address.
_LONGEST_ADDRESS: Final = 3_071
_TEXTS: Final = ("contact", "account", "passphrase", "archive", "format", "protocol")
_FLAGS: Final = ("sure", "replace")


def written(request: Request, more: Mapping[str, object]) -> bytes:
    """*Request*, with *more* members that are not empty."""
    members = {"contact": request.contact, "values": dict(request.values), **more}
    return json.dumps({name: value for name, value in members.items() if value}).encode()


def read(name: str, raw: bytes) -> tuple[Request, dict[str, Any]]:
    """Return the request for the command *name* that *raw* is, and what else it says, by the names above.

    Raises LocalError, which says what is wrong and repeats nothing.
    """
    command = BY_NAME.get(name)
    if command is None or Face.CLI not in command.faces:
        raise LocalError("There is no such command; GET /v1/commands names them all.")
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise LocalError("The request is not JSON; send an object, or nothing.") from None
    if not isinstance(body, dict) or not {*_TEXTS, *_FLAGS, "values"}.issuperset(body):
        members = ", ".join((*_TEXTS, "values", *_FLAGS))
        raise LocalError(f"The request is not an object with some of {members}.")
    texts = {one: _text(body.get(one, ""), one) for one in _TEXTS}
    flags = {one: _flag(body.get(one, False), one) for one in _FLAGS}
    contact = texts.pop("contact")
    if contact and command.about not in {About.CONTACT, About.EITHER}:
        raise LocalError(f"{command.name} is about no contact; leave it out.")
    request = Request(
        command=command, contact=contact or None, values=_values(command, body.get("values", {}))
    )
    return request, {**texts, **flags}


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or (name in {"contact", "account"} and len(value) > _LONGEST_ADDRESS):
        raise LocalError(f"{name} has to be a text.")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise LocalError(f"{name} has to be true or false.")
    return value


def _values(command: Command, given: object) -> dict[str, str]:
    known = {one.name: one for one in command.arguments}
    if not isinstance(given, dict) or not set(known).issuperset(given):
        named = ", ".join(known) or "nothing"
        raise LocalError(f"values has to be an object with some of: {named}.")
    values = {}
    for argument in command.arguments:
        if argument.name in given:
            values[argument.name] = checked(argument, _text(given[argument.name], argument.name))
        elif not argument.optional:
            raise LocalError(f"{argument.name} is missing in values: {argument.help}")
    return values


def table() -> list[dict[str, Any]]:
    """The commands of the socket, for programs."""
    return [
        {
            "name": one.name,
            "help": one.help,
            "about": one.about.name.lower(),
            "changes": one.changes,
            "arguments": [
                {
                    "name": argument.name,
                    "help": argument.help,
                    "takes": argument.takes.name.lower(),
                    "choices": list(argument.choices),
                    "optional": argument.optional,
                }
                for argument in one.arguments
            ],
        }
        for one in COMMANDS
    ]
