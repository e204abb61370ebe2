"""The data directory: made for its user alone, and used by one daemon at a time.

Two daemons on one store would each advance the same ratchets (law 5: no key is used twice), so the second is
refused by a lock that the kernel drops when its holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from e2eproxy.errors import LocalError
from e2eproxy.values import reason

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "lock"
PRIVATE = 0o700


class DataDirectory:
    """A data directory that is ours until ``release``."""

    def __init__(self, path: Path) -> None:
        """Create *path* if needed and lock it; raises LocalError with what to do."""
        self.path = path
        self._lock = -1
        try:
            path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LocalError(
                f"the data directory {path} cannot be used: {reason(error)};"
                " make it writable for this user, or name another one with --data"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            holder = _holder(lock)
            os.close(lock)
            raise LocalError(
                f"another e2eproxy{holder} already uses the data directory {path};"
                " stop it, or give this one a directory of its own with --data"
            ) from error
        except OSError as error:
            os.close(lock)
            raise LocalError(f"the data directory {path} cannot be locked: {reason(error)}") from error
        self._lock = lock

    def open_to_others(self) -> bool:
        """Whether other users may enter, list or change the directory."""
        with suppress(OSError):  # somebody took it away: then nobody can
            return bool(self.path.stat().st_mode & 0o077)
        return False

    def release(self) -> None:
        """Let another daemon have it; the file stays, since removing it would let two hold "the" lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _holder(lock: int) -> str:
    with suppress(OSError, ValueError):
        return f" (process {int(os.pread(lock, 32, 0))})"
    return ""
