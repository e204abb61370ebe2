"""sd_notify(3): what is taken from the environment, and what is sent."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from e2eproxy.sd_notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        yield receiver


def test_socket_in_the_file_system(manager: socket.socket, tmp_path: Path):
    manager.bind(str(tmp_path / "notify"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "HOME": "/"}
    assert Notifier.from_environment(environ).send(READY=1, STATUS="two\nlines")
    assert manager.recv(4096) == b"READY=1\nSTATUS=two lines\n"
    assert environ == {"HOME": "/"}


def test_abstract_socket(manager: socket.socket):
    name = f"e2eproxy-test-{os.getpid()}"
    manager.bind(f"\0{name}")
    assert Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).send(STOPPING=1)
    assert manager.recv(4096) == b"STOPPING=1\n"


@pytest.mark.parametrize("address", [None, "", "relative", "/nonexistent/notify"])
def test_nobody_there(address: str | None):
    assert not Notifier.from_environment({} if address is None else {"NOTIFY_SOCKET": address}).send(READY=1)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_watchdog(environ: dict[str, str], seconds: float | None):
    assert Notifier.from_environment(environ).watchdog == seconds
    assert environ == {}
