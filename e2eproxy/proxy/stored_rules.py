"""The rules as the store has them, over what the configuration says where the store has none.

Law 1: an account whose rows have not been read has no rules that anybody knows, so nothing of it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from e2eproxy.errors import LocalError
from e2eproxy.proxy.rules import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.trust.book import Book


@define
class StoredRules:
    """*defaults* hold for every account where nothing else is set; they may be replaced while the daemon runs."""

    _book: Book
    defaults: Mapping[str, str]

    def settings(self, account: str, scope: str, key: str) -> Mapping[str, str]:
        """Return what is set at one level. Raises LocalError if the account's rows have not been read."""
        if account and not self._book.knows(account):
            raise LocalError(f"the settings of {account} have not been read")
        found = self._book.settings(account, scope, key)
        return {**self.defaults, **found} if scope == Scope.DEFAULT.value else found
