#!/usr/bin/env python3
"""Sets up everything that the tests need and runs them, group by group.

    python3 scripts/test.py --yes               everything
    python3 scripts/test.py --group unit        one group (may be given several times)
    python3 scripts/test.py --yes --long        everything, with many more invented examples

As root, missing Debian packages are installed, after a question unless --yes or the environment variable CI is given.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time

import interpreters

EXTRAS = ("test", "lint")


def arguments(names: list[str]) -> argparse.Namespace:
    """The command line; `names` are the groups there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--yes", action="store_true", help="install missing Debian packages without asking (root only)"
    )
    parser.add_argument(
        "--group", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}"
    )
    parser.add_argument(
        "--long", action="store_true", help="many more invented examples, and ten times the time"
    )
    return parser.parse_args()


def say_about_ipv6() -> None:
    """One line if ::1 cannot be used here; the tests that need it say that they are skipped."""
    from environment import say  # noqa: PLC0415  # needs the interpreter that main() ensures

    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        say(f"no IPv6 on this machine's loopback ({error}); tests of ::1 are skipped")


def interrupt(number: int, _frame: object) -> None:
    """Turn SIGTERM and SIGHUP into what Ctrl-C does, so that everything is cleaned up."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    """Set up, run, report; exit status 0 only when nothing failed."""
    interpreters.ensure_recent()
    import debian  # noqa: PLC0415  # these three need the interpreter that has just been ensured
    import environment  # noqa: PLC0415
    import groups  # noqa: PLC0415

    started = time.monotonic()
    options = arguments([group.name for group in groups.GROUPS])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    found = interpreters.find()
    venv = any(interpreter.venv for interpreter in found)
    debian.provide([name for name in debian.PACKAGES if name != "python3-venv" or not venv], yes=options.yes)
    if not venv:
        found = interpreters.find()
    environment.say(f"found {', '.join(map(str, found))}")
    say_about_ipv6()
    chosen = [group for group in groups.GROUPS if not options.group or group.name in options.group]
    runs = [(found[0], chosen)]
    if len(found) > 1:
        runs.append((found[-1], [groups.again(group) for group in chosen if group.on_newest]))
    results = []
    for interpreter, planned in runs:
        if not planned:
            continue
        made = None
        try:
            made = environment.install(f".venv-test-{interpreter.minor}", interpreter, EXTRAS)
        except (environment.InstallationError, OSError) as error:
            failure = groups.Result("install", interpreter.minor, failed=1, notes=[str(error)])
            results.append(failure)
            continue
        results += [groups.run_group(group, made, interpreter.minor, long=options.long) for group in planned]
    return 0 if groups.print_table(results, time.monotonic() - started) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
