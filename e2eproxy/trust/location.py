"""Where the store is, as a URL: read without the database library, so that settings can be checked without it.

A URL may have a password in it, so no text made here quotes one, not even one that cannot be read (law 8).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from e2eproxy.errors import LocalError

ALLOWED: Final = "sqlite:///FILE, postgresql://[USER[:PASSWORD]@][HOST[:PORT]]/DATABASE[?NAME=VALUE&...]"

_SQLITE: Final = re.compile(r"sqlite:///(?P<path>[^?\x00-\x1f\x7f]+)")
_POSTGRESQL: Final = re.compile(
    r"postgresql(?:\+psycopg)?://"
    r"(?:[^\s:/@?#\[\]]*(?::(?P<password>[^\s:/@?#\[\]]*))?@)?"
    r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@?#\[\]]+)?(?::[0-9]{1,5})?"
    r"/[^\s/?#]+"
    r"(?:\?[a-z_]+=[^\s&#]*(?:&[a-z_]+=[^\s&#]*)*)?"
)
_SECRET_PARAMETER: Final = re.compile(r"(?<=[?&])([a-z_]*passw[a-z_]*=)[^&]*")


class LocationError(LocalError):
    """A text that is no URL of a store."""


def normal(text: str, base: Path) -> str:
    """*text* as a URL that means the same wherever it is read: a relative SQLite file counts from *base*.

    ``sqlite:///name`` is relative and ``sqlite:////name`` absolute, as SQLAlchemy has it. Raises LocationError.
    """
    scheme = text.partition(":")[0]
    if scheme == "sqlite":
        found = _SQLITE.fullmatch(text)
        if found is None or found["path"] == ":memory:" or found["path"].endswith("/"):
            raise LocationError("a SQLite store is a file: sqlite:///NAME or sqlite:////FOLDER/NAME")
        made = f"sqlite:///{base / found['path']}"
        if not _SQLITE.fullmatch(made):
            raise LocationError("a SQLite store cannot be in a folder with such a name")
        return made
    if scheme in {"postgresql", "postgresql+psycopg"}:
        if not _POSTGRESQL.fullmatch(text):
            raise LocationError(
                "the URL cannot be read; write it as postgresql://user@host/database, with blanks and each of"
                " :/@?#[]% in user or password as %XX"
            )
        return text
    raise LocationError(f"a store's URL begins with sqlite:// or postgresql://; allowed: {ALLOWED}")


def file_of(url: str) -> Path | None:
    """The file of a SQLite store, None for another database; *url* is what ``normal`` gave."""
    found = _SQLITE.fullmatch(url)
    return None if found is None else Path(found["path"])


def without_password(url: str) -> str:
    """*url* for people, each password in it as ***."""
    found = _POSTGRESQL.fullmatch(url)
    if found is None:
        return url if _SQLITE.fullmatch(url) else "(a URL that cannot be read)"
    if found["password"] is not None:
        url = f"{url[: found.start('password')]}***{url[found.end('password') :]}"
    return _SECRET_PARAMETER.sub(r"\1***", url)


def has_password(url: str) -> bool:
    """Whether there is a password in *url*."""
    return without_password(url) != url
