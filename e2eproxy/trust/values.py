"""What trust is about, as plain values that every room may hold: keys, decisions, and what else is kept.

They import nothing of the store, so that a method can speak of a key without knowing that databases exist (law 7).
Accounts and contacts are prepared bare JIDs as text; times are seconds since 1970 (UTC) as floats. Secrets and
message text never show in a ``repr`` (law 8).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


class Decision(enum.Enum):
    """What is thought of a peer's key; the value is what the store keeps."""

    UNDECIDED = "undecided"
    """Seen, and nothing said about it yet."""
    TOFU = "tofu"
    """The first key that was seen of this contact, taken without a check."""
    ACCEPTED = "accepted"
    """Taken by the user, or vouched for by an accepted device, without a check."""
    VERIFIED = "verified"
    """Checked with the person: a fingerprint compared, a shared secret proved."""
    DISTRUSTED = "distrusted"
    """Refused by the user."""


VOUCHED: Final = "vouched"
"""How a key was checked for which an accepted device of the same person has vouched: by nobody else than that device."""


def decision_of(how: str, *, holds: bool) -> Decision:
    """What a check of the kind *how* makes of a key, if it *holds* and if not."""
    if not holds:
        return Decision.UNDECIDED
    return Decision.ACCEPTED if how == VOUCHED else Decision.VERIFIED


@frozen
class Fingerprint:
    """The name of a public key: *method* is the registered name of the method, *text* what that method shows."""

    method: str
    text: str

    def __str__(self) -> str:
        """``method:text``."""
        return f"{self.method}:{self.text}"


@frozen(kw_only=True)
class PeerKey:
    """A key of *contact* (or of another device of ours: then contact and account are the same) as *account* knows it.

    *public* is in the method's own encoding. *how_verified* names the way ("fingerprint", "smp", "sas", "vouched"),
    *verified_at* the time; both are None unless the decision is VERIFIED or ACCEPTED.
    """

    account: str
    contact: str
    fingerprint: Fingerprint
    public: bytes = field(repr=False)
    first_seen: float
    last_seen: float
    decision: Decision = Decision.UNDECIDED
    how_verified: str | None = None
    verified_at: float | None = None


@frozen(kw_only=True)
class KeySeen:
    """What ``learn`` found: *key* as it now is, whether it is *new*, and the contact's *others*, of any method.

    A new key with others beside it is a change of key or a second key: policy decides which, and what follows.
    """

    key: PeerKey
    new: bool
    others: tuple[PeerKey, ...] = ()

    @property
    def first(self) -> bool:
        """Whether this is the first key ever seen of the contact."""
        return self.new and not self.others

    @property
    def others_of_method(self) -> tuple[PeerKey, ...]:
        """The contact's other keys of the same method."""
        method = self.key.fingerprint.method
        return tuple(other for other in self.others if other.fingerprint.method == method)


@frozen(kw_only=True)
class IdentityKey:
    """A long-term key of our own: *name* tells the keys of one method apart ("dsa", "signing", "device").

    *secret* is sealed at rest; both keys are in the method's own encoding.
    """

    account: str
    method: str
    name: str
    public: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    created_at: float


@frozen(kw_only=True)
class MethodRecord:
    """What a method asked to be persisted under *key*, a text of its own choice; *data* is sealed at rest."""

    account: str
    method: str
    key: str
    data: bytes = field(repr=False)


@frozen(kw_only=True)
class PolicyRow:
    """One setting at one level.

    *scope* is "contact", "domain", "account" or "default", *key* the JID or domain it is about ("" for default);
    *account* is whose setting it is, "" for every account of this daemon.
    """

    account: str
    scope: str
    key: str
    setting: str
    value: str


@frozen(kw_only=True)
class StickyContact:
    """A contact from whom clear text is not sent any more without the user's word; *why* is "proved" or "user"."""

    account: str
    contact: str
    since: float
    why: str


@frozen(kw_only=True)
class SentId:
    """A stanza that left under *outer_id* and that the client calls *client_id* (None: it gave none).

    *original* is the client's stanza, standing for itself, *outer* the bytes that left, to leave once more if the client
    sends it twice; both sealed at rest, None where the caller kept none. *outer* is forgotten with the acknowledgement.
    """

    account: str
    outer_id: str
    client_id: str | None
    to: str
    sent_at: float
    acknowledged: bool = False
    original: bytes | None = field(default=None, repr=False)
    outer: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class SentPair:
    """Of a ``SentId`` what is needed to find the client's id for an answer."""

    outer_id: str
    client_id: str | None
    to: str
    sent_at: float


@frozen
class StoredRoster:
    """The copy of an account's roster: its *version* (opaque, None without one) and subscriptions by prepared bare JID.

    *changes*: the number of the last change that was stored since it was stored whole.
    """

    version: str | None = field(repr=False)
    subscriptions: Mapping[str, str] = field(repr=False)
    changes: int = 0


@frozen
class RosterChange:
    """One contact is another now, or (subscription None) none any more; the roster has *version* then.

    *number* tells later changes from earlier ones.
    """

    number: int
    version: str | None = field(repr=False)
    contact: str
    subscription: str | None


@frozen
class KnownCapabilities:
    """The features that were proved to be those with the verification string *ver* (XEP-0115, sha-1); last used then."""

    ver: str
    features: frozenset[str] = field(repr=False)
    used_at: float


@frozen(kw_only=True)
class HeldStanza:
    """A stanza that waits for a key or a policy decision; *reference* names it, *stanza* is sealed at rest."""

    account: str
    contact: str
    reference: str
    stanza: bytes = field(repr=False)
    held_at: float


@frozen(kw_only=True)
class KeptOriginal:
    """The stanza behind a placeholder, to be shown on request until *expires_at*; sealed at rest."""

    account: str
    contact: str
    reference: str
    stanza: bytes = field(repr=False)
    expires_at: float


@frozen(kw_only=True)
class Report:
    """What the account has to be told at its next login; *number* grows, *text* is sealed at rest."""

    account: str
    number: int
    text: str = field(repr=False)
    at: float
