"""The tables of docs/threat-model.md: what the server sees and what a thief reads, made from the tables that decide.

``python -m e2eproxy.proxy.threat_page docs/threat-model.md`` writes them anew; a test compares. Law 9 for auditors: a page
that promises more than the code keeps does not pass.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2eproxy.proxy import policy, policy_page, trim
from e2eproxy.proxy.allowed_children import OUTSIDE
from e2eproxy.proxy.cabinet import ORIGINALS_KEPT, PAIRS_KEPT
from e2eproxy.proxy.holding import Bounds
from e2eproxy.proxy.kinds import KINDS, Kind, Setting, Treatment
from e2eproxy.proxy.leftovers import QUOTED
from e2eproxy.proxy.policy_page import table
from e2eproxy.proxy.shapes import NOTHING, Allowed
from e2eproxy.trust import schema
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the server gets of a kind under ``require``, of which nothing is marked as visible.
_NOTHING_OF_THE_USERS: Final = {
    Treatment.MUST: "a ciphertext, or nothing",
    Treatment.REST_MUST: "a ciphertext, or the allow-list's children",
    Treatment.INSIDE_OR_TRIM: "a ciphertext, or the allow-list's children",
    Treatment.TRIM: "the address, and the allow-list's children",
    Treatment.BARE: "the address, and the bare condition or result",
    Treatment.REFUSE: "nothing",
    Treatment.TAKE: "nothing",
}


def under_require() -> str:
    """Return every kind, and what the server gets of it under ``require``."""
    return table(
        ["kind", "what it is", "the server gets"],
        (
            [f"`{kind.value}`", row.what, row.visible or _NOTHING_OF_THE_USERS[row.require]]
            for kind, row in KINDS.items()
        ),
    )


def chat() -> str:
    """Return what becomes of a text by setting and by what can be done for the contact: ``policy.decide`` asked."""
    settings = [setting for setting in Setting if setting is not Setting.UNKNOWN]
    return table(
        ["the best method is", *(f"`{setting.value}`" for setting in settings)],
        ([way.value, *(_chat(setting, way) for setting in settings)] for way in policy.Way),
    )


def _chat(setting: Setting, way: policy.Way) -> str:
    state = {
        policy.Way.WAITED: policy.State(reach=policy.Reach.UNDISCOVERED, waited=True),
        policy.Way.CANNOT: policy.State(reach=policy.Reach.LIVE, carries=False),
    }.get(way)
    ruling = policy.decide(Kind.CHAT, setting, state or policy.State(reach=policy.Reach(way.value)))
    return _CHAT[ruling.outcome]


_CHAT: Final = {
    policy.Outcome.PROTECT: "encrypted",
    policy.Outcome.HOLD: "held",
    policy.Outcome.WAIT: "waits",
    policy.Outcome.PASS: "**in clear**",
    policy.Outcome.REFUSE: "refused",
}


def beside() -> str:
    """Return what may stand beside a ciphertext, and what can be written there."""
    return table(
        ["element", "namespace", "what can be in it", "where the method takes more than text"],
        ([*_element(one), "inside" if one.rather_inside else "outside"] for one in OUTSIDE),
    )


def presence() -> str:
    """Return what is left of presence that is trimmed."""
    return table(
        ["element", "namespace", "what can be in it"], (_element(one) for one in (*trim.PRESENCE, trim.JOIN))
    )


def _element(one: Allowed) -> list[str]:
    namespace, local = names.split_name(one.element)
    return [f"`<{local}/>`", namespace, "; ".join(_content(one)) or "nothing"]


def _content(one: Allowed) -> list[str]:
    found = [f"`{name}`: {shape.name}" for name, shape in one.attributes.items()]
    if one.text is not NOTHING:
        found.append(one.text.name)
    for child in one.children:
        inside = "; ".join(_content(child))
        found.append(f"`<{names.split_name(child.element)[1]}/>`" + (f" ({inside})" if inside else ""))
    return found


def at_rest() -> str:
    """Return, for each of the store's tables, which columns are sealed and which a reader of the file can read."""
    sealed = {(one.name, column) for one, column in schema.SEALED}
    rows = []
    for one in schema.metadata.tables.values():
        readable = [column.name for column in one.columns if (one.name, column.name) not in sealed]
        hidden = [column.name for column in one.columns if (one.name, column.name) in sealed]
        rows.append(
            [f"`{one.name}`", ", ".join(hidden), ", ".join(name for name in readable if name != "id")]
        )
    return table(["table", "sealed", "readable"], rows)


def kept() -> str:
    """Return how long text lies in the store."""
    bounds = Bounds()
    held = f"until it leaves or goes back: {bounds.seconds:g} s; at a crash until the next login, then it is a report"
    sent = f"acknowledged: {_days(PAIRS_KEPT)}, removed at a login after that; else until it goes back or is reported"
    return table(
        ["table", "what is in it", "how long"],
        [
            ["`held`", "a stanza that waits, as the client wrote it", held],
            ["`sent_ids`", "a stanza that left encrypted, as the client wrote it", sent],
            [
                "`originals`",
                "a stanza that could not be opened, as it came",
                f"{_days(ORIGINALS_KEPT)}, removed at a login after that",
            ],
            [
                "`reports`",
                f"the first {QUOTED} characters of a text that did not leave or may not have arrived",
                "until it is told",
            ],
        ],
    )


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:g} days"


TABLES: Final[dict[str, Callable[[], str]]] = {
    "visible": policy_page.visible,
    "under-require": under_require,
    "chat": chat,
    "beside": beside,
    "presence": presence,
    "at-rest": at_rest,
    "kept": kept,
}


def main(path: str) -> None:
    """Write the tables of the page at *path* anew."""
    page = Path(path)
    page.write_text(policy_page.renewed(page.read_text("utf-8"), TABLES), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
