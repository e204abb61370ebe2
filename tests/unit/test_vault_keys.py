"""Where the vault's key comes from: the one configured place, safe or not at all, and never a new key for an old store."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, ClassVar

import pytest

from e2eproxy.trust.key_sources import (
    KEY_LINE,
    KeyFile,
    Keyring,
    Passphrase,
    SystemdCredential,
    key_text,
    read_key_text,
)
from e2eproxy.trust.passphrase import ScryptParameters, derive
from e2eproxy.trust.vault import VaultError

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))


class TestKeyFile:
    def test_is_made_once_and_private(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            source = KeyFile(tmp_path / "vault.key")
            key, parameters = source.make(os.urandom)
        finally:
            os.umask(before)
        assert stat.S_IMODE(source.path.stat().st_mode) == 0o600
        assert source.path.read_text("ascii") == f"{KEY_LINE}{key.hex()}\n"
        assert parameters == {}
        assert source.get({}) == key == source.make(os.urandom)[0]
        assert [path.name for path in tmp_path.iterdir()] == ["vault.key"]

    def test_another_process_that_was_faster_wins(self, tmp_path: Path) -> None:
        source = KeyFile(tmp_path / "vault.key")

        def random(count: int) -> bytes:
            if count == 32:  # while our key is being made
                KeyFile(source.path).make(lambda count: KEY[:count])
            return os.urandom(count)

        assert source.make(random)[0] == KEY
        assert [path.name for path in tmp_path.iterdir()] == ["vault.key"]

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610, 0o644, 0o700 | 0o001])
    def test_is_refused_when_others_may_touch_it(self, tmp_path: Path, mode: int) -> None:
        source = KeyFile(tmp_path / "vault.key")
        source.make(os.urandom)
        source.path.chmod(mode)
        with pytest.raises(VaultError, match=rf"mode {mode:04o}.*chmod 600"):
            source.get({})

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_is_refused_when_it_is_somebody_elses(self, tmp_path: Path) -> None:
        source = KeyFile(tmp_path / "vault.key")
        source.make(os.urandom)
        os.chown(source.path, 12345, -1)
        with pytest.raises(VaultError, match="another user"):
            source.get({})

    def test_missing_is_not_made_for_an_old_store(self, tmp_path: Path) -> None:
        with pytest.raises(VaultError, match=r"missing.*backup"):
            KeyFile(tmp_path / "vault.key").get({})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "content", [b"", b"x" * 31, b"g" * 64, KEY_LINE.encode() + b"00" * 31, b"\xff" * 40]
    )
    def test_senseless_content_stays_as_it_is(self, tmp_path: Path, content: bytes) -> None:
        source = KeyFile(tmp_path / "vault.key")
        source.path.touch(0o600)
        source.path.write_bytes(content)
        with pytest.raises(VaultError, match="holds no e2eproxy key"):
            source.make(os.urandom)
        assert source.path.read_bytes() == content

    def test_directory_and_pipe_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(VaultError, match=r"cannot be read|not a regular"):
            KeyFile(tmp_path).get({})
        os.mkfifo(tmp_path / "pipe", 0o600)
        with pytest.raises(VaultError, match="not a regular file"):
            KeyFile(tmp_path / "pipe").get({})

    def test_no_place_for_it(self, tmp_path: Path) -> None:
        with pytest.raises(VaultError, match="cannot be made"):
            KeyFile(tmp_path / "nowhere" / "vault.key").make(os.urandom)


@pytest.mark.parametrize(
    "data", [KEY, KEY.hex().encode(), key_text(KEY).encode() + b"\n", KEY.hex().upper().encode()]
)
def test_forms_of_a_key(data: bytes) -> None:
    assert read_key_text(data, "it") == KEY


class TestPassphrase:
    CHEAP: ClassVar = {"scrypt-n": "16384", "scrypt-r": "8", "scrypt-p": "1", "scrypt-salt": "00" * 16}

    def test_scrypt_agrees_with_the_standard_library(self) -> None:
        import hashlib

        expected = hashlib.scrypt("grüße".encode(), salt=bytes(16), n=16384, r=8, p=1, dklen=32)
        assert Passphrase(lambda: "grüße").get(self.CHEAP) == expected

    def test_composed_and_decomposed_letters_are_the_same(self) -> None:
        parameters = ScryptParameters.from_texts(self.CHEAP)
        assert derive("gr\u00fc\u00dfe", parameters) == derive("gru\u0308\u00dfe", parameters)

    def test_new_parameters_are_kept_and_come_back(self) -> None:
        key, texts = Passphrase(lambda: "open sesame").make(os.urandom)
        assert int(texts["scrypt-n"]) * int(texts["scrypt-p"]) >= 2**17
        assert Passphrase(lambda: "open sesame").get(texts) == key
        assert Passphrase(lambda: "open sesam").get(texts) != key
        assert "sesame" not in repr(texts)

    def test_empty_is_refused(self) -> None:
        with pytest.raises(VaultError, match="empty passphrase"):
            Passphrase(str).get(self.CHEAP)

    @pytest.mark.parametrize(
        "change",
        [
            {"scrypt-n": "16383"},
            {"scrypt-n": "8192"},
            {"scrypt-n": str(2**30)},
            {"scrypt-n": "-16384"},
            {"scrypt-n": "1e9"},
            {"scrypt-n": "9" * 5000},
            {"scrypt-r": "0"},
            {"scrypt-r": "33"},
            {"scrypt-p": "0"},
            {"scrypt-p": "1000000"},
            {"scrypt-salt": ""},
            {"scrypt-salt": "zz"},
            {"scrypt-salt": "00" * 65},
        ],
    )
    def test_senseless_parameters_are_refused(self, change: dict[str, str]) -> None:
        with pytest.raises(VaultError, match="parameters of the passphrase"):
            ScryptParameters.from_texts(self.CHEAP | change)

    @pytest.mark.parametrize("gone", ["scrypt-n", "scrypt-r", "scrypt-p", "scrypt-salt"])
    def test_missing_parameters_are_refused(self, gone: str) -> None:
        with pytest.raises(VaultError, match="damaged"):
            ScryptParameters.from_texts({name: text for name, text in self.CHEAP.items() if name != gone})

    def test_does_not_show(self) -> None:
        assert "lambda" not in repr(Passphrase(lambda: "x"))


class TestSystemdCredential:
    def test_is_read_where_systemd_put_it(self, tmp_path: Path) -> None:
        (tmp_path / "vault").write_bytes(KEY)
        source = SystemdCredential("vault", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert source.get({}) == KEY
        assert source.make(os.urandom) == (KEY, {})

    @pytest.mark.parametrize(
        "environ", [{}, {"CREDENTIALS_DIRECTORY": ""}, {"CREDENTIALS_DIRECTORY": "relative"}]
    )
    def test_without_systemd(self, environ: dict[str, str]) -> None:
        with pytest.raises(VaultError, match="LoadCredentialEncrypted"):
            SystemdCredential("vault", environ).get({})

    @pytest.mark.parametrize("name", ["", ".", "..", "../vault", "/etc/passwd"])
    def test_name_stays_in_the_directory(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(VaultError, match="no name"):
            SystemdCredential(name, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).get({})

    def test_missing_is_not_made(self, tmp_path: Path) -> None:
        source = SystemdCredential("vault", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        with pytest.raises(VaultError, match="systemd-creds encrypt"):
            source.make(os.urandom)
        assert not list(tmp_path.iterdir())


class TestKeyring:
    BACKEND = "bed.memory_keyring.MemoryKeyring"

    @pytest.fixture(autouse=True)
    def _empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import keyring.backend
        from bed.memory_keyring import MemoryKeyring

        def refuse(*_: object) -> None:
            raise AssertionError("another keyring was asked")

        MemoryKeyring.entries.clear()
        monkeypatch.setattr(keyring.backend, "get_all_keyring", refuse)
        monkeypatch.setattr("keyring.core.get_keyring", refuse)

    def test_is_made_once_in_the_configured_one(self) -> None:
        from bed.memory_keyring import MemoryKeyring

        source = Keyring(self.BACKEND, "store")
        key, parameters = source.make(os.urandom)
        assert parameters == {}
        assert MemoryKeyring.entries == {("e2eproxy", "store"): key_text(key)}
        assert source.get({}) == key == source.make(os.urandom)[0]

    def test_missing_is_not_made_for_an_old_store(self) -> None:
        from bed.memory_keyring import MemoryKeyring

        with pytest.raises(VaultError, match="no entry 'store'"):
            Keyring(self.BACKEND, "store").get({})
        assert not MemoryKeyring.entries

    @pytest.mark.parametrize(
        "backend", ["bed.memory_keyring.Locked", "no.such.Backend", "keyring.backends.fail.Keyring"]
    )
    def test_one_that_cannot_be_used(self, backend: str) -> None:
        with pytest.raises(VaultError, match="running and unlocked") as caught:
            Keyring(backend, "store").make(lambda count: KEY[:count])
        assert KEY.hex() not in str(caught.value)

    def test_library_is_optional(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring.core", None)
        with pytest.raises(VaultError, match=r"pip install e2eproxy\[keyring\]"):
            Keyring(self.BACKEND, "store").get({})


def test_library_is_not_imported_unless_configured() -> None:
    import subprocess

    code = "import sys, e2eproxy.trust.store, e2eproxy.trust.key_sources; sys.exit('keyring' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
