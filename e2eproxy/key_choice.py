"""Where the store's key comes from, as configured: exactly one place, named, so that no other is ever tried.

What is given here is the name of a place and never the key or the passphrase itself. People will mistake the one for
the other, so no error text quotes what was given (law 8).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from e2eproxy.values import OptionError

KeyKind = Literal["file", "passphrase", "keyring", "credential"]

ALLOWED: Final = "file, file:PATH, passphrase, passphrase:PATH, keyring:BACKEND:ENTRY, credential:NAME"

_BACKEND: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,254}")
_LOOKS_LIKE_A_KEY: Final = re.compile(r"[0-9A-Fa-f]{32,}|[A-Za-z0-9+/]{43}=")


@frozen
class KeyChoice:
    """One place of the store's key.

    *argument* is the absolute path for "file" and "passphrase" (None: the usual file; asked for on the terminal), the
    dotted class of a keyring's back end, or a credential's name; *entry* is the keyring's entry.
    """

    kind: KeyKind
    argument: str | None = None
    entry: str | None = None

    def __str__(self) -> str:
        """The form in which it is configured."""
        return ":".join(part for part in (self.kind, self.argument, self.entry) if part is not None)


USUAL: Final = KeyChoice("file")


def read(text: str, base: Path) -> KeyChoice:
    """The place that *text* names, a relative path counting from *base*; raises OptionError, which quotes nothing."""
    kind, colon, argument = text.partition(":")
    match kind:
        case "file" | "passphrase" if not colon:
            return KeyChoice("file" if kind == "file" else "passphrase")
        case "file":
            if _LOOKS_LIKE_A_KEY.fullmatch(argument):
                raise OptionError(
                    "this looks like the key itself, which others can see here; change it, and name a file"
                )
            return KeyChoice("file", _path(argument, base))
        case "passphrase":
            if "/" not in argument:
                raise OptionError(
                    "passphrase:PATH names a file or pipe, with a / in it (as ./name); never write the passphrase"
                    " itself here"
                )
            return KeyChoice("passphrase", _path(argument, base))
        case "keyring":
            backend, _, entry = argument.partition(":")
            if not _BACKEND.fullmatch(backend) or not entry or not entry.isprintable():
                raise OptionError(
                    "keyring needs a back end and an entry, as in"
                    " keyring:keyring.backends.SecretService.Keyring:store"
                )
            return KeyChoice("keyring", backend, entry)
        case "credential":
            if not _CREDENTIAL.fullmatch(argument):
                raise OptionError("credential needs the name that LoadCredentialEncrypted= gives it")
            return KeyChoice("credential", argument)
    raise OptionError(f"there is no such place for a key; allowed: {ALLOWED}")


def _path(text: str, base: Path) -> str:
    if not text or not text.isprintable():
        raise OptionError("the path is empty, or no path")
    try:
        return str(base / Path(text).expanduser())
    except RuntimeError:
        raise OptionError("there is no such home directory") from None
