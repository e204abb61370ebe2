"""Words to a request: how a line in a chat, or one at the command line, is read by the table.

A line that is not understood comes to ``Misused`` and never to anything that reaches a peer, and no text of the line is
repeated in it, since a line may hold a secret or a text that was meant for somebody (law 8).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.control.table import BY_NAME, COMMANDS
from e2eproxy.control.words import About, Command, Face, Takes, checked, chosen, meant
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.control.words import Argument

#: Characters of a line; a longer one is no command.
LONGEST: Final = 2_000
_PREFIX: Final = re.compile(r"\s*/e2e(?=\s|$)", re.IGNORECASE)
_NOT_SAID: Final = "Nothing was sent to anybody."


@frozen(kw_only=True)
class Request:
    """A command with what was said: *contact* as it was written, *values* by argument, each of which has been checked."""

    command: Command
    contact: str | None = None
    values: Mapping[str, str] = field(factory=dict, repr=False)


class Misused(LocalError):  # noqa: N818 - it names the finding
    """A line that cannot be used; the text says why, *command* is the one that was meant, if that is known."""

    def __init__(self, why: str = "", command: Command | None = None) -> None:
        super().__init__(why)
        self.command = command

    def told(self, face: Face) -> str:
        """What the user of *face* is told, with what to write instead."""
        start = "e2eproxy" if face is Face.CLI else "/e2e"
        # At the command line nobody would think that something was sent.
        sent = "" if face is Face.CLI else f" {_NOT_SAID}"
        if self.command is None:
            return f"{self}{sent} {start} help shows them all."
        why = f"{self}".strip() or "That is not how this command is written."
        return f"{why}{sent}\n{described(self.command, face)}"


def described(command: Command, face: Face) -> str:
    """One line about *command*: how it is written, what it is for, an example."""
    start = "e2eproxy" if face is Face.CLI else "/e2e"
    return f"{command.usage(face)}: {command.help} For example: {start} {example(command, face)}"


def example(command: Command, face: Face) -> str:
    """The last of the command's examples as it is said in *face*."""
    said = command.examples[-1].said
    if face is not Face.CLI:
        return said
    name, _, rest = said.partition(" ")
    contact = "juliet@example.org" if command.about in {About.CONTACT, About.EITHER} else ""
    secret = any(one.takes is Takes.SECRET for one in command.arguments)
    return " ".join(filter(None, [name, contact, _without_secret(rest) if secret else rest]))


def _without_secret(said: str) -> str:
    """What of an example is written at the command line: the secret is asked for; a shell would look for files at a ``?``."""
    way, _, rest = said.partition(" ")
    question, mark, _ = rest.partition("?")
    return f'{way} "{question}?"' if mark else way


def from_chat(text: str, contact: str | None) -> Request:
    """Return what *text*, with or without ``/e2e`` in front, asks for in the chat with *contact* (None: the proxy).

    Raises Misused.
    """
    if len(text) > LONGEST:
        raise Misused(f"A command has at most {LONGEST} characters.")
    return read(_PREFIX.sub("", text, count=1), Face.CHAT, contact)


def read(text: str, face: Face, contact: str | None) -> Request:
    """Return what the line *text* asks for; an empty one asks for help. Raises Misused."""
    word, rest = _word(text)
    command = BY_NAME.get(word.lower() if word else "help")
    known = [name for name, one in BY_NAME.items() if face in one.faces]
    if command is None:
        raise Misused(f"There is no such command.{meant(word, known)}")
    if face not in command.faces:
        raise Misused(
            f"{command.name} is only for the command line of the machine the proxy runs on: write "
            f"e2eproxy {command.name} there."
        )
    try:
        contact, rest = _contact(command, face, contact, rest)
        request = Request(command=command, contact=contact, values=_values(command, face, rest))
    except Misused:
        raise
    except LocalError as error:
        raise Misused(str(error), command) from None
    return request


def _word(text: str) -> tuple[str, str]:
    """The first word of *text*, and what is behind it."""
    found = text.split(None, 1)
    return (found[0] if found else ""), (found[1].strip() if len(found) > 1 else "")


def _contact(command: Command, face: Face, contact: str | None, rest: str) -> tuple[str | None, str]:
    """Whom the command is about, and the words without the address."""
    if command.about not in {About.CONTACT, About.EITHER}:
        return None, rest
    if contact is not None:
        return contact, rest
    word, behind = _word(rest)
    if "@" in word or (word and command.about is About.CONTACT and face is Face.CLI):
        return word, behind
    if command.about is About.CONTACT:
        where = "" if face is Face.CLI else "Say this in the chat with the contact that it is about, or "
        name = "name the contact first." if where else "Name the contact first."
        raise Misused(f"{where}{name}", command)
    return None, rest


def _values(command: Command, face: Face, rest: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for argument in command.arguments:
        if argument.keyword:
            rest = _behind_keyword(argument, rest, values)
    for argument in command.arguments:
        if argument.keyword or argument not in command.asked(values.get(command.arguments[0].name)):
            continue
        if argument.takes is Takes.SECRET and face is Face.CLI:
            if rest:
                raise LocalError(
                    "Leave the secret out: everybody on this machine can read what is written here. You are asked for it."
                )
            continue
        if not rest:
            if argument.optional:
                continue
            raise LocalError
        rest = _positional(argument, rest, values)
    if rest:
        raise LocalError("" if command.arguments else "Nothing is written behind this command.")
    return dict(sorted(values.items(), key=lambda one: _place(command, one[0])))


def _place(command: Command, name: str) -> int:
    return command.arguments.index(command.argument(name))


def _behind_keyword(argument: Argument, rest: str, values: dict[str, str]) -> str:
    """Take ``for VALUE`` off the end of *rest*."""
    words = rest.split()
    lower = [word.lower() for word in words]
    if argument.keyword not in lower:
        return rest
    at = lower.index(argument.keyword)
    if len(words) != at + 2:
        raise LocalError
    values[argument.name] = checked(argument, words[at + 1])
    return " ".join(words[:at])


def _positional(argument: Argument, rest: str, values: dict[str, str]) -> str:
    if not argument.greedy:
        word, behind = _word(rest)
        values[argument.name] = checked(argument, word)
        return behind
    if argument.until and argument.until in rest:
        text, _, behind = rest.partition(argument.until)
        values[argument.name] = checked(argument, text + argument.until)
        return behind.strip()
    values[argument.name] = checked(argument, rest)
    return ""


def help_text(face: Face, name: str | None) -> str:
    """All commands of *face* in lines, or more about the one called *name*. Raises Misused."""
    if name is not None:
        try:
            return described(
                BY_NAME[chosen(name, [one for one, c in BY_NAME.items() if face in c.faces])], face
            )
        except LocalError as error:
            raise Misused(str(error), BY_NAME["help"]) from None
    lines = [f"{one.usage(face)}: {one.help}" for one in COMMANDS if face in one.faces]
    if face is Face.CHAT:
        lines += [
            "A line that begins with //e2e is sent as a text that begins with /e2e.",
            "If your client takes /e2e for a command of its own, as profanity and poezio do, type //e2e there: it sends /e2e.",
        ]
    return "\n".join(lines)
