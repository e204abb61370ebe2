"""The command ``e2eproxy``. What a command needs beyond its options is loaded when it runs."""

from __future__ import annotations

import difflib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e2eproxy.control.cli import commands
from e2eproxy.options import OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class SuggestingGroup(click.Group):
    """A group that shows its help when called bare, and the nearest command when called wrong."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help if there is nothing to parse; unlike click's own way, with status 0."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant; ``keys import`` is ``import``, and ``keys export`` ``export``."""
        if args[:1] == ["keys"] and args[1:2] in (["import"], ["export"]):
            args = args[1:]
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            known = ", ".join(self.list_commands(ctx))
            hint = f"did you mean {near[0]}? (commands: {known})" if near else f"commands: {known}"
            raise click.UsageError(f"No such command {args[0]!r}; {hint}", ctx) from error


def _as_click(option: Option) -> Callable[[Any], Any]:
    """*Option* as click's decorator; values stay text, so that they are judged where the file's are."""
    shown = f"{option.help}  [default: {option.default_text}]"
    if option.kind == "flag":
        return click.option(f"--{option.name}", option.key, is_flag=True, help=shown)
    return click.option(
        f"--{option.name}", option.key, metavar=option.metavar, multiple=option.repeatable, help=shown
    )


def _options(wanted: Iterable[Option]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:  # noqa: ANN401  # click's decorators take and give anything
        for option in reversed(list(wanted)):
            command = _as_click(option)(command)
        return command

    return decorate


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from e2eproxy.version import version  # noqa: PLC0415  # reads the package's metadata

        click.echo(f"e2eproxy {version()}")
        ctx.exit()


@click.group(cls=SuggestingGroup, context_settings=CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """End-to-end encryption for XMPP clients that have none: a proxy on localhost between client and server."""


@cli.command()
@_options(OPTIONS)
def run(**given: Any) -> None:  # noqa: ANN401  # one for each option of the table
    """Run the proxy in the foreground. No option is needed.

    Ends with 0 when told to stop, 1 when it cannot start, 2 when a setting is bad. SIGHUP reads the file again.
    """
    from e2eproxy import service  # noqa: PLC0415  # loads Twisted

    sys.exit(service.run(given))


@cli.group(cls=SuggestingGroup, context_settings=CONTEXT)
def config() -> None:
    """Look at the configuration."""


@config.command()
@_options(option for option in OPTIONS if option.name == "config")
def check(**given: Any) -> None:  # noqa: ANN401  # one for each option
    """Say what is wrong with the configuration file, or ok and the settings that are in force with it."""
    from e2eproxy.complaints import load_or_exit  # noqa: PLC0415  # `--help` need not wait for it
    from e2eproxy.config import effective  # noqa: PLC0415  # as above

    settings = load_or_exit(given)
    click.echo("ok")
    for line in effective(settings):
        click.echo(line)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def evaluate(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Measure what each end-to-end method protects, by experiment."""
    from e2eproxy.evaluate.command import evaluate_command  # noqa: PLC0415  # all of the test bench

    ctx.exit(evaluate_command(arguments))


@cli.command()
@click.option("--method", metavar="NAME", help="The end-to-end method to show.  [default: the best there is]")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it as a picture, with keys that are the same each time.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.1, max=100.0),
    default=1.0,
    metavar="FACTOR",
    help="How fast it goes in a terminal.  [default: 1]",
)
@click.option("--no-wait", is_flag=True, help="Do not stop for reading between two scenes.")
def demo(method: str | None, as_json: bool, svg: Path | None, speed: float, no_wait: bool) -> None:
    """Watch two old clients talk through e2eproxy, and what the server between them sees.

    Needs no account, no server and no network, and takes less than 15 seconds.
    """
    began = time.monotonic()
    from e2eproxy.demo.command import Wanted, demo_command  # noqa: PLC0415  # a server, two proxies, their stores

    wanted = Wanted(method=method, json=as_json, svg=svg, speed=speed, wait=not no_wait, began=began)
    sys.exit(demo_command(wanted))


def _control_socket(given: dict[str, object]) -> Path | None:
    from e2eproxy.config import control_socket  # noqa: PLC0415 - `--help` need not wait for it

    return control_socket(given)


for _steering in commands(_control_socket):
    cli.add_command(_steering)


def main() -> None:
    """The console script."""
    cli(prog_name="e2eproxy")
