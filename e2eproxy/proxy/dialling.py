"""How a session gets to its server: connecting, and being sent on to another host.

A server may send its clients elsewhere before it has shown them anything, and is followed then; later the client hears
that it should connect again, and the address is kept for that. It is never shown one: it would go past the proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from e2eproxy.errors import StreamError
from e2eproxy.xmpp import stream
from e2eproxy.xmpp.redirect import see_other_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from e2eproxy.proxy.redirects import Redirects
    from e2eproxy.xmpp.connect import Connector, Upstream
    from e2eproxy.xmpp.pieces import Element

#: How often a server may send us on to another host before anything of it is shown.
MOST_REDIRECTS: Final = 3


class Dialling:
    """One session's. *connected* is given the checked connection; *failed* a stream error's condition and text."""

    _log = Logger()

    def __init__(
        self,
        connector: Connector,
        redirects: Redirects,
        connected: Callable[[Upstream], None],
        failed: Callable[[str, str], None],
        *,
        number: int,
    ) -> None:
        self._connector = connector
        self._redirects = redirects
        self._connected = connected
        self._failed = failed
        self._number = number
        self._connecting: Deferred[Upstream] | None = None
        self._times_redirected = 0
        self._cancelled = False

    def begin(self, domain: str) -> None:
        """Connect to the server of *domain*, or where it last asked its clients to go."""
        self._connect(domain, self._redirects.find(domain))

    def follow(self, upstream: Upstream, target: tuple[str, int]) -> None:
        """Connect to *target*, where the server behind *upstream* sends its clients."""
        self._times_redirected += 1
        host, port = target
        self._log.info("{n}: the server sends us on to {host}:{port}", n=self._number, host=host, port=port)
        self._connect(upstream.domain, target)

    def cancel(self) -> None:
        """Give up connecting, if that is what is being done."""
        self._cancelled = True
        if self._connecting is not None:
            self._connecting.cancel()

    def _connect(self, domain: str, redirect: tuple[str, int] | None) -> None:
        self._log.debug("{n}: connecting to the server of {domain}", n=self._number, domain=domain)
        self._connecting = connecting = self._connector.connect(domain, redirect)
        connecting.addCallbacks(self._reached, self._not_reached)
        connecting.addErrback(self._our_bug)

    def _reached(self, upstream: Upstream) -> None:
        self._connecting = None
        if self._cancelled:
            upstream.abort()
            return
        self._log.info(
            "{n}: for {domain}: {how}", n=self._number, how=upstream.description, domain=upstream.domain
        )
        self._connected(upstream)

    def _not_reached(self, failure: Failure) -> None:
        self._connecting = None
        if self._cancelled:
            return
        error = failure.value
        if not isinstance(error, StreamError):
            self._our_bug(failure)
            return
        self._log.warn("{n}: {text}", n=self._number, text=error.text)
        self._failed(error.condition, error.text)

    def _our_bug(self, failure: Failure) -> None:
        self._log.failure("{n}: this is a bug in e2eproxy", failure, n=self._number)
        self._failed("internal-server-error", "e2eproxy has failed; its log says how.")

    # -- being sent on -----------------------------------------------------------------------------------------------

    def sent_on(self, element: Element, root: bytes, upstream: Upstream) -> tuple[str, int] | None:
        """Return where the server sends its clients with *element*, nothing of it having been shown; None if nowhere.

        Raises StreamError if it is not to be followed.
        """
        target = see_other_host(element, root)
        if target is not None and (not upstream.secure or self._times_redirected == MOST_REDIRECTS):
            why = "more than is followed" if upstream.secure else "and that is only followed inside TLS"
            raise StreamError("policy-violation", f"The server sends its clients to another host, {why}.")
        return target

    def shown(self, error: Element, root: bytes, upstream: Upstream) -> bytes:
        """Return what the client gets of the server's stream error: all but an address it must not go to by itself."""
        target = see_other_host(error, root)
        if target is None:
            return error.raw
        if upstream.secure:
            self._redirects.remember(upstream.domain, target)
        return stream.error("reset", "The server asks its clients to connect again.")
