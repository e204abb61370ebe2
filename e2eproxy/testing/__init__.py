"""The test bench for methods: a simulator with fake clock, server and attackers, and two reference methods.

For this program's own tests, for ``e2eproxy evaluate``, and for authors of plug-ins (docs/methods.md). The daemon loads
none of it.
"""

from __future__ import annotations

from e2eproxy.testing.canary import Canary
from e2eproxy.testing.clock import FakeClock
from e2eproxy.testing.device import Device, Failed, Killed, Shown
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.testing.world import WHO, World

__all__ = [
    "WHO",
    "Canary",
    "Device",
    "Failed",
    "FakeClock",
    "Killed",
    "ObjectMethod",
    "SessionMethod",
    "Shown",
    "World",
]
