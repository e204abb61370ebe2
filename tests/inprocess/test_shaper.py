"""The shaper does what it is used for: other pieces, the same bytes, and ends of stream one way at a time."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from bed.shaper import CUT_MOST, Shaper

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = bytes(range(256)) * 16  # 4 KiB, no byte where another could stand
TIMEOUT = 20  # seconds; nothing here takes one


class Echo:
    """A server for one connection that keeps what each of its reads returned and sends all of it back at the end."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT)
        self.port = self.listener.getsockname()[1]
        self.reads: list[bytes] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(TIMEOUT)
        with connection, contextlib.suppress(ConnectionError):  # one of the tests resets it
            while data := connection.recv(65536):
                self.reads.append(data)
            connection.sendall(b"".join(self.reads))


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()
    server.thread.join(TIMEOUT)
    assert not server.thread.is_alive()


def send_and_receive(port: int, pieces: list[bytes]) -> list[bytes]:
    """Send `pieces`, end that direction, and return what each read gave until the end of the other one."""
    reads = []
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        while data := client.recv(65536):
            reads.append(data)
    return reads


def test_cutting_gives_small_reads_in_both_directions(echo: Echo) -> None:
    with Shaper(echo.port, "cut", seed=1) as shaper:
        back = send_and_receive(shaper.port, [DATA])
    for reads in (echo.reads, back):
        assert b"".join(reads) == DATA
        small = [read for read in reads if len(read) <= CUT_MOST]
        assert len(small) > len(reads) / 2, [len(read) for read in reads]
    assert shaper.up.size == shaper.down.size == len(DATA)
    assert shaper.up.sent > len(DATA) / CUT_MOST


def test_joining_gives_large_reads(echo: Echo) -> None:
    with Shaper(echo.port, "join") as shaper:
        back = send_and_receive(shaper.port, [DATA[i : i + 16] for i in range(0, len(DATA), 16)])
    assert b"".join(echo.reads) == b"".join(back) == DATA
    assert max(map(len, echo.reads)) >= len(DATA) / 4, [len(read) for read in echo.reads]
    assert shaper.up.sent < shaper.up.received or shaper.up.received == 1


def test_the_seed_decides_where_it_is_cut() -> None:
    counts = []
    for _ in range(2):
        server = Echo()
        with Shaper(server.port, "cut", seed=7) as shaper:
            send_and_receive(shaper.port, [DATA[:100]])
        server.listener.close()
        counts.append(shaper.up.sent)
    assert counts[0] == counts[1]


def test_a_target_that_is_not_there_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Shaper(port, "cut") as shaper,
        socket.create_connection(("127.0.0.1", shaper.port), TIMEOUT) as client,
    ):
        assert client.recv(1) == b""


def test_a_lost_client_ends_the_connection_to_the_target(echo: Echo) -> None:
    with Shaper(echo.port, "cut") as shaper:
        client = socket.create_connection(("127.0.0.1", shaper.port), TIMEOUT)
        client.sendall(DATA)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        client.close()
        echo.thread.join(TIMEOUT)
        assert not echo.thread.is_alive()
