"""The method door: what an end-to-end system has to be, to be a method of the proxy.

A method makes one engine per account. The engine is a machine without a world (law 7): it is handed clock, randomness and
a read-only view of what was persisted, takes events one after the other, and returns effects. What it holds in memory
has to be rebuildable from the view, or may be lost: after a commit that failed, or an error of its own, the
engine is thrown away and made anew.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import Factory, field, frozen

from e2eproxy.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2eproxy.methods.effects import Effect
    from e2eproxy.methods.events import Event
    from e2eproxy.methods.traits import Traits
    from e2eproxy.trust.values import Fingerprint, IdentityKey, PeerKey
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

DOOR_VERSION = 1
"""Grows when a plug-in written for the older door would not work with the newer one."""


class MethodError(RemoteError):
    """What a peer sent is not what the method's wire form or its state allows; the text is for the user."""


class View(Protocol):
    """What was persisted, to be read and not written; it always shows what is committed."""

    def record(self, key: str) -> bytes | None:
        """What ``Persist`` kept under *key*, or None."""

    def records(self, prefix: str) -> Mapping[str, bytes]:
        """All records whose keys begin with *prefix*."""

    def identity(self, name: str) -> IdentityKey | None:
        """Our own long-term key *name*, or None."""

    def peer_keys(self, contact: JID) -> tuple[PeerKey, ...]:
        """This method's keys of *contact* (bare), oldest first, distrusted ones included."""

    def usable(self, contact: JID, fingerprint: Fingerprint) -> bool:
        """Policy's word: whether text for *contact* may be encrypted to this key now. Unknown keys: as a first one."""

    def setting(self, contact: JID, name: str) -> str:
        """What is set under the method's own *name* for *contact*, its domain, the account or everybody; "" if nothing is."""


@frozen(kw_only=True)
class Context:
    """What an engine is made with.

    ``clock``: seconds since 1970 (UTC). ``random``: n secret random bytes, in any thread. ``settings``: the method's own, as text.
    """

    account: JID
    view: View = field(repr=False)
    clock: Callable[[], float] = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False)
    settings: Mapping[str, str] = Factory(dict)


class Recognition(enum.Enum):
    """What a stanza is to a method, judged without any state."""

    NONE = "none"
    """Nothing of ours."""
    COMPLETE = "complete"
    """The whole payload parses as our wire form (law 10: only this counts as already encrypted by the client)."""
    MARKED = "marked"
    """It carries our mark, but beside plain text or not decodable: plain text with an offer, or damaged."""


class Secrets(enum.Enum):
    """What a thief of the test bench takes."""

    LONG_TERM = "long-term"
    """Identity keys and all else that outlives sessions."""
    SESSION = "session"
    """All of the above and everything that is in the store and the memory now."""


@frozen(kw_only=True)
class Stolen:
    """What a thief got: identities and records as persisted, and (``memory``) secrets that are never persisted."""

    what: Secrets
    account: JID
    identities: tuple[IdentityKey, ...] = field(default=(), repr=False)
    records: Mapping[str, bytes] = field(factory=dict, repr=False)
    memory: Mapping[str, bytes] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Recorded:
    """One stanza as an eavesdropper recorded it. ``text``: what the user had written, where the bench knows it."""

    number: int
    at: float
    sender: JID
    receiver: JID
    raw: bytes = field(repr=False)
    text: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Forgery:
    """A stanza made up to stand in the place of ``instead_of`` in a transcript, and to read ``text``."""

    instead_of: int
    raw: bytes = field(repr=False)
    text: str = field(repr=False)


Transcript = tuple[Recorded, ...]


class Engine(Protocol):
    """One account's machine of a method."""

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Return what has to be done about *event*: everything durable first.

        Raises RemoteError, and nothing else, where what came from the network cannot be dealt with: its state then has to be
        as it was before. For an inbound stanza that is as good as Unreadable with the error's text.
        """

    def stolen_state(self, what: Secrets) -> Stolen:
        """What a thief who copies this machine now would get; only the test bench calls it."""


@runtime_checkable
class Method(Protocol):
    """One end-to-end system. An entry point of the group ``e2eproxy.methods`` names an object of this kind."""

    @property
    def traits(self) -> Traits:
        """What it says about itself."""

    @property
    def door_version(self) -> int:
        """The DOOR_VERSION it was written for."""

    def engine(self, context: Context) -> Engine:
        """Make an account's engine from what was persisted."""

    def recognise(self, stanza: Stanza) -> Recognition:
        """Say what *stanza* is to this method; never raises."""

    def open_recorded(self, stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
        """The best attack known to the author: the texts of *transcript* that *stolen* opens. For the test bench."""

    def forge(self, transcript: Transcript, accomplice: Stolen | None) -> Forgery | None:
        """Change a text of *transcript*, without its author's keys; None if there is no way. For the test bench.

        *accomplice* None: anybody who recorded the transcript and knows a text; else the receiver's secrets help.
        A method that claims deniability has to be able to.
        """
