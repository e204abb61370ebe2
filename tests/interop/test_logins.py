"""Every way to log in that a server offers works through the daemon as it does without."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from bed.clients.slixmpp_client import SlixmppClient
from bed.daemon import Daemon
from bed.raw_client import SASL, STREAM, RawClient, SaslFailureError
from bed.route import Route, direct, through
from bed.servers import Prosody

if TYPE_CHECKING:
    from pathlib import Path

    from bed.shared import SharedBed

SASL2 = "{urn:xmpp:sasl:2}authentication"
STARTTLS = "{urn:ietf:params:xml:ns:xmpp-tls}starttls"
STREAM_MANAGEMENT = "{urn:xmpp:sm:3}"
LEGACY_FEATURE = "{http://jabber.org/features/iq-auth}auth"
LEGACY = "{jabber:iq:auth}"

over_starttls = pytest.mark.parametrize("upstream_tls", ["starttls"])


def begin(route: Route, domain: str | None = None) -> RawClient:
    """A client that has seen the features before SASL, inside TLS if it does that itself."""
    client = RawClient(route, domain=domain)
    try:
        client.open()
        if route.client_tls == "starttls":
            client.secure()
    except BaseException:
        client.abort()
        raise
    return client


def names(features) -> list[str]:
    return [element.tag for element in features]


def needs_daemon(route: Route) -> None:
    if route.daemon is None:
        pytest.skip("--through=direct: this is about what the daemon does")


@over_starttls
@pytest.mark.parametrize("mechanism", ["plain", "scram"])
def test_wrong_password_then_right_one_on_the_same_stream(route: Route, mechanism: str) -> None:
    account = route.server.account("romeo")
    with begin(route) as client:
        authenticate = client.authenticate_plain if mechanism == "plain" else client.authenticate_scram
        with pytest.raises(SaslFailureError) as caught:
            authenticate(account.user, "wrong")
        assert caught.value.condition == "not-authorized"
        authenticate(account.user, account.password)
        client.open()
        assert client.bind("x").startswith(account.jid)
        client.available()
        route.require_login(account)


@over_starttls
def test_a_login_that_fails_is_not_an_account(route: Route) -> None:
    needs_daemon(route)
    account = route.server.account("romeo")
    with begin(route) as client, pytest.raises(SaslFailureError):
        client.authenticate_scram(account.user, "wrong")
    # The log is in order: once a later login is there, an earlier one would be there as well.
    with begin(route) as other:
        later = route.server.account("juliet")
        other.authenticate_scram(later.user, later.password)
        other.open()
        other.bind()
        route.require_login(later)
    assert account.jid not in route.daemon.log_text()


def test_the_mechanism_list_is_the_servers(route: Route) -> None:
    with begin(route) as client, begin(direct(route.server, route.tls)) as straight:
        seen = ET.tostring(client.features.find(f"{SASL}mechanisms"))
        assert seen == ET.tostring(straight.features.find(f"{SASL}mechanisms"))
        assert "SCRAM-SHA-1" in client.mechanisms()


def test_what_plain_sockets_must_not_see_is_not_offered(route: Route) -> None:
    needs_daemon(route)
    account = route.server.account("romeo")
    with begin(route) as client, begin(direct(route.server, route.tls)) as straight:
        assert STARTTLS not in names(client.features)
        client.authenticate_scram(account.user, account.password)
        straight.authenticate_scram(account.user, account.password)
        after, before = names(client.open()), names(straight.open())
        assert f"{STREAM_MANAGEMENT}sm" in before, "the server has something to take away"
        kept = [name for name in before if name != STARTTLS and not name.startswith("{urn:xmpp:sm:")]
        assert after == kept


@over_starttls
@pytest.mark.parametrize("server_kind", ["prosody"])
def test_stream_management_that_was_not_offered_is_refused(route: Route) -> None:
    needs_daemon(route)
    with RawClient(route) as client:
        client.login(route.server.account("romeo"))
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        assert client.read().tag == f"{STREAM_MANAGEMENT}failed"
        assert client.iq("get", "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"


def test_sasl2_is_taken_away_and_sasl1_still_works(bed: SharedBed) -> None:
    if bed.through == "direct":
        pytest.skip("--through=direct: this is about what the daemon does")
    with (
        Prosody(bed.certificates, profile="scram", sasl2=True) as server,
        Daemon(bed.certificates, server.port, "none") as daemon,
    ):
        route = through(daemon, server)
        with begin(direct(server, "none")) as straight:
            assert SASL2 in names(straight.features), "the server has something to take away"
        with begin(route) as client:
            assert SASL2 not in names(client.features)
            account = server.account("romeo")
            client.authenticate_scram(account.user, account.password)
            client.open()
            client.bind()
            route.require_login(account)


@pytest.mark.parametrize("gs2", ["n", "y"])
def test_scram_beside_channel_binding(bed: SharedBed, server_kind: str, gs2: str) -> None:
    """With -PLUS in the list: ``n`` gets in; ``y`` claims that it was not there, which Prosody refuses."""
    route = bed.route(server_kind, "starttls", "plus")
    account = route.server.account("romeo")
    with begin(route) as client:
        assert "SCRAM-SHA-1-PLUS" in client.mechanisms()
        if gs2 == "y" and server_kind == "prosody":
            with pytest.raises(SaslFailureError) as caught:
                client.authenticate_scram(account.user, account.password, gs2)
            assert caught.value.condition == "malformed-request"
            return
        client.authenticate_scram(account.user, account.password, gs2)
        client.open()
        client.bind()
        route.require_login(account)


@pytest.mark.parametrize("profile", ["plus", "scram", "strict"])
def test_slixmpp_beside_channel_binding_and_without(
    bed: SharedBed, server_kind: str, profile: str, tmp_path: Path
) -> None:
    route = bed.route(server_kind, "none" if profile == "scram" else "starttls", profile)
    account = route.server.account("romeo")
    with SlixmppClient(tmp_path, account, route) as client:
        client.connect()
        route.require_login(account)


@over_starttls
def test_anonymous(route: Route) -> None:
    if route.client_tls != "none":
        pytest.skip("--through=direct: the raw client checks the certificate for the main domain only")
    with begin(route, domain=route.server.anonymous_domain) as client:
        assert "ANONYMOUS" in client.mechanisms()
        client.authenticate("ANONYMOUS")
        client.open()
        jid = client.bind()
        assert jid.partition("/")[0].endswith(f"@{route.server.anonymous_domain}")
        client.available()


@over_starttls
def test_external_is_refused_by_the_server_and_the_stream_goes_on(route: Route) -> None:
    account = route.server.account("romeo")
    with begin(route) as client:
        with pytest.raises(SaslFailureError) as caught:
            client.authenticate("EXTERNAL")
        assert caught.value.condition in {"invalid-mechanism", "not-authorized"}
        client.authenticate_plain(account.user, account.password)
        client.open()
        client.bind()


@over_starttls
def test_bind_and_session_of_old(route: Route) -> None:
    account = route.server.account("romeo")
    with RawClient(route) as client:
        jid = client.login(account, mechanism="PLAIN", resource="a resource")
        assert jid == f"{account.jid}/a resource"
        assert client.session().get("type") == "result"
        client.available()


@over_starttls
@pytest.mark.parametrize("version", ["version='1.0'", ""], ids=["1.0", "no version"])
def test_non_sasl_authentication(route: Route, version: str) -> None:
    """XEP-0078: the login of clients from before RFC 3920; the oldest do not even give a version."""
    if route.client_tls != "none" and not version:
        pytest.skip("--through=direct: a stream without a version has no STARTTLS")
    romeo, juliet = route.server.pair_of()
    with begin(route) as client, RawClient(route) as peer:
        if version:
            assert LEGACY_FEATURE in names(client.features), f"{route.server.kind} does not offer XEP-0078"
        else:
            client.close()
            client = RawClient(route)  # noqa: PLW2901 - the first one was the wrong kind of stream
            client.send(
                f"<stream:stream to='{route.domain}' xmlns='jabber:client' "
                "xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        asked = client.iq("get", f"<query xmlns='jabber:iq:auth'><username>{romeo.user}</username></query>")
        assert asked.find(f"{LEGACY}query/{LEGACY}password") is not None
        answer = client.iq(
            "set",
            f"<query xmlns='jabber:iq:auth'><username>{romeo.user}</username>"
            f"<password>{romeo.password}</password><resource>old</resource></query>",
        )
        assert answer.get("type") == "result", ET.tostring(answer)
        client.jid = f"{romeo.jid}/old"
        client.available()
        peer.login(juliet)
        peer.available()
        peer.message(client.jid, "hello, old one")
        client.read_message("hello, old one")
        client.message(juliet.jid, "hello, young one")
        peer.read_message("hello, young one")
        client.close()


@over_starttls
def test_resource_conflict(route: Route) -> None:
    """The second client with a resource gets in; the first is told why it has to go."""
    account = route.server.account("romeo")
    with RawClient(route) as first, RawClient(route) as second:
        first.login(account, resource="same")
        first.available()
        assert second.login(account, resource="same") == f"{account.jid}/same"
        second.available()
        condition, _ = first.read_stream_error()
        assert condition == "conflict"
        first.read_eof()
        assert second.iq("get", "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"


@over_starttls
def test_stanzas_keep_their_order_around_a_restart(route: Route) -> None:
    """What a client sends in one go behind its new stream header is not lost."""
    account = route.server.account("romeo")
    with begin(route) as client:
        client.authenticate_plain(account.user, account.password)
        header = (
            f"<stream:stream to='{route.domain}' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>p</resource></bind></iq>"
        ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
        client.open(header + bind + ping)
        assert [client.read().get("id"), client.read().get("id")] == ["b", "p"]
    assert client.header.tag == f"{STREAM}stream"
