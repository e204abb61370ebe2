"""OTR between a client that has none, behind the daemon, and people who have always had it: mcabber and profanity with libotr.

The other side is never behind the daemon: what it shows is what libotr made of it. What the daemon sends to the server is recorded.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from bed.clients.mcabber import Mcabber
from bed.clients.otr import OtrMcabber, OtrProfanity
from bed.clients.profanity import Profanity
from bed.daemon import Daemon
from bed.polling import wait_until
from bed.raw_client import CLIENT
from bed.reference import Wiretap
from bed.route import direct, through
from bed.scripted_client import BODY, PROXY, ScriptedClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bed.route import Route
    from bed.servers import Account, Server
    from bed.shared import SharedBed
    from bed.terminal import Tmux

    Other = OtrMcabber | OtrProfanity

ROSTER = "jabber:iq:roster"
OURS = "wherefore art thou <Romeo> & co?"
THEIRS = "my only <love> & more \N{SMILING FACE WITH SMILING EYES}"
SECRET = "rosebush"
OWN_KEY = re.compile(r"otr:([0-9A-F ]{44}): is accepted")


@frozen
class Play:
    """A server, a daemon whose words to it are recorded, Romeo's client behind it, and where Juliet's goes."""

    server: Server
    tap: Wiretap
    daemon: Daemon
    romeo: ScriptedClient
    accounts: tuple[Account, Account]

    @property
    def juliet(self) -> Account:
        """Whom he writes to."""
        return self.accounts[1]

    @property
    def route(self) -> Route:
        """Her client's way, past the daemon."""
        return direct(self.server, "none")

    def told(self, text: str, count: int = 1) -> None:
        """Wait until Romeo was told *text* *count* times."""
        told_so = f"{self.juliet.jid}: "
        wait_until(
            lambda: sum(text in one and one.startswith(told_so) for one in self.romeo.notices()) >= count,
            f"the notice {text!r}",
            timeout=30,
            instead=self.romeo.shown,
        )

    def say(self, text: str) -> str:
        """Romeo writes to Juliet."""
        return self.romeo.write(self.juliet.jid, text)

    def error(self, number: str) -> None:
        """Wait until what he wrote has come back."""
        self.romeo.wait(lambda one: one.get("type") == "error" and one.get("id") == number, "the refusal")

    def sees(self, other: str) -> None:
        """Wait until Romeo sees the presence of one of Juliet's clients."""
        self.romeo.wait(
            lambda one: (
                one.tag == f"{CLIENT}presence"
                and (one.get("from") or "").startswith(f"{self.juliet.jid}/{other}")
                and one.get("type") is None
            ),
            f"the presence of {other}",
        )

    def hidden(self, *texts: str) -> None:
        """None of *texts* was said to the server."""
        said = self.tap.said(up=True)
        for text in texts:
            for part in re.split("[<>&]", text):  # which are written otherwise in XML
                assert len(part.strip()) < 5 or part.strip().encode() not in said, part


@pytest.fixture
def play(bed: SharedBed, server_kind: str, options: tuple[str, ...], tmp_path: Path) -> Iterator[Play]:
    """Romeo is online."""
    if bed.through == "direct":
        pytest.skip("without a daemon he has no OTR")
    server = bed.server(server_kind, "local")
    accounts = server.pair_of()
    with ExitStack() as stack:
        tap = stack.enter_context(Wiretap(server.port))
        daemon = stack.enter_context(
            Daemon(server.certificates, tap.port, "none", options=options, directory=tmp_path / "daemon")
        )
        romeo = stack.enter_context(ScriptedClient(through(daemon, server), accounts[0], "home"))
        ready(romeo)
        yield Play(server, tap, daemon, romeo, accounts)


def ready(client: ScriptedClient) -> None:
    """Ask for the roster, as clients do, and come online."""
    client.say(f"<iq type='get' id='roster'><query xmlns='{ROSTER}'/></iq>")
    wait_until(lambda: "roster" in client.answered(), "the roster", instead=client.shown)
    client.available()


PEOPLE = {
    "mcabber, version 3": (OtrMcabber, 3, ()),
    "mcabber, version 2": (OtrMcabber, 2, ("--otr-versions", "2")),
    "profanity, version 2": (OtrProfanity, 2, ()),
}


@pytest.fixture(params=PEOPLE)
def who(request: pytest.FixtureRequest) -> str:
    """Each of the clients that Juliet may have."""
    return request.param


@pytest.fixture
def options(who: str) -> tuple[str, ...]:
    """What the daemon is told so that her client's version is used."""
    return PEOPLE[who][2]


@pytest.mark.otr_matrix
@pytest.mark.parametrize("start", ["they start", "we start", "they tag", "we tag"])
def test_a_conversation(play: Play, who: str, start: str, tmux: Tmux) -> None:
    make, version, _ = PEOPLE[who]
    policy = "opportunistic" if start.endswith("tag") else "manual"
    other = make(tmux, play.juliet, play.route, policy=policy)
    other.connect()
    play.sees(make.client)
    begun(play, other, start)
    play.told(f"is encrypted (OTR version {version}), with the key {other.fingerprint}.")
    talked(play, other)
    keys_agree(play, other)
    compared(play, other)
    ended(play, other)


def begun(play: Play, other: Other, start: str) -> None:
    """Somebody starts the session."""
    romeo = play.accounts[0]
    if start == "they start":
        other.begin(romeo)
    elif start == "we start":
        play.say("/e2e start")
    elif start == "they tag":
        other.say(romeo, "good morrow")
        play.romeo.wait_text("good morrow")
    else:
        play.say("good morrow")
        other.expect(romeo, "good morrow")


def talked(play: Play, other: Other) -> None:
    """One text each way, and once more each, so that keys turn."""
    romeo = play.accounts[0]
    play.say(OURS)
    other.expect_private(romeo, OURS)
    other.say_private(romeo, THEIRS)
    play.romeo.wait_text(THEIRS)
    play.say("and once more")
    other.expect_private(romeo, "and once more")
    other.say_private(romeo, "and again")
    play.romeo.wait_text("and again")
    play.hidden(OURS, "and once more")


def keys_agree(play: Play, other: Other) -> None:
    """Both sides are shown the same two fingerprints."""
    play.say("/e2e fingerprints")
    play.romeo.wait(lambda one: "Yours (" in (one.findtext(BODY) or ""), "the fingerprints")
    (shown,) = [one for one in play.romeo.notices() if one.startswith("Yours (")]
    assert f"otr:{other.fingerprint}: is tofu" in shown
    own = OWN_KEY.search(shown)
    assert own is not None
    other.knows(play.accounts[0], own.group(1))


def compared(play: Play, other: Other) -> None:
    """The same secret is the same on both sides, whoever asks."""
    romeo = play.accounts[0]
    play.say(f"/e2e verify secret {SECRET}")
    other.answer(romeo, SECRET)
    play.told("The secrets are the same.")
    other.compared(romeo, same=True)
    play.hidden(SECRET)


def ended(play: Play, other: Other) -> None:
    """We end; they start again, are not who they should be, and end."""
    romeo = play.accounts[0]
    play.say("/e2e end")
    other.wait_end(romeo)
    other.begin(romeo)
    play.told("is encrypted (OTR version", 2)
    play.say("here again")
    other.expect_private(romeo, "here again")
    other.ask(romeo, SECRET)
    play.told("The contact wants to compare a secret with you.")
    play.say("/e2e verify answer thorn")
    play.told("The secrets are not the same")
    other.compared(romeo, same=False)
    other.end(romeo)
    play.told("The contact ended the encrypted session.")
    play.error(play.say("nobody hears"))
    play.hidden("here again", "nobody hears", "thorn")


# --- what is special --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("--otr-fragment-bytes", "300")])
@pytest.mark.parametrize("make", [OtrMcabber, OtrProfanity])
def test_parts(play: Play, make: type[Other], tmux: Tmux) -> None:
    romeo = play.accounts[0]
    other = make(tmux, play.juliet, play.route)
    other.connect()
    play.sees(make.client)
    other.begin(romeo)
    other.wait_session(romeo)
    play.told("is encrypted")
    play.say("x" * 900 + " and the end")
    other.wait("and the end$")
    other.say_private(romeo, THEIRS)
    play.romeo.wait_text(THEIRS)
    form = rb"<body[^>]*>(\?OTR\|[0-9a-f|]+,|\?OTR,)(\d+),(\d+),"
    parts = re.findall(form, play.tap.said(up=True))
    assert max(int(count) for _, _, count in parts) >= 5
    assert {start.startswith(b"?OTR|") for start, _, _ in parts} == {make is OtrMcabber}
    play.hidden("and the end")


@pytest.mark.parametrize("options", [("--otr-versions", "2"), ("--otr-versions", "3")], ids=["2", "3"])
def test_the_daemon_dies_in_the_middle(play: Play, tmux: Tmux) -> None:
    """The other side is told that it was not read, a new session is made, and libotr sends its text again."""
    romeo = play.accounts[0]
    other = OtrMcabber(tmux, play.juliet, play.route)
    other.connect()
    play.sees("mcabber")
    other.begin(romeo)
    play.told("is encrypted")
    play.say(OURS)
    other.expect_private(romeo, OURS)
    assert play.daemon.child is not None
    play.daemon.child.kill()
    play.romeo.vanish()
    play.daemon.start()
    with ScriptedClient(through(play.daemon, play.server), romeo, "home") as again:
        ready(again)
        again.wait(lambda one: (one.get("from") or "").startswith(f"{play.juliet.jid}/"), "her presence")
        other.say_private(romeo, THEIRS)
        again.wait(lambda one: "could not be opened" in (one.findtext(BODY) or ""), "the placeholder")
        again.wait(lambda one: "is encrypted" in (one.findtext(BODY) or ""), "the new session")
        again.write(play.juliet.jid, "back again")
        other.expect_private(romeo, "back again")
        other.say_private(romeo, "and so am I")
        again.wait_text("and so am I")
    play.hidden(OURS, "back again")


@pytest.mark.parametrize("options", [()])
def test_she_has_two_clients(play: Play, tmux: Tmux) -> None:
    romeo = play.accounts[0]
    desk, phone = (OtrMcabber(tmux, play.juliet, play.route, resource=one) for one in ("desk", "phone"))
    for count, one in enumerate((desk, phone), 1):
        one.connect()
        one.begin(romeo)
        play.told("is encrypted", count)
        one.say_private(romeo, f"from {count}")
        play.romeo.wait_text(f"from {count}")
    play.say("to the phone")
    phone.expect_private(romeo, "to the phone")
    play.told("sessions with 2 clients of the contact; what you write goes to phone")
    desk.say_private(romeo, "at the desk")
    play.romeo.wait_text("at the desk")
    play.say("to the desk")
    desk.expect_private(romeo, "to the desk")
    play.told("goes to desk")
    play.hidden("to the phone", "to the desk")


@pytest.mark.parametrize("options", [()])
def test_he_has_two_clients(play: Play, tmux: Tmux) -> None:
    """Each has an instance tag of its own, and a session of its own."""
    romeo = play.accounts[0]
    with ScriptedClient(through(play.daemon, play.server), romeo, "work") as work:
        ready(work)
        other = OtrMcabber(tmux, play.juliet, play.route)
        other.connect()
        play.sees("mcabber")
        play.say("/e2e start")
        play.told("is encrypted")
        play.say("from home")
        other.expect_private(romeo, "from home")
        work.write(play.juliet.jid, "/e2e start")
        work.wait(lambda one: "is encrypted" in (one.findtext(BODY) or ""), "the other session")
        work.write(play.juliet.jid, "from work")
        other.expect_private(romeo, "from work")
        play.say("from home again")
        other.expect_private(romeo, "from home again")
        assert play.romeo.errors() == work.errors() == {}
    play.hidden("from home", "from work")


# --- nobody has OTR -------------------------------------------------------------------------------------------------


def test_two_clients_without_otr_each_behind_a_daemon(bed: SharedBed, server_kind: str, tmux: Tmux) -> None:
    if bed.through == "direct":
        pytest.skip("without a daemon nobody has OTR")
    server = bed.server(server_kind, "local")
    romeo, juliet = server.pair_of()
    with ExitStack() as stack:
        taps = [stack.enter_context(Wiretap(server.port)) for _ in range(2)]
        ways = [
            through(stack.enter_context(Daemon(server.certificates, tap.port, "none")), server)
            for tap in taps
        ]
        one, other = Profanity(tmux, romeo, ways[0]), Mcabber(tmux, juliet, ways[1])
        one.connect()
        other.connect()
        one.say(juliet, "good morrow")
        other.expect(romeo, "good morrow")
        one.type(f"/msg {PROXY}")
        one.wait(rf"{juliet.jid}: From now on what you write to mcabber\S* is\s+encrypted \(OTR version 3\)")
        one.say(juliet, OURS)
        other.expect(romeo, OURS)
        other.say(romeo, "my only love")
        one.expect(juliet, "my only love")
        said = b"".join(tap.said(up=True) for tap in taps)
        assert b"good morrow" in said, "the tap sees what leaves"
        assert b"wherefore" not in said
        assert b"only love" not in said
