"""Programs in terminals, driven through a private tmux server.

The classic flake is a key that is pressed before the program reads keys. So text is only confirmed with Enter once
the screen shows it, and typed anew if it does not show.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, ClassVar, Self

from bed.child import Child
from bed.polling import BedError, wait_until
from bed.programs import require_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

WIDTH, HEIGHT = 160, 50
LOOK_PAUSE = 0.1  # seconds; each look at a screen is a process
CONFIGURATION = """
set -g remain-on-exit on
set -g status off
set -s escape-time 0
set -g default-terminal screen-256color
"""


class Tmux:
    """A tmux server of our own, in the foreground, with its socket in *directory*."""

    def __init__(self, directory: Path) -> None:
        """Prepare it; *directory* also holds the homes of the programs."""
        self.directory = directory
        self.terminals: list[Terminal] = []
        self._child: Child | None = None

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run a tmux command and return its output."""
        done = subprocess.run(
            ["tmux", "-S", str(self.directory / "tmux"), *arguments],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        if check and done.returncode:
            raise BedError(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> Self:
        """Start it and wait until it answers."""
        require_program("tmux")
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "tmux.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        self._child = child = Child(
            ["tmux", "-S", str(self.directory / "tmux"), "-f", str(configuration), "-D"],
            log=self.directory / "tmux.log",
            cwd=self.directory,
            environment={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.directory)},
        )

        def look() -> bool:
            child.require_running()
            return "escape-time" in self.run("show-options", "-s", check=False)

        wait_until(look, "tmux to answer", instead=child.tail)
        return self

    def stop(self) -> None:
        """End all programs and then the server."""
        for terminal in list(self.terminals):
            terminal.kill()
        if self._child is not None:
            self._child.terminate()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class Terminal:
    """One program in one tmux session, with a home directory of its own."""

    client: ClassVar[str] = ""  # the program's name, if it is a client
    height: ClassVar[int] = HEIGHT
    input_lines: ClassVar[int] = 2  # at the bottom of the screen, where typed text shows

    def __init__(
        self,
        tmux: Tmux,
        name: str,
        argv: Sequence[str],
        *,
        home: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start *argv* in session *name*, with a minimal environment and *environment* on top."""
        require_program(self.client or argv[0])
        self.tmux, self.name, self.home = tmux, name, home
        settings = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "TERM": "screen-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            **(environment or {}),
        }
        command = shlex.join(["env", "-i", *(f"{key}={value}" for key, value in settings.items()), *argv])
        size = ["-x", str(WIDTH), "-y", str(self.height)]
        asked = ["-d", "-P", "-F", "#{pane_pid}", "-s", name, "-c", str(home)]
        self.pid = int(tmux.run("new-session", *asked, *size, f"exec {command}"))
        tmux.terminals.append(self)

    def screen(self) -> str:
        """What the terminal shows, without blank lines and trailing blanks."""
        text = self.tmux.run("capture-pane", "-p", "-J", "-t", self.name)
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())

    def alive(self) -> bool:
        """Whether the program still runs."""
        return self.tmux.run("display-message", "-p", "-t", self.name, "#{pane_dead}").strip() == "0"

    def key(self, *names: str) -> None:
        """Press named keys: "Enter", "C-c", "M-1", "PPage"."""
        self.tmux.run("send-keys", "-t", self.name, *names)

    def type(self, text: str) -> None:
        """Type *text*, wait until the input line shows it, and press Enter."""
        for _ in range(5):
            self.tmux.run("send-keys", "-t", self.name, "-l", "--", text)
            with contextlib.suppress(BedError):
                wait_until(lambda: self._shows(text), "the text", timeout=3, pause=0.03)
                self.key("Enter")
                return
            self.key("C-u")  # whatever part of it has come through
        raise BedError(f"{self.name} does not take {text!r}:\n{self.screen()}")

    def _shows(self, text: str) -> bool:
        lines = self.screen().splitlines()[-self.input_lines :]
        return text[-40:].strip() in "\n".join(lines)

    def wait(self, pattern: str, timeout: float = 20) -> re.Match[str]:
        """Wait until the screen matches *pattern* (multi-line mode); return the match."""
        return wait_until(
            lambda: re.search(pattern, self.screen(), re.MULTILINE),
            f"{pattern!r} on the screen of {self.name}",
            timeout=timeout,
            pause=LOOK_PAUSE,
            instead=self.screen,
        )

    def kill(self) -> None:
        """End the program by its process id (not each one ends with its terminal), then close the session."""
        if self not in self.tmux.terminals:
            return
        self.tmux.terminals.remove(self)
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(BedError):
                wait_until(lambda: not self.alive(), "the end", timeout=3)
            if self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
        self.tmux.run("kill-session", "-t", self.name, check=False)
