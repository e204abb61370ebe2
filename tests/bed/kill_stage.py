"""A stage for killing the daemon of one of four people under traffic, and the account of what became of each text.

Romeo writes by way of a daemon that is killed. Juliet and Mercutio read by way of another; she can be encrypted to at once, of him
that has to be found out, for his client is slow to answer. The nurse has no encryption, and a rule of her own says so.
"""

from __future__ import annotations

import base64
import contextlib
import random
import re
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from attrs import define, field, frozen

from bed.polling import BedError, wait_until
from bed.reference import SESSION, ReferenceDaemon, Wiretap
from bed.route import direct, through
from bed.scripted_client import PROXY, ScriptedClient
from bed.servers import Prosody
from e2eproxy.testing.ratchet import Message
from e2eproxy.testing.session_method import FEATURE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from bed.certificates import Certificates
    from bed.child import Child

NAMES = ("romeo", "juliet", "mercutio", "nurse")
ENCRYPTED = ("juliet", "mercutio")
COMMIT = re.compile(r"^commit (\d+): (.*)$", re.MULTILINE)
CARRIED = re.compile(rb"\?E2EREF:([A-Za-z0-9+/]+={0,2})\.")
DOUBTFUL = "may not have arrived"
PLACEHOLDER = "could not be opened"
KILLED = -9


@define
class Written:
    """A text of Romeo's: to whom, under which id; *certain*: he has seen the answer to a later IQ."""

    to: str
    number: str
    text: str
    certain: bool = False


@define
class Play:
    """What is written in one round, before and after the kill."""

    number: int
    written: list[Written] = field(factory=list)
    pings: list[tuple[str, int]] = field(factory=list)
    back: list[str] = field(factory=list)
    answered: set[str] = field(factory=set)
    notices: list[str] = field(factory=list)
    errors: Counter[str] = field(factory=Counter)
    shown: Counter[str] = field(factory=Counter)
    commits: list[str] = field(factory=list)
    killed: bool = False
    resent: int = 0
    trouble: str = ""

    def hear(self, client: ScriptedClient) -> None:
        """Take note of what *client* was shown at last."""
        self.answered |= client.answered()
        self.notices += client.notices()
        self.errors.update(client.errors().keys())
        self.shown.update(text for text in client.texts() if text in set(self.back))
        for ping, before in self.pings:
            if ping in self.answered:
                for one in self.written[:before]:
                    one.certain = True


@frozen
class Fate:
    """What became of the texts of one round; what must not be is in ``faults``."""

    kill: str
    about: str
    written: int
    certain: int
    arrived: int
    errors: int
    reported: int
    gone: int
    unread: int
    resent: int
    seconds: float
    faults: tuple[str, ...]

    HEAD = (
        f"{'kill':>10} {'written':>7} {'certain':>7} {'arrived':>7} {'errors':>6} {'reported':>8} "
        f"{'gone':>4} {'unread':>6} {'resent':>6} {'s':>5}  about"
    )

    def __str__(self) -> str:
        """A row of the table."""
        return (
            f"{self.kill:>10} {self.written:>7} {self.certain:>7} {self.arrived:>7} {self.errors:>6} "
            f"{self.reported:>8} {self.gone:>4} {self.unread:>6} {self.resent:>6} {self.seconds:>5.1f}  {self.about}"
            + "".join(f"\n{'':>10} FAULT: {fault}" for fault in self.faults)
        )


class Stage:
    """Server, readers and their daemon, for any number of rounds; each round has a new daemon of Romeo's."""

    def __init__(self, certificates: Certificates, directory: Path, seed: int) -> None:
        """Nothing runs before ``__enter__``; all chance comes from *seed*."""
        self._certificates = certificates
        self._directory = directory
        self._seed = seed
        self._rounds = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the server, let the readers log in."""
        with self._stack as stack:
            self.server = stack.enter_context(Prosody(self._certificates, profile="plain", mam=False))
            self.people = {name: self.server.account(name) for name in NAMES}
            for name in NAMES[1:]:
                self.server.befriend(self.people["romeo"], self.people[name])
            # Romeo has new keys in each round, which for his readers would be a reason to ask.
            self.theirs = stack.enter_context(
                ReferenceDaemon(
                    self._certificates,
                    self.server.port,
                    options=["--trust", "blind"],
                    directory=self._folder("theirs"),
                )
            )
            self.readers = {}
            for name in NAMES[1:]:
                ours = name in ENCRYPTED
                route = through(self.theirs, self.server) if ours else direct(self.server, "none")
                client = ScriptedClient(
                    route, self.people[name], "there", announces=[FEATURE] if ours else []
                )
                self.readers[name] = stack.enter_context(client)
                client.available()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all of it."""
        self._stack.__exit__(kind, error, trace)

    def _folder(self, name: str) -> Path:
        folder = self._directory / name
        folder.mkdir()
        return folder

    # One round.

    def round(self, kill: str) -> Fate:
        """Let Romeo's daemon kill itself at the point *kill* (``0``: nowhere), start it again, and see what became of it all."""
        began = time.monotonic()
        self._rounds += 1
        play = Play(self._rounds)
        chance = random.Random(f"{self._seed}/{kill}")
        folder = self._folder(f"round{play.number}")
        before = {name: len(client.messages()) for name, client in self.readers.items()}
        with Wiretap(self.server.port) as tap:
            self._first_life(
                play, ReferenceDaemon(self._certificates, tap.port, kill=kill, directory=folder), chance
            )
            with ReferenceDaemon(self._certificates, tap.port, kill="0", directory=folder) as daemon:
                self._second_life(play, daemon)
            said = tap.said(up=True)
        return self._fate(play, kill, said, before, time.monotonic() - began)

    def commits(self, play: Play, daemon: ReferenceDaemon) -> None:
        """Read from the log of *daemon*, which has ended, what was committed, and how it ended."""
        child = daemon.child
        assert child is not None
        play.commits = [about for _, about in COMMIT.findall(child.text())]

    def _first_life(self, play: Play, daemon: ReferenceDaemon, chance: random.Random) -> None:
        try:
            daemon.start()
            self._write(play, daemon, chance)
        except (BedError, OSError):
            if daemon.child is None or not _dies(daemon.child):
                raise
        finally:
            child = daemon.child
            if child is not None:
                self.commits(play, daemon)
                play.killed = child.terminate() == KILLED

    def _write(self, play: Play, daemon: ReferenceDaemon, chance: random.Random) -> None:
        with _Leaving(
            ScriptedClient(
                through(daemon, self.server), self.people["romeo"], f"r{play.number}", announces=[FEATURE]
            )
        ) as romeo:
            self.readers["mercutio"].keep_silent()
            try:
                romeo.available()
                romeo.write(self.people["nurse"].jid, "/e2e set when never", number="rule")
                self._alive(romeo, lambda: any("never" in one for one in romeo.notices()), "the nurse's rule")
                order = ["juliet"] * 9 + ["mercutio"] * 4 + ["nurse"] * 3 + ["back"] * 3
                chance.shuffle(order)
                slow = chance.randrange(6, 12)
                for count, to in enumerate(order):
                    if count == slow:
                        self.readers["mercutio"].answer()
                    self._one(play, romeo, to)
                    if count % 3 == 2:
                        self._ping(play, romeo, wait=chance.random() < 0.5)
                self._ping(play, romeo, wait=True)
                self._alive(romeo, lambda: self._all_there(play), "all texts to arrive")
                # What the server acknowledges is stored as well, after a silence.
                self._alive(romeo, lambda: _quiet(daemon), "the store to come to rest")
            finally:
                self.readers["mercutio"].answer()
                play.hear(romeo)

    def _one(self, play: Play, romeo: ScriptedClient, to: str) -> None:
        count = len(play.written) + len(play.back)
        text = f"[{play.number}.{count}] {to}, how now"
        if to == "back":
            if not any(self._there(one) for one in play.written if one.to == "juliet"):
                return
            play.back.append(text)
            self.readers["juliet"].write(romeo.jid, text)
            return
        number = f"t{play.number}-{count}"
        play.written.append(Written(to, number, text))
        romeo.write(self.people[to].jid, text, number=number)

    def _ping(self, play: Play, romeo: ScriptedClient, *, wait: bool) -> None:
        before = len(play.written)
        ping = romeo.ping()
        play.pings.append((ping, before))
        if wait:
            self._alive(romeo, lambda: ping in romeo.answered(), "an answer")

    def _alive(self, romeo: ScriptedClient, wanted: object, what: str) -> None:
        """Wait for *wanted*, or for the end of the connection, which raises."""
        wait_until(lambda: romeo.ended.is_set() or wanted(), what, timeout=20, instead=romeo.shown)
        if romeo.ended.is_set():
            raise BedError(f"the connection ended before {what}")

    def _there(self, one: Written) -> int:
        return self.readers[one.to].texts().count(one.text)

    def _all_there(self, play: Play) -> bool:
        return all(map(self._there, play.written))

    # After the kill.

    def _second_life(self, play: Play, daemon: ReferenceDaemon) -> None:
        romeo = ScriptedClient(
            through(daemon, self.server), self.people["romeo"], f"r{play.number}", announces=[FEATURE]
        )
        with _Leaving(romeo):
            romeo.available()
            with contextlib.suppress(BedError):  # told in the round's faults
                wait_until(lambda: not self._unaccounted(play, romeo), "an account of all", timeout=8)
            self._send_again(play, romeo)
            romeo.write(self.people["nurse"].jid, "/e2e set when never", number="rule")
            self._alive(
                romeo, lambda: any("when is never" in one for one in romeo.notices()), "the nurse's rule"
            )
            last = [
                Written(name, f"last{play.number}-{name}", f"[{play.number}] {name}, farewell", certain=True)
                for name in NAMES[1:]
            ]
            play.written += last
            for one in last:
                romeo.write(self.people[one.to].jid, one.text, number=one.number)
            try:
                wait_until(lambda: all(map(self._there, last)), "the last words", timeout=20)
            except BedError:
                play.trouble = "\n".join(one.shown() for one in (romeo, *self.readers.values()))
            play.hear(romeo)

    def _unaccounted(self, play: Play, romeo: ScriptedClient) -> list[Written]:
        errors, notices = play.errors.keys() | romeo.errors().keys(), play.notices + romeo.notices()
        return [
            one
            for one in play.written
            if one.certain
            and not self._there(one)
            and one.number not in errors
            and not any(one.text in notice for notice in notices)
        ]

    def _send_again(self, play: Play, romeo: ScriptedClient) -> None:
        """As a client does that has reconnected: what may not have arrived, under the same id."""
        doubtful = [notice for notice in romeo.notices() if DOUBTFUL in notice]
        again = [
            one
            for one in play.written
            if one.to in ENCRYPTED and any(one.text in notice for notice in doubtful)
        ]
        for one in again:
            romeo.write(self.people[one.to].jid, one.text, number=one.number)
        play.resent = len(again)

    # What became of it.

    def _fate(self, play: Play, kill: str, said: bytes, before: dict[str, int], seconds: float) -> Fate:
        reported = [one for one in play.written if any(one.text in notice for notice in play.notices)]
        faults = []
        gone = 0
        for one in play.written:
            there = self._there(one)
            if there > 1:
                faults.append(f"{one.text!r} was shown {there} times")
            if not there and one.number not in play.errors and one not in reported:
                gone += 1
                if one.certain:
                    faults.append(f"{one.text!r} is gone, although a later request was answered")
        faults += [
            f"{text!r} was shown to Romeo {count} times" for text, count in play.shown.items() if count > 1
        ]
        faults += [
            f"the error for {number} came {count} times" for number, count in play.errors.items() if count > 1
        ]
        faults += [f"it does not go on:\n{play.trouble}"] if play.trouble else []
        faults += reused(said)
        for text in [one.text for one in play.written if one.to in ENCRYPTED]:
            if text.encode() in said:
                faults.append(f"the server saw {text!r}")
        number = int(kill.partition(":")[0])
        if number and not play.killed:
            kill = f"({kill})"
        return Fate(
            kill=kill,
            about=play.commits[number - 1]
            if 0 < number <= len(play.commits)
            else f"{len(play.commits)} commits",
            written=len(play.written),
            certain=sum(one.certain for one in play.written),
            arrived=sum(self._there(one) > 0 for one in play.written),
            errors=len(play.errors),
            reported=len(reported),
            gone=gone,
            unread=sum(
                PLACEHOLDER in text
                for name in ENCRYPTED
                for text in self.readers[name].texts()
                if name in before
            ),
            resent=play.resent,
            seconds=seconds,
            faults=tuple(faults),
        )


def reused(said: bytes) -> list[str]:
    """Faults: keys of data messages in *said* that protect more than one thing.

    A message key belongs to (session, sender's ratchet key, number); a session's keys come from its ephemeral keys, so one hello or
    reply with two continuations would be as bad, and shows as the same tag with the same ratchet key.
    """
    found: dict[tuple[bytes, int], set[bytes]] = {}
    for one in CARRIED.findall(said):
        message = base64.b64decode(one)
        if message[:1] in b"dx":
            data = Message.from_bytes(message[1:])
            found.setdefault((data.key, data.number), set()).add(message)
    return [
        f"the key of message {number} of {key.hex()[:8]} was used {len(messages)} times"
        for (key, number), messages in found.items()
        if len(messages) > 1
    ]


def _dies(child: Child) -> bool:
    """Whether *child* is dead, or will be in a moment: its sockets are closed before its parent hears of it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(5)
    return not child.running()


def _quiet(daemon: ReferenceDaemon, seconds: float = 3.0) -> bool:
    """Whether nothing was committed for so long; looked at from the log's own age."""
    assert daemon.child is not None
    return time.time() - daemon.child.log.stat().st_mtime > seconds


class _Leaving:
    """Lets a client go in good order if its daemon is there, and in any case."""

    def __init__(self, client: ScriptedClient) -> None:
        self._client = client

    def __enter__(self) -> ScriptedClient:
        return self._client

    def __exit__(self, *_: object) -> None:
        if self._client.ended.is_set():
            self._client.vanish()
        else:
            self._client.close()


__all__ = ["PROXY", "SESSION", "Fate", "Stage"]
