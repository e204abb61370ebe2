"""Puts e2eproxy into an environment of its own inside the checkout, the way a user's machine would have it.

Never editable: `twistd` does not see a plug-in of an editable installation, and tests should run what is shipped. An
environment is kept and used again until the sources, the requirements or the interpreter change.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpreters import Interpreter

CHECKOUT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("setup.cfg", "pyproject.toml")
SOURCES = ("README.md", "LICENSE", "e2eproxy", "twisted")
STAMP = "installed.json"
PIP_OPTIONS = ("-qq", "--disable-pip-version-check", "--no-input")
# Installed without what it asks for, which does not build any more; see docs/dependencies.md.
ALONE = ("python-potr==1.0.2",)

# Twisted writes its list of plug-ins the first time somebody asks; who asks later may not be allowed to write there.
REFRESH_PLUGINS = "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"


class InstallationError(Exception):
    """The environment could not be made; the text says what is missing and how to get it."""


class Environment:
    """An installed e2eproxy: `python` runs it, `programs` holds its commands, `variables` go into their environment."""

    def __init__(self, python: Path, programs: Path, variables: dict[str, str]) -> None:
        self.python = python
        self.programs = programs
        self.variables = variables


def say(text: str) -> None:
    """One line for the person at the terminal, in order with what the started programs print."""
    print(f"e2eproxy: {text}", file=sys.stderr, flush=True)


def run(command: list[str], **options: object) -> None:
    """Start a program and wait; InstallationError with its name and end if it fails."""
    done = subprocess.run(command, check=False, **options)  # type: ignore[call-overload]  # options pass through
    if done.returncode != 0:
        raise InstallationError(f"`{' '.join(command)}` failed with status {done.returncode}")


def digest(names: tuple[str, ...]) -> str:
    """SHA-256 in hexadecimal over names and contents of the files at or below `names` of the checkout."""
    total = hashlib.sha256()
    for name in names:
        place = CHECKOUT / name
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in files:
            if file.is_file() and file.suffix != ".pyc" and file.name != "dropin.cache":
                content = file.read_bytes()
                total.update(f"{file.relative_to(CHECKOUT)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def pip_elsewhere(interpreter: Interpreter) -> list[str] | None:
    """The start of a pip command that installs for `interpreter` without being in an environment of it, or None."""
    own = [interpreter.path, "-m", "pip"]
    foreign = [
        [sys.executable, "-m", "pip", "--python", interpreter.path],
        ["pip3", "--python", interpreter.path],
    ]
    for command in (own, *foreign):
        try:
            subprocess.run([*command, "--version"], check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        return command
    return None


def make(folder: Path, interpreter: Interpreter) -> tuple[Environment, list[str]]:
    """Make an empty environment in `folder`, by the best way this machine has; returns it and its pip command."""
    python = folder / "bin" / "python"
    inside = Environment(python, folder / "bin", {})
    if interpreter.venv:
        run([interpreter.path, "-m", "venv", str(folder)])
        return inside, [str(python), "-m", "pip"]
    missing = f"{interpreter} cannot make virtual environments (on Debian: apt-get install python3-venv)"
    if importlib.util.find_spec("virtualenv"):
        say(f"{missing}; using virtualenv")
        run([sys.executable, "-m", "virtualenv", "--quiet", "--python", interpreter.path, str(folder)])
        return inside, [str(python), "-m", "pip"]
    pip = pip_elsewhere(interpreter)
    if pip is None:
        raise InstallationError(f"{missing}, and there is no pip either")
    say(f"{missing}; using a plain folder, {folder.name}/lib")
    # The folder comes in by PYTHONPATH, which the programs of other interpreters would heed as well: the last resort.
    library = folder / "lib"
    library.mkdir(parents=True)
    return Environment(Path(interpreter.path), library / "bin", {"PYTHONPATH": str(library)}), pip


def build_wheel(pip: list[str], folder: Path) -> Path:
    """Build the wheel from a copy of the sources, so that nothing left over in the checkout gets into it."""
    for old in folder.glob("*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="e2eproxy-build-") as scratch:
        copy = Path(scratch) / "e2eproxy"
        copy.mkdir()
        for name in (*REQUIREMENTS, *SOURCES):
            place = CHECKOUT / name
            if place.is_dir():
                leave = shutil.ignore_patterns("__pycache__", "dropin.cache")
                shutil.copytree(place, copy / name, ignore=leave)
            else:
                shutil.copy(place, copy / name)
        run([*pip, "wheel", *PIP_OPTIONS, "--no-deps", "--wheel-dir", str(folder), str(copy)])
    return next(folder.glob("*.whl"))


def recall(folder: Path) -> dict[str, str]:
    """What `install` noted when it last finished here; empty if it never did."""
    try:
        noted = json.loads((folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def existing(folder: Path, wanted: dict[str, str]) -> tuple[Environment, list[str]] | None:
    """The environment in `folder` and its pip command, if it was made for these requirements and this interpreter."""
    noted = recall(folder)
    if any(noted.get(key) != wanted[key] for key in ("requirements", "interpreter")):
        return None
    if not Path(noted["python"]).exists():
        return None
    variables = {"PYTHONPATH": noted["library"]} if noted["library"] else {}
    pip = noted["pip"].split("\0")
    return Environment(Path(noted["python"]), Path(noted["programs"]), variables), pip


def install(name: str, interpreter: Interpreter, extras: tuple[str, ...] = ()) -> Environment:
    """The environment `name` (a folder of the checkout) with the current sources installed.

    It is made anew when requirements or interpreter changed, and only e2eproxy itself is replaced in it when nothing
    but the sources did. Raises InstallationError with a text that says what to do.
    """
    folder = CHECKOUT / name
    wanted = {
        "requirements": digest(REQUIREMENTS) + " " + ",".join(extras),
        "interpreter": str(interpreter),
        "sources": digest(SOURCES),
    }
    found = existing(folder, wanted)
    if found and recall(folder)["sources"] == wanted["sources"]:
        return found[0]
    if found and found[0].variables:
        found = (
            None  # pip replaces whole folders of a plain one, and would take Twisted away with our plug-in
        )
    say(f"installing into {folder} with {interpreter}; this takes a while when it is new")
    if found:
        made, pip = found
    else:
        if folder.exists():
            shutil.rmtree(folder)
        made, pip = make(folder, interpreter)
    (folder / STAMP).unlink(missing_ok=True)
    wheel = build_wheel(pip, folder)
    library = made.variables.get("PYTHONPATH", "")
    options = [*PIP_OPTIONS, *(["--target", library] if library else [])]
    if found:
        run([*pip, "install", *options, "--no-deps", "--force-reinstall", str(wheel)])
    else:
        run([*pip, "install", *options, f"{wheel}[{','.join(extras)}]" if extras else str(wheel)])
        if "test" in extras:
            run([*pip, "install", *options, "--no-deps", *ALONE])
    run([str(made.python), "-P", "-c", REFRESH_PLUGINS], cwd=folder, env={**os.environ, **made.variables})
    places = {
        "python": str(made.python),
        "programs": str(made.programs),
        "library": library,
        "pip": "\0".join(pip),
    }
    (folder / STAMP).write_text(json.dumps({**wanted, **places}, indent=1), "utf-8")
    return made
