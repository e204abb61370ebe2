"""The account of what became of each text when a daemon was killed: what was shown, came back, was reported, or is gone."""

from __future__ import annotations

import base64
import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from attrs import define, field, frozen

from e2eproxy.testing.ratchet import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.scripted_client import ScriptedClient

DOUBTFUL = "may not have arrived"
PLACEHOLDER = "could not be opened"
ENCRYPTED = ("juliet", "mercutio")
_CARRIED = re.compile(rb"\?E2EREF:([A-Za-z0-9+/]+={0,2})\.")


@define(eq=False)
class Written:
    """A text of Romeo's: to whom, under which id; *certain*: he has seen the answer to a later IQ."""

    to: str
    number: str
    text: str
    certain: bool = False


@define
class Play:
    """What is written in one round, over all lives of the daemon, and what its writer was shown.

    *pings* are ids of IQs, each with the texts that it vouches for: those *since* the stream began, *before* it.
    """

    number: int
    written: list[Written] = field(factory=list)
    pings: list[tuple[str, int, int]] = field(factory=list)
    since: int = 0
    back: list[str] = field(factory=list)
    answered: set[str] = field(factory=set)
    notices: list[str] = field(factory=list)
    errors: Counter[str] = field(factory=Counter)
    shown: Counter[str] = field(factory=Counter)
    lives: list[list[str]] = field(factory=list)
    killed: list[bool] = field(factory=list)
    resent: int = 0
    trouble: str = ""

    def new(self, to: str, text: str) -> Written:
        """Note a text that is about to be written."""
        count = len(self.written) + len(self.back)
        one = Written(to, f"t{self.number}-{count}", f"[{self.number}.{count}] {to}, {text}")
        self.written.append(one)
        return one

    def hear(self, client: ScriptedClient) -> None:
        """Take note of all that *client*, one of the writer's, was shown until its end."""
        self.answered |= client.answered()
        self.notices += client.notices()
        self.errors.update(client.errors().keys())
        self.shown.update(text for text in client.texts() if text in self.back)
        for ping, since, before in self.pings:
            if ping in self.answered:
                for one in self.written[since:before]:
                    one.certain = True

    def reported(self, one: Written, *notices: str) -> bool:
        """Whether the writer was told of *one*, in *notices* or before."""
        return any(one.text in notice for notice in (*self.notices, *notices))


@frozen
class Fate:
    """What became of the texts of one round; what must not be is in ``faults``.

    *gone*: nobody was shown or told anything of them. *unread*: placeholders that stand for texts.
    """

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

    HEAD: ClassVar[str] = (
        f"{'kill':>20} {'written':>7} {'certain':>7} {'arrived':>7} {'errors':>6} {'reported':>8} "
        f"{'gone':>4} {'unread':>6} {'resent':>6} {'s':>5}  about"
    )

    def __str__(self) -> str:
        """A row of the table."""
        return (
            f"{self.kill:>20} {self.written:>7} {self.certain:>7} {self.arrived:>7} {self.errors:>6} "
            f"{self.reported:>8} {self.gone:>4} {self.unread:>6} {self.resent:>6} {self.seconds:>5.1f}  {self.about}"
            + "".join(f"\n{'':>20} FAULT: {fault}" for fault in self.faults)
        )


def faults_of(play: Play, there: Callable[[Written], int], said: bytes) -> list[str]:
    """What must not be: *there* tells how often a text was shown to its reader, *said* is what the server received."""
    faults = []
    for one in play.written:
        if there(one) > 1:
            faults.append(f"{one.text!r} was shown {there(one)} times")
        if one.certain and is_gone(play, one, there):
            faults.append(f"{one.text!r} is gone, although a later request was answered")
        if one.to in ENCRYPTED and one.text.encode() in said:
            faults.append(f"the server saw {one.text!r}")
    faults += [f"{text!r} was shown to Romeo {n} times" for text, n in play.shown.items() if n > 1]
    faults += [f"the error for {number} came {n} times" for number, n in play.errors.items() if n > 1]
    faults += reused(said)
    return faults + ([f"it does not go on:\n{play.trouble}"] if play.trouble else [])


def is_gone(play: Play, one: Written, there: Callable[[Written], int]) -> bool:
    """Whether nobody was shown or told anything of *one*."""
    return not (there(one) or one.number in play.errors or play.reported(one))


def reused(said: bytes) -> list[str]:
    """Keys of data messages in *said* that protect more than one thing.

    A message key belongs to (sender's ratchet key, number). Ratchet keys are drawn anew in each session and with each turn, so
    a session that is gone back to shows as well: the same key and number with another ciphertext.
    """
    found: dict[tuple[bytes, int], set[bytes]] = {}
    for one in _CARRIED.findall(said):
        message = base64.b64decode(one)
        if message[:1] in {b"d", b"x"}:
            data = Message.from_bytes(message[1:])
            found.setdefault((data.key, data.number), set()).add(message)
    return [
        f"the key of message {number} of {key.hex()[:8]} was used {len(messages)} times"
        for (key, number), messages in found.items()
        if len(messages) > 1
    ]
