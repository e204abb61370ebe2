"""The rules as the store has them, over what the configuration says where the store has none.

Law 1: an account whose rows have not been read has no rules that anybody knows, so nothing of it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from e2eproxy.errors import LocalError
from e2eproxy.proxy.rules import METHODS, WHEN, Scope

_LENIENT: Final = ("prefer", "accept", "never")

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.trust.book import Book


@define
class StoredRules:
    """*defaults* hold for every account where nothing else is set; they may be replaced while the daemon runs."""

    _book: Book
    defaults: Mapping[str, str]
    _lenient: dict[str, tuple[int, Mapping[str, str], bool]] = field(factory=dict)

    def settings(self, account: str, scope: str, key: str) -> Mapping[str, str]:
        """Return what is set at one level. Raises LocalError if the account's rows have not been read."""
        if account and not self._book.knows(account):
            raise LocalError(f"the settings of {account} have not been read")
        found = self._book.settings(account, scope, key)
        return {**self.defaults, **found} if scope == Scope.DEFAULT.value else found

    def methods(self, account: str) -> frozenset[str]:
        """Return the names of all methods that any level of *account* names."""
        return frozenset(name for level in self._levels(account) for name in level.get(METHODS, "").split())

    def _levels(self, account: str) -> tuple[Mapping[str, str], ...]:
        return (self.defaults, *self._book.all_settings(""), *self._book.all_settings(account))

    def lenient(self, account: str) -> bool:
        """Return whether nothing that is set keeps text from leaving in clear, for whomever of *account*'s contacts."""
        known = self._lenient.get(account)
        if known is not None and known[0] == self._book.version and known[1] is self.defaults:
            return known[2]
        verdict = self._book.knows(account) and self._all_lenient(account)
        self._lenient[account] = (self._book.version, self.defaults, verdict)
        return verdict

    def _all_lenient(self, account: str) -> bool:
        if self._book.any_sticky(account):
            return False
        return all(level.get(WHEN, _LENIENT[0]) in _LENIENT for level in self._levels(account))
