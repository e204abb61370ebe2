#!/usr/bin/env python3
"""Sets up e2eproxy in this checkout and starts it in the foreground; all arguments go to `e2eproxy run`.

python3 scripts/run.py
python3 scripts/run.py --upstream xmpp.example.org:5222 --log-level debug
"""

from __future__ import annotations

import os
import sys

import interpreters

FOLDER = ".venv-run"


def main() -> None:
    """Install, then become the daemon; exits with a sentence when that is impossible."""
    interpreters.ensure_recent()
    from environment import InstallationError, install, say  # noqa: PLC0415  # needs the interpreter ensured above

    found = interpreters.find()
    usable = [interpreter for interpreter in found if interpreter.venv] or found
    try:
        made = install(FOLDER, usable[0])
    except (InstallationError, OSError) as error:
        sys.exit(f"e2eproxy: not installed: {error}")
    program = str(made.programs / "e2eproxy")
    say(f"starting {program} run {' '.join(sys.argv[1:])}".rstrip())
    os.execve(program, [program, "run", *sys.argv[1:]], {**os.environ, **made.variables})  # noqa: S606  # no shell wanted


if __name__ == "__main__":
    main()
