"""Part ``framer``: the framer with all its limits against the least that could find where a stanza ends.

In memory, in this process, CPU time of the thread. Both read the same bytes in the same pieces, a fresh object for each
repetition, turn and turn about. Before that, the framer's pieces are put together once and compared with what went in.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from xml.parsers import expat

import wire
from report import Verdict, spread

from e2eproxy.xmpp.framer import Framer
from e2eproxy.xmpp.pieces import Element, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES = 4096
LIMIT = 1.5


def bare_loop() -> tuple[Callable[[bytes], object], Callable[[], int]]:
    """Return (feed, number of stanzas finished so far) of a parser that does nothing but count levels."""
    parser = expat.ParserCreate("utf-8", "}")
    parser.ordered_attributes = True
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    depth = finished = 0

    def start(_name: str, _attributes: list[str]) -> None:
        nonlocal depth
        depth += 1

    def end(_name: str) -> None:
        nonlocal depth, finished
        depth -= 1
        if depth == 1:
            finished += 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    return (lambda data: parser.Parse(data, False)), (lambda: finished)


def time_bare(pieces: list[bytes], count: int) -> float:
    """Return the CPU time per stanza, in microseconds, of the bare loop."""
    feed, finished = bare_loop()
    feed(wire.CLIENT_HEADER)
    began = time.thread_time_ns()
    for piece in pieces:
        feed(piece)
    spent = time.thread_time_ns() - began
    assert finished() == count, finished()
    return spent / count / 1e3


def time_framer(pieces: list[bytes], count: int) -> float:
    """Return the CPU time per stanza, in microseconds, of the framer as a client's stream gets it."""
    framer = new_framer()
    finished = 0
    began = time.thread_time_ns()
    for piece in pieces:
        finished += len(framer.receive(piece))
    spent = time.thread_time_ns() - began
    assert finished == count, finished
    return spent / count / 1e3


def new_framer() -> Framer:
    """Return a framer with the limits of a client that has logged in, in the middle of its stream."""
    framer = Framer(Limits(element_bytes=2**20, depth=64, attributes=100, strict=True))
    framer.receive(wire.CLIENT_HEADER)
    return framer


def check(pieces: list[bytes], count: int) -> None:
    """Assert that what is timed is the work: *count* elements that are, put together, what went in."""
    framer = new_framer()
    out = [found for piece in pieces for found in framer.receive(piece)]
    assert all(type(found) is Element for found in out)
    assert len(out) == count
    assert b"".join(found.raw for found in out) == b"".join(pieces)


def run(quick: bool) -> tuple[dict, list[Verdict]]:
    """Return the measured numbers and what they mean for the limit."""
    count, repetitions = (4_000, 15) if quick else (8_000, 61)
    stream = wire.stanzas(count)
    shapes = {
        "4 KiB chunks": [stream[at : at + CHUNK_BYTES] for at in range(0, len(stream), CHUNK_BYTES)],
        "one stanza a chunk": [wire.stanza(number) for number in range(count)],
    }
    result, verdicts = {}, []
    for shape, pieces in shapes.items():
        check(pieces, count)
        times: dict[str, list[float]] = {"bare": [], "framer": []}
        for repetition in range(repetitions):
            turns = [("bare", time_bare), ("framer", time_framer)]
            for name, measure in turns if repetition % 2 == 0 else turns[::-1]:
                times[name].append(measure(pieces, count))
        bare, framer = spread(times["bare"]), spread(times["framer"])
        # Of neighbours in time, because another program on the machine then slows both.
        ratio = spread([ours / theirs for ours, theirs in zip(times["framer"], times["bare"], strict=True)])
        result[shape] = {
            "bare_us": bare,
            "framer_us": framer,
            "ratio": ratio,
            "ratio_of_minima": framer["min"] / bare["min"],
        }
        verdicts.append(Verdict(f"framer / bare expat loop, {shape}", ratio["median"], LIMIT, "times"))
    return result, verdicts


def table(result: dict) -> tuple[list[str], list[list]]:
    """Return head and lines."""
    head = ["in memory", "bare loop µs", "(min)", "framer µs", "(min)", "ratio", "(of minima)"]
    lines = [
        [
            shape,
            row["bare_us"]["median"],
            row["bare_us"]["min"],
            row["framer_us"]["median"],
            row["framer_us"]["min"],
            row["ratio"]["median"],
            row["ratio_of_minima"],
        ]
        for shape, row in result.items()
    ]
    return head, lines
