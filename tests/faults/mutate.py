"""Change the code that decides in one place at a time, and see whether a test notices: a mutation tool for policy.

    python tests/faults/mutate.py [--sample N --seed S] [--jobs J] [MODULE ...]

Each mutant is one change of a module's syntax tree: a comparison, a boolean, a constant, a branch, a returned value, an entry
of a table. It runs in a process of its own, which imports the changed source and runs the fast tests fitting that module, with
a time-out. Printed are the survivors; the exit status is 1 if there are any that ``mutants_equivalent.txt`` does not
list with a reason, or if that file lists what is no survivor.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
PROXY = "e2eproxy.proxy."
PAGE = "tests/unit/test_policy_page.py"
STAND_DOWN = ("tests/unit/test_policy_stand_down.py",)
#: Module, and the fast tests that have to notice a change in it.
FITTING: dict[str, tuple[str, ...]] = {
    PROXY + "policy": ("tests/unit/test_policy.py", PAGE),
    PROXY + "kinds": ("tests/unit/test_kinds.py", "tests/unit/test_policy.py"),
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
    PROXY + "asked": ("tests/unit/test_policy_rules.py",),
    PROXY + "key_rules": ("tests/unit/test_sticky.py",),
    PROXY + "sticky": ("tests/unit/test_sticky.py",),
    PROXY + "waits": ("tests/unit/test_sticky.py",),
    PROXY + "refusals": ("tests/unit/test_policy.py", PAGE),
}
SECONDS = 60.0

COMPARED = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
#: Of each of these enumerations a member is replaced by another one: in tables, that is the mistake to be made.
MEMBERS = {
    "Treatment": ("PASS", "REFUSE"),
    "Outcome": ("PASS", "REFUSE"),
    "Setting": ("NEVER", "REQUIRE"),
    "Reason": ("KIND", "KEY"),
    "Whose": ("NOBODY", "CONTACT"),
    "Kind": ("CHAT", "UNKNOWN"),
    "Carries": ("NOTHING", "BODY"),
    "Decision": ("VERIFIED", "DISTRUSTED"),
    "Way": ("LIVE", "NONE"),
    "Reach": ("LIVE", "NONE"),
}
CELLS = {"_PASS": "_PROTECT", "_PROTECT": "_PASS", "_TRIM": "_PASS"}
TREATMENTS = {
    "MUST",
    "SHOULD",
    "MAY",
    "REST_MUST",
    "REST_SHOULD",
    "REST_MAY",
    "INSIDE_OR_TRIM",
    "INSIDE_OR_PASS",
    "PASS",
    "TRIM",
    "BARE",
    "REFUSE",
    "TAKE",
}
#: Arguments that are prose: for people, and printed from the tables themselves.
PROSE = {"why", "what", "visible", "name"}


@dataclass(frozen=True)
class Mutant:
    """One change: *source* is the whole module with it; *key* names it whatever the line."""

    module: str
    key: str
    line: int
    source: str


def nodes(tree: ast.Module) -> list[tuple[ast.AST, str]]:
    """Every node that may be changed, with the function or class it stands in; no docstrings, annotations, messages."""
    found: list[tuple[ast.AST, str]] = []

    def walk(node: ast.AST, scope: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            scope = f"{scope}.{node.name}" if scope else node.name
        found.append((node, scope))
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list"} or isinstance(
                node, ast.Import | ast.ImportFrom | ast.Raise
            ):
                continue
            for child in value if isinstance(value, list) else [value]:
                prose = isinstance(child, ast.keyword) and child.arg in PROSE
                prose = prose or (isinstance(child, ast.AnnAssign) and ast.unparse(child.target) in PROSE)
                docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
                typing = typing or (isinstance(child, ast.Assign) and is_alias(child))
                if isinstance(child, ast.AST) and not prose and not docstring and not typing:
                    walk(child, scope)

    walk(tree, "")
    return found


def is_alias(node: ast.Assign) -> bool:
    """Whether *node* gives a type a name (``_Cell = tuple[...]``): no test can notice a change of it."""
    return isinstance(node.value, ast.Subscript) and ast.unparse(node.value.value) in {
        "tuple",
        "dict",
        "Callable",
    }


def replacements(node: ast.AST) -> list[ast.AST]:
    """What *node* can be changed into, one change each."""
    return next((found for change in CHANGES if (found := change(node))), [])


def of_logic(node: ast.AST) -> list[ast.AST]:
    """Changes of comparisons, booleans and sums."""
    found: list[ast.AST] = []
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[index] = COMPARED[type(operator)]()
            found.append(changed)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        found.append(ast.BoolOp(other, node.values))
        for index in range(len(node.values)):
            fewer = [*node.values[:index], *node.values[index + 1 :]]
            found.append(ast.BoolOp(node.op, fewer) if len(fewer) > 1 else fewer[0])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        found.append(node.operand)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        found.append(
            ast.BinOp(node.left, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add(), node.right)
        )
    return found


def of_branches(node: ast.AST) -> list[ast.AST]:
    """Changes of branches, filters and returned values."""
    found: list[ast.AST] = []
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        for outcome in (False,) if isinstance(node, ast.While) else (True, False):
            changed = copy.copy(node)
            changed.test = ast.Constant(outcome)
            found.append(changed)
    elif isinstance(node, ast.comprehension):
        for index in range(len(node.ifs)):
            changed = copy.copy(node)
            changed.ifs = [*node.ifs[:index], *node.ifs[index + 1 :]]
            found.append(changed)
    elif isinstance(node, ast.Return) and not isinstance(node.value, ast.Constant | None):
        found.append(ast.Return(ast.Constant(None)))
    return found


def of_names(node: ast.AST) -> list[ast.AST]:
    """Changes of constants, and of members of the enumerations that tables are made of."""
    if isinstance(node, ast.Constant):
        return [ast.Constant(value) for value in other_constants(node.value)]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MEMBERS:
        usual, other = MEMBERS[node.value.id]
        return [ast.Attribute(node.value, other if node.attr == usual else usual, node.ctx)]
    if isinstance(node, ast.Name) and node.id in CELLS and isinstance(node.ctx, ast.Load):
        return [ast.Name(CELLS[node.id], node.ctx)]
    return []


def of_tables(node: ast.AST) -> list[ast.AST]:
    """Tables and lists with one entry fewer."""
    found: list[ast.AST] = []
    if isinstance(node, ast.Dict):
        for index in range(len(node.keys)):
            keys, values = list(node.keys), list(node.values)
            del keys[index], values[index]
            found.append(ast.Dict(keys, values))
    elif isinstance(node, ast.Set | ast.Tuple | ast.List) and isinstance(
        getattr(node, "ctx", ast.Load()), ast.Load
    ):
        for index in range(len(node.elts)):
            changed = copy.copy(node)
            changed.elts = [*node.elts[:index], *node.elts[index + 1 :]]
            empty_set = isinstance(node, ast.Set) and not changed.elts
            found.append(ast.Call(ast.Name("set", ast.Load()), [], []) if empty_set else changed)
    return found


CHANGES = (of_logic, of_branches, of_names, of_tables)


def other_constants(value: object) -> list[object]:
    """Other values in the place of the constant *value*."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1]
    if isinstance(value, bytes):
        return [value + b"x"]
    if not isinstance(value, str):
        return []
    words = value.split()
    if len(words) > 1 and set(words) <= TREATMENTS:
        others = ["REFUSE" if word == "PASS" else "PASS" for word in words]
        return [" ".join([*words[:at], other, *words[at + 1 :]]) for at, other in enumerate(others)]
    return [value + "x"] if " " not in value.strip() else []


def mutants(module: str) -> list[Mutant]:
    """Every mutant of *module*."""
    text = (CHECKOUT / (module.replace(".", "/") + ".py")).read_text("utf-8")
    tree = ast.parse(text)
    seen: Counter[str] = Counter()
    found = []
    for node, scope in nodes(tree):
        if isinstance(node, ast.Tuple) and not node.elts:
            continue
        for new in replacements(node):
            ast.fix_missing_locations(ast.copy_location(new, node) if hasattr(node, "lineno") else new)
            key = f"{module} {scope or '-'}: {shown(node)} -> {shown(new)}"
            seen[key] += 1
            if seen[key] > 1:
                key += f" #{seen[key]}"
            source = ast.unparse(_swapped(tree, node, new))
            found.append(Mutant(module, key, getattr(node, "lineno", 0), source))
    return found


def _swapped(tree: ast.Module, old: ast.AST, new: ast.AST) -> ast.AST:
    """A copy of *tree* with *new* in the place of *old*."""
    memo: dict[int, object] = {id(old): new}
    return copy.deepcopy(tree, memo)


def shown(node: ast.AST) -> str:
    """A node as one short line."""
    if isinstance(node, ast.comprehension):
        node = ast.ListComp(ast.Name("_", ast.Load()), [node])
    if isinstance(node, ast.If | ast.While):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 110 else f"{text[:60]}...{text[-40:]}({len(text)})"


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
    wanted = [mutant for module in modules for mutant in mutants(module)]
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
