"""Sealing: nothing opens that was changed, moved or sealed with another key."""

from __future__ import annotations

import itertools
import os

import pytest

from e2eproxy.errors import LocalError
from e2eproxy.trust.vault import KEY_BYTES, OVERHEAD, Vault, VaultError, cell, joined, row_id

PLACE = cell("identities", "secret", "romeo@example.test", "otr", "dsa")


def counting() -> Vault:
    numbers = itertools.count(1)
    return Vault(bytes(range(32)), lambda count: next(numbers).to_bytes(count, "big"))


def test_what_was_sealed_opens_at_its_place() -> None:
    vault = counting()
    for plain in (b"", b"x", os.urandom(5000)):
        sealed = vault.seal(plain, PLACE)
        assert len(sealed) == len(plain) + OVERHEAD
        assert vault.open(sealed, PLACE) == plain


def test_format_is_version_nonce_ciphertext() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = counting().seal(b"secret", PLACE)
    nonce = (1).to_bytes(12, "big")
    assert sealed == b"\x01" + nonce + AESGCM(bytes(range(32))).encrypt(nonce, b"secret", PLACE)


def test_no_nonce_twice() -> None:
    vault = Vault(os.urandom(32), os.urandom)
    assert len({vault.seal(b"same", PLACE)[1:13] for _ in range(500)}) == 500


def test_every_changed_bit_is_noticed() -> None:
    vault = counting()
    sealed = vault.seal(b"secret", PLACE)
    for at, bit in itertools.product(range(len(sealed)), range(8)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << bit
        with pytest.raises(VaultError):
            vault.open(bytes(changed), PLACE)


def test_every_truncation_is_noticed() -> None:
    vault = counting()
    sealed = vault.seal(b"secret", PLACE)
    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.open(sealed[:length], PLACE)


@pytest.mark.parametrize(
    "other",
    [
        cell("method_records", "secret", "romeo@example.test", "otr", "dsa"),
        cell("identities", "public", "romeo@example.test", "otr", "dsa"),
        cell("identities", "secret", "juliet@example.test", "otr", "dsa"),
        cell("identities", "secret", "romeo@example.test", "otrdsa"),
        cell("identities", "secret", "romeo@example.testotr", "", "dsa"),
    ],
)
def test_another_place_does_not_open_it(other: bytes) -> None:
    vault = counting()
    with pytest.raises(VaultError, match="does not open"):
        vault.open(vault.seal(b"secret", PLACE), other)


def test_another_key_does_not_open_it() -> None:
    sealed = counting().seal(b"secret", PLACE)
    with pytest.raises(VaultError, match="does not open") as caught:
        Vault(os.urandom(32), os.urandom).open(sealed, PLACE)
    assert isinstance(caught.value, LocalError)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_key_has_256_bits(length: int) -> None:
    with pytest.raises(VaultError, match=f"{KEY_BYTES} bytes"):
        Vault(bytes(length), os.urandom)


def test_key_does_not_show() -> None:
    vault = counting()
    assert bytes(range(32)).hex() not in repr(vault) + repr(vars(vault))


def test_digest_depends_on_key_and_parts() -> None:
    one, same, other = counting(), counting(), Vault(bytes(32), os.urandom)
    assert one.digest(b"a", b"b") == same.digest(b"a", b"b")
    found = {one.digest(b"a", b"b"), other.digest(b"a", b"b"), one.digest(b"ab"), one.digest(b"", b"ab")}
    assert len(found) == 4


def test_names_are_unambiguous() -> None:
    parts = ["", "a", "aa", "\0"]
    rows = [row for length in range(4) for row in itertools.product(parts, repeat=length)]
    assert len({row_id(*row) for row in rows}) == len(rows)
    assert len({joined(*(part.encode() for part in row)) for row in rows}) == len(rows)
