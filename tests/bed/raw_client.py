"""A minimal blocking XMPP client on a raw socket: it sends bytes verbatim and reads one element after the other.

Real clients show that the daemon is transparent for them; this one can also do what no well-behaved client does,
and sees what a library hides.
"""

from __future__ import annotations

import base64
import itertools
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, Any, Self
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from bed.polling import BedError
from bed.sasl import ScramSha1, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bed.route import Route
    from bed.servers import Account

CLIENT = "{jabber:client}"
STREAM = "{http://etherx.jabber.org/streams}"
STREAM_ERROR = f"{STREAM}error"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"
BIND = "{urn:ietf:params:xml:ns:xmpp-bind}"
SESSION = "{urn:ietf:params:xml:ns:xmpp-session}"
STANZA_ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
STREAM_ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"

Element = ET.Element


class StreamEndedError(BedError):
    """The other side closed its stream, or the connection ended."""


class SaslFailureError(BedError):
    """The server refused a login; ``condition`` is the name of its defined condition."""

    def __init__(self, condition: str) -> None:
        """Keep the *condition*."""
        super().__init__(f"SASL failure: {condition}")
        self.condition = condition


class RawClient:
    """One connection; all waiting is bounded by *timeout* seconds."""

    def __init__(self, route: Route, *, domain: str | None = None, timeout: float = 15) -> None:
        """Connect along *route* and do direct TLS if the route says so; nothing is sent yet."""
        self.route = route
        self.domain = domain or route.domain
        self.timeout = timeout
        self.jid = ""
        self.header: Element | None = None
        self.features: Element | None = None
        self._received: list[bytes] = []
        self.clean_end = False  # whether </stream:stream> has come
        self._ids = itertools.count(1)
        self._socket = socket.create_connection(("127.0.0.1", route.port), timeout)
        if route.client_tls == "direct":
            try:
                self._secure()
            except BaseException:
                self._socket.close()
                raise
        self._new_parser()

    # Bytes.

    @property
    def received(self) -> bytes:
        """Everything since the last stream header was sent, as it came."""
        return b"".join(self._received)

    def send(self, data: bytes | str) -> None:
        """Send *data* as it is (text as UTF-8)."""
        self._socket.settimeout(self.timeout)
        self._socket.sendall(data.encode() if isinstance(data, str) else data)

    def _receive(self, deadline: float) -> bytes:
        self._socket.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            return self._socket.recv(65536)
        except TimeoutError:
            raise BedError(f"nothing came in {self.timeout} s; so far {self.received[-2000:]!r}") from None
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise StreamEndedError(
                f"the connection was lost ({error}); so far {self.received[-2000:]!r}"
            ) from error

    def _secure(self) -> None:
        context = ssl.create_default_context(cafile=str(self.route.certificates.ca_file))
        self._socket = context.wrap_socket(self._socket, server_hostname=self.route.domain)

    # Elements.

    def _new_parser(self) -> None:
        self._parser: Any = ET.XMLPullParser(("start", "end"))
        self._depth = 0
        self._root: Element | None = None
        self._ready: list[Element] = []
        self._received = []
        self.header = None

    def _feed(self, data: bytes) -> None:
        self._received.append(data)
        self._parser.feed(data)
        if hasattr(self._parser, "flush"):  # expat from 2.6 on holds finished elements back
            self._parser.flush()
        for event, element in self._parser.read_events():
            if event == "start":
                self._depth += 1
                if self._depth == 1:
                    self._root = element
                    self.header = Element(element.tag, element.attrib)
            else:
                self._depth -= 1
                if self._depth == 1:
                    self._ready.append(element)
                    if self._root is not None:
                        self._root.remove(element)
                elif self._depth == 0:
                    self.clean_end = True

    def read(self) -> Element:
        """The next element of the stream; ``StreamEndedError`` if there is none any more."""
        deadline = time.monotonic() + self.timeout
        while not self._ready:
            if self.clean_end:
                raise StreamEndedError("the other side closed its stream")
            data = self._receive(deadline)
            if not data:
                raise StreamEndedError(
                    f"the connection ended without an end of the stream: {self.received[-2000:]!r}"
                )
            self._feed(data)
        return self._ready.pop(0)

    def read_until(self, wanted: Callable[[Element], bool], what: str = "an element") -> Element:
        """The next element for which *wanted* is true; those before it are dropped, but a stream error raises."""
        while not wanted(element := self.read()):
            if element.tag == STREAM_ERROR and not wanted(element):
                raise BedError(f"a stream error instead of {what}: {ET.tostring(element)!r}")
        return element

    def read_message(self, body: str | None = None) -> Element:
        """The next message with a body, or with this *body*."""

        def wanted(element: Element) -> bool:
            found = element.findtext(f"{CLIENT}body")
            return element.tag == f"{CLIENT}message" and (
                found == body if body is not None else found is not None
            )

        return self.read_until(wanted, "a message")

    def read_presence(self, of: str, kind: str | None = None) -> Element:
        """The next presence of *of* (a full JID) and of this type (``None``: available)."""
        return self.read_until(
            lambda element: (
                element.tag == f"{CLIENT}presence"
                and element.get("from") == of
                and element.get("type") == kind
            ),
            f"presence {kind} of {of}",
        )

    def read_stream_error(self) -> tuple[str, str | None]:
        """Read on until a stream error; return its condition and its text, and read the end of the stream."""
        error = self.read_until(lambda element: element.tag == STREAM_ERROR, "a stream error")
        names = [
            child.tag.removeprefix(STREAM_ERRORS) for child in error if child.tag.startswith(STREAM_ERRORS)
        ]
        conditions = [name for name in names if name != "text"]
        if len(conditions) != 1:
            raise BedError(f"a stream error has one condition: {ET.tostring(error)!r}")
        self.read_end()
        return conditions[0], error.findtext(f"{STREAM_ERRORS}text")

    def read_end(self) -> None:
        """Read (and drop) everything up to the other side's ``</stream:stream>``."""
        while not self.clean_end:
            try:
                self.read()
            except StreamEndedError:
                if not self.clean_end:
                    raise

    def read_eof(self) -> None:
        """After the end of the stream: the other side closes the connection as well."""
        deadline = time.monotonic() + self.timeout
        while self._receive(deadline):
            pass

    # The stream.

    def open(self, header: bytes | str | None = None) -> Element:
        """Begin a stream (with *header* verbatim if given) and return the features that are offered."""
        self._new_parser()
        self.send(
            header
            or f"<?xml version='1.0'?><stream:stream to={quoteattr(self.domain)} version='1.0' "
            "xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        self.features = self.read_until(lambda element: element.tag == f"{STREAM}features", "stream features")
        return self.features

    def secure(self) -> None:
        """STARTTLS, for a route on which the client has to do it."""
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.read_until(lambda element: element.tag == f"{TLS}proceed", "<proceed/>")
        self._secure()
        self.open()

    def mechanisms(self) -> list[str]:
        """The SASL mechanisms on offer, in their order."""
        if self.features is None:
            raise BedError("no features have been read")
        return [element.text or "" for element in self.features.iterfind(f"{SASL}mechanisms/{SASL}mechanism")]

    def authenticate_plain(self, user: str, password: str) -> None:
        """SASL PLAIN; raises SaslFailureError."""
        self._auth("PLAIN", plain(user, password))
        self._outcome()

    def authenticate_scram(self, user: str, password: str, gs2: str = "n") -> None:
        """SASL SCRAM-SHA-1; raises SaslFailureError."""
        exchange = ScramSha1(user, password, gs2)
        self._auth(exchange.name, exchange.first())
        challenge = self._outcome()
        answer = base64.b64encode(exchange.answer(challenge)).decode()
        self.send(f"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{answer}</response>")
        exchange.verify(self._outcome())

    def authenticate(self, mechanism: str, data: str = "=") -> None:
        """A mechanism with one message (*data*: base64, or ``=`` for an empty one); raises SaslFailureError."""
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
        self._outcome()

    def _auth(self, mechanism: str, first: bytes) -> None:
        data = base64.b64encode(first).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")

    def _outcome(self) -> bytes:
        element = self.read()
        if element.tag == f"{SASL}failure":
            raise SaslFailureError(next((child.tag.removeprefix(SASL) for child in element), "none"))
        if element.tag not in {f"{SASL}challenge", f"{SASL}success"}:
            raise BedError(f"not SASL: {ET.tostring(element)!r}")
        return base64.b64decode(element.text or "")

    def iq(self, kind: str, payload: str, to: str | None = None) -> Element:
        """Send an IQ and return the answer (a result or an error)."""
        number = f"raw-{next(self._ids)}"
        address = "" if to is None else f" to={quoteattr(to)}"
        self.send(f"<iq type='{kind}' id='{number}'{address}>{payload}</iq>")
        return self.read_until(
            lambda element: element.tag == f"{CLIENT}iq" and element.get("id") == number,
            f"the answer to {number}",
        )

    def bind(self, resource: str | None = None) -> str:
        """Bind a resource and return the full JID."""
        wanted = "" if resource is None else f"<resource>{escape(resource)}</resource>"
        answer = self.iq("set", f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{wanted}</bind>")
        self.jid = answer.findtext(f"{BIND}bind/{BIND}jid") or ""
        if answer.get("type") != "result" or not self.jid:
            raise BedError(f"not bound: {ET.tostring(answer)!r}")
        return self.jid

    def session(self) -> Element:
        """The session of RFC 3921 that old clients still ask for."""
        return self.iq("set", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>")

    def login(self, account: Account, *, mechanism: str = "SCRAM-SHA-1", resource: str | None = None) -> str:
        """The whole way from the stream header to the bound full JID."""
        self.open()
        if self.route.client_tls == "starttls":
            self.secure()
        if mechanism == "PLAIN":
            self.authenticate_plain(account.user, account.password)
        else:
            self.authenticate_scram(account.user, account.password)
        self.open()
        return self.bind(resource)

    def available(self) -> None:
        """Send initial presence, and wait until the server has reflected it: from now on messages arrive here."""
        self.send("<presence/>")
        self.read_presence(self.jid)

    def message(self, to: str, body: str) -> None:
        """Send a chat message."""
        self.send(f"<message to={quoteattr(to)} type='chat'><body>{escape(body)}</body></message>")

    # The end.

    def close(self) -> None:
        """End the stream in good order, or whatever is left of it."""
        try:
            if not self.clean_end:
                self.send("</stream:stream>")
                self.read_end()
        except (OSError, BedError):
            self.clean_end = False  # the other side was faster, or has gone
        finally:
            self._socket.close()

    def abort(self) -> None:
        """Vanish: the other side gets a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def shutdown_writing(self) -> None:
        """Half-close: nothing more will be sent, but reading goes on."""
        self._socket.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        """Nothing more than the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        if error is None:
            self.close()
        else:
            self._socket.close()
