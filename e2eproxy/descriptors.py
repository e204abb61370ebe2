"""How many clients the process has descriptors for.

A client takes two: its own connection and the one to its server. When they run out, ``accept`` fails for
everybody at once, so the limit is raised as far as it goes and the number of clients kept below it.
"""

from __future__ import annotations

import resource

from attrs import frozen

PER_CLIENT = 2
"""The client's socket and the one to its server."""

RESERVE = 64
"""For listeners, the log, the store, DNS, the event loop, and connection attempts that race (RFC 8305)."""


@frozen
class Descriptors:
    """The soft limit as it was found and as it is now."""

    before: int
    now: int

    @property
    def clients(self) -> int:
        """For how many clients that is enough; at least one."""
        return max(1, (self.now - RESERVE) // PER_CLIENT)


def raise_limit() -> Descriptors:
    """Raise the soft limit of open descriptors to the hard one (setrlimit(2)); no error if that is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # an "unlimited" hard limit above what the kernel takes
            return Descriptors(_count(soft), _count(soft))
    return Descriptors(_count(soft), _count(hard))


def _count(limit: int) -> int:
    return 2**31 - 1 if limit == resource.RLIM_INFINITY else limit
