"""What the user was told, for those who look later: in memory only, and bounded, since a flood of notices is cheap."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    from e2eproxy.xmpp.jid import JID

#: Notices of one account that are remembered.
MOST_NOTICES: Final = 200
#: Accounts whose notices are remembered; those told of longest ago go first.
MOST_ACCOUNTS: Final = 1_000


@frozen
class Told:
    """*text* was told *at*, in seconds since 1970."""

    at: float
    text: str = field(repr=False)


@define
class Histories:
    """The notices of all accounts."""

    _of: OrderedDict[JID, deque[Told]] = field(factory=OrderedDict)

    def add(self, account: JID, told: Told) -> None:
        """Remember what the bare JID *account* was told."""
        self._of.setdefault(account, deque(maxlen=MOST_NOTICES)).append(told)
        self._of.move_to_end(account)
        if len(self._of) > MOST_ACCOUNTS:
            self._of.popitem(last=False)

    def of(self, account: JID) -> tuple[Told, ...]:
        """Return what *account* was told, the newest last."""
        return tuple(self._of.get(account, ()))

    def forget(self, account: JID) -> None:
        """Forget what *account* was told: it was reset."""
        self._of.pop(account, None)
