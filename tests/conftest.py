"""What all tests share: the test bed on the path, its shared servers, and the interop matrix."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

TESTS = Path(__file__).resolve().parent
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from bed.certificates import Certificates, make_certificates  # noqa: E402 - needs the path set above
from bed.matrix import Matrix, OtrMatrix  # noqa: E402 - same
from bed.programs import NotInstalledError  # noqa: E402 - same
from bed.recording import Recordings  # noqa: E402 - same
from bed.shared import SharedBed  # noqa: E402 - same
from bed.terminal import Tmux  # noqa: E402 - same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bed.route import Route

MATRIX = pytest.StashKey[Matrix]()
OTR_MATRIX = pytest.StashKey[OtrMatrix]()
MATRIX_FILE = TESTS.parent / "docs" / "interop.md"
RECORDINGS = pytest.StashKey[Recordings]()
RECORDINGS_FILE = TESTS.parent / "docs" / "sessions.md"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("interop", "real servers and real clients")
    group.addoption(
        "--through",
        choices=["daemon", "direct"],
        default="daemon",
        help="interop tests: let the clients reach the servers through the daemon (default) or directly",
    )
    group.addoption(
        "--write-interop-matrix",
        action="store_true",
        help=f"write the matrix of what was run to {MATRIX_FILE.relative_to(TESTS.parent)}",
    )
    group.addoption(
        "--write-recordings",
        action="store_true",
        help=f"write what the terminals showed to {RECORDINGS_FILE.relative_to(TESTS.parent)}",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "matrix(client): the outcome is a cell of the interop matrix, in client's row"
    )
    config.addinivalue_line(
        "markers",
        "alone: measures time, or fails if it has to wait for a processor: nothing is run beside it",
    )
    config.addinivalue_line(
        "markers",
        "once: takes long, and what it looks at is the same on every Python: run on the first one only",
    )
    # Tests that are dealt out by chance are dealt the same in all processes, or some would be in none.
    os.environ.setdefault("E2EPROXY_SEED", str(random.SystemRandom().randrange(2**32)))
    config.addinivalue_line("markers", "otr_matrix: the outcome is a cell of the table of OTR")
    config.stash[OTR_MATRIX] = OtrMatrix()
    config.stash[MATRIX] = Matrix(through=config.getoption("--through"))
    config.stash[RECORDINGS] = Recordings()
    config.pluginmanager.register(Collector(config.stash[MATRIX], config.stash[OTR_MATRIX]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed and call.excinfo.errisinstance(NotInstalledError) and "CI" not in os.environ:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1], str(call.excinfo.value))
    marker = item.get_closest_marker("matrix")
    if marker is not None and (report.failed or (report.when == "call" and report.passed)):
        params = item.callspec.params  # every test of the matrix is parametrised
        client = params.get("client") or marker.args[0]
        seconds = report.duration if report.passed else None
        report.cell = [params["server_kind"], params["upstream_tls"], client, seconds]
    of_otr = item.get_closest_marker("otr_matrix")
    if of_otr is not None and (report.failed or (report.when == "call" and report.passed)):
        params = item.callspec.params
        seconds = report.duration if report.passed else None
        report.otr_cell = [params["server_kind"], params["who"], params["start"], seconds]
    return report


class Collector:
    """Collects the cells where the reports of all processes come together."""

    def __init__(self, matrix: Matrix, otr: OtrMatrix) -> None:
        self.matrix = matrix
        self.otr = otr

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if cell := getattr(report, "cell", None):
            self.matrix.record(*cell)
        if cell := getattr(report, "otr_cell", None):
            self.otr.record(*cell)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--write-recordings"):
        terminalreporter.write_line(config.stash[RECORDINGS].write(RECORDINGS_FILE))
    otr = config.stash[OTR_MATRIX]
    if otr and config.getoption("--write-interop-matrix"):
        terminalreporter.write_line(otr.write(MATRIX_FILE))
    matrix = config.stash[MATRIX]
    if not matrix:
        return
    terminalreporter.section(f"interop matrix ({matrix.title})")
    terminalreporter.write_line(matrix.table())
    if config.getoption("--write-interop-matrix"):
        terminalreporter.write_line(matrix.write(MATRIX_FILE))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], None]]:
    """Say something to whoever runs the tests, also if they pass.

    At once; by one process among several when its test ends, in one piece and on standard error, since the output of
    the others would come between the lines, and its own standard output goes nowhere.
    """
    told: list[str] = []

    def say(text: str) -> None:
        if "PYTEST_XDIST_WORKER" in os.environ:
            told.append(text)
            return
        with capsys.disabled():
            print(text, flush=True)

    yield say
    if told:
        with capsys.disabled():
            print("", *told, sep="\n", file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The bed's authority and certificates."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def bed(certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[SharedBed]:
    """Servers and daemons that tests share, started when first asked for."""
    shared = SharedBed(certificates, through=request.config.getoption("--through"))
    yield shared
    shared.stop()


@pytest.fixture(params=["prosody", "ejabberd"])
def server_kind(request: pytest.FixtureRequest) -> str:
    """Each server in turn."""
    return request.param


@pytest.fixture(params=["starttls", "direct", "none"])
def upstream_tls(request: pytest.FixtureRequest) -> str:
    """Each kind of TLS between daemon and server in turn."""
    return request.param


@pytest.fixture
def route(bed: SharedBed, server_kind: str, upstream_tls: str) -> Iterator[Route]:
    """The way to a shared server; afterwards the daemon's log may have no traceback of this test."""
    way = bed.route(server_kind, upstream_tls)
    before = len(way.daemon.log_text()) if way.daemon else 0
    yield way
    if way.daemon:
        way.daemon.require_no_traceback(since=before)


@pytest.fixture
def recordings(request: pytest.FixtureRequest) -> Recordings:
    """What is kept for the page of sessions."""
    return request.config.stash[RECORDINGS]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """A terminal server of this test's own."""
    with Tmux(tmp_path / "terminals") as server:
        yield server
