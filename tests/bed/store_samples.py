"""Stored samples of the store: what a version really wrote, row by row, to be opened by every later one.

``python -m bed.store_samples`` (with tests/ on the path) writes the sample of the current version, unless there is one:
a sample is a record of what was released and is never written again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, text

from bed.stores import JULIET, ROMEO, Place
from e2eproxy.trust import database
from e2eproxy.trust.key_sources import key_text
from e2eproxy.trust.migrations import STEPS, migrate
from e2eproxy.trust.values import (
    Decision,
    Fingerprint,
    HeldStanza,
    IdentityKey,
    KeptOriginal,
    KnownCapabilities,
    MethodRecord,
    PolicyRow,
    SentId,
    StickyContact,
    StoredRoster,
)

if TYPE_CHECKING:
    from e2eproxy.trust.transaction import Transaction

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "store"


SINCE_VERSION_2 = ("outer", "roster")
SINCE_VERSION_3 = ("capabilities",)
"""What older stores have nothing of."""


def sample_file(version: int) -> Path:
    """Where the sample of *version* is."""
    return FOLDER / f"version-{version}.json"


class Counting:
    """Bytes that are the same on every run, and never twice the same within one."""

    def __init__(self) -> None:
        """Begin with the first."""
        self._number = 0

    def __call__(self, count: int) -> bytes:
        """The next *count* bytes, at most 32."""
        self._number += 1
        return hashlib.sha256(self._number.to_bytes(8, "big")).digest()[:count]


def fill(work: Transaction) -> None:
    """At least one row in every table, and something in every column, as the current version can hold it."""
    otr, ox = Fingerprint("otr", "aa" * 20), Fingerprint("ox", "CC" * 20)
    work.open_account(ROMEO, 999.5)
    work.identities.put(
        IdentityKey(
            account=ROMEO, method="otr", name="dsa", public=b"\0p", secret=b"secret\0", created_at=1000.5
        )
    )
    work.peer_keys.learn(ROMEO, JULIET, otr, b"public", 1001.0, first=Decision.TOFU)
    work.peer_keys.decide(ROMEO, JULIET, otr, Decision.VERIFIED, how="smp", at=1002.0)
    work.peer_keys.learn(ROMEO, JULIET, ox, b"", 1003.0, first=Decision.TOFU)
    work.records.put(MethodRecord(account=ROMEO, method="omemo", key=f"session {JULIET}/b", data=b"ratchet"))
    for account in ("", ROMEO):
        work.policy.set(
            PolicyRow(account=account, scope="default", key="", setting="encrypt", value="require")
        )
    work.sticky.add(StickyContact(account=ROMEO, contact=JULIET, since=1004.0, why="proved"))
    work.sent.note(
        SentId(
            account=ROMEO,
            outer_id="o1",
            client_id="c1",
            to=JULIET,
            sent_at=1005.0,
            original=b"<message/>",
            outer=b"<message id='o1'/>",
        ),
        b"<message/>",
    )
    work.sent.note(
        SentId(account=ROMEO, outer_id="o2", client_id=None, to=JULIET, sent_at=1006.0, acknowledged=True),
        b"<m/>",
    )
    work.held.add(
        HeldStanza(account=ROMEO, contact=JULIET, reference="h1", stanza=b"<message/>", held_at=1007.0)
    )
    work.originals.keep(
        KeptOriginal(account=ROMEO, contact=JULIET, reference="p1", stanza=b"<encrypted/>", expires_at=9000.0)
    )
    work.reports.add(ROMEO, "a report ü", 1008.0)
    work.rosters.put(ROMEO, StoredRoster("ver 7", {JULIET: "both", "nurse@example.test": "from"}))
    work.capabilities.put(
        ROMEO, KnownCapabilities("QgayPKawpkPSDYmwT/WM94uAlu0=", frozenset({"urn:a", "urn:\u00fc"}), 1009.0)
    )


def contents(work: Transaction) -> dict[str, list[str]]:
    """All that the sample's account has, as texts that can be compared; opens every sealed value."""
    work.open_account(ROMEO, 5000.0)
    identities = [
        (key.method, key.name, key.public, key.secret, key.created_at) for key in work.identities.all(ROMEO)
    ]
    keys = [
        (
            key.contact,
            str(key.fingerprint),
            key.public,
            key.first_seen,
            key.last_seen,
            key.decision.value,
            key.how_verified,
            key.verified_at,
        )
        for key in work.peer_keys.all(ROMEO)
    ]
    sent = [work.sent.by_outer(ROMEO, outer) for outer in ("o1", "o2")]
    original = work.originals.get(ROMEO, "p1", now=8000.0)
    roster = work.rosters.get(ROMEO)
    found: dict[str, list[Any]] = {
        "identities": identities,
        "peer keys": keys,
        "records": [(record.method, record.key, record.data) for record in work.records.all(ROMEO)],
        "policy": [
            (row.account, row.scope, row.key, row.setting, row.value)
            for account in ("", ROMEO)
            for row in work.policy.all(account)
        ],
        "sticky": [(sticky.contact, sticky.since, sticky.why) for sticky in work.sticky.all(ROMEO)],
        "sent": [
            (one.outer_id, one.client_id, one.to, one.sent_at, one.acknowledged, one.original)
            for one in sent
            if one
        ],
        "outer": [(one.outer_id, one.outer) for one in sent if one and one.outer is not None],
        "twice": [bool(work.sent.twice(ROMEO, JULIET, "c1", b"<message/>", since=0))],
        "held": [(one.contact, one.reference, one.stanza, one.held_at) for one in work.held.all(ROMEO)],
        "originals": [(original.contact, original.stanza, original.expires_at)] if original else [],
        "reports": [(report.number, report.text, report.at) for report in work.reports.all(ROMEO)],
        "capabilities": [
            (one.ver, sorted(one.features), one.used_at) for one in work.capabilities.all(ROMEO)
        ],
        "roster": [(roster.version, sorted(roster.subscriptions.items()))] if roster else [],
    }
    return {name: [repr(one) for one in values] for name, values in found.items()}


def load(place: Place, version: int) -> dict[str, list[str]]:
    """Make at *place* the store that *version* wrote; returns what is in it."""
    sample = json.loads(sample_file(version).read_text("utf-8"))
    place.key_file.path.touch(0o600)
    place.key_file.path.write_text(key_text(bytes.fromhex(sample["key"])) + "\n", "ascii")
    engine = create_engine(database.location(place.data, place.url))
    try:
        with engine.begin() as connection:
            migrate(connection, STEPS[:version])
            connection.execute(text("DELETE FROM meta"))
            for table, rows in sample["rows"].items():
                for row in rows:
                    # Numbers are given anew, in the same order, or PostgreSQL would not count on from them.
                    values = {name: _read(value) for name, value in row.items() if name != "number"}
                    names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
                    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)
    finally:
        engine.dispose()
    contents: dict[str, list[str]] = sample["contents"]
    return {name: [] for name in (*SINCE_VERSION_2, *SINCE_VERSION_3)} | contents


def write(version: int) -> None:
    """Write the sample of *version*, the current one."""
    random = Counting()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        with place.open(random=random) as store, store.transaction() as work:
            fill(work)
            found = contents(work)
        key = place.key_file.get({}).hex()
        engine = create_engine(database.location(place.data, None))
        with engine.connect() as connection:
            query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
            tables = [row[0] for row in connection.execute(text(query))]
            tables.sort(key=lambda name: (name not in {"meta", "accounts"}, name))
            rows = {
                table: [
                    {name: _written(value) for name, value in row.items()}
                    for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()
                ]
                for table in tables
            }
        engine.dispose()
    for table in rows.values():
        for row in table:
            if "acknowledged" in row:
                row["acknowledged"] = bool(row["acknowledged"])
    sample = {"key": key, "contents": found, "rows": rows}
    with sample_file(version).open("x", encoding="utf-8") as file:
        json.dump(sample, file, indent=1, ensure_ascii=False)
        file.write("\n")


def _written(value: object) -> object:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _read(value: object) -> object:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


if __name__ == "__main__":
    if sample_file(len(STEPS)).exists():
        sys.exit(f"{sample_file(len(STEPS))} is there already and is never written again")
    write(len(STEPS))
