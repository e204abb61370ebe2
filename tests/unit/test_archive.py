"""The archive: identities and trust come back, ratchets do not, and nothing that was changed is believed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from attrs import evolve, fields
from bed.stores import JULIET, ROMEO, Place

from e2eproxy.errors import LocalError
from e2eproxy.trust import archive
from e2eproxy.trust.archive_values import CODECS, ArchiveError, Content, from_json, to_json
from e2eproxy.trust.passphrase import ScryptParameters
from e2eproxy.trust.values import (
    Decision,
    Fingerprint,
    HeldStanza,
    IdentityKey,
    MethodRecord,
    PeerKey,
    PolicyRow,
    StickyContact,
)

if TYPE_CHECKING:
    from e2eproxy.trust.transaction import Transaction

PASSPHRASE = "open sesame"
OTR = Fingerprint("otr", "aa" * 20)
KEY = PeerKey(
    account=ROMEO,
    contact=JULIET,
    fingerprint=OTR,
    public=b"\0\xff",
    first_seen=10.5,
    last_seen=20.0,
    decision=Decision.VERIFIED,
    how_verified="smp",
    verified_at=15.0,
)
CONTENT = Content(
    account=ROMEO,
    identities=(
        IdentityKey(
            account=ROMEO, method="otr", name="dsa", public=b"p", secret=b"canary-7f3a", created_at=1.0
        ),
    ),
    peer_keys=(KEY,),
    policy=(PolicyRow(account=ROMEO, scope="contact", key=JULIET, setting="encrypt", value="require"),),
    sticky=(StickyContact(account=ROMEO, contact=JULIET, since=5.0, why="proved"),),
)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase that is checked fast."""
    monkeypatch.setattr(ScryptParameters, "new", lambda random: ScryptParameters(random(16), n=2**14, p=1))


@pytest.fixture(scope="module")
def sealed() -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScryptParameters, "new", lambda random: ScryptParameters(random(16), n=2**14, p=1))
        return archive.seal(CONTENT, PASSPHRASE, os.urandom)


def test_content_comes_back(sealed: bytes) -> None:
    assert archive.unseal(sealed, PASSPHRASE) == CONTENT


def test_nothing_of_it_can_be_read(sealed: bytes) -> None:
    for text in (b"canary-7f3a", ROMEO.encode(), JULIET.encode(), b"aaaaaaaaaaaa", b"require"):
        assert text not in sealed
    assert sealed.startswith(b"e2eproxy archive 1\n")
    assert b"canary" not in repr(CONTENT).encode()


def test_wrong_passphrase(sealed: bytes) -> None:
    with pytest.raises(ArchiveError, match="passphrase is wrong") as caught:
        archive.unseal(sealed, "open barley")
    assert isinstance(caught.value, LocalError)


def test_every_changed_byte_is_noticed(sealed: bytes) -> None:
    """All of the two lines and the seal's own bytes; of the ciphertext a sample, since scrypt takes its time."""
    lines = sealed.index(b"\n", 20) + 1
    for at in [*range(lines + 13), len(sealed) // 2, len(sealed) - 1]:
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(LocalError):
            archive.unseal(bytes(changed), PASSPHRASE)


def test_every_truncation_is_noticed(sealed: bytes) -> None:
    lines = sealed.index(b"\n", 20) + 1
    for length in [*range(lines + 2), lines + 20, len(sealed) - 1]:
        with pytest.raises(ArchiveError):
            archive.unseal(sealed[:length], PASSPHRASE)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"e2eproxy archive 2\n{}\n", "version 2"),
        (b"e2eproxy archive \xff\n{}\n", "version"),
        (b"e2eproxy archive 1\n[]\n", "parameters"),
        (b"e2eproxy archive 1\nnull\n", "parameters"),
        (b"e2eproxy archive 1\n" + b"[" * 3000 + b"\n", "parameters"),
        (b"e2eproxy archive 1\n" + b" " * 5000 + b"\n", "not complete"),
        (b"something else", "not an archive"),
        (b"", "not an archive"),
    ],
)
def test_senseless_heads(head: bytes, said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        archive.unseal(head, PASSPHRASE)


def test_dear_parameters_are_refused(sealed: bytes) -> None:
    first, second, rest = sealed.split(b"\n", 2)
    parameters = json.loads(second) | {"scrypt-n": str(2**30)}
    with pytest.raises(ArchiveError, match="parameters"):
        archive.unseal(b"\n".join([first, json.dumps(parameters).encode(), rest]), PASSPHRASE)


@pytest.mark.parametrize("kind", CODECS)
def test_every_attribute_is_in_it(kind: str) -> None:
    value_type, readers = CODECS[kind]
    assert {attribute.name for attribute in fields(value_type)} == {"account", *readers}


SENSELESS = [None, [], {}, 5, "text", True, "\0", 1e300, ["otr"], ["otr", 1], "====", float("nan")]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (_, readers) in CODECS.items() for name in readers]
)
def test_senseless_content_is_an_archive_error(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "derive", lambda *_: bytes(32))
    refused = 0
    for value in SENSELESS:
        written = json.loads(json.dumps(to_json(CONTENT)))
        written[kind][0][name] = value
        monkeypatch.setattr(archive, "to_json", lambda _, written=written: written)
        made = archive.seal(CONTENT, PASSPHRASE, os.urandom)
        try:
            archive.unseal(made, PASSPHRASE)
        except ArchiveError:
            refused += 1
    assert refused >= len(SENSELESS) - 4


@pytest.mark.parametrize("given", [{}, [], None, {"account": 1}, {"account": ROMEO, "identities": 5}])
def test_senseless_structures(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "derive", lambda *_: bytes(32))
    monkeypatch.setattr(archive, "to_json", lambda _: given)
    made = archive.seal(CONTENT, PASSPHRASE, os.urandom)
    with pytest.raises(ArchiveError, match="not what it should be"):
        archive.unseal(made, PASSPHRASE)


def test_json_is_stable() -> None:
    assert from_json(json.loads(json.dumps(to_json(CONTENT)))) == CONTENT


# With a store


def restored(place: Place, content: Content, **options: bool) -> archive.Imported:
    with place.open() as store, store.transaction() as work:
        return archive.restore(work, content, 100.0, **options)


def collected(place: Place) -> Content:
    with place.open() as store, store.transaction() as work:
        work.open_account(ROMEO, 200.0)
        return archive.collect(work, ROMEO)


def test_into_an_empty_store(place: Place) -> None:
    assert restored(place, CONTENT) == archive.Imported(1, 1, 1, 1, ())
    assert collected(place) == CONTENT


def test_twice_changes_nothing(place: Place) -> None:
    restored(place, CONTENT)
    before = place.everything()
    assert restored(place, CONTENT) == archive.Imported(0, 0, 0, 0, ())
    assert place.everything() == before


def test_ratchets_and_messages_stay_at_home(place: Place) -> None:
    with place.open() as store, store.transaction() as work:
        archive.restore(work, CONTENT, 1.0)
        work.records.put(MethodRecord(account=ROMEO, method="otr", key="session", data=b"ratchet-51c2"))
        work.held.add(
            HeldStanza(account=ROMEO, contact=JULIET, reference="h", stanza=b"ratchet-51c2", held_at=1.0)
        )
        content = archive.collect(work, ROMEO)
    assert b"ratchet-51c2" not in json.dumps(to_json(content)).encode()
    assert content == CONTENT


def other_identity() -> Content:
    (mine,) = CONTENT.identities
    (row,) = CONTENT.policy
    return evolve(CONTENT, identities=(evolve(mine, secret=b"other"),), policy=(evolve(row, value="never"),))


def test_what_differs_stays_and_is_told(place: Place) -> None:
    restored(place, CONTENT)
    done = restored(place, other_identity())
    assert (done.identities, done.settings) == (0, 0)
    assert len(done.left) == 2
    assert "otr key 'dsa'" in done.left[0]
    assert "encrypt" in done.left[1]
    assert collected(place) == CONTENT


def test_what_differs_is_replaced_on_request(place: Place) -> None:
    restored(place, CONTENT)
    done = restored(place, other_identity(), replace=True)
    assert (done.identities, done.settings, done.left) == (1, 1, ())
    assert collected(place) == other_identity()


@pytest.mark.parametrize(
    ("mine", "theirs", "result"),
    [
        (Decision.UNDECIDED, Decision.VERIFIED, Decision.VERIFIED),
        (Decision.UNDECIDED, Decision.UNDECIDED, Decision.UNDECIDED),
        (Decision.TOFU, Decision.VERIFIED, Decision.TOFU),
        (Decision.VERIFIED, Decision.TOFU, Decision.VERIFIED),
        (Decision.VERIFIED, Decision.DISTRUSTED, Decision.DISTRUSTED),
        (Decision.DISTRUSTED, Decision.VERIFIED, Decision.DISTRUSTED),
    ],
)
def test_decisions_are_merged(
    sqlite_place: Place, mine: Decision, theirs: Decision, result: Decision
) -> None:
    local = evolve(KEY, decision=mine, first_seen=12.0, last_seen=13.0, how_verified=None, verified_at=None)

    def prepare(work: Transaction) -> None:
        work.open_account(ROMEO, 1.0)
        work.peer_keys.put(local)

    with sqlite_place.open() as store, store.transaction() as work:
        prepare(work)
    restored(sqlite_place, evolve(CONTENT, peer_keys=(evolve(KEY, decision=theirs),)))
    (key,) = collected(sqlite_place).peer_keys
    assert key.decision is result
    assert (key.first_seen, key.last_seen) == (10.5, 20.0)
    assert key.how_verified == ("smp" if result is theirs and mine is not theirs else local.how_verified) or (
        mine is Decision.UNDECIDED
    )
