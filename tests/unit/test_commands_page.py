"""docs/commands.md and the man pages say what the table says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "scripts"))

import commands as script  # noqa: E402 - needs the path set above

from e2eproxy.control.table import COMMANDS  # noqa: E402 - same

RUN = "run: python scripts/commands.py"


@pytest.mark.parametrize("place", list(script.files()), ids=lambda place: place.name)
def test_the_page_shows_what_the_table_says(place):
    assert place.read_text("utf-8") == script.files()[place], RUN


def test_no_page_is_left_of_a_command_that_is_gone():
    assert {place.name for place in script.MAN.iterdir()} == {
        place.name for place in script.files() if place.parent == script.MAN
    }


def test_every_command_has_its_section():
    page = script.page()
    assert all(f"\n## {one.name}\n" in page for one in COMMANDS)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("place", list(script.files())[1:], ids=lambda place: place.name)
def test_the_man_page_can_be_set(place):
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(place)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
