"""One client, the server it named, and the life of the two streams between them.

The order of things: the client's header names the domain, the client is held, the server is reached and checked, the
client's header goes to it as it came, and from then on both streams are relayed slice by slice. Whatever ends one
stream ends the other the way a server would: with a stream error that says why, or with the end of the stream.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import evolve
from twisted.logger import Logger

from e2eproxy.errors import StreamError
from e2eproxy.proxy.legs import LINGER_SECONDS, ClientLeg, ServerLeg
from e2eproxy.proxy.relay import Relay
from e2eproxy.proxy.way import Way
from e2eproxy.xmpp import names, stream
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, End, Header, Limits, Part, Piece, Whitespace
from e2eproxy.xmpp.redirect import see_other_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from e2eproxy.proxy.pipeline import Pipeline, Ways
    from e2eproxy.proxy.redirects import Redirects
    from e2eproxy.xmpp.connect import Connector, Upstream

#: Seconds a client may be silent before it is authenticated, while nobody waits for the server.
SILENCE_SECONDS: Final = 30.0
#: How often a server may send us on to another host before anything of it is shown.
MOST_REDIRECTS: Final = 3
#: A client's longest element before it is authenticated, in bytes.
BEFORE_LOGIN_BYTES: Final = 16 * 1024
#: A server's longest element that is held in memory whole, in bytes.
SERVER_BYTES: Final = 16 * 1024 * 1024

_RESTART_AFTER: Final = frozenset((names.SASL_SUCCESS,))
_BEFORE_LOGIN: Final = Limits(BEFORE_LOGIN_BYTES)
_SERVER_LIMITS: Final = Limits(SERVER_BYTES, strict=False)


class State(Enum):
    """What a session is doing."""

    AWAITING_HEADER = auto()
    CONNECTING = auto()
    RELAYING = auto()
    ENDING = auto()
    OVER = auto()


#: From each state, the ones that may follow. A server that sends us on is left again before any of it was shown.
MOVES: Final = {
    State.AWAITING_HEADER: {State.CONNECTING, State.OVER},
    State.CONNECTING: {State.RELAYING, State.OVER},
    State.RELAYING: {State.CONNECTING, State.ENDING, State.OVER},
    State.ENDING: {State.OVER},
    State.OVER: set[State](),
}


class Session:
    """One client and its server.

    *number* names the session in the log. *refusal*: condition and text for a client that is not to be served.
    *on_gone* is called once, when the client's connection is gone.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        connector: Connector,
        make_pipeline: Callable[[Ways], Pipeline],
        redirects: Redirects,
        *,
        max_stanza_bytes: int,
        number: int,
        refusal: tuple[str, str] | None,
        on_gone: Callable[[Session], None],
    ) -> None:
        self._clock = clock
        self._connector = connector
        self._make_pipeline = make_pipeline
        self._redirects = redirects
        self._max_stanza_bytes = max_stanza_bytes
        self._refusal = refusal
        self._on_gone = on_gone
        self.number = number
        self.state = State.AWAITING_HEADER
        self.client = ClientLeg(self, clock)
        self._to_client = Way(self.client.write)
        self._from_client = Framer(_BEFORE_LOGIN)
        self._header: Header | None = None
        self._client_root = b""
        # Held from its header on until the server has answered.
        self._client_held = False
        self._early: list[Piece] = []
        # Whether the client has seen a header of its present stream, so that an error can follow on it.
        self._header_shown = False
        self._client_ended = False
        self._server_ended = False
        self._connecting: Deferred[Upstream] | None = None
        self._upstream: Upstream | None = None
        self._server: ServerLeg | None = None
        self._to_server = Way(_into_nothing)
        self._from_server = Framer(_SERVER_LIMITS)
        self._server_root = b""
        self._relay: Relay | None = None
        self._held_header: Header | None = None
        self._times_redirected = 0
        self._timer: IDelayedCall | None = None

    # -- bytes of the client -------------------------------------------------------------------------------------

    def client_connected(self) -> None:
        """The client is there: wait for its header, not for ever."""
        if self._refusal is not None:
            self.end(*self._refusal)
            return
        self._wait(SILENCE_SECONDS, self._client_too_slow)

    def client_sent(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._client_ended or self.state is State.OVER:
            return
        broken = None
        try:
            pieces = self._from_client.receive(data)
        except StreamError as error:
            broken, pieces = error, self._from_client.completed
        broken = self._corked(self._client_pieces, pieces) or broken
        if broken is not None:
            self._log.info("{n}: the client broke its stream: {text}", n=self.number, text=broken.text)
            self.end(broken.condition, broken.text)

    def _corked(self, work: Callable[[list[Piece]], None], pieces: list[Piece]) -> StreamError | None:
        """Do *work* on *pieces*; what it sends leaves in one write each way. Return the error that ended it, if any."""
        if len(pieces) == 1:
            try:
                work(pieces)
            except StreamError as error:
                return error
            return None
        to_client, to_server = self._to_client, self._to_server
        to_client.cork()
        to_server.cork()
        try:
            work(pieces)
        except StreamError as error:
            return error
        finally:
            to_server.uncork()
            to_client.uncork()
        return None

    def _client_pieces(self, pieces: list[Piece]) -> None:
        for at, piece in enumerate(pieces):
            if self.state is State.OVER:
                return
            if self._client_held:
                # What came in one go with the header waits; no more is read meanwhile.
                self._early.extend(pieces[at:])
                return
            if self._relay is None:
                self._client_first(piece)
            elif isinstance(piece, Element):
                self._client_element(piece, self._relay)
            else:
                self._client_other(piece)

    def _client_element(self, element: Element, relay: Relay) -> None:
        goes_on = relay.client_element(element, self._client_root)
        if not goes_on:
            self._over()
        elif not relay.login.authenticated:
            # The client has done its part; its clock runs again when the server has answered.
            self._stop_waiting()

    def _client_other(self, piece: Piece) -> None:
        if isinstance(piece, Header):
            self._client_root = piece.root
            self._header_shown = False
        elif isinstance(piece, End):
            self._client_ended = True
            self._log.info("{n}: the client ended its stream", n=self.number)
            if self._relay is not None:
                self._relay.close(orderly=True)
            self._to_server.send(piece.raw or stream.END)
            self._one_ended()
            return
        self._to_server.send(piece.raw)

    def _client_first(self, piece: Piece) -> None:
        if isinstance(piece, Whitespace):
            return
        if not isinstance(piece, Header):
            self._over()
            return
        self._header = piece
        self._client_root = piece.root
        domain = piece.attribute("to")
        if not domain:
            raise StreamError("host-unknown", "The stream header names no server: it has no 'to'.")
        self._stop_waiting()
        self._client_held = True
        self.client.reading.hold("session")
        self._connect(domain, self._redirects.find(domain))

    def client_silenced(self) -> None:
        """The client will send no more; if its stream had not ended, it is as good as gone."""
        if not self._client_ended:
            self._log.info("{n}: the client closed its connection without ending its stream", n=self.number)
            self._over()

    def client_gone(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._log.info("{n}: the client is gone ({why})", n=self.number, why=reason.getErrorMessage())
        self._over()
        self._on_gone(self)

    def _client_too_slow(self) -> None:
        self.end(
            "connection-timeout", f"Nothing came for {SILENCE_SECONDS:.0f} seconds, and nobody is logged in."
        )

    # -- reaching the server -------------------------------------------------------------------------------------

    def _connect(self, domain: str, redirect: tuple[str, int] | None) -> None:
        self._move(State.CONNECTING)
        self._log.debug("{n}: connecting to the server of {domain}", n=self.number, domain=domain)
        self._connecting = connecting = self._connector.connect(domain, redirect)
        connecting.addCallbacks(self._connected, self._not_connected)
        connecting.addErrback(self._our_bug)

    def _connected(self, upstream: Upstream) -> None:
        self._connecting = None
        if self.state is not State.CONNECTING or self._header is None:
            upstream.abort()
            return
        self._log.info(
            "{n}: for {domain}: {how}", n=self.number, how=upstream.description, domain=upstream.domain
        )
        self._upstream = upstream
        self._server = server = ServerLeg(self, self._clock)
        self._to_server = Way(server.write)
        self._from_server = Framer(_SERVER_LIMITS, restart_after=_RESTART_AFTER)
        self._relay = Relay(
            upstream.domain,
            self._to_client,
            self._to_server,
            self._make_pipeline,
            self._server_error,
            number=self.number,
        )
        self._move(State.RELAYING)
        upstream.hand_over(server)
        if self._server is server:
            server.feed_from(self.client)
            self.client.feed_from(server)
            self._to_server.send(self._header.raw)
            self._wait(SILENCE_SECONDS, self._server_too_slow)

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        if self.state is not State.CONNECTING:
            return
        error = failure.value
        if not isinstance(error, StreamError):
            self._our_bug(failure)
            return
        self._log.warn("{n}: {text}", n=self.number, text=error.text)
        self.end(error.condition, error.text)

    def _our_bug(self, failure: Failure) -> None:
        self._log.failure("{n}: this is a bug in e2eproxy", failure, n=self.number)
        self.end("internal-server-error", "e2eproxy has failed; its log says how.")

    # -- bytes of the server -------------------------------------------------------------------------------------

    def server_sent(self, leg: ServerLeg, data: bytes) -> None:
        """Take bytes of the server behind *leg*."""
        if leg is not self._server or self._server_ended or self.state is State.OVER:
            return
        broken = None
        try:
            pieces = self._from_server.receive(data)
        except StreamError as error:
            broken, pieces = error, self._from_server.completed
        broken = self._corked(self._server_pieces, pieces) or broken
        if broken is not None and leg is self._server:
            self._server_broke(broken)
        elif self._client_held and self._header_shown:
            self._release_client()

    def _server_pieces(self, pieces: list[Piece]) -> None:
        leg, relay = self._server, self._relay
        if relay is None:
            return
        for piece in pieces:
            if isinstance(piece, Element) and relay.bound:
                relay.server_element(piece, self._server_root)
            elif isinstance(piece, Element):
                self._server_login(piece, relay)
            else:
                self._server_other(piece, relay)
            if leg is not self._server:
                return

    def _server_login(self, element: Element, relay: Relay) -> None:
        """Relay an element while nobody is bound."""
        if self._held_header is not None:
            if self._sent_on(element):
                return
            self._show_header(self._held_header)
        relay.server_element(element, self._server_root)
        if relay.login.authenticated:
            self._stop_waiting()
            self._from_client.limits = Limits(self._max_stanza_bytes)
        elif self.state is State.RELAYING:
            self._wait(SILENCE_SECONDS, self._client_too_slow)

    def _server_other(self, piece: Piece, relay: Relay) -> None:
        if isinstance(piece, Header):
            self._server_root = piece.root
            if self._header_shown or relay.login.authenticated or piece.attribute("version") is None:
                self._show_header(piece)
            else:
                # Whether the server keeps us is told by what follows: features, or a word where else to go.
                self._held_header = piece
        elif isinstance(piece, Whitespace):
            if self._held_header is None:
                self._to_client.send(piece.raw)
            elif len(self._held_header.raw) < BEFORE_LOGIN_BYTES:
                self._held_header = evolve(self._held_header, raw=self._held_header.raw + piece.raw)
        elif self._held_header is not None:
            self._show_header(self._held_header)
            self._server_other(piece, relay)
        elif isinstance(piece, Part):
            relay.server_part(piece)
        elif isinstance(piece, End):
            self._log.info("{n}: the server ended its stream", n=self.number)
            relay.close(orderly=True)
            self._server_ended = True
            self._to_client.send(piece.raw or stream.END)
            self._one_ended()

    def _show_header(self, header: Header) -> None:
        self._held_header = None
        self._header_shown = True
        self._to_client.send(header.raw)

    def _release_client(self) -> None:
        """The server has answered: let the client go on, with what it had sent already."""
        self._client_held = False
        early, self._early = self._early, []
        if self.state is State.RELAYING:
            self._wait(SILENCE_SECONDS, self._client_too_slow)
        broken = self._corked(self._client_pieces, early)
        self.client.reading.release("session")
        if broken is not None:
            self.end(broken.condition, broken.text)

    def _sent_on(self, element: Element) -> bool:
        """Follow a server's word to go elsewhere, before anything of it was shown; return whether it was one."""
        target = see_other_host(element, self._server_root)
        if target is None or self._upstream is None:
            return False
        if not self._upstream.secure or self._times_redirected == MOST_REDIRECTS:
            why = "more than is followed" if self._upstream.secure else "and that is only followed inside TLS"
            raise StreamError("policy-violation", f"The server sends its clients to another host, {why}.")
        self._times_redirected += 1
        self._log.info(
            "{n}: the server sends us on to {host}:{port}", n=self.number, host=target[0], port=target[1]
        )
        domain = self._upstream.domain
        self._leave_server()
        self._connect(domain, target)
        return True

    def _server_error(self, element: Element) -> None:
        """Pass on the error that ends the server's stream, but for an address the client must not go to by itself."""
        self._log.warn("{n}: the server ended the stream with an error", n=self.number)
        target = see_other_host(element, self._server_root)
        if target is None:
            self._to_client.send(element.raw)
            return
        if self._upstream is not None and self._upstream.secure:
            self._redirects.remember(self._upstream.domain, target)
        self._to_client.send(stream.error("reset", "The server asks its clients to connect again."))

    def _server_too_slow(self) -> None:
        self.end(
            "remote-connection-failed", f"The server did not answer within {SILENCE_SECONDS:.0f} seconds."
        )

    def _server_broke(self, error: StreamError) -> None:
        """The server sent what cannot be relayed."""
        self._log.warn("{n}: the server broke its stream: {text}", n=self.number, text=error.text)
        self._to_server.send(stream.error(error.condition, error.text))
        if error.condition == "not-authorized":
            self.end(error.condition, error.text)
        else:
            self.end("remote-connection-failed", f"The server's stream is broken. {error.text}")

    def server_gone(self, leg: ServerLeg) -> None:
        """The connection behind *leg* is gone."""
        if leg is not self._server or self.state is State.OVER:
            return
        if self._client_ended or self._server_ended:
            self._over()
        else:
            self.end("remote-connection-failed", "The connection to the server was lost.")

    # -- endings -------------------------------------------------------------------------------------------------

    def _one_ended(self) -> None:
        """One stream has ended in good order: give the other a bounded time to do so too."""
        if self._client_ended and self._server_ended:
            self._over()
        elif self.state is State.RELAYING:
            self._move(State.ENDING)
            self._wait(LINGER_SECONDS, self._over)

    def end(self, condition: str, text: str) -> None:
        """End everything, telling the client why in a stream error: a defined condition and a sentence."""
        if self.state is State.OVER:
            return
        if self._to_client.inside_element:
            # No error can be put inside half a stanza; a cut connection at least cannot be taken for its end.
            self.client.abort()
        elif not self._server_ended:
            if self._relay is not None:
                self._relay.close(orderly=False)
            self._server_ended = True
            to = self._header.attribute("to") if self._header is not None else None
            opening = b"" if self._header_shown else stream.header(sender=to, stream_id=uuid4().hex)
            self._to_client.send(opening + stream.error(condition, text) + stream.END)
        self._over()

    def _over(self) -> None:
        """Close both connections, saying goodbye where that has not been done."""
        if self.state is State.OVER:
            return
        self._move(State.OVER)
        self._stop_waiting()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._relay is not None:
            self._relay.close(orderly=False)
        if self._server is not None and not self._client_ended:
            self._to_server.send(stream.END)
        if self._header_shown and not self._server_ended and not self._to_client.inside_element:
            self._to_client.send(stream.END)
        self._leave_server()
        self._to_client.uncork()
        self.client.close()

    def _leave_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._to_server.uncork()
            self.client.feed_from_nobody()
            server.close()
        self._upstream = None
        self._relay = None
        self._held_header = None

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise AssertionError(f"a session cannot go from {self.state} to {state}")
        self.state = state

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Do *then* after *seconds*, unless something else is waited for first."""
        self._stop_waiting()
        self._timer = self._clock.callLater(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _into_nothing(_raw: bytes) -> None:
    """Where bytes go while there is no server: nothing is sent then."""
    raise AssertionError("bytes for a server that is not there")
