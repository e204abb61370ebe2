"""Bounded waiting for a condition that can be observed; the bed's only way to wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PAUSE = 0.02  # seconds between two looks; short, since a look at our own processes is cheap


class BedError(AssertionError):
    """The bed waited for something that did not come; the text says what, and what was there instead."""


def wait_until(
    look: Callable[[], T | None],
    what: str,
    *,
    timeout: float = 15,
    pause: float = PAUSE,
    instead: Callable[[], str] = str,
) -> T:
    """Look until *look* returns something true, and return that.

    *timeout* and *pause* are seconds. After the time-out ``BedError`` names *what* was waited for and, from
    *instead*, what was there.
    """
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise BedError(f"waited {timeout:g} s in vain for {what}\n{instead()}")
        time.sleep(pause)
    return found
