"""Where stanzas are looked at, changed, held, taken out or added: the hooks between the two streams.

The relay calls a pipeline for each stanza once the account is known. The one here does nothing: everything is
forwarded as it came. It is law 2 in its simplest form, and the seam at which encryption is put in.

Law 4 at this seam: on a server that has stream management (XEP-0198), each ``Care`` that was handed over ends in
exactly one of ``acknowledged``, ``lost`` and ``refused``. A server without it says nothing, so nothing is ever known:
what the store keeps under an ``outer_id`` counts as acknowledged when it is sent, of the rest nobody is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, field

from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2eproxy.proxy.login import Account
    from e2eproxy.xmpp.pieces import Element


@define(eq=False)
class Care:
    """What is remembered of a stanza that was sent, until the server has acknowledged it. Nobody changes it.

    ``outer_id``: under which the store keeps it; None if it does not.
    """

    # Not frozen: it is made for each stanza, and a frozen one takes three times as long to make.

    # Hardly any is ever looked at, so the stanza is only made then: making it takes longer than all the counting.
    _stanza: Stanza | tuple[Element, bytes] | None = field(default=None, repr=False)
    outer_id: str | None = None

    @property
    def stanza(self) -> Stanza | None:
        """The client's own, to be given back; None for what the proxy or a method made by itself."""
        kept = self._stanza
        return Stanza.of(*kept) if isinstance(kept, tuple) else kept


#: Of a stanza whose loss nobody has to be told.
NO_CARE: Final = Care()


class Kept:
    """What ``from_server`` returns for a stanza that is not dealt with yet; the server is told it is after ``release``."""

    __slots__ = ("_released", "_then")

    def __init__(self) -> None:
        self._released = False
        self._then: Callable[[], None] | None = None

    def release(self) -> None:
        """The pipeline's: the stanza is durably dealt with now. Calling it again does nothing."""
        then, self._then = self._then, None
        self._released = True
        if then is not None:
            then()

    def then(self, do: Callable[[], None]) -> None:
        """The relay's, once: *do* is called at the release, or at once if that has been."""
        if self._released:
            do()
        else:
            self._then = do


class Ways(Protocol):
    """The two ways out of a session, for stanzas a pipeline adds, and the client's reading. Both ways keep their order."""

    @property
    def client_there(self) -> bool:
        """Whether what is sent to the client now can still get to it."""

    def to_server(self, raw: bytes, care: Care = NO_CARE) -> None:
        """Send *raw*, one whole stanza, to the server, after everything already on its way there.

        Raises nothing. If it cannot be sent, ``Pipeline.refused`` is called with *care* before this returns: too much
        is unacknowledged, or the stream to the server is over.
        """

    def to_client(self, raw: bytes) -> None:
        """Send *raw*, whole stanzas, to the client, after everything already on its way there."""

    def pause_client(self) -> None:
        """Read no more of the client for now; what has been read already still comes."""

    def resume_client(self) -> None:
        """Take back ``pause_client``."""


class Pipeline(Protocol):
    """One session's pipeline. ``element.raw`` is the stanza as it came; returning it forwards it verbatim."""

    def bound(self, account: Account) -> None:
        """Take note that the server bound *account*; stanzas come from now on."""

    def must_see(self, element: Element) -> bool:
        """Return whether this server stanza has to be looked into.

        Asked only of stanzas over the limits; ``element.raw`` may be just their beginning. If so, a placeholder or
        an error takes their place; if not, they go to the client verbatim, without any hook being called.
        """

    def from_client(self, element: Element, root: bytes) -> bytes | None:
        """Return what goes to the server in the place of this stanza, one stanza, or None for nothing.

        *root* is the start tag of the stream it stands in. What is returned is sent with the care of the client's
        stanza.
        """

    def from_server(self, element: Element, root: bytes) -> bytes | Kept | None:
        """Return what goes to the client in the place of this stanza, or None for nothing; *root* as above.

        A ``Kept`` sends nothing either, and puts off acknowledging the stanza to the server.
        """

    def acknowledged(self, items: Sequence[Care]) -> None:
        """Take note that the server has taken these stanzas, in the order they were sent."""

    def refused(self, care: Care) -> None:
        """Take note that a stanza was not sent, and never will be; nothing may be sent to the server in answer."""

    def lost(self, items: Sequence[Care]) -> None:
        """Take note that these were sent, in this order, and never acknowledged; the stream to the server is over.

        Called at most once, never with nothing. Before ``closed`` if the client is there to be told, else after it.
        """

    def ending(self, done: Callable[[], None]) -> None:
        """Call *done* once all that the client sent has left, is stored or has gone back, and the goodbyes have left.

        At once, if that is so. Nothing more comes from the client. If ``closed`` comes first, *done* is not called.
        """

    def closed(self, *, orderly: bool) -> None:
        """Take note, once, that the session is over: *orderly* if what is sent now still gets to the server.

        Of a stream that was ended in good order, ``acknowledged`` and ``lost`` may still follow.
        """


class Verbatim:
    """The pipeline that does nothing."""

    def bound(self, account: Account) -> None:
        """Nothing depends on the account."""

    def must_see(self, element: Element) -> bool:  # noqa: ARG002 - the interface's
        """Look into nothing."""
        return False

    def from_client(self, element: Element, root: bytes) -> bytes | None:  # noqa: ARG002 - the interface's
        """Forward it as it came."""
        return element.raw

    def from_server(self, element: Element, root: bytes) -> bytes | Kept | None:  # noqa: ARG002 - the interface's
        """Forward it as it came."""
        return element.raw

    def acknowledged(self, items: Sequence[Care]) -> None:
        """Nobody asked."""

    def refused(self, care: Care) -> None:
        """Nobody is told."""

    def lost(self, items: Sequence[Care]) -> None:
        """Nobody is told."""

    def ending(self, done: Callable[[], None]) -> None:
        """All has left."""
        done()

    def closed(self, *, orderly: bool) -> None:
        """Nothing was kept."""


def verbatim(_ways: Ways) -> Pipeline:
    """Make the pipeline of a session that changes nothing."""
    return Verbatim()
