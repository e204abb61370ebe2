"""The changes that a mutation run makes, one at a time, in a module's syntax tree.

Changed is every comparison, boolean, constant, branch, case, returned value, table entry and member of an enumeration, and
every call for its effect is left out. Left alone is what no test can be asked to notice: docstrings, annotations, names of
types, and prose for people.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections import Counter
from dataclasses import dataclass

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
    "Tone": ("WARNING", "INFO"),
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
        for name, value in parts(node):
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


def parts(node: ast.AST) -> list[tuple[str, object]]:
    """What *node* is made of, by name; a union is made of all its alternatives, however it is nested."""
    return [("", alternatives(node))] if is_union(node) else list(ast.iter_fields(node))


def is_union(node: ast.AST) -> bool:
    """Whether *node* is ``a | b``."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


def alternatives(node: ast.AST) -> list[ast.AST]:
    """What is joined by ``|`` in *node*, in order."""
    return [*alternatives(node.left), *alternatives(node.right)] if is_union(node) else [node]


def is_alias(node: ast.Assign) -> bool:
    """Whether *node* gives a type a name (``_Cell = tuple[...]``): no test can notice a change of it."""
    if isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) == "NewType"
    return isinstance(node.value, ast.Subscript) and ast.unparse(node.value.value) in {
        "tuple",
        "dict",
        "Callable",
        "Literal",
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
    elif is_union(node):
        joined = alternatives(node)
        for index in range(len(joined)):
            fewer = [*joined[:index], *joined[index + 1 :]]
            found.append(functools.reduce(lambda left, right: ast.BinOp(left, ast.BitOr(), right), fewer))
    return found


def of_statements(node: ast.AST) -> list[ast.AST]:
    """Statements left out: a call for its effect, a sum in place, a deletion, a step in a loop."""
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    return [ast.Pass()] if called or isinstance(node, ast.AugAssign | ast.Delete | ast.Continue) else []


def of_cases(node: ast.AST) -> list[ast.AST]:
    """A match with one case fewer, and a case with one alternative fewer or without its guard."""
    found: list[ast.AST] = []
    if isinstance(node, ast.Match) and len(node.cases) > 1:
        for index in range(len(node.cases)):
            changed = copy.copy(node)
            changed.cases = [*node.cases[:index], *node.cases[index + 1 :]]
            found.append(changed)
    elif isinstance(node, ast.MatchOr):
        for index in range(len(node.patterns)):
            fewer = [*node.patterns[:index], *node.patterns[index + 1 :]]
            found.append(ast.MatchOr(fewer) if len(fewer) > 1 else fewer[0])
    elif isinstance(node, ast.match_case) and node.guard is not None:
        found.append(ast.match_case(node.pattern, None, node.body))
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


CHANGES = (of_logic, of_statements, of_cases, of_branches, of_names, of_tables)


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


def mutants(module: str, text: str) -> list[Mutant]:
    """Every mutant of *module*, whose source is *text*."""
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
    if isinstance(node, ast.Match):
        return (
            f"match {ast.unparse(node.subject)}: {' / '.join(ast.unparse(one.pattern) for one in node.cases)}"
        )
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 110 else f"{text[:60]}...{text[-40:]}({len(text)})"
