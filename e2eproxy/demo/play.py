"""The demo's script: what Romeo, Juliet and the server do, one scene after the other; what comes of it is not written here.

It also checks what came of it. A text that the server, the impostor or the wrong eyes could read is a fault, which the
command reports and ends with: a demo that shows a broken method as a safe one would be worse than none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.demo.scenes import Place, Scene
from e2eproxy.demo.stage import JULIET, Stage
from e2eproxy.proxy.notices import PROXY
from e2eproxy.testing.canary import Canary
from e2eproxy.trust.values import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2eproxy.methods.door import Method

#: The night between the two days of the play, in seconds.
NIGHT: Final = 8 * 3600.0
#: Letters of a fingerprint that are typed once it was compared as a whole; the proxy takes them if they mean one key.
_COMPARED: Final = 16
#: What Romeo asks who says to be Juliet, what they both know, and what somebody guesses who does not.
_QUESTION: Final = "Where did you first see me?"
_ANSWER: Final = "at the feast of my father"
_GUESS: Final = "in the market place"
#: What the proxy says in the place of a message that it could not open, in any method's name.
_NOT_OPENED: Final = "could not be opened"


class Play:
    """Played with *method*, once. ``faults``: sentences about what went otherwise than it must."""

    def __init__(self, method: Method, note: str, folder: Path, random: Callable[[int], bytes]) -> None:
        self._name = f"{method.traits.title} ({method.traits.name})"
        self._note = note
        self._verbs = {verb for verb, _ in method.traits.commands}
        self._asks = {"verify", "answer"} <= self._verbs
        self._stage = Stage(method, folder, random)
        self.faults: list[str] = []
        self._script: tuple[tuple[str, Callable[[], None]], ...] = (
            ("Two people who have never met, each with an old client behind e2eproxy", self._meet),
            ("Juliet answers", self._answer),
            ("Whose key is it? Both ask their own proxy", self._ask_for_keys),
            ("They compare, and Romeo tells his proxy", self._verify)
            if not self._asks
            else ("Romeo asks what only Juliet can know", self._ask),
            ("The server changes what it carries", self._change),
            ("The next day the server has a Juliet of its own", self._substitute),
            ("What does the server know?", self._search),
        )

    def scenes(self) -> Iterator[Scene]:
        """Play, giving each scene as soon as it has happened. Raises LocalError if the demo cannot be set up."""
        for number, (title, act) in enumerate(self._script, 1):
            with self._stage.watched() as lines:
                act()
            yield Scene(
                number=number,
                of=len(self._script),
                title=title,
                method=self._name,
                note=self._note,
                lines=tuple(lines),
            )

    def close(self) -> None:
        """End it, wherever it is."""
        self._stage.close()

    # -- the acts ----------------------------------------------------------------------------------------------------

    def _meet(self) -> None:
        self._stage.romeo.log_in()
        self._stage.juliet.log_in()
        self._tell(Place.ROMEO, "She speaks. O speak again bright angel")

    def _answer(self) -> None:
        self._tell(Place.JULIET, "O Romeo Romeo wherefore art thou Romeo")
        self._tell(Place.ROMEO, "Shall I hear more or shall I speak at this")

    def _tell(self, place: Place, text: str) -> None:
        """Have somebody type *text*, which the other one has to read."""
        other = Place.JULIET if place is Place.ROMEO else Place.ROMEO
        self._stage.say(place, text)
        if text not in self._stage.read(other):
            self.faults.append(f"{text!r} did not arrive")

    def _ask_for_keys(self) -> None:
        self._stage.say(Place.ROMEO, "/e2e keys")
        self._stage.say(Place.JULIET, "/e2e keys", to=PROXY)

    def _verify(self) -> None:
        hers = {key.fingerprint for key in self._stage.juliet.keys(JULIET.bare)}
        same = [key for key in self._stage.romeo.keys(JULIET.bare) if key.fingerprint in hers]
        if not same:
            self._stage.did(Place.ROMEO, "reads it out on the telephone: Juliet has another one")
            self.faults.append("Romeo has another key for Juliet than she has")
            return
        self._stage.did(Place.JULIET, "reads her key out on the telephone")
        self._stage.did(Place.ROMEO, "has the same one, and says so to his proxy")
        for key in same:
            self._stage.say(Place.ROMEO, f"/e2e verify fingerprint {key.fingerprint.text[:_COMPARED]}")
        self._stage.say(Place.ROMEO, "/e2e keys")

    def _ask(self) -> None:
        """Let the method compare what both know; nobody has to read digits aloud."""
        self._stage.typed += [_QUESTION, _ANSWER]
        self._stage.say(Place.ROMEO, f"/e2e verify question {_QUESTION} {_ANSWER}")
        self._stage.say(Place.JULIET, f"/e2e verify answer {_ANSWER}")
        self._stage.say(Place.ROMEO, "/e2e keys")
        if not self._verified():
            self.faults.append("the same secret on both sides did not verify Juliet's key")

    def _verified(self) -> bool:
        hers = {key.fingerprint for key in self._stage.juliet.keys(JULIET.bare)}
        taken = [key for key in self._stage.romeo.keys(JULIET.bare) if key.decision is Decision.VERIFIED]
        return bool(taken) and all(key.fingerprint in hers for key in taken)

    def _change(self) -> None:
        text = "That which we call a rose by any other word would smell as sweet"
        self._stage.server.change_next()
        self._stage.say(Place.JULIET, text)
        shown = [one for one in self._stage.read(Place.ROMEO) if _NOT_OPENED not in one]
        # OTR sends again what could not be read, and says so.
        if any(one not in {text, f"[resent] {text}"} for one in shown):
            self.faults.append("Romeo was shown a text that the server had changed")

    def _substitute(self) -> None:
        if "end" in self._verbs:
            self._stage.say(Place.ROMEO, "/e2e end")
        self._stage.did(Place.ROMEO, "sleeps")
        self._stage.wires.wait(NIGHT)
        self._stage.did(
            Place.SERVER,
            "tells Romeo that Juliet went and came again, and gives him somebody else:"
            " a client, a proxy and keys of the server's own",
        )
        self._stage.bring_impostor()
        self._stage.say(Place.ROMEO, "I take thee at thy word")
        self._stage.wires.wait(120.0, step=1.0)
        stolen = [text for text in self._stage.betrayed if _NOT_OPENED not in text]
        told = "; ".join(stolen) if stolen else "nothing of Romeo's"
        self._stage.did(Place.SERVER, f"its Juliet has read: {told}")
        if stolen:
            self.faults.append("the impostor read what was meant for Juliet")
        if self._asks:
            self._guess()

    def _guess(self) -> None:
        """Let the impostor answer the question, too."""
        self._stage.say(Place.ROMEO, f"/e2e verify question {_QUESTION} {_ANSWER}")
        self._stage.did(Place.SERVER, f"its Juliet guesses: {_GUESS}")
        self._stage.impostor_says(f"/e2e verify answer {_GUESS}")
        if not self._verified():
            self.faults.append("the impostor's key is taken for one that was verified")

    def _search(self) -> None:
        seen, typed = self._stage.seen, self._stage.typed
        self._stage.did(
            Place.SERVER,
            f"looks in all {len(seen)} stanzas that it got for the {len(typed)} texts that were typed:"
            " as they stand, escaped, encoded, deflated, in pieces",
        )
        found = {text: ways for text in typed if (ways := Canary(text).places(seen))}
        for text, ways in found.items():
            self._stage.did(Place.SERVER, f"finds {text!r} ({', '.join(ways)})")
            self.faults.append(f"the server could read {text!r} ({', '.join(ways)})")
        if not found:
            self._stage.did(Place.SERVER, "finds none of them")
        messages = sum(raw.startswith(b"<message") for raw in seen)
        self._stage.did(Place.SERVER, f"knows of {messages} messages who wrote to whom, when and how much")
