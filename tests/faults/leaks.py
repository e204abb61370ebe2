"""The whole leak test: a canary in every place a client can put text, in every state of a session, with every method.

    python tests/faults/leaks.py [--part K/N] [--jobs N] [--seed N] [--everything] [--json FILE]

What is tried is in ``bed.leak_product``: under each policy every place in every state with every method that can carry it;
and again with other endings than that nothing happens (the stream ends, it is lost and the client sends the same again, the
daemon is killed), of which a share is drawn by the seed. ``--everything`` draws all of them, which takes some hours.
``--place``, ``--state``, ``--method``, ``--policy`` and ``--ending`` try a part by name, to bring a fault back. ``--broken``
puts a pipeline there that forwards whatever it gets, to see that this is found. Ends with status 1 if anything is found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from bed.guard_world import Leaky  # noqa: E402 - needs the path set above
from bed.leak_product import WORDS, Tally, run, units  # noqa: E402 - same


def options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--part", default="1/1", metavar="K/N", help="the K-th of N parts that take about equally long"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes that work at the same time"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--everything", action="store_true", help="every ending under every policy")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="append the outcome there, as a line of JSON"
    )
    parser.add_argument("--broken", action="store_true", help="with a pipeline that forwards everything")
    for word in WORDS:
        parser.add_argument(
            f"--{word}", action="append", metavar="NAME", help=f"only this {word}; may be repeated"
        )
    return parser.parse_args(arguments)


def planned(given):
    """The units of the part that is asked for."""
    part, parts = map(int, given.part.split("/"))
    if not 1 <= part <= parts:
        raise SystemExit(f"--part {given.part}: there is no such part")
    only = {word: getattr(given, word) for word in WORDS}
    found = units(given.seed, everything=given.everything, only=only)[part - 1 :: parts]
    if not found:
        raise SystemExit(
            "There is nothing to try: no place, state, method, policy or ending has such a name."
        )
    return found


def tallies(work, jobs, task):
    """The outcome of each unit, as it comes."""
    if jobs == 1:
        yield from map(task, work)
        return
    # Started afresh, not copied: a worker copies itself for each try, and must have no threads.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from (done.result() for done in as_completed([pool.submit(task, unit) for unit in work]))


def main():
    given = options()
    work = planned(given)
    task = partial(run, seed=given.seed, twin=Leaky if given.broken else None)
    started = time.monotonic()
    total = Tally()
    for tally in tallies(work, given.jobs, task):
        total += tally
        print(*tally.faults, sep="\n", end="\n" * bool(tally.faults), flush=True)
    counts = {f"{word}s".replace("ys", "ies"): len(total.names[word]) for word in WORDS}
    counts |= {
        "tries": total.tries,
        "faults": len(total.faults),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(
        f"seed {given.seed}, part {given.part}:", ", ".join(f"{many} {what}" for what, many in counts.items())
    )
    if given.json:
        with given.json.open("a") as file:
            file.write(
                json.dumps({"seed": given.seed, "part": given.part, **counts, "found": total.faults}) + "\n"
            )
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
