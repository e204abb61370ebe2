"""What would happen: something done in a copy of this process, which is as it was before when it is done.

A world with two daemons in it cannot be copied, but a process can. What leads to a state is then told once, and each thing
that may happen next happens to the very same state. Not for processes with threads: a copy has only the one that asked.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import traceback

#: Seconds after which a copy is taken to run for ever.
PATIENCE = 60


class CopyDiedError(Exception):
    """The copy ended before it had an answer, or with an exception, which is the text."""


def aside(function):
    """Call *function* in a copy of this process and return what it returns, which must be JSON; CopyDiedError."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(function, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0 or not said:
        raise CopyDiedError(f"it ended with status {status}")
    answer = json.loads(said)
    if "raised" in answer:
        raise CopyDiedError(answer["raised"])
    return answer["returned"]


def _answer(function, writing):
    """Never return: what the copy leaves behind is the original's to clean up."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    gc.disable()  # it would touch, and so copy, every object there is
    status = 1
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(_outcome(function)).encode())
        status = 0
    finally:
        os._exit(status)


def _outcome(function):
    try:
        return {"returned": function()}
    except Exception:  # noqa: BLE001 - whatever it is, it is raised again where it is looked at
        return {"raised": traceback.format_exc()}
