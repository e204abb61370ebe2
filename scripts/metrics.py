"""The tables of docs/metrics.md, made from the table of metrics, so that the page cannot say anything else.

    python scripts/metrics.py

writes them anew, behind the page's text; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from e2eproxy.control import metrics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
FIRST = "| metric |"


def page() -> str:
    """The page as it should be: its text as it is, and the tables of now."""
    return PAGE.read_text("utf-8").partition(FIRST)[0] + metrics.markdown_tables()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
