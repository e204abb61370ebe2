"""``kill -9`` of the real daemon at its persistence points, under traffic on a real server (laws 4 and 5).

Nothing is doubled, no key is used twice, and every text for which the client has seen the answer to a later IQ arrives, comes
back as an error, or is reported at the next login. The usual run takes a tenth of all points, with a seed that is printed;
with E2EPROXY_LONG it takes them all. ``E2EPROXY_TEST_SEED`` repeats a run.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from bed.kill_play import DOUBTFUL, ENCRYPTED, Fate, Written, reused
from bed.kill_stage import NEVER, Stage
from bed.polling import wait_until
from bed.reference import ReferenceDaemon, Wiretap
from bed.reference_daemon import POINTS
from bed.scripted_client import BODY

from e2eproxy.testing import ratchet
from e2eproxy.testing.fields import public_of
from e2eproxy.testing.handshake import carried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bed.certificates import Certificates
    from bed.scripted_client import ScriptedClient
    from bed.shared import SharedBed

LONG = bool(os.environ.get("E2EPROXY_LONG"))
LEAST = 6
END = b"</stream:stream>"
RECOVERY = 8  # commits of a daemon that deals with what the one before it left


@pytest.fixture(scope="module")
def seed() -> int:
    """Where all chance of a run comes from."""
    return int(os.environ.get("E2EPROXY_TEST_SEED") or random.SystemRandom().randrange(10**6))


@pytest.fixture(scope="module")
def stage(
    certificates: Certificates, bed: SharedBed, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> Iterator[Stage]:
    """Server and readers, for all tests."""
    if bed.through == "direct":
        pytest.skip("without a daemon there is nothing to kill")
    with Stage(certificates, tmp_path_factory.mktemp("stage"), seed) as stage:
        yield stage


def told(tell: Callable[[str], None], what: str, fates: Iterable[Fate]) -> list[str]:
    """Print each row as it comes; return all faults with their rows."""
    faults = []
    tell(f"\n{what}\n{Fate.HEAD}")
    for fate in fates:
        tell(str(fate))
        faults += [f"{fate.kill}: {fault}" for fault in fate.faults]
    return faults


def test_killed_under_traffic(stage: Stage, seed: int, tell: Callable[[str], None]) -> None:
    def fates() -> Iterator[Fate]:
        fate, play = stage.round(NEVER)
        yield fate
        most = len(play.lives[0])
        every = [f"{number}:{point}" for number in range(1, most + 1) for point in POINTS]
        few = max(LEAST, len(every) // 10)
        for kill in every if LONG else random.Random(seed).sample(every, few):
            fate, _ = stage.round(kill)
            kills.append(not fate.kill.startswith("("))
            yield fate

    kills: list[bool] = []
    assert told(tell, f"killed under traffic, seed {seed}", fates()) == []
    # The number of commits differs a little from run to run, so the last ones are not always reached.
    assert sum(kills) > len(kills) * 2 / 3


def test_killed_while_it_deals_with_what_was_left(
    stage: Stage, seed: int, tell: Callable[[str], None]
) -> None:
    chance = random.Random(seed)
    every = [f"{number}:{point}" for number in range(1, RECOVERY + 1) for point in POINTS]

    def fates() -> Iterator[Fate]:
        for kill in every if LONG else chance.sample(every, 2):
            fate, _ = stage.round(f"{chance.randrange(12, 22)}:left", kill)
            yield fate

    assert told(tell, f"killed under traffic and again, seed {seed}", fates()) == []


@pytest.mark.parametrize(
    ("kills", "fault"),
    [
        # Not killed at all: what it began with next time was old.
        (["999:left:ratchet"], "was used 2 times"),
        # Not every round has traffic that tells; one of a few has.
        ([f"{number}:left:notes" for number in range(10, 15)], "is gone"),
    ],
)
def test_a_store_that_forgets_is_found_out(
    stage: Stage, tell: Callable[[str], None], kills: list[str], fault: str
) -> None:
    """Two broken twins: what is said to be durable is not."""
    for kill in kills:
        fate, _ = stage.round(kill, patience=1)
        if any(fault in one for one in told(tell, "a broken twin", [fate])):
            return
    pytest.fail(f"no round showed that something {fault}")


def test_a_key_that_is_used_twice_is_found_out() -> None:
    state = ratchet.initiator(b"t" * 16, b"s" * 32, b"o" * 32, public_of(b"p" * 32))
    after, first = ratchet.seal(state, b"one", lambda _: b"e" * 32)
    _, second = ratchet.seal(after, b"two", os.urandom)
    _, again = ratchet.seal(after, b"too", os.urandom)
    bodies = [carried(b"d" + message.to_bytes()).encode() for message in (first, second, again)]
    assert reused(b"<body>".join((bodies[0], bodies[1], bodies[0]))) == []
    assert len(reused(b"<body>".join(bodies))) == 1


# The connection to the server breaks.


@pytest.fixture(params=["up", "down"])
def lost(request: pytest.FixtureRequest) -> str:
    """What is lost with the connection: what was sent (``up``), or the server's word that it has it (``down``)."""
    return request.param


@pytest.fixture(scope="module")
def alone(stage: Stage, certificates: Certificates) -> Iterator[tuple[Wiretap, ReferenceDaemon]]:
    """A daemon of Romeo's that is not killed, and the way to his server."""
    with (
        Wiretap(stage.server.port) as tap,
        ReferenceDaemon(certificates, tap.port, directory=stage.folder("alone")) as daemon,
    ):
        yield tap, daemon


def unacknowledged(stage: Stage, romeo: ScriptedClient, tap: Wiretap, lost: str) -> list[Written]:
    """Two texts that have left, one to each reader in a session; the server's word on them is never heard."""
    for name in ENCRYPTED:
        romeo.write(stage.people[name].jid, f"{romeo.jid} begins")
        stage.readers[name].wait_text(f"{romeo.jid} begins")
    wait_until(tap.acknowledged, "the server to acknowledge what was sent so far")
    before = len(tap.said(up=True))
    tap.hold(up=lost == "up")
    texts = [
        Written(name, f"{romeo.jid}-{lost}-{name}", f"{romeo.jid} {name} & so {lost}") for name in ENCRYPTED
    ]
    for one in texts:
        romeo.write(stage.people[one.to].jid, one.text, number=one.number)
    wait_until(lambda: tap.said(up=True)[before:].count(b"?E2EREF:") == len(texts), "the texts to leave")
    if lost == "down":
        wait_until(lambda: all(map(stage.there, texts)), "the texts to arrive")
    return texts


def test_the_connection_breaks_and_the_client_is_there(
    stage: Stage, alone: tuple[Wiretap, ReferenceDaemon], lost: str
) -> None:
    tap, daemon = alone
    resource = f"present-{lost}"
    with stage.romeo(daemon, resource) as romeo:
        texts = unacknowledged(stage, romeo, tap, lost)
        tap.cut()
        romeo.ended.wait(20)
        errors = romeo.errors()
    assert {one.number: one.text for one in texts} == {
        number: error.findtext(BODY) for number, error in errors.items()
    }
    assert [stage.there(one) for one in texts] == [lost == "down"] * len(texts)
    with stage.romeo(daemon, resource) as romeo:
        # What came back is not reported on top. What is sent again as it was is not shown again.
        for one in texts:
            romeo.write(stage.people[one.to].jid, one.text, number=one.number)
        last = [Written(name, "", f"{romeo.jid} {lost} ends") for name in ENCRYPTED]
        for one in last:
            romeo.write(stage.people[one.to].jid, one.text)
        wait_until(lambda: all(map(stage.there, last)), "the last words", instead=romeo.shown)
        assert not any(DOUBTFUL in notice for notice in romeo.notices())
    assert [stage.there(one) for one in texts] == [1] * len(texts)
    assert reused(tap.said(up=True)) == []


def test_the_connection_breaks_when_the_client_has_gone(
    stage: Stage, alone: tuple[Wiretap, ReferenceDaemon], lost: str
) -> None:
    tap, daemon = alone
    resource = f"gone-{lost}"
    with stage.romeo(daemon, resource) as romeo:
        texts = unacknowledged(stage, romeo, tap, lost)
        before = len(tap.said(up=True))
        romeo.vanish()
        wait_until(lambda: END in tap.said(up=True)[before:], "the daemon to take leave of the server")
        tap.cut()
    for _ in "12":  # a report is told until the client goes on, and then no more
        with stage.romeo(daemon, resource) as romeo:
            wait_until(
                lambda romeo=romeo: all(any(one.text in told for told in romeo.notices()) for one in texts),
                "the reports",
                instead=romeo.shown,
            )
    assert not romeo.errors()
    with stage.romeo(daemon, resource) as romeo:
        wait_until(lambda romeo=romeo: len(romeo.notices()) >= len(texts), "the reports", instead=romeo.shown)
        ping = romeo.ping()
        wait_until(lambda: ping in romeo.answered(), "an answer")
    with stage.romeo(daemon, resource) as romeo:
        ping = romeo.ping()
        wait_until(lambda: ping in romeo.answered(), "an answer")
        romeo.write(stage.people["juliet"].jid, "/e2e keys")
        wait_until(lambda: any(told.startswith("Keys of") for told in romeo.notices()), "the proxy's answer")
        assert not any(DOUBTFUL in told for told in romeo.notices())
    assert [stage.there(one) for one in texts] == [lost == "down"] * len(texts)
