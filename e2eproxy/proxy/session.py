"""One client, the server it named, and the life of the two streams between them.

The order of things: the client's header names the domain, the client is held, the server is reached and checked, the
client's header goes to it as it came, and from then on both streams are relayed slice by slice. Whatever ends one
stream ends the other the way a server would: with a stream error that says why, or with the end of the stream. A
server that acknowledges stanzas still has a bounded time for that when its client has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import evolve
from twisted.logger import Logger

from e2eproxy.errors import StreamError
from e2eproxy.proxy import client_settings, quick
from e2eproxy.proxy.dialling import Dialling
from e2eproxy.proxy.legs import LINGER_SECONDS, ClientLeg, ServerLeg
from e2eproxy.proxy.life import MOVES, Life, State
from e2eproxy.proxy.relay import Relay
from e2eproxy.proxy.way import Nowhere, Way
from e2eproxy.xmpp import names, stream
from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, End, Header, Limits, Part, Piece, Whitespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from e2eproxy.proxy.pipeline import Pipeline, Ways
    from e2eproxy.proxy.redirects import Redirects
    from e2eproxy.xmpp.connect import Connector, Upstream

__all__ = ["MOVES", "Session", "State"]

#: Seconds a client may be silent before it is authenticated, while nobody waits for the server.
SILENCE_SECONDS: Final = 30.0
#: A client's longest element before it is authenticated, in bytes.
BEFORE_LOGIN_BYTES: Final = 16 * 1024
#: A server's longest element that is held in memory whole, in bytes.
SERVER_BYTES: Final = 16 * 1024 * 1024

_RESTART_AFTER: Final = frozenset((names.SASL_SUCCESS,))
_STANZAS: Final = names.STANZAS
_BEFORE_LOGIN: Final = Limits(BEFORE_LOGIN_BYTES)
_SERVER_LIMITS: Final = Limits(SERVER_BYTES, strict=False)


class Session:
    """One client and its server.

    *number* names the session in the log. *refusal*: condition and text for a client that is not to be served.
    *on_gone* is called once, when the client's connection is gone; *on_over* once, when nothing is waited for any more.
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
        on_over: Callable[[Session], None],
    ) -> None:
        self._clock = clock
        self._make_pipeline = make_pipeline
        self._dialling = Dialling(connector, redirects, self._connected, self.end, number=number)
        self._max_stanza_bytes = max_stanza_bytes
        self._refusal = refusal
        self._on_gone = on_gone
        self._on_over = on_over
        self.number = number
        self._life = Life(clock)
        self.client = ClientLeg(self, clock)
        self._to_client = Way(self.client)
        self._from_client = Framer(_BEFORE_LOGIN, watch_for=quick.WATCHED_OF_CLIENT)
        self._header: Header | None = None
        self._client_root = b""
        # Held from its header on until the server has answered.
        self._client_held = False
        self._early: list[Piece] = []
        # Whether the client has seen a header of its present stream, so that an error can follow on it.
        self._header_shown = False
        # Whether the client has said anything on its stream.
        self._tried = False
        # Who will say no more, and whether the client has been told the end of its stream.
        self._client_ended = False
        self._server_ended = False
        self._client_told = False
        self._upstream: Upstream | None = None
        self._server: ServerLeg | None = None
        self._to_server = Way(Nowhere())
        self._from_server = Framer(_SERVER_LIMITS)
        self._server_root = b""
        self._relay: Relay | None = None
        self._held_header: Header | None = None

    @property
    def state(self) -> State:
        """What the session is doing."""
        return self._life.state

    # -- bytes of the client -------------------------------------------------------------------------------------

    def client_connected(self) -> None:
        """The client is there: wait for its header, not for ever."""
        if self._refusal is not None:
            self.end(*self._refusal)
            return
        self._life.wait(SILENCE_SECONDS, self._client_too_slow)

    def client_sent(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._client_ended:
            return
        broken = None
        try:
            pieces = self._from_client.receive(data)
        except StreamError as error:
            broken, pieces = error, self._from_client.completed
        try:
            if len(pieces) == 1:  # most often: nothing has to be gathered
                self._client_pieces(pieces)
            else:
                self._corked(self._client_pieces, pieces)
        except StreamError as error:
            broken = error
        if broken is not None:
            if self._header is None and data.startswith(client_settings.HANDSHAKE):
                broken = StreamError(broken.condition, client_settings.DIRECT)
            self._log.info("{n}: the client broke its stream: {text}", n=self.number, text=broken.text)
            self.end(broken.condition, broken.text)

    def _corked(self, work: Callable[[list[Piece]], None], pieces: list[Piece]) -> None:
        """Do *work* on *pieces*; what it sends leaves in one write each way."""
        to_client, to_server = self._to_client, self._to_server
        to_client.cork()
        to_server.cork()
        try:
            work(pieces)
        finally:
            to_server.uncork()
            to_client.uncork()

    def _client_pieces(self, pieces: list[Piece]) -> None:
        for at, piece in enumerate(pieces):
            if self._client_ended:
                return
            if self._client_held:
                # What came in one go with the header waits; no more is read meanwhile.
                self._early.extend(pieces[at:])
                return
            relay = self._relay
            if relay is None:
                self._client_first(piece)
            elif piece.__class__ is not Element:
                self._client_other(piece)
            elif relay.bound and piece.name in _STANZAS:
                relay.client_stanza(piece, self._client_root)
            else:
                self._client_element(piece, relay)

    def _client_element(self, element: Element, relay: Relay) -> None:
        self._tried = True
        if not relay.client_element(element, self._client_root):
            self._part()
        elif not relay.login.authenticated:
            # The client has done its part; its clock runs again when the server has answered.
            self._life.stop_waiting()

    def _client_other(self, piece: Piece) -> None:
        if isinstance(piece, Header):
            self._client_root = piece.root
            self._header_shown = False
        elif isinstance(piece, End):
            self._client_ended = True
            self._log.info("{n}: the client ended its stream", n=self.number)
            self._left()
            if self._relay is not None:
                self._relay.end(piece.raw or stream.END)
            self._one_ended()
            return
        self._to_server.send(piece.raw)

    def _client_first(self, piece: Piece) -> None:
        if isinstance(piece, Whitespace):
            return
        if not isinstance(piece, Header):
            self._part()
            return
        self._header = piece
        self._client_root = piece.root
        domain = piece.attribute("to")
        if not domain:
            raise StreamError("host-unknown", "The stream header names no server: it has no 'to'.")
        self._life.stop_waiting()
        self._client_held = True
        self.client.reading.hold("session")
        self._life.move(State.CONNECTING)
        self._dialling.begin(domain)

    def _left(self) -> None:
        """Log what it may mean that the client goes without having tried to log in."""
        if self._relay is not None and self._header_shown and not self._tried:
            self._tried = True
            self._log.info("{n}: {why}", n=self.number, why=client_settings.GAVE_UP)

    def client_silenced(self) -> None:
        """The client will send no more; if its stream had not ended, it is as good as gone."""
        if not self._client_ended:
            self._log.info("{n}: the client closed its connection without ending its stream", n=self.number)
            self._left()
            self._part()

    def client_gone(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._log.info("{n}: the client is gone ({why})", n=self.number, why=reason.getErrorMessage())
        if not self._client_told:
            self._left()
        self._client_told = True
        if self._relay is not None:
            self._relay.client_gone()
        self._part()
        self._on_gone(self)

    def _client_too_slow(self) -> None:
        self.end(
            "connection-timeout", f"Nothing came for {SILENCE_SECONDS:.0f} seconds, and nobody is logged in."
        )

    # -- reaching the server -------------------------------------------------------------------------------------

    def _connected(self, upstream: Upstream) -> None:
        if self._header is None:
            raise AssertionError("a server for a client that named none")
        self._upstream = upstream
        self._server = server = ServerLeg(self, self._clock)
        self._to_server = Way(server)
        self._from_server = Framer(
            _SERVER_LIMITS, restart_after=_RESTART_AFTER, watch_for=quick.WATCHED_OF_SERVER
        )
        self._relay = Relay(
            upstream.domain,
            self._to_client,
            self._to_server,
            self._make_pipeline,
            clock=self._clock,
            reading=self.client.reading,
            on_stream_error=self._server_error,
            on_broken=self._server_broke,
            number=self.number,
        )
        self._life.move(State.RELAYING)
        upstream.hand_over(server)
        if self._server is server:
            server.feed_from(self.client)
            self.client.feed_from(server)
            self._to_server.send(self._header.raw)
            self._life.wait(SILENCE_SECONDS, self._server_too_slow)

    # -- bytes of the server -------------------------------------------------------------------------------------

    def server_sent(self, leg: ServerLeg, data: bytes) -> None:
        """Take bytes of the server behind *leg*."""
        if leg is not self._server or self._server_ended or self._life.state is State.OVER:
            return
        broken = None
        try:
            pieces = self._from_server.receive(data)
        except StreamError as error:
            broken, pieces = error, self._from_server.completed
        try:
            if len(pieces) == 1:
                self._server_pieces(pieces)
            else:
                self._corked(self._server_pieces, pieces)
        except StreamError as error:
            broken = error
        if broken is not None and leg is self._server:
            self._server_broke(broken)
        elif self._client_held and self._header_shown:
            self._release_client()

    def _server_pieces(self, pieces: list[Piece]) -> None:
        leg, relay = self._server, self._relay
        if relay is None:
            return
        for piece in pieces:
            if piece.__class__ is not Element:
                self._server_other(piece, relay)
            elif relay.bound and piece.excess is None and piece.name in _STANZAS:
                relay.server_stanza(piece, self._server_root)
            elif relay.bound:
                relay.server_element(piece, self._server_root)
            else:
                self._server_login(piece, relay)
            if leg is not self._server:
                return

    def _server_login(self, element: Element, relay: Relay) -> None:
        """Relay an element while nobody is bound."""
        if self._held_header is not None:
            if self._sent_on(element):
                return
            self._show_header(self._held_header)
        relay.server_element(element, self._server_root)
        if self._life.state is not State.RELAYING:
            return
        if relay.login.authenticated:
            self._life.stop_waiting()
            self._from_client.limits = Limits(self._max_stanza_bytes)
        else:
            self._life.wait(SILENCE_SECONDS, self._client_too_slow)

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
            relay.server_ended()
            self._server_ended = True
            if not self._client_told:
                self._tell_client(piece.raw or stream.END)
            self._one_ended()

    def _show_header(self, header: Header) -> None:
        self._held_header = None
        self._header_shown = True
        self._to_client.send(header.raw)

    def _release_client(self) -> None:
        """The server has answered: let the client go on, with what it had sent already."""
        self._client_held = False
        early, self._early = self._early, []
        if self._life.state is State.RELAYING:
            self._life.wait(SILENCE_SECONDS, self._client_too_slow)
        try:
            self._corked(self._client_pieces, early)
        except StreamError as error:
            self.client.reading.release("session")
            self.end(error.condition, error.text)
        else:
            self.client.reading.release("session")

    def _sent_on(self, element: Element) -> bool:
        """Follow a server's word to go elsewhere, before anything of it was shown; return whether it was one."""
        upstream = self._upstream
        if upstream is None:
            return False
        target = self._dialling.sent_on(element, self._server_root, upstream)
        if target is None:
            return False
        self._leave_server()
        self._life.move(State.CONNECTING)
        self._dialling.follow(upstream, target)
        return True

    def _server_error(self, element: Element) -> None:
        """Pass on the error that ends the server's stream."""
        self._log.warn("{n}: the server ended the stream with an error", n=self.number)
        if self._relay is not None and self._upstream is not None:
            self._relay.server_lost()
            self._to_client.send(self._dialling.shown(element, self._server_root, self._upstream))

    def _server_too_slow(self) -> None:
        self.end(
            "remote-connection-failed", f"The server did not answer within {SILENCE_SECONDS:.0f} seconds."
        )

    def _server_broke(self, error: StreamError) -> None:
        """The server sent what cannot be relayed."""
        self._log.warn("{n}: the server broke its stream: {text}", n=self.number, text=error.text)
        if self._relay is not None:
            self._relay.server_lost()
            if not self._relay.ended:
                self._to_server.send(stream.error(error.condition, error.text))
        if error.condition == "not-authorized":
            self.end(error.condition, error.text)
        else:
            self.end("remote-connection-failed", f"The server's stream is broken. {error.text}")

    def server_gone(self, leg: ServerLeg) -> None:
        """The connection behind *leg* is gone."""
        if leg is not self._server or self._life.state is State.OVER:
            return
        if self._relay is not None:
            self._relay.server_lost()
        if self._client_ended or self._server_ended:
            self._over()
        else:
            self.end("remote-connection-failed", "The connection to the server was lost.")

    # -- endings -------------------------------------------------------------------------------------------------

    def _one_ended(self) -> None:
        """One stream has ended in good order: give the other a bounded time to do so too."""
        if self._client_ended and self._server_ended:
            self._over()
        elif self._life.state is State.RELAYING:
            self._life.move(State.ENDING)
            self._life.wait(LINGER_SECONDS, self._over)

    def end(self, condition: str, text: str) -> None:
        """End everything, telling the client why in a stream error: a defined condition and a sentence."""
        if self._life.state is State.OVER:
            return
        cut_off = self._to_client.inside_element
        if self._relay is not None:
            if cut_off:
                self._relay.client_gone()
            self._relay.end(stream.END)
        if cut_off:
            # No error can be put inside half a stanza; a cut connection at least cannot be taken for its end.
            self.client.abort()
        elif not self._client_told:
            to = self._header.attribute("to") if self._header is not None else None
            opening = b"" if self._header_shown else stream.header(sender=to, stream_id=uuid4().hex)
            self._tell_client(opening + stream.error(condition, text) + stream.END)
        self._part()

    def _tell_client(self, last: bytes) -> None:
        """End the client's stream with *last*."""
        self._client_told = True
        if self._relay is not None:
            self._relay.client_gone()
        self._to_client.send(last)

    def _part(self) -> None:
        """Be done with the client; the server may still say what it has taken."""
        if self._life.state is State.OVER:
            return
        self._client_ended = True
        relay, server = self._relay, self._server
        if relay is not None:
            relay.end(stream.END)
        if self._header_shown and not self._client_told and not self._to_client.inside_element:
            self._tell_client(stream.END)
        if relay is None or server is None or not relay.waits:
            self._over()
            return
        if self._life.state is State.RELAYING:
            self._life.move(State.ENDING)
            self._life.wait(LINGER_SECONDS, self._over)
        relay.client_gone()
        self._to_client.uncork()
        server.feed_from_nobody()
        self.client.close()

    def _over(self) -> None:
        """Close both connections, saying goodbye where that has not been done."""
        if self._life.state is State.OVER:
            return
        self._life.move(State.OVER)
        self._life.stop_waiting()
        self._client_ended = True
        self._dialling.cancel()
        if self._relay is not None:
            self._relay.end(stream.END)
            self._relay.server_lost()
        if self._header_shown and not self._client_told and not self._to_client.inside_element:
            self._tell_client(stream.END)
        self._leave_server()
        self._to_client.uncork()
        self.client.close()
        self._on_over(self)

    def _leave_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._to_server.uncork()
            self.client.feed_from_nobody()
            server.close()
        self._upstream = None
        self._relay = None
        self._held_header = None
