"""Telling systemd how the daemon is: sd_notify(3), a datagram of ``NAME=value`` lines.

A few lines of our own, because the libraries for it have no maintainer any more (sdnotify: 2017) or bind to C
(systemd-python), and the protocol is promised to stay (systemd's "Portability and Stability Promise").
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Notifier:
    """The way to the service manager; one that goes nowhere when there is none."""

    def __init__(self, address: str | bytes | None = None, watchdog: float | None = None) -> None:
        """Send to the Unix socket *address* (a leading zero byte: abstract); *watchdog* is its limit in seconds."""
        self._address = address
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] | None = None) -> Notifier:
        """Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of *environ*, so that no child speaks for us."""
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        meant_for = environ.pop("WATCHDOG_PID", "")
        watchdog = None
        ours = meant_for in {"", str(os.getpid())}
        if ours and microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0:
            watchdog = int(microseconds) / 1_000_000
        if address.startswith("@"):
            return cls(b"\0" + os.fsencode(address[1:]), watchdog)
        return cls(address if address.startswith("/") else None, watchdog)

    def send(self, **state: str | int) -> bool:
        """Send *state* (``READY=1``); whether it went out. A manager that does not listen is no reason to stop."""
        if self._address is None:
            return False
        lines = "".join(f"{name}={str(value).replace(chr(10), ' ')}\n" for name, value in state.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(lines.encode(), self._address)
        except OSError:
            return False
        return True
