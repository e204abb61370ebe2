"""Where the network cuts the traffic makes no difference: a login and a chat with a shaper on either side of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from bed.clients.slixmpp_client import SlixmppClient
from bed.daemon import Daemon
from bed.polling import wait_until
from bed.route import Route, through, upstream_port
from bed.shaper import CUT_MOST, Shaper

if TYPE_CHECKING:
    from pathlib import Path

    from bed.servers import Account, Server
    from bed.shared import SharedBed

MESSAGES = 50
TIMEOUT = 60  # seconds for the chat; cut into pieces it takes some three
PADDING = ["", "<b>&amp;</b> ]]>", "\N{LOCK} \N{SMILING FACE WITH SMILING EYES}", "x" * 300, "\n \t'\""]
LINES = [f"line {number}{PADDING[number % len(PADDING)]}" for number in range(MESSAGES)]
ANSWERS = [f"slixmpp heard: {line}" for line in LINES]


def heard(client: SlixmppClient, contact: Account) -> list[str]:
    """The texts that `contact` has sent to `client` so far."""
    messages = [event for event in client.events() if event["event"] == "message"]
    return [event["body"] for event in messages if event["sender"] == contact.jid]


def chat(route: Route, directory: Path) -> None:
    """Two slixmpp bots log in; one says all the lines, the other one answers each."""
    romeo, juliet = route.server.pair_of()
    with SlixmppClient(directory, juliet, route) as other:
        other.connect()
        lines = [(juliet, line) for line in LINES]
        with SlixmppClient(directory, romeo, route, say=lines) as one:
            one.connect()
            route.require_login(romeo, juliet)
            wait_until(
                lambda: len(heard(one, juliet)) >= MESSAGES,
                "all answers",
                timeout=TIMEOUT,
                instead=lambda: f"{other.child.tail()}\n{one.child.tail()}",
            )
            assert heard(other, romeo) == LINES
            assert heard(one, juliet) == ANSWERS


def require_shaped(shaper: Shaper) -> None:
    """The shaper has carried the chat both ways, and it has changed the pieces."""
    for traffic in (shaper.up, shaper.down):
        assert traffic.size > 100 * MESSAGES
        if shaper.shape == "cut":
            assert traffic.sent >= traffic.size / CUT_MOST
        else:
            assert traffic.sent < traffic.received


@pytest.mark.parametrize("shape", ["cut", "join"])
@pytest.mark.parametrize(
    ("side", "tls"), [("client", "starttls"), ("server", "none"), ("server", "starttls")]
)
def test_a_shaped_chat(side: str, tls: str, shape: str, bed: SharedBed, tmp_path: Path) -> None:
    server: Server = bed.server("prosody")
    if side == "client":
        with (
            Daemon(server.certificates, upstream_port(server, tls), tls) as daemon,
            Shaper(daemon.port, shape) as shaper,
        ):
            chat(attrs.evolve(through(daemon, server), port=shaper.port), tmp_path)
    else:
        with (
            Shaper(upstream_port(server, tls), shape) as shaper,
            Daemon(server.certificates, shaper.port, tls) as daemon,
        ):
            chat(through(daemon, server), tmp_path)
    require_shaped(shaper)
