"""The daemon as a process: it starts wholly or says in one line why not, obeys signals, and tells systemd."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bed.polling import wait_until
from running import RUN, SECONDS, TWISTD, WAYS, Running, ServiceManager, environment, taken_port

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL = "tcp:0:interface=127.0.0.1"
HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" version='1.0' to='example.test'>"
)


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> Sequence[str]:
    """`e2eproxy run` and `twistd -n e2eproxy` in turn."""
    return WAYS[request.param]


def refused(way: Sequence[str], directory: Path, *options: str, **more: str) -> tuple[int, str]:
    """Start a daemon that cannot run: its exit status, and the one line that it says."""
    with Running(directory, *options, way=way, more=more) as daemon:
        status = daemon.status()
        assert daemon.out.read_text() == ""
        (line,) = daemon.errors
        return status, line.removeprefix("e2eproxy: ")


# --- starting ----------------------------------------------------------------------------------------------------


def test_starts_and_ends(way: Sequence[str], tmp_path: Path):
    for number in (signal.SIGTERM, signal.SIGINT):
        with Running(tmp_path, "--listen", LOCAL, "--data", "data/deeper", way=way) as daemon:
            port = daemon.port()
            with socket.create_connection(("127.0.0.1", port), SECONDS):
                pass
            assert daemon.end(number) == 0
            assert daemon.out.read_text() == ""
            assert daemon.errors[-1].endswith("e2eproxy.service: stopped")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), SECONDS)
    data = tmp_path / "data/deeper"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "lock").stat().st_mode) == 0o600


def test_port_taken(way: Sequence[str], tmp_path: Path):
    with taken_port() as port:
        status, line = refused(way, tmp_path, "--listen", f"tcp:{port}:interface=127.0.0.1", "--data", "data")
    assert status == 1
    assert line == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use;"
        " another program listens there already: stop it, or choose another place with --listen"
    )


def test_port_taken_leaves_nothing_open(way: Sequence[str], tmp_path: Path):
    """All listeners or none: the Unix socket that was opened first is in nobody's way afterwards."""
    with taken_port() as port:
        wanted = ("--listen", f"unix:{tmp_path}/socket", "--listen", f"tcp:{port}:interface=127.0.0.1")
        with Running(tmp_path, *wanted, "--data", "data", way=way) as daemon:
            assert daemon.status() == 1
    with Running(tmp_path, "--listen", f"unix:{tmp_path}/socket", "--data", "data", way=way) as daemon:
        daemon.wait_for("listening on unix:")


@pytest.mark.parametrize(
    ("data", "why"), [("file/data", "Not a directory"), ("/proc/none/data", "No such file or directory")]
)
def test_data_directory_that_cannot_be_made(way: Sequence[str], tmp_path: Path, data: str, why: str):
    (tmp_path / "file").write_text("")
    status, line = refused(way, tmp_path, "--listen", LOCAL, "--data", data)
    assert status == 1
    assert line == (
        f"the data directory {tmp_path / data} cannot be used: {why};"
        " make it writable for this user, or name another one with --data"
    )


def test_data_directory_that_is_not_writable(way: Sequence[str], tmp_path: Path):
    """Not by its mode, which root may ignore: /proc takes no new files from anybody."""
    status, line = refused(way, tmp_path, "--listen", LOCAL, "--data", "/proc/self")
    assert status == 1
    assert line.startswith("the data directory /proc/self cannot be used: ")


def test_second_daemon(way: Sequence[str], tmp_path: Path):
    with Running(tmp_path, "--listen", LOCAL, "--data", "data", way=way) as first:
        first.port()
        status, line = refused(way, tmp_path / "other", "--listen", LOCAL, "--data", str(tmp_path / "data"))
        assert status == 1
        assert line == (
            f"another e2eproxy (process {first.process.pid}) already uses the data directory {tmp_path}/data;"
            " stop it, or give this one a directory of its own with --data"
        )
        first.tell(signal.SIGKILL)
        first.status()
    with Running(tmp_path, "--listen", LOCAL, "--data", "data", way=way) as third:
        third.port()  # the lock of a daemon that was killed holds nobody up


def test_bad_options(way: Sequence[str], tmp_path: Path):
    with Running(
        tmp_path, "--listen", "ssl:5223", "--log-level", "loud", "--max-clients", "0", way=way
    ) as daemon:
        assert daemon.status() == 2
        assert daemon.out.read_text() == ""
        assert [line.split(":")[1].strip() for line in daemon.errors] == [
            "--listen",
            "--log-level",
            "--max-clients",
        ]


def test_bad_file(way: Sequence[str], tmp_path: Path):
    (tmp_path / "c.toml").write_text("\nlog_level = 'loud'\nlisten = ['tcp:5222']\ncolour = 1\n")
    with Running(tmp_path, "--config", "c.toml", way=way) as daemon:
        assert daemon.status() == 2
        assert daemon.out.read_text() == ""
        assert [line.split(": ")[1:3] for line in daemon.errors] == [
            [f"{tmp_path}/c.toml:2", "log_level"],
            [f"{tmp_path}/c.toml:3", "listen"],
            [f"{tmp_path}/c.toml:4", "colour"],
        ]


def test_file_that_is_no_toml(way: Sequence[str], tmp_path: Path):
    (tmp_path / "c.toml").write_text("max_clients = 1\nlisten = [\n")
    status, line = refused(way, tmp_path, "--config", "c.toml")
    assert status == 2
    assert re.match(re.escape(f"{tmp_path}/c.toml:") + r"\d: not valid TOML: ", line)


def test_background(tmp_path: Path):
    """`twistd` without -n: the start is over when the command is, and the log goes to its file."""

    def start(*own: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TWISTD, *own, "e2eproxy", "--listen", LOCAL, "--data", "data"],
            cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip

    first = start()
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    number = int((tmp_path / "twistd.pid").read_text())
    try:
        log = tmp_path / "twistd.log"
        wait_until(lambda: "listening on 127.0.0.1:" in log.read_text(), "the log", timeout=SECONDS)
        second = start("--pidfile=second.pid", "--logfile=second.log")
        assert second.returncode == 1
        why = (
            f"another e2eproxy (process {number}) already uses the data directory {tmp_path}/data;"
            " stop it, or give this one a directory of its own with --data"
        )
        assert second.stderr.splitlines()[0] == f"e2eproxy: {why}"  # behind it, twistd refers to the log file
        assert f"cannot start: {why}" in (tmp_path / "second.log").read_text()
        wait_until(lambda: not (tmp_path / "second.pid").exists(), "its end", timeout=SECONDS)
    finally:
        os.kill(number, signal.SIGTERM)
        wait_until(lambda: not (tmp_path / "twistd.pid").exists(), "its end", timeout=SECONDS)
    assert "Traceback" not in log.read_text()
    assert log.read_text().splitlines()[-1].endswith("stopped")


def test_without_standard_error(way: Sequence[str], tmp_path: Path):
    """Nowhere to write to is no reason not to run, nor to end otherwise."""
    before = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    options = ("--listen", f"unix:{tmp_path}/socket", "--data", "data")
    with Running(tmp_path, *options, way=way, before=before) as daemon:
        wait_until((tmp_path / "socket").exists, "the socket", timeout=SECONDS)
        with Running(tmp_path, *options, way=way, before=before) as second:
            assert second.status() == 1
        wait_until(lambda: _answers(tmp_path / "socket"), "an answer", timeout=SECONDS)
        assert daemon.end() == 0


def _answers(path: Path) -> bool:
    with _knock(f"unix:{path}") as connection:
        connection.sendall(b"<nonsense>")
        return bool(connection.recv(1))


def test_log_file_rotates(tmp_path: Path):
    """SIGUSR1 starts a new log file, as it does with twistd's own."""
    log = tmp_path / "own.log"
    way = [*TWISTD, "-n", "--pidfile=", f"--logfile={log}", "e2eproxy"]
    with Running(tmp_path, "--listen", LOCAL, "--data", "data", way=way) as daemon:
        wait_until(lambda: log.exists() and "listening on" in log.read_text(), "the log", timeout=SECONDS)
        daemon.tell(signal.SIGUSR1)
        wait_until((tmp_path / "own.log.1").exists, "the new log", timeout=SECONDS)
        assert daemon.end() == 0
    assert "listening on" not in log.read_text()
    assert "stopped" in log.read_text()
    assert daemon.text == ""


def test_relative_paths_survive_a_change_of_directory(tmp_path: Path):
    """`twistd --rundir` changes it, and SIGHUP reads the same file all the same."""
    (tmp_path / "c.toml").write_text("data = 'data'\n")
    (tmp_path / "elsewhere").mkdir()
    way = [*TWISTD, "-n", "--pidfile=", "--rundir=elsewhere", "e2eproxy"]
    with Running(tmp_path, "--listen", LOCAL, "--config", "c.toml", way=way) as daemon:
        daemon.port()
        daemon.tell(signal.SIGHUP)
        daemon.wait_for("settings read again")
        assert daemon.end() == 0
    assert (tmp_path / "data/lock").exists()


# --- listeners ---------------------------------------------------------------------------------------------------


def test_all_kinds_of_listeners(way: Sequence[str], tmp_path: Path):
    options = ["--listen", LOCAL, "--listen", f"unix:{tmp_path}/socket", "--data", "data"]
    if socket.has_ipv6 and _has_ipv6_loopback():
        options += ["--listen", r"tcp:0:interface=\:\:1"]
    with Running(tmp_path, *options, way=way) as daemon:
        addresses = daemon.wait_for(r"listening on (\S+)", count=len(options) // 2 - 1)
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
        for address in addresses:
            _knock(address).close()
        assert daemon.end() == 0
    assert not (tmp_path / "socket").exists()


def test_unix_socket_of_a_killed_daemon(tmp_path: Path):
    options = ("--listen", f"unix:{tmp_path}/socket:mode=660", "--data")
    with Running(tmp_path, *options, "data") as daemon:
        daemon.wait_for("listening on unix:")
        status, line = refused(RUN, tmp_path / "b", *options, "data")
        assert status == 1
        assert line.startswith(f"cannot listen on {tmp_path}/socket: Address already in use; another program")
        daemon.end(signal.SIGKILL)
    assert (tmp_path / "socket").exists()
    with Running(tmp_path, *options, "data") as daemon:
        daemon.wait_for("listening on unix:")
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o660
        _knock(f"unix:{tmp_path}/socket").close()


def test_a_file_in_the_sockets_place_is_not_removed(tmp_path: Path):
    (tmp_path / "socket").write_text("precious")
    status, line = refused(RUN, tmp_path, "--listen", f"unix:{tmp_path}/socket", "--data", "data")
    assert status == 1
    assert "Address already in use" in line
    assert (tmp_path / "socket").read_text() == "precious"


def _activated(directory: Path, inherited: socket.socket, domain: str, way: Sequence[str]) -> Running:
    """A daemon that is handed *inherited* as systemd would do it."""
    # systemd's protocol wants descriptor 3 and the daemon's own process id, both of which only the child can arrange.
    program = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='c2s');"
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    return Running(
        directory, "--listen", f"systemd:domain={domain}:index=0", "--data", "data",
        way=way, pass_fds=[inherited.fileno()],
        before=[sys.executable, "-c", program, str(inherited.fileno())],
    )  # fmt: skip


def test_socket_activation(way: Sequence[str], tmp_path: Path):
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        inherited.listen(5)
        for _ in range(2):  # the socket stays systemd's: a second daemon can have it after the first
            with _activated(tmp_path, inherited, "INET", way) as daemon:
                assert daemon.port() == inherited.getsockname()[1]
                _knock(f"127.0.0.1:{daemon.port()}").close()
                assert daemon.end() == 0


def test_socket_activation_by_path(way: Sequence[str], tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as inherited:
        inherited.bind(str(tmp_path / "socket"))
        inherited.listen(5)
        for _ in range(2):
            with _activated(tmp_path, inherited, "UNIX", way) as daemon:
                daemon.wait_for("listening on unix:")
                _knock(f"unix:{tmp_path}/socket").close()
                assert daemon.end() == 0
            assert (tmp_path / "socket").exists()


@pytest.mark.parametrize(
    ("address", "domain", "why"),
    [
        (("0.0.0.0", 0), "INET", "its address 0.0.0.0 can be reached from other machines"),
        (("127.0.0.1", 0), "INET6", "it is of the family AF_INET, not of the domain named"),
        (None, "INET", "systemd handed in no such socket"),
    ],
)
def test_socket_activation_refused(tmp_path: Path, address: tuple[str, int] | None, domain: str, why: str):
    with socket.socket() as inherited:
        if address is None:
            status, line = refused(
                RUN, tmp_path, "--listen", f"systemd:domain={domain}:index=0", "--data", "data"
            )
        else:
            inherited.bind(address)
            inherited.listen(5)
            with _activated(tmp_path, inherited, domain, RUN) as daemon:
                status = daemon.status()
                (line,) = daemon.errors
    assert status == 1
    assert why in line


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        print("this machine has no ::1, so IPv6 listeners are left out here")
        return False
    return True


def _knock(address: str) -> socket.socket:
    """Connect to an address as the log names it."""
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(address.removeprefix("unix:"))
        return connection
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), SECONDS)


NO_IPV6 = 'ip link set lo up && ip addr del ::1/128 dev lo && exec "$@"'


def _no_ipv6() -> list[str]:
    """What to put before a command to run it on a network of its own without ::1, or skip where that is not allowed."""
    before = ["unshare", "--net", "--map-root-user", "sh", "-c", NO_IPV6, "sh"]
    try:
        done = subprocess.run([*before, "true"], capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no network namespace to take ::1 from: {error}")
    if done.returncode != 0:
        pytest.skip(f"no network namespace to take ::1 from: {done.stderr.strip()}")
    return before


def test_no_ipv6(way: Sequence[str], tmp_path: Path):
    """The default listeners do without it, in one clear line."""
    with Running(tmp_path, "--data", "data", way=way, before=_no_ipv6()) as daemon:
        assert daemon.port() == 5222
        warnings = [line.split(": ", 1)[1] for line in daemon.errors if " warn " in line]
        assert warnings == ["this machine has no IPv6 loopback address ::1; going on with IPv4 alone"]
        assert len([line for line in daemon.errors if "listening on" in line]) == 1
        assert daemon.end() == 0


def test_no_ipv6_but_asked_for(way: Sequence[str], tmp_path: Path):
    options = ("--listen", LOCAL, "--listen", r"tcp:5222:interface=\:\:1", "--data", "data")
    with Running(tmp_path, *options, way=way, before=_no_ipv6()) as daemon:
        assert daemon.status() == 1
        (line,) = daemon.errors
        assert line.startswith("e2eproxy: cannot listen on [::1]:5222: ")
        assert line.endswith("; this machine has no such address")


# --- limits ------------------------------------------------------------------------------------------------------


def test_clients_are_lowered_to_what_fits(way: Sequence[str], tmp_path: Path):
    before = [
        "prlimit",
        "--nofile=100:264",
        "--core=unlimited:unlimited" if _core_unlimited() else "--core=0:0",
    ]
    with Running(tmp_path, "--listen", LOCAL, "--data", "data", way=way, before=before) as daemon:
        daemon.port()
        (told,) = daemon.wait_for(
            r"max_clients lowered from (1000 to 100: the process may open 264 descriptors)"
        )
        assert told
        limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
        assert re.search(r"Max open files +264 +264 ", limits)
        assert re.search(r"Max core file size +0 +0 ", limits)
        assert int(Path(f"/proc/{daemon.process.pid}/coredump_filter").read_text(), 16) == 0


def _core_unlimited() -> bool:
    return resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY


# --- SIGHUP ------------------------------------------------------------------------------------------------------


def test_reload(way: Sequence[str], tmp_path: Path):
    file = tmp_path / "c.toml"
    old, new = tmp_path / "old", tmp_path / "new"
    file.write_text(f"listen = ['{LOCAL}', 'unix:{old}']\n")
    with Running(tmp_path, "--config", "c.toml", "--data", "data", way=way) as daemon:
        port = daemon.port()
        client = _knock(f"unix:{old}")
        file.write_text(
            f"listen = ['{LOCAL}', 'unix:{new}']\nlog_format = 'json'\nlog_level = 'warn'\ndata = 'x'\n"
        )
        daemon.tell(signal.SIGHUP)
        wait_until(new.exists, "the new listener", timeout=SECONDS, instead=lambda: daemon.text)
        wait_until(
            lambda: not old.exists(), "the old one's end", timeout=SECONDS, instead=lambda: daemon.text
        )
        _knock(f"unix:{new}").close()
        _knock(f"127.0.0.1:{port}").close()  # kept open, with the port it had
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)  # the client that came by the old listener is still there
        client.close()
        file.write_text(f"listen = ['{LOCAL}']\nlog_format = 'json'\n")
        daemon.tell(signal.SIGHUP)
        daemon.wait_for(r'"event": "(settings read again)"')
        records = [json.loads(line) for line in daemon.errors if line.startswith("{")]
        assert records[-1]["level"] == "info"
        assert daemon.end() == 0
    assert not (tmp_path / "x").exists()


def test_reload_of_bad_settings_keeps_the_old_ones(way: Sequence[str], tmp_path: Path):
    file = tmp_path / "c.toml"
    file.write_text(f"listen = ['{LOCAL}']\n")
    with Running(tmp_path, "--config", "c.toml", "--data", "data", way=way) as daemon, taken_port() as taken:
        port = daemon.port()
        file.write_text("log_level = 'error'\nlisten = ['tcp:5222']\nmax_clients = 0\n")
        daemon.tell(signal.SIGHUP)
        kept = daemon.wait_for(r"error +e2eproxy\.service: settings kept as they were: (.*)", count=2)
        assert kept[0].startswith(f"{file}:2: listen: ")
        assert kept[1].startswith(f"{file}:3: max_clients: ")
        # Good in itself, but it cannot be done: the new Unix socket opens and closes again with the rest undone.
        file.write_text(
            f"log_level = 'error'\nlisten = ['unix:{tmp_path}/s', 'tcp:{taken}:interface=127.0.0.1']\n"
        )
        daemon.tell(signal.SIGHUP)
        kept = daemon.wait_for(r"settings kept as they were: (cannot listen .*)")
        assert kept[0].startswith(f"cannot listen on 127.0.0.1:{taken}: Address already in use")
        wait_until(lambda: not (tmp_path / "s").exists(), "the end of the half", timeout=SECONDS)
        _knock(f"127.0.0.1:{port}").close()
        file.unlink()
        daemon.tell(signal.SIGHUP)
        daemon.wait_for(
            r"kept as they were: (\S+/c\.toml: the configuration file cannot be read: No such file)"
        )
        file.write_text(f"listen = ['{LOCAL}']\ndata = 'ignored'\n")
        daemon.tell(signal.SIGHUP)
        daemon.wait_for("info +e2eproxy.service: (settings read again)")  # the log level is still what it was
        assert daemon.end() == 0


class Upstream:
    """Stands where the server would: it takes connections and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(5)
        self._listener.settimeout(SECONDS)
        self.setting = f"upstream = '127.0.0.1:{self._listener.getsockname()[1]}'\nupstream_tls = 'none'\n"

    def accept(self) -> socket.socket:
        connection, _ = self._listener.accept()
        connection.settimeout(SECONDS)
        return connection

    def close(self) -> None:
        self._listener.close()


def _received(connection: socket.socket, wanted: bytes) -> bytes:
    """Read until *wanted* has come, which it must before the end."""
    data = b""
    while wanted not in data:
        more = connection.recv(65536)
        assert more, f"ended with {data!r}"
        data += more
    return data


def test_reload_holds_for_new_clients(tmp_path: Path):
    """A new upstream and a new limit change nothing for the client that is there; on SIGTERM all are told."""
    file = tmp_path / "c.toml"
    first, second = Upstream(), Upstream()
    file.write_text(f"listen = ['{LOCAL}']\n{first.setting}")
    with Running(tmp_path, "--config", "c.toml", "--data", "data") as daemon:
        address = f"127.0.0.1:{daemon.port()}"
        with _knock(address) as early:
            early.sendall(HEADER)
            old_way = first.accept()
            _received(old_way, b"example.test")
            file.write_text(f"listen = ['{LOCAL}']\n{second.setting}max_clients = 2\n")
            daemon.tell(signal.SIGHUP)
            daemon.wait_for("settings read again")
            with _knock(address) as late:
                late.sendall(HEADER)
                new_way = second.accept()
                _received(new_way, b"example.test")
                with _knock(address) as surplus:
                    surplus.sendall(HEADER)
                    _received(surplus, b"<resource-constraint")
                old_way.setblocking(False)
                with pytest.raises(BlockingIOError):
                    old_way.recv(1)
                daemon.tell(signal.SIGTERM)
                _received(early, b"<system-shutdown")
                _received(late, b"<system-shutdown")
            assert daemon.status() == 0
        old_way.close()
        new_way.close()
    first.close()
    second.close()


def test_reload_of_what_only_a_restart_changes(tmp_path: Path):
    file = tmp_path / "c.toml"
    file.write_text(f"listen = ['{LOCAL}', 'unix:{tmp_path}/s']\n")
    with Running(tmp_path, "--config", "c.toml", "--data", "data") as daemon:
        daemon.port()
        file.write_text(f"listen = ['{LOCAL}', 'unix:{tmp_path}/s:mode=666']\n")
        daemon.tell(signal.SIGHUP)
        daemon.wait_for(f"warn +e2eproxy.service: mode and backlog of {tmp_path}/s change only at a restart")
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_data_cannot_change(tmp_path: Path):
    file = tmp_path / "c.toml"
    file.write_text("data = 'one'\n")
    with Running(tmp_path, "--config", "c.toml", "--listen", LOCAL) as daemon:
        daemon.port()
        for count in (1, 2):  # each time, since the wish is still there
            file.write_text("data = 'two'\n")
            daemon.tell(signal.SIGHUP)
            daemon.wait_for(f"data cannot change while the daemon runs: still {tmp_path}/one", count=count)
        assert not (tmp_path / "two").exists()
        lock = os.open(tmp_path / "one/lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)


# --- systemd -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_notifications(way: Sequence[str], tmp_path: Path, abstract: bool):
    manager = ServiceManager(
        f"@e2eproxy-{os.getpid()}-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    )
    more = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    try:
        with Running(tmp_path, "--listen", LOCAL, "--data", "data", way=way, more=more) as daemon:
            ready = manager.receive()
            assert ready["READY"] == "1"
            assert ready["STATUS"] == f"0 clients; listening on 127.0.0.1:{daemon.port()}"
            for _ in range(3):
                assert manager.receive()["WATCHDOG"] == "1"
            daemon.tell(signal.SIGHUP)
            reloading = manager.receive_until("RELOADING")
            assert reloading["RELOADING"] == "1"
            assert int(reloading["MONOTONIC_USEC"]) > 0
            assert manager.receive_until("READY")["READY"] == "1"
            assert daemon.end() == 0
            assert manager.receive_until("STOPPING")["STOPPING"] == "1"
    finally:
        manager.close()


def test_watchdog_meant_for_another_process(tmp_path: Path):
    manager = ServiceManager(str(tmp_path / "notify"))
    more = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    try:
        with Running(tmp_path, "--listen", LOCAL, "--data", "data", more=more) as daemon:
            assert "READY" in manager.receive()
            daemon.tell(signal.SIGHUP)
            assert "RELOADING" in manager.receive()  # with no WATCHDOG in between
            assert "READY" in manager.receive()
            assert daemon.end() == 0
            assert "STOPPING" in manager.receive()
    finally:
        manager.close()


# --- the command -------------------------------------------------------------------------------------------------


def _command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN[:3], *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_help(tmp_path: Path):
    bare, asked = _command(home=tmp_path), _command("--help", home=tmp_path)
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == asked.stdout
    assert "run " in bare.stdout
    assert "--upstream-tls" in _command("run", "--help", home=tmp_path).stdout


def test_version(tmp_path: Path):
    done = _command("--version", home=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"e2eproxy (\d+\.\d+.*|\(run from its source, not installed\))\n", done.stdout)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        (["rnu"], "did you mean run?"),
        (["config", "chek"], "did you mean check?"),
        (["xyzzy"], "commands: clear, config, demo, distrust, end, evaluate, "),
    ],
)
def test_wrong_command(tmp_path: Path, wrong: list[str], meant: str):
    done = _command(*wrong, home=tmp_path)
    assert done.returncode == 2
    assert meant in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_option(tmp_path: Path):
    done = _command("run", "--lissten", "x", home=tmp_path)
    assert done.returncode == 2
    assert "--listen" in done.stderr


def test_config_check(tmp_path: Path):
    (tmp_path / "good.toml").write_text("max_clients = 7\n")
    done = _command("config", "check", "--config", str(tmp_path / "good.toml"), home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok\n")
    assert f"max_clients = 7  # {tmp_path}/good.toml:1: max_clients\n" in done.stdout
    (tmp_path / "bad.toml").write_text("max_clients = 0\nx = 1\n")
    done = _command("config", "check", "--config", str(tmp_path / "bad.toml"), home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2


def test_a_command_loads_only_what_it_needs(tmp_path: Path):
    program = "import sys; from e2eproxy import cli; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, timeout=SECONDS,
        check=True,
    )  # fmt: skip
    assert "twisted" not in done.stdout.split()
    program = "import sys; from e2eproxy import service; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, timeout=SECONDS,
        check=True,
    )  # fmt: skip
    assert "click" not in done.stdout.split()
