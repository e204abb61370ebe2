"""Which Python interpreters this machine has.

A fresh machine's `python3` may be too old while a newer one lies beside it. The two commands of the README start under
whatever `python3` is, look here for one that is new enough, and start themselves again under it. For that reason this
file, and what the two commands do before, keeps to what Python 3.8 understands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

MINIMUM = (3, 11)
NEWEST_TRIED = 20  # python3.20: names are looked up, so a generous end costs nothing

PROBE = """
import importlib.util, json, platform, sys
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "final": sys.version_info.releaselevel == "final",
    "cpython": platform.python_implementation() == "CPython",
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "path": getattr(sys, "_base_executable", None) or sys.executable,
}))
"""


class Interpreter:
    """One CPython: `path` (absolute), `version` (major, minor, micro), `venv` (can make virtual environments)."""

    def __init__(self, path: str, version: tuple[int, ...], venv: bool) -> None:
        self.path = path
        self.version = version
        self.venv = venv

    @property
    def minor(self) -> str:
        """Major and minor version as text, such as "3.11"."""
        return ".".join(map(str, self.version[:2]))

    def __str__(self) -> str:
        """Version and place, for people."""
        return f"Python {'.'.join(map(str, self.version))} ({self.path})"


def candidates() -> list[str]:
    """Paths that may be interpreters, the running one first, then the PATH's, then the usual places."""
    names = ["python3", *(f"python3.{minor}" for minor in range(MINIMUM[1], NEWEST_TRIED + 1))]
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    paths = [Path(folder) / name for folder in folders if folder for name in names]
    paths += sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
    paths = [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
    return list(dict.fromkeys([sys.executable, *map(str, paths)]))


def probe(path: str) -> Interpreter | None:
    """Ask the program at `path` what it is; None when it does not answer like a released CPython."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=True,
        )
        found = json.loads(answer.stdout.decode("utf-8"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None  # a shim without a version behind it, a broken installation, or not an interpreter at all
    if not (found["cpython"] and found["final"]):
        return None
    return Interpreter(found["path"], tuple(found["version"]), found["venv"])


def find() -> list[Interpreter]:
    """Every suitable interpreter, oldest first, one for each minor version.

    Of several with the same minor version the first one that can make virtual environments wins, else the first one.
    """
    best: dict[tuple[int, ...], Interpreter] = {}
    for path in candidates():
        found = probe(path)
        if found is None or found.version[:2] < MINIMUM:
            continue
        known = best.get(found.version[:2])
        if known is None or (found.venv and not known.venv):
            best[found.version[:2]] = found
    return [best[minor] for minor in sorted(best)]


def ensure_recent() -> None:
    """Go on under an interpreter that is new enough: return if this one is, else start again under another, or exit."""
    if sys.version_info >= MINIMUM:
        return
    found = find()
    if not found:
        running = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"e2eproxy needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer and found none: this is Python {running}, and "
            "neither the PATH nor ~/.pyenv/versions nor /usr/local/bin has a newer one. "
            "On Debian 12 or newer: apt-get install python3 python3-venv"
        )
    os.execv(found[0].path, [found[0].path, *sys.argv])  # noqa: S606  # no shell is what is wanted
