"""Part ``otr``: our OTR beside libotr, both sides of a conversation, and ten thousand sessions in one process.

CPU time of the thread, in this process: our engine from an event to its effects, libotr from a C call to its return, with
the same texts in the same order, version 3. Turn and turn about; ratios are the medians of those within one
repetition. A handshake is counted from the query, and renews the session that is there; a text counts with its sending and its
receiving. "In turn" means that each side answers the other, so that each text turns a key; "in a row" that none does.
The callbacks that libotr makes meanwhile are Python's, about ten for a message, and under 1 % of what is measured.

The sessions are those of two accounts with each other, so that each conversation is two of them; what they take is the
growth of resident memory, after some texts in each direction, divided by their number. Then every session has a text in
its turn, so that each meets memory that nobody has touched for long; before that, one session alone has as many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bed.libotr import PEER, PROTOCOL, Libotr, library
from bed.otr_transcript import PLACE
from otr_side import PAUSE_SECONDS, Side
from processes import HERE
from report import Verdict, spread

from e2eproxy.xmpp.jid import JID

if TYPE_CHECKING:
    from collections.abc import Callable

    from rows import Bench

ALICE, BOB = JID.parse("alice@example.org/desk"), JID.parse("bob@example.org/phone")
SECRET = "where the wild thyme blows"
TEXT = "Now is the winter of our discontent made glorious summer."
MOST_MESSAGES = 50
#: What is measured, and how many times libotr's CPU it may take (None: for the reader only).
LIMITS: dict[str, float | None] = {
    "text, in turn": 2.0,
    "text, in a row": None,
    "handshake": 2.0,
    "comparison of secrets": 3.0,
}
SESSION_KIB = 6.0
MOST_GROWTH_PERCENT = 10.0


class Timed:
    """The loaded libotr, with the time spent in it."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded
        self.spent = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._loaded, name)

        def timed(*arguments: Any) -> Any:
            began = time.thread_time_ns()
            result = function(*arguments)
            self.spent += time.thread_time_ns() - began
            return result

        return timed


class Theirs:
    """Two clients made of libotr. They have the same key, under two names, which makes no difference to what it costs."""

    def __init__(self, scratch: Path) -> None:
        self.library = Timed(library())
        account = b"alice@example.org"
        self.ends = [
            Libotr(self.library, (3,)),
            Libotr(self.library, (3,), account=PEER, peer=account, files=scratch / "libotr-alice.otr"),
        ]

    @staticmethod
    def prepare(scratch: Path) -> None:
        key = (PLACE / "libotr-alice.otr.private_key").read_bytes()
        (scratch / "libotr-alice.otr.private_key").write_bytes(key.replace(b"alice@example.org", PEER))
        (scratch / "libotr-alice.otr.instance_tags").write_bytes(PEER + b"\t" + PROTOCOL + b"\t5a5a5a5a\n")

    @property
    def spent(self) -> int:
        return self.library.spent

    def say(self, who: int, text: str) -> list[str]:
        return self.ends[who].say(text)

    def take(self, who: int, text: str) -> list[str]:
        return self.ends[who].take(text)

    def ask(self, who: int) -> list[str]:
        return self.ends[who].ask(SECRET.encode())

    def answer(self, who: int) -> list[str]:
        return self.ends[who].answer(SECRET.encode())

    def counts(self) -> tuple[int, int]:
        """(Texts that were opened, comparisons that held), on both sides."""
        return (
            sum(len(one.heard) for one in self.ends),
            sum(one.compared.count(True) for one in self.ends),
        )


class Ours:
    """Two of our engines."""

    def __init__(self) -> None:
        self.sides = [Side(ALICE), Side(BOB)]
        self.peers = [BOB, ALICE]
        for side, peer in zip(self.sides, self.peers, strict=True):
            side.sees(peer)

    @property
    def spent(self) -> int:
        return sum(one.spent for one in self.sides)

    def say(self, who: int, text: str) -> list[str]:
        return self.sides[who].say(self.peers[who], text)

    def take(self, who: int, text: str) -> list[str]:
        if text.startswith("?OTRv"):
            for one in self.sides:
                one.now += PAUSE_SECONDS
        return self.sides[who].take(self.peers[who], text)

    def ask(self, who: int) -> list[str]:
        return self.sides[who].command(self.peers[who], "verify", SECRET, "")

    def answer(self, who: int) -> list[str]:
        return self.sides[who].command(self.peers[who], "answer", SECRET)

    def counts(self) -> tuple[int, int]:
        return sum(one.delivered for one in self.sides), sum(one.verified for one in self.sides)


Both = Theirs | Ours


def carry(both: Both, who: int, texts: list[str]) -> None:
    """Have *who* take *texts*, and carry the answers until there are none."""
    waiting = [(who, text) for text in texts]
    for _ in range(MOST_MESSAGES):
        if not waiting:
            return
        taker, text = waiting.pop(0)
        waiting += [(1 - taker, one) for one in both.take(taker, text)]
    raise AssertionError("the two sides do not come to rest")


def handshake(both: Both) -> None:
    """Alice is asked for a session with Bob."""
    carry(both, 0, ["?OTRv3?"])


def in_turn(both: Both) -> None:
    for who in (0, 1):
        carry(both, 1 - who, both.say(who, TEXT))


def in_a_row(both: Both) -> None:
    for _ in range(2):
        carry(both, 1, both.say(0, TEXT))


def comparison(both: Both) -> None:
    carry(both, 1, both.ask(0))
    carry(both, 0, both.answer(1))


#: By name: what is done, how often in one measurement, and how many of it that is each time.
WORK: dict[str, tuple[Callable[[Both], None], int, int]] = {
    "text, in turn": (in_turn, 10, 2),
    "text, in a row": (in_a_row, 20, 2),
    "handshake": (handshake, 3, 1),
    "comparison of secrets": (comparison, 1, 1),
}


def measured(both: Both, name: str) -> float:
    """Return the CPU time of one such thing, on both sides, in microseconds."""
    work, times, things = WORK[name]
    texts, compared = both.counts()
    before = both.spent
    for _ in range(times):
        work(both)
    spent = both.spent - before
    opened, held = (now - then for now, then in zip(both.counts(), (texts, compared), strict=True))
    assert opened == (times * things if name.startswith("text") else 0), (name, opened)
    assert held == (2 * times if work is comparison else 0), (name, held)
    return spent / times / things / 1e3


def beside_libotr(quick: bool) -> dict:
    """Return CPU times of both, and their ratios, by what was done."""
    result = {}
    with tempfile.TemporaryDirectory(prefix="libotr-") as scratch:
        Theirs.prepare(Path(scratch))
        both: dict[str, Both] = {"libotr": Theirs(Path(scratch)), "ours": Ours()}
        for one in both.values():
            handshake(one)
        for name in WORK:
            times: dict[str, list[float]] = {who: [] for who in both}
            for repetition in range(10 if quick else 40):
                turns = list(both.items())
                for who, one in turns if repetition % 2 == 0 else turns[::-1]:
                    times[who].append(measured(one, name))
            ratio = [ours / theirs for ours, theirs in zip(times["ours"], times["libotr"], strict=True)]
            result[name] = {
                "libotr_us": spread(times["libotr"]),
                "ours_us": spread(times["ours"]),
                "ratio": spread(ratio),
            }
    return result


def many(quick: bool) -> dict:
    """Return what many sessions take, from a process of their own."""
    argv = [sys.executable, str(HERE / "otr_sessions.py"), str(1000 if quick else 10_000)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def run(bench: Bench, quick: bool) -> tuple[dict, list[Verdict]]:  # noqa: ARG001 - as the other parts
    """Return the measured numbers and what they mean for the limits."""
    if library() is None:
        print("libotr is not installed: the part otr is left out", file=sys.stderr)
        return {}, []
    beside, sessions = beside_libotr(quick), many(quick)
    verdicts = [
        Verdict(f"OTR, {name}: CPU / libotr's", beside[name]["ratio"]["median"], limit, "times")
        for name, limit in LIMITS.items()
        if limit is not None
    ]
    verdicts += [
        Verdict(
            f"OTR: memory of a session, {sessions['sessions']} of them",
            sessions["session_kib"],
            SESSION_KIB,
            "KiB",
        ),
        Verdict(
            f"OTR: growth of CPU per text, 1 to {sessions['sessions']} sessions",
            sessions["growth_percent"],
            MOST_GROWTH_PERCENT,
            "%",
        ),
    ]
    return {"beside": beside, "sessions": sessions}, verdicts


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    sessions = result["sessions"]
    lines = [
        [
            f"{name}, CPU µs",
            row["libotr_us"]["median"],
            row["ours_us"]["median"],
            row["ratio"]["median"],
            row["ratio"]["min"],
        ]
        for name, row in result["beside"].items()
    ]
    lines += [
        ["text, with one session: CPU µs", None, sessions["one_us"], None, None],
        [
            f"text, with {sessions['sessions']} sessions in turn: CPU µs",
            None,
            sessions["many_us"],
            None,
            None,
        ],
        [
            f"memory of a session, {sessions['sessions']} of them: KiB",
            None,
            sessions["session_kib"],
            None,
            None,
        ],
    ]
    return ["OTR version 3, both sides", "libotr", "e2eproxy", "ratio", "(least)"], lines
