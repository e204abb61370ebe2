"""What a method wants done: every effect an engine can return, as immutable values.

They are applied in order, and the tuple of one event is one unit. Law 5: all that has to be durable (``Persist``,
``PersistIdentity``, ``Learn``, ``Verified``) stands before all that can be seen, and is committed before it.
Law 1: a method never writes an outer stanza. It gives the elements it made (``payload``); the pipeline makes the start tag,
the id and the children that are allowed outside, and checks ``keys`` against policy before anything leaves.

A *payload* is zero or more elements as UTF-8 bytes, each with its own ``xmlns``, well-formed where ``jabber:client``
is the default namespace and no prefix is bound.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2eproxy.methods.events import Ref
    from e2eproxy.trust.values import Fingerprint
    from e2eproxy.xmpp.jid import JID

Kind = Literal["message", "presence", "iq"]


@frozen
class Body:
    """What was inside is the text of a message, and nothing else."""

    text: str = field(repr=False)


@frozen
class Children:
    """What was inside are children of the stanza: a payload as the module says."""

    raw: bytes = field(repr=False)


@frozen
class Whole:
    """What was inside is a whole stanza standing for itself.

    Its ``from`` and ``to`` are overwritten by the pipeline; kind, ``type``, ``id``, ``xml:lang`` and children hold.
    """

    raw: bytes = field(repr=False)


Inside = Body | Children | Whole


class State(enum.Enum):
    """What a session with a peer is like."""

    NONE = "none"
    """There is none; text would need one, or be declined."""
    NEGOTIATING = "negotiating"
    ACTIVE = "active"
    FINISHED = "finished"
    """The peer ended it: nothing goes out until the user says what he wants."""


class Tone(enum.Enum):
    """How a notice has to be shown."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"
    """Somebody may be attacking: a key changed, a verification failed."""


@frozen(kw_only=True)
class Protection:
    """How a delivered text was protected: what law 9 shows the user.

    ``key`` is the key of the author that was proved (None: nothing proves who wrote it). ``forward_secret``: keys stolen
    tomorrow do not open it. ``deniable``: it is no proof to third parties. ``notes``: sentences for the user.
    """

    key: Fingerprint | None
    forward_secret: bool = False
    deniable: bool = False
    notes: tuple[str, ...] = ()


# ---- what has to be durable, first ----


@frozen(kw_only=True)
class Persist:
    """Keep ``data`` under ``key`` (a text of the method's choice; sealed at rest), or forget it if None."""

    key: str
    data: bytes | None = field(repr=False)


@frozen(kw_only=True)
class PersistIdentity:
    """Keep a long-term key of our own under ``name``; part of the archive, unlike ``Persist``."""

    name: str
    public: bytes = field(repr=False)
    secret: bytes = field(repr=False)


@frozen(kw_only=True)
class Learn:
    """A key of ``contact`` (bare; our own account for a key of ours) was seen.

    ``proved``: its owner proved to hold it. Policy decides what it is worth (pins the first, asks about others); if that
    makes it usable or not, ``TrustChanged`` follows as an event of its own.
    """

    contact: JID
    fingerprint: Fingerprint
    public: bytes = field(repr=False)
    proved: bool = True


@frozen(kw_only=True)
class Verified:
    """A check ended: a shared secret, a short authentication string, a certificate. ``holds``: its result.

    ``how`` "vouched" is not as good: a device that is accepted says so of another one, which then counts as accepted.
    """

    contact: JID
    fingerprint: Fingerprint
    how: str
    holds: bool


# ---- what can be seen ----


@frozen(kw_only=True)
class Send:
    """Here is the outbound stanza ``ref``, protected: ``payload`` takes the place of all that is not allowed outside.

    ``to`` is a JID of the same contact (or a room's). ``keys`` names every key it can be read with, ours excepted; the
    pipeline sends it only if policy accepts each. ``lasting``: may be kept by servers for a peer who is away; otherwise the
    pipeline adds the hints against storing and copying. ``pending``: the key it is encrypted to is nobody else's yet (``keys``
    may then be empty); when that is given away, ``Emit.keys`` says to whom.
    An element of ``payload`` takes the place of one of the same name that would be allowed outside (``<thread/>``).
    """

    ref: Ref
    to: JID
    payload: bytes = field(repr=False)
    keys: tuple[Fingerprint, ...]
    lasting: bool = True
    pending: bool = False


@frozen(kw_only=True)
class Emit:
    """Send a stanza of the method's own: a step of a handshake, an answer to the peer's IQ, a goodbye.

    It never carries anything the user wrote. ``id`` is for answers only (the id of the peer's IQ); else the pipeline
    makes one. An empty ``type`` is none. A message gets the hints against storing and copying. ``own`` names the stream of ours it goes by; None is the one the event belongs
    to. ``keys``: it gives a key for texts of the user to the owners of these; sent only if policy accepts each of them.
    """

    to: JID
    payload: bytes = field(repr=False)
    kind: Kind = "message"
    type: str = "chat"
    id: str | None = None
    own: JID | None = None
    keys: tuple[Fingerprint, ...] = ()


@frozen(kw_only=True)
class Ask:
    """Send an IQ and hear of its end as ``Answer`` with the same ``token``, at the latest after ``timeout`` seconds.

    ``to`` None is our own account. With ``ref`` it carries that outbound stanza (a tunnel does this), and ``keys`` is as
    in ``Send``; the pipeline counts the stanza as sent. A token in use may not be used again.
    """

    token: str
    to: JID | None
    payload: bytes = field(repr=False)
    type: Literal["get", "set"] = "get"
    timeout: float = 30.0
    ref: Ref | None = None
    keys: tuple[Fingerprint, ...] = ()
    own: JID | None = None


@frozen(kw_only=True)
class Consult:
    """Have the backend ``backend`` (a program outside, one of ``Traits.needs``) do the job ``request``.

    It ends with ``Consulted`` and the same ``token``, at the latest after ``timeout`` seconds; at once, with an error, where
    there is no such backend. For what blocks or asks the user something (gpg with its agent), never for the network.
    """

    token: str
    backend: str
    request: Mapping[str, bytes] = field(repr=False)
    timeout: float = 60.0


@frozen(kw_only=True)
class Compute:
    """Have ``work`` done in a thread: a long computation, such as making a key. It ends with ``Computed(name)``.

    ``work`` is called once, with the randomness it may use (n secret bytes for a number n), and returns bytes. It has to be
    pure: a function of a module, or a ``functools.partial`` of one with values, which neither reads nor changes the engine. While
    one of that name is under way for an engine, no other is begun. A RemoteError it raises is told as the reason why;
    anything else is a bug of the method, and no result.
    """

    name: str
    work: Callable[[Callable[[int], bytes]], bytes] = field(repr=False)


@frozen(kw_only=True)
class Deliver:
    """Here is what was inside the inbound stanza ``ref``; several make several stanzas, none of them silent."""

    ref: Ref
    inside: Inside
    protection: Protection


@frozen(kw_only=True)
class Absorb:
    """The inbound stanza ``ref`` was the method's own business; there is nothing in it for the user.

    A step of a handshake, a part of something that is not complete yet, a stanza that was delivered before. Never for
    anything that may have held text the user has not seen.
    """

    ref: Ref
    why: str


@frozen(kw_only=True)
class Unreadable:
    """The inbound stanza ``ref`` cannot be opened: a placeholder with ``why`` (a sentence) is delivered for it."""

    ref: Ref
    why: str


@frozen(kw_only=True)
class Hold:
    """Keep the stanza ``ref``, and all later ones of the same direction and bare JID (the room's in a room), until ``Retry``.

    The pipeline bounds it in time and size; what waited too long comes back to the user with ``why`` (a sentence).
    The engine keeps nothing of the stanza.
    """

    ref: Ref
    why: str


@frozen(kw_only=True)
class Retry:
    """What was held for the bare JID ``contact`` (a person's or a room's), in both directions, may be presented again.

    In order, until the next Hold; as events of their own, after this event's effects. Harmless if nothing is held.
    """

    contact: JID


@frozen(kw_only=True)
class Repeat:
    """The stanza ``ref``, which was sent a moment ago, did not get through: present it once more (``Outbound.repeated``).

    Only the last one to each contact can be presented again, and only for a minute; else nothing happens.
    """

    ref: Ref


@frozen(kw_only=True)
class Return:
    """The outbound stanza ``ref`` cannot be sent: it goes back to the client as an error.

    ``condition`` is an RFC 6120 section 8.3.3 condition, ``why`` a sentence that says what to do.
    """

    ref: Ref
    condition: str
    why: str


@frozen(kw_only=True)
class Decline:
    """The stanza ``ref`` is not for this method.

    Outbound: nothing it could do for this peer; the next method of policy's order is asked, and in the end policy alone
    decides whether it may go in clear, then with ``offer`` appended to its body (OTR's whitespace tag) and the elements
    ``adds`` to its children (a signature over a status). ``settled``: until an event comes to the method that is no Outbound, it
    would say the same of every stanza of that type to that address which is not ``required``, so it need not be asked.
    Inbound: plain after all, delivered marked as such, with ``body`` (if not None) in the place of its body's text.
    """

    ref: Ref
    why: str
    offer: str = ""
    adds: bytes = field(default=b"", repr=False)
    settled: bool = False
    body: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class SessionChanged:
    """The session with ``peer`` (full; bare where the method has one per contact) is now ``state``, by ``protection``."""

    peer: JID
    state: State
    protection: Protection | None = None


@frozen(kw_only=True)
class ProvedReading:
    """``contact`` proved to have read something we encrypted: the only thing by which he becomes sticky."""

    contact: JID


@frozen(kw_only=True)
class SetTimer:
    """``Timer(name)`` in ``seconds``, in the place of an earlier one of that name; None takes it away."""

    name: str
    seconds: float | None


@frozen(kw_only=True)
class Tell:
    """A notice for the user, about ``contact`` or (None) about the account: ``text`` is one or more sentences."""

    contact: JID | None
    text: str
    tone: Tone = Tone.INFO


Durable = Persist | PersistIdentity | Learn | Verified
Visible = (
    Send
    | Emit
    | Ask
    | Consult
    | Compute
    | Deliver
    | Absorb
    | Unreadable
    | Hold
    | Retry
    | Repeat
    | Return
    | Decline
    | SessionChanged
    | ProvedReading
    | SetTimer
    | Tell
)
Effect = Durable | Visible

DURABLE = (Persist, PersistIdentity, Learn, Verified)
"""The classes of ``Durable``, for isinstance."""
