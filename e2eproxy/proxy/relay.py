"""What becomes of each element between a client's open stream and its server's.

Sans-IO: framed elements in, bytes on the two ways out. Keeps law 1 (only what ``nonzas`` clears or the pipeline
returns goes to the server), law 2 (what nobody had to change goes on as it came) and law 4 (each stanza to the server
is entered in the ledger, and the pipeline hears what became of it).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from e2eproxy.errors import StreamError
from e2eproxy.proxy import nonzas
from e2eproxy.proxy.excess import replacement
from e2eproxy.proxy.ledger import Ledger
from e2eproxy.proxy.login import Account, Login
from e2eproxy.proxy.pipeline import NO_CARE, Care, Kept
from e2eproxy.xmpp import features, names
from e2eproxy.xmpp.pieces import Element, Part
from e2eproxy.xmpp.stream_management import QueueFull, StreamManagement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from e2eproxy.proxy.legs import Reading
    from e2eproxy.proxy.pipeline import Pipeline, Ways
    from e2eproxy.proxy.way import Way

_STANZAS: Final = names.STANZAS
#: Bytes of stanzas that a client may send before it knows its address.
EARLY_BYTES: Final = 64 * 1024


class Relay:
    """The elements of one session.

    *domain*: the prepared domain the server was verified for. *reading*: the client's. *on_stream_error* is given the
    server's stream error, *on_broken* what ends the server's stream when time has passed.
    """

    _log = Logger()

    def __init__(
        self,
        domain: str,
        client: Way,
        server: Way,
        make_pipeline: Callable[[Ways], Pipeline],
        *,
        clock: IReactorTime,
        reading: Reading,
        on_stream_error: Callable[[Element], None],
        on_broken: Callable[[StreamError], None],
        number: int,
    ) -> None:
        self._client = client
        self._server = server
        self._reading = reading
        self._make_pipeline = make_pipeline
        self._on_stream_error = on_stream_error
        self._number = number
        # None until the server has bound an account.
        self._pipeline: Pipeline | None = None
        #: Whether the server has bound an account, so that stanzas go through the pipeline.
        self.bound = False
        self._ledger = Ledger(clock, server.send, reading, on_broken, number=number)
        self._replacing = False
        # What the client sent between its request to be bound and the answer.
        self._early: list[tuple[Element, bytes]] = []
        self._early_bytes = 0
        self._client_there = True
        # Whether stanzas go to the server as ever; our end of its stream may be open for longer.
        self._open = True
        self._ended = False
        # What ends it, while something that the client sent before is not safe yet.
        self._ending: bytes | None = None
        # Whether the pipeline was told that the session is over, and whether it knows what became of all that was sent.
        self._closed = False
        self._settled = False
        self.login = Login(domain)

    # -- the pipeline's ways -------------------------------------------------------------------------------------

    @property
    def client_there(self) -> bool:
        """Whether what is sent to the client now can still get to it."""
        return self._client_there

    def to_server(self, raw: bytes, care: Care = NO_CARE) -> None:
        """Send one whole stanza to the server, or tell the pipeline that it was refused."""
        if self._open:
            try:
                self._ledger.send(raw, care)
            except QueueFull:
                self._refuse(care)
                return
            if care.outer_id is not None and not self._ledger.in_use:
                self._acknowledge((care,))
        elif not self._ended and care is NO_CARE:
            self._server.send(raw)
        else:
            self._refuse(care)

    def to_client(self, raw: bytes) -> None:
        """Send whole stanzas of the pipeline's own to the client, while it is there."""
        if self._client_there:
            self._client.send(raw)

    def pause_client(self) -> None:
        """Read no more of the client, for the pipeline."""
        self._reading.hold("pipeline")

    def resume_client(self) -> None:
        """Take back ``pause_client``."""
        self._reading.release("pipeline")

    def _refuse(self, care: Care) -> None:
        if self._pipeline is not None:
            self._pipeline.refused(care)

    # -- endings -------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether the server may still say what of the stanzas sent it has taken."""
        if not self.bound or self._settled:
            return False
        return self._ledger.in_use or (self._ending is not None and not self._ended)

    def client_gone(self) -> None:
        """Take note that nothing gets to the client any more."""
        self._client_there = False

    def end(self, raw: bytes) -> None:
        """End the stream to the server with *raw*, once, behind all that has still to be said."""
        if self._ended or self._ending is not None:
            return
        self._ending = raw
        if self._pipeline is None or self._closed:
            self._end_now()
        else:
            self._pipeline.ending(self._end_now)

    def _end_now(self) -> None:
        raw = self._ending
        if self._ended or raw is None:
            return
        self._close(orderly=True)
        self._open = False
        self._ended = True
        said = self._ledger.closing()
        if said:
            self._server.send(said)
        self._server.send(raw)

    @property
    def ended(self) -> bool:
        """Whether our end of the stream to the server is closed."""
        return self._ended

    def server_ended(self) -> None:
        """Take note that the server has ended its stream in good order.

        If that answers our end, it has read all we sent.
        """
        if not self._ended:
            self._settle(orderly=True)
        elif not self._settled:
            self._settled = True
            self._acknowledge(self._ledger.over())

    def server_lost(self) -> None:
        """Take note that the server's stream is over in any other way: what it has not acknowledged is lost."""
        self._settle(orderly=False)

    def _settle(self, *, orderly: bool) -> None:
        if self._pipeline is None or self._settled:
            return
        self._settled = True
        # Nothing would be known of what is still sent.
        self._open = self._open and not self._ledger.in_use
        if self._client.inside_element:
            # Nothing but the rest of that element could go there, and that will not come.
            self._client_there = False
        items = self._ledger.over()
        if not self._client_there:
            self._close(orderly=orderly)
        if items:
            self._log.warn("{n}: {count} stanzas were not acknowledged", n=self._number, count=len(items))
            self._pipeline.lost(items)
        self._close(orderly=orderly)

    def _close(self, *, orderly: bool) -> None:
        """Let the pipeline end: what it gives back goes to the client before the end of its stream."""
        if self._pipeline is not None and not self._closed:
            self._closed = True
            self._pipeline.closed(orderly=orderly)

    def _acknowledge(self, items: Sequence[Care]) -> None:
        if items and self._pipeline is not None:
            self._pipeline.acknowledged(items)

    # -- from the client -----------------------------------------------------------------------------------------

    def client_element(self, element: Element, root: bytes) -> bool:
        """Relay an element of the client's stream, whose start tag is *root*; return whether its stream goes on.

        Raises StreamError for one that ends the client's stream with an error.
        """
        if self.bound and element.name in _STANZAS:
            self.client_stanza(element, root)
            return True
        if self._pipeline is None and self.login.from_client(element, root):
            self._server.send(element.raw)
            return True
        if self._pipeline is None and element.name in _STANZAS and self._waits_for_address(element, root):
            return True
        verdict = nonzas.from_client(element.name)
        if isinstance(verdict, nonzas.Pass):
            self._server.send(element.raw)
        elif isinstance(verdict, nonzas.Refuse):
            raise StreamError(verdict.condition, verdict.text)
        elif isinstance(verdict, nonzas.Answer):
            self._log.debug(
                "{n}: answered <{name}>, which was not offered", n=self._number, name=_shown(element)
            )
            if verdict.why:
                self._log.warn("{n}: {why}", n=self._number, why=verdict.why)
            self._client.send(verdict.raw)
            return not verdict.ends
        return True

    def _waits_for_address(self, element: Element, root: bytes) -> bool:
        """Keep a stanza that a client sent right behind its request to be bound, until whose it is is known."""
        self._early_bytes += len(element.raw)
        if not self.login.authenticated or not self.login.binding or self._early_bytes > EARLY_BYTES:
            return False
        self._early.append((element, root))
        return True

    def client_stanza(self, element: Element, root: bytes) -> None:
        """Relay a stanza of a client that is ``bound``."""
        pipeline = self._pipeline
        if pipeline is None or not self._open:
            self._refuse(Care((element, root)))
            return
        raw = pipeline.from_client(element, root)
        if raw is None:
            return
        if not self._ledger.in_use:
            self._server.send(raw)
            return
        care = Care((element, root))
        try:
            self._ledger.send(raw, care)
        except QueueFull:
            self._refuse(care)

    # -- from the server -----------------------------------------------------------------------------------------

    def server_element(self, element: Element, root: bytes) -> None:
        """Relay an element of the server's stream, whose start tag is *root*.

        Raises StreamError where the server cannot be believed.
        """
        if element.excess is not None:
            self._server_excess(element)
        elif self.bound and element.name in _STANZAS:
            self.server_stanza(element, root)
        elif StreamManagement.concerns(element.name):
            self._acknowledge(self._ledger.from_server(element))
            self._ledger.eased()
        elif nonzas.from_server(element.name) == "drop":
            self._left_out(element)
        elif element.name == names.FEATURES:
            if self.login.authenticated:
                self._ledger.features(root, element.raw)
            self._client.send(features.shown(root, element.raw))
        elif element.name == names.STREAM_ERROR:
            self._on_stream_error(element)
        else:
            self._of_login(element, root)

    def _of_login(self, element: Element, root: bytes) -> None:
        """Relay what a server says while somebody logs in, and take note of what comes of it."""
        if element.name == names.SASL_FAILURE:
            self._log.info(
                "{n}: the server refused the login; it is the client's user name and password that it judges",
                n=self._number,
            )
        account = self.login.from_server(element, root) if self._pipeline is None else None
        self._client.send(element.raw)
        if account is not None:
            self._bound(account)
        elif self._early and not self.login.binding:
            raise StreamError("not-authorized", "The server bound no address for what was sent already.")

    def server_stanza(self, element: Element, root: bytes) -> None:
        """Relay a whole stanza to a client that is ``bound``. Raises StreamError as ``server_element`` does."""
        pipeline = self._pipeline
        if pipeline is None or not self._client_there:
            # The server has not been told that it arrived, and knows what to do with it.
            return
        raw = pipeline.from_server(element, root)
        ledger = self._ledger
        if isinstance(raw, Kept):
            raw.then(partial(ledger.handled, ledger.arrived()))
            return
        if raw is not None:
            self._client.send(raw)
        if ledger.in_use:
            ledger.taken()

    def _bound(self, account: Account) -> None:
        """The server said who the client is, and the client has heard it."""
        self._log.info("{n}: {jid} logged in", n=self._number, jid=account.full_jid)
        self._ledger.begin()
        self._pipeline = pipeline = self._make_pipeline(self)
        self.bound = True
        pipeline.bound(account)
        early, self._early = self._early, []
        for element, root in early:
            self.client_stanza(element, root)

    def _server_excess(self, element: Element) -> None:
        """Relay an element over the limits: unread if nothing must look into it, else what stands for it."""
        if element.name not in _STANZAS:
            self._not_to_be_read(element)
            return
        if not self._client_there:
            return
        if self._must_see(element):
            self._send_replacement(element)
        else:
            self._client.send(element.raw)
        self._ledger.taken()

    def server_part(self, part: Part) -> None:
        """Relay a part of an element that is too large to be held."""
        if not self._client_there:
            return
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
        if part.last and part.name in _STANZAS:
            self._ledger.taken()

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
            self.to_server(instead.to_server)

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
