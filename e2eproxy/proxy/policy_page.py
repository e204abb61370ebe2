"""The tables of docs/policy.md, made from the tables that decide, so that the page cannot say anything else.

``python -m e2eproxy.proxy.policy_page docs/policy.md`` writes them anew; a test compares.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2eproxy.proxy import payloads, policy, refusals, trim
from e2eproxy.proxy.allowed_children import OUTSIDE
from e2eproxy.proxy.key_rules import USABLE
from e2eproxy.proxy.kinds import KINDS, Setting, Treatment
from e2eproxy.proxy.rules import Whom
from e2eproxy.proxy.shapes import NOTHING, Allowed
from e2eproxy.proxy.stand_down import ENVELOPES, SYSTEMS
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MARKED: Final = re.compile(r"<!-- table: ([a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _word(treatment: Treatment) -> str:
    return treatment.name.lower().replace("_", "-")


def kinds() -> str:
    """Return the kinds table."""
    return table(
        ["kind", "what it is", "whose setting", *(setting.value for setting in Setting), "sticky", "answer"],
        (
            [
                f"`{kind.value}`",
                row.what,
                row.whose.value,
                *(_word(row.treatment(setting)) for setting in Setting),
                "yes" if row.sticky else "",
                "yes" if row.answer else "",
            ]
            for kind, row in KINDS.items()
        ),
    )


def treatments() -> str:
    """Return what each treatment is."""
    return table(["treatment", "the stanza is"], ([_word(one), one.value] for one in Treatment))


def visible() -> str:
    """Return what the server sees in clear even under ``require``: the rows that are marked server-visible."""
    return table(
        ["kind", "what the server sees"],
        ([f"`{kind.value}`", row.visible] for kind, row in KINDS.items() if row.visible),
    )


def outcomes() -> str:
    """Return what each treatment comes to."""
    asked = [one for one in Treatment if one not in policy.ALWAYS and one is not Treatment.REFUSE]
    return table(
        ["the best method is", *map(_word, asked)],
        ([way.value, *(_cell(treatment, way) for treatment in asked)] for way in policy.Way),
    )


def _cell(treatment: Treatment, way: policy.Way) -> str:
    outcome, reason = policy.OUTCOMES[treatment, way]
    return outcome.value + (f" ({reason.value})" if reason else "")


def _allowed(rows: Iterable[Allowed]) -> str:
    return table(
        ["element", "namespace", "attributes", "text", "children", "why"],
        (
            [
                f"`{names.split_name(one.element)[1]}`",
                names.split_name(one.element)[0],
                "; ".join(f"`{key}`: {shape.name}" for key, shape in one.attributes.items()),
                "" if one.text is NOTHING else one.text.name,
                ", ".join(f"`{names.split_name(child.element)[1]}`" for child in one.children),
                one.why,
            ]
            for one in rows
        ),
    )


def outside() -> str:
    """Return the allow-list of children beside a ciphertext."""
    return _allowed(OUTSIDE)


def presence() -> str:
    """Return what may be in trimmed presence."""
    return _allowed((*trim.PRESENCE, trim.JOIN))


def requests() -> str:
    """Return the requests that hold nothing of the user's."""
    return _allowed((*payloads.HARMLESS, payloads.KEY_REQUEST))


def systems() -> str:
    """Return the systems that are recognised in what a client sends."""
    return table(
        ["system", "namespace", "recognised by"],
        (
            [
                f"`{name}`",
                namespace,
                f"`<{names.split_name(ENVELOPES[name].element)[1]}/>`" if name in ENVELOPES else "the body",
            ]
            for name, namespace in SYSTEMS.items()
        ),
    )


def keys() -> str:
    """Return which keys each setting of the second axis uses."""
    return table(
        ["key is", *(whom.value for whom in Whom)],
        ([one.value, *("used" if USABLE[whom, one] else "refused" for whom in Whom)] for one in Decision),
    )


def refused() -> str:
    """Return the sentences of refusals."""
    return table(["reason", "sentence"], ([one.value, refusals.TEXTS[one]] for one in policy.Reason))


TABLES: Final[dict[str, Callable[[], str]]] = {
    "kinds": kinds,
    "treatments": treatments,
    "visible": visible,
    "outcomes": outcomes,
    "outside": outside,
    "presence": presence,
    "requests": requests,
    "systems": systems,
    "keys": keys,
    "refusals": refused,
}


def renewed(page: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """Return *page* with each marked one of *tables* made anew. Raises KeyError for a mark of no table."""
    return _MARKED.sub(lambda found: f"<!-- table: {found[1]} -->\n{tables[found[1]]()}<!-- end -->", page)


def main(path: str) -> None:
    """Write the tables of the page at *path* anew."""
    page = Path(path)
    page.write_text(renewed(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
