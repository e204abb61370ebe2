"""What can go wrong with the store, as sentences for the user.

Texts of the database library never get into them as they are: they quote statements and values (law 8).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoreError(LocalError):
    """The store cannot be opened, read or written; nothing was changed."""


class BrokenError(StoreError):
    """A transaction is lost as a whole: nothing in it may be taken for done."""


class ReadOnlyError(StoreError):
    """The store was written by a newer e2eproxy and is not changed by this one."""


class StoppedError(StoreError):
    """What an account has sealed does not open: nothing is done for it until somebody has looked."""

    def __init__(self, account: str, reason: str) -> None:
        """Say for which *account*, and the *reason*, a clause."""
        super().__init__(
            f"encryption for {account} has been stopped: {reason}. Nothing was changed or removed."
            " Put back the right key or a backup of the data directory and restart; if both are lost, reset the"
            " account, which gives it new keys"
        )
        self.account = account


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what the database library raises into a StoreError that names *where*, the store."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"the store {where} fails: {_first_line(error.orig)}") from None
    except SQLAlchemyError as error:
        raise StoreError(f"the store {where} fails: {type(error).__name__}") from None


def _first_line(error: BaseException | None) -> str:
    """The database's own words, without the details in which PostgreSQL quotes values."""
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
