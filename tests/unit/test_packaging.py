"""What is shipped is complete and is what the documents say; and the two commands of the README do their part.

Whatever needs an installed e2eproxy looks at the interpreter that runs the tests: the test command installs there.
"""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from bed.polling import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = CHECKOUT / "scripts"
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

import debian  # noqa: E402  # needs the path set above
import environment  # noqa: E402  # same
import groups  # noqa: E402  # same
import interpreters  # noqa: E402  # same


def metadata() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(CHECKOUT / "setup.cfg", "utf-8")
    return parser


def fenced_commands(heading: str) -> list[list[str]]:
    """The fenced blocks of the README's section `heading`, each as its lines."""
    text = (CHECKOUT / "README.md").read_text("utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [block.strip().splitlines() for block in re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)]


# The installed package.


@pytest.fixture(scope="module")
def installed() -> importlib.metadata.Distribution:
    """The e2eproxy that is installed, not editable, where these tests run."""
    for place in importlib.metadata.distributions(name="e2eproxy"):
        direct = json.loads(place.read_text("direct_url.json") or "{}")
        if place.files and place.read_text("RECORD") and not direct.get("dir_info", {}).get("editable"):
            return place
    pytest.skip(f"e2eproxy is not installed for {sys.executable}: python3 scripts/test.py does that")


def program(installed: importlib.metadata.Distribution, name: str) -> str:
    """The path of an installed command; a folder without virtual environment has its own bin/."""
    beside = Path(str(installed.locate_file("bin"))) / name
    return str(beside if beside.exists() else Path(sys.executable).parent / name)


def run_elsewhere(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=folder)


def test_twistd_sees_the_plugin(installed: importlib.metadata.Distribution, tmp_path: Path) -> None:
    done = run_elsewhere([program(installed, "twistd"), "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\s+e2eproxy\s+\S", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert re.search(r"^\s+web\s+\S", done.stdout, re.MULTILINE), "Twisted's own plug-ins have to stay"


def test_plugin_takes_the_options_of_run(installed: importlib.metadata.Distribution, tmp_path: Path) -> None:
    done = run_elsewhere([program(installed, "twistd"), "e2eproxy", "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--upstream-tls" in done.stdout


def test_list_of_plugins_was_made_at_installation(installed: importlib.metadata.Distribution) -> None:
    cache = Path(str(installed.locate_file("twisted/plugins/dropin.cache")))
    assert b"e2eproxy_plugin" in cache.read_bytes()


def test_command_tells_its_version(installed: importlib.metadata.Distribution, tmp_path: Path) -> None:
    done = run_elsewhere([program(installed, "e2eproxy"), "--version"], tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["e2eproxy", metadata()["metadata"]["version"]])
    assert installed.version == metadata()["metadata"]["version"]


def test_wheel_holds_the_package_and_nothing_else(installed: importlib.metadata.Distribution) -> None:
    names = {str(file) for file in installed.files or [] if file.suffix != ".pyc"}
    shipped = {name for name in names if not name.startswith(("e2eproxy-", "../", "bin/"))}
    sources = {
        str(file.relative_to(CHECKOUT))
        for folder in ("e2eproxy", "twisted")
        for file in (CHECKOUT / folder).rglob("*")
        if file.is_file() and file.suffix in {".py", ".typed"}
    }
    assert shipped == sources
    assert {"e2eproxy/py.typed", "twisted/plugins/e2eproxy_plugin.py"} <= shipped
    # Twisted's own; a second one would overwrite it, and be taken away with us.
    assert not {"twisted/__init__.py", "twisted/plugins/__init__.py"} & shipped


# The documents.


@pytest.mark.parametrize(
    ("heading", "script"),
    [("Run it", "python3 scripts/run.py"), ("Test it", "python3 scripts/test.py --yes")],
)
def test_readme_has_one_command_of_one_line(heading: str, script: str) -> None:
    assert fenced_commands(heading) == [[script]]
    assert (CHECKOUT / script.split()[1]).is_file()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    lines = (CHECKOUT / ".ci/run").read_text("utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[-1] == f"exec {fenced_commands('Test it')[0][0]}"
    assert os.access(CHECKOUT / ".ci/run", os.X_OK)


def test_links_of_the_documents_lead_somewhere() -> None:
    broken = [
        f"{document.name}: {target}"
        for document in [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


def test_every_dependency_has_its_reason() -> None:
    text = (CHECKOUT / "docs/dependencies.md").read_text("utf-8")
    named = {name.lower() for name in re.findall(r"^\| `([\w.-]+)", text, re.MULTILINE)}
    setup = metadata()
    lines = setup["options"]["install_requires"].split("\n")
    lines += [line for extra in setup["options.extras_require"].values() for line in extra.split("\n")]
    wanted = {
        re.split(r"[\[<>=;~! ]", line, maxsplit=1)[0].lower() for line in lines if line and line[0] != "#"
    }
    assert {"twisted", "cryptography"} <= wanted
    assert wanted - named == set()
    assert {"wokkel", "python-potr"} <= named


def test_every_import_is_declared() -> None:
    packages = {"OpenSSL": "pyopenssl", "service_identity": "service-identity", "zope": "zope.interface"}
    lines = metadata()["options"]["install_requires"].split("\n")
    declared = {
        re.split(r"[\[<>=;~! ]", line, maxsplit=1)[0].lower() for line in lines if line and line[0] != "#"
    }
    imported = set()
    for file in [*(CHECKOUT / "e2eproxy").rglob("*.py"), *(CHECKOUT / "twisted").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    # What an extra brings is imported only where it is configured.
    optional = {"keyring"}
    assert optional <= set(metadata()["options.extras_require"])
    foreign = imported - set(sys.stdlib_module_names) - {"e2eproxy"} - optional
    assert {packages.get(name, name) for name in foreign} == declared


def test_changelog_starts_with_what_is_coming_or_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (CHECKOUT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] in {"Unreleased", metadata()["metadata"]["version"]}


def test_metadata_is_in_setup_cfg_alone() -> None:
    assert "project" not in tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))


# Installing packages without starting servers.


def test_service_starts_are_forbidden_for_the_time_of_an_installation(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with debian.no_service_starts(policy):
        assert subprocess.run([str(policy), "prosody", "start"], check=False).returncode == 101
    assert not policy.exists()


def test_policy_goes_after_a_failure(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(RuntimeError, match="dpkg"), debian.no_service_starts(policy):
        raise RuntimeError("dpkg")
    assert not policy.exists()


def test_policy_of_the_owner_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n", "ascii")
    with debian.no_service_starts(policy):
        assert policy.read_text("ascii") == "#!/bin/sh\nexit 104\n"
    assert policy.read_text("ascii") == "#!/bin/sh\nexit 104\n"
    assert "stays as it is" in capsys.readouterr().err


def test_policy_left_by_a_killed_run_goes(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(debian.POLICY_TEXT, "utf-8")
    with debian.no_service_starts(policy):
        assert policy.exists()
    assert not policy.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_policy_goes_when_the_test_command_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    policy = tmp_path / "policy-rc.d"
    code = f"""
        import pathlib, runpy, signal, sys, time
        sys.path.insert(0, {str(SCRIPTS)!r})
        import debian, interpreters
        policy = pathlib.Path({str(policy)!r})
        def install(packages, *, yes):
            with debian.no_service_starts(policy):
                print("installing", flush=True)
                time.sleep(60)
        debian.provide = install
        interpreters.find = list
        sys.argv = ["test.py"]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        runpy.run_path({str(SCRIPTS / "test.py")!r}, run_name="__main__")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "installing\n"
        assert policy.exists()
        process.send_signal(number)
        assert process.wait(20) == 130
    assert not policy.exists()


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """A machine that lacks every package, whose lists know all but one; what apt-get was told."""
    told: list[tuple[str, ...]] = []

    def apt_get(*arguments: str) -> bool:
        told.append(arguments)
        return True

    monkeypatch.setattr(debian, "missing", list)
    monkeypatch.setattr(debian, "available", lambda names: [name for name in names if name != "unheard-of"])
    monkeypatch.setattr(debian, "apt_get", apt_get)
    monkeypatch.setattr(debian, "POLICY", Path("/nonexistent/policy-rc.d"))
    monkeypatch.setattr(debian, "disable_units", lambda _packages: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return told


def no_policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = debian.no_service_starts
    monkeypatch.setattr(debian, "no_service_starts", lambda: real(tmp_path / "policy-rc.d"))


def test_root_installs_what_exists_and_refreshes_the_lists_for_the_rest(
    apt: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    no_policy(monkeypatch, tmp_path)
    debian.provide(["prosody", "unheard-of"], yes=True)
    assert apt == [("update",), ("install", "--no-install-recommends", "prosody")]
    assert "unheard-of" in capsys.readouterr().err


def test_ci_is_a_yes(apt: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_policy(monkeypatch, tmp_path)
    monkeypatch.setenv("CI", "true")
    debian.provide(["prosody"], yes=False)
    assert apt == [("install", "--no-install-recommends", "prosody")]


def test_nothing_is_installed_without_a_yes(
    apt: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    debian.provide(["prosody"], yes=False)
    assert apt == []
    assert "--yes" in capsys.readouterr().err


def test_others_than_root_are_told_what_is_needed(
    apt: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    debian.provide(["prosody", "tmux"], yes=True)
    assert apt == []
    assert "apt-get install --no-install-recommends prosody tmux" in capsys.readouterr().err


# Interpreters and environments.


def fake_interpreter(folder: Path, **answer: object) -> str:
    """A program that answers the probe like an interpreter with these properties."""
    path = folder / "python3"
    full = {"version": [3, 12, 1], "final": True, "cpython": True, "venv": True, "path": str(path), **answer}
    path.write_text(f"#!/bin/sh\necho '{json.dumps(full)}'\n", "ascii")
    path.chmod(0o755)
    return str(path)


def test_probe_of_the_running_interpreter() -> None:
    found = interpreters.probe(sys.executable)
    assert found is not None
    assert found.version == sys.version_info[:3]


@pytest.mark.parametrize("answer", [{"final": False}, {"cpython": False}])
def test_probe_wants_a_released_cpython(tmp_path: Path, answer: dict[str, object]) -> None:
    assert interpreters.probe(fake_interpreter(tmp_path, **answer)) is None


def test_probe_survives_what_is_no_interpreter(tmp_path: Path) -> None:
    assert interpreters.probe("/bin/false") is None
    assert interpreters.probe("/bin/echo") is None
    assert interpreters.probe(str(tmp_path)) is None


def test_interpreter_that_can_make_environments_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for name, version, venv in (("a", [3, 12, 9], False), ("b", [3, 12, 1], True), ("c", [3, 10, 1], True)):
        (tmp_path / name).mkdir()
        paths.append(fake_interpreter(tmp_path / name, version=version, venv=venv))
    monkeypatch.setattr(interpreters, "candidates", lambda: paths)
    assert [found.path for found in interpreters.find()] == [paths[1]]


@pytest.mark.parametrize("script", ["run.py", "test.py"])
def test_old_interpreter_says_what_is_missing(script: str, tmp_path: Path) -> None:
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(SCRIPTS)!r}); import interpreters; "
        "interpreters.find = list; interpreters.sys = type('Old', (), dict(version_info=(3, 9, 2), exit=sys.exit)); "
        f"sys.argv = ['x']; runpy.run_path({str(SCRIPTS / script)!r}, run_name='__main__')"
    )
    done = run_elsewhere([sys.executable, "-c", code], tmp_path)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "3.9.2" in done.stderr
    assert "Traceback" not in done.stderr


def test_digest_follows_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package/one.py").write_text("1", "ascii")
    seen = {environment.digest(("package",))}
    (tmp_path / "package/one.py").write_text("2", "ascii")
    seen.add(environment.digest(("package",)))
    (tmp_path / "package/one.py").rename(tmp_path / "package/two.py")
    seen.add(environment.digest(("package",)))
    assert len(seen) == 3
    (tmp_path / "package/two.pyc").write_text("compiled", "ascii")
    assert environment.digest(("package",)) in seen


def test_no_venv_and_no_pip_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(environment, "pip_elsewhere", lambda _interpreter: None)
    bare = interpreters.Interpreter("/usr/bin/python3", (3, 11, 2), venv=False)
    with pytest.raises(environment.InstallationError, match="apt-get install python3-venv"):
        environment.make(tmp_path / "environment", bare)


# Counting.


def report(folder: Path, tests: int, failures: int, errors: int, skipped: int) -> Path:
    path = folder / "report.xml"
    numbers = f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    path.write_text(f"<testsuites><testsuite {numbers}/></testsuites>", "ascii")
    return path


def test_sums_and_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = groups.Result("unit", "3.11")
    good.count("pytest", 0, report(tmp_path, 10, 0, 0, 2))
    good.count("ruff", 0, None)
    assert groups.print_table([good], 60)
    assert capsys.readouterr().out.splitlines()[-1] == "9 passed, 0 failed, 2 skipped"
    bad = groups.Result("faults", "3.11")
    bad.count("pytest", 1, report(tmp_path, 10, 2, 1, 0))
    assert not groups.print_table([good, bad], 60)
    assert capsys.readouterr().out.splitlines()[-1] == "16 passed, 3 failed, 2 skipped"


@pytest.mark.parametrize("status", [None, 1, 2, 5, -11])
def test_run_that_ends_badly_is_a_failure_even_if_no_test_failed(tmp_path: Path, status: int | None) -> None:
    for outcome in (None, report(tmp_path, 3, 0, 0, 0), tmp_path / "was-not-written.xml"):
        result = groups.Result("unit", "3.11")
        result.count("pytest", status, outcome)
        assert result.failed == 1
        assert len(result.notes) == 1


def test_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    code = f"sleep 100 & echo $! > {started}; wait"
    assert groups.execute(["sh", "-c", code], 1, dict(os.environ)) is None
    left = Path("/proc") / started.read_text("ascii").strip() / "stat"

    def gone() -> bool:
        try:
            return left.read_text("ascii").rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(gone, "the end of the program in the background")


def test_groups_are_the_folders_of_tests() -> None:
    folders = {folder.name for folder in (CHECKOUT / "tests").iterdir() if any(folder.glob("test_*.py"))}
    assert folders == {group.name for group in groups.GROUPS} - {"lint"}


def test_what_runs_alone_is_run_and_nothing_twice() -> None:
    """Exactly the groups with such tests have the second command; a second one without any would fail."""
    for group in groups.GROUPS:
        chosen = [command[2:] for command in group.commands if command[0] == "pytest"]
        files = (CHECKOUT / "tests" / group.name).glob("test_*.py")
        marked = re.compile(r"^\s*@pytest\.mark\.alone$", re.MULTILINE)
        if any(marked.search(file.read_text("utf-8")) for file in files):
            assert chosen == [("-m", "not alone", *groups.SIDE_BY_SIDE), ("-m", "alone")]
        else:
            assert chosen in ([groups.SIDE_BY_SIDE], [])


def test_on_the_newest_python_only_what_is_the_same_everywhere_is_left_out() -> None:
    for group in groups.GROUPS:
        folder = f"tests/{group.name}"
        expected = (("pytest", folder, "-m", "not once", *groups.SIDE_BY_SIDE),)
        assert groups.again(group).commands == (
            expected if group.name in {"unit", "property", "inprocess"} else ()
        )


@pytest.mark.parametrize("long", [False, True])
def test_each_command_of_a_group_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    folder = tmp_path / "tests" / "odd"
    folder.mkdir(parents=True)
    (folder / "test_two.py").write_text(
        "import os, pytest\n"
        "def test_beside(): assert bool(os.environ.get('PYTEST_XDIST_WORKER')) is not LONG\n"
        "@pytest.mark.alone\ndef test_alone(): assert 'PYTEST_XDIST_WORKER' not in os.environ\n"
        "@pytest.mark.alone\ndef test_bad(): assert False\n".replace("LONG", str(long)),
        "ascii",
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n", "ascii")
    monkeypatch.setattr(groups, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(groups, "CHECKOUT", tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    made = environment.Environment(Path(sys.executable), Path(sys.executable).parent, {})
    result = groups.run_group(groups.pytest_group("odd", 60, alone=True), made, "3.0", long=long)
    assert (result.passed, result.failed, result.notes) == (2, 1, [])
    assert len(list((tmp_path / "results").glob("*.xml"))) == 2


def test_long_runs_invent_more_examples(tmp_path: Path) -> None:
    text = """
        from hypothesis import given, strategies
        seen = []
        @given(strategies.integers())
        def test_many(number):
            seen.append(number)
        def test_count():
            assert len(seen) > 1000
    """
    (tmp_path / "test_many.py").write_text(textwrap.dedent(text), "ascii")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", "ascii")
    done = run_elsewhere([sys.executable, "-c", groups.LONG_PYTEST, "-p", "no:cacheprovider"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
