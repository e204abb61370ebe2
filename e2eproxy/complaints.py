"""How a program that cannot go on says so: one line for each thing on standard error, no traceback, a status.

Status 1: could not start (a port is taken, the data directory cannot be used). Status 2: bad options or file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from e2eproxy.config import ConfigError, Settings, load
from e2eproxy.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

CANNOT_START = 1
BAD_SETTINGS = 2


def standard_error() -> TextIO:
    """Standard error, or nowhere if the process was started without one."""
    stream: TextIO | None = sys.stderr
    return stream or Path(os.devnull).open("w", encoding="utf-8")


def complain(text: str) -> None:
    """Say *text* in one line on standard error."""
    stream = standard_error()
    stream.write(f"e2eproxy: {one_line(text)}\n")
    stream.flush()


def load_or_exit(given: Mapping[str, object]) -> Settings:
    """Make the settings from *given* (as ``config.load`` takes it), or say what is wrong and exit with 2."""
    try:
        return load(given)
    except ConfigError as error:
        for problem in error.problems:
            complain(problem)
        raise SystemExit(BAD_SETTINGS) from None
