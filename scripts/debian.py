"""The Debian packages that the tests use, and how they are installed without starting any server.

A freshly installed XMPP server starts by itself and takes port 5222, which is e2eproxy's. While packages are installed
here, a policy-rc.d forbids every start; servers that came with this installation are not started at the next boot either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from environment import say

if TYPE_CHECKING:
    from collections.abc import Iterator

# Package: what the tests do with it.
PACKAGES = {
    "ejabberd": "server of the test bed",
    "faketime": "a daemon whose clock is wrong",
    "finch": "client of the test bed",
    "gnupg": "keys for clients of the test bed",
    "groff-base": "the man pages, read by a test",
    "haproxy": "a relay to compare with in the bench",
    "libotr5": "the other side of our OTR, loaded by a test",
    "libseccomp2": "the service's restrictions, set by a test",
    "mcabber": "client of the test bed",
    "openssl": "certificate folders for clients of the test bed",
    "poezio": "client of the test bed",
    "postgresql": "the second kind of store",
    "profanity": "client of the test bed",
    "prosody": "server of the test bed",
    "prosody-modules": "server of the test bed",
    "python3-venv": "virtual environments",
    "sendxmpp": "client of the test bed",
    "systemd": "systemd-analyze, to verify the units",
    "tmux": "terminal of the clients",
}

# Units that these packages enable, and that nobody who only wants to test has asked for.
UNITS = {
    "ejabberd": ("ejabberd.service", "epmd.socket", "epmd.service"),
    "haproxy": ("haproxy.service",),
    "postgresql": ("postgresql.service",),
    "prosody": ("prosody.service",),
}

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# written by e2eproxy's test command for the time of an installation"
POLICY_TEXT = f"#!/bin/sh\n{POLICY_MARK}\nexit 101\n"


@contextmanager
def no_service_starts(policy: Path = POLICY) -> Iterator[None]:
    """Forbid package scripts to start services; afterwards everything is as it was, whatever happened.

    A policy of the machine's owner stays. One of ours that an earlier run could not take away (SIGKILL) goes.
    """
    if os.path.lexists(policy) and not (
        policy.is_file() and POLICY_MARK in policy.read_text("utf-8", "replace")
    ):
        say(f"{policy} exists and stays as it is")
        yield
        return
    try:
        policy.write_text(POLICY_TEXT, "utf-8")
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def missing(packages: list[str]) -> list[str] | None:
    """Those of `packages` that are not installed; None where there is no dpkg to ask."""
    try:
        answer = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return None
    installed = {line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def available(packages: list[str]) -> list[str]:
    """Those of `packages` that the package lists know a version of."""
    answer = subprocess.run(
        ["apt-cache", "madison", *packages],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    known = {line.split("|")[0].strip() for line in answer.stdout.splitlines() if "|" in line}
    return [package for package in packages if package in known]


def agreed(packages: list[str], *, yes: bool) -> bool:
    """Whether the person wants `packages` installed; asked at the terminal unless `yes` or CI say so already."""
    if yes or os.environ.get("CI"):
        return True
    if not sys.stdin.isatty():
        say("no terminal to ask at: nothing is installed without --yes")
        return False
    print(f"Debian packages that the tests need and this machine lacks: {' '.join(packages)}")
    print("They are installed without starting any server.")
    return input("Install them? [y/N] ").strip().lower() in {"y", "yes"}


def apt_get(*arguments: str) -> bool:
    """Run apt-get without questions; whether it succeeded."""
    command = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, check=False, env=environment, stdin=subprocess.DEVNULL).returncode == 0


def disable_units(packages: list[str]) -> None:
    """Keep the servers among `packages` from starting at the next boot."""
    units = [unit for package in packages for unit in UNITS.get(package, ())]
    if not units or not shutil.which("systemctl"):
        return
    for unit in units:
        subprocess.run(["systemctl", "disable", "--quiet", unit], check=False, capture_output=True)
    say(f"not started now nor at boot: {', '.join(units)} (to have one: systemctl enable --now NAME)")


def provide(packages: list[str], *, yes: bool) -> None:
    """Install what is missing of `packages` if that is possible and wanted; else say in one line what is needed.

    Never fails: what is missing afterwards costs the tests that need it, and these say so.
    """
    absent = missing(packages)
    if absent is None:
        say(
            f"no dpkg here; tests of programs that are not installed are skipped (Debian has: {' '.join(packages)})"
        )
        return
    if not absent:
        return
    if os.geteuid() != 0:
        say(f"for all tests, as root: apt-get install --no-install-recommends {' '.join(absent)}")
        return
    if not agreed(absent, yes=yes):
        say(f"going on without: {' '.join(absent)}")
        return
    found = available(absent)
    if len(found) < len(absent):
        apt_get("update")
        found = available(absent)
    if len(found) < len(absent):
        say(f"no such Debian package here: {' '.join(set(absent) - set(found))}")
    with no_service_starts():
        done = apt_get("install", "--no-install-recommends", *found)
        if not done:  # lists that are old name versions that are gone
            done = apt_get("update") and apt_get("install", "--no-install-recommends", *found)
    if not done:
        say("apt-get failed (see above); going on with what there is")
    disable_units([package for package in found if package not in (missing(found) or [])])
