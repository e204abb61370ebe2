"""The command line's way to the running daemon: HTTP over its control socket, with nothing but the standard library.

It has to start fast, so it knows no event loop. It is always a client: never a second daemon on the same data.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from e2eproxy.control import json_request
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from e2eproxy.control.lines import Request

#: Seconds that the daemon may take to answer: an archive takes one.
PATIENCE: Final = 30.0
_TIME: Final = struct.Struct("@ll")
#: Bytes of an answer.
MOST_ANSWER: Final = 512 * 2**20


class NotRunning(LocalError):  # noqa: N818 - it names the finding
    """There is no daemon at the socket."""


class _Connection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        # With a timeout of Python's own, a queue that is full for a moment would be an error at once.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(int(PATIENCE), 0))
        self.sock.connect(str(self._path))
        self.sock.settimeout(PATIENCE)


def do(path: Path, request: Request, more: Mapping[str, object]) -> dict[str, Any]:
    """Have the daemon at the socket *path* do *request*, with *more* members; return its answer.

    Raises LocalError with what the daemon says, or NotRunning.
    """
    body = json_request.written(request, more)
    answer = _ask(path, "POST", f"/v1/commands/{request.command.name}", body)
    if "error" in answer:
        raise LocalError(str(answer["error"].get("text", "the daemon gave no reason")))
    return answer


def _ask(path: Path, verb: str, where: str, body: bytes) -> dict[str, Any]:
    connection = _Connection(path)
    try:
        connection.request(verb, where, body, {"Content-Type": "application/json"})
        raw = connection.getresponse().read(MOST_ANSWER)
        answer = json.loads(raw)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NotRunning(
            f"e2eproxy is not running (nobody serves {path}). Start it with `e2eproxy run`, or name the data directory of the "
            "one that runs with --data."
        ) from None
    except (PermissionError, BrokenPipeError):  # its files keep others out, or the daemon hangs up on them
        raise LocalError(f"{path} is not yours: run this as the user that e2eproxy runs as.") from None
    except (TimeoutError, BlockingIOError):
        raise LocalError(f"The daemon did not answer within {PATIENCE:.0f} s; its log may say why.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LocalError(f"{path} gives no answer of e2eproxy: {error}. Is another program there?") from None
    finally:
        connection.close()
    if not isinstance(answer, dict):
        raise LocalError(f"{path} gives no answer of e2eproxy. Is another program there?")
    return answer
