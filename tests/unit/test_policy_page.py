"""docs/policy.md shows the tables that decide, and no older ones."""

from __future__ import annotations

from pathlib import Path

from e2eproxy.proxy import policy_page
from e2eproxy.proxy.shapes import one_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"


def test_the_page_shows_the_tables_that_decide():
    page = PAGE.read_text("utf-8")
    assert policy_page.renewed(page) == page, "run: python -m e2eproxy.proxy.policy_page docs/policy.md"
    for name in policy_page.TABLES:
        assert f"<!-- table: {name} -->\n| " in page


def test_the_page_is_written_anew(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: keys -->\nold\n<!-- end -->\nb\n")
    policy_page.main(str(page))
    assert "old" not in page.read_text()
    assert "| tofu | refused | used | used |" in page.read_text()


def test_words_are_quoted():
    assert one_of("a", "b").name == "`a` or `b`"
