"""What becomes of each element between a client's open stream and its server's.

Sans-IO: framed elements in, bytes on the two ways out. Keeps law 1 (only what ``nonzas`` clears or the pipeline
returns goes to the server) and law 2 (what nobody had to change goes on as it came).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from e2eproxy.errors import StreamError
from e2eproxy.proxy import nonzas
from e2eproxy.proxy.excess import replacement
from e2eproxy.proxy.login import Login
from e2eproxy.xmpp import features, names
from e2eproxy.xmpp.pieces import Element, Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.pipeline import Pipeline, Ways
    from e2eproxy.proxy.way import Way

_STANZAS: Final = names.STANZAS


class Relay:
    """The elements of one session.

    *domain*: the prepared domain the server was verified for. *on_stream_error* is given the server's stream error.
    """

    _log = Logger()

    def __init__(
        self,
        domain: str,
        client: Way,
        server: Way,
        make_pipeline: Callable[[Ways], Pipeline],
        on_stream_error: Callable[[Element], None],
        *,
        number: int,
    ) -> None:
        self._client = client
        self._server = server
        self._make_pipeline = make_pipeline
        self._on_stream_error = on_stream_error
        self._number = number
        # None until the server has bound an account.
        self._pipeline: Pipeline | None = None
        self._replacing = False
        self._closed = False
        self.login = Login(domain)

    @property
    def bound(self) -> bool:
        """Whether the server has bound an account, so that stanzas go through the pipeline."""
        return self._pipeline is not None

    def to_server(self, raw: bytes) -> None:
        """Send whole stanzas of the pipeline's own to the server."""
        self._server.send(raw)

    def to_client(self, raw: bytes) -> None:
        """Send whole stanzas of the pipeline's own to the client."""
        self._client.send(raw)

    def close(self, *, orderly: bool) -> None:
        """Let the pipeline end: what it gives back goes to the client before the end of its stream."""
        if self._pipeline is not None and not self._closed:
            self._closed = True
            self._pipeline.closed(orderly=orderly)

    # -- from the client -----------------------------------------------------------------------------------------

    def client_element(self, element: Element, root: bytes) -> bool:
        """Relay an element of the client's stream, whose start tag is *root*; return whether its stream goes on.

        Raises StreamError for one that ends the client's stream with an error.
        """
        if self._pipeline is not None and element.name in _STANZAS:
            raw = self._pipeline.from_client(element, root)
            if raw is not None:
                self._server.send(raw)
            return True
        verdict = nonzas.from_client(element.name, authenticated=self.login.authenticated)
        if isinstance(verdict, nonzas.Pass):
            self.login.from_client(element, root)
            self._server.send(element.raw)
        elif isinstance(verdict, nonzas.Refuse):
            raise StreamError(verdict.condition, verdict.text)
        elif isinstance(verdict, nonzas.Answer):
            self._log.debug(
                "{n}: answered <{name}>, which was not offered", n=self._number, name=_shown(element)
            )
            self._client.send(verdict.raw)
            return not verdict.ends
        return True

    # -- from the server -----------------------------------------------------------------------------------------

    def server_element(self, element: Element, root: bytes) -> None:
        """Relay an element of the server's stream, whose start tag is *root*.

        Raises StreamError where the server cannot be believed.
        """
        if element.excess is not None:
            self._server_excess(element)
        elif self._pipeline is not None and element.name in _STANZAS:
            raw = self._pipeline.from_server(element, root)
            if raw is not None:
                self._client.send(raw)
        elif nonzas.from_server(element.name) == "drop":
            self._left_out(element)
        elif element.name == names.FEATURES:
            self._client.send(features.shown(root, element.raw))
        elif element.name == names.STREAM_ERROR:
            self._on_stream_error(element)
        else:
            if self._pipeline is None:
                self._watch_login(element, root)
            self._client.send(element.raw)

    def _watch_login(self, element: Element, root: bytes) -> None:
        account = self.login.from_server(element, root)
        if account is not None:
            self._log.info("{n}: {jid} logged in", n=self._number, jid=account.full_jid)
            self._pipeline = self._make_pipeline(self)
            self._pipeline.bound(account)

    def _server_excess(self, element: Element) -> None:
        """Relay an element over the limits: unread if nothing must look into it, else what stands for it."""
        if element.name not in _STANZAS:
            self._not_to_be_read(element)
        elif self._must_see(element):
            self._send_replacement(element)
        else:
            self._client.send(element.raw)

    def server_part(self, part: Part) -> None:
        """Relay a part of an element that is too large to be held."""
        if part.first:
            if part.name not in _STANZAS:
                self._not_to_be_read(part)
                self._replacing = True
            elif self._must_see(Element(part.raw, part.name, part.attributes, "bytes")):
                self._replacing = True
                self._send_replacement(part)
        if not self._replacing:
            self._client.send_part(part.raw, last=part.last)
        elif part.last:
            self._replacing = False

    def _must_see(self, element: Element) -> bool:
        if self._pipeline is not None:
            return self._pipeline.must_see(element)
        # While nobody is bound, an answer may be the one that binds; anything else need not be understood.
        return element.name == names.IQ and element.attribute("type") == "result"

    def _send_replacement(self, stanza: Element | Part) -> None:
        instead = replacement(stanza)
        self._log.warn("{n}: <{name}> of the server is over the limits", n=self._number, name=_shown(stanza))
        if instead.to_client:
            self._client.send(instead.to_client)
        if instead.to_server:
            self._server.send(instead.to_server)

    def _not_to_be_read(self, element: Element | Part) -> None:
        if nonzas.from_server(element.name) == "pass":
            # Features, a challenge, a stream error: without them there is no stream.
            raise StreamError("policy-violation", f"The server's <{_shown(element)}> is over the limits.")
        self._left_out(element)

    def _left_out(self, element: Element | Part) -> None:
        self._log.debug("{n}: left out <{name}> of the server", n=self._number, name=_shown(element))


def _shown(element: Element | Part) -> str:
    """Return an element's name for the log: bounded, since the other side chose it."""
    return names.split_name(element.name)[1][:60]
