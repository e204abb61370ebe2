"""The command line's face: one click command for each of the table, all of them clients of the running daemon.

Secrets are asked for on the terminal, or read from a private file; they are never arguments, which everybody on the machine can
read (law 8).
"""

from __future__ import annotations

import getpass
import json
import os
import stat
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from e2eproxy.control import lines
from e2eproxy.control.lines import Misused, Request
from e2eproxy.control.table import COMMANDS, FORMATS, LIBOTR, NEEDS_SECRET, OURS
from e2eproxy.control.words import About, Face, Takes
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.control.words import Command

    Locate = Callable[[dict[str, object]], Path | None]

#: Seconds between two looks of ``status --watch``.
WATCH_SECONDS: Final = 1.0
FAILED: Final = 1
MISUSED: Final = 2
_MOST_ARCHIVE: Final = 20 * 2**20
_MOST_SECRET: Final = 4_096
#: The endings of the files in which libotr keeps what it has.
LIBOTR_FILES: Final = ("private_key", "fingerprints", "instance_tags")


def commands(locate: Locate) -> list[click.Command]:
    """The commands of the table; *locate* says by the options given where the daemon's socket is."""
    return [_command(one, locate) for one in COMMANDS if Face.CLI in one.faces]


def _command(command: Command, locate: Locate) -> click.Command:
    def run(words: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - one for each option
        try:
            _run(command, words, given, locate)
        except Misused as misused:
            click.echo(f"e2eproxy: {misused.told(Face.CLI)}", err=True)
            raise SystemExit(MISUSED) from None
        except LocalError as error:
            click.echo(f"e2eproxy: {error}", err=True)
            raise SystemExit(FAILED) from None

    return click.Command(
        command.name,
        callback=run,
        params=[*_words(command), *_options(command)],
        help=f"{command.help}\n\n\b\nFor example: e2eproxy {lines.example(command, Face.CLI)}",
        short_help=command.help.split(". ")[0].split(": ")[0].rstrip("."),
    )


def _words(command: Command) -> list[click.Parameter]:
    metavar = command.usage(Face.CLI).removeprefix(f"e2eproxy {command.name}").strip()

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        return completions(command, len(ctx.params.get("words") or ()), incomplete)

    return [click.Argument(["words"], nargs=-1, metavar=metavar or None, shell_complete=complete)]


def completions(command: Command, before: int, incomplete: str) -> list[str]:
    """What may stand where *incomplete* does, behind *before* words: the choices there are, in any place they fit."""
    fits = [one for one in command.told(Face.CLI) if one.takes is Takes.CHOICE]
    place = before - (command.about is About.CONTACT)
    choices = [choice for one in fits[max(place, 0) : max(place, 0) + 1] for choice in one.choices]
    choices += [one.keyword for one in fits if one.keyword and before]
    return [choice for choice in choices if choice.startswith(incomplete)]


def _options(command: Command) -> list[click.Parameter]:
    found = [
        click.Option(["--json", "as_json"], is_flag=True, help="Write the answer as JSON."),
        click.Option(["--data"], metavar="DIR", help="The data directory of the daemon."),
        click.Option(["--config"], metavar="FILE", help="The configuration file of the daemon."),
        click.Option(["--socket", "control"], metavar="PATH", help="The daemon's control socket."),
    ]
    if command.name != "help":
        found.insert(
            0, click.Option(["--account"], metavar="JID", help="Which account, if there are several.")
        )
    return [*found, *(_OWN_OPTIONS.get(command.name, list)())]


def _secret_file() -> click.Option:
    text = "Read the secret from this private file (its first line) instead of asking for it."
    return click.Option(["--secret-file"], metavar="FILE", help=text)


def _format(*formats: str) -> click.Option:
    return click.Option(
        ["--format"], type=click.Choice(formats), default=OURS, help=f"Of what kind it is.  [default: {OURS}]"
    )


_OWN_OPTIONS: Final[dict[str, Callable[[], list[click.Parameter]]]] = {
    "status": lambda: [
        click.Option(["--watch"], is_flag=True, help="Show it anew every second, until Ctrl-C.")
    ],
    "verify": lambda: [_secret_file()],
    "export": lambda: [
        click.Option(
            ["--file"], metavar="FILE", required=True, help="Where to write; it must not be there yet."
        ),
        _format(OURS, LIBOTR),
        click.Option(
            ["--protocol"], metavar="NAME", help="What the files of libotr call XMPP.  [default: prpl-jabber]"
        ),
        _secret_file(),
    ],
    "import": lambda: [
        click.Option(["--file"], metavar="FILE", required=True, help="What to read."),
        _format(*FORMATS),
        click.Option(["--replace"], is_flag=True, help="What differs gives way to what is in the file."),
        _secret_file(),
    ],
    "reset": lambda: [click.Option(["--yes", "sure"], is_flag=True, help="Do it.")],
}


def _run(command: Command, words: tuple[str, ...], given: dict[str, Any], locate: Locate) -> None:
    request = lines.read(" ".join([command.name, *words]), Face.CLI, None)
    if command.name == "help":
        click.echo(lines.help_text(Face.CLI, request.values.get("command")))
        return
    path = locate({key: given.pop(key) for key in ("data", "config", "control")})
    if path is None:
        raise LocalError("The daemon has no control socket (control = none); name one in its configuration.")
    more = {"account": given.pop("account"), **_more(command, given)}
    request = _with_secret(request, given.get("secret_file"))
    if given.get("watch"):
        _watch(path, request, more)
        return
    from e2eproxy.control import client  # noqa: PLC0415 - a wrong word need not wait for it

    answer = client.do(path, request, more)
    if command.name == "export":
        _exported(given, answer["result"])
    _show(answer, as_json=given["as_json"])


def _more(command: Command, given: dict[str, Any]) -> dict[str, object]:
    more: dict[str, object] = {key: given[key] for key in ("sure", "replace") if key in given}
    if command.name not in {"export", "import"}:
        return more
    ours = given["format"] == OURS
    if not ours:
        more["format"] = given["format"]
    if command.name == "export":
        for path in _files(given):
            if path.exists():
                raise LocalError(f"{path} is there already, and stays: name another file.")
        more |= {} if ours else {"protocol": given["protocol"]}
    else:
        more["archive"] = b64encode(_read(Path(given["file"]))).decode()
    if ours:
        twice = command.name == "export"
        more["passphrase"] = _secret("Passphrase of the archive: ", given["secret_file"], twice=twice)
    return more


def _files(given: dict[str, Any]) -> list[Path]:
    """What an export writes, or may write."""
    if given["format"] == OURS:
        return [Path(given["file"])]
    return [Path(f"{given['file']}.{ending}") for ending in LIBOTR_FILES]


def _exported(given: dict[str, Any], result: dict[str, Any]) -> None:
    if given["format"] == OURS:
        _write(Path(given["file"]), b64decode(result.pop("archive")))
        return
    files = result.pop("files")
    for ending in LIBOTR_FILES:
        if ending in files:
            _write(Path(f"{given['file']}.{ending}"), b64decode(files[ending]))


def _with_secret(request: Request, file: str | None) -> Request:
    way = request.values.get("way", "")
    if way not in NEEDS_SECRET:
        return request
    prompt = "The answer, which only you two know: " if way in {"question", "answer"} else "The secret: "
    return Request(
        command=request.command,
        contact=request.contact,
        values={**request.values, "secret": _secret(prompt, file)},
    )


def _secret(prompt: str, file: str | None, *, twice: bool = False) -> str:
    """What was typed at *prompt* and not shown, or the first line of *file*, which has to be private."""
    if file is not None:
        return _first_line(Path(file))
    if not sys.stdin.isatty():
        raise LocalError("There is no terminal to ask on; name a private file with --secret-file.")
    try:
        secret = getpass.getpass(prompt)
        if twice and getpass.getpass("The same again: ") != secret:
            raise LocalError("These were two different ones; nothing was done, start again.")
    except (EOFError, KeyboardInterrupt):
        raise LocalError("Nothing was typed; nothing was done.") from None
    if not secret:
        raise LocalError("Nothing was typed; nothing was done.")
    return secret


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise LocalError(f"Other users can read {path}; chmod 600 it, and choose another secret.")
            line = file.readline(_MOST_SECRET).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(
            f"{path} cannot be read as text: {getattr(error, 'strerror', None) or 'no UTF-8'}."
        ) from None
    if not line:
        raise LocalError(f"The first line of {path} is empty; write the secret there.")
    return line


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_ARCHIVE + 1)
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}.") from None
    if len(raw) > _MOST_ARCHIVE:
        raise LocalError(f"{path} is larger than any archive that is taken ({_MOST_ARCHIVE} bytes).")
    return raw


def _write(path: Path, raw: bytes) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(raw)
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}; name another file.") from None


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer["result"], indent=2, ensure_ascii=False))
        return
    from e2eproxy.control.json_form import page_of  # noqa: PLC0415 - not for JSON
    from e2eproxy.control.terminal import show  # noqa: PLC0415 - same

    show(page_of(answer["page"]))


def _watch(path: Path, request: Request, more: dict[str, object]) -> None:
    from e2eproxy.control import client, terminal  # noqa: PLC0415 - only here
    from e2eproxy.control.json_form import page_of  # noqa: PLC0415 - same

    try:
        terminal.watch(lambda: page_of(client.do(path, request, more)["page"]), WATCH_SECONDS, time.sleep)
    except KeyboardInterrupt:
        return
