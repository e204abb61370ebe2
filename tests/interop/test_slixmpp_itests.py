"""slixmpp's own integration tests see no difference between the server and the daemon in front of it.

They run twice, each time against a fresh server of the same kind and settings, at the same time and in the same
order: straight to the server in plain text, and through the daemon, which goes on by STARTTLS. What passes, fails and
is skipped has to be the same tests; some fail either way, because they want something that the server does not have
or TLS in the client, and their reasons are printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from bed.daemon import Daemon
from bed.route import Route, direct, through
from bed.servers import SERVERS, Account, Server

if TYPE_CHECKING:
    from bed.certificates import Certificates

HERE = Path(__file__).resolve().parent
FETCH = HERE.parents[1] / "scripts" / "fetch_slixmpp_itests.py"

FETCH_TIMEOUT = 330  # seconds; with the archive at hand it takes a moment
RUN_TIMEOUT = (
    240  # seconds for one run; some 45 with the installed servers, of which 20 are failing tests' time-outs
)
ENOUGH = (
    25  # tests have to pass, or the comparison would say nothing; of 39 that there are 31 do with Prosody
)

RACES = {
    # Its second client waits for the first one's farewell, but takes the room's word about the first one's new nick
    # for it if that comes after the first client has got its own copy. The two copies travel on two connections:
    # with 0.1 ms more on the way for each few bytes it fails every time, with or without the daemon.
    "itests.test_muc.TestMUC.test_nick_change_leave",
}
"""Tests that pass or fail by which of two connections is faster; one that failed is run again, either way the same."""
RACE_ATTEMPTS = 4


@frozen
class Outcome:
    """How one test ended: `passed`, `failed`, `error` or `skipped`, and the first line of the reason."""

    word: str
    reason: str = ""


@pytest.fixture(scope="session")
def itests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the tests, unpacked from the pinned source archive."""
    folder = tmp_path_factory.mktemp("slixmpp")
    command = [sys.executable, str(FETCH), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def run_itests(itests: Path, route: Route, work: Path) -> dict[str, Outcome]:
    """Run them with two fresh accounts of the route's server; how each ended, in the order they ran in."""
    accounts = route.server.pair_of()
    found = run_once(itests, route, accounts, work, [str(itests)])
    for name in RACES:
        for attempt in range(RACE_ATTEMPTS):
            if found[name].word != "failed":
                break
            module, case, test = name.removeprefix("itests.").split(".")
            again = f"{itests / module}.py::{case}::{test}"
            found |= run_once(itests, route, accounts, work / f"{test}-{attempt}", [again])
    route.require_login(*accounts)
    return found


def run_once(
    itests: Path, route: Route, accounts: tuple[Account, Account], work: Path, chosen: list[str]
) -> dict[str, Outcome]:
    """Run the `chosen` tests in a pytest of their own, which works in the new folder `work`."""
    one, other = accounts
    work.mkdir()
    (work / "pytest.ini").write_text("[pytest]\n", encoding="ascii")
    report = work / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(work / "pytest.ini"),
        "--rootdir",
        str(itests.parent),
    ]
    command += [
        "-p",
        "slixmpp_conftest",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        "-q",
        "--tb=short",
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "1",  # both runs read the one folder
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SLIXMPP_ITESTS_HOST": "127.0.0.1",
        "SLIXMPP_ITESTS_PORT": str(route.port),
        "CI_ACCOUNT1": one.jid,
        "CI_ACCOUNT1_PASSWORD": one.password,
        "CI_ACCOUNT2": other.jid,
        "CI_ACCOUNT2_PASSWORD": other.password,
        "CI_MUC_SERVER": f"conference.{route.domain}",
    }
    with (work / "output.log").open("wb") as output:
        subprocess.run(
            [*command, *chosen],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=RUN_TIMEOUT,
            check=False,  # it fails when any test fails
        )
    assert report.exists(), (work / "output.log").read_text(encoding="utf-8")
    return outcomes(report)


def outcomes(report: Path) -> dict[str, Outcome]:
    """What a JUnit report of pytest says of each test."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        kind, reason = "passed", ""
        for verdict in case:
            if verdict.tag in {"failure", "error", "skipped"}:
                kind = "failed" if verdict.tag == "failure" else verdict.tag
                reason = verdict.get("message", "").partition("\n")[0]
        found[f"{case.get('classname')}.{case.get('name')}"] = Outcome(kind, reason)
    return found


def run_directly(itests: Path, server: Server, work: Path) -> dict[str, Outcome]:
    """Straight to a fresh `server`."""
    with server:
        return run_itests(itests, direct(server, "none"), work)


def run_through_daemon(itests: Path, server: Server, work: Path) -> dict[str, Outcome]:
    """Through a fresh daemon to a fresh `server`."""
    with server, Daemon(server.certificates, server.port, "starttls") as daemon:
        return run_itests(itests, through(daemon, server), work)


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_the_same_tests_pass_and_fail(
    kind: str, itests: Path, certificates: Certificates, tmp_path: Path
) -> None:
    servers = [SERVERS[kind](certificates, profile="plain") for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        runs = [
            threads.submit(run_directly, itests, servers[0], tmp_path / "direct"),
            threads.submit(run_through_daemon, itests, servers[1], tmp_path / "through"),
        ]
        straight, proxied = (run.result() for run in runs)

    words = {name: outcome.word for name, outcome in straight.items()}
    passed = sum(word == "passed" for word in words.values())
    print(f"\nslixmpp's integration tests on {kind}, directly: {passed} of {len(words)} pass")
    for name, outcome in straight.items():
        if outcome.word != "passed":
            print(f"  {outcome.word}: {name}: {textwrap.shorten(outcome.reason, 300)}")

    different = {
        name: (straight.get(name), proxied.get(name))
        for name in {*straight, *proxied}
        if straight.get(name, Outcome("")).word != proxied.get(name, Outcome("")).word
    }
    assert not different, f"different through the daemon (direct, through): {different}"
    assert list(straight) == list(proxied)
    assert passed >= ENOUGH
