"""A stage for killing the daemon of one of four people under traffic.

Romeo writes by way of a daemon that is killed. Juliet and Mercutio read by way of another; she can be encrypted to at once, of him
that has to be found out, for his client is slow to answer. The nurse has no encryption, and a rule of her own says so.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from bed.kill_play import DOUBTFUL, ENCRYPTED, PLACEHOLDER, Fate, Play, Written, faults_of, is_gone
from bed.polling import BedError, wait_until
from bed.reference import ReferenceDaemon, Wiretap
from bed.route import direct, through
from bed.scripted_client import ScriptedClient
from bed.servers import Prosody
from e2eproxy.testing.session_method import FEATURE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from bed.certificates import Certificates
    from bed.child import Child

NAMES = ("romeo", "juliet", "mercutio", "nurse")
COMMIT = re.compile(r"^commit (\d+): (.*)$", re.MULTILINE)
KILLED = -9
NEVER = "0"
QUIET = 2.6  # seconds; the daemon asks the server what it has 2 s after the last stanza


class Stage:
    """Server, readers and their daemon, for any number of rounds; each round has a new daemon of Romeo's."""

    def __init__(self, certificates: Certificates, directory: Path, seed: int) -> None:
        """Nothing runs before ``__enter__``; all chance comes from *seed*."""
        self._certificates = certificates
        self._directory = directory
        self._seed = seed
        self._rounds = 0
        self._patience = 0.0
        self._stack = ExitStack()
        self.readers: dict[str, ScriptedClient] = {}

    def __enter__(self) -> Self:
        """Start the server, let the readers log in."""
        with self._stack as stack:
            self.server = stack.enter_context(Prosody(self._certificates, profile="plain", mam=False))
            self.people = {name: self.server.account(name) for name in NAMES}
            for name in NAMES[1:]:
                self.server.befriend(self.people["romeo"], self.people[name])
            # Romeo has new keys in each round, which for his readers would be a reason to ask.
            blind = ["--trust", "blind"]
            self._theirs = stack.enter_context(
                ReferenceDaemon(
                    self._certificates, self.server.port, options=blind, directory=self.folder("theirs")
                )
            )
            for name in NAMES[1:]:
                self.readers[name] = stack.enter_context(self._reader(name))
                self.readers[name].available()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all of it."""
        self._stack.__exit__(kind, error, trace)

    def _reader(self, name: str) -> ScriptedClient:
        if name in ENCRYPTED:
            route = through(self._theirs, self.server)
            return ScriptedClient(route, self.people[name], "there", announces=[FEATURE])
        return ScriptedClient(direct(self.server, "none"), self.people[name], "there")

    def folder(self, name: str) -> Path:
        """A new directory."""
        folder = self._directory / name
        folder.mkdir()
        return folder

    @contextmanager
    def romeo(self, daemon: ReferenceDaemon, resource: str) -> Iterator[ScriptedClient]:
        """Romeo's client, which leaves in good order if there is anybody to take leave of."""
        romeo = ScriptedClient(
            through(daemon, self.server), self.people["romeo"], resource, announces=[FEATURE]
        )
        try:
            romeo.available()
            yield romeo
        finally:
            if romeo.ended.is_set():
                romeo.vanish()
            else:
                romeo.close()

    def there(self, one: Written) -> int:
        """How often *one* was shown to its reader."""
        return self.readers[one.to].texts().count(one.text)

    def unread(self) -> int:
        """How many placeholders the readers have been shown."""
        return sum(PLACEHOLDER in text for name in ENCRYPTED for text in self.readers[name].texts())

    # One round.

    def round(self, *kills: str, patience: float = 20) -> tuple[Fate, Play]:
        """Let Romeo's daemon live once for each of *kills*, each time on what it left, and once more to see what became of all.

        A kill is what ``reference_daemon`` takes. There is traffic in the first life; the others begin with what it left.
        In the end *patience* seconds are waited for what is missing.
        """
        began = time.monotonic()
        self._rounds += 1
        play = Play(self._rounds)
        self._patience = patience
        unread = self.unread()
        folder = self.folder(f"round{play.number}")
        chance = random.Random(f"{self._seed}/{kills}")
        with Wiretap(self.server.port) as tap:
            for life, kill in enumerate((*kills, NEVER)):
                last, first = life == len(kills), life == 0
                say = self._last_words if last else self._traffic if first else self._more
                daemon = ReferenceDaemon(self._certificates, tap.port, kill=kill, directory=folder)
                self._live(play, daemon, lambda romeo, daemon, say=say: say(play, romeo, daemon, chance))
            said = tap.said(up=True)
        return self._fate(play, kills, said, unread, time.monotonic() - began), play

    def _live(
        self, play: Play, daemon: ReferenceDaemon, say: Callable[[ScriptedClient, ReferenceDaemon], None]
    ) -> None:
        """Start *daemon*, let Romeo speak, until all is said or the daemon is dead."""
        mortal = daemon.kill != NEVER
        play.since = len(play.written)
        try:
            daemon.start()
            with self.romeo(daemon, f"r{play.number}") as romeo:
                try:
                    say(romeo, daemon)
                finally:
                    if mortal and daemon.child is not None and romeo.ended.is_set():
                        _dies(daemon.child)
                    play.hear(romeo)
        except (BedError, OSError):
            if not mortal or daemon.child is None or not _dies(daemon.child):
                raise
        finally:
            if daemon.child is not None:
                play.killed.append(daemon.child.terminate() == KILLED)
                play.lives.append([about for _, about in COMMIT.findall(daemon.child.text())])
        daemon.require_no_traceback()

    def _traffic(
        self, play: Play, romeo: ScriptedClient, daemon: ReferenceDaemon, chance: random.Random
    ) -> None:
        self.readers["mercutio"].keep_silent()
        try:
            self._rule(romeo)
            order = ["juliet"] * 9 + ["mercutio"] * 4 + ["nurse"] * 3 + ["back"] * 3
            chance.shuffle(order)
            slow = chance.randrange(6, 12)
            for count, to in enumerate(order):
                if count == slow:
                    self.readers["mercutio"].answer()
                if to == "back":
                    if any(self.there(one) for one in play.written if one.to == "juliet"):
                        self._write_back(play, romeo)
                else:
                    one = play.new(to, "how now")
                    romeo.write(self.people[to].jid, one.text, number=one.number)
                if count % 3 == 2:
                    self._ping(play, romeo, wait=chance.random() < 0.5)
            self._ping(play, romeo, wait=True)
            self._alive(romeo, lambda: all(map(self.there, play.written)), "all texts to arrive")
            self._write_back(play, romeo)
            self._alive(romeo, lambda: set(play.back) <= set(romeo.texts()), "her answers")
            # What the server acknowledges is stored as well, after a silence.
            self._alive(romeo, lambda: _silent(daemon) > QUIET, "the store to come to rest")
        finally:
            self.readers["mercutio"].answer()

    def _write_back(self, play: Play, romeo: ScriptedClient) -> None:
        play.back.append(f"[{play.number}.{len(play.written) + len(play.back)}] and you?")
        self.readers["juliet"].write(romeo.jid, play.back[-1])

    def _more(
        self, play: Play, romeo: ScriptedClient, daemon: ReferenceDaemon, chance: random.Random
    ) -> None:
        """A life that has to deal with what the one before it left."""
        self._account(play, romeo)
        self._send_again(play, romeo)
        self._rule(romeo)
        for to in chance.sample(NAMES[1:], 2):
            one = play.new(to, "again")
            romeo.write(self.people[to].jid, one.text, number=one.number)
        self._ping(play, romeo, wait=True)
        self._alive(romeo, lambda: _silent(daemon) > QUIET, "the store to come to rest")

    def _last_words(
        self, play: Play, romeo: ScriptedClient, daemon: ReferenceDaemon, chance: random.Random
    ) -> None:
        """See what was left, and that it goes on: whatever comes last arrives, and so everything before it has."""
        self._account(play, romeo)
        self._send_again(play, romeo)
        self._rule(romeo)
        last = [play.new(name, "farewell") for name in chance.sample(NAMES[1:], 3)]
        for one in last:
            romeo.write(self.people[one.to].jid, one.text, number=one.number)
            one.certain = True
        try:
            wait_until(lambda: all(map(self.there, last)), "the last words", timeout=self._patience)
        except BedError:
            play.trouble = "\n".join(one.shown() for one in (romeo, *self.readers.values()))
            play.trouble += f"\n{daemon.tail()}"

    def _rule(self, romeo: ScriptedClient) -> None:
        romeo.write(self.people["nurse"].jid, "/e2e set when never", number="rule")
        self._alive(romeo, lambda: any("when is never" in one for one in romeo.notices()), "the nurse's rule")

    def _ping(self, play: Play, romeo: ScriptedClient, *, wait: bool) -> None:
        ping = romeo.ping()
        play.pings.append((ping, play.since, len(play.written)))
        if wait:
            self._alive(romeo, lambda: ping in romeo.answered(), "an answer")

    def _alive(self, romeo: ScriptedClient, wanted: Callable[[], bool], what: str) -> None:
        """Wait for *wanted*; the end of the connection before that raises."""
        wait_until(lambda: romeo.ended.is_set() or wanted(), what, timeout=20, instead=romeo.shown)
        if romeo.ended.is_set():
            raise BedError(f"the connection ended before {what}")

    def _account(self, play: Play, romeo: ScriptedClient) -> None:
        """Wait until each certain text is accounted for; if one never is, that is a fault of the round."""

        def complete() -> bool:
            known, told = romeo.errors(), romeo.notices()
            return romeo.ended.is_set() or not any(
                is_gone(play, one, self.there) and one.number not in known and not play.reported(one, *told)
                for one in play.written
                if one.certain
            )

        with contextlib.suppress(BedError):
            wait_until(complete, "an account of all", timeout=min(8, self._patience))

    def _send_again(self, play: Play, romeo: ScriptedClient) -> None:
        """As a client does that has reconnected: what may not have arrived, under the same id."""
        doubtful = [notice for notice in romeo.notices() if DOUBTFUL in notice]
        for one in play.written:
            if one.to in ENCRYPTED and any(one.text in notice for notice in doubtful):
                romeo.write(self.people[one.to].jid, one.text, number=one.number)
                play.resent += 1

    def _fate(self, play: Play, kills: tuple[str, ...], said: bytes, unread: int, seconds: float) -> Fate:
        about, where = [], []
        for kill, commits, killed in zip(kills, play.lives, play.killed, strict=False):
            number = int(kill.partition(":")[0])
            about.append(
                commits[number - 1] if killed and number <= len(commits) else f"{len(commits)} commits"
            )
            where.append(kill if killed or kill == NEVER else f"({kill})")
        return Fate(
            kill=" ".join(where),
            about=", ".join(about),
            written=len(play.written),
            certain=sum(one.certain for one in play.written),
            arrived=sum(self.there(one) > 0 for one in play.written),
            errors=len(play.errors),
            reported=sum(play.reported(one) for one in play.written),
            gone=sum(is_gone(play, one, self.there) for one in play.written),
            unread=self.unread() - unread,
            resent=play.resent,
            seconds=seconds,
            faults=tuple(faults_of(play, self.there, said)),
        )


def _dies(child: Child) -> bool:
    """Whether *child* is dead, or will be in a moment: its sockets are closed before its parent hears of it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(5)
    return not child.running()


def _silent(daemon: ReferenceDaemon) -> float:
    """For how many seconds nothing was committed, by the age of the log, where commits are named."""
    assert daemon.child is not None
    return time.time() - daemon.child.log.stat().st_mtime
