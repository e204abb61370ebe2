"""What was measured on: without it the numbers mean nothing to anybody else."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

from cryptography.hazmat.backends.openssl import backend

if TYPE_CHECKING:
    from processes import Cores


def describe(cores: Cores) -> dict[str, str]:
    """Return name and value of everything that the numbers depend on."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = {
        "CPU": model[1] if model else platform.processor(),
        "cores": str(cores),
        "memory": f"{memory:.0f} GiB",
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "kernel": platform.release(),
        "Python": sys.version.split()[0],
        "Twisted": importlib.metadata.version("Twisted"),
        "pyOpenSSL": importlib.metadata.version("pyOpenSSL"),
        "OpenSSL of the Twisted programs": backend.openssl_version_text(),
        "OpenSSL of server and load": ssl.OPENSSL_VERSION,
        "expat": expat.EXPAT_VERSION,
    }
    for name, argv in {"HAProxy": ["haproxy", "-v"], "Prosody": ["prosodyctl", "about"]}.items():
        facts[name] = _first_version(argv) if shutil.which(argv[0]) else "not installed"
    return facts


class Others:
    """How much of the machine was used by programs that are not the bench's."""

    def __init__(self) -> None:
        self.before = self._now()

    def share(self) -> float:
        """Return the share of all cores, in percent, since this was made; the bench's children have to have ended."""
        busy, total, ours = (after - before for before, after in zip(self.before, self._now(), strict=True))
        return 100 * max(0.0, busy - ours) / total

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Return CPU seconds: busy and in all on all cores, and this program's with its ended children."""
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]
        own = os.times()
        second = os.sysconf("SC_CLK_TCK")
        return (sum(ticks) - idle) / second, sum(ticks) / second, sum(own[:4])


def _first_version(argv: list[str]) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
    )
    found = re.search(r"(?:version|^Prosody) (\d[\w.]*)", done.stdout, re.MULTILINE)
    return found[1] if found else "unknown"
