"""Where the store's key comes from: exactly the place that the configuration names, and no other is ever asked.

A source makes a key for a new store only. When a store exists and its key does not, the key is missing, and the user
is told what to bring back: a new key in its place would not open anything (and would look as if all were well).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from attrs import field, frozen

from e2eproxy.trust.passphrase import ScryptParameters, derive
from e2eproxy.trust.vault import KEY_BYTES, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from e2eproxy.trust.vault import Random

KEY_LINE = "e2eproxy vault key 1: "
"""How the text form of a key begins; 64 hexadecimal digits follow."""


class KeySource(Protocol):
    """One place for the key; *kind* is kept in the store, with what ``make`` returns beside the key."""

    kind: ClassVar[str]

    def make(self, random: Random) -> tuple[bytes, Mapping[str, str]]:
        """The key (32 bytes) of a new store, made if need be, and parameters to be kept with it in clear."""
        ...

    def get(self, parameters: Mapping[str, str]) -> bytes:
        """The key of an existing store; raises VaultError if it is not there or not safe."""
        ...


def key_text(key: bytes) -> str:
    """*key* as the line that a key file has, without line break."""
    return KEY_LINE + key.hex()


def read_key_text(data: bytes, where: str) -> bytes:
    """The key in *data*: 32 bytes as they are, 64 hexadecimal digits, or a key file's line."""
    if len(data) == KEY_BYTES:
        return data
    with suppress(ValueError):  # UnicodeDecodeError is one
        key = bytes.fromhex(data.decode("ascii").strip().removeprefix(KEY_LINE))
        if len(key) == KEY_BYTES:
            return key
    raise VaultError(f"{where} holds no e2eproxy key; put the right one back, the store is left as it is")


@frozen
class KeyFile:
    """A file that only its owner can read; made exclusively, so that no other process can have prepared it."""

    path: Path
    kind: ClassVar[str] = "key-file"

    def make(self, random: Random) -> tuple[bytes, Mapping[str, str]]:
        """The key in the file, which is made with mode 0600 if there is none."""
        if not os.path.lexists(self.path):
            self._write(random(KEY_BYTES), random)
        return self.get({}), {}

    def get(self, parameters: Mapping[str, str]) -> bytes:  # noqa: ARG002 - the interface's; a file needs none
        """The key in the file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                self._require_private(os.fstat(descriptor))
                data = file.read(1024)
        except FileNotFoundError:
            raise VaultError(
                f"the key file {self.path} is missing, and nothing in the store opens without it;"
                " put it back from your backup"
            ) from None
        except OSError as error:
            raise VaultError(f"the key file {self.path} cannot be read: {error.strerror}") from error
        return read_key_text(data, f"the key file {self.path}")

    def _require_private(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise VaultError(f"the key file {self.path} is not a regular file")
        if status.st_mode & 0o077:
            raise VaultError(
                f"the key file {self.path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o});"
                f" if nobody has, `chmod 600 {self.path}` makes it safe"
            )
        if status.st_uid not in {os.geteuid(), 0}:
            raise VaultError(f"the key file {self.path} belongs to another user (number {status.st_uid})")

    def _write(self, key: bytes, random: Random) -> None:
        """Put *key* under its name in one step, durable, never over another file."""
        draft = self.path.with_name(f"{self.path.name}.{random(8).hex()}.new")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(descriptor, 0o600)  # whatever the umask made of it
                    file.write(key_text(key).encode() + b"\n")
                    file.flush()
                    os.fsync(descriptor)
                with suppress(FileExistsError):  # another process was faster: its key holds
                    os.link(draft, self.path)
            finally:
                draft.unlink(missing_ok=True)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise VaultError(f"the key file {self.path} cannot be made: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@frozen
class Passphrase:
    """A passphrase, asked for with *ask* when the store is opened; scrypt makes the key of it.

    For a new store it is *ask_new* that is called, if given: there a slip of the finger would not be noticed.
    """

    ask: Callable[[], str] = field(repr=False)
    ask_new: Callable[[], str] | None = field(default=None, repr=False)
    kind: ClassVar[str] = "passphrase"

    def make(self, random: Random) -> tuple[bytes, Mapping[str, str]]:
        """The key of the passphrase with a new salt, and the parameters of scrypt."""
        parameters = ScryptParameters.new(random)
        return derive((self.ask_new or self.ask)(), parameters), parameters.as_texts()

    def get(self, parameters: Mapping[str, str]) -> bytes:
        """The key of the passphrase with the stored *parameters*."""
        return derive(self.ask(), ScryptParameters.from_texts(parameters))


@frozen
class SystemdCredential:
    """A credential that systemd hands to the service (systemd.exec(5), LoadCredentialEncrypted=)."""

    name: str
    environ: Mapping[str, str]
    kind: ClassVar[str] = "systemd-credential"

    def make(self, random: Random) -> tuple[bytes, Mapping[str, str]]:  # noqa: ARG002 - the interface's
        """The key in the credential, which has to exist: only systemd can make one."""
        return self.get({}), {}

    def get(self, parameters: Mapping[str, str]) -> bytes:  # noqa: ARG002 - the interface's
        """The key in the credential."""
        directory = self.environ.get("CREDENTIALS_DIRECTORY", "")
        if "/" in self.name or self.name in {"", ".", ".."}:
            raise VaultError(f"{self.name!r} is no name of a systemd credential")
        if not directory.startswith("/"):
            raise VaultError(
                f"the key is to come from the systemd credential {self.name!r}, but systemd handed over none"
                " (no CREDENTIALS_DIRECTORY); start e2eproxy as a service with LoadCredentialEncrypted="
            )
        try:
            with open(os.path.join(directory, self.name), "rb") as file:  # noqa: PTH118, PTH123 - systemd's words
                data = file.read(1024)
        except OSError as error:
            raise VaultError(
                f"the systemd credential {self.name!r} cannot be read: {error.strerror};"
                " `head -c 32 /dev/urandom | systemd-creds encrypt --name=NAME - FILE` makes one,"
                " LoadCredentialEncrypted=NAME:FILE in the unit hands it over"
            ) from error
        return read_key_text(data, f"the systemd credential {self.name!r}")


@frozen
class Keyring:
    """An entry of the desktop's keyring.

    *backend* is the dotted name of the one class of the ``keyring`` library to use, as
    "keyring.backends.SecretService.Keyring": without it the library would try all that it finds.
    """

    backend: str
    entry: str
    kind: ClassVar[str] = "keyring"
    service: ClassVar[str] = "e2eproxy"

    def make(self, random: Random) -> tuple[bytes, Mapping[str, str]]:
        """The key in the entry, which is made if there is none."""
        ring = self._ring()
        if self._call(ring.get_password, self.service, self.entry) is None:
            self._call(ring.set_password, self.service, self.entry, key_text(random(KEY_BYTES)))
        return self.get({}), {}

    def get(self, parameters: Mapping[str, str]) -> bytes:  # noqa: ARG002 - the interface's
        """The key in the entry."""
        text = self._call(self._ring().get_password, self.service, self.entry)
        if text is None:
            raise VaultError(
                f"the keyring has no entry {self.entry!r} of {self.service}, and nothing in the store opens"
                " without it; unlock the keyring that had it, or bring the entry back"
            )
        return read_key_text(text.encode(), f"the keyring's entry {self.entry!r}")

    def _ring(self) -> Any:  # noqa: ANN401 - the library is optional, so are its types
        try:
            from keyring.core import load_keyring  # noqa: PLC0415 - optional, and only if configured
        except ImportError as error:
            raise VaultError(
                "the key is to come from a keyring, but the library for it is missing;"
                " `pip install e2eproxy[keyring]` brings it"
            ) from error
        return self._call(load_keyring, self.backend)

    def _call(self, function: Callable[..., Any], *arguments: str) -> Any:  # noqa: ANN401 - as above
        try:
            return function(*arguments)
        except Exception as error:  # noqa: BLE001 - back ends raise whatever their service does
            # Only the kind: a text could quote what was to be kept.
            raise VaultError(
                f"the keyring {self.backend} cannot be used ({type(error).__name__}); is it running and unlocked?"
            ) from None
