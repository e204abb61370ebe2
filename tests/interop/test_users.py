"""People at their own clients: everything that e2eproxy asks of them they do without leaving the client, or at a shell.

Clients in a terminal take a line with a slash for a command of their own. profanity and poezio send one that begins with two
slashes as text with one, so ``//e2e`` is what is typed in them.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
from typing import TYPE_CHECKING

import pytest
import segno
from bed.clients.poezio import Poezio
from bed.clients.profanity import Profanity
from bed.polling import BedError, wait_until
from bed.scripted_client import PROXY, ScriptedClient
from bed.stage import Stage, stage_before
from bed.terminal import Terminal

from e2eproxy.control.adhoc import NODES
from e2eproxy.testing.session_method import FEATURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.recording import Recordings
    from bed.servers import Account
    from bed.shared import SharedBed
    from bed.terminal import Tmux

FINGERPRINT = r"juliet\d+@example\.test:\n\s*reference-session:([0-9a-f]{64}): is tofu"
IN_CLEAR = "I would I were thy bird"
HALVES = {
    " ": (0, 0),
    "\N{UPPER HALF BLOCK}": (1, 0),
    "\N{LOWER HALF BLOCK}": (0, 1),
    "\N{FULL BLOCK}": (1, 1),
}


@pytest.fixture
def stage(bed: SharedBed) -> Iterator[Stage]:
    """A daemon before Prosody."""
    if bed.through == "direct":
        pytest.skip("without a daemon there is nothing to steer")
    with stage_before(bed.server("prosody")) as stage:
        yield stage


@pytest.fixture
def juliet(stage: Stage) -> Iterator[ScriptedClient]:
    """Romeo's friend, whose client's daemon has the method."""
    with ScriptedClient(stage.route, stage.accounts[1], "home", announces=[FEATURE]) as client:
        client.available()
        yield client


@pytest.fixture
def nurse(bed: SharedBed, stage: Stage) -> Iterator[ScriptedClient]:
    """A friend of Romeo's without encryption, behind a daemon that has no method."""
    account = stage.server.account("nurse")
    stage.server.befriend(stage.accounts[0], account)
    with ScriptedClient(bed.route("prosody", "none"), account, "old") as client:
        client.available()
        yield client


def key_of(stage: Stage, one: Account, contact: Account) -> dict[str, str]:
    """The one key that *one* has of *contact*."""
    (key,) = json.loads(stage.say("keys", contact.jid, "--account", one.jid, json_wanted=True))["keys"]
    return key


def nothing_left(stage: Stage, *more: str) -> None:
    """Nothing that was said to the proxy, nor what had to be encrypted, nor *more*, was seen by the server."""
    said = stage.tap.said(up=True)
    assert IN_CLEAR.encode() in said, "the tap sees what leaves"
    for word in ("/e2e", "hark", "when require", f'to="{PROXY}', f"to='{PROXY}", *more):
        assert word.encode() not in said


# --- profanity ---------------------------------------------------------------------------------------------------


def test_profanity(
    stage: Stage, juliet: ScriptedClient, nurse: ScriptedClient, tmux: Tmux, recordings: Recordings
) -> None:
    romeo, contact = stage.accounts[0], juliet.account
    other = nurse.account.jid
    client = Profanity(tmux, romeo, stage.route)
    client.connect()

    def told(pattern: str) -> re.Match[str]:
        """What the proxy's own window shows."""
        client.type(f"/msg {PROXY}")
        return client.wait(pattern)

    client.type(f"/msg {PROXY} status")
    client.wait(rf"{romeo.jid}: clients 1, when prefer, whom tofu")
    client.type(f"/msg {contact.jid}")
    client.type("//e2e policy when require")
    told(rf"when is require for {contact.jid}\.")
    client.say(contact, "hark")
    juliet.wait_text("hark")
    told(rf"First key of {contact.jid}: ")

    client.type(f"require {other}")
    client.wait(rf"Nothing leaves unencrypted to {other} from now on without your word")
    client.type(f"/msg {other} {IN_CLEAR}")
    client.wait("/e2e clear once")
    recordings.add(
        "profanity",
        "A text that may not leave unencrypted comes back, and says what can be done:",
        client.screen(),
    )
    client.type("//e2e clear once")
    told(rf"The next message to {other} may leave unencrypted")
    client.type(f"/msg {other} {IN_CLEAR}")
    nurse.wait_text(IN_CLEAR)

    client.type(f"/msg {contact.jid}")
    client.type("//e2e fingerprints")
    key = told(FINGERPRINT).group(1)
    assert key == key_of(stage, romeo, contact)["fingerprint"]
    client.type(f"/msg {contact.jid}")
    client.type(f"//e2e verify fingerprint {key[:16]}")
    told(r"is verified\s+now")
    assert key_of(stage, romeo, contact)["decision"] == "verified"
    client.type("log")
    client.wait(rf"\d\dZ: First key of {contact.jid}")
    recordings.add("profanity", f"The window of `{PROXY}` after all of it:", client.screen())
    nothing_left(stage, PROXY)


def test_what_cannot_be_encrypted_comes_back_with_advice(
    stage: Stage, nurse: ScriptedClient, tmux: Tmux
) -> None:
    contact = nurse.account
    client = Profanity(tmux, stage.accounts[0], stage.route)
    client.connect()
    client.type(f"/msg {PROXY} policy {contact.jid} when require")
    client.wait(rf"when is require for {contact.jid}\.")
    client.type(f"/msg {contact.jid} {IN_CLEAR}")
    client.wait(rf"Error from {contact.jid}: Not sent\. .*it is\s+required\.")
    assert "/e2e policy when prefer" in " ".join(client.screen().split())
    client.type("//e2e policy when prefer")
    client.say(contact, IN_CLEAR)
    nurse.wait_text(IN_CLEAR)


def test_profanity_has_a_menu_of_commands(stage: Stage, juliet: ScriptedClient, tmux: Tmux) -> None:
    romeo, contact = stage.accounts[0], juliet.account
    client = Profanity(tmux, romeo, stage.route)
    client.connect()
    client.type(f"/msg {PROXY}")  # in the console it says that the server has no such commands
    client.type(f"/cmd list {PROXY}")
    client.wait(r"!   status$")
    client.type(f"/cmd exec status {PROXY}")
    client.wait(rf"\[val\d\] {romeo.jid}: clients 1")
    client.type(f"/cmd exec require {PROXY}")
    client.wait(r"\[field1\] Contact")
    client.type(f"/field1 {contact.jid}")
    client.type("/form submit")
    client.wait(r"\[val1\] Nothing leaves unencrypted to")
    client.wait(rf"\[val2\] +{contact.jid} from now on")
    assert "needs your word" in stage.say("policy", contact.jid, "--account", romeo.jid)


# --- poezio ------------------------------------------------------------------------------------------------------


def test_poezio(stage: Stage, juliet: ScriptedClient, nurse: ScriptedClient, tmux: Tmux) -> None:
    romeo, contact = stage.accounts[0], juliet.account
    other = nurse.account.jid
    client = Poezio(tmux, romeo, stage.route)
    client.connect()
    client.open(PROXY)
    client.type("status")
    client.wait(rf"{romeo.jid}: clients 1, when prefer, whom tofu")

    def say(text: str) -> None:
        """Say *text* in the tab that is open."""
        client.type(text)
        client.wait(
            rf"> {re.escape(text.removeprefix('/'))}$"
        )  # what is typed too soon is taken for more of it

    def to(jid: str, text: str) -> None:
        """Say *text* in the tab of *jid*."""
        client.type(f"/message {jid}")
        client.wait(rf"^\[{jid}\]")
        say(text)

    def told(pattern: str) -> re.Match[str]:
        """What the proxy's own tab shows."""
        client.type(f"/message {PROXY}")
        return client.wait(pattern)

    to(contact.jid, "//e2e policy when require")
    told(rf"when is require for {contact.jid}\.")
    to(contact.jid, "hark")
    juliet.wait_text("hark")
    told(rf"First key of {contact.jid}: ")
    client.type(f"require {other}")
    client.wait(rf"Nothing leaves unencrypted to {other} from now on without your word")
    to(other, IN_CLEAR)
    client.wait("/e2e clear once")
    say("//e2e clear once")
    told(rf"The next message to {other} may leave unencrypted")
    to(other, IN_CLEAR)
    nurse.wait_text(IN_CLEAR)
    to(contact.jid, "//e2e fingerprints")
    key = told(FINGERPRINT).group(1)
    to(contact.jid, f"//e2e verify fingerprint {key[:16]}")
    told(r"is verified\s+now")
    assert key_of(stage, romeo, contact)["decision"] == "verified"
    client.type("log")
    client.wait(rf"\d\dZ: First key of {contact.jid}")
    nothing_left(stage, PROXY)  # poezio asks the account's own archive what was said with it


def test_poezio_has_a_menu_of_commands(stage: Stage, juliet: ScriptedClient, tmux: Tmux) -> None:
    romeo, contact = stage.accounts[0], juliet.account
    client = Poezio(tmux, romeo, stage.route)
    client.connect()
    client.command(f"ad-hoc {PROXY}")
    client.wait(r"^status +status: Shows")
    client.key("Enter")
    client.wait(r"^status +e2eproxy ")
    client.key("C-g")
    client.wait(r"^status +status: Shows")
    for _ in range(list(NODES).index("require")):
        client.key("Down")

    def opened() -> bool:
        """Press Enter; poezio takes keys that come in one go for pasted text, and does nothing."""
        client.key("Enter")
        with contextlib.suppress(BedError):
            return bool(client.wait(r"^require\n(?s:.*)^Contact", timeout=2))
        return False

    wait_until(opened, "the form of require")
    client.fill(contact.jid)
    client.key("C-y")
    client.wait(r"Nothing leaves unencrypted to")
    assert "needs your word" in stage.say("policy", contact.jid, "--account", romeo.jid)


# --- the command line --------------------------------------------------------------------------------------------


class Shell(Terminal):
    """A shell that knows ``e2eproxy``, for the daemon of *stage*; high enough for two keys' codes."""

    height = 90
    input_lines = 90  # a shell's line is where the output ends

    def __init__(self, tmux: Tmux, stage: Stage) -> None:
        """Start it."""
        home = tmux.directory / "shell"
        home.mkdir()
        program = shlex.join([sys.executable, "-m", "e2eproxy"])
        (home / "rc").write_text(
            f"PS1='$ '\ne2eproxy() {{ {program} \"$@\" --data {shlex.quote(str(stage.data))}; }}\n",
            encoding="utf-8",
        )
        environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
        super().__init__(
            tmux,
            "shell",
            ["bash", "--noprofile", "--rcfile", str(home / "rc")],
            home=home,
            environment=environment,
        )
        self.wait(r"^\$")

    def run(self, line: str, pattern: str) -> re.Match[str]:
        """Type *line* on an empty screen, wait for *pattern* and for the end of the command."""
        self.key("C-l")
        self.wait(r"\A\$\Z")
        self.type(line)
        found = self.wait(pattern)
        self.wait(r"^\$\Z")
        return found


def dark_squares(screen: str, side: int) -> list[list[bool]]:
    """Read the code of *side* squares off the screen; all around it four have to be light, as cameras need them."""
    below = screen.partition(" as a QR code:\n")[2].splitlines()[: side // 2 + 5]
    light = [[bool(HALVES[char][half]) for char in line] for line in below for half in (0, 1)]
    whole = side + 8
    quiet = [row[:whole] for row in (*light[:4], *light[side + 4 : whole])]
    assert all(row == [True] * whole for row in quiet)
    code = [row[:whole] for row in light[4 : side + 4]]
    assert all(row[:4] == row[side + 4 :] == [True] * 4 for row in code)
    return [[not one for one in row[4 : side + 4]] for row in code]


def test_at_the_command_line(
    stage: Stage, juliet: ScriptedClient, tmux: Tmux, recordings: Recordings
) -> None:
    romeo, contact = stage.accounts[0], juliet.account
    account = f"--account {romeo.jid}"
    replaced = {str(stage.data): "~/.local/share/e2eproxy"}
    shell = Shell(tmux, stage)

    def run(what: str, line: str, pattern: str) -> str:
        shell.run(line, pattern)
        screen = shell.screen().removesuffix("\n$")
        recordings.add("command line", what, screen, replaced)
        return screen

    with ScriptedClient(stage.route, romeo, "home", announces=[FEATURE]) as client:
        client.available()
        client.wait(lambda one: one.get("from") == juliet.jid, "Juliet's presence")
        client.write(contact.jid, "hark")
        juliet.wait_text("hark")
        run("Is all well?", "e2eproxy status", rf"{romeo.jid} .*prefer")
        run("Whom is anything known of?", f"e2eproxy peers {account}", contact.jid)
        run(
            "Encryption is required for one contact:",
            f"e2eproxy policy {contact.jid} when require {account}",
            "when is require for",
        )
        key = key_of(stage, romeo, contact)["fingerprint"]
        run("A word that is misspelt:", f"e2eproxy polcy {account}", "did you mean policy")
        shown = run(
            "Both keys, to be compared; the code is your own, for the other person's camera:",
            f"e2eproxy fingerprints {contact.jid} {account}",
            "QR code",
        )
        assert key in shown
        (own,) = json.loads(stage.say("keys", "--account", romeo.jid, json_wanted=True))["keys"]
        coded = f"{own['method']}:{own['fingerprint']}"
        assert f"{coded} as a QR code:" in shown
        made = segno.make(coded, micro=False).matrix
        assert dark_squares(shown, len(made)) == [list(map(bool, row)) for row in made]
        run(
            "They were the same:",
            f"e2eproxy verify {contact.jid} fingerprint {key[:16]} {account}",
            r"is verified\s+now",
        )
        assert key_of(stage, romeo, contact)["decision"] == "verified"
        run("What was told so far:", f"e2eproxy log {account}", "First key of")


def test_status_is_watched(stage: Stage, tmux: Tmux) -> None:
    """It changes by itself when a client logs in, and Ctrl-C ends it in good order."""
    romeo = stage.accounts[0]
    shell = Shell(tmux, stage)
    shell.type("e2eproxy status --watch")
    shell.wait(r"0 clients")
    with ScriptedClient(stage.route, romeo, "home", announces=[FEATURE]):
        shell.wait(rf"1 client\b(?s:.*){romeo.jid} +1 ")
    shell.wait(r"0 clients")
    shell.key("C-c")
    shell.wait(r"^\$\Z")
    assert "Traceback" not in shell.screen()
