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
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from e2eproxy.control.bounds import BoundedSite, No
from e2eproxy.control.web import Web
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from twisted.internet.interfaces import IListeningPort

    from e2eproxy.control.api import Api
    from e2eproxy.control.web import Page

#: Bytes of one request, which may hold an archive.
MOST_BODY: Final = 32 * 2**20
#: Connections at one time.
MOST_CONNECTIONS: Final = 200
#: Bytes that the address of a Unix socket may have.
LONGEST_PATH: Final = 107
_PEER: Final = struct.Struct("3i")
_ROOT: Final = 0


class _Site(BoundedSite):
    """Serves the routes, to this user alone."""

    most_body: ClassVar[int] = MOST_BODY
    most_connections: ClassVar[int] = MOST_CONNECTIONS
    there_is: ClassVar[str] = "GET /v1/commands says what there is."
    _log = Logger()

    def refusal(self, transport: Any) -> No | None:  # noqa: ANN401 - Twisted's, whose interface for sockets has no types
        """Look who it is."""
        user = peer_user(transport.getHandle())
        if user not in {os.geteuid(), _ROOT}:
            self._log.warn("the user {user} was refused at the control socket", user=user)
            return No("403 Forbidden", "forbidden", "Only the user that e2eproxy runs as may steer it.")
        return super().refusal(transport)


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
    site = _Site(Web(api, pages).resource(), reactor)
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
