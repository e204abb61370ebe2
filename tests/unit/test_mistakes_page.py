"""docs/mistakes.md quotes what the code says, and names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "mistakes.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| mistake", "| ---"))
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def texts() -> str:
    """All that is written in strings of the package, one behind the other; what a value is put into is cut there."""
    found = []
    for file in (CHECKOUT / "e2eproxy").rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\0".join(found)


def fragments(quoted: str) -> list[str]:
    return [part for part in (one.strip(" ;,.") for one in re.split(r"\{\w+\}", quoted)) if len(part) > 1]


def test_there_are_ten_and_each_is_whole():
    assert len([row for row in ROWS if not row[0].startswith("...")]) == 10
    assert all(len(row) == 4 and TEST.fullmatch(row[3]) for row in ROWS)


def test_what_is_quoted_is_what_the_code_says():
    said = texts()
    for row in ROWS:
        quotes = re.findall(r"`([^`]+)`", row[2])
        assert quotes, row
        for quoted in quotes:
            assert [part for part in fragments(quoted) if part not in said] == []


def test_each_test_that_is_named_is_there():
    for row in ROWS:
        file, name = TEST.fullmatch(row[3]).groups()
        tree = ast.parse((CHECKOUT / file).read_text("utf-8"))
        assert name in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
