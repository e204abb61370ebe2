"""The book always says what the store has: any sequence of changes, some undone, against a plain model and a new book."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve
from bed.stores import Place
from hypothesis import given, settings
from hypothesis import strategies as st

from e2eproxy.trust.book import Book
from e2eproxy.trust.values import Decision, Fingerprint, PolicyRow, StickyContact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2eproxy.trust.transaction import Transaction
    from e2eproxy.trust.values import PeerKey

ACCOUNTS = ("romeo@example.test", "juliet@example.test")
CONTACTS = ("nurse@example.test", "tybalt@example.test", *ACCOUNTS)
FINGERPRINTS = tuple(Fingerprint(method, text) for method in ("otr", "ox") for text in ("aa", "bb"))

accounts = st.sampled_from(ACCOUNTS)
contacts = st.sampled_from(CONTACTS)
fingerprints = st.sampled_from(FINGERPRINTS)
times = st.integers(0, 50).map(float)
changes = st.one_of(
    st.tuples(st.just("learn"), accounts, contacts, fingerprints, times, st.booleans()),
    st.tuples(st.just("decide"), accounts, contacts, fingerprints, st.sampled_from(Decision)),
    st.tuples(st.just("forget"), accounts, contacts, fingerprints),
    st.tuples(st.just("set"), accounts | st.just(""), contacts, st.sampled_from(["require", "never"])),
    st.tuples(st.just("unset"), accounts | st.just(""), contacts),
    st.tuples(st.just("stick"), accounts, contacts, times),
    st.tuples(st.just("unstick"), accounts, contacts),
    st.tuples(st.just("reset"), accounts),
)
batches = st.lists(st.tuples(st.lists(changes, max_size=4), st.booleans()), max_size=8)


class Undone(Exception):  # noqa: N818 - no error, a part of the test
    """A part that is to be undone."""


class Model:
    """What the store has, as plain dictionaries."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], dict[Fingerprint, PeerKey]] = {}
        self.policy: dict[tuple[str, str], str] = {}
        self.sticky: dict[tuple[str, str], float] = {}

    def copy(self) -> Model:
        other = Model()
        other.keys = {place: dict(keys) for place, keys in self.keys.items()}
        other.policy, other.sticky = dict(self.policy), dict(self.sticky)
        return other

    def apply(self, work: Transaction, change: Sequence[Any]) -> None:
        """Do *change* here and there; results must agree."""
        getattr(self, change[0])(work, *change[1:])

    def learn(  # noqa: PLR0917 - called with what the strategy drew
        self, work: Transaction, account: str, contact: str, fingerprint: Fingerprint, at: float, tofu: bool
    ) -> None:
        mine = self.keys.setdefault((account, contact), {})
        first = Decision.TOFU if tofu else Decision.UNDECIDED
        seen = work.peer_keys.learn(account, contact, fingerprint, b"p", at, first=first)
        assert seen.new == (fingerprint not in mine)
        assert {key.fingerprint for key in seen.others} == set(mine) - {fingerprint}
        if seen.new:
            assert seen.key.decision is (first if not mine else Decision.UNDECIDED)
        else:
            assert seen.key.last_seen == max(at, mine[fingerprint].last_seen)
        mine[fingerprint] = seen.key

    def decide(
        self, work: Transaction, account: str, contact: str, fingerprint: Fingerprint, decision: Decision
    ) -> None:
        mine = self.keys.get((account, contact), {})
        if fingerprint in mine:
            work.peer_keys.decide(account, contact, fingerprint, decision)
            changed = evolve(mine[fingerprint], decision=decision, how_verified=None, verified_at=None)
            mine[fingerprint] = changed

    def forget(self, work: Transaction, account: str, contact: str, fingerprint: Fingerprint) -> None:
        known = self.keys.get((account, contact), {}).pop(fingerprint, None)
        assert work.peer_keys.forget(account, contact, fingerprint) == (known is not None)

    def set(self, work: Transaction, account: str, contact: str, value: str) -> None:
        work.policy.set(
            PolicyRow(account=account, scope="contact", key=contact, setting="encrypt", value=value)
        )
        self.policy[account, contact] = value

    def unset(self, work: Transaction, account: str, contact: str) -> None:
        known = self.policy.pop((account, contact), None)
        assert work.policy.unset(account, "contact", contact, "encrypt") == (known is not None)

    def stick(self, work: Transaction, account: str, contact: str, at: float) -> None:
        work.sticky.add(StickyContact(account=account, contact=contact, since=at, why="user"))
        self.sticky.setdefault((account, contact), at)

    def unstick(self, work: Transaction, account: str, contact: str) -> None:
        known = self.sticky.pop((account, contact), None)
        assert work.sticky.remove(account, contact) == (known is not None)

    def reset(self, work: Transaction, account: str) -> None:
        work.reset(account)
        work.open_account(account, 0.0)
        for kept in (self.keys, self.policy, self.sticky):
            for place in [place for place in kept if place[0] == account]:
                del kept[place]

    def compare(self, book: Book) -> None:
        for account in ACCOUNTS:
            known = {contact for owner, contact in self.sticky if owner == account}
            known |= {contact for (owner, contact), keys in self.keys.items() if owner == account and keys}
            assert set(book.contacts(account)) == known
        for place in [(account, contact) for account in ("", *ACCOUNTS) for contact in CONTACTS]:
            account, contact = place
            expected = {"encrypt": self.policy[place]} if place in self.policy else {}
            assert book.settings(account, "contact", contact) == expected
            mine = self.keys.get(place, {})
            shown = book.keys(account, contact)
            assert {key.fingerprint: key for key in shown} == mine
            assert [key.first_seen for key in shown] == sorted(key.first_seen for key in shown)
            sticky = book.sticky(account, contact)
            assert (sticky and sticky.since) == self.sticky.get(place)


def run(work: Transaction, model: Model, part: Sequence[Sequence[Any]], *, undone: bool) -> None:
    with work.nested():
        for change in part:
            model.apply(work, change)
        if undone:
            raise Undone


@settings(deadline=None)
@given(batches)
def test_book_follows_the_store(parts: list[tuple[list[tuple[Any, ...]], bool]]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder, Place(Path(folder)).open() as store:
        book, new = Book(store.read_public), Book(store.read_public)
        with store.transaction() as work:
            for account in ACCOUNTS:
                work.open_account(account, 0.0)
        book.apply(work.changes)
        for part, undone in parts:
            before = model.copy()
            with store.transaction() as work:
                try:
                    run(work, model, part, undone=undone)
                except Undone:
                    model = before
            book.apply(work.changes)
            model.compare(book)
        with store.transaction() as work:
            work.tell_defaults()
            for account in ACCOUNTS:
                work.open_account(account, 0.0)
        new.apply(work.changes)
        model.compare(new)
