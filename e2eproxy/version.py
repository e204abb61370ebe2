"""Which version this is, from the installed package's metadata, its one place."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """The installed version, or a remark that there is none."""
    try:
        return installed("e2eproxy")
    except PackageNotFoundError:
        return "(run from its source, not installed)"
