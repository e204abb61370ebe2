"""The bed itself, without a daemon: what the other tests build on is as they believe."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bed.clients.mcabber import Mcabber
from bed.clients.profanity import Profanity
from bed.polling import BedError, wait_until
from bed.ports import reserve_port
from bed.raw_client import SASL, RawClient, SaslFailureError
from bed.route import direct
from bed.servers import SERVERS
from bed.shared import SharedBed
from bed.terminal import Terminal, Tmux

if TYPE_CHECKING:
    from bed.certificates import Certificates

STARTTLS = "{urn:ietf:params:xml:ns:xmpp-tls}starttls"

WITHOUT_TLS = {
    "strict": set(),
    "plus": set(),
    "plain": {"PLAIN", "SCRAM-SHA-1"},
    "local": {"PLAIN", "SCRAM-SHA-1"},
    "scram": {"SCRAM-SHA-1"},
}
WITH_TLS = {
    "strict": {"SCRAM-SHA-1", "SCRAM-SHA-256"},
    "plus": {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"},
    "plain": {"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"},
}  # fmt: skip


@pytest.fixture(scope="module")
def straight(certificates: Certificates):
    """Shared servers, reached directly whatever the run's option says."""
    shared = SharedBed(certificates, through="direct")
    yield shared
    shared.stop()


@pytest.mark.parametrize("profile", ["strict", "plus", "plain", "local", "scram"])
def test_a_profile_offers_what_it_says(straight: SharedBed, server_kind: str, profile: str) -> None:
    server = straight.server(server_kind, profile)
    with RawClient(direct(server, "starttls")) as client:
        features = [element.tag for element in client.open()]
        assert (STARTTLS in features) == (profile not in {"local", "scram"})
        offered = set(client.mechanisms())
        assert WITHOUT_TLS[profile] <= offered
        assert ("PLAIN" in offered) == (profile in {"plain", "local"})
        assert (f"{SASL}mechanisms" in features) == (profile not in {"strict", "plus"})
        if profile in WITH_TLS:
            client.secure()
            offered = set(client.mechanisms())
            assert WITH_TLS[profile] <= offered
            assert ("PLAIN" in offered) == (profile == "plain")


def test_two_raw_clients(straight: SharedBed, server_kind: str, upstream_tls: str) -> None:
    route = straight.route(server_kind, upstream_tls)
    romeo, juliet = route.server.pair_of()
    with RawClient(route) as one, RawClient(route) as other:
        one.login(romeo, mechanism="PLAIN")
        one.available()
        other.login(juliet, mechanism="SCRAM-SHA-1")
        other.available()
        one.read_presence(other.jid)
        one.message(juliet.jid, "<&> \N{SNOWMAN}")
        other.read_message("<&> \N{SNOWMAN}")
        route.require_login(romeo, juliet)
        with pytest.raises(BedError, match="in vain"):
            route.server.require_login(romeo, secure=upstream_tls == "none", timeout=0.1)
    with RawClient(route) as stranger, pytest.raises(SaslFailureError):
        stranger.login(romeo.__class__(user=romeo.user, domain=romeo.domain, password="wrong"))


def test_a_rogue_certificate_is_noticed(certificates: Certificates) -> None:
    with (
        SERVERS["prosody"](certificates, certificate="rogue") as server,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        RawClient(direct(server, "direct"))


def test_stopping_leaves_nothing_behind(certificates: Certificates, server_kind: str) -> None:
    before = epmds()
    with SERVERS[server_kind](certificates) as server:
        group, directory = server.pid, server.directory
        assert group_members(group)
    wait_until(lambda: not group_members(group), "the last process to end")
    assert not directory.exists()
    assert epmds() <= before, "ejabberd runs without Erlang's distribution"


def test_a_server_that_cannot_start_says_why(certificates: Certificates, tmp_path: Path) -> None:
    """A taken port, for one: the error has the server's own words."""
    with SERVERS["prosody"](certificates) as first:

        class Second(SERVERS["prosody"]):
            start_timeout = 0.5

            def prepare(self):
                self.port = first.port
                self.domain = "elsewhere.test"  # else the first one would answer for it
                return super().prepare()

        with pytest.raises(BedError, match="in use"):
            Second(certificates, directory=tmp_path / "second").start()


def test_reserved_ports_differ() -> None:
    ports = [reserve_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_authority_directory_is_what_openssl_looks_for(certificates: Certificates) -> None:
    asked = ["openssl", "verify", "-CApath", str(certificates.ca_path)]
    subprocess.run(
        [*asked, str(certificates.server.certificate)], check=True, capture_output=True, timeout=30
    )
    refused = subprocess.run(
        [*asked, str(certificates.rogue.certificate)], check=False, capture_output=True, timeout=30
    )
    assert refused.returncode != 0


def test_text_typed_before_the_program_reads(tmux: Tmux, tmp_path: Path) -> None:
    """The program throws away what was typed before it was ready; typing anew gets through."""
    late = (
        "stty -echo -icanon; echo up; read -t 0.5 -N 1000 -r gone; stty echo icanon; "
        "printf 'ready> '; read -r line; echo \"got:$line\"; sleep 60"
    )
    terminal = Terminal(tmux, "late", ["bash", "--norc", "-c", late], home=tmp_path)
    terminal.wait("^up$")
    terminal.type("some words")
    terminal.wait(r"got:.*some words$")
    terminal.kill()
    assert terminal not in tmux.terminals


def test_terminal_clients_chat(straight: SharedBed, server_kind: str, tmux: Tmux) -> None:
    """The same two clients as through the daemon, without it: then it is not the daemon if they cannot."""
    route = straight.route(server_kind, "starttls")
    romeo, juliet = route.server.pair_of()
    one, other = Profanity(tmux, romeo, route), Mcabber(tmux, juliet, route)
    one.connect()
    other.connect()
    one.say(juliet, "straight there")
    other.expect(romeo, "straight there")
    other.say(romeo, "and straight back")
    one.expect(juliet, "and straight back")
    route.require_login(romeo, juliet)


def group_members(group: int) -> list[int]:
    """The processes of a process group that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (
                (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            )
            if os.getpgid(int(entry.name)) == group and state != "Z":
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):  # ended since the listing
            continue
    return found


def epmds() -> set[str]:
    """The epmd processes of this machine."""
    done = subprocess.run(["pgrep", "-x", "epmd"], capture_output=True, text=True, check=False, timeout=10)
    return set(done.stdout.split())
