"""What an unmodified client announces through the daemon is verified by slixmpp, on real servers, and the servers act by it.

slixmpp checks each hash against the answer by itself; a server sends notifications of a PEP node to whoever announces that he
wants them, which it finds out by asking for the hash in the presence.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from bed.clients.slixmpp_client import SlixmppClient
from bed.route import direct
from bed.scripted_client import DISCO, ScriptedClient
from bed.stage import stage_before

from e2eproxy.testing.session_method import FEATURE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bed.shared import SharedBed
    from bed.stage import Stage

NODE, OTHER = "urn:e2eproxy:test:node", "urn:e2eproxy:test:other"


class Announcer(SlixmppClient):
    """One that announces, verifies and publishes."""

    script = "slixmpp_caps.py"

    def verified(self, *features: str) -> str:
        """Wait until a hash of which these are all was verified; return it. None may have failed."""

        def found() -> list[dict[str, str]]:
            mine = [one for one in self.events() if one["event"] == "caps"]
            assert [one for one in mine if one["holds"] != "yes"] == []
            return [one for one in mine if set(features) <= set(one["features"].split())]

        return self.look(found, f"a verified hash of {features}")[0]["ver"]


@pytest.fixture
def stage(bed: SharedBed, server_kind: str) -> Iterator[Stage]:
    """A daemon with a method that announces a feature."""
    if bed.through == "direct":
        pytest.skip("without a daemon nothing is added to what a client announces")
    with stage_before(bed.server(server_kind)) as stage:
        yield stage


@pytest.fixture
def peer(stage: Stage, tmp_path: Path) -> Iterator[Announcer]:
    """Romeo, who has no daemon and verifies what others announce."""
    romeo, _ = stage.accounts
    with Announcer(tmp_path, romeo, direct(stage.server, "starttls")) as client:
        client.connect()
        yield client


def test_a_client_with_hashes(stage: Stage, peer: Announcer, tmp_path: Path) -> None:
    romeo, juliet = stage.accounts
    with ExitStack() as stack:
        client = stack.enter_context(
            Announcer(tmp_path, juliet, stage.route, feature=f"{NODE}+notify", say=[(romeo, "hello")])
        )
        client.connect()
        first = peer.verified(DISCO, FEATURE, f"{NODE}+notify")
        # Her server knows it as well: it notifies her of the one node, and not of the other, which comes first.
        teller = stack.enter_context(ScriptedClient(stage.route, romeo, "teller", announces=[FEATURE]))
        teller.available()
        teller.write(peer_of(romeo), f"publish {OTHER}")
        teller.write(peer_of(romeo), f"publish {NODE}")
        client.wait(event="pep", node=NODE, sender=romeo.jid)
        assert not [one for one in client.events() if one["event"] == "pep" and one["node"] != NODE]
        # It changes what it can do.
        teller.write(f"{juliet.jid}/slixmpp", "announce urn:e2eproxy:test:new")
        second = peer.verified(FEATURE, "urn:e2eproxy:test:new")
        assert second != first
        # The hashes are not the client's own.
        for ver in (first, second):
            assert ver.encode() in stage.tap.said(up=True)
            assert not [one for one in client.events() if one["event"] == "caps" and one["holds"] != "yes"]
    stage.daemon.require_no_traceback()


def test_a_client_without_any(stage: Stage, peer: Announcer) -> None:
    _, juliet = stage.accounts
    with ScriptedClient(stage.route, juliet, "home", announces=["urn:e2eproxy:test:own"]) as client:
        client.available()
        peer.verified(DISCO, FEATURE, "urn:e2eproxy:test:own")
        assert not [one for one in client.seen if one.get("type") == "get" and "#" in (_node(one) or "")], (
            "what is asked for under the hash is answered in its place"
        )
    stage.daemon.require_no_traceback()


def peer_of(account) -> str:
    return f"{account.jid}/slixmpp"


def _node(stanza) -> str | None:
    query = stanza.find(f"{{{DISCO}}}query")
    return None if query is None else query.get("node")
