"""The control socket of a real daemon: whose it is, what it bears, and the command line that is its client."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from bed.child import Child
from bed.polling import wait_until

from e2eproxy.control import listening
from e2eproxy.control.listening import LONGEST_PATH, MOST_BODY, MOST_CONNECTIONS
from e2eproxy.control.web import MOST_BYTES

LISTENS = "listening on 127.0.0.1"


def environment():
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "HOME": "/nonexistent", "LANG": "C.UTF-8"}


class Running:
    """A daemon without a server, over *data*."""

    def __init__(self, data, *options):
        self.data = data
        self.socket = data / "control.sock"
        self.child = Child(
            [
                *(sys.executable, "-m", "e2eproxy", "run", "--listen", "tcp:0:interface=127.0.0.1"),
                *("--upstream", "127.0.0.1:1", "--data", str(data), *options),
            ],
            log=data.parent / "daemon.log",
            cwd=data.parent,
            environment=environment(),
        )
        wait_until(self._listens, "the daemon to listen", timeout=30, instead=self.child.tail)

    def _listens(self):
        self.child.require_running()
        return LISTENS in self.child.text()

    def speak(self, raw):
        """What the daemon answers to *raw*, until it closes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.socket))
            with suppress(BrokenPipeError):  # it has said no already
                connection.sendall(raw)
            said = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(65_536):
                    said += piece
            return said

    def request(self, verb, path, body=b"", more=""):
        head = f"{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        answer = self.speak(head.encode("utf-8", "surrogateescape") + body)
        status, _, content = answer.partition(b"\r\n\r\n")
        return int(status.split()[1]), json.loads(content)


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="e2e") as folder:
        yield Path(folder) / "data"


@pytest.fixture
def running(place):
    daemon = Running(place)
    yield daemon
    assert daemon.child.terminate() in {0, -15}
    assert "Traceback" not in daemon.child.text()
    assert not daemon.socket.exists()


def say(*words, data):
    return subprocess.run(
        [sys.executable, "-m", "e2eproxy", *words, "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_it_is_for_one_user_alone_and_answers_the_command_line(running):
    assert running.socket.stat().st_mode & 0o777 == 0o600
    assert running.data.stat().st_mode & 0o777 == 0o700
    done = say("status", data=running.data)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No client is logged in" in done.stdout
    values = json.loads(say("status", "--json", data=running.data).stdout)
    assert (values["clients"], values["accounts"]) == (0, [])
    done = say("keys", data=running.data)
    assert (done.returncode, done.stdout) == (1, "")
    assert "let one connect to it and log in" in done.stderr
    assert say("stats", data=running.data).returncode == 2
    assert say("clear", "juliet@example.org", "twice", data=running.data).returncode == 2


def test_without_a_daemon_it_says_what_to_do(place):
    done = say("status", data=place)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "e2eproxy is not running" in done.stderr
    assert "e2eproxy run" in done.stderr


def test_the_socket_of_a_daemon_that_was_killed_is_replaced(place):
    first = Running(place)
    first.child.kill()
    assert say("status", data=place).returncode == 1
    assert first.socket.exists()
    second = Running(place)
    assert say("status", data=place).returncode == 0
    second.child.terminate()


def test_what_is_there_and_is_no_stale_socket_stays(place):
    place.mkdir(mode=0o700)
    (place / "control.sock").write_text("mine")
    with pytest.raises(Exception, match="is no socket, and stays"):
        Running(place)
    assert (place / "control.sock").read_text() == "mine"


def test_a_path_that_no_socket_can_have_is_told(place):
    with pytest.raises(Exception, match=f"more than {LONGEST_PATH} bytes"):
        Running(place, "--control", str(place / ("x" * 120)))


def test_there_may_be_none(place):
    daemon = Running(place, "--control", "none")
    assert not daemon.socket.exists()
    maps = Path(f"/proc/{daemon.child.pid}/maps").read_text()
    assert "e2eproxy" not in maps or "rich" not in maps
    daemon.child.terminate()


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@ROOT
def test_another_user_is_refused_even_if_the_files_let_him(running):
    for path in (running.data.parent, running.data):
        path.chmod(0o755)
    running.socket.chmod(0o666)
    program = (
        "import contextlib, os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "with contextlib.suppress(BrokenPipeError): s.sendall(b'POST /v1/commands/status HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n\\r\\n')\n"
        "print(s.recv(1000).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(running.socket)], capture_output=True, text=True, check=False
    )
    assert "403 Forbidden" in done.stdout, done.stderr
    assert '"forbidden"' in done.stdout
    assert "was refused at the control socket" in running.child.text()


def test_the_kernel_says_who_is_at_the_other_end():
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert listening.peer_user(one) == os.geteuid()


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/no-such", b"", 404),
        ("POST", "/metrics", b"", 405),
        ("GET", "/v1/commands/status", b"", 405),
        ("POST", "/v1/commands", b"", 405),
        ("POST", "/v1/commands/no-such", b"", 400),
        ("POST", "/v1/commands/status", b"{", 400),
        ("POST", "/v1/commands/status", b"[]", 400),
        ("POST", "/v1/commands/status", b"\xff", 400),
        ("POST", "/v1/commands/status", b"[" * 60_000, 400),
        ("POST", "/v1/commands/status", b'{"contact": "a@b"}', 400),
        ("POST", "/v1/commands/status", b'{"no": 1}', 400),
        ("POST", "/v1/commands/clear", b'{"contact": "a@b", "values": {"word": 1}}', 400),
        ("POST", "/v1/commands/clear", b'{"contact": "a@b", "values": {}}', 400),
        ("POST", "/v1/commands/clear", b'{"contact": ["a@b"], "values": {"word": "once"}}', 400),
        ("POST", "/v1/commands/reset", b'{"sure": "yes"}', 400),
        ("POST", "/v1/commands/keys", b'{"account": "a@b@c"}', 409),
        ("POST", "/v1/commands/import", b'{"archive": "!", "passphrase": "x"}', 409),
        ("POST", "/v1/commands/import", b'{"archive": "eA==", "passphrase": "x"}', 409),
        ("POST", "/v1/commands/status", b" " * (MOST_BYTES + 1), 413),
    ],
)
def test_what_is_wrong_is_answered_as_json(shared, verb, path, body, status):
    got, answer = shared.request(verb, path, body)
    assert (got, set(answer)) == (status, {"error"})
    assert answer["error"]["text"][-1] == "."


@pytest.fixture(scope="module")
def shared():
    with tempfile.TemporaryDirectory(prefix="e2e") as folder:
        daemon = Running(Path(folder) / "data")
        yield daemon
        daemon.child.terminate()
        assert "Traceback" not in daemon.child.text()
        assert "bug" not in daemon.child.text()


def test_too_long_is_refused_whether_it_says_so_or_not(shared):
    head = b"POST /v1/commands/import HTTP/1.1\r\nHost: x\r\n"
    said = shared.speak(head + f"Content-Length: {MOST_BODY + 1}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413 ")
    chunk = b"%x\r\n" % 2**20 + b"x" * 2**20 + b"\r\n"
    said = shared.speak(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (MOST_BODY // 2**20 + 1))
    assert said == b"" or said.startswith(b"HTTP/1.1 413 ")  # an answer to what is not read may be lost
    assert shared.request("POST", "/v1/commands/status")[0] == 200


def test_there_are_not_any_number_of_connections(shared):
    held = []
    try:
        for _ in range(MOST_CONNECTIONS):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(str(shared.socket))
        assert b"503 " in shared.speak(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    finally:
        for one in held:
            one.close()
    wait_until(lambda: shared.request("POST", "/v1/commands/status")[0] == 200, "room for one more")


def test_whatever_is_sent_is_answered(shared):
    rng = random.Random(7)
    names = [
        "status",
        "keys",
        "trust",
        "verify",
        "policy",
        "reset",
        "import",
        "export",
        "log",
        "show",
        "x%00",
        "%ff",
        "..",
    ]
    values = [1, None, [], {}, "", "a@b", "x" * 5000, True, -1, {"word": {}}, "\ud800", 1e400]
    for _ in range(300):
        members = ["contact", "values", "account", "passphrase", "archive", "sure", "replace", "setting"]
        body = json.dumps({rng.choice(members): rng.choice(values) for _ in range(rng.randrange(4))}).encode()
        if rng.random() < 0.3:
            at = rng.randrange(len(body) + 1)
            body = body[:at] + rng.randbytes(rng.randrange(9)) + body[at:]
        status, answer = shared.request(
            rng.choice(["POST", "POST", "GET", "PUT"]), f"/v1/commands/{rng.choice(names)}", body
        )
        assert status in {200, 400, 404, 405, 409}, (status, body)
        assert ("error" in answer) is (status != 200)
    for _ in range(100):
        shared.speak(rng.randbytes(rng.randrange(1, 300)) + b"\r\n\r\n" + rng.randbytes(20) + b"\r\n\r\n\r\n")
    assert shared.request("POST", "/v1/commands/status")[0] == 200


def modules_of(program):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_daemon_loads_nothing_of_the_terminal():
    loaded = modules_of("import e2eproxy.service, e2eproxy.pipelines, e2eproxy.control.listening")
    assert {"twisted", "klein"} <= loaded
    assert not {"click", "rich", "segno"} & loaded


def test_the_command_line_loads_no_event_loop():
    program = (
        "from e2eproxy.cli import cli\n"
        "try: cli(['status', '--data', '/nonexistent'])\n"
        "except SystemExit as end: assert end.code == 1"
    )
    loaded = modules_of(program)
    assert {"click", "e2eproxy"} <= loaded
    assert not {"twisted", "sqlalchemy", "cryptography", "rich", "segno", "klein"} & loaded
