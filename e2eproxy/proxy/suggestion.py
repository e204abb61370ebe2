"""What is suggested once: that a system which the client speaks itself be named in ``client_speaks`` (law 10).

A stanza that the client encrypted is recognised without it, but what contacts send of that system goes to our method as
long as nobody says whose it is. Nothing is set by itself: a client that once passed on a stanza of that form need not be able
to read one. Where nothing of an account is looked into, since no method is named for it and nothing kept from leaving in clear,
the setting would change nothing, and nothing is suggested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.trust.values import PolicyRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from e2eproxy.proxy.cabinet import Cabinet

#: The row that keeps what was suggested, among the account's settings: it is one that nobody sets.
_SCOPE: Final = "account"
SUGGESTED: Final = "client-speaks-suggested"
_TEXT: Final = (
    "Your client has sent a message that it encrypted itself, with {systems}. If it can also read such messages, add {systems} to"
    " client_speaks in the configuration of the proxy: what your contacts send you with {systems} goes to your client then, and not"
    " to the proxy, from the next login on. You are told this once."
)


class Suggestion:
    """That to one account. *speaks* returns what is set, *tell* tells the user."""

    def __init__(
        self, cabinet: Cabinet, speaks: Callable[[], Collection[str]], tell: Callable[[str], None]
    ) -> None:
        self._cabinet = cabinet
        self._speaks = speaks
        self._tell = tell
        self._account = str(cabinet.account)
        # What is on its way to the store.
        self._suggesting: set[str] = set()

    def spoke(self, systems: Iterable[str]) -> None:
        """Take note that the client encrypted something with *systems*; tell the user of each that is new, once."""
        known = {*self._speaks(), *self._suggested(), *self._suggesting}
        new = [one for one in systems if one not in known]
        if not new:
            return
        self._suggesting.update(new)
        row = PolicyRow(
            account=self._account,
            scope=_SCOPE,
            key=self._account,
            setting=SUGGESTED,
            value=" ".join(sorted({*self._suggested(), *self._suggesting})),
        )
        # Told when it is durable, so that no restart makes it come again; not stored, it is told by the next daemon again.
        self._cabinet.writer.run(lambda work: work.policy.set(row)).addBoth(
            lambda _: self._tell(_TEXT.format(systems=" and ".join(new)))
        )

    def _suggested(self) -> list[str]:
        settings = self._cabinet.writer.book.settings(self._account, _SCOPE, self._account)
        return settings.get(SUGGESTED, "").split()
