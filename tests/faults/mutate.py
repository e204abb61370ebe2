"""Change the code that decides in one place at a time, and see whether a test notices: mutants of policy and door.

    python tests/faults/mutate.py [--sample N --seed S] [--jobs J] [MODULE ...]

Each mutant is one change of a module's syntax tree: a comparison, a boolean, a constant, a branch, a returned value, an entry
of a table, a statement left out. It runs in a process of its own, which imports the changed source and runs the fast tests fitting that module, with
a time-out. Printed are the survivors; the exit status is 1 if there are any that ``mutants_equivalent.txt`` does not
list with a reason, or if that file lists what is no survivor.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from pathlib import Path

from mutations import Mutant, mutants

CHECKOUT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
PROXY = "e2eproxy.proxy."
METHODS = "e2eproxy.methods."
PAGE = "tests/unit/test_policy_page.py"
STAND_DOWN = ("tests/unit/test_policy_stand_down.py",)
VALUES = ("tests/unit/test_door_values.py",)
#: Module, and the fast tests that have to notice a change in it.
FITTING: dict[str, tuple[str, ...]] = {
    PROXY + "policy": ("tests/unit/test_policy.py", PAGE),
    PROXY + "kinds": ("tests/unit/test_kinds.py", "tests/unit/test_policy.py", PAGE),
    PROXY + "classify": ("tests/unit/test_kinds.py",),
    PROXY + "payloads": ("tests/unit/test_kinds.py", "tests/unit/test_policy_trim.py"),
    PROXY + "allowed_children": ("tests/unit/test_allowed_children.py",),
    PROXY + "shapes": (
        "tests/unit/test_allowed_children.py",
        "tests/unit/test_policy_trim.py",
        *STAND_DOWN,
        "tests/unit/test_kinds.py",
        PAGE,
    ),
    PROXY + "stand_down": STAND_DOWN,
    PROXY + "otr_text": STAND_DOWN,
    PROXY + "openpgp_packets": STAND_DOWN,
    PROXY + "trim": ("tests/unit/test_policy_trim.py",),
    PROXY + "rules": ("tests/unit/test_policy_rules.py",),
    PROXY + "rulings": ("tests/unit/test_rulings.py",),
    PROXY + "asked": ("tests/unit/test_policy_rules.py",),
    PROXY + "key_rules": ("tests/unit/test_sticky.py",),
    PROXY + "sticky": ("tests/unit/test_sticky.py",),
    PROXY + "waits": ("tests/unit/test_sticky.py",),
    PROXY + "refusals": ("tests/unit/test_policy.py", PAGE),
    PROXY + "lane": ("tests/unit/test_lane.py",),
    METHODS + "door": (*VALUES, "tests/unit/test_registry.py"),
    METHODS + "effects": (*VALUES, "tests/unit/test_door_documentation.py"),
    METHODS + "events": (*VALUES, "tests/unit/test_door_documentation.py"),
    METHODS + "harness": ("tests/unit/test_door_harness.py",),
    METHODS + "registry": ("tests/unit/test_registry.py",),
    METHODS + "traits": ("tests/unit/test_traits.py", *VALUES),
}
SECONDS = 60.0

# -- running -------------------------------------------------------------------------------------------------------


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed source."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, fullname, path, target=None):  # noqa: ARG002 - the interface's
        if fullname != self.module:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin="mutant")

    def create_module(self, spec):  # noqa: ARG002 - the interface's
        return None

    def exec_module(self, module) -> None:
        exec(compile(self.source, self.module, "exec"), module.__dict__)


def run_tests(mutant: Mutant | None, tests: tuple[str, ...]) -> int:
    """Run *tests* here, with *mutant* in the place of its module; return pytest's status."""
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, Changed(mutant.module, mutant.source))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    return int(
        pytest.main(
            [
                "-x",
                "-q",
                "--no-header",
                "--tb=no",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:hypothesispytest",
                "--noconftest",
                *tests,
            ]
        )
    )


def start(mutant: Mutant | None, tests: tuple[str, ...]) -> int:
    """Start a process that runs *tests*; return its id. It ends with 0 if no test noticed anything."""
    child = os.fork()
    if child:
        return child
    status = 3
    try:
        os.nice(5)
        status = run_tests(mutant, tests)
    finally:
        os._exit(min(status, 100))


def run_all(wanted: list[Mutant], jobs: int) -> tuple[list[Mutant], int]:
    """Run all of *wanted*, *jobs* at a time; return the survivors and how many ran out of time (they count as killed)."""
    waiting, running = list(reversed(wanted)), {}
    survivors, late = [], 0
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[start(mutant, FITTING[mutant.module])] = (mutant, time.monotonic() + SECONDS)
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            mutant, _ = running.pop(child)
            if status == 0:
                survivors.append(mutant)
                print(f"survived {mutant.module.rpartition('.')[2]}:{mutant.line} {mutant.key}", flush=True)
            continue
        for child, (mutant, until) in list(running.items()):
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                running[child] = (mutant, float("inf"))
                late += 1
        time.sleep(0.005)
    return survivors, late


def equivalents() -> dict[str, str]:
    """The mutants that are listed as changing nothing, by key, each with its reason."""
    found = {}
    for line in EQUIVALENT.read_text("utf-8").splitlines() if EQUIVALENT.exists() else []:
        if line and not line.startswith("#"):
            key, _, reason = line.partition(" || ")
            if not reason.strip():
                raise SystemExit(f"{EQUIVALENT.name}: no reason in {line!r}")
            found[key] = reason
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="short or full names; all if none")
    parser.add_argument(
        "--sample", type=int, default=1, metavar="N", help="run one mutant of N, chosen at random"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="of the sample; printed, so that it can be repeated"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    return parser.parse_args()


def chosen(given: list[str]) -> list[str]:
    """The full names of the modules *given*."""
    if not given:
        return list(FITTING)
    found = [module for module in FITTING if module in given or module.rpartition(".")[2] in given]
    if len(found) != len(set(given)):
        raise SystemExit(f"there are {', '.join(FITTING)}")
    return found


def source_of(module: str) -> str:
    """The source of the module with this dotted name."""
    return (CHECKOUT / (module.replace(".", "/") + ".py")).read_text("utf-8")


def prepare() -> None:
    """Import here, once, what every mutant's process needs and no mutant changes."""
    import pytest  # noqa: F401 - for the processes to come


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    given = arguments()
    os.chdir(CHECKOUT)
    sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]
    prepare()
    modules = chosen(given.modules)
    wanted = [mutant for module in modules for mutant in mutants(module, source_of(module))]
    if given.sample > 1:
        seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
        print(f"one of {given.sample} with seed {seed}")
        wanted = random.Random(seed).sample(wanted, max(1, len(wanted) // given.sample))
    if given.list:
        for mutant in wanted:
            print(mutant.key)
        return 0
    for module in modules:
        _, status = os.waitpid(start(None, FITTING[module]), 0)
        if status:
            raise SystemExit(f"the tests of {module} fail without any change")
    began = time.monotonic()
    survivors, late = run_all(wanted, given.jobs)
    known = equivalents()
    surviving = {mutant.key for mutant in survivors}
    unknown = [mutant for mutant in survivors if mutant.key not in known]
    stale = sorted(mutant.key for mutant in wanted if mutant.key in known and mutant.key not in surviving)
    gone = (
        sorted(known.keys() - {mutant.key for mutant in wanted})
        if given.sample == 1 and not given.modules
        else []
    )
    for key in (*stale, *gone):
        print(f"listed as equivalent, but {'killed' if key in stale else 'there is no such mutant'}: {key}")
    print(
        f"{len(wanted)} mutants of {len(modules)} modules: {len(wanted) - len(survivors)} killed ({late} by time-out), "
        f"{len(survivors) - len(unknown)} equivalent, {len(unknown)} survived; {time.monotonic() - began:.0f} s"
    )
    return 1 if unknown or stale or gone else 0


if __name__ == "__main__":
    sys.exit(main())
