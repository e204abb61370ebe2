"""What the command ``e2eproxy demo`` does: choose a method, play, and show each scene as long as somebody needs to read it.

Ctrl-C ends it between two scenes, when nothing is under way. It ends by itself: a pause is never longer than what is left.
"""

from __future__ import annotations

import difflib
import os
import random
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, TextIO

from attrs import field, frozen

from e2eproxy.demo import frames
from e2eproxy.demo.picture import picture
from e2eproxy.demo.play import Play
from e2eproxy.demo.scenes import LEGEND, as_json
from e2eproxy.errors import LocalError
from e2eproxy.methods.registry import Registry, load
from e2eproxy.proxy.rules import DEFAULTS, METHODS
from e2eproxy.testing import ObjectMethod, SessionMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2eproxy.demo.scenes import Scene
    from e2eproxy.methods.door import Method

GOOD, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: all went as it must; it did not, or could not be played; called wrong; ended by Ctrl-C."""

#: Seconds that all of it takes at most when somebody watches, loading included, if the machine can; and one scene.
WHOLE_SECONDS: Final = 11.0
SCENE_SECONDS: Final = 2.0
#: Characters of a line where there is no terminal.
PIPE_WIDTH: Final = 100
#: Characters of a line below which nothing can be read: a terminal that says less is not believed.
NARROWEST: Final = 30
REFERENCE: Final = (
    "A reference method, for tests only: nobody has reviewed it, and no real contact is offered it."
)


@frozen(kw_only=True)
class Wanted:
    """How the demo is to be shown. ``method``: its name, None for the best there is; ``speed``: 2 is twice as fast.

    ``began``: when the user called it, by the monotonic clock.
    """

    method: str | None = None
    json: bool = False
    svg: Path | None = None
    speed: float = 1.0
    wait: bool = True
    began: float = field(factory=time.monotonic)


def demo_command(
    wanted: Wanted,
    *,
    registry: Registry | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run ``e2eproxy demo`` and return its exit status.

    *registry*: the methods there are, besides the reference ones (None: those installed). Shows on *out*, complains on *err*.
    """
    out, err = out or sys.stdout, err or sys.stderr
    found = load() if registry is None else registry
    for broken in found.broken:
        err.write(f"e2eproxy: the method {broken.name} ({broken.value}) is left out: {broken.why}\n")
    try:
        method, note = _chosen(wanted.method, found)
        with TemporaryDirectory(prefix="e2eproxy-demo-") as folder, _interruptible() as stopped:
            # A picture has the same keys each time, so that it can be compared; they protect nothing else.
            bytes_of = os.urandom if wanted.svg is None else random.Random("e2eproxy demo").randbytes  # noqa: S311
            play = Play(method, note, Path(folder), bytes_of)
            try:
                return _shown(play, wanted, out, err, stopped)
            finally:
                play.close()
    except _NoSuchMethodError as error:
        err.write(f"e2eproxy: {error}\n")
        return USAGE
    except LocalError as error:
        err.write(f"e2eproxy: the demo cannot be played: {error}\n")
    except BrokenPipeError:
        raise  # whoever reads has enough: not ours to complain about
    except OSError as error:
        err.write(f"e2eproxy: the demo cannot be played: {error.strerror}: {error.filename}\n")
    return FAILED


# -- the method ----------------------------------------------------------------------------------------------------------


class _NoSuchMethodError(LocalError):
    """The user named a method that is not there."""


def _chosen(name: str | None, found: Registry) -> tuple[Method, str]:
    """Return the method called *name*, or the best there is, and what has to be said of it in every scene."""
    built_in: tuple[Method, ...] = (SessionMethod(), ObjectMethod())
    reference = {one.traits.name: one for one in built_in}
    known = {**reference, **found.methods}
    if name is None:
        name = next(
            (one for one in (*DEFAULTS[METHODS].split(), *found.methods) if one in known), next(iter(known))
        )
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise _NoSuchMethodError(f"there is no method {name!r}; {meant}--method takes {', '.join(known)}")
    return known[name], REFERENCE if name in reference else ""


# -- showing -------------------------------------------------------------------------------------------------------------


def _shown(play: Play, wanted: Wanted, out: TextIO, err: TextIO, stopped: threading.Event) -> int:
    """Play, show each scene, and say how it went."""
    if wanted.svg is not None:
        wanted.svg.write_text(picture(list(play.scenes())), "utf-8")
        out.write(f"{wanted.svg} is written\n")
    else:
        width = max(shutil.get_terminal_size().columns, NARROWEST) if out.isatty() else PIPE_WIDTH
        show = _shower(wanted, out, width)
        if not wanted.json:
            out.write("\n".join(frames.wrapped(LEGEND, width - 1)) + "\n\n")
        pace = _Pace(wanted, stopped, watched=out.isatty() and not wanted.json)
        for scene in play.scenes():
            out.write(show(scene) + "\n")
            out.flush()
            if pace.rest(scene):
                err.write("e2eproxy: ended before its end\n")
                return INTERRUPTED
    err.writelines(f"e2eproxy: this method does not hold what it should: {one}\n" for one in play.faults)
    return FAILED if play.faults else GOOD


def _shower(wanted: Wanted, out: TextIO, width: int) -> Callable[[Scene], str]:
    """Return how a scene is written to *out*, whose lines have *width* characters."""
    if wanted.json:
        return as_json
    if not out.isatty() or width < frames.NARROWEST:
        return lambda scene: frames.stacked(scene, width - 1)
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
    return lambda scene: frames.columns(scene, width, frames.uncoloured if plain else frames.coloured)


class _Pace:
    """How long each scene stays, if it is *watched*."""

    def __init__(self, wanted: Wanted, stopped: threading.Event, *, watched: bool) -> None:
        self._speed = wanted.speed if watched and wanted.wait else None
        self._stopped = stopped
        self._ends = wanted.began + WHOLE_SECONDS / wanted.speed

    def rest(self, scene: Scene) -> bool:
        """Wait until *scene* can have been read; return whether the user wants to go."""
        left = scene.of - scene.number
        if self._speed is None or not left:
            return self._stopped.is_set()
        fair = (self._ends - time.monotonic()) / left
        return self._stopped.wait(max(0.0, min(SCENE_SECONDS / self._speed, fair)))


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets, instead of raising in the middle of something."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
