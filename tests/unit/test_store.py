"""The store, on SQLite and on PostgreSQL: what was committed is there again, and what does not open destroys nothing."""

# ruff: noqa: PT012 - what a transaction raises when it ends is what is tested

from __future__ import annotations

import os
import stat
import zlib
from typing import TYPE_CHECKING

import pytest
from attrs import asdict, evolve
from bed.stores import JULIET, ROMEO, Place

from e2eproxy.errors import LocalError
from e2eproxy.trust import transaction
from e2eproxy.trust.archive import collect, restore
from e2eproxy.trust.archive_values import from_json, to_json
from e2eproxy.trust.errors import StoppedError, StoreError
from e2eproxy.trust.key_sources import KeyFile, Passphrase
from e2eproxy.trust.passphrase import ScryptParameters
from e2eproxy.trust.rosters import MOST_BYTES, decoded, encoded
from e2eproxy.trust.schema import SEALED, metadata, rosters
from e2eproxy.trust.transaction import Loaded
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
    SentPair,
    StickyContact,
    StoredRoster,
)
from e2eproxy.trust.vault import VaultError, cell, row_id

if TYPE_CHECKING:
    from e2eproxy.trust.store import Store
    from e2eproxy.trust.transaction import Transaction

CANARY = b"canary-7f3a"
OTR = Fingerprint("otr", "aa" * 20)
SECOND = Fingerprint("otr", "bb" * 20)
OX = Fingerprint("ox", "CC" * 20)

IDENTITY = IdentityKey(
    account=ROMEO, method="otr", name="dsa", public=b"\0public", secret=CANARY + b"\0", created_at=1000.5
)
RECORD = MethodRecord(account=ROMEO, method="omemo", key=f"session {JULIET}/balcony 1", data=CANARY)
POLICY = PolicyRow(account=ROMEO, scope="contact", key=JULIET, setting="encrypt", value="require")
STICKY = StickyContact(account=ROMEO, contact=JULIET, since=1002.0, why="proved")
SENT = SentId(
    account=ROMEO,
    outer_id="o1",
    client_id="c1",
    to=JULIET,
    sent_at=1003.0,
    original=b"<message>" + CANARY,
    outer=b"<message id='o1'>" + CANARY,
)
CAPABILITIES = KnownCapabilities("ver", frozenset({CANARY.decode(), "urn:a"}), 1006.0)
ROSTER = StoredRoster(
    f"version {CANARY.decode()}", {JULIET: "both", f"{CANARY.decode()}@example.test": "from"}
)
STANZA = b"<message><body>" + CANARY + b"</body></message>"
HELD = HeldStanza(account=ROMEO, contact=JULIET, reference="h1", stanza=STANZA, held_at=1004.0)
ORIGINAL = KeptOriginal(account=ROMEO, contact=JULIET, reference="p1", stanza=STANZA, expires_at=2000.0)


def fill(work: Transaction) -> None:
    """One row in each table."""
    work.open_account(ROMEO, 999.0)
    work.identities.put(IDENTITY)
    work.peer_keys.learn(ROMEO, JULIET, OTR, b"public", 1001.0, first=Decision.TOFU)
    work.records.put(RECORD)
    work.policy.set(POLICY)
    work.sticky.add(STICKY)
    work.sent.note(SENT, STANZA)
    work.held.add(HELD)
    work.originals.keep(ORIGINAL)
    work.reports.add(ROMEO, "a report with " + CANARY.decode(), 1005.0)
    work.rosters.put(ROMEO, ROSTER)
    work.capabilities.put(ROMEO, CAPABILITIES)


@pytest.fixture
def filled(place: Place) -> Place:
    """A store with one row in each table."""
    with place.open() as store, store.transaction() as work:
        fill(work)
    return place


def reopened(place: Place) -> Store:
    store = place.open()
    with store.transaction() as work:
        work.open_account(ROMEO, 5000.0)
    return store


class TestKeeping:
    def test_everything_is_there_again(self, filled: Place) -> None:
        with filled.open() as store, store.transaction() as work:
            assert work.open_account(ROMEO, 5000.0) is False
            assert work.accounts() == (ROMEO,)
            assert work.identities.all(ROMEO) == (IDENTITY,)
            assert work.identities.get(ROMEO, "otr", "dsa") == IDENTITY
            assert work.records.get(ROMEO, RECORD.method, RECORD.key) == RECORD.data
            assert work.records.all(ROMEO) == (RECORD,)
            assert work.policy.all(ROMEO) == (POLICY,)
            assert work.sticky.all(ROMEO) == (STICKY,)
            assert work.sent.by_outer(ROMEO, "o1") == SENT
            assert work.held.all(ROMEO) == (HELD,)
            assert work.originals.get(ROMEO, "p1", now=1999.0) == ORIGINAL
            (report,) = work.reports.all(ROMEO)
            assert (report.text, report.at) == ("a report with " + CANARY.decode(), 1005.0)
            assert work.rosters.get(ROMEO) == ROSTER
            assert work.capabilities.all(ROMEO) == (CAPABILITIES,)

    def test_nothing_of_it_belongs_to_others(self, filled: Place) -> None:
        with filled.open() as store, store.transaction() as work:
            assert work.open_account(JULIET, 5000.0) is True
            assert work.identities.all(JULIET) == ()
            assert work.records.all(JULIET) == ()
            assert work.records.get(JULIET, RECORD.method, RECORD.key) is None
            assert work.peer_keys.of(JULIET, JULIET) == ()
            assert work.peer_keys.all(JULIET) == ()
            assert work.policy.all(JULIET) == ()
            assert work.sticky.all(JULIET) == ()
            assert work.sent.by_outer(JULIET, "o1") is None
            assert work.sent.twice(JULIET, JULIET, "c1", STANZA, since=0) is None
            assert work.held.all(JULIET) == ()
            assert work.originals.get(JULIET, "p1", now=0) is None
            assert work.reports.all(JULIET) == ()
            assert work.rosters.get(JULIET) is None
            assert work.rosters.remove(JULIET) is False

    def test_secrets_are_in_no_file_and_no_column(self, filled: Place) -> None:
        files = b"".join(path.read_bytes() for path in filled.data.iterdir())
        assert CANARY not in files
        assert CANARY not in repr(filled.everything()).encode()

    def test_log_of_sqlite_holds_no_secret_either(self, sqlite_place: Place) -> None:
        with sqlite_place.open() as store:
            with store.transaction() as work:
                fill(work)
            log = (sqlite_place.data / "store.sqlite-wal").read_bytes()
            assert ROMEO.encode() in log
            assert CANARY not in log

    def test_sealed_columns_are_the_declared_ones(self, filled: Place) -> None:
        for table, column in SEALED:
            (value,) = filled.rows(f"SELECT {column} FROM {table.name}")[0]
            assert bytes(value)[:1] == b"\x01"
            assert len(bytes(value)) >= 29

    def test_a_row_that_is_written_again_is_replaced(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.records.put(evolve(RECORD, data=b"new"))
            work.identities.put(evolve(IDENTITY, secret=b"new"))
            work.policy.set(evolve(POLICY, value="never"))
            assert [record.data for record in work.records.all(ROMEO)] == [b"new"]
            assert [key.secret for key in work.identities.all(ROMEO)] == [b"new"]
            assert [row.value for row in work.policy.all(ROMEO)] == ["never"]

    def test_removing(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            assert work.identities.remove(ROMEO, "otr", "dsa")
            assert not work.identities.remove(ROMEO, "otr", "dsa")
            assert work.records.remove(ROMEO, RECORD.method, RECORD.key)
            assert not work.records.remove(ROMEO, RECORD.method, RECORD.key)
            assert work.policy.unset(ROMEO, "contact", JULIET, "encrypt")
            assert not work.policy.unset(ROMEO, "contact", JULIET, "encrypt")
            assert work.sticky.remove(ROMEO, JULIET)
            assert not work.sticky.remove(ROMEO, JULIET)
            assert work.held.remove(ROMEO, ["h1", "h2"]) == 1
            assert work.reports.remove(ROMEO, [report.number for report in work.reports.all(ROMEO)]) == 1
            assert work.peer_keys.forget(ROMEO, JULIET, OTR)
            assert not work.peer_keys.forget(ROMEO, JULIET, OTR)
            work.sent.remove(ROMEO, ["o1"])
            assert work.sent.by_outer(ROMEO, "o1") is None

    def test_a_transaction_that_raises_changes_nothing(self, filled: Place) -> None:
        before = filled.everything()
        with filled.open() as store:
            with pytest.raises(ZeroDivisionError), store.transaction() as work:
                work.open_account(ROMEO, 1.0)
                work.open_account(JULIET, 1.0)
                work.records.put(evolve(RECORD, data=b"other"))
                raise ZeroDivisionError
            with store.transaction() as work:
                assert work.accounts() == (ROMEO,)
                with pytest.raises(StoreError, match="not open"):
                    work.reports.add(JULIET, "x", 1.0)
        assert filled.everything() == before

    def test_a_nested_part_is_undone_alone(self, filled: Place) -> None:
        with reopened(filled) as store:
            with store.transaction() as work:
                work.records.put(evolve(RECORD, key="before"))
                with pytest.raises(ZeroDivisionError), work.nested():
                    work.open_account(JULIET, 1.0)
                    work.policy.set(evolve(POLICY, value="never"))
                    raise ZeroDivisionError
                work.records.put(evolve(RECORD, key="after"))
                assert work.changes == []
            with store.transaction() as work:
                assert {record.key for record in work.records.all(ROMEO)} == {RECORD.key, "before", "after"}
                assert work.policy.all(ROMEO) == (POLICY,)
                assert work.accounts() == (ROMEO,)
                assert work.open_account(JULIET, 1.0) is True

    def test_long_jids_and_every_letter(self, place: Place) -> None:
        contact = "ü" * 511 + "@" + os.urandom(511).hex() + "/" + os.urandom(511).hex() + "😀'\"\\%_"
        with place.open() as store, store.transaction() as work:
            work.open_account(ROMEO, 1.0)
            work.peer_keys.learn(ROMEO, contact, OTR, b"", 1.0)
            work.records.put(evolve(RECORD, key=contact))
            work.sticky.add(evolve(STICKY, contact=contact))
            work.sent.note(evolve(SENT, to=contact), STANZA)
            assert [key.contact for key in work.peer_keys.of(ROMEO, contact)] == [contact]
            assert work.records.get(ROMEO, RECORD.method, contact) == RECORD.data
            assert work.sent.twice(ROMEO, contact, "c1", STANZA, since=0) is not None

    def test_big_values(self, place: Place) -> None:
        big = os.urandom(3 * 2**20)
        with place.open() as store, store.transaction() as work:
            work.open_account(ROMEO, 1.0)
            work.held.add(evolve(HELD, stanza=big))
            assert work.held.all(ROMEO)[0].stanza == big


class TestPeerKeys:
    def test_first_key_is_pinned_and_later_ones_are_not(self, place: Place) -> None:
        with place.open() as store, store.transaction() as work:
            work.open_account(ROMEO, 1.0)
            first = work.peer_keys.learn(ROMEO, JULIET, OTR, b"1", 10.0, first=Decision.TOFU)
            assert (first.new, first.first, first.key.decision) == (True, True, Decision.TOFU)
            again = work.peer_keys.learn(ROMEO, JULIET, OTR, b"1", 20.0, first=Decision.TOFU)
            assert (again.new, again.first) == (False, False)
            assert (again.key.first_seen, again.key.last_seen) == (10.0, 20.0)
            second = work.peer_keys.learn(ROMEO, JULIET, SECOND, b"2", 30.0, first=Decision.TOFU)
            assert (second.new, second.first, second.key.decision) == (True, False, Decision.UNDECIDED)
            assert second.others == second.others_of_method == (again.key,)
            other = work.peer_keys.learn(ROMEO, JULIET, OX, b"3", 40.0, first=Decision.TOFU)
            assert other.key.decision is Decision.UNDECIDED
            assert other.others_of_method == ()
            assert other.others == (again.key, second.key)

    def test_first_of_a_method(self, place: Place) -> None:
        with place.open() as store, store.transaction() as work:
            work.open_account(ROMEO, 1.0)
            work.peer_keys.learn(ROMEO, JULIET, OTR, b"1", 10.0)
            seen = work.peer_keys.learn(ROMEO, JULIET, OX, b"3", 40.0, first=Decision.TOFU, first_of="method")
            assert seen.key.decision is Decision.TOFU
            third = Fingerprint("ox", "DD" * 20)
            seen = work.peer_keys.learn(
                ROMEO, JULIET, third, b"3", 40.0, first=Decision.TOFU, first_of="method"
            )
            assert seen.key.decision is Decision.UNDECIDED

    def test_first_is_per_account_and_contact(self, place: Place) -> None:
        with place.open() as store, store.transaction() as work:
            for account in (ROMEO, "benvolio@example.test"):
                work.open_account(account, 1.0)
                for contact in (JULIET, account):
                    seen = work.peer_keys.learn(account, contact, OTR, b"1", 10.0, first=Decision.TOFU)
                    assert seen.first

    def test_decisions_are_kept_with_how_and_when(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            key = work.peer_keys.decide(ROMEO, JULIET, OTR, Decision.VERIFIED, how="smp", at=1234.5)
            assert (key.first_seen, key.public) == (1001.0, b"public")
        with reopened(filled) as store, store.transaction() as work:
            kept = work.peer_keys.get(ROMEO, JULIET, OTR)
            assert kept == key
            assert (kept.decision, kept.how_verified, kept.verified_at) == (Decision.VERIFIED, "smp", 1234.5)
            seen = work.peer_keys.learn(ROMEO, JULIET, OTR, b"public", 9000.0, first=Decision.TOFU)
            assert seen.key.decision is Decision.VERIFIED

    @pytest.mark.parametrize("decision", list(Decision))
    def test_every_decision_comes_back(self, filled: Place, decision: Decision) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.peer_keys.decide(ROMEO, JULIET, OTR, decision)
            assert work.peer_keys.of(ROMEO, JULIET)[0].decision is decision

    def test_deciding_about_an_unseen_key(self, filled: Place) -> None:
        with (
            reopened(filled) as store,
            store.transaction() as work,
            pytest.raises(StoreError, match="was ever seen"),
        ):
            work.peer_keys.decide(ROMEO, JULIET, SECOND, Decision.ACCEPTED)

    def test_a_decision_of_the_future_is_a_refusal(self, filled: Place) -> None:
        filled.change("UPDATE peer_keys SET decision = 'trusted-by-moon'")
        with reopened(filled) as store, store.transaction() as work:
            assert work.peer_keys.of(ROMEO, JULIET)[0].decision is Decision.DISTRUSTED

    def test_touching_never_goes_back(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.peer_keys.touch(ROMEO, JULIET, OTR, 3000.0)
            work.peer_keys.touch(ROMEO, JULIET, OTR, 2000.0)
            work.peer_keys.touch(ROMEO, JULIET, SECOND, 2000.0)
            assert [key.last_seen for key in work.peer_keys.all(ROMEO)] == [3000.0]
            seen = work.peer_keys.learn(ROMEO, JULIET, OTR, b"public", 2500.0)
            assert seen.key.last_seen == 3000.0

    def test_what_goes_with_a_fingerprint_may_change(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.peer_keys.decide(ROMEO, JULIET, OTR, Decision.VERIFIED)
            work.peer_keys.learn(ROMEO, JULIET, OTR, b"renewed", 2500.0)
            (key,) = work.peer_keys.of(ROMEO, JULIET)
            assert (key.public, key.decision) == (b"renewed", Decision.VERIFIED)

    def test_sticky_keeps_its_first_reason(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.sticky.add(evolve(STICKY, since=5000.0, why="user"))
            assert work.sticky.all(ROMEO) == (STICKY,)


class TestSent:
    @pytest.mark.parametrize(
        ("to", "client_id", "stanza", "since", "found"),
        [
            (JULIET, "c1", STANZA, 1003.0, True),
            (JULIET, "c1", STANZA, 1003.1, False),
            ("nurse@example.test", "c1", STANZA, 0, False),
            (JULIET, "c2", STANZA, 0, False),
            (JULIET, None, STANZA, 0, False),
            (JULIET, "", STANZA, 0, False),
            (JULIET, "c1", STANZA + b" ", 0, False),
        ],
    )
    def test_twice(
        self, filled: Place, to: str, client_id: str | None, stanza: bytes, since: float, *, found: bool
    ) -> None:
        with reopened(filled) as store, store.transaction() as work:
            copy = work.sent.twice(ROMEO, to, client_id, stanza, since=since)
            assert copy == (SENT if found else None)

    def test_an_acknowledged_one_was_not_sent_twice(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            assert work.sent.unacknowledged(ROMEO) == (SENT,)
            work.sent.acknowledge(ROMEO, ["o1", "unknown"])
            assert work.sent.unacknowledged(ROMEO) == ()
            assert work.sent.twice(ROMEO, JULIET, "c1", STANZA, since=0) is None
            assert work.sent.by_outer(ROMEO, "o1") == evolve(SENT, acknowledged=True, outer=None)

    def test_without_an_id_or_an_original(self, filled: Place) -> None:
        bare = evolve(SENT, outer_id="o2", client_id=None, original=None, outer=None)
        with reopened(filled) as store, store.transaction() as work:
            work.sent.note(bare, STANZA)
            assert work.sent.by_outer(ROMEO, "o2") == bare
            assert work.sent.twice(ROMEO, JULIET, None, STANZA, since=0) == bare

    def test_purging_keeps_what_may_still_be_lost(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.sent.note(evolve(SENT, outer_id="o2", acknowledged=True, sent_at=1100.0), STANZA)
            work.sent.note(evolve(SENT, outer_id="o3", acknowledged=True, sent_at=1200.0), STANZA)
            assert work.sent.purge(1200.0) == 1
            assert [sent.outer_id for sent in work.sent.unacknowledged(ROMEO)] == ["o1"]
            assert work.sent.by_outer(ROMEO, "o3") is not None

    def test_order_is_that_of_sending(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            for number in (5, 3, 9, 1):
                work.sent.note(evolve(SENT, outer_id=f"x{number}", sent_at=2000.0 + number), STANZA)
            found = [sent.outer_id for sent in work.sent.unacknowledged(ROMEO)]
            assert found == ["o1", "x1", "x3", "x5", "x9"]

    def test_digest_cannot_be_guessed(self, filled: Place) -> None:
        """The same stanza of two accounts has two digests: each is keyed with the account's own key."""
        with reopened(filled) as store, store.transaction() as work:
            work.open_account(JULIET, 1.0)
            work.sent.note(evolve(SENT, account=JULIET), STANZA)
        assert len(set(filled.rows("SELECT same FROM sent_ids"))) == 2


class TestKept:
    def test_held_keep_their_order(self, filled: Place) -> None:
        with reopened(filled) as store:
            for name in ("z", "a", "m"):
                with store.transaction() as work:
                    work.held.add(evolve(HELD, reference=name, held_at=0.0))
            with store.transaction() as work:
                assert [stanza.reference for stanza in work.held.all(ROMEO)] == ["h1", "z", "a", "m"]

    def test_a_reference_is_used_once(self, filled: Place) -> None:
        with reopened(filled) as store:
            with pytest.raises(StoreError), store.transaction() as work:
                work.held.add(HELD)
            with store.transaction() as work:
                assert work.held.all(ROMEO) == (HELD,)

    def test_originals_expire(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            assert work.originals.get(ROMEO, "p1", now=2000.0) is None
            assert work.originals.purge(1999.0) == 0
            assert work.originals.purge(2000.0) == 1
            assert work.originals.get(ROMEO, "p1", now=0.0) is None

    def test_reports_of_others_stay(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.open_account(JULIET, 1.0)
            (report,) = work.reports.all(ROMEO)
            assert work.reports.remove(JULIET, [report.number]) == 0
            assert work.reports.all(ROMEO) == (report,)


class TestRosters:
    def test_a_later_copy_takes_the_place_of_an_earlier_one(self, filled: Place) -> None:
        later = StoredRoster(None, {})
        with reopened(filled) as store, store.transaction() as work:
            work.rosters.put(ROMEO, later)
            assert work.rosters.get(ROMEO) == later
            assert work.rosters.remove(ROMEO) is True
            assert work.rosters.get(ROMEO) is None
        assert filled.rows("SELECT * FROM rosters") == []

    def test_every_letter(self, filled: Place) -> None:
        odd = StoredRoster('\0"\\ü\U0001f512', {"\0'\"{}[]\\\n🙂@example.test": "none", "": "x"})
        with reopened(filled) as store, store.transaction() as work:
            work.rosters.put(ROMEO, odd)
            assert work.rosters.get(ROMEO) == odd

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x02" + encoded(ROSTER)[1:],
            encoded(ROSTER)[:-1],
            b"\x01{}",
            *(
                b"\x01" + zlib.compress(text)
                for text in (
                    b"",
                    b"[]",
                    b"[1,{}]",
                    b"[null,[]]",
                    b'[null,{"a":1}]',
                    b"7",
                    b"[" * 200_000,
                    b"\xff",
                )
            ),
        ],
    )
    def test_what_is_no_roster_is_none(self, filled: Place, data: bytes) -> None:
        assert decoded(data) is None
        with reopened(filled) as store, store.transaction() as work:
            sealed = work._cells.seal(ROMEO, data, cell("rosters", "data", ROMEO))
            work._cells.put(rosters, row_id(ROMEO), {"account": ROMEO, "data": sealed})
        with reopened(filled) as store, store.transaction() as work:
            assert work.rosters.get(ROMEO) is None
            assert store.stopped == {}

    def test_one_that_would_take_all_memory_is_none(self) -> None:
        assert decoded(b"\x01" + zlib.compress(b" " * (MOST_BYTES + 1))) is None

    def test_nothing_of_it_is_shown(self) -> None:
        assert CANARY.decode() not in repr(StoredRoster(None, ROSTER.subscriptions))
        assert CANARY.decode() not in repr(SENT)

    def test_fifty_thousand_contacts(self, place: Place) -> None:
        contacts = {
            f"contact-{number:05d}-{number * 7919 % 65536:04x}@example.test": "both"
            for number in range(50_000)
        }
        roster = StoredRoster("v", contacts)
        with place.open() as store, store.transaction() as work:
            work.open_account(ROMEO, 1.0)
            work.rosters.put(ROMEO, roster)
            assert work.rosters.get(ROMEO) == roster
        (size,) = place.rows("SELECT length(data) FROM rosters")[0]
        assert size < 1_000_000


class TestLoading:
    def test_everything_in_one_go(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            told = evolve(SENT, outer_id="o0", client_id=None, acknowledged=True, sent_at=1.0)
            work.sent.note(told, STANZA)
            loaded = work.load(ROMEO)
            assert loaded == Loaded(
                account=ROMEO,
                identities=(IDENTITY,),
                records=(RECORD,),
                held=(HELD,),
                unacknowledged=(SENT,),
                reports=work.reports.all(ROMEO),
                roster=ROSTER,
                recent=(
                    SentPair(outer_id="o0", client_id=None, to=JULIET, sent_at=1.0),
                    SentPair(outer_id="o1", client_id="c1", to=JULIET, sent_at=1003.0),
                ),
                doubtful=(told,),
                capabilities=(CAPABILITIES,),
            )
            assert len(loaded.reports) == 1
        assert CANARY.decode() not in repr(loaded)

    def test_what_was_told_is_doubtful_until_its_time_is_over(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.sent.told(ROMEO, [SENT.outer_id])
            assert work.load(ROMEO).unacknowledged == ()
            (doubtful,) = work.load(ROMEO).doubtful
            assert doubtful == evolve(SENT, acknowledged=True)
            assert work.sent.never_again(SENT.sent_at) == 0
            assert work.sent.never_again(SENT.sent_at + 1) == 1
            assert work.load(ROMEO).doubtful == ()
            assert work.sent.by_outer(ROMEO, SENT.outer_id) == evolve(SENT, acknowledged=True, outer=None)

    def test_of_a_new_account_nothing(self, filled: Place) -> None:
        with filled.open() as store, store.transaction() as work:
            work.open_account(JULIET, 1.0)
            loaded = work.load(JULIET)
        assert loaded.roster is None
        assert not any(value for name, value in asdict(loaded).items() if name != "account")

    def test_one_that_is_not_open(self, filled: Place) -> None:
        with filled.open() as store, pytest.raises(StoreError, match="not open"), store.transaction() as work:
            work.load(ROMEO)

    def test_only_the_newest_pairs(self, filled: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transaction, "MOST_PAIRS", 3)
        with reopened(filled) as store, store.transaction() as work:
            work.open_account(JULIET, 1.0)
            work.sent.note(evolve(SENT, account=JULIET, outer_id="hers", sent_at=9000.0), STANZA)
            for number in (5, 3, 9, 1):
                work.sent.note(evolve(SENT, outer_id=f"x{number}", sent_at=2000.0 + number), STANZA)
            assert [pair.outer_id for pair in work.load(ROMEO).recent] == ["x3", "x5", "x9"]


class TestSettingsOfANewerVersion:
    FUTURE = PolicyRow(account=ROMEO, scope="planet", key="earth", setting="quantum", value="über alles; 2")

    def test_they_survive_what_this_version_does(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.policy.set(self.FUTURE)
            work.policy.set(evolve(self.FUTURE, account="", value="x"))
            work.policy.set(evolve(POLICY, setting="unheard-of"))
        with reopened(filled) as store, store.transaction() as work:
            work.policy.set(evolve(POLICY, value="never"))
            work.policy.unset(ROMEO, POLICY.scope, POLICY.key, POLICY.setting)
            assert set(work.policy.all(ROMEO)) == {self.FUTURE, evolve(POLICY, setting="unheard-of")}
            assert work.policy.all("") == (evolve(self.FUTURE, account="", value="x"),)

    def test_the_archive_takes_them_along(self, filled: Place) -> None:
        with reopened(filled) as store, store.transaction() as work:
            work.policy.set(self.FUTURE)
            content = from_json(to_json(collect(work, ROMEO)))
            work.reset(ROMEO)
            restore(work, content, 1.0)
            assert set(work.policy.all(ROMEO)) == {self.FUTURE, POLICY}


SWAPS = [
    ("identities", "secret"),
    ("method_records", "data"),
    ("sent_ids", "original"),
    ("sent_ids", "outer_stanza"),
    ("held", "stanza"),
    ("originals", "stanza"),
    ("reports", "text"),
    ("capabilities", "data"),
]
ONE_ROW = ("rosters", "data")  # of which an account has one only


def read_all(work: Transaction, account: str) -> None:
    """Read every sealed value of *account*."""
    work.load(account)
    for number in (1, 2):
        work.originals.get(account, f"p{number}", now=0.0)


def fill_twice(work: Transaction) -> None:
    """Two rows of one account in each table."""
    fill(work)
    work.identities.put(evolve(IDENTITY, name="second"))
    work.records.put(evolve(RECORD, key="second"))
    work.sent.note(evolve(SENT, outer_id="o2"), STANZA)
    work.held.add(evolve(HELD, reference="h2"))
    work.originals.keep(evolve(ORIGINAL, reference="p2"))
    work.reports.add(ROMEO, "second", 1.0)
    work.capabilities.put(ROMEO, evolve(CAPABILITIES, ver="second"))


class TestDamage:
    def test_every_secret_table_is_in_the_swaps(self) -> None:
        declared = [(table.name, column) for table, column in SEALED]
        assert {("accounts", "wrapped_key"), *SWAPS, ONE_ROW} == set(declared)

    @pytest.mark.parametrize(("table", "column"), SWAPS)
    def test_swapped_cells_do_not_open(self, place: Place, table: str, column: str) -> None:
        with place.open() as store, store.transaction() as work:
            fill_twice(work)
            read_all(work, ROMEO)
        key = "number" if table == "reports" else "id"
        (one, first), (two, second) = place.rows(f"SELECT {key}, {column} FROM {table}")
        place.change(f"UPDATE {table} SET {column} = :value WHERE {key} = :row", value=second, row=one)
        place.change(f"UPDATE {table} SET {column} = :value WHERE {key} = :row", value=first, row=two)
        self.require_stopped(place)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE sent_ids SET outer_stanza = original",
            "UPDATE sent_ids SET original = outer_stanza",
            "UPDATE rosters SET data = (SELECT original FROM sent_ids)",
            "UPDATE rosters SET data = (SELECT text FROM reports)",
            "UPDATE held SET stanza = (SELECT data FROM rosters)",
        ],
    )
    def test_cells_of_other_columns_do_not_open(self, filled: Place, statement: str) -> None:
        assert filled.change(statement) == 1
        self.require_stopped(filled)

    @pytest.mark.parametrize(("table", "column"), [*SWAPS, ONE_ROW])
    def test_a_changed_cell_stops_its_account_only(self, filled: Place, table: str, column: str) -> None:
        ((value,),) = filled.rows(f"SELECT {column} FROM {table}")
        changed = bytearray(bytes(value))
        changed[-1] ^= 1
        filled.change(f"UPDATE {table} SET {column} = :value", value=bytes(changed))
        self.require_stopped(filled)

    @pytest.mark.parametrize("value", [b"", b"\x01" * 61, b"\x02" + b"x" * 60])
    def test_a_damaged_account_key(self, filled: Place, value: bytes) -> None:
        filled.change("UPDATE accounts SET wrapped_key = :value", value=value)
        self.require_stopped(filled)

    def test_an_account_key_of_another_account(self, filled: Place) -> None:
        with filled.open() as store, store.transaction() as work:
            work.open_account(JULIET, 1.0)
        filled.change(
            "UPDATE accounts SET wrapped_key = (SELECT wrapped_key FROM accounts WHERE account = :other)"
            " WHERE account = :account",
            account=ROMEO,
            other=JULIET,
        )
        self.require_stopped(filled)

    def require_stopped(self, place: Place) -> None:
        """Romeo is stopped, Juliet is not, and nothing of Romeo's has been changed."""
        before = self.of_romeo(place)
        with place.open() as store:
            with (
                pytest.raises(
                    StoppedError, match=rf"encryption for {ROMEO} has been stopped.*backup"
                ) as caught,
                store.transaction() as work,
            ):
                work.open_account(ROMEO, 1.0)
                read_all(work, ROMEO)
            assert isinstance(caught.value, LocalError)
            assert CANARY.decode() not in str(caught.value)
            assert list(store.stopped) == [ROMEO]
            for change in (
                lambda work: work.open_account(ROMEO, 1.0),
                lambda work: work.records.put(evolve(RECORD, data=b"overwritten")),
                lambda work: work.records.remove(ROMEO, RECORD.method, RECORD.key),
                lambda work: work.peer_keys.learn(ROMEO, JULIET, SECOND, b"", 1.0),
                lambda work: work.identities.remove(ROMEO, "otr", "dsa"),
                lambda work: work.identities.put(IDENTITY),
                lambda work: work.held.remove(ROMEO, ["h1"]),
                lambda work: work.sent.remove(ROMEO, ["o1"]),
                lambda work: work.sent.acknowledge(ROMEO, ["o1"]),
                lambda work: work.reports.remove(ROMEO, [1]),
                lambda work: work.rosters.put(ROMEO, ROSTER),
                lambda work: work.rosters.remove(ROMEO),
                lambda work: work.capabilities.put(ROMEO, CAPABILITIES),
                lambda work: work.capabilities.used(ROMEO, "ver", 9.0),
                lambda work: work.policy.set(POLICY),
                lambda work: work.sticky.remove(ROMEO, JULIET),
            ):
                with pytest.raises(StoppedError), store.transaction() as work:
                    change(work)
            with store.transaction() as work:
                work.open_account(JULIET, 1.0)
                work.records.put(evolve(RECORD, account=JULIET))
        assert self.of_romeo(place) == before

    @staticmethod
    def of_romeo(place: Place) -> dict[str, list[tuple[object, ...]]]:
        return {
            name: sorted(
                place.rows(f"SELECT * FROM {name} WHERE account = :account", account=ROMEO), key=repr
            )
            for name, table in metadata.tables.items()
            if "account" in table.c
        }

    def test_reset_says_what_is_lost_and_gives_a_new_start(self, filled: Place) -> None:
        filled.change("UPDATE accounts SET wrapped_key = :value", value=b"")
        with filled.open() as store:
            with pytest.raises(StoppedError), store.transaction() as work:
                work.open_account(ROMEO, 1.0)
            with store.transaction() as work:
                lines = work.losses(ROMEO).lines()
                assert lines == work.reset(ROMEO).lines()
                assert work.losses(ROMEO).lines() == []
            assert "1 own keys (otr dsa): contacts will see new ones" in lines
            assert len(lines) == 11  # all but a verified key
            with store.transaction() as work:
                assert work.open_account(ROMEO, 1.0) is True
                read_all(work, ROMEO)
                assert work.identities.all(ROMEO) == ()
                assert work.policy.all(ROMEO) == ()

    def test_reset_leaves_the_others(self, filled: Place) -> None:
        with filled.open() as store:
            with store.transaction() as work:
                work.open_account(JULIET, 1.0)
                work.records.put(evolve(RECORD, account=JULIET))
                work.policy.set(
                    PolicyRow(account="", scope="default", key="", setting="encrypt", value="require")
                )
            with store.transaction() as work:
                work.reset(ROMEO)
            with store.transaction() as work:
                assert work.accounts() == (JULIET,)
                assert len(work.records.all(JULIET)) == 1
                assert len(work.policy.all("")) == 1


class TestOpening:
    def test_wrong_key_changes_nothing(self, filled: Place) -> None:
        before = filled.everything()
        other = KeyFile(filled.data / "other.key")
        other.make(os.urandom)
        with pytest.raises(VaultError, match="not the key that the store was made with"):
            filled.open(source=other)
        assert filled.everything() == before
        reopened(filled).close()

    def test_missing_key_file_is_not_made_anew(self, filled: Place) -> None:
        filled.key_file.path.rename(filled.data / "elsewhere")
        before = filled.everything()
        with pytest.raises(VaultError, match="missing"):
            filled.open()
        assert not filled.key_file.path.exists()
        assert filled.everything() == before

    def test_another_kind_of_key(self, filled: Place) -> None:
        with pytest.raises(VaultError, match=r"'key-file'.*'passphrase'"):
            filled.open(source=Passphrase(lambda: "x"))

    def test_damaged_key_check(self, filled: Place) -> None:
        filled.change("UPDATE meta SET value = 'zz' WHERE name = 'check'")
        with pytest.raises(VaultError, match="check is damaged"):
            filled.open()

    def test_passphrase(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        cheap = ScryptParameters(bytes(range(16)), n=2**14, p=1)
        monkeypatch.setattr(ScryptParameters, "new", lambda _: cheap)
        with place.open(source=Passphrase(lambda: "open sesame")) as store, store.transaction() as work:
            fill(work)
        assert not place.key_file.path.exists()
        with place.open(source=Passphrase(lambda: "open sesame")) as store, store.transaction() as work:
            assert work.open_account(ROMEO, 1.0) is False
            read_all(work, ROMEO)
        with pytest.raises(VaultError, match="not the key"):
            place.open(source=Passphrase(lambda: "open barley"))

    def test_a_database_of_somebody_else(self, place: Place) -> None:
        place.change("CREATE TABLE recipes (name TEXT)")
        with pytest.raises(StoreError, match=r"not e2eproxy's \(recipes\)"):
            place.open()
        assert place.rows("SELECT * FROM recipes") == []

    def test_two_that_open_a_new_store_agree_on_its_key(self, place: Place) -> None:
        with place.open() as one, place.open() as two:
            with one.transaction() as work:
                work.open_account(ROMEO, 1.0)
                work.identities.put(IDENTITY)
            with two.reading() as work:
                assert work.identities.all(ROMEO) == (IDENTITY,)

    def test_reading_sees_only_what_is_committed(self, filled: Place) -> None:
        with reopened(filled) as store:
            with store.transaction() as work:
                work.policy.set(evolve(POLICY, value="never"))
                with store.reading() as beside:
                    assert beside.policy.all(ROMEO) == (POLICY,)
            with store.reading() as beside:
                assert beside.policy.all(ROMEO) == (evolve(POLICY, value="never"),)
                beside.policy.set(POLICY)
            with store.reading() as beside:
                assert beside.policy.all(ROMEO) == (evolve(POLICY, value="never"),)


class TestSQLite:
    def test_settings(self, sqlite_place: Place) -> None:
        with sqlite_place.open() as store, store._engine.connect() as connection:  # the settings are its own
            expected = {
                "journal_mode": "wal",
                "synchronous": 2,
                "secure_delete": 1,
                "foreign_keys": 1,
                "busy_timeout": 5000,
            }
            assert {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected
            } == expected

    def test_files_are_private_whatever_the_umask(self, sqlite_place: Place) -> None:
        before = os.umask(0)
        try:
            with sqlite_place.open() as store, store.transaction() as work:
                fill(work)
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sqlite_place.data.iterdir()}
        finally:
            os.umask(before)
        names = {"store.sqlite", "store.sqlite-shm", "store.sqlite-wal", "vault.key"}
        assert modes == dict.fromkeys(names, 0o600)

    def test_closing_leaves_no_log(self, sqlite_place: Place) -> None:
        with sqlite_place.open() as store, store.transaction() as work:
            fill(work)
        assert {path.name for path in sqlite_place.data.iterdir()} == {"store.sqlite", "vault.key"}

    @pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_file_that_is_no_database_stays(self, sqlite_place: Place, content: bytes) -> None:
        file = sqlite_place.data / "store.sqlite"
        file.write_bytes(content)
        with pytest.raises(StoreError, match=r"store\.sqlite"):
            sqlite_place.open()
        assert file.read_bytes() == content

    def test_a_directory_that_is_not_there(self, sqlite_place: Place) -> None:
        gone = Place(sqlite_place.data / "gone")
        with pytest.raises(StoreError, match="cannot be opened"):
            gone.open()

    def test_a_full_disk_undoes_the_transaction(self, sqlite_place: Place) -> None:
        with sqlite_place.open() as store:
            with store.transaction() as work:
                fill(work)
            store._live().exec_driver_sql("PRAGMA max_page_count = 60")
            store._live().rollback()
            with pytest.raises(StoreError, match="full") as caught, store.transaction() as work:
                work.policy.set(evolve(POLICY, value="never"))
                work.held.add(evolve(HELD, reference="big", stanza=bytes(2**20)))
            assert "INSERT" not in str(caught.value)
            with store.transaction() as work:
                assert work.policy.all(ROMEO) == (POLICY,)
                work.policy.set(evolve(POLICY, value="never"))
