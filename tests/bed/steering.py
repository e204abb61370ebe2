"""The steering of a world in memory: as the daemon has it, but for threads."""

from __future__ import annotations

from twisted.internet.defer import maybeDeferred

from e2eproxy.control.assembly import Control


def control(clock, clients=lambda: 1):
    """The steering, by the world's *clock*; what would be done in a thread is done at once."""
    return Control(
        version="0.0.test",
        wall=clock.seconds,
        random=bytes,
        in_thread=maybeDeferred,
        clients=clients,
    )


def steering(clock):
    """What ``Guards`` takes."""
    return control(clock).steering
