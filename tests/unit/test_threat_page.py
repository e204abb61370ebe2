"""docs/threat-model.md shows the tables that decide, names only what there is, and numbers its weaknesses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2eproxy.proxy import threat_page
from e2eproxy.proxy.delivery import NOT_ENCRYPTED
from e2eproxy.proxy.dialling import MOST_REDIRECTS
from e2eproxy.proxy.holding import Bounds
from e2eproxy.proxy.kinds import KINDS, Kind, Setting, Treatment
from e2eproxy.proxy.policy import Way
from e2eproxy.proxy.session import SERVER_BYTES
from e2eproxy.proxy.waits import LONGEST
from e2eproxy.trust import schema

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "threat-model.md"
#: A treatment with which nothing of a stanza leaves as the user's program wrote it.
CLOSED = frozenset(Treatment) - {Treatment.PASS, Treatment.SHOULD, Treatment.MAY, Treatment.REST_SHOULD}


def rows(name: str) -> list[str]:
    return threat_page.TABLES[name]().splitlines()[2:]


def test_the_page_shows_the_tables_that_decide():
    page = PAGE.read_text("utf-8")
    assert threat_page.policy_page.renewed(page, threat_page.TABLES) == page, (
        "run: python -m e2eproxy.proxy.threat_page docs/threat-model.md"
    )
    for name in threat_page.TABLES:
        assert f"<!-- table: {name} -->\n| " in page


def test_the_page_is_written_anew(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: chat -->\nold\n<!-- end -->\nb\n")
    threat_page.main(str(page))
    assert "old" not in page.read_text()
    assert "| none | refused | **in clear** | **in clear** | **in clear** |" in page.read_text()


@pytest.mark.parametrize("kind", Kind)
def test_what_passes_under_require_is_told(kind):
    row = KINDS[kind]
    assert row.visible or row.require in CLOSED, "it passes unseen: mark it as visible, or refuse it"
    told = next(one for one in rows("under-require") if one.startswith(f"| `{kind.value}` |"))
    assert (row.visible or threat_page._NOTHING_OF_THE_USERS[row.require]) in told


def test_every_visible_row_is_on_the_page():
    visible = rows("visible")
    assert len(visible) == sum(1 for row in KINDS.values() if row.visible)
    assert all(f"| `{kind.value}` | {row.visible} |" in visible for kind, row in KINDS.items() if row.visible)


def test_under_require_no_text_leaves_in_clear():
    table = {row.split(" | ")[0].removeprefix("| "): row for row in rows("chat")}
    assert set(table) == {way.value for way in Way}
    column = [setting.value for setting in Setting].index("require") + 1
    assert all("in clear" not in row.split("|")[column + 1] for row in table.values())
    assert all("in clear" in row for row in table.values())


def test_a_reader_of_the_file_is_shown_every_column():
    shown = "".join(rows("at-rest"))
    for table, column in schema.SEALED:
        row = next(row for row in rows("at-rest") if f"`{table.name}`" in row)
        assert column in row.split("|")[2]
        assert column not in row.split("|")[3].replace(",", "").split()
    assert all(f"`{name}`" in shown for name in schema.metadata.tables)


def test_the_page_names_only_modules_that_there_are():
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)", PAGE.read_text("utf-8")))
    assert len(named) > 20
    assert not [name for name in named if not (CHECKOUT / "e2eproxy" / name).is_file()]


def test_numbers_in_the_text_are_those_of_the_code():
    page = " ".join(PAGE.read_text("utf-8").split())
    bounds = Bounds()
    assert f"full after {bounds.stanzas} stanzas or {bounds.bytes // 1024} KiB" in page
    assert f"send stanzas of {SERVER_BYTES // 2**20} MiB" in page
    assert (LONGEST[Setting.PREFER], "for two seconds" in page) == (2.0, True)
    assert (MOST_REDIRECTS, "up to three times" in page) == (3, True)
    assert f"the mark `{NOT_ENCRYPTED.strip()}`" in page


def test_weaknesses_are_numbered_and_say_what_follows_and_what_to_do():
    page = PAGE.read_text("utf-8")
    paragraphs = re.findall(r"^\*\*W(\d+)\. .*?(?=\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    assert [int(number) for number in paragraphs] == list(range(1, len(paragraphs) + 1))
    whole = re.findall(r"^\*\*W\d+\. .*?(?:\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    for one in whole:
        assert one.count("*So:*") == 1, one
        assert len(re.findall(r"\*You\s+can:\*", one)) == 1, one
    last = len(paragraphs)
    assert all(int(number) <= last for number in re.findall(r"\bW(\d+)\b", page))
