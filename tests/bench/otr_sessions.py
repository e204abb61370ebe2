"""Has many OTR sessions in one process, and prints what they take as JSON; run by ``otr_part``.

    python tests/bench/otr_sessions.py SESSIONS

Two accounts have half as many conversations with each other, each with another contact of the other one's. Engines do not
look at whether a JID is the peer's own idea of itself, so two of them are enough.
"""

from __future__ import annotations

import gc
import json
import re
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]  # the bed, and the checkout this bench belongs to

from otr_side import Side  # noqa: E402 - after the path

from e2eproxy.xmpp.jid import JID  # noqa: E402 - after the path

TEXT = "Now is the winter of our discontent made glorious summer."
ROUNDS_BEFORE = 2
#: Measurements of one session alone, and of a share of all in turn, turn and turn about.
REPETITIONS = 20


def resident_kib() -> int:
    gc.collect()
    return int(re.search(r"^VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1])


class World:
    """Two engines, and what each calls the other in each conversation."""

    def __init__(self, conversations: int) -> None:
        self.sides = [Side(JID.parse(f"{name}@example.org/desk")) for name in ("alice", "bob")]
        self.peers = [
            (JID.parse(f"bob{number}@example.org/phone"), JID.parse(f"alice{number}@example.com/phone"))
            for number in range(conversations)
        ]

    def carry(self, number: int, who: int, texts: list[str]) -> None:
        waiting = [(who, text) for text in texts]
        while waiting:
            taker, text = waiting.pop(0)
            waiting += [(1 - taker, one) for one in self.sides[taker].take(self.peers[number][taker], text)]

    def begin(self, number: int) -> None:
        for side, peer in zip(self.sides, self.peers[number], strict=True):
            side.sees(peer)
        self.carry(number, 1, self.sides[0].command(self.peers[number][0], "start"))

    def in_turn(self, number: int) -> None:
        """Both write, to the contact and to no client of it, and so turn their keys: two texts."""
        for who in (0, 1):
            self.carry(number, 1 - who, self.sides[who].say(self.peers[number][who].bare, TEXT))

    def cost(self, numbers: list[int]) -> float:
        """Return the CPU time of a text in the conversations *numbers*, one after the other, in microseconds."""
        before, opened = self._counts()
        for number in numbers:
            self.in_turn(number)
        spent, arrived = self._counts()
        assert arrived - opened == 2 * len(numbers), "a text did not arrive"
        return (spent - before) / 2 / len(numbers) / 1e3

    def _counts(self) -> tuple[int, int]:
        return sum(one.spent for one in self.sides), sum(one.delivered for one in self.sides)


def main() -> None:
    sessions = int(sys.argv[1])
    conversations = sessions // 2
    alone = World(1)
    alone.begin(0)
    share = max(conversations // REPETITIONS, 1)
    alone.cost([0] * share)  # whatever is loaded or made once, is there now
    before = resident_kib()
    world = World(conversations)
    for number in range(conversations):
        world.begin(number)
    for _ in range(ROUNDS_BEFORE):
        world.cost(list(range(conversations)))
    grown = resident_kib() - before
    one, many = [], []
    for repetition in range(REPETITIONS):
        one.append(alone.cost([0] * share))
        numbers = range(repetition * share, (repetition + 1) * share)
        many.append(world.cost([number % conversations for number in numbers]))
    growth = [100 * (of_many / of_one - 1) for of_many, of_one in zip(many, one, strict=True)]
    print(
        json.dumps(
            {
                "sessions": sessions,
                "session_kib": grown / sessions,
                "one_us": statistics.median(one),
                "many_us": statistics.median(many),
                "growth_percent": statistics.median(growth),
            }
        )
    )


if __name__ == "__main__":
    main()
