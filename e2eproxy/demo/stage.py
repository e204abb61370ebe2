"""Puts two homes and a server together, and writes down what is typed, seen and read: the demo's eyes.

Every line comes from where it happened: from what a client was made to write, from what the server received, from what a
client was shown. Nothing is written down that was not.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from twisted.internet.task import Clock

from e2eproxy.demo.attacker import Turncoat
from e2eproxy.demo.home import Home
from e2eproxy.demo.scenes import Kind, Line, Place, difference, on_the_wire
from e2eproxy.demo.server import PUBSUB
from e2eproxy.demo.wire import Wires
from e2eproxy.proxy.notices import PROXY
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2eproxy.methods.door import Method
    from e2eproxy.xmpp.stanza import Stanza

DOMAIN: Final = "verona.example"
ROMEO: Final = JID.parse(f"romeo@{DOMAIN}/garden")
JULIET: Final = JID.parse(f"juliet@{DOMAIN}/balcony")
IMPOSTOR: Final = JID.parse(f"juliet@{DOMAIN}/cellar")
#: When the demo plays, in seconds since 1970: methods are told some time, and it is not today's.
BEGINS: Final = 1_790_000_000.0

_BODY: Final = names.CLIENT + names.SEPARATOR + "body"
_ERROR: Final = names.CLIENT + names.SEPARATOR + "error"


class Stage:
    """*folder*: where the stores are, for as long as the demo lasts; *random* makes all keys."""

    def __init__(self, method: Method, folder: Path, random: Callable[[int], bytes]) -> None:
        clock = Clock()
        clock.advance(BEGINS)
        self.wires = Wires(clock)
        self._method = method
        self._folder = folder
        self._random = random
        self._passwords = {name: random(16).hex() for name in ("romeo", "juliet", "impostor")}
        self._lines: list[Line] = []
        #: All stanzas that the server received, and all texts that people typed for each other.
        self.seen: list[bytes] = []
        self.typed: list[str] = []
        #: What the impostor's client was shown, as from Romeo.
        self.betrayed: list[str] = []
        users = {name: self._passwords[name] for name in ("romeo", "juliet")}
        self.server = Turncoat(DOMAIN, users, random=random, seen=self._seen, changed=self._changed)
        self.romeo = self._home("romeo", ROMEO, lambda stanza: self._shown(Place.ROMEO, stanza))
        self.juliet = self._home("juliet", JULIET, lambda stanza: self._shown(Place.JULIET, stanza))
        self._homes = [self.romeo, self.juliet]
        self._impostor: Home | None = None

    def _home(self, name: str, jid: JID, shown: Callable[[Stanza], None]) -> Home:
        return Home(
            self.wires,
            self.server,
            jid,
            self._passwords[name],
            method=self._method,
            folder=self._folder / name,
            random=self._random,
            shown=shown,
        )

    # -- what is done ------------------------------------------------------------------------------------------------

    def say(self, place: Place, text: str, *, to: JID | None = None) -> None:
        """Have the person at *place* type *text* for the other one, or for *to*, and let it have all its effects."""
        home, other = (self.romeo, JULIET) if place is Place.ROMEO else (self.juliet, ROMEO)
        if to is None and not text.startswith("/e2e "):
            self.typed.append(text)
        where = "" if to is None else f" (to {to})"
        self._note(place, Kind.TYPED, text + where)
        home.client.say(to or other.bare, text)
        self.wires.run()

    def did(self, place: Place, text: str) -> None:
        """Write down what a person or the attacker does beside writing."""
        self._note(place, Kind.DID, text)

    def bring_impostor(self) -> None:
        """Have the server show Romeo another Juliet, with a client, a proxy and keys of the server's."""
        self.server.show_another("juliet", "romeo", self._passwords["impostor"])
        home = self._home("impostor", IMPOSTOR, self._shown_to_impostor)
        self._homes.append(home)
        home.log_in()
        self._impostor = home

    def impostor_says(self, text: str) -> None:
        """Have the impostor type *text* for Romeo, which nobody is shown."""
        if self._impostor is None:
            raise AssertionError("there is no impostor yet")
        self._impostor.client.say(ROMEO.bare, text)
        self.wires.run()

    @contextmanager
    def watched(self) -> Iterator[list[Line]]:
        """Give a list that holds, afterwards, the lines of what happened meanwhile, and of what had not been watched."""
        lines: list[Line] = []
        yield lines
        self.wires.run()
        lines += self._lines
        self._lines.clear()

    def read(self, place: Place) -> list[str]:
        """Return the texts that the client at *place* has shown as the contact's since the last scene."""
        return [line.text for line in self._lines if line.place is place and line.kind is Kind.READ]

    def close(self) -> None:
        """Log everybody out and close the stores."""
        for home in self._homes:
            home.close()

    # -- what is seen ------------------------------------------------------------------------------------------------

    def _note(self, place: Place, kind: Kind, text: str, raw: bytes = b"") -> None:
        self._lines.append(Line(place, kind, text, raw))

    def _seen(self, sender: JID, stanza: Stanza) -> None:
        self.seen.append(stanza.raw)
        publishes = stanza.kind == "iq" and stanza.type == "set" and PUBSUB.encode() in stanza.raw
        if stanza.kind == "message" or publishes:
            self._note(Place.SERVER, Kind.SAW, on_the_wire(str(sender), stanza), stanza.raw)

    def _changed(self, before: Stanza, after: Stanza) -> None:
        self._note(Place.SERVER, Kind.DID, f"changes it: {difference(before.raw, after.raw)}", after.raw)

    def _shown(self, place: Place, stanza: Stanza) -> None:
        if stanza.type == "error":
            self._note(place, Kind.RETURNED, _why(stanza), stanza.raw)
        elif text := _text(stanza):
            ours = prepared(stanza.from_) == PROXY
            self._note(place, Kind.NOTICE if ours else Kind.READ, text, stanza.raw)

    def _shown_to_impostor(self, stanza: Stanza) -> None:
        if stanza.type != "error" and prepared(stanza.from_) != PROXY and _text(stanza):
            self.betrayed.append(_text(stanza))


def _text(stanza: Stanza) -> str:
    body = stanza.child(_BODY)
    return "" if body is None else body.text


def _why(stanza: Stanza) -> str:
    """Return what a client shows of an error: the text it is about, the condition, and the sentence that came with it."""
    error = stanza.child(_ERROR)
    said = [] if error is None else [(names.split_name(one.name)[1], one.text) for one in error.children]
    condition = next((local for local, _ in said if local != "text"), "error")
    why = next((text for local, text in said if local == "text"), "")
    return f"came back: {_text(stanza)}\n{condition}: {why}".rstrip(": ")
