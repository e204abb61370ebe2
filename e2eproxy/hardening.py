"""What the process gives up for the sake of its secrets (law 8): core dumps with memory in them, and shared files.

PR_SET_DUMPABLE of prctl(2) would do more, but it also closes /proc/PID to its own user, who then cannot see what
the daemon does, and protects from nobody who could not read the data directory anyway.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

COREDUMP_FILTER = Path("/proc/self/coredump_filter")
"""core(5): which mappings go into a core; in hexadecimal, zero for none."""

PRIVATE_UMASK = 0o077


def harden() -> None:
    """No core dumps, and files that are ours alone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The limit does not stop a core that is piped to a program (core(5)), but an empty one tells it nothing.
    with suppress(OSError):  # no /proc: then the limit has to do
        COREDUMP_FILTER.write_text("0", encoding="ascii")
    os.umask(PRIVATE_UMASK)
