"""The systemd units are sound and tight, and the daemon does its work under their restrictions.

Where systemd runs nothing (containers, this project's CI), the restrictions are set by sandbox.py, which is tested
here as well: what the unit forbids really fails in it, and does not fail outside.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pytest
import sandbox
from bed.certificates import Certificates, make_certificates
from bed.child import Child
from bed.daemon import LISTENING
from bed.polling import BedError, wait_until
from bed.raw_client import RawClient
from bed.route import Route
from bed.servers import Prosody

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
MOST_EXPOSURE = 1.5
INSTALLED = {
    "e2eproxy.service": "/opt/e2eproxy/bin/e2eproxy",
    "e2eproxy-user.service": "%h/.local/bin/e2eproxy",
    "e2eproxy.service.d/socket.conf": "/opt/e2eproxy/bin/e2eproxy",
}

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)
needs_prosody = pytest.mark.skipif(shutil.which("prosody") is None, reason="prosody is not installed")


def libseccomp_is_there() -> bool:
    try:
        import pyseccomp  # noqa: F401  # only whether it finds its library
    except (ImportError, RuntimeError):
        return False
    return True


needs_seccomp = pytest.mark.skipif(
    not libseccomp_is_there(), reason="pyseccomp or libseccomp is not installed"
)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as an administrator would have them, with a program that exists here in place of the daemon."""
    for source in SYSTEMD.rglob("*"):
        if source.is_file():
            copy = tmp_path / source.relative_to(SYSTEMD)
            copy.parent.mkdir(exist_ok=True)
            text = source.read_text("utf-8")
            placeholder = INSTALLED.get(str(source.relative_to(SYSTEMD)))
            if placeholder:
                assert placeholder in text
                text = text.replace(placeholder, sys.executable)
            copy.write_text(text, "utf-8")
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"XDG_RUNTIME_DIR": "/run", **os.environ, "LC_ALL": "C.UTF-8"},
    )


def service_section() -> dict[str, list[str]]:
    return sandbox.read_unit((SYSTEMD / "e2eproxy.service").read_text("utf-8"), "Service")


@needs_systemd_analyze
@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("--system", ["e2eproxy.service", "e2eproxy.socket"]),
        ("--user", ["e2eproxy-user.service"]),
    ],
)
@pytest.mark.parametrize("activated", [False, True], ids=["own-ports", "socket-activated"])
def test_units_are_valid(units: Path, scope: str, names: list[str], activated: bool) -> None:
    if not activated:
        shutil.rmtree(units / "e2eproxy.service.d")
    done = analyze("verify", "--man=no", scope, *(str(units / name) for name in names))
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "e2eproxy" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@needs_systemd_analyze
def test_verification_finds_a_planted_fault(units: Path) -> None:
    unit = units / "e2eproxy.service"
    unit.write_text(unit.read_text("utf-8").replace("ProtectSystem=strict", "ProtectSystem=strickt"), "utf-8")
    done = analyze("verify", "--man=no", "--system", str(unit))
    assert "strickt" in done.stderr


@needs_systemd_analyze
def test_system_unit_is_tight(units: Path) -> None:
    done = analyze("security", "--offline=yes", str(units / "e2eproxy.service"))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+) ", done.stdout)
    assert found, done.stdout + done.stderr
    print(f"exposure of the system unit: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE


@pytest.mark.parametrize("name", ["e2eproxy.service", "e2eproxy-user.service"])
def test_services_notify_are_watched_and_have_descriptors(name: str) -> None:
    service = sandbox.read_unit((SYSTEMD / name).read_text("utf-8"), "Service")
    assert service["Type"] == ["notify"]
    assert service["NotifyAccess"] == ["main"]
    assert service["WatchdogSec"] == ["30s"]
    assert int(service["LimitNOFILE"][0]) >= 4096
    assert service["LimitCORE"] == ["0"]
    assert service["NoNewPrivileges"] == ["yes"]


def test_activated_service_names_the_sockets_in_their_order() -> None:
    listeners = sandbox.read_unit((SYSTEMD / "e2eproxy.socket").read_text("utf-8"), "Socket")["ListenStream"]
    assert listeners == ["127.0.0.1:5222", "[::1]:5222"]
    drop_in = sandbox.read_unit((SYSTEMD / "e2eproxy.service.d/socket.conf").read_text("utf-8"), "Service")
    words = shlex.split(drop_in["ExecStart"][0])
    given = [following for word, following in itertools.pairwise(words) if word == "--listen"]
    assert given == ["systemd:domain=INET:index=0", "systemd:domain=INET6:index=1"]


def test_unknown_directive_is_not_passed_over() -> None:
    with pytest.raises(sandbox.UnknownDirectiveError, match="ProtectEverything"):
        sandbox.restrictions(
            {**service_section(), "ProtectEverything": ["yes"]}, [], Path(), write_execute=True
        )


# Each tries one thing, and prints how it ended: "done" or the name of the error.
ATTEMPTS = r"""
import ctypes, errno, json, mmap, os, socket, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
scratch = tempfile.mkdtemp(dir=sys.argv[1])
file = os.path.join(scratch, "file")
open(file, "w").close()

def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def syscall(number, *arguments):
    call("syscall", ctypes.c_long(number), *map(ctypes.c_long, arguments))

def new_file():
    descriptor = os.open(file + "2", os.O_CREAT | os.O_WRONLY, 0o666)
    if os.fstat(descriptor).st_mode & 0o077:
        return "readable by others"

attempts = {
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "inet socket": lambda: socket.socket(socket.AF_INET).close(),
    "inet6 socket": lambda: socket.socket(socket.AF_INET6).close(),
    "unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "set-uid file": lambda: os.chmod(file, 0o4755),
    "personality": lambda: call("personality", 0x0040000),
    "writable and executable memory": lambda: mmap.mmap(-1, 4096, prot=7).close(),
    "name space": lambda: call("unshare", 0x10000000),
    "mount": lambda: call("mount", b"none", scratch.encode(), b"tmpfs", 0, None),
    "change of root": lambda: os.chroot(scratch),
    "change of user": lambda: os.setresuid(12345, 12345, 12345),
    "change of owner": lambda: os.chown(file, os.getuid(), os.getgid()),
    "lock in memory": lambda: call("mlock", ctypes.create_string_buffer(4096), 4096),
    "io_uring": lambda: syscall(425, 0, 0),
    "ptrace": lambda: call("ptrace", 0, 0, 0, 0),
    "real-time scheduling": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "niceness": lambda: os.setpriority(os.PRIO_PROCESS, 0, 5),
    "umask": new_file,
}
ended = {}
for name in sys.argv[2:] or attempts:
    try:
        ended[name] = attempts[name]() or "done"
    except OSError as error:
        ended[name] = errno.errorcode[error.errno]
print(json.dumps(ended))
"""
PERMITTED = {"inet socket", "inet6 socket", "unix socket", "umask"}
OTHER_ERRORS = {"netlink socket": "EAFNOSUPPORT", "packet socket": "EAFNOSUPPORT"}
# What anybody may do outside: if one of these failed there as well, its failure inside would prove nothing. The others
# are not tried outside, where root's test run would really mount and change root.
FREE_OUTSIDE = [
    "netlink socket",
    "set-uid file",
    "personality",
    "writable and executable memory",
    "change of owner",
    "umask",
]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that the service's user can reach and write to (pytest's own are for the user who runs it)."""
    with tempfile.TemporaryDirectory(prefix="e2eproxy-test-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


def owned_folder(place: Path) -> Path:
    """A private folder below `place` of the user that the service runs as."""
    place.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(place, sandbox.DYNAMIC_UID, sandbox.DYNAMIC_UID)
    return place


def restrictions(scratch: Path, *, write_execute: bool) -> sandbox.Restrictions:
    import e2eproxy

    package = Path(e2eproxy.__file__).parent.parent
    reachable = [Path(sys.prefix), Path(sys.base_prefix), package, Path(__file__).parent]
    stage = scratch / "stage"
    stage.mkdir(exist_ok=True)
    return sandbox.restrictions(service_section(), reachable, stage, write_execute=write_execute)


@needs_systemd_analyze
@needs_seccomp
def test_what_the_unit_forbids_fails_in_the_sandbox(scratch: Path) -> None:
    folder = owned_folder(scratch / "data")
    attempt = [sys.executable, "-c", ATTEMPTS, str(folder)]
    inside = subprocess.run(
        sandbox.command(restrictions(scratch, write_execute=False), attempt),
        check=False, capture_output=True, text=True, timeout=60, cwd="/",
    )  # fmt: skip
    assert inside.returncode == 0, inside.stderr
    ended = json.loads(inside.stdout)
    expected = {name: "done" if name in PERMITTED else OTHER_ERRORS.get(name, "EPERM") for name in ended}
    assert ended == expected
    outside = subprocess.run(
        [*attempt, *FREE_OUTSIDE], check=True, capture_output=True, text=True, timeout=60, umask=0o022
    )
    assert json.loads(outside.stdout) == {
        **dict.fromkeys(FREE_OUTSIDE, "done"),
        "umask": "readable by others",
    }


@pytest.fixture
def certificates(scratch: Path) -> Certificates:
    """An authority that the service's user can read."""
    return make_certificates(scratch / "certificates")


class Confined:
    """The unit's own command under the unit's restrictions, with a port of the kernel's and `server` as upstream."""

    def __init__(
        self, scratch: Path, server: Prosody, tls: Literal["starttls", "direct"], *, write_execute: bool
    ) -> None:
        """Start it; BedError if it does not come to listen."""
        folder = owned_folder(scratch / f"state-{write_execute}")
        words = shlex.split(service_section()["ExecStart"][0])
        assert words[0] == INSTALLED["e2eproxy.service"]
        upstream = server.tls_port if tls == "direct" else server.port
        options = [
            "--listen",
            "tcp:0:interface=127.0.0.1",
            "--upstream",
            f"127.0.0.1:{upstream}",
            "--upstream-tls",
            tls,
        ]
        options += ["--upstream-ca", str(server.certificates.ca_file)]
        line = [sys.executable, "-P", "-m", "e2eproxy", *words[1:], *options]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        self.server, self.tls = server, tls
        self.child = child = Child(
            sandbox.command(restrictions(scratch, write_execute=write_execute), line),
            log=folder.with_suffix(".log"),
            cwd=Path("/"),
            environment={
                **kept,
                "STATE_DIRECTORY": str(folder),
                "XDG_CONFIG_HOME": "/etc",
                "LANG": "C.UTF-8",
            },
        )

        def look() -> re.Match[str] | None:
            child.require_running()
            return LISTENING.search(child.text())

        try:
            self.port = int(wait_until(look, "the daemon to listen", timeout=30, instead=child.tail).group(2))
            self.require_confinement()
        except BaseException:
            child.kill()
            raise

    def require_confinement(self) -> None:
        """The kernel says that the restrictions hold for the very process that listens."""
        status = Path(f"/proc/{self.child.pid}/status").read_text("ascii")
        for expected in (r"^Seccomp:\s+2$", r"^NoNewPrivs:\s+1$", r"^CapEff:\s+0+$", r"^CapPrm:\s+0+$"):
            assert re.search(expected, status, re.MULTILINE), status
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE) or os.geteuid() != 0

    def route(self) -> Route:
        return Route(server=self.server, tls=self.tls, port=self.port, client_tls="none", daemon=None)

    def log_in_and_chat(self) -> None:
        """Log in through the daemon and send a message to ourselves."""
        account = self.server.account("romeo")
        with RawClient(self.route(), timeout=20) as client:
            client.login(account)
            client.available()
            client.message(client.jid, "from inside the sandbox")
            client.read_message("from inside the sandbox")
        self.server.require_login(account, secure=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.child.terminate()


def states_write_execute() -> bool:
    return service_section().get("MemoryDenyWriteExecute", ["no"]) != ["yes"]


@needs_systemd_analyze
@needs_seccomp
@needs_prosody
@pytest.mark.parametrize("tls", ["starttls", "direct"])
def test_tls_login_under_the_units_restrictions(
    scratch: Path, certificates: Certificates, tls: Literal["starttls", "direct"]
) -> None:
    with (
        Prosody(certificates, profile="strict") as server,
        Confined(scratch, server, tls, write_execute=states_write_execute()) as daemon,
    ):
        daemon.log_in_and_chat()
        assert "Traceback" not in daemon.child.text()


@needs_systemd_analyze
@needs_seccomp
@needs_prosody
def test_wrong_certificate_is_refused_under_the_units_restrictions(
    scratch: Path, certificates: Certificates
) -> None:
    with (
        Prosody(certificates, profile="strict", certificate="rogue") as server,
        Confined(scratch, server, "starttls", write_execute=states_write_execute()) as daemon,
        RawClient(daemon.route(), timeout=20) as client,
        pytest.raises(BedError, match="stream error"),
    ):
        client.open()
    assert "Traceback" not in daemon.child.text()


# Makes a store with each kind of value in it, opens it again, and prints what is left over.
KEEPS = """
import os, sys
from pathlib import Path
from e2eproxy.config import load
from e2eproxy.store_setup import open_store
from e2eproxy.trust.archive import collect, seal
from e2eproxy.trust.values import IdentityKey, MethodRecord
data, account = Path(os.environ["STATE_DIRECTORY"]), "romeo@example.test"
settings = load({}, os.environ)
for turn in range(2):
    with open_store(settings, settings.data, os.environ) as store:
        with store.transaction() as work:
            new = work.open_account(account, 1.0)
            work.records.put(MethodRecord(account=account, method="m", key=str(turn), data=bytes(2**20)))
        with store.reading() as work:
            found = len(work.records.all(account))
            seal(collect(work, account), "passphrase", os.urandom)
print(new, found, settings.data == data, *sorted(path.name for path in data.iterdir()))
"""


@needs_systemd_analyze
@needs_seccomp
@pytest.mark.parametrize("key", ["file", "credential:store"])
def test_a_store_is_kept_under_the_units_restrictions(scratch: Path, key: str) -> None:
    """SQLite, the database library and the ciphers do without what the unit takes away."""
    folder = owned_folder(scratch / "data")
    credentials = owned_folder(scratch / "credentials")
    (credentials / "store").write_bytes(bytes(range(32)))
    if os.geteuid() == 0:
        os.chown(credentials / "store", sandbox.DYNAMIC_UID, sandbox.DYNAMIC_UID)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    program = KEEPS.replace("load({}", f"load({{'key': {key!r}}}")
    done = subprocess.run(
        sandbox.command(
            restrictions(scratch, write_execute=states_write_execute()), [sys.executable, "-c", program]
        ),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        env={
            **kept,
            "STATE_DIRECTORY": str(folder),
            "CREDENTIALS_DIRECTORY": str(credentials),
            "LANG": "C.UTF-8",
        },
    )
    assert done.returncode == 0, done.stderr
    names = "store.key store.sqlite" if key == "file" else "store.sqlite"
    assert done.stdout == f"False 2 True {names}\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@needs_systemd_analyze
@needs_seccomp
@needs_prosody
def test_write_execute_is_denied_exactly_if_the_daemon_can_live_with_it(
    scratch: Path, certificates: Certificates
) -> None:
    trouble = ""
    with Prosody(certificates, profile="strict") as server:
        with Confined(scratch, server, "starttls", write_execute=True) as daemon:
            daemon.log_in_and_chat()
        try:
            with Confined(scratch, server, "starttls", write_execute=False) as daemon:
                daemon.log_in_and_chat()
        except BedError as error:
            trouble = str(error)
    can = trouble == ""
    assert can != states_write_execute(), (
        trouble or "the unit can have MemoryDenyWriteExecute=yes now: the login works"
    )
