"""Where servers asked their clients to connect next time, for the one next time.

A client that read a see-other-host error would go past the proxy, so the proxy keeps the address and the client only
hears that it should connect again. It is used once: should it be wrong, the time after starts from DNS again.
"""

from __future__ import annotations

from typing import Final

from e2eproxy.xmpp.domain import BadDomain, prepare_domain

_MOST: Final = 1000


class Redirects:
    """Prepared domains and the host and port named for each."""

    def __init__(self) -> None:
        self._targets: dict[str, tuple[str, int]] = {}

    def remember(self, domain: str, target: tuple[str, int]) -> None:
        """Keep *target* for the next connection to the prepared *domain*; the oldest goes if there are too many."""
        self._targets.pop(domain, None)
        self._targets[domain] = target
        if len(self._targets) > _MOST:
            del self._targets[next(iter(self._targets))]

    def find(self, domain: str) -> tuple[str, int] | None:
        """Return where to go for *domain*, as a client writes it, and forget it."""
        try:
            return self._targets.pop(prepare_domain(domain), None)
        except BadDomain:
            return None
