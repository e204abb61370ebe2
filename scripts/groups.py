"""The test groups as data, how one is run, and the table at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from environment import CHECKOUT, Environment, say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RESULTS = CHECKOUT / "results" / "tests"
ALLOWED_SECONDS = 20 * 60
# Each process begins with a half of the tests, in their order, and takes over from the other one when it is done.
SIDE_BY_SIDE = ("--numprocesses=2", "--dist=worksteal")
PYTHON_CODE = ("e2eproxy", "twisted", "tests", "scripts")


@dataclass(frozen=True)
class Group:
    """A test group: `commands` are run one after another, `seconds` is the most that each may take.

    A command is a list of arguments; its first one is a program of the environment. A pytest command counts its tests,
    any other command counts as one test. Only a group without tests that are marked `alone` has one pytest command.
    """

    name: str
    seconds: int
    commands: tuple[tuple[str, ...], ...]
    on_newest: tuple[tuple[str, ...], ...] = ()  # what is run on the newest Python as well


def pytest_group(name: str, seconds: int, *, newest: bool = False, alone: bool = False) -> Group:
    """The group of the tests in tests/`name`; `alone`: some are marked so, and are run when the others are done.

    `newest`: they are run on the newest Python as well, but for those that are marked `once`.
    """
    folder = f"tests/{name}"
    again = (("pytest", folder, "-m", "not once", *SIDE_BY_SIDE),) if newest else ()
    if not alone:
        return Group(name, seconds, (("pytest", folder, *SIDE_BY_SIDE),), again)
    together = ("pytest", folder, "-m", "not alone", *SIDE_BY_SIDE)
    return Group(name, seconds, (together, ("pytest", folder, "-m", "alone")), again)


GROUPS = (
    Group(
        "lint",
        180,
        (
            ("ruff", "check", "--output-format=concise", *PYTHON_CODE),
            ("ruff", "format", "--check", *PYTHON_CODE),
            ("mypy",),
        ),
    ),
    pytest_group("unit", 900, newest=True),
    pytest_group("property", 600, newest=True),
    pytest_group("inprocess", 600, newest=True),
    pytest_group("faults", 900),
    pytest_group("interop", 1500, alone=True),
)
LONG_FACTOR = 10


def again(group: Group) -> Group:
    """What is run of `group` on the newest Python."""
    return replace(group, commands=group.on_newest)


# pytest with a Hypothesis profile of many more examples, for --long; tests that set a number themselves keep it.
LONG_EXAMPLES = 3000
LONG_PYTEST = f"""
import sys, pytest
class Long:
    @pytest.hookimpl(trylast=True)
    def pytest_configure(self):
        import hypothesis
        hypothesis.settings.register_profile("long", max_examples={LONG_EXAMPLES}, deadline=None)
        hypothesis.settings.load_profile("long")
sys.exit(pytest.main(sys.argv[1:], plugins=[Long()]))
"""


@dataclass
class Result:
    """What came of a group on one Python: seconds it took, and how many tests ended how."""

    group: str
    python: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, command: str, status: int | None, report: Path | None) -> None:
        """Add the outcome of one command: its exit status (None: out of time) and, for pytest, its JUnit report."""
        failed = 0
        if report is not None and report.exists():
            for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314  # written by our pytest
                number = {
                    name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
                }
                failed += number["failures"] + number["errors"]
                self.skipped += number["skipped"]
                self.passed += number["tests"] - number["failures"] - number["errors"] - number["skipped"]
        elif report is None and status == 0:
            self.passed += 1
        if status is None:
            self.notes.append(f"{command} ran out of time and was ended")
        elif status != 0 and not failed:
            self.notes.append(f"{command} ended with status {status}")
        # A run that failed without a failed test (nothing collected, a crash) is a failure all the same.
        self.failed += failed or int(status != 0)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started in its process group, politely for 5 seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def execute(command: list[str], seconds: float, variables: dict[str, str]) -> int | None:
    """Run `command` in the checkout for at most `seconds`; its exit status, None when it ran out of time."""
    with subprocess.Popen(command, cwd=CHECKOUT, env=variables, start_new_session=True) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            end_group(process)
            return None
        except BaseException:
            end_group(process)
            raise


def variables_for(made: Environment) -> dict[str, str]:
    """Environment variables of the tests: the environment's programs first on the PATH, nobody's PYTHONPATH."""
    variables = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}
    }
    variables.update(made.variables)
    variables["PATH"] = f"{made.programs}{os.pathsep}{variables.get('PATH', os.defpath)}"
    return variables


def run_group(group: Group, made: Environment, python: str, *, long: bool) -> Result:
    """Run all commands of `group` with the programs of `made`; goes on after a failure."""
    result = Result(group.name, python)
    RESULTS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for number, command in enumerate(group.commands, 1):
        name = f"{group.name}-{python}" + (f"-{number}" if number > 1 else "")
        report = RESULTS / f"{name}.xml" if command[0] == "pytest" else None
        # As modules, and without the current directory on the path: what is tested is what was installed.
        line = [str(made.python), "-P", "-m", *command]
        if long and report is not None:
            line = [*line[:2], "-c", LONG_PYTEST, *(word for word in command[1:] if word not in SIDE_BY_SIDE)]
        if report is not None:
            report.unlink(missing_ok=True)
            line.append(f"--junitxml={report}")
        say(f"{group.name}, Python {python}: {' '.join(command)}")
        status = execute(line, group.seconds * (LONG_FACTOR if long else 1), variables_for(made))
        result.count(" ".join(command), status, report)
    result.seconds = time.monotonic() - started
    return result


def print_table(results: Iterable[Result], seconds: float) -> bool:
    """Print the time table, the notes and the sums; `seconds` is how long all of it took. True when nothing failed."""
    rows = list(results)
    sys.stderr.flush()
    print()
    print(f"{'group':<12}{'Python':<9}{'seconds':>9}{'passed':>9}{'failed':>9}{'skipped':>9}")
    for row in rows:
        print(
            f"{row.group:<12}{row.python:<9}{row.seconds:>9.1f}{row.passed:>9}{row.failed:>9}{row.skipped:>9}"
        )
    passed, failed, skipped = (
        sum(getattr(row, name) for row in rows) for name in ("passed", "failed", "skipped")
    )
    print(f"{'all':<12}{'':<9}{seconds:>9.1f}{passed:>9}{failed:>9}{skipped:>9}")
    kept = "within" if seconds <= ALLOWED_SECONDS else "OVER"
    print(f"{seconds / 60:.1f} minutes with setting up, {kept} the {ALLOWED_SECONDS // 60} minutes allowed")
    for row in rows:
        for note in row.notes:
            print(f"{row.group}, Python {row.python}: {note}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return failed == 0
