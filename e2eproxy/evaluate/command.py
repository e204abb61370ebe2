"""What the command ``e2eproxy evaluate`` does."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, TextIO

from e2eproxy.evaluate.experiments import EXPERIMENTS, evaluate
from e2eproxy.evaluate.table import as_html, as_json, as_text
from e2eproxy.methods.registry import Registry, load
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import SessionMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2eproxy.methods.door import Method

GOOD, DISAGREES, USAGE = 0, 1, 2
"""Exit statuses: all claims hold; some do not, or a bug came to light; the command was called wrong."""


def reference_methods() -> dict[str, Method]:
    """The reference methods by name: known to this command, never to the daemon."""
    methods: tuple[Method, ...] = (SessionMethod(), ObjectMethod())
    return {one.traits.name: one for one in methods}


def evaluate_command(
    arguments: Sequence[str],
    *,
    registry: Registry | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run ``e2eproxy evaluate`` with *arguments* (those behind the command's name) and return its exit status.

    *registry*: the methods there are (None: built-in and installed ones). Prints to *out*, complaints to *err*.
    """
    out, err = out or sys.stdout, err or sys.stderr
    parser = _parser()
    try:
        given = parser.parse_args(list(arguments))
    except SystemExit as stop:
        return int(stop.code or GOOD)
    if given.list:
        out.writelines(f"{one.name:28} {one.question}\n" for one in EXPERIMENTS)
        return GOOD
    found = load() if registry is None else registry
    for broken in found.broken:
        err.write(f"e2eproxy: the method {broken.name} ({broken.value}) is left out: {broken.why}\n")
    known = {**reference_methods(), **found.methods}
    names = given.methods or list(found.methods) or list(reference_methods())
    experiments = [one for one in EXPERIMENTS if not given.experiment or one.name in given.experiment]
    unknown = [name for name in names if name not in known]
    unknown += [name for name in given.experiment if name not in {one.name for one in EXPERIMENTS}]
    if unknown:
        choice = ", ".join(known)
        err.write(f"e2eproxy: there is no {', '.join(unknown)}; methods are {choice}; see also --list\n")
        return USAGE
    reports = [evaluate(known[name], experiments, given.seed) for name in names]
    write = as_json if given.json else as_html if given.html else as_text
    out.write(write(reports).rstrip("\n") + "\n")
    return GOOD if all(one.good for one in reports) else DISAGREES


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="e2eproxy evaluate",
        description="Compare end-to-end systems by experiment, and check what each of them claims.",
    )
    parser.add_argument(
        "methods", nargs="*", metavar="METHOD", help="names of methods (default: all there are)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all that was found as JSON")
    form.add_argument("--html", action="store_true", help="print the table as a page of HTML")
    parser.add_argument(
        "--experiment",
        action="append",
        default=[],
        metavar="NAME",
        help="make only this one; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="list the experiments")
    parser.add_argument("--seed", type=int, default=0, help="another course of all randomness (default: 0)")
    return parser
