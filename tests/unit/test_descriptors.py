"""The descriptor limit, and how many clients fit into it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from e2eproxy.descriptors import PER_CLIENT, RESERVE, Descriptors


@pytest.mark.parametrize(
    ("limit", "clients"),
    [
        (1024, 480),
        (RESERVE + 2 * PER_CLIENT, 2),
        (RESERVE + PER_CLIENT, 1),
        (RESERVE, 1),
        (3, 1),
        (2**31 - 1, 2**30 - 33),
    ],
)
def test_clients_that_fit(limit: int, clients: int):
    assert Descriptors(limit, limit).clients == clients


PROGRAM = """
import resource, sys
from e2eproxy.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
found = raise_limit()
print(found.before, found.now, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(100, 300), (300, 300)])
def test_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == [str(soft), str(hard), str(hard), str(hard)]


def test_refusal_is_no_error(monkeypatch: pytest.MonkeyPatch):
    from e2eproxy.descriptors import raise_limit

    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == Descriptors(256, 256)
