"""What a terminal showed in a real run, kept as text for the page of sessions in docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TITLES = ("profanity", "command line")

PAGE = """# Sessions, as they were seen

What terminals showed in real runs: unmodified programs, a real Prosody and a real daemon, on loopback. Only the method is not
real: it is the reference method of the tests, until there is one. This page is written by the tests themselves:

    python -m pytest tests/interop/test_users.py --write-recordings
"""


class Recordings:
    """Collects screens by the session they are of; true once there is one."""

    def __init__(self) -> None:
        """Nothing is recorded yet."""
        self._scenes: dict[str, list[tuple[str, str]]] = {}

    def __bool__(self) -> bool:
        """Whether anything has been recorded."""
        return bool(self._scenes)

    def add(self, session: str, what: str, screen: str, replaced: Mapping[str, str] | None = None) -> None:
        """Keep *screen*, which shows *what*, in *session*; *replaced*: what is of this run alone, and what stands for it."""
        for text, instead in (replaced or {}).items():
            screen = screen.replace(text, instead)
        self._scenes.setdefault(session, []).append((what, screen))

    def page(self) -> str:
        """All of the page."""
        parts = [PAGE]
        for title in TITLES:
            parts.append(f"\n## {title[0].upper()}{title[1:]}\n")
            parts += [f"\n{what}\n\n```text\n{screen}\n```\n" for what, screen in self._scenes[title]]
        return "".join(parts)

    def write(self, path: Path) -> str:
        """Write the page, if all sessions ran; return a line that says what was done."""
        if missing := [title for title in TITLES if title not in self._scenes]:
            return f"{path.name} not written: no recording of {', '.join(missing)}, run all of tests/interop/test_users.py"
        path.write_text(self.page(), encoding="utf-8")
        return f"written to {path}"
