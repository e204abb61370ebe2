"""A session between two connections in memory: its life, its refusals, and the pipeline's hooks."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from bed.memory_session import DOMAIN, MemoryTransport, MemoryUpstream
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent, globalLogPublisher

from e2eproxy.proxy import client_settings
from e2eproxy.proxy.life import Life
from e2eproxy.proxy.listener import ClientListener
from e2eproxy.proxy.pipeline import Verbatim
from e2eproxy.proxy.session import MOVES, State
from e2eproxy.xmpp.reaching import ConnectError

NAMESPACES = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
HEADER = f"<stream:stream to='{DOMAIN}' version='1.0' {NAMESPACES}>".encode()
SERVER_HEADER = (
    f"<?xml version='1.0'?><stream:stream from='{DOMAIN}' id='1' version='1.0' {NAMESPACES}>".encode()
)
OLD_HEADER = f"<stream:stream from='{DOMAIN}' id='1' {NAMESPACES}>".encode()
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
FEATURES = f"<stream:features><mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>".encode()
AUTH = f"<auth xmlns='{SASL}' mechanism='PLAIN'>AGEAYg==</auth>".encode()
FAILURE = f"<failure xmlns='{SASL}'><not-authorized/></failure>".encode()
SUCCESS = f"<success xmlns='{SASL}'/>".encode()
BIND = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
END = b"</stream:stream>"
KIB = 1024


def bound(jid=f"romeo@{DOMAIN}/balcony"):
    return f"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>".encode()


class Bed:
    """A listener, one client of it, and as many servers as it asks for."""

    def __init__(self, *, secure=True, listener=None, **settings):
        self.clock = Clock() if listener is None else listener._clock
        self.asked = []
        self.servers = []
        self.secure = secure
        connector = SimpleNamespace(connect=self._connect)
        self.listener = listener or ClientListener(self.clock, connector, **settings)
        if listener is not None:
            listener.connector = connector
        self.client = MemoryTransport()
        self.client.protocol = self.listener.buildProtocol(None)
        self.session = self.client.protocol._session
        self.client.protocol.makeConnection(self.client)

    def _connect(self, domain, redirect=None):
        self.asked.append((domain, redirect))
        self.waiting = Deferred()
        return self.waiting

    def reach(self, answer=b""):
        server = MemoryTransport()
        self.servers.append(server)
        upstream = MemoryUpstream(server, DOMAIN)
        upstream.secure = self.secure
        self.waiting.callback(upstream)
        if answer:
            server.deliver(answer)
        return self

    @property
    def server(self):
        return self.servers[-1]

    def opened(self):
        self.client.deliver(HEADER)
        return self.reach(SERVER_HEADER + FEATURES).forget()

    def logged_in(self, jid=f"romeo@{DOMAIN}/balcony"):
        self.opened()
        self.client.deliver(AUTH)
        self.server.deliver(SUCCESS)
        self.client.deliver(HEADER)
        self.server.deliver(SERVER_HEADER + b"<stream:features/>")
        self.client.deliver(BIND)
        self.server.deliver(bound(jid))
        return self.forget()

    def forget(self):
        self.client.written.clear()
        for server in self.servers:
            server.written.clear()
        return self

    @property
    def to_client(self):
        return bytes(self.client.written)

    @property
    def to_server(self):
        return bytes(self.server.written)

    def error(self):
        """Condition and text of the stream error that ended the client's stream, in good order."""
        found = re.search(
            rb"<stream:error[^>]*><([a-z-]+) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text [^>]*>([^<]*)</text>"
            rb"</stream:error></stream:stream>\Z",
            self.to_client,
        )
        assert found, self.to_client
        assert self.client.finished
        assert self.session.state is State.OVER
        return found[1].decode(), found[2].decode()


class Changing(Verbatim):
    """A pipeline that takes out, changes and adds what the stanzas say."""

    def __init__(self, ways):
        self.ways = ways
        self.accounts = []
        self.ended = 0
        self.sees = False

    def bound(self, account):
        self.accounts.append(account)

    def must_see(self, _element):
        return self.sees

    def from_client(self, element, _root):
        return self._change(element, self.ways.to_server)

    def from_server(self, element, _root):
        return self._change(element, self.ways.to_client)

    def _change(self, element, send):
        what = element.attribute("id")
        if what == "before":
            send(b"<message id='added'/>")
        if what == "drop":
            return None
        if what == "answer":
            self.ways.to_server(b"<iq id='a1'/>")
            self.ways.to_client(b"<iq id='a2'/>")
            return None
        if what == "change":
            return b"<message id='changed'/>"
        return element.raw

    def closed(self, *, orderly):
        assert isinstance(orderly, bool)
        self.ended += 1


def changing(**settings):
    made = []

    def make(ways):
        made.append(Changing(ways))
        return made[-1]

    bed = Bed(make_pipeline=make, **settings).logged_in()
    return bed, made[0]


def test_a_header_without_to_is_answered_with_a_header_and_an_error():
    bed = Bed()
    bed.client.deliver(HEADER.replace(b" to=", b" from="))
    assert bed.to_client.startswith(b"<?xml version='1.0'?><stream:stream id=\"")
    assert bed.error()[0] == "host-unknown"
    assert not bed.asked


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x00", "not-well-formed"),
        (b"<stream/>", "invalid-namespace"),
        (b"<!DOCTYPE x>", "restricted-xml"),
        (b"<?xml version='1.0' encoding='latin1'?>" + HEADER, "unsupported-encoding"),
        (b"<stream:stream a='" + b"x" * 17 * KIB, "policy-violation"),
    ],
)
def test_what_is_no_stream_gets_a_header_and_an_error(data, condition):
    bed = Bed()
    bed.client.deliver(data)
    assert bed.error()[0] == condition


def test_a_server_that_cannot_be_reached_is_told_as_it_is():
    bed = Bed()
    bed.client.deliver(HEADER)
    bed.waiting.errback(ConnectError("remote-connection-failed", "No <way> & \x07."))
    assert f'from="{DOMAIN}"'.encode() in bed.to_client
    assert bed.error() == ("remote-connection-failed", "No &lt;way&gt; &amp; \ufffd.")


def test_a_bug_in_connecting_is_told_and_logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        bed = Bed()
        bed.client.deliver(HEADER)
        bed.waiting.errback(ZeroDivisionError("secret text"))
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert bed.error()[0] == "internal-server-error"
    assert b"secret" not in bed.to_client
    assert any("log_failure" in event for event in events)


def test_the_client_is_not_read_until_the_server_has_answered():
    bed = Bed()
    bed.client.deliver(HEADER + AUTH)
    assert bed.client.paused
    bed.reach()
    assert bed.to_server == HEADER
    bed.server.deliver(SERVER_HEADER)
    assert bed.client.paused
    assert bed.to_client == b""
    bed.server.deliver(FEATURES)
    assert not bed.client.paused
    assert bed.to_client == SERVER_HEADER + FEATURES
    assert bed.to_server == HEADER + AUTH


@pytest.mark.parametrize("early", [b"", END])
def test_a_server_that_refuses_at_once_is_not_waited_for_as_for_a_login(early):
    refusal = (
        b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" + END
    )
    bed = Bed()
    bed.client.deliver(HEADER + early)
    bed.reach(SERVER_HEADER + refusal)
    assert bed.to_client == SERVER_HEADER + refusal
    bed.clock.advance(5)
    assert bed.session.state is State.OVER
    bed.client.hang_up()
    bed.server.hang_up()
    assert not bed.clock.getDelayedCalls()


def test_an_old_server_without_features_is_shown_at_once():
    bed = Bed()
    bed.client.deliver(HEADER)
    bed.reach(OLD_HEADER)
    assert bed.to_client == OLD_HEADER
    assert not bed.client.paused


UNOFFERED = [
    (
        b"<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        b"<unsupported-method/>",
    ),
    (b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>", b"<failed xmlns='urn:xmpp:sm:3'>"),
    (b"<enable xmlns='urn:xmpp:sm:2'/>", b"<failed xmlns='urn:xmpp:sm:2'>"),
    (b"<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>", b"<failed xmlns='urn:xmpp:sm:3'>"),
    (b"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>", b"<failure xmlns='urn:xmpp:sasl:2'>"),
    (b"<r xmlns='urn:xmpp:sm:3'/>", b""),
    (b"<a xmlns='urn:xmpp:sm:3' h='1'/>", b""),
]


@pytest.mark.parametrize("when", ["opened", "logged_in"])
@pytest.mark.parametrize(("nonza", "answer"), UNOFFERED)
def test_what_was_not_offered_gets_its_own_failure(nonza, answer, when):
    bed = getattr(Bed(), when)()
    login = b"<iq id='1' type='get'><query xmlns='jabber:iq:auth'/></iq>"
    bed.client.deliver(nonza + login)
    assert answer in bed.to_client
    assert bed.to_server == login
    assert bed.session.state is State.RELAYING


@pytest.mark.parametrize(
    "pieces", [[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], [b"\x16", b"\x03\x01\x02"]]
)
def test_a_client_that_begins_with_tls_is_told_the_setting(pieces):
    bed = Bed()
    with capturedLogs() as logs:
        for data in pieces:
            bed.client.deliver(data)
    assert bed.error() == ("not-well-formed", client_settings.DIRECT)
    assert "/account set JID tls disable" in client_settings.DIRECT
    assert any(client_settings.DIRECT in formatEvent(event) for event in logs)


def test_a_handshake_behind_the_header_is_only_broken_xml():
    bed = Bed().opened()
    bed.client.deliver(b"\x16\x03\x01\x02\x00\x01")
    assert "TLS" not in bed.error()[1]


def untried(logs):
    return [event for event in logs if client_settings.GAVE_UP in formatEvent(event)]


@pytest.mark.parametrize("how", ["end", "half", "gone"])
def test_a_client_that_leaves_without_a_try_may_insist_on_tls(how):
    bed = Bed().opened()
    with capturedLogs() as logs:
        if how == "end":
            bed.client.deliver(END)
        elif how == "half":
            bed.client.protocol.readConnectionLost()
        bed.client.hang_up()
    assert len(untried(logs)) == 1


def test_a_client_that_tried_is_told_nothing_about_tls():
    for bed in (Bed().logged_in(), Bed().opened()):
        bed.client.deliver(AUTH)
        with capturedLogs() as logs:
            bed.client.deliver(END)
            bed.client.hang_up()
        assert not untried(logs)


def test_starttls_unoffered_fails_and_ends_the_stream():
    bed = Bed().opened()
    bed.client.deliver(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + AUTH)
    assert bed.to_client.startswith(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:error")
    assert bed.error() == ("policy-violation", client_settings.STARTTLS)
    assert bed.client.finished
    assert bed.to_server == END


@pytest.mark.parametrize("behind", [HEADER, b"<message/>", END, b" " + HEADER + AUTH])
@pytest.mark.parametrize("when", ["opened", "logged_in"])
def test_nothing_behind_the_end_of_a_session_is_looked_at(behind, when):
    bed = getattr(Bed(), when)()
    bed.client.deliver(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + behind)
    assert bed.session.state is State.OVER
    assert len(bed.asked) == 1
    assert bed.to_server == END


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<nonsense xmlns='urn:x'/>", "unsupported-stanza-type"),
        (b"<message xmlns='jabber:server'/>", "invalid-namespace"),
        (b"<stream:features/>", "unsupported-stanza-type"),
        (b"hello", "bad-format"),
        (b"<message>&nope;</message>", "not-well-formed"),
        (b"<message><!-- --></message>", "restricted-xml"),
        (b"<message>" + b"<a>" * 64, "policy-violation"),
    ],
)
def test_a_client_that_breaks_its_stream_ends_both(data, condition):
    bed = Bed().logged_in()
    bed.client.deliver(b"<message id='1'/>" + data + b"<message id='2'/>")
    assert bed.error()[0] == condition
    assert bed.to_server == b"<message id='1'/>" + END
    assert bed.server.finished


NOT_BEFORE_THE_LOGIN = [
    b"<message/>",
    b"<presence/>",
    b"<iq type='get' id='1'/>",
    b"<iq type='set' id='1' to='juliet@example.test'><text xmlns='urn:example:text'>hark</text></iq>",
    b"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><text xmlns='urn:example:text'/></iq>",
]


@pytest.mark.parametrize("stanza", NOT_BEFORE_THE_LOGIN)
def test_no_text_before_the_login(stanza):
    bed = Bed().opened()
    bed.client.deliver(stanza)
    assert bed.error()[0] == "not-authorized"
    assert bed.to_server == END


@pytest.mark.parametrize("stanza", NOT_BEFORE_THE_LOGIN)
def test_no_text_before_anybody_is_bound(stanza):
    """A server that says success and binds nobody must not keep policy off for the whole stream."""
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + b"<stream:features/>")
    bed.forget()
    bed.client.deliver(stanza)
    assert bed.error()[0] == "not-authorized"
    assert bed.to_server == END


BIND_REQUEST = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


def bound_to_be():
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + b"<stream:features/>")
    return bed


def test_what_comes_right_behind_the_request_to_be_bound_waits_for_the_answer():
    bed = bound_to_be()
    bed.client.deliver(
        BIND_REQUEST + b"<message id='1'/><iq type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    assert b"<message" not in bed.to_server
    jid = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>romeo@{DOMAIN}/x</jid></bind>"
    bed.server.deliver(f"<iq type='result' id='b'>{jid}</iq>".encode())
    assert bed.to_server.index(b"<message id='1'/>") < bed.to_server.index(b"<iq type='get' id='2'>")


@pytest.mark.parametrize("answer", [b"<iq type='error' id='b'/>", b"<iq type='result' id='b'/>"])
def test_what_comes_right_behind_a_request_that_fails_never_leaves(answer):
    bed = bound_to_be()
    bed.client.deliver(BIND_REQUEST + b"<message id='1'/>")
    bed.server.deliver(answer)
    assert bed.error()[0] == "not-authorized"
    assert b"<message" not in bed.to_server


def test_an_address_that_cannot_be_prepared_is_none():
    """The pipeline would have nobody to decide for."""
    bed = bound_to_be()
    bed.client.deliver(BIND_REQUEST)
    jid = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>romeo@{DOMAIN}/a\u202eb</jid></bind>"
    bed.server.deliver(f"<iq type='result' id='b'>{jid}</iq>".encode())
    assert bed.error()[0] == "not-authorized"


def test_only_so_much_may_come_right_behind():
    bed = bound_to_be()
    bed.client.deliver(BIND_REQUEST + b"<message id='1'><body>" + b"x" * 66_000 + b"</body></message>")
    assert bed.error()[0] in {"not-authorized", "policy-violation"}
    assert b"<message" not in bed.to_server


def test_a_server_that_binds_nobody_is_not_believed():
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + b"<stream:features/>")
    bed.client.deliver(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    bed.forget()
    bed.server.deliver(b"<iq type='result' id='b'/>")
    assert bed.error()[0] == "not-authorized"
    assert b"<message" not in bed.to_server


def test_limits_before_and_after_the_login():
    large = b"<iq type='get' id='1'>" + b"x" * 17 * KIB + b"</iq>"
    bed = Bed().opened()
    bed.client.deliver(large)
    assert bed.error()[0] == "policy-violation"
    bed = Bed(max_stanza_bytes=20 * KIB).logged_in()
    bed.client.deliver(large)
    assert bed.to_server == large
    bed.client.deliver(large + large.replace(b"xx", b"xxxx", 3 * KIB))
    assert bed.error()[0] == "policy-violation"


def test_silence_before_the_login_ends_the_stream():
    bed = Bed()
    bed.clock.advance(30)
    assert bed.error()[0] == "connection-timeout"
    bed = Bed().opened()
    bed.client.deliver(b" ")
    bed.clock.advance(29)
    bed.client.deliver(b" <auth")
    bed.clock.advance(1)
    assert bed.error()[0] == "connection-timeout"


def test_silence_is_not_counted_while_the_server_is_waited_for():
    bed = Bed()
    bed.client.deliver(HEADER)
    bed.clock.advance(44)
    assert bed.session.state is State.CONNECTING
    bed.reach(SERVER_HEADER + FEATURES)
    bed.clock.advance(29)
    bed.client.deliver(AUTH)
    bed.clock.advance(1000)
    assert bed.session.state is State.RELAYING
    bed.server.deliver(FAILURE)
    bed.clock.advance(29)
    assert bed.session.state is State.RELAYING
    bed.clock.advance(1)
    assert bed.session.state is State.OVER


def test_after_the_login_silence_is_golden():
    bed = Bed().logged_in()
    bed.clock.advance(100_000)
    assert bed.session.state is State.RELAYING
    assert not bed.clock.getDelayedCalls()


def test_a_server_that_says_nothing_is_not_waited_for_for_ever():
    bed = Bed()
    bed.client.deliver(HEADER)
    bed.reach()
    bed.clock.advance(30)
    assert bed.error()[0] == "remote-connection-failed"


def test_a_login_that_the_server_refuses_is_in_the_log():
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    with capturedLogs() as logs:
        bed.server.deliver(FAILURE)
    assert bed.to_client == FAILURE
    assert any("the server refused the login" in formatEvent(event) for event in logs)


def test_sasl_failure_and_retry():
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(FAILURE)
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    assert bed.to_client == FAILURE + SUCCESS
    assert bed.to_server == AUTH + AUTH


@pytest.mark.parametrize(
    "jid",
    [
        "romeo@evil.test/balcony",
        "romeo@example.test.evil.test/x",
        DOMAIN + "/balcony",
        f"romeo@{DOMAIN}",
        f"@{DOMAIN}/x",
        f"juliet@evil.test@{DOMAIN}/x",
        f"romeo@{DOMAIN}/" + "x" * 4000,
        "",
    ],
)
def test_a_server_cannot_bind_an_account_of_another_domain(jid):
    bed = Bed().logged_in(jid)
    assert bed.session._relay is None
    assert bed.client.finished
    assert bed.server.finished


def test_the_refused_bind_says_why():
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.server.deliver(SERVER_HEADER + b"<stream:features/>")
    bed.forget()
    bed.server.deliver(bound("romeo@evil.test/x"))
    assert bed.error()[0] == "not-authorized"
    assert b"jid" not in bed.to_client


@pytest.mark.parametrize("domain", [DOMAIN.upper(), DOMAIN + "."])
def test_domains_are_compared_prepared(domain):
    _, pipeline = changing()
    assert pipeline.accounts[0].bare_jid == f"romeo@{DOMAIN}"
    assert Bed().logged_in(f"romeo@{domain}/x").session.state is State.RELAYING


def test_an_account_before_success_is_not_believed():
    made = []
    bed = Bed(make_pipeline=lambda _ways: made.append(1) or Verbatim()).opened()
    bed.client.deliver(BIND)
    bed.server.deliver(bound())
    assert not made
    assert not bed.session._relay.bound


def test_a_login_by_xep_0078_binds_whom_the_client_named_in_the_servers_domain():
    made = []

    def make(ways):
        made.append(Changing(ways))
        return made[-1]

    bed = Bed(make_pipeline=make)
    bed.client.deliver(HEADER)
    bed.reach(OLD_HEADER)
    bed.client.deliver(
        b"<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>romeo</username><password>p</password>"
        b"<resource>old</resource></query></iq>"
    )
    bed.server.deliver(b"<iq type='result' id='other'/>")
    assert not made
    bed.server.deliver(b"<iq type='result' id='a'/>")
    assert made[0].accounts[0].full_jid == f"romeo@{DOMAIN}/old"
    bed.forget()
    bed.client.deliver(b"<message/>")
    assert bed.to_server == b"<message/>"


def test_the_client_ends_its_stream():
    bed = Bed().logged_in()
    bed.client.deliver(b"<presence type='unavailable'/>" + END + b"junk")
    assert bed.to_server == b"<presence type='unavailable'/>" + END
    assert not bed.client.finished
    bed.server.deliver(b"<message id='late'/>" + END)
    assert bed.to_client == b"<message id='late'/>" + END
    assert bed.client.finished
    assert bed.server.finished


def test_the_server_ends_its_stream():
    bed = Bed().logged_in()
    bed.server.deliver(END)
    assert bed.to_client == END
    assert not bed.client.finished
    bed.client.deliver(b"<message id='late'/>" + END)
    assert bed.to_server == b"<message id='late'/>" + END
    assert bed.client.finished


@pytest.mark.parametrize("who", ["client", "server"])
def test_an_end_that_is_not_answered(who):
    bed = Bed().logged_in()
    getattr(bed, who).deliver(END)
    bed.clock.advance(4.9)
    assert not bed.client.finished
    bed.clock.advance(0.1)
    assert bed.client.finished
    assert bed.server.finished
    assert bed.to_client == END
    assert bed.to_server == END


def test_the_server_is_lost():
    bed = Bed().logged_in()
    bed.server.hang_up()
    assert bed.error()[0] == "remote-connection-failed"


def test_the_server_is_lost_between_two_streams():
    bed = Bed().opened()
    bed.client.deliver(AUTH)
    bed.server.deliver(SUCCESS)
    bed.client.deliver(HEADER)
    bed.forget()
    bed.server.hang_up()
    # The client has begun a new stream: its answer begins with a header.
    assert bed.to_client.startswith(b"<?xml version='1.0'?><stream:stream from=")
    assert bed.error()[0] == "remote-connection-failed"


def test_the_client_is_lost():
    bed = Bed().logged_in()
    bed.client.deliver(b"<message/><message><bo")
    bed.client.hang_up()
    assert bed.to_server == b"<message/>" + END
    assert bed.server.finished
    assert bed.listener.clients == 0


@pytest.mark.parametrize("ended", [True, False])
def test_the_client_closes_its_sending_side(ended):
    bed = Bed().logged_in()
    if ended:
        bed.client.deliver(END)
    bed.client.protocol.readConnectionLost()
    assert bed.to_server == END
    assert bed.client.finished != ended
    if not ended:
        # Nothing more can come, so there is nothing to linger for.
        assert not bed.client.half_closed
    else:
        bed.server.deliver(b"<message/>" + END)
        assert bed.to_client == b"<message/>" + END
        assert bed.client.finished


def test_the_client_leaves_while_the_server_is_sought():
    bed = Bed()
    bed.client.deliver(HEADER)
    cancelled = []
    bed.waiting._canceller = cancelled.append
    bed.client.hang_up()
    assert cancelled
    assert bed.listener.clients == 0


def test_a_server_that_is_not_well_formed_ends_both():
    bed = Bed().logged_in()
    bed.server.deliver(b"<message id='1'/></iq>")
    assert bed.to_client.startswith(b"<message id='1'/>")
    assert bed.error()[0] == "remote-connection-failed"
    assert b"<not-well-formed " in bed.to_server
    assert bed.to_server.endswith(END)


def test_unknown_elements_and_text_of_a_server_do_not_pass():
    bed = Bed().logged_in()
    bed.server.deliver(
        b"hello<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><r xmlns='urn:xmpp:sm:3'/><x/><iq/>"
    )
    assert bed.to_client == b"<iq/>"


DEEP = b"<message id='d' from='a@b'><x>" + b"<a>" * 200 + b"</a>" * 200 + b"</x></message>"


def test_a_servers_excess_passes_verbatim_if_nothing_must_look_into_it():
    bed = Bed().logged_in()
    bed.server.deliver(DEEP + b"<iq/>")
    assert bed.to_client == DEEP + b"<iq/>"


def test_a_servers_excess_that_must_be_looked_into_is_replaced():
    bed, pipeline = changing()
    pipeline.sees = True
    iq = DEEP.replace(b"message", b"iq")
    bed.server.deliver(DEEP + iq.replace(b"<iq ", b"<iq type='get' ") + b"<iq id='ok'/>")
    assert bed.to_client.startswith(
        b'<message xmlns=\'jabber:client\' from="a@b" id="d"><body>[A message could not'
    )
    assert bed.to_client.endswith(b"</body></message><iq id='ok'/>")
    assert (
        bed.to_server.startswith(b'<iq xmlns=\'jabber:client\' to="a@b" id="d" type="error">')
        or b'id="d"' in bed.to_server
    )
    assert b"<not-acceptable " in bed.to_server
    bed.forget()
    bed.server.deliver(iq.replace(b"<iq ", b"<iq type='result' "))
    assert b'type="error"' in bed.to_client
    assert bed.to_server == b""
    bed.forget()
    bed.server.deliver(DEEP.replace(b"message", b"presence"))
    assert bed.to_client == b'<presence xmlns=\'jabber:client\' from="a@b" id="d"/>'


def in_parts(bed, stanza, *, then=None):
    size = 4 * 1024 * KIB
    for at in range(0, len(stanza), size):
        bed.server.deliver(stanza[at : at + size])
        if then is not None and at == 5 * size:
            then()


HUGE = b"<message id='h'><body>" + b"x" * 30 * 1024 * KIB + b"</body></message>"


def test_a_stanza_too_large_to_hold_passes_and_what_is_added_waits_for_its_end():
    bed, pipeline = changing()
    in_parts(bed, HUGE, then=lambda: pipeline.ways.to_client(b"<iq id='notice'/>"))
    assert bed.to_client == HUGE + b"<iq id='notice'/>"


def test_a_stanza_too_large_to_hold_is_replaced_if_it_must_be_looked_into():
    bed, pipeline = changing()
    pipeline.sees = True
    in_parts(bed, HUGE)
    bed.server.deliver(b"<iq id='after'/>")
    assert len(bed.to_client) < KIB
    assert bed.to_client.count(b"too large") == 1
    assert bed.to_client.endswith(b"<iq id='after'/>")


def test_the_server_is_lost_inside_a_stanza_too_large_to_hold():
    bed, _ = changing()
    bed.server.deliver(HUGE[: 20 * 1024 * KIB])
    bed.server.hang_up()
    assert bed.client.finished
    assert b"error" not in bed.to_client


def test_features_that_cannot_be_read_end_the_stream():
    bed = Bed()
    bed.client.deliver(HEADER)
    bed.reach(SERVER_HEADER + DEEP.replace(b"message", b"stream:features"))
    assert bed.error()[0] == "remote-connection-failed"


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_pipeline_takes_out_changes_and_adds_in_order(side):
    bed, pipeline = changing()
    getattr(bed, side).deliver(
        b"<message id='1'/><message id='drop'/><message id='change'/> <message id='before'/><iq id='2'/>"
    )
    out = bed.to_server if side == "client" else bed.to_client
    assert (
        out
        == b"<message id='1'/><message id='changed'/> <message id='added'/><message id='before'/><iq id='2'/>"
    )
    bed.forget()
    getattr(bed, side).deliver(b"<message id='answer'/>")
    assert (bed.to_server, bed.to_client) == (b"<iq id='a1'/>", b"<iq id='a2'/>")
    pipeline.ways.to_client(b"<message id='later'/>")
    assert bed.to_client.endswith(b"<message id='later'/>")
    bed.client.hang_up()
    assert pipeline.ended == 1


def test_one_chunk_leaves_in_one_write():
    bed = Bed().logged_in()
    before = bed.server.writes
    bed.client.deliver(b"<message/>" * 100)
    assert bed.server.writes == before + 1


def see_other(host):
    return (
        b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
        + host
        + b"</see-other-host></stream:error></stream:stream>"
    )


@pytest.mark.parametrize(
    ("written", "target"),
    [
        (b"two.example:5333", ("two.example", 5333)),
        (b"two.example", ("two.example", 5222)),
        (b"[2001:db8::1]:5333", ("[2001:db8::1]", 5333)),
        (b"2001:db8::1", ("2001:db8::1", 5222)),
        (b"two:x", ("two", 0)),
    ],
)
def test_a_server_that_sends_us_on_is_followed(written, target):
    bed = Bed()
    bed.client.deliver(HEADER + AUTH)
    bed.reach(SERVER_HEADER + see_other(written))
    assert bed.asked == [(DOMAIN, None), (DOMAIN, target)]
    assert bed.to_client == b""
    assert bed.server.finished
    bed.reach(SERVER_HEADER + FEATURES)
    assert bed.to_server == HEADER + AUTH
    assert bed.to_client == SERVER_HEADER + FEATURES


def test_a_server_is_not_followed_for_ever():
    bed = Bed()
    bed.client.deliver(HEADER)
    for _ in range(4):
        bed.reach(SERVER_HEADER + see_other(b"a"))
    assert len(bed.asked) == 4
    assert bed.error()[0] == "remote-connection-failed"


def test_a_server_is_not_followed_outside_tls():
    bed = Bed(secure=False)
    bed.client.deliver(HEADER)
    bed.reach(SERVER_HEADER + see_other(b"evil"))
    assert len(bed.asked) == 1
    assert bed.error()[0] == "remote-connection-failed"


def test_a_client_never_sees_where_it_is_sent_and_the_next_one_goes_there():
    bed = Bed().logged_in()
    bed.server.deliver(see_other(b"two.example:5333"))
    assert b"see-other-host" not in bed.to_client
    assert bed.to_client.startswith(b"<stream:error")
    assert b"<reset " in bed.to_client
    for expected in (("two.example", 5333), None):
        again = Bed(listener=bed.listener)
        again.client.deliver(HEADER)
        assert again.asked == [(DOMAIN, expected)]


def test_other_stream_errors_of_a_server_pass_verbatim():
    error = b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><x xmlns='urn:y'/></stream:error>"
    bed = Bed().logged_in()
    bed.server.deliver(error + END)
    assert bed.to_client == error + END


def test_one_client_too_many_is_told():
    first = Bed(max_clients=1)
    second = Bed(listener=first.listener)
    assert second.error()[0] == "resource-constraint"
    assert first.session.state is State.AWAITING_HEADER
    second.client.hang_up()
    first.client.hang_up()
    assert Bed(listener=first.listener).session.state is State.AWAITING_HEADER


def test_closing_tells_every_client_and_waits_for_them():
    first = Bed().logged_in()
    second = Bed(listener=first.listener)
    gone = []
    first.listener.close("Bye & thanks.").addCallback(gone.append)
    assert first.error() == ("system-shutdown", "Bye &amp; thanks.")
    assert second.error()[0] == "system-shutdown"
    late = Bed(listener=first.listener)
    assert late.error()[0] == "system-shutdown"
    for bed in (first, second, late):
        assert not gone
        bed.client.hang_up()
    assert gone == [None]


def test_a_client_that_does_not_go_is_cut_off():
    bed = Bed().logged_in()
    cut = []
    bed.client.abortConnection = lambda: cut.append(1)
    bed.client.deliver(b"<x/>")
    assert not cut
    bed.clock.advance(5)
    assert cut


def test_every_state_can_be_left_and_none_after_the_end():
    assert set(MOVES) == set(State)
    assert all(State.OVER in MOVES[state] for state in State if state is not State.OVER)
    assert not MOVES[State.OVER]
    with pytest.raises(AssertionError):
        Life(Clock()).move(State.ENDING)
