"""Whether a program that a test needs is on this machine."""

from __future__ import annotations

import shutil


class NotInstalledError(Exception):
    """A program is missing; the text says which Debian package has it.

    Where everything has to be there (the variable CI is set) a test that meets this fails; elsewhere it is skipped
    with this text as its reason.
    """


def require_program(name: str, package: str | None = None) -> None:
    """Raise NotInstalledError unless *name* is on the PATH; *package* has it if it is named differently."""
    if shutil.which(name) is None:
        raise NotInstalledError(f"{name} is not installed (apt-get install {package or name})")
