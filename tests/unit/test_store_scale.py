"""Ten thousand contacts with keys, settings and sticky marks: opened in a second, looked up in no time, in little memory."""

from __future__ import annotations

import os
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from bed.stores import ROMEO, Place
from sqlalchemy import insert

from e2eproxy.trust.schema import peer_keys, policy, sticky
from e2eproxy.trust.vault import row_id
from e2eproxy.trust.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTACTS = 10_000
KEY_BYTES = 200
MOST_BYTES = 2048  # a contact
MOST_SECONDS = 1.0  # of this process's time, so that a busy machine does not count
LOOK_UP_SECONDS = 0.001


class AtOnce:
    """A pool without threads."""

    @staticmethod
    def callInThread(func: Callable[[], object]) -> None:  # noqa: N802 - Twisted's name
        func()


def jid(number: int) -> str:
    return f"contact-number-{number:05d}@conference.example.test"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A store, on each database in turn, with one account that has so many contacts; it takes seconds to make."""
    place = Place(tmp_path_factory.mktemp("crowded"))
    if request.param == "sqlite":
        yield crowd(place)
        return
    server = request.getfixturevalue("postgresql")
    place = evolve(place, url=server.database())
    yield crowd(place)
    server.release(place.url)


def crowd(place: Place) -> Place:
    """Make the store in *place*."""
    keys, settings, marks = [], [], []
    for number in range(CONTACTS):
        contact, seen, text = jid(number), 1e9 + number, os.urandom(20).hex()
        base = {"account": ROMEO, "contact": contact}
        keys.append(
            base
            | {
                "id": row_id(ROMEO, contact, "otr", text),
                "contact_id": row_id(ROMEO, contact),
                "method": "otr",
                "fingerprint": text,
                "public": os.urandom(KEY_BYTES),
                "first_seen": seen,
                "last_seen": seen + 1,
                "decision": "tofu",
                "how_verified": None,
                "verified_at": None,
            }
        )
        marks.append(base | {"id": row_id(ROMEO, contact), "since": seen, "why": "proved"})
        for setting, value in (("encrypt", "require"), ("trust", "verified")):
            level = {"account": ROMEO, "scope": "contact", "key": contact, "setting": setting, "value": value}
            settings.append(level | {"id": row_id(*level.values())})
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 1.0)
        connection = work._cells.connection
        for table, rows in ((peer_keys, keys), (policy, settings), (sticky, marks)):
            connection.execute(insert(table), rows)
    return place


def opened(place: Place) -> Writer:
    writer = Writer(place.open(), AtOnce(), lambda function, *arguments: function(*arguments))
    writer.start()
    writer.open_account(ROMEO, 2.0)
    assert len(writer.book.contacts(ROMEO)) == CONTACTS
    return writer


def test_opening_and_looking_up(crowded: Place) -> None:
    start = time.process_time()
    writer = opened(crowded)
    seconds = time.process_time() - start
    book, times = writer.book, []
    for number in range(0, CONTACTS, 3):
        contact = jid(number)
        begin = time.perf_counter()
        found = (
            book.keys(ROMEO, contact),
            book.settings(ROMEO, "contact", contact),
            book.sticky(ROMEO, contact),
        )
        times.append(time.perf_counter() - begin)
        assert all(found)
    print(f"opened in {seconds:.2f} s, looked up in {statistics.median(times) * 1e6:.1f} µs")
    assert seconds < MOST_SECONDS
    assert statistics.median(times) < LOOK_UP_SECONDS
    assert (
        sum(seconds > LOOK_UP_SECONDS for seconds in times) <= len(times) // 100
    )  # the machine's own pauses
    writer.stop()


def test_memory(crowded: Place) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        writer = opened(crowded)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{(after - before) / CONTACTS:.0f} bytes a contact")
    assert (after - before) / CONTACTS < MOST_BYTES
    writer.stop()
