"""Where stanzas are looked at, changed, held, taken out or added: the hooks between the two streams.

The relay calls a pipeline for each stanza once the account is known. The one here does nothing: everything is
forwarded as it came. It is law 2 in its simplest form, and the seam at which encryption is put in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from e2eproxy.proxy.login import Account
    from e2eproxy.xmpp.pieces import Element


class Ways(Protocol):
    """The two ways out of a session, for stanzas a pipeline adds; each takes whole stanzas, and keeps their order."""

    def to_server(self, raw: bytes) -> None:
        """Send *raw* to the server, after everything already on its way there."""

    def to_client(self, raw: bytes) -> None:
        """Send *raw* to the client, after everything already on its way there."""


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
        """Return what goes to the server in the place of this stanza, or None for nothing.

        *root* is the start tag of the stream it stands in.
        """

    def from_server(self, element: Element, root: bytes) -> bytes | None:
        """Return what goes to the client in the place of this stanza, or None for nothing; *root* as above."""

    def closed(self, *, orderly: bool) -> None:
        """Take note that the session is over: *orderly* if what is sent now still gets to the server."""


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

    def from_server(self, element: Element, root: bytes) -> bytes | None:  # noqa: ARG002 - the interface's
        """Forward it as it came."""
        return element.raw

    def closed(self, *, orderly: bool) -> None:
        """Nothing was kept."""


def verbatim(_ways: Ways) -> Pipeline:
    """Make the pipeline of a session that changes nothing."""
    return Verbatim()
