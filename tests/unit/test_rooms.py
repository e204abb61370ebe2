"""The rooms of DESIGN.md stay apart: imports run one way, modules and functions stay small, every module says why.

Read from the syntax tree of every module, so that imports inside functions and `if TYPE_CHECKING` count as well: what a
room only names in its types it depends on all the same.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = "e2eproxy"
ROOMS = {"control", "demo", "proxy", "methods", "trust", "xmpp"}

# Room: what its modules may import of the package, besides their own room. A dotted name that is longer than a room's
# means that module only.
ALLOWED = {
    "control": {"proxy", "methods", "trust", "xmpp", "errors"},
    # Above control: it is a way to look at the whole, and nothing looks back at it but the command line.
    "demo": {"control", "proxy", "methods", "trust", "xmpp", "testing", "errors"},
    "proxy": {"methods", "trust", "xmpp", "errors"},
    # An address is part of what a stanza says: methods speak of peers by prepared JIDs. What one that seals whole stanzas has
    # opened is read within the same bounds as what the network brings, and its names are compared as elsewhere.
    "methods": {"trust.values", "xmpp.stanza", "xmpp.jid", "xmpp.names", "xmpp.spans", "errors"},
    "trust": {"errors"},
    "xmpp": {"errors"},
    "errors": set(),
}
REACTOR_USERS = {"service", "cli", "__main__"}
MODULE_LINES = 500
FUNCTION_LINES = 60


def imports(tree: ast.Module, module: str, *, is_package: bool) -> list[tuple[str, int]]:
    """What `module` (dotted) imports, as absolute dotted names with line numbers; `from a import b` gives "a.b"."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                parents = module.split(".") if is_package else module.split(".")[:-1]
                kept = parents[: len(parents) - node.level + 1]
                start = ".".join([*kept, *([node.module] if node.module else [])])
            found += [(f"{start}.{alias.name}", node.lineno) for alias in node.names]
    return found


def is_below(name: str, place: str) -> bool:
    """Whether the dotted `name` is `place` or something in it."""
    return name == place or name.startswith(place + ".")


def import_faults(tree: ast.Module, module: str, *, is_package: bool) -> list[str]:
    """The imports of `module` that its room does not allow."""
    inside = module.split(".")[1:]
    room = inside[0] if inside else ""
    faults = []
    for name, line in imports(tree, module, is_package=is_package):
        if is_below(name, "twisted.internet.reactor") and ".".join(inside) not in REACTOR_USERS:
            faults.append(f"{module}:{line} imports the global reactor; it has to be handed in")
        if is_below(name, PACKAGE) and room in ALLOWED:
            target = name.removeprefix(PACKAGE).removeprefix(".")
            permitted = ALLOWED[room] | ({room} if room in ROOMS else set())
            if not any(is_below(target, place) for place in permitted):
                faults.append(f"{module}:{line} imports {name}; {room} may only import {sorted(permitted)}")
    return faults


def size_faults(tree: ast.Module, source: str, module: str) -> list[str]:
    """What is too long in `module`, and whether it does not say why it exists."""
    faults = []
    lines = len(source.splitlines())
    if lines > MODULE_LINES:
        faults.append(f"{module} has {lines} lines, more than {MODULE_LINES}")
    if not (ast.get_docstring(tree) or "").strip():
        faults.append(f"{module} has no docstring that says why it exists")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                faults.append(
                    f"{module}:{node.lineno} {node.name} has {length} lines, more than {FUNCTION_LINES}"
                )
    return faults


def check(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """All faults of one module, as sentences that name module and line."""
    tree = ast.parse(source)
    return import_faults(tree, module, is_package=is_package) + size_faults(tree, source, module)


def modules() -> list[tuple[str, Path]]:
    """Dotted name and file of every module of the package and of the plug-in."""
    files = sorted((CHECKOUT / PACKAGE).rglob("*.py")) + sorted((CHECKOUT / "twisted").rglob("*.py"))
    found = []
    for file in files:
        parts = file.relative_to(CHECKOUT).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), file))
    return found


def test_there_is_something_to_check() -> None:
    names = {name for name, _ in modules()}
    assert {"e2eproxy", "e2eproxy.errors", "e2eproxy.xmpp.framer"} <= names
    assert any(name.startswith("twisted.plugins.") for name in names)


@pytest.mark.parametrize(("module", "file"), modules(), ids=[name for name, _ in modules()])
def test_module_keeps_to_its_room(module: str, file: Path) -> None:
    assert check(file.read_text("utf-8"), module, is_package=file.name == "__init__.py") == []


SAYS_WHY = '"""Why."""\n'


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("e2eproxy.xmpp.framer", "from e2eproxy.proxy import door", "imports e2eproxy.proxy.door"),
        ("e2eproxy.xmpp.framer", "import e2eproxy.trust.store", "imports e2eproxy.trust.store"),
        ("e2eproxy.xmpp.framer", "from ..proxy.door import Door", "imports e2eproxy.proxy.door.Door"),
        ("e2eproxy.xmpp.framer", "from .. import proxy", "imports e2eproxy.proxy"),
        ("e2eproxy.xmpp.framer", "from e2eproxy import config", "imports e2eproxy.config"),
        ("e2eproxy.xmpp.framer", "def f():\n    import e2eproxy.service", "imports e2eproxy.service"),
        (
            "e2eproxy.xmpp.framer",
            "if TYPE_CHECKING:\n    from e2eproxy.proxy import door",
            "e2eproxy.proxy.door",
        ),
        ("e2eproxy.proxy.door", "from e2eproxy.control import chat", "imports e2eproxy.control.chat"),
        ("e2eproxy.proxy.door", "from e2eproxy.cli import main", "imports e2eproxy.cli.main"),
        ("e2eproxy.proxy.door", "from e2eproxy.demo import server", "imports e2eproxy.demo.server"),
        ("e2eproxy.demo.home", "from e2eproxy.pipelines import Pipelines", "imports e2eproxy.pipelines"),
        ("e2eproxy.demo.command", "from twisted.internet import reactor", "imports the global reactor"),
        ("e2eproxy.methods.otr.ake", "from e2eproxy.trust import store", "imports e2eproxy.trust.store"),
        (
            "e2eproxy.methods.otr.ake",
            "from e2eproxy.xmpp.framer import Framer",
            "imports e2eproxy.xmpp.framer",
        ),
        ("e2eproxy.methods.otr.ake", "from e2eproxy.proxy import door", "imports e2eproxy.proxy.door"),
        ("e2eproxy.trust.store", "from e2eproxy.xmpp import stanza", "imports e2eproxy.xmpp.stanza"),
        ("e2eproxy.errors", "from e2eproxy import config", "imports e2eproxy.config"),
        ("e2eproxy.proxy.session", "from twisted.internet import reactor", "imports the global reactor"),
        ("e2eproxy.config", "import twisted.internet.reactor", "imports the global reactor"),
        ("e2eproxy.cli_service", "from twisted.internet import reactor", "imports the global reactor"),
        ("e2eproxy.config", "x = 1\n" * MODULE_LINES, "more than 500"),
        ("e2eproxy.config", "def f():\n" + "    x = 1\n" * FUNCTION_LINES, "more than 60"),
        ("e2eproxy.config", "class C:\n  async def f():\n" + "    x = 1\n" * FUNCTION_LINES, "more than 60"),
    ],
)
def test_checker_finds_planted_faults(module: str, source: str, fault: str) -> None:
    found = check(SAYS_WHY + source, module)
    assert len(found) == 1
    assert fault in found[0]


def test_checker_finds_missing_and_empty_docstrings() -> None:
    assert "no docstring" in check("x = 1", "e2eproxy.config")[0]
    assert "no docstring" in check('"""   """', "e2eproxy.config")[0]


def test_checker_reads_relative_imports_of_packages() -> None:
    assert check(SAYS_WHY + "from .framer import Framer", "e2eproxy.xmpp", is_package=True) == []
    assert len(check(SAYS_WHY + "from ..proxy import door", "e2eproxy.xmpp", is_package=True)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("e2eproxy.control.chat", "from e2eproxy.proxy import session\nfrom e2eproxy.trust import store"),
        ("e2eproxy.demo.play", "from e2eproxy.proxy import guards\nfrom e2eproxy.testing import canary"),
        (
            "e2eproxy.proxy.session",
            "from e2eproxy.xmpp.framer import Framer\nfrom e2eproxy.errors import LocalError",
        ),
        (
            "e2eproxy.methods.otr.ake",
            "from e2eproxy.trust.values import Key\nfrom e2eproxy.xmpp.stanza import Message",
        ),
        ("e2eproxy.methods.otr.ake", "from e2eproxy.trust import values\nfrom e2eproxy.xmpp import stanza"),
        (
            "e2eproxy.xmpp.connect",
            "from .srv import look_up\nfrom twisted.internet.interfaces import IReactorTime",
        ),
        (
            "e2eproxy.service",
            "from twisted.internet import reactor\nfrom e2eproxy.proxy.listener import ClientListener",
        ),
        ("e2eproxy.cli", "def run():\n    from twisted.internet import reactor"),
        ("e2eproxy.config", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)),
    ],
)
def test_checker_lets_pass_what_is_allowed(module: str, source: str) -> None:
    assert check(SAYS_WHY + source, module) == []
