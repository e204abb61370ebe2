"""The control socket: a Unix socket that is for the daemon's own user, and for nobody else of this machine.

Its mode keeps others out, and beside that each connection is asked for its user by the kernel: whoever may talk here may change
policy and read keys. What one connection may send is bounded, and so is how many there are.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from e2eproxy.control.web import Web
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from twisted.internet.interfaces import IListeningPort
    from twisted.python.failure import Failure

    from e2eproxy.control.api import Api
    from e2eproxy.control.web import Page

#: Bytes of one request, which may hold an archive.
MOST_BODY: Final = 32 * 2**20
#: Connections at one time.
MOST_CONNECTIONS: Final = 200
#: Seconds after which a connection that says nothing is closed.
IDLE_SECONDS: Final = 60
#: Bytes that the address of a Unix socket may have.
LONGEST_PATH: Final = 107
_PEER: Final = struct.Struct("3i")
_ROOT: Final = 0


class _Request(Request):
    """A request whose body is bounded whatever its header says."""

    _taken = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Refuse what says that it is too long."""
        if length is not None and length > MOST_BODY:
            self._refuse()
        super().gotLength(0 if self._refused else length)  # type: ignore[no-untyped-call] # Twisted's

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Refuse what is too long without having said so."""
        self._taken += len(data)
        if not self._refused and self._taken > MOST_BODY:
            self._refuse()
        if not self._refused:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call] # Twisted's

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 - Twisted's name
        """Do nothing with what was refused, nor with a path that is spelled as none of ours is."""
        if b"%" in path or not path.isascii():
            self._refused = True
            say_no(self.channel, "404 Not Found", "not-found", "GET /v1/commands says what there is.")
        if not self._refused:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call] # Twisted's

    def _refuse(self) -> None:
        self._refused = True
        say_no(self.channel, "413 Content Too Large", "too-large", f"Send at most {MOST_BODY} bytes.")


class _Channel(HTTPChannel):
    """A connection."""

    _refused = False
    _counted = False
    _log = Logger()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Look who it is."""
        transport: Any = self.transport  # Twisted's, whose interface for sockets has no types
        user = peer_user(transport.getHandle())
        if user not in {os.geteuid(), _ROOT}:
            self._log.warn("the user {user} was refused at the control socket", user=user)
            self._say_no("403 Forbidden", "forbidden", "Only the user that e2eproxy runs as may steer it.")
        elif self.factory.open >= MOST_CONNECTIONS:
            self._say_no(
                "503 Service Unavailable", "busy", "There are too many connections; try again in a moment."
            )
        else:
            self.factory.open += 1
            self._counted = True
            super().connectionMade()  # type: ignore[no-untyped-call] # Twisted's

    def _say_no(self, status: str, kind: str, text: str) -> None:
        self._refused = True
        say_no(self, status, kind, text)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Read on, unless it was refused."""
        if not self._refused:
            super().dataReceived(data)  # type: ignore[no-untyped-call] # Twisted's

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Count it no more."""
        if self._counted:
            self.factory.open -= 1
            super().connectionLost(reason)  # type: ignore[no-untyped-call] # Twisted's


class _Site(Site):
    """Serves the routes; *open*: how many connections there are. What is asked is nobody's to log (law 8)."""

    protocol = _Channel  # type: ignore[assignment] # HTTP/2 is nothing for a Unix socket
    requestFactory = _Request  # noqa: N815 - Twisted's name
    noisy = False
    open = 0

    def log(self, request: object) -> None:
        """Log nothing."""


def say_no(channel: Any, status: str, kind: str, text: str) -> None:  # noqa: ANN401 - Twisted's, without types
    """Answer for a request that is not read any further, and close."""
    body = f'{{"error": {{"kind": "{kind}", "text": "{text}"}}}}\n'
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    channel.transport.write(f"{head}\r\n{body}".encode())
    channel.transport.loseConnection()


def peer_user(connection: socket.socket) -> int:
    """The user at the other end of *connection*, as the kernel knows it."""
    _pid, user, _group = _PEER.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    )
    return int(user)


def listen(
    reactor: Any,  # noqa: ANN401 - several interfaces of Twisted's reactor in one object
    path: Path,
    api: Api,
    pages: Mapping[str, Page] | None = None,
) -> IListeningPort:
    """Serve *api* on a new socket at *path*; a stale one that nobody serves is replaced. Raises LocalError."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise LocalError(
            f"the control socket {path} has a path of more than {LONGEST_PATH} bytes; name a shorter one with --control"
        )
    site = _Site(Web(api, pages).resource(), timeout=IDLE_SECONDS, reactor=reactor)  # type: ignore[no-untyped-call] # Twisted's
    before = os.umask(0o177)
    try:
        _remove_stale(path)
        port: IListeningPort = reactor.listenUNIX(
            str(path), site, mode=0o600, backlog=MOST_CONNECTIONS, wantPID=False
        )
    except (OSError, CannotListenError) as error:
        cause = error.socketError if isinstance(error, CannotListenError) else error
        raise LocalError(_why(path, getattr(cause, "strerror", None) or str(cause))) from error
    finally:
        os.umask(before)
    return port


def _why(path: Path, why: str) -> str:
    return f"the control socket {path} cannot be made: {why}; name another one with --control, or none"


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that was killed. Raises LocalError if one is served, or it is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise LocalError(f"{path} is no socket, and stays: name another place with --control")
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(str(path))
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
    raise LocalError(f"another program serves the control socket {path}: name another one with --control")
