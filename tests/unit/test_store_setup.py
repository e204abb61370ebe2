"""From settings to an open store: each place of the key, each place of the store, who may read it, what is said."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bed.polling import wait_until
from bed.stores import ROMEO, Place

from e2eproxy import store_setup
from e2eproxy.config import load
from e2eproxy.data_directory import DataDirectory
from e2eproxy.errors import LocalError
from e2eproxy.store_setup import open_store
from e2eproxy.trust.passphrase import ScryptParameters
from e2eproxy.trust.passphrase_file import MOST_BYTES, PassphraseFile
from e2eproxy.trust.vault import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2eproxy.trust.store import Store

WORD = "correct horse ü"


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ScryptParameters, "new", classmethod(lambda cls, random: cls(random(16), n=2**14, p=1))
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "made" / "data"


def opened(data: Path, *, environ: dict[str, str] | None = None, **given: object) -> Store:
    ask = given.pop("ask", None)
    settings = load({"data": str(data), **given}, {"HOME": "/nonexistent"})
    return open_store(settings, data, environ or {}, ask=ask)


def again(data: Path, **given: object) -> None:
    """The store can be made, opened again, and has what was put into it."""
    with opened(data, **given) as store, store.transaction() as work:
        assert work.open_account(ROMEO, 1.0) is True
    with opened(data, **given) as store, store.transaction() as work:
        assert work.open_account(ROMEO, 1.0) is False


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_new_data_directory_is_private_whatever_the_umask(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with opened(data) as store:
        with store.transaction() as work:
            work.open_account(ROMEO, 1.0)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()}
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
    wanted = {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "store.key"}
    assert modes == dict.fromkeys(wanted, 0o600)


def test_a_directory_that_is_there_keeps_its_mode(data: Path) -> None:
    data.mkdir(parents=True, mode=0o750)
    data.chmod(0o750)
    opened(data).close()
    assert stat.S_IMODE(data.stat().st_mode) == 0o750


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match=r"data directory .*/file/data cannot be made: Not a directory"):
        opened(tmp_path / "file" / "data")


def waiting_in(descriptor: int) -> int:
    """How many bytes of a pipe nobody has read."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


class TestKeys:
    def test_the_usual_file(self, data: Path) -> None:
        again(data)
        (data / "store.key").unlink()
        with pytest.raises(LocalError, match=r"key file .*/store.key is missing.*backup"):
            opened(data)

    def test_another_file(self, data: Path, tmp_path: Path) -> None:
        again(data, key=f"file:{tmp_path}/elsewhere.key")
        assert not (data / "store.key").exists()

    def test_a_credential(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "sealing").write_bytes(os.urandom(32))
        again(data, key="credential:sealing", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
        with pytest.raises(LocalError, match="LoadCredentialEncrypted="):
            opened(data, key="credential:sealing")

    def test_a_keyring(self, data: Path) -> None:
        from bed.memory_keyring import MemoryKeyring

        MemoryKeyring.entries.clear()
        again(data, key="keyring:bed.memory_keyring.MemoryKeyring:my entry")
        assert list(MemoryKeyring.entries) == [("e2eproxy", "my entry")]

    def test_a_passphrase_in_a_file(self, data: Path, tmp_path: Path) -> None:
        word = tmp_path / "word"
        word.touch(0o600)
        word.write_text(f"{WORD}\n")
        again(data, key=f"passphrase:{word}")
        word.write_text(WORD.upper())
        with pytest.raises(LocalError, match="not the key that the store was made with") as caught:
            opened(data, key=f"passphrase:{word}")
        assert WORD.upper() not in str(caught.value)

    def test_no_other_place_is_tried(self, data: Path, tmp_path: Path) -> None:
        opened(data).close()
        word = tmp_path / "word"
        word.touch(0o600)
        word.write_text(WORD)
        for key in (f"passphrase:{word}", "credential:x", "keyring:bed.memory_keyring.MemoryKeyring:x"):
            with pytest.raises(LocalError, match="'key-file', but the configuration says"):
                opened(data, key=key)

    def test_a_passphrase_cannot_be_asked_for_in_the_background(self, data: Path) -> None:
        with pytest.raises(LocalError, match=r"only `e2eproxy run` on a terminal.*--key passphrase:PATH"):
            opened(data, key="passphrase")
        assert list(data.iterdir()) == []

    def test_a_passphrase_is_asked_for_once_and_twice_for_a_new_store(self, data: Path) -> None:
        prompts: list[str] = []

        def ask(prompt: str) -> str:
            prompts.append(prompt)
            return WORD

        opened(data, key="passphrase", ask=ask).close()
        assert prompts == ["New passphrase for e2eproxy's store: ", "The same again: "]
        prompts.clear()
        opened(data, key="passphrase", ask=ask).close()
        assert prompts == ["Passphrase of e2eproxy's store: "]

    @pytest.mark.parametrize(("typed", "said"), [(["a", "b"], "two passphrases"), ([""], "empty passphrase")])
    def test_a_slip_makes_no_store(self, data: Path, typed: list[str], said: str) -> None:
        answers = iter(typed)
        with pytest.raises(LocalError, match=said):
            opened(data, key="passphrase", ask=lambda _: next(answers))
        again(data, key="passphrase", ask=lambda _: WORD)


class TestPassphraseFile:
    @pytest.mark.parametrize(
        ("content", "word"),
        [
            (b"a b\n", "a b"),
            (b"a\r\n", "a"),
            (b"a\n\n", "a\n"),
            (b" a", " a"),
            (b"", ""),
            (b"x" * MOST_BYTES, "x" * MOST_BYTES),
        ],
    )
    def test_content(self, tmp_path: Path, content: bytes, word: str) -> None:
        path = tmp_path / "word"
        path.touch(0o600)
        path.write_bytes(content)
        assert PassphraseFile(path)() == word

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"Secret\xff", "not UTF-8"), (b"Secret" * MOST_BYTES, "more than")],
        ids=["bytes", "long"],
    )
    def test_senseless_content(self, tmp_path: Path, content: bytes, said: str) -> None:
        path = tmp_path / "word"
        path.touch(0o600)
        path.write_bytes(content)
        with pytest.raises(VaultError, match=said) as caught:
            PassphraseFile(path)()
        assert "Secret" not in str(caught.value)

    @pytest.mark.parametrize("make", [Path.touch, os.mkfifo], ids=["file", "pipe"])
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_open_to_others(self, tmp_path: Path, make: Callable[[Path], None], mode: int) -> None:
        make(tmp_path / "word")
        (tmp_path / "word").chmod(mode)
        with pytest.raises(VaultError, match=rf"open to others \(mode {mode:04o}\).*chmod 600"):
            PassphraseFile(tmp_path / "word")()

    def test_missing_and_senseless_places(self, tmp_path: Path) -> None:
        with pytest.raises(VaultError, match="cannot be opened: No such file"):
            PassphraseFile(tmp_path / "none")()
        with pytest.raises(VaultError, match="neither a file nor a pipe"):
            PassphraseFile(tmp_path)()
        with pytest.raises(VaultError, match="neither a file nor a pipe"):
            PassphraseFile(Path("/dev/null"))()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_somebody_elses(self, tmp_path: Path) -> None:
        path = tmp_path / "word"
        path.touch(0o600)
        os.chown(path, 12345, 12345)
        with pytest.raises(VaultError, match="another user"):
            PassphraseFile(path)()

    @pytest.mark.parametrize("closed", [True, False], ids=["ended", "open"])
    def test_an_open_descriptor(self, closed: bool) -> None:
        read, write = os.pipe()
        os.write(write, WORD.encode() + b"\n")
        if closed:
            os.close(write)
        try:
            if closed:
                assert PassphraseFile(Path(f"/dev/fd/{read}"))() == WORD
            else:
                with pytest.raises(VaultError, match=r"within 0\.2 seconds") as caught:
                    PassphraseFile(Path(f"/dev/fd/{read}"), wait=0.2)()
                assert WORD not in str(caught.value)
                os.close(write)
        finally:
            os.close(read)

    def test_a_named_pipe_that_is_written_later_and_in_pieces(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path, 0o600)

        def write() -> None:
            descriptor = os.open(path, os.O_WRONLY)  # waits for the reader
            for piece in (WORD[:3], WORD[3:], "\n"):
                os.write(descriptor, piece.encode())
                # Not before it was read: they are not to become one.
                wait_until(lambda: waiting_in(descriptor) == 0, "the pipe to be read", timeout=10)
            os.close(descriptor)

        writer = threading.Thread(target=write)
        writer.start()
        assert PassphraseFile(path)() == WORD
        writer.join(10)

    def test_a_named_pipe_that_ends_without_a_word(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path, 0o600)
        writer = threading.Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))
        writer.start()
        begin = time.monotonic()
        assert PassphraseFile(path, wait=30)() == ""
        assert time.monotonic() - begin < 20
        writer.join(10)

    def test_a_named_pipe_that_nobody_writes_to(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path, 0o600)
        with pytest.raises(VaultError, match=r"nobody wrote a passphrase to .*pipe within 0.2 seconds"):
            PassphraseFile(path, wait=0.2)()


# Makes the terminal its own, then opens the store; says how that ended.
ON_A_TERMINAL = """
import fcntl, signal, sys, termios
from pathlib import Path
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_IGN)
from e2eproxy.config import load
from e2eproxy.errors import LocalError
from e2eproxy.store_setup import ask_on_terminal, open_store
data = Path(sys.argv[1])
try:
    open_store(load({"data": str(data), "key": "passphrase"}, {}), data, {}, ask=ask_on_terminal).close()
except LocalError as error:
    print("refused:", error)
else:
    print("opened")
print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""


def on_a_terminal(data: Path, answers: list[tuple[str, bytes]]) -> tuple[str, str]:
    """Run that with *answers* (prompt waited for, what is typed); what it printed, and what the terminal showed."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, str(data)],
        stdin=slave,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    try:
        for prompt, typed in answers:
            until = time.monotonic() + 30
            while prompt.encode() not in shown:
                ready, _, _ = select.select([master], [], [], max(0.0, until - time.monotonic()))
                assert ready, (prompt, shown)
                shown += os.read(master, 1000)
            os.write(master, typed)
        printed, _ = child.communicate(timeout=60)
        while select.select([master], [], [], 0)[0]:
            try:
                shown += os.read(master, 1000)
            except OSError:  # the terminal's other end is closed
                break
    finally:
        child.kill()
        child.communicate()
        os.close(master)
    return printed, shown.decode()


class TestTerminal:
    def test_the_passphrase_is_asked_for_and_not_shown(self, data: Path) -> None:
        word = WORD.encode() + b"\n"
        printed, shown = on_a_terminal(data, [("New passphrase", word), ("again: ", word)])
        assert printed == "opened\nTrue\n"
        assert WORD not in shown
        printed, shown = on_a_terminal(data, [("Passphrase of", word)])
        assert printed == "opened\nTrue\n"
        assert WORD not in shown
        printed, _ = on_a_terminal(data, [("Passphrase of", b"wrong\n")])
        assert printed.startswith("refused: this is not the key that the store was made with")

    @pytest.mark.parametrize("typed", [b"\x03", b"\x04"], ids=["interrupt", "end"])
    def test_ctrl_c_and_ctrl_d_end_the_question(self, data: Path, typed: bytes) -> None:
        printed, _ = on_a_terminal(data, [("New passphrase", typed)])
        assert printed == "refused: no passphrase was given; the store stays closed\nTrue\n"

    def test_without_a_terminal(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(store_setup, "TERMINAL", tmp_path / "none")
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(LocalError, match=r"no terminal.*--key passphrase:PATH"):
            store_setup.ask_on_terminal("?")
        assert signal.getsignal(signal.SIGINT) is before


class TestElsewhere:
    def test_a_file_in_the_data_directory(self, data: Path) -> None:
        data.mkdir(parents=True)
        lock = DataDirectory(data)
        again(data, store=f"sqlite:///{data}/named.sqlite")
        assert (data / "named.sqlite").exists()
        assert not (data / "store.sqlite").exists()
        lock.release()

    def test_one_daemon_at_a_time_has_a_file_in_another_directory(self, data: Path, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/shared/store.sqlite"
        with opened(data, store=url):
            with pytest.raises(LocalError, match=r"another e2eproxy .*already uses"):
                opened(tmp_path / "other", store=url, key=f"file:{data}/store.key")
            with pytest.raises(LocalError, match=r"another e2eproxy .*already uses"):
                DataDirectory(tmp_path / "shared")
        again(data, store=url)

    def test_a_failure_leaves_nothing_locked(self, data: Path, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/shared/store.sqlite"
        with pytest.raises(LocalError):
            opened(data, store=url, key="credential:none")
        again(data, store=url)

    def test_postgresql(self, data: Path, shared: Place) -> None:
        again(data, store=shared.url)
        assert [path.name for path in data.iterdir()] == ["store.key"]

    def test_without_the_library_for_it(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(LocalError, match=r"`pip install e2eproxy\[postgresql\]`"):
            opened(data, store="postgresql:///d")

    def test_a_password_is_in_no_error(self, data: Path, tmp_path: Path) -> None:
        config = tmp_path / "c.toml"
        config.write_text('store = "postgresql://u:Secret@/d?host=/does/not/exist&sslpassword=Secret"')
        with pytest.raises(LocalError, match=r"postgresql://u:\*\*\*@/d") as caught:
            opened(data, config=str(config))
        assert "Secret" not in str(caught.value)
        error: BaseException | None = caught.value
        while error is not None:
            assert "Secret" not in repr(error)
            error = error.__cause__ or error.__context__
