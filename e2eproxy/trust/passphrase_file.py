"""A passphrase for a daemon, which cannot ask: handed over in a private file, a named pipe or an open descriptor.

It is never part of the configuration, of a command line or of the environment, all of which others can see (law 8).
"""

from __future__ import annotations

import os
import select
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.trust.vault import VaultError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 4096
WAIT: Final = 30.0
"""Seconds that a pipe may take to give the passphrase."""


@frozen
class PassphraseFile:
    """What is in *path*, without the line break at its end: a file, a named pipe, or /dev/fd/N for a descriptor."""

    path: Path
    wait: float = WAIT

    def __call__(self) -> str:
        """The passphrase; raises VaultError, which never quotes it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise VaultError(f"the passphrase file {self.path} cannot be opened: {error.strerror}") from error
        try:
            self._require_private(os.fstat(descriptor))
            data = self._read(descriptor)
        except OSError as error:
            raise VaultError(f"the passphrase file {self.path} cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)
        if len(data) > MOST_BYTES:
            raise VaultError(f"the passphrase file {self.path} has more than {MOST_BYTES} bytes")
        with suppress(UnicodeDecodeError):
            return data.decode().removesuffix("\n").removesuffix("\r")
        raise VaultError(f"the passphrase file {self.path} is not UTF-8 text")

    def _require_private(self, status: os.stat_result) -> None:
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            raise VaultError(f"the passphrase file {self.path} is neither a file nor a pipe")
        if status.st_mode & 0o077:
            raise VaultError(
                f"the passphrase file {self.path} is open to others (mode {stat.S_IMODE(status.st_mode):04o});"
                f" `chmod 600 {self.path}` makes it private; if others may have read it, choose a new passphrase"
            )
        if status.st_uid not in {os.geteuid(), 0}:
            raise VaultError(
                f"the passphrase file {self.path} belongs to another user (number {status.st_uid})"
            )

    def _read(self, descriptor: int) -> bytes:
        """All of it. A pipe that nobody has opened for writing yet gives nothing, just as one that has ended."""
        data = b""
        ended = False
        until = time.monotonic() + self.wait
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while len(data) <= MOST_BYTES:
            chunk = None
            with suppress(BlockingIOError):
                chunk = os.read(descriptor, MOST_BYTES + 1)
            if chunk:
                data += chunk
                continue
            if chunk == b"" and (data or ended or stat.S_ISREG(os.fstat(descriptor).st_mode)):
                break
            ready = poller.poll(max(0.0, until - time.monotonic()) * 1000)
            if not ready:
                raise VaultError(
                    f"nobody wrote a passphrase to {self.path} within {self.wait:g} seconds; write it and start again"
                )
            ended = bool(ready[0][1] & select.POLLHUP)
        return data
