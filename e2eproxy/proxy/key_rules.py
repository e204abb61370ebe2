"""Which keys may be encrypted to: the second axis of policy, and what pins a key (DESIGN.md, "TOFU").

The first key of a bare JID is pinned. A later one is an event, of any method and of our own account alike: refused until
the user accepts it or an accepted device vouches for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.rules import Whom
from e2eproxy.trust.values import Decision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.trust.values import KeySeen

#: By (whom, what was decided about the key): whether it may be used; UNDECIDED under ``blind`` is asked below.
USABLE: Final[dict[tuple[Whom, Decision], bool]] = {
    (Whom.VERIFIED, Decision.UNDECIDED): False,
    (Whom.VERIFIED, Decision.TOFU): False,
    (Whom.VERIFIED, Decision.ACCEPTED): False,
    (Whom.VERIFIED, Decision.VERIFIED): True,
    (Whom.VERIFIED, Decision.DISTRUSTED): False,
    (Whom.TOFU, Decision.UNDECIDED): False,
    (Whom.TOFU, Decision.TOFU): True,
    (Whom.TOFU, Decision.ACCEPTED): True,
    (Whom.TOFU, Decision.VERIFIED): True,
    (Whom.TOFU, Decision.DISTRUSTED): False,
    (Whom.BLIND, Decision.UNDECIDED): True,
    (Whom.BLIND, Decision.TOFU): True,
    (Whom.BLIND, Decision.ACCEPTED): True,
    (Whom.BLIND, Decision.VERIFIED): True,
    (Whom.BLIND, Decision.DISTRUSTED): False,
}


def pinned(seen: KeySeen) -> Decision:
    """Return what becomes of a key that was *seen*: the first of its contact is pinned, all else stays as it is."""
    if seen.first and seen.key.decision is Decision.UNDECIDED:
        return Decision.TOFU
    return seen.key.decision


def usable(whom: Whom, decision: Decision, others: Iterable[Decision] = ()) -> bool:
    """Whether a key about which *decision* stands may be encrypted to; *others* stand about the contact's other keys.

    Blind trust ends where a person was verified: a new key beside a verified one has to be accepted.
    """
    if decision is Decision.UNDECIDED and Decision.VERIFIED in others:
        return False
    return USABLE[whom, decision]
