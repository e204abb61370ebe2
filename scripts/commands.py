"""docs/commands.md and the man pages, made from the command table, so that they cannot say anything else.

    python scripts/commands.py

writes them anew; a test compares.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from e2eproxy.control import lines
from e2eproxy.control.cli import commands
from e2eproxy.control.table import COMMANDS
from e2eproxy.control.words import About, Face

if TYPE_CHECKING:
    from e2eproxy.control.words import Argument, Command

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "commands.md"
MAN = CHECKOUT / "docs" / "man"

_HEAD = """# Commands

This page is made from the command table by `python scripts/commands.py`. The same commands are understood in three places:

* **In a chat.** Write to the contact `e2eproxy.localhost` (`contact_name` in the configuration gives it another name), or begin a line with `/e2e` in the chat with somebody: it is taken and
  never sent. In the chat with a contact, the command is about him; to the proxy itself, name him first
  (`keys juliet@example.org`). To send a line that begins with `/e2e` as text, write `//e2e`. In group chats nothing is done.
  Some clients take a line with a slash for a command of their own (profanity, poezio: "Unknown command"). They send `/e2e` for what
  is typed as `//e2e`; in profanity `/msg juliet@example.org /e2e ...` does the same, and a text takes one slash more.
* **In your client's menu of commands**, if it has one (XEP-0050): `e2eproxy.localhost` offers them with forms.
* **At the command line**: `e2eproxy NAME`, on the machine the proxy runs on, as its user. It is a client of the running daemon.
  `--account JID` says which account, if there are several; `--json` writes values for programs; `--data`, `--config` or `--socket`
  say which daemon. A secret is asked for, or read from a private file; it is never an argument.

Lines and forms act on the account of the stream that they come by and on no other.

| command | what it does | where |
| --- | --- | --- |
"""
_FOOT = """
## For programs

The control socket (`control.sock` in the data directory, for its user alone) speaks HTTP: `GET /v1/commands` names the commands,
`POST /v1/commands/NAME` does one. The body is a JSON object with some of `account`, `contact`, `values` (by argument); the answer has
the values in `result`, or says in `error.text` what is wrong and what to do.

    curl --unix-socket ~/.local/share/e2eproxy/control.sock -d '{"contact": "juliet@example.org"}' http://e2eproxy/v1/commands/keys

## Completion in the shell

    eval "$(_E2EPROXY_COMPLETE=bash_source e2eproxy)"    # in ~/.bashrc; zsh_source and fish_source as well
"""
_ABOUT = {
    About.DAEMON: "",
    About.ACCOUNT: "",
    About.CONTACT: "It is about a contact.",
    About.EITHER: "It is about a contact, or without one about your own account.",
}


def page() -> str:
    """All of docs/commands.md."""
    rows = [f"| [`{one.name}`](#{one.name}) | {_cell(one.help)} | {_where(one)} |" for one in COMMANDS]
    return _HEAD + "\n".join(rows) + "\n" + "".join(map(_section, COMMANDS)) + _FOOT


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _where(command: Command) -> str:
    return "command line only" if command.faces == {Face.CLI} else "everywhere"


def _section(command: Command) -> str:
    usages = [command.usage(face) for face in (Face.CHAT, Face.CLI) if face in command.faces]
    parts = [f"\n## {command.name}\n", " ".join(filter(None, [command.help, _ABOUT[command.about]])) + "\n"]
    parts.append("".join(f"    {usage}\n" for usage in usages))
    if command.also:
        parts.append(f"Older name: {', '.join(f'`{name}`' for name in command.also)}.\n")
    if command.arguments:
        parts.append("".join(f"* `{one.name}`: {_told(one)}\n" for one in command.arguments))
    said = "/e2e" if Face.CHAT in command.faces else "e2eproxy"
    parts.append("".join(f"* For example `{said} {one.said}`: {one.does}.\n" for one in command.examples))
    return "\n".join(parts)


def _told(argument: Argument) -> str:
    text = argument.help if argument.help.endswith(".") else f"{argument.help}."
    return f"{text} May be left out." if argument.optional else text


def man(command: Command) -> str:
    """The man page of one command."""
    name = f"e2eproxy-{command.name}"
    short = command.help.partition(". ")[0].rstrip(".")
    parts = [
        f'.TH {name.upper()} 1 "" e2eproxy "e2eproxy"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(short[:1].lower() + short[1:])}",
        ".SH SYNOPSIS",
        f".B {_roff(command.usage(Face.CLI))}",
        ".SH DESCRIPTION",
        _roff(command.help),
        _roff("It is a client of the running daemon; in a chat the same is said with /e2e."),
    ]
    parts += [
        line
        for one in command.told(Face.CLI)
        for line in (".TP", f".B {_roff(one.written)}", _roff(one.help))
    ]
    parts += [
        ".SH OPTIONS",
        *_options(command),
        ".SH EXAMPLES",
        ".B e2eproxy " + _roff(lines.example(command, Face.CLI)),
        ".SH EXIT STATUS",
        _roff(
            "0: done. 1: it cannot be done, or the daemon is not running; standard error says what to do. 2: a wrong word."
        ),
        ".SH SEE ALSO",
        ".BR e2eproxy (1)",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def _options(command: Command) -> list[str]:
    (found,) = [one for one in commands(lambda _: None) if one.name == command.name]
    told = []
    for one in found.params:
        if isinstance(one, click.Option):
            metavar = f" {one.metavar}" if one.metavar else ""
            told += [".TP", f".B {_roff(', '.join(one.opts) + metavar)}", _roff(one.help or "")]
    return told


def overview() -> str:
    """The man page of the program."""
    parts = [
        '.TH E2EPROXY 1 "" e2eproxy "e2eproxy"',
        ".SH NAME",
        "e2eproxy \\- end\\-to\\-end encryption for XMPP clients that have none",
        ".SH SYNOPSIS",
        ".B e2eproxy run",
        ".br",
        ".B e2eproxy COMMAND",
        ".SH DESCRIPTION",
        _roff(
            "A proxy on localhost between an unmodified XMPP client and its server. run is the daemon; the other commands steer it."
        ),
        ".SH COMMANDS",
    ]
    for one in COMMANDS:
        parts += [".TP", f".BR e2eproxy\\-{one.name} (1)", _roff(one.help)]
    return "\n".join(parts) + "\n"


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped)


def files() -> dict[Path, str]:
    """All that is made, by its place."""
    made = {PAGE: page(), MAN / "e2eproxy.1": overview()}
    return made | {MAN / f"e2eproxy-{one.name}.1": man(one) for one in COMMANDS}


def main() -> None:
    """Write them all."""
    MAN.mkdir(exist_ok=True)
    for place, text in files().items():
        place.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
