"""Other unmodified clients: each one logs in and exchanges messages with a peer on the same server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bed.clients.finch import Finch
from bed.clients.poezio import Poezio
from bed.clients.sendxmpp import sendxmpp
from bed.clients.slixmpp_client import SlixmppClient
from bed.polling import BedError
from bed.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path

    from bed.route import Route
    from bed.shared import SharedBed
    from bed.terminal import Tmux

QUESTION = "what light through yonder window breaks"
ANSWER = "it is the east & Juliet is <the sun>"


def peer_of(route: Route, account) -> RawClient:
    peer = RawClient(route)
    peer.login(account, resource="peer")
    peer.available()
    return peer


@pytest.mark.matrix("finch")
def test_finch(route: Route, tmux: Tmux) -> None:
    romeo, juliet = route.server.pair_of()
    with peer_of(route, juliet) as peer:
        client = Finch(tmux, romeo, route)
        client.connect()
        peer.read_presence(f"{romeo.jid}/finch")
        route.require_login(romeo, juliet)
        route.require_carried(2)
        peer.message(romeo.jid, QUESTION)
        client.expect(juliet, QUESTION)
        client.say(ANSWER)
        peer.read_message(ANSWER)


@pytest.mark.matrix("poezio")
def test_poezio(route: Route, tmux: Tmux) -> None:
    if route.client_tls == "direct":
        pytest.skip("poezio has no setting for direct TLS to a host of the user's choice")
    romeo, juliet = route.server.pair_of()
    with peer_of(route, juliet) as peer:
        client = Poezio(tmux, romeo, route)
        client.connect()
        route.require_login(romeo, juliet)
        route.require_carried(2)
        client.say(juliet, QUESTION)
        peer.read_message(QUESTION)
        peer.message(romeo.jid, ANSWER)
        client.expect(juliet, ANSWER)


@pytest.mark.matrix("slixmpp")
def test_slixmpp(route: Route, tmp_path: Path) -> None:
    romeo, juliet = route.server.pair_of()
    with (
        peer_of(route, juliet) as peer,
        SlixmppClient(tmp_path, romeo, route, say=[(juliet, QUESTION)]) as client,
    ):
        assert client.connect()["mechanism"].startswith("SCRAM-SHA-")
        route.require_login(romeo, juliet)
        route.require_carried(2)
        peer.read_message(QUESTION)
        peer.message(romeo.jid, ANSWER)
        client.expect(juliet, ANSWER)
        peer.read_message(f"slixmpp heard: {ANSWER}")


@pytest.mark.matrix("slixmpp <-> slixmpp")
def test_two_slixmpp(route: Route, tmp_path: Path) -> None:
    romeo, juliet = route.server.pair_of()
    with SlixmppClient(tmp_path, juliet, route) as other:
        other.connect()
        with SlixmppClient(tmp_path, romeo, route, say=[(juliet, QUESTION)]) as one:
            one.connect()
            route.require_login(romeo, juliet)
            other.expect(romeo, QUESTION)
            one.expect(juliet, f"slixmpp heard: {QUESTION}")


def test_sendxmpp_needs_plain(bed: SharedBed, server_kind: str, tmp_path: Path) -> None:
    """A server without PLAIN: the daemon must not pretend that there is something that sendxmpp knows."""
    route = bed.route(server_kind, "starttls", "strict")
    romeo, juliet = route.server.pair_of()
    with pytest.raises(BedError, match="No SASL mechanism found"):
        sendxmpp(tmp_path, romeo, route, juliet, ANSWER)


@pytest.mark.matrix("sendxmpp")
def test_sendxmpp(route: Route, tmp_path: Path) -> None:
    romeo, juliet = route.server.pair_of()
    with peer_of(route, juliet) as peer:
        sendxmpp(tmp_path, romeo, route, juliet, ANSWER)
        heard = peer.read_message()
        assert "".join(heard.itertext()).strip() == ANSWER
        route.require_login(romeo, juliet)
