"""A TCP relay that changes where the pieces end: it cuts the traffic into 1-7 bytes, or joins it into large pieces.

A program that takes what one `recv` returns for a whole message works on loopback until somebody's network cuts
differently; between any two parties of a test the shaper is such a network. No byte is changed, added or lost, and an
end of stream in one direction leaves the other one open.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Literal, Self

from attrs import define, field

if TYPE_CHECKING:
    from types import TracebackType

Shape = Literal["cut", "join"]

CUT_MOST = 7  # bytes of the largest piece when cutting
CUT_PAUSE = 0.0001  # seconds between two pieces: without a pause the receiver would read many of them at once
JOIN_SIZE = 64 * 1024  # bytes that are gathered when joining,
JOIN_SILENCE = 0.1  # unless nothing comes for so many seconds,
JOIN_MOST = 0.5  # and no longer than this in all, in seconds
RECEIVE_SIZE = 64 * 1024


@define
class Traffic:
    """What went through in one direction, of all connections: bytes, the pieces sent on, the pieces received."""

    size: int = 0
    sent: int = 0
    received: int = 0


@define
class Way:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    traffic: Traffic
    dice: random.Random


@define
class Connection:
    """The two sockets of one relayed connection, and the thread of each direction."""

    near: socket.socket
    far: socket.socket
    threads: list[threading.Thread] = field(factory=list)

    def shut(self) -> None:
        """End both sides at once, which also wakes the threads that read from them."""
        for side in (self.near, self.far):
            with contextlib.suppress(OSError):  # already closed by its peer
                side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Wait for the threads and release the sockets."""
        self.shut()
        for thread in self.threads:
            thread.join(10)
        self.near.close()
        self.far.close()


class Shaper:
    """Listens on ``port`` of 127.0.0.1 and relays each connection to *target_port* there, shaped both ways.

    The random places of the cuts come from *seed*, which is printed, so that a failing test's output tells it.
    """

    def __init__(self, target_port: int, shape: Shape, *, seed: int | None = None) -> None:
        """Nothing listens before it is started."""
        self.target_port = target_port
        self.shape = shape
        self.seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self.port = 0
        self.up = Traffic()
        self.down = Traffic()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, in threads of its own."""
        self._listener = listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.start()
        print(f"shaper: 127.0.0.1:{self.port} to {self.target_port}, {self.shape}, seed {self.seed}")
        return self

    def stop(self) -> None:
        """End all connections and stop listening."""
        if self._listener is None or self._accepting is None:
            return
        with contextlib.suppress(OSError):  # not connected: it only has to wake accept()
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        for number in range(1, 1 << 30):
            try:
                near, _ = listener.accept()
            except OSError:  # stopped
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), 10)
            except OSError:  # the target is not there: the near side learns it as it would without a shaper
                near.close()
                continue
            self._relay(Connection(near, far), number)

    def _relay(self, connection: Connection, number: int) -> None:
        for side in (connection.near, connection.far):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.settimeout(None)
        ends = ((connection.near, connection.far, self.up), (connection.far, connection.near, self.down))
        for name, (source, sink, traffic) in zip(("up", "down"), ends, strict=True):
            way = Way(source, sink, traffic, random.Random(f"{self.seed}/{number}/{name}"))
            thread = threading.Thread(target=self._carry, args=(connection, way), daemon=True)
            connection.threads.append(thread)
        self._connections.append(connection)
        for thread in connection.threads:
            thread.start()

    def _carry(self, connection: Connection, way: Way) -> None:
        """Forward until the source's end of stream, and pass that on; a reset on either side ends both."""
        try:
            (self._cut if self.shape == "cut" else self._join)(way)
            way.sink.shutdown(socket.SHUT_WR)
        except OSError:
            connection.shut()

    def _cut(self, way: Way) -> None:
        while data := way.source.recv(RECEIVE_SIZE):
            self._count(way.traffic, received=1)
            start = 0
            while start < len(data):
                piece = data[start : start + way.dice.randint(1, CUT_MOST)]
                self._send(way, piece)
                start += len(piece)
                time.sleep(CUT_PAUSE)

    def _join(self, way: Way) -> None:
        while gathered := way.source.recv(RECEIVE_SIZE):
            self._count(way.traffic, received=1)
            deadline = time.monotonic() + JOIN_MOST
            while len(gathered) < JOIN_SIZE and time.monotonic() < deadline:
                readable, _, _ = select.select([way.source], [], [], JOIN_SILENCE)
                more = way.source.recv(RECEIVE_SIZE) if readable else b""
                if not more:
                    break
                self._count(way.traffic, received=1)
                gathered += more
            self._send(way, gathered)

    def _send(self, way: Way, piece: bytes) -> None:
        way.sink.sendall(piece)
        self._count(way.traffic, size=len(piece), sent=1)

    def _count(self, traffic: Traffic, *, size: int = 0, sent: int = 0, received: int = 0) -> None:
        with self._lock:
            traffic.size += size
            traffic.sent += sent
            traffic.received += received

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
