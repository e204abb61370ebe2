"""People steer the real daemon, on a real server: in a chat, by a client's menu of commands, and at the command line.

Nothing of what is said to the proxy is ever seen by the server.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bed.clients.slixmpp_client import SlixmppClient
from bed.polling import wait_until
from bed.raw_client import CLIENT
from bed.scripted_client import PROXY, ScriptedClient
from bed.stage import stage_before

from e2eproxy.testing.session_method import FEATURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.shared import SharedBed
    from bed.stage import Stage

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "otr"
SECRET = "swordfish-9d1c"


@pytest.fixture
def stage(bed: SharedBed, server_kind: str) -> Iterator[Stage]:
    """A daemon that prefers encryption."""
    if bed.through == "direct":
        pytest.skip("without a daemon there is nothing to steer")
    with stage_before(bed.server(server_kind)) as stage:
        yield stage


@pytest.fixture
def pair(stage: Stage) -> Iterator[tuple[ScriptedClient, ScriptedClient]]:
    """Romeo and Juliet, friends, online."""
    with ExitStack() as stack:
        clients = tuple(
            stack.enter_context(ScriptedClient(stage.route, account, "home", announces=[FEATURE]))
            for account in stage.accounts
        )
        for client in clients:
            client.available()
        for client, other in (clients, reversed(clients)):
            client.wait(
                lambda one, other=other: one.get("from") == other.jid and one.tag == f"{CLIENT}presence",
                f"presence of {other.jid}",
            )
        yield clients


def answer_to(client: ScriptedClient, to: str, line: str) -> str:
    """What the proxy answers to *line*, said in the chat with *to*."""
    before = len(client.notices())
    client.write(to, line)
    wait_until(lambda: len(client.notices()) > before, f"an answer to {line}", instead=client.shown)
    return client.notices()[-1]


def test_a_user_steers_from_the_chat_and_the_administrator_sees_it(
    stage: Stage, pair: tuple[ScriptedClient, ScriptedClient]
) -> None:
    romeo, juliet = pair
    contact = juliet.account.jid
    assert "2 clients" not in answer_to(romeo, PROXY, "status")
    assert "Did you mean verify" in answer_to(romeo, contact, f"/e2e verfy secret {SECRET}")
    assert "Compare fingerprints" in answer_to(romeo, contact, f"/e2e verify secret {SECRET}")
    romeo.write(contact, "hark")
    juliet.wait_text("hark")
    (key,) = json.loads(stage.say("keys", contact, "--account", romeo.account.jid, json_wanted=True))["keys"]
    assert key["decision"] == "tofu"
    assert key["fingerprint"] in answer_to(romeo, contact, "/e2e keys")
    assert "is verified now" in answer_to(
        romeo, contact, f"/e2e verify fingerprint {key['fingerprint'][:16]}"
    )
    peers = json.loads(stage.say("peers", "--account", romeo.account.jid, json_wanted=True))["peers"]
    assert [(one["contact"], one["verified"]) for one in peers] == [(contact, 1)]
    assert peers[0]["sessions"][0]["decision"] == "verified"
    stage.say("policy", contact, "when", "require", "for", "domain", "--account", romeo.account.jid)
    assert "require, set for domain" in answer_to(romeo, contact, "/e2e policy")
    romeo.write(contact, "//e2e is how it begins")
    juliet.wait_text("/e2e is how it begins")
    assert "First key of" in answer_to(romeo, PROXY, "log")
    assert "--account" in stage.say("keys", status=1)
    accounts = {one["account"] for one in json.loads(stage.say("status", json_wanted=True))["accounts"]}
    assert accounts == {romeo.account.jid, contact}
    said = stage.tap.said(up=True)
    assert b"how it begins" not in said
    assert SECRET.encode() not in said
    assert PROXY.encode() not in said


def test_an_account_moves_by_its_archive(stage: Stage, tmp_path: Path) -> None:
    romeo, _ = stage.accounts
    secret, archive = tmp_path / "secret", tmp_path / "romeo.archive"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    words = ("--account", romeo.jid, "--file", str(archive), "--secret-file", str(secret))
    with ScriptedClient(stage.route, romeo, "home", announces=[FEATURE]) as client:
        client.available()
        answer_to(client, PROXY, "set when require")
        stage.say("export", *words)
        assert archive.stat().st_mode & 0o777 == 0o600
        assert "is there already" in stage.say("export", *words, status=1)
        assert "is logged in" in stage.say("reset", "--yes", "--account", romeo.jid, status=1)
        own = json.loads(stage.say("keys", "--account", romeo.jid, json_wanted=True))["keys"]
    wait_until(
        lambda: not json.loads(stage.say("status", json_wanted=True))["clients"], "the client to be gone"
    )
    assert "1 own keys" in stage.say("reset", "--account", romeo.jid)
    assert "Forgotten" in stage.say("reset", "--yes", "--account", romeo.jid)
    assert "1 own keys" in stage.say("import", *words[2:])
    with ScriptedClient(stage.route, romeo, "home", announces=[FEATURE]) as client:
        client.available()
        assert "when: is require" in answer_to(client, PROXY, "policy")
        again = json.loads(stage.say("keys", "--account", romeo.jid, json_wanted=True))["keys"]
        assert [one["fingerprint"] for one in again] == [one["fingerprint"] for one in own]
    assert SECRET not in stage.daemon.log_text()


ANNOUNCED_BY = f"https://{PROXY}/".encode()


class MenuClient(SlixmppClient):
    """slixmpp with a menu of commands."""

    script = "slixmpp_commands.py"


def test_a_client_with_a_menu_of_commands(stage: Stage, tmp_path: Path) -> None:
    romeo, juliet = stage.accounts
    route = stage.route
    client = MenuClient(tmp_path, romeo, route, contact=juliet.jid)
    try:
        assert "http://jabber.org/protocol/commands" in client.wait(event="features")["features"]
        assert client.wait(event="vcard")["name"] == "e2eproxy"
        assert client.wait(event="version")["name"] == "e2eproxy"
        assert "status" in client.wait(event="commands")["nodes"].split()
        assert romeo.jid in client.wait(event="done", node="status")["text"]
        assert "until you log out" in client.wait(event="done", node="clear")["text"]
        assert client.wait(event="back")["fields"].split() == ["contact", "setting", "scope"]
        said = client.wait(event="done", node="policy")["text"]
        assert " ".join(said.split()) == f"when is require for {juliet.jid}."
        assert client.wait(event="cancelled")["status"] == "canceled"
        assert client.wait(event="error")["condition"] == "bad-request"
    finally:
        client.child.kill()
    # What the daemon announces for a client that announces nothing has a name of the daemon's, which is no address.
    assert PROXY.encode() not in stage.tap.said(up=True).replace(ANNOUNCED_BY, b"")


def test_the_otr_keys_of_another_program_are_taken_over_and_handed_out(stage: Stage, tmp_path: Path) -> None:
    romeo, _ = stage.accounts
    theirs, mine = tmp_path / "otr.private_key", tmp_path / "out"
    raw = (VECTORS / "libotr-alice.otr.private_key").read_text("ascii")
    theirs.write_text(raw.replace("alice@example.org", romeo.jid))
    words = ("--account", romeo.jid, "--format", "libotr")
    assert "1 own keys" in stage.say("keys", "import", *words, "--file", str(theirs))
    assert "0 own keys" in stage.say("keys", "import", *words, "--file", str(theirs))
    assert "NOT sealed" in stage.say("keys", "export", *words, "--file", str(mine))
    written = Path(f"{mine}.private_key")
    assert written.stat().st_mode & 0o777 == 0o600
    assert "".join(raw.split())[-200:] in "".join(written.read_text("ascii").split())
    assert "is there already" in stage.say("keys", "export", *words, "--file", str(mine), status=1)
    theirs.write_text(raw)
    refused = stage.say("keys", "import", *words, "--file", str(theirs), status=1)
    assert "it has alice@example.org" in refused
    secret = raw.partition("(x #")[2][:20]
    assert secret not in stage.daemon.log_text() + refused
