"""What the parts of miller-e2e's engine share: the account's settings, keys and table, and who is there with what.

In memory is only what may be lost: what is announced, what was asked, how often somebody came. All of it is bounded (law 6).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.errors import LocalError
from e2eproxy.methods import effects as e
from e2eproxy.methods.miller import signing, wire
from e2eproxy.methods.miller.certificates import anchors_of
from e2eproxy.methods.miller.headers import OWN
from e2eproxy.methods.miller.layers import WINDOW
from e2eproxy.methods.miller.own_keys import OwnKeys
from e2eproxy.methods.miller.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.door import Context
    from e2eproxy.methods.miller.keys import PrivateKey
    from e2eproxy.methods.miller.requests import Request
    from e2eproxy.xmpp.jid import JID

MOST_PEERS: Final = 10_000
"""Resources whose features are remembered."""
MOST_FAILURES: Final = 1_000
"""Keys that could not be got which are remembered."""
NOT_AGAIN_FOR: Final = 60.0
"""Seconds for which a key is not asked for again that could not be got; one that was refused is not asked for again at all."""
_YES: Final = frozenset({"yes", "true", "on", "1"})


@frozen
class Question:
    """A key that was asked for: from which stream of ours, the full JID that was asked, and the key's name."""

    own: JID
    peer: JID
    sid: str


class Rate:
    """How often each contact may do something: *most* times in *seconds* seconds. Of *contacts* contacts it is remembered."""

    def __init__(self, most: int, seconds: float, contacts: int = 1_000) -> None:
        """Begin with nobody."""
        self._most, self._seconds, self._contacts = most, seconds, contacts
        self._counts: OrderedDict[JID, tuple[float, int]] = OrderedDict()

    def exceeded(self, contact: JID, now: float) -> bool:
        """Count one more time for *contact* at the time *now*; return whether it is too often."""
        since, count = self._counts.pop(contact.bare, (now, 0))
        if not 0 <= now - since < self._seconds:
            since, count = now, 0
        self._counts[contact.bare] = (since, count + 1)
        if len(self._counts) > self._contacts:
            self._counts.popitem(last=False)
        return count >= self._most


class Account:
    """See the module."""

    def __init__(self, context: Context, make: Callable[[Callable[[int], bytes]], PrivateKey]) -> None:
        """Begin with what is in the view; *make* makes a key."""
        self.context = context
        self.keys = OwnKeys(context, make)
        self.table = Table(context)
        self.here: set[JID] = set()
        self.asked: dict[str, Question] = {}
        self.undecided: list[Request] = []
        """Requests for keys that wait for policy's word."""
        self.waiting: set[JID] = set()
        """Bare JIDs of whom something waits for our own keys."""
        self.requests = Rate(30, 60.0)
        self.replies = Rate(5, 60.0)
        self.complaints = Rate(1, 3600.0)
        self.warnings = Rate(1, 3600.0)
        self.read: OrderedDict[JID, str] = OrderedDict()
        """Under which of a contact's keys we have opened something last."""
        self._features: OrderedDict[JID, frozenset[str]] = OrderedDict()
        self._failures: OrderedDict[tuple[JID, str], tuple[str, float | None]] = OrderedDict()
        self._asked = count()
        self._stamps: OrderedDict[JID, int] = OrderedDict()
        self._stamped = 0
        self.fault = ""
        try:
            self.anchors = anchors_of(context.settings.get("anchors", ""))
        except LocalError as error:
            self.anchors, self.fault = (), str(error)

    # -- settings --

    def allowed(self, setting: str) -> bool:
        """Whether an option that is off by default is on: ``rsa1_5``, ``dir``, ``legacy_decode``."""
        return self.context.settings.get(setting, "").strip().lower() in _YES

    @property
    def signature(self) -> str:
        """The algorithm we sign with: setting ``signature``."""
        wanted = self.context.settings.get("signature", signing.DEFAULT)
        return wanted if wanted in signing.CHOICES else signing.DEFAULT

    @property
    def window(self) -> float:
        """Seconds by which clocks may differ: setting ``window``, which can only be less than the draft's 300."""
        wanted = self.context.settings.get("window", "")
        return min(WINDOW, float(wanted)) if wanted.isdecimal() and len(wanted) <= 7 else WINDOW

    # -- time --

    def stamp(self) -> int:
        """Milliseconds since 1970, more with each call: the draft wants what we send to increase."""
        self._stamped = max(int(self.context.clock() * 1000), self._stamped + 1)
        return self._stamped

    def earlier(self, peer: JID, at: float) -> bool:
        """Whether *peer* (full) wrote something later than *at* that was opened in the last ten minutes; notes *at*."""
        milliseconds = int(at * 1000)
        last = self._stamps.pop(peer, 0)
        self._stamps[peer] = max(last, milliseconds)
        while len(self._stamps) > MOST_PEERS:
            self._stamps.popitem(last=False)
        return milliseconds < last and self.context.clock() * 1000 - last < 600_000

    def note_read(self, contact: JID, sid: str) -> None:
        """Note that something of *contact* (bare) was opened with his key *sid*: what we write next says so."""
        self.read.pop(contact, None)
        self.read[contact] = sid
        while len(self.read) > MOST_PEERS:
            self.read.popitem(last=False)

    # -- who is there --

    def announced(self, peer: JID, features: frozenset[str]) -> tuple[e.Effect, ...]:
        """Take note of what *peer* (full) announces, and keep of the contact that he can read us."""
        self._features.pop(peer, None)
        self._features[peer] = features
        while len(self._features) > MOST_PEERS:
            self._features.popitem(last=False)
        if wire.ENCRYPTION not in features:
            return ()
        known = self._contact(peer)
        found = {"takes": known.get("takes", False) or OWN in features}
        if known == found:
            return ()
        return (e.Persist(key=f"contact:{peer.bare}", data=json.dumps(found).encode()),)

    def came(self, peer: JID) -> None:
        """Take note that *peer* (full) is there."""
        self.here.add(peer)

    def gone(self, peer: JID) -> None:
        """Take note that *peer* (full) is not there any more."""
        self.here.discard(peer)
        self._features.pop(peer, None)

    def reads(self, peer: JID) -> bool:
        """Whether *peer* (full, or bare for any of a contact's clients) can read us, as far as is known."""
        if peer in self._features:
            return wire.ENCRYPTION in self._features[peer]
        if any(wire.ENCRYPTION in features for one, features in self._features.items() if one.bare == peer):
            return True
        # Whoever wrote to us in it can read it, though what his client announces is not known yet.
        return self._is_contact(peer) or peer.bare in self.read

    def takes_keys(self, contact: JID) -> bool:
        """Whether *contact* announced once that he takes keys beforehand."""
        return bool(self._contact(contact).get("takes"))

    def is_there(self, contact: JID) -> bool:
        """Whether any client of *contact* is seen."""
        return any(one.bare == contact.bare for one in self.here)

    def knows(self, peer: JID) -> bool:
        """Whether *peer* may know that we are here: his presence is or was seen, or we wrote to him, or it is us."""
        ours = peer.bare == self.context.account
        return ours or peer in self.here or self._is_contact(peer) or self.is_there(peer)

    def _is_contact(self, peer: JID) -> bool:
        return self.context.view.record(f"contact:{peer.bare}") is not None

    def _contact(self, peer: JID) -> dict[str, bool]:
        record = self.context.view.record(f"contact:{peer.bare}")
        return {} if record is None else json.loads(record)

    # -- keys that are asked for --

    def new_question(self, question: Question) -> str | None:
        """A token for *question*, None if that is under way."""
        if any((one.peer, one.sid) == (question.peer, question.sid) for one in self.asked.values()):
            return None
        token = f"key {next(self._asked)}"
        self.asked[token] = question
        return token

    def stream_ended(self, own: JID) -> None:
        """Nothing that was asked from the stream of *own* is answered any more."""
        self.asked = {token: one for token, one in self.asked.items() if one.own != own}

    def failure(self, peer: JID, sid: str) -> str | None:
        """Why the key *sid* of *peer* could not be got, None if it may be asked for."""
        why, until = self._failures.get((peer, sid), (None, None))
        return why if until is None or self.context.clock() < until else None

    def note_failure(self, peer: JID, sid: str, why: str, *, final: bool) -> None:
        """Note that it could not. *final*: asking again is of no use."""
        self._failures[peer, sid] = (why, None if final else self.context.clock() + NOT_AGAIN_FOR)
        while len(self._failures) > MOST_FAILURES:
            self._failures.popitem(last=False)

    def forget_failures(self, contact: JID) -> None:
        """Something changed: keys of *contact* (bare) may be asked for once more."""
        for peer, sid in list(self._failures):
            if peer.bare == contact:
                del self._failures[peer, sid]
