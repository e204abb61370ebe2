"""First-time mistakes that need a real client or a real server: each is tried, and each is answered with what to do.

docs/mistakes.md has all ten, and names the tests of the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from bed.certificates import make_certificates
from bed.clients.profanity import Profanity
from bed.daemon import Daemon
from bed.polling import wait_until
from bed.ports import reserve_port
from bed.route import through

from e2eproxy.proxy import client_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bed.route import Route
    from bed.servers import Server
    from bed.shared import SharedBed
    from bed.terminal import Tmux


@pytest.fixture
def server(bed: SharedBed) -> Server:
    """Prosody."""
    if bed.through == "direct":
        pytest.skip("--through=direct: this is about what the daemon says")
    return bed.server("prosody")


@pytest.fixture
def route(server: Server) -> Iterator[Route]:
    """Through a daemon of the test's own, whose log is about nobody else."""
    with Daemon(server.certificates, server.port, "starttls") as daemon:
        yield through(daemon, server)


def trying(tmux: Tmux, route: Route, **changes: str) -> Profanity:
    """profanity, whose user connects with *changes* of the account or of the route."""
    account = route.server.account("romeo")
    password = changes.pop("password", account.password)
    client = Profanity(tmux, evolve(account, password=password), evolve(route, **changes))
    client.wait("Profanity")
    client.type(f"/connect {account.jid}")
    return client


def logged(daemon: Daemon, pattern: str) -> None:
    """Wait until the daemon's log has *pattern*."""
    wait_until(lambda: re.search(pattern, daemon.log_text()), pattern, instead=daemon.tail)


@pytest.mark.parametrize(
    ("client_tls", "said"), [("starttls", client_settings.GAVE_UP), ("direct", client_settings.DIRECT)]
)
def test_a_client_that_insists_on_tls(route: Route, tmux: Tmux, client_tls: str, said: str) -> None:
    client = trying(tmux, route, client_tls=client_tls)
    client.wait(r"failed|error|Disconnected|Lost", timeout=30)
    logged(route.daemon, re.escape(said))
    assert "profanity: /account set JID tls disable" in said


def test_a_wrong_password(route: Route, tmux: Tmux) -> None:
    client = trying(tmux, route, password="swordfish")
    client.wait(r"Login failed")
    logged(route.daemon, "the server refused the login")
    assert "swordfish" not in route.daemon.log_text()


def refused(tmux: Tmux, daemon: Daemon, server: Server, pattern: str) -> str:
    """The line of the log with *pattern*, once a client has tried."""
    with daemon:
        trying(tmux, through(daemon, server))
        logged(daemon, pattern)
        return next(line for line in daemon.log_text().splitlines() if re.search(pattern, line))


def test_a_server_that_cannot_be_reached(server: Server, tmux: Tmux) -> None:
    line = refused(
        tmux, Daemon(server.certificates, reserve_port(), "starttls"), server, "could not be reached"
    )
    assert "connection refused" in line


def test_a_wrong_certificate(server: Server, tmux: Tmux, tmp_path: Path) -> None:
    others = make_certificates(tmp_path)
    line = refused(tmux, Daemon(others, server.port, "starttls"), server, "Not connected to")
    assert "not a trusted authority here" in line
    assert "--upstream-ca" in line
