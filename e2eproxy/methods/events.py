"""What a method is told: every event an engine can get, as immutable values.

Law 7: a method learns of the world only through these. JIDs are prepared; times are seconds since 1970 (UTC). An event
never carries a socket, a clock or a callback. ``own`` is always the full JID of ours that the event belongs to: one
engine serves all streams of an account.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NewType

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.trust.values import Decision, Fingerprint
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

Ref = NewType("Ref", str)
"""The pipeline's name for one stanza in its care; opaque to methods, unique as long as the stanza is not disposed of."""


class Way(enum.Enum):
    """How an inbound stanza came; a forged wrapper never gets this far."""

    LIVE = "live"
    """Routed to us now; ``sent_at`` is None."""
    DELAYED = "delayed"
    """Kept by our own server while we were away; ``sent_at`` is its stamp, None if that cannot be read."""
    CARBON_RECEIVED = "carbon-received"
    """A copy of what a contact sent to another device of ours."""
    CARBON_SENT = "carbon-sent"
    """A copy of what another device of ours sent; ``peer`` is that device, ``Inbound.to`` the contact."""
    ARCHIVE = "archive"
    """From our own archive, asked for by the client; ``sent_at`` is the archive's stamp."""


class Outcome(enum.Enum):
    """How a question to the network ended."""

    RESULT = "result"
    ERROR = "error"
    TIMEOUT = "timeout"


@frozen(kw_only=True)
class Starting:
    """A stream of ours is up, as ``own``: publish keys, look for what a restart left behind."""

    own: JID


@frozen(kw_only=True)
class Stopping:
    """The stream of ``own`` is about to end in good order: say goodbye in sessions that die with it."""

    own: JID


@frozen(kw_only=True)
class Interrupted:
    """The stream of ``own`` ended without order. What was sent last to the peers in ``doubtful`` may not have arrived.

    It comes back to the client as an error; a method whose counters cannot bear the gap ends the session.
    """

    own: JID
    doubtful: tuple[JID, ...] = ()


@frozen(kw_only=True)
class Outbound:
    """The client wants ``stanza`` to go to ``peer`` (bare or full), and policy wants it protected.

    ``members`` are the real bare JIDs of a room's members where ``stanza`` is of type groupchat and all are known,
    else empty. ``required``: policy will not let it go in clear, so it is worth asking for a session even in ways that a
    peer without the method would see. ``again`` says that it was held before (``Hold``) and is presented once more,
    ``repeated`` that it was sent before, and the method wants it sent again (``Repeat``).
    Exactly one disposition has to follow: Send or Ask with this ref (one or several), Return, Hold, or Decline.
    """

    ref: Ref
    own: JID
    peer: JID
    stanza: Stanza = field(repr=False)
    members: tuple[JID, ...] = ()
    required: bool = False
    again: bool = False
    repeated: bool = False


@frozen(kw_only=True)
class Inbound:
    """``peer`` (full, or bare where it has no resource) sent us ``stanza``, which this method said it recognises.

    ``to`` is whom it was sent to as it left the peer (differs from ``own`` in wrappers), ``author`` the real bare JID of
    a room's occupant if known. ``may_answer``: it is a contact that gets our presence, and policy does not rule methods out
    for it, so what it begins may be answered: it learns no more than it may know. ``room``: it is an occupant of a room that
    our user is in. Exactly one disposition has to follow: Deliver (one or several), Unreadable, Absorb, Hold, or Decline.
    """

    ref: Ref
    own: JID
    peer: JID
    to: JID
    stanza: Stanza = field(repr=False)
    way: Way = Way.LIVE
    sent_at: float | None = None
    author: JID | None = None
    may_answer: bool = False
    room: bool = False
    again: bool = False


@frozen(kw_only=True)
class Answer:
    """What became of the question asked under ``token`` (``Ask``).

    ``stanza`` is the IQ that came, from the JID that was asked and no other; None on a timeout. ``condition`` is the
    stanza error's defined condition (``item-not-found``), empty unless it is an error.
    """

    own: JID
    token: str
    outcome: Outcome
    stanza: Stanza | None = field(default=None, repr=False)
    condition: str = ""


@frozen(kw_only=True)
class Consulted:
    """What became of the job given under ``token`` (``Consult``): ``result`` by name, or ``why`` it failed (a sentence)."""

    token: str
    outcome: Outcome
    result: Mapping[str, bytes] = field(factory=dict, repr=False)
    why: str = ""


@frozen(kw_only=True)
class Computed:
    """What became of the computation ``name`` (``Compute``): its ``result``, which may be secret; or None, and ``why`` (a sentence).

    It comes in any case, unless the engine was made anew meanwhile: a new one hears nothing of what an earlier one wanted.
    """

    name: str
    result: bytes | None = field(repr=False)
    why: str = ""


@frozen(kw_only=True)
class PeerPresence:
    """``peer`` (full) became available or unavailable, or we lost sight of it with our own stream (unavailable)."""

    own: JID
    peer: JID
    available: bool


@frozen(kw_only=True)
class PeerFeatures:
    """What ``peer`` announces (disco features, by caps or asked); ``known`` is False if it could not be found out."""

    own: JID
    peer: JID
    features: frozenset[str]
    known: bool = True


@frozen(kw_only=True)
class Timer:
    """The timer ``name`` that ``SetTimer`` set has run out. After a restart, timers are gone: see ``Starting``."""

    name: str


@frozen(kw_only=True)
class Command:
    """The user says ``verb`` ("start", "end", "verify", "fingerprint", ...) about ``peer``; see ``Traits.commands``.

    ``arguments`` may hold secrets (a shared secret for SMP): never to be logged. At least one Tell should follow.
    """

    own: JID
    peer: JID
    verb: str
    arguments: tuple[str, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class TrustChanged:
    """The decision about a key of ``contact`` (bare) changed; ``usable`` is policy's word on it as it is now."""

    contact: JID
    fingerprint: Fingerprint
    decision: Decision
    usable: bool


Event = (
    Starting
    | Stopping
    | Interrupted
    | Outbound
    | Inbound
    | Answer
    | Consulted
    | Computed
    | PeerPresence
    | PeerFeatures
    | Timer
    | Command
    | TrustChanged
)
