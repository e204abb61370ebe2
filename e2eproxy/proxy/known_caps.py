"""Which features a hash stands for, as far as that was proved: one account's, on all its streams and across restarts.

What is in here is believed of everybody who announces the same hash, so nothing comes in but an answer that has it and can be read
in one way (``xmpp.caps``): whoever could put something else here could take encryption away from all who have that client.
Bounded (law 6): those that were of no use for the longest time go first.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from attrs import define

from e2eproxy.trust.values import KnownCapabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Answers that are kept, and bytes of memory for all of them.
MOST_VERS: Final = 2_000
MOST_BYTES: Final = 4 * 1024 * 1024
#: Seconds between two notes in the store that an answer is still of use.
NOTED_EVERY: Final = 86_400.0


@define
class _Entry:
    features: frozenset[str]
    noted_at: float


class KnownCaps:
    """The verified answers by their verification string.

    *now* gives seconds since 1970. *keep* stores a new one, *used* notes that one was of use, at most once a day.
    """

    def __init__(
        self,
        *,
        vers: int = MOST_VERS,
        kept_bytes: int = MOST_BYTES,
        now: Callable[[], float] = lambda: 0.0,
        keep: Callable[[KnownCapabilities], None] = lambda _known: None,
        used: Callable[[str, float], None] = lambda _ver, _at: None,
    ) -> None:
        self._vers = vers
        self._kept_bytes = kept_bytes
        self._now = now
        self._keep = keep
        self._used = used
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many are known."""
        return len(self._entries)

    @property
    def memory(self) -> int:
        """Bytes that they take, about."""
        return self._bytes

    def remember(self, stored: Iterable[KnownCapabilities]) -> None:
        """Take over what an earlier daemon stored, that of use last behind the others."""
        for one in stored:
            self._put(one.ver, one.features, one.used_at)

    def get(self, ver: str) -> frozenset[str] | None:
        """Return the features that *ver* stands for, None if that is not known."""
        found = self._entries.get(ver)
        if found is None:
            return None
        self._entries.move_to_end(ver)
        now = self._now()
        if now - found.noted_at >= NOTED_EVERY:
            found.noted_at = now
            self._used(ver, now)
        return found.features

    def keep(self, ver: str, features: frozenset[str]) -> None:
        """Keep what was proved."""
        if self.get(ver) is None:
            now = self._now()
            self._put(ver, features, now)
            self._keep(KnownCapabilities(ver, features, now))

    def _put(self, ver: str, features: frozenset[str], at: float) -> None:
        if ver in self._entries:
            return
        self._entries[ver] = _Entry(features, at)
        self._bytes += _memory(features)
        while len(self._entries) > self._vers or self._bytes > self._kept_bytes:
            _, gone = self._entries.popitem(last=False)
            self._bytes -= _memory(gone.features)


def _memory(features: frozenset[str]) -> int:
    return sys.getsizeof(features) + sum(map(sys.getsizeof, features))
