"""What the demo shows, as values: scenes of lines, each line something that really happened at one of three places."""

from __future__ import annotations

import enum
import json
import re
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.xmpp.jid import prepared
from e2eproxy.xmpp.names import CLIENT

if TYPE_CHECKING:
    from e2eproxy.xmpp.stanza import Stanza

#: Letters of base64 or of a name that are shown whole; of a longer run only the beginning, the end and how much is between.
LONGEST_RUN: Final = 40
#: Letters before and behind the place of a change.
AROUND: Final = 6
_RUN: Final = re.compile(rf"[A-Za-z0-9+/=_-]{{{LONGEST_RUN + 1},}}")


class Place(enum.Enum):
    """Where something happened; the value is the head of its column."""

    ROMEO = "Romeo's client"
    SERVER = "what the server saw"
    JULIET = "Juliet's client"


class Kind(enum.Enum):
    """What a line is."""

    TYPED = "typed"
    """Written by the person at the client."""
    READ = "read"
    """Shown by the client, as from the contact."""
    NOTICE = "notice"
    """Shown by the client, from the proxy's own address."""
    RETURNED = "returned"
    """Shown by the client: what was typed came back as an error."""
    SAW = "saw"
    """Received by the server from a client's side."""
    DID = "did"
    """Done there by a person, or by the attacker; no stanza."""


#: What stands before a line's text, where colours may not be seen.
MARKS: Final = {
    Kind.TYPED: "> ",
    Kind.READ: "< ",
    Kind.NOTICE: "! ",
    Kind.RETURNED: "x ",
    Kind.SAW: "",
    Kind.DID: "* ",
}


#: What the marks mean, in one line.
LEGEND: Final = "> typed   < read   ! told by the proxy   x came back   * done beside writing"


@frozen
class Line:
    """*text* for people; ``raw`` is the stanza it is about, as it came, empty if it is about none."""

    place: Place
    kind: Kind
    text: str
    raw: bytes = field(default=b"", repr=False)

    @property
    def marked(self) -> str:
        """The text behind its mark, without anything that could steer a terminal."""
        return MARKS[self.kind] + "".join(
            one if one.isprintable() or one == "\n" else "?" for one in self.text
        )


@frozen(kw_only=True)
class Scene:
    """Number *number* of *of*; *method* is what it was played with, said in every scene, *note* what is to be known of it."""

    number: int
    of: int
    title: str
    method: str
    note: str
    lines: tuple[Line, ...]

    def at(self, place: Place) -> list[Line]:
        """Return the lines of one place in their order."""
        return [line for line in self.lines if line.place is place]

    @property
    def heading(self) -> str:
        """Number and title."""
        return f"{self.number}/{self.of}  {self.title}"

    @property
    def played_with(self) -> str:
        """The method, and what has to be known of it."""
        return f"Method: {self.method}. {self.note}".rstrip()


def as_json(scene: Scene) -> str:
    """Return the scene as lines of JSON, one for each of its lines."""
    head = {"scene": scene.number, "title": scene.title, "method": scene.method, "note": scene.note}
    return "\n".join(
        json.dumps(
            {
                **head,
                "place": line.place.name.lower(),
                "kind": line.kind.value,
                "text": line.text,
                "stanza": line.raw.decode("utf-8", "replace") or None,
            }
        )
        for line in scene.lines
    )


def on_the_wire(sender: str, stanza: Stanza) -> str:
    """Return a stanza as the server's column shows it: who to whom, its first child with long runs shortened, the others' names."""
    content = stanza.children[0].raw.decode("utf-8", "replace") if stanza.children else "nothing"
    beside = "".join(f" <{one.local_name}/>" for one in stanza.children[1:])
    plain = _RUN.sub(_shortened, content.replace(f" xmlns='{CLIENT}'", ""))
    return f"{_short(sender)} to {_short(stanza.to)}: {plain}{beside}"


def difference(before: bytes, after: bytes) -> str:
    """Return where two texts of the same length begin to differ, with what stands around that place."""
    at = next(
        (at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(before)
    )
    around = slice(max(at - AROUND, 0), at + AROUND)
    old, new = (one[around].decode("utf-8", "replace") for one in (before, after))
    return f"...{old}... becomes ...{new}..."


def _shortened(found: re.Match[str]) -> str:
    run = found[0]
    return f"{run[:16]} ...{len(run) - 24} more... {run[-8:]}"


def _short(address: str | None) -> str:
    """Return an address without its domain, which is the same for all here."""
    jid = prepared(address)
    if jid is None:
        return "the server"
    return f"{jid.local}/{jid.resource}" if jid.resource else jid.local or jid.domain
