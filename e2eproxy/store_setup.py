"""From settings to an open store: where it is, whose key seals it, and that only this daemon has it.

The database library is loaded when a store is opened and not before. Every error is a sentence that the user can act
on and that holds no secret (law 8).
"""

from __future__ import annotations

import getpass
import signal
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2eproxy.data_directory import PRIVATE, DataDirectory
from e2eproxy.errors import LocalError
from e2eproxy.trust.location import file_of
from e2eproxy.values import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from e2eproxy.config import Settings
    from e2eproxy.key_choice import KeyChoice
    from e2eproxy.trust.key_sources import KeySource
    from e2eproxy.trust.store import Store

    Ask = Callable[[str], str]
    """Shows a prompt and gives what was typed; raises LocalError if nobody can be asked."""

KEY_FILE: Final = "store.key"
TERMINAL: Final = Path("/dev/tty")


def open_store(
    settings: Settings, data: Path, environ: Mapping[str, str], *, ask: Ask | None = None
) -> Store:
    """Open the store of *settings*; what they leave open is in the directory *data*, which is locked already.

    *environ* is where systemd names its credentials. *ask* is ``ask_on_terminal`` where there is one: in the foreground.
    Raises LocalError, with everything as it was but for what a new store begins with.
    """
    from e2eproxy.trust.store import open_store as open_with  # noqa: PLC0415 - loads SQLAlchemy

    _make_directory(data)
    source = key_source(settings.key, data, environ, ask)
    lock = _lock_elsewhere(settings.store, data)
    try:
        store = open_with(data, source, url=settings.store)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    if lock is not None:
        store.owns(lock.release)
    return store


def key_source(
    choice: KeyChoice, data: Path, environ: Mapping[str, str], ask: Ask | None = None
) -> KeySource:
    """What *choice* names; nothing is read yet."""
    from e2eproxy.trust import key_sources  # noqa: PLC0415 - loads cryptography
    from e2eproxy.trust.passphrase_file import PassphraseFile  # noqa: PLC0415 - same

    argument = choice.argument or ""
    match choice.kind:
        case "file":
            return key_sources.KeyFile(Path(argument) if argument else data / KEY_FILE)
        case "passphrase" if argument:
            return key_sources.Passphrase(PassphraseFile(Path(argument)))
        case "passphrase":
            if ask is None:
                raise LocalError(
                    "the passphrase of the store's key is to be asked for (--key passphrase), which only"
                    " `e2eproxy run` on a terminal can do; name a private file or pipe with --key passphrase:PATH"
                )
            return key_sources.Passphrase(lambda: ask("Passphrase of e2eproxy's store: "), lambda: _new(ask))
        case "keyring":
            return key_sources.Keyring(argument, choice.entry or "")
        case "credential":
            return key_sources.SystemdCredential(argument, environ)


def _new(ask: Ask) -> str:
    """A passphrase that was typed twice."""
    first = ask("New passphrase for e2eproxy's store: ")
    if not first:
        raise LocalError("an empty passphrase protects nothing; choose one")
    if ask("The same again: ") != first:
        raise LocalError("these were two passphrases; no store was made, start again")
    return first


def ask_on_terminal(prompt: str) -> str:
    """What the user types at *prompt*, without showing it; raises LocalError without a terminal, or on Ctrl-C."""
    try:
        TERMINAL.open("rb").close()
    except OSError as error:
        raise LocalError(
            "there is no terminal to ask for the passphrase of the store on; name a private file or pipe with"
            " --key passphrase:PATH"
        ) from error
    with warnings.catch_warnings(), _interruptible():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would be shown while it is typed
        try:
            return getpass.getpass(prompt)
        except (EOFError, KeyboardInterrupt):
            raise LocalError("no passphrase was given; the store stays closed") from None
        except (getpass.GetPassWarning, OSError, UnicodeDecodeError) as error:
            raise LocalError("the passphrase cannot be read from the terminal") from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the question, whatever the daemon does on it: nothing would act on that before the answer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _make_directory(data: Path) -> None:
    """Make *data*, if it is not there, for its user alone, whatever the umask."""
    try:
        data.mkdir(mode=PRIVATE, parents=True)
        data.chmod(PRIVATE)
    except FileExistsError:
        pass
    except OSError as error:
        raise LocalError(f"the data directory {data} cannot be made: {reason(error)}") from error


def _lock_elsewhere(url: str | None, data: Path) -> DataDirectory | None:
    """The lock of a SQLite store's directory if that is not *data*: the two daemons that it keeps apart may differ in it."""
    file = None if url is None else file_of(url)
    if file is None or file.parent.resolve() == data.resolve():
        return None
    return DataDirectory(file.parent)
