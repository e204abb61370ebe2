"""One place, written in one state of a conversation: what the server sees of it, and what becomes of the stanza."""

from __future__ import annotations

import random

from attrs import frozen

from bed.guard_world import JULIET, ROOT
from bed.place import OTHER_SPELLINGS, SPELLINGS, Writing
from bed.session_states import AFTER_OPENING, CANARY, METHODS, POLICIES, STATES, told
from e2eproxy.errors import RemoteError
from e2eproxy.methods.door import Recognition
from e2eproxy.proxy.allowed_children import CHAT_STATES, EVENTS, HINTS, MARKERS, RECEIPTS
from e2eproxy.proxy.kinds import KINDS, Kind
from e2eproxy.proxy.notices import PROXY
from e2eproxy.testing.directory import NODE
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.stanza import Stanza, build

#: Namespaces of what a client says by itself, without any word of the user's.
_SIGNALS = frozenset((CHAT_STATES, RECEIPTS, MARKERS, EVENTS, HINTS))
#: Methods with a handshake, which protect nothing but a text: no ids.
HANDSHAKES = ("session", "otr")
#: Seconds after which nothing may be held any more.
PATIENCE = 61

#: What happens once the place is written. A client whose stanza was not acknowledged may send the same again.
AFTERWARDS = ("wait", "stream ends", "stream lost, sent again", "killed", "killed, sent again")


@frozen
class Group:
    """When and how a place is written; all are names."""

    method: str
    state: str
    policy: str
    afterwards: str = "wait"

    def __str__(self) -> str:
        """For the report of a fault."""
        return f"{self.method} method, {self.state}, {self.policy}, {self.afterwards}"


GROUPS = [Group(method, state, policy) for policy in POLICIES for method in METHODS for state in STATES]


def fits(place, group) -> bool:
    """Whether *place* can be written in *group*, and policy says something about it there."""
    if place.answers and group.state not in AFTER_OPENING:
        return False
    if (place.needs == "id" and group.method in HANDSHAKES) or (
        place.needs == "iq" and group.method != "box"
    ):
        return False
    return _concerns(place, group.policy)


def _concerns(place, policy) -> bool:
    if policy == "require":
        return True
    return place.of_contact and (KINDS[place.kind].sticky or policy != "prefer, sticky")


def lasting(group) -> bool:
    """Whether *group*'s state is still about the same when a place was written in it."""
    return group.state in AFTER_OPENING | {"none"} and group.afterwards == "wait"


class Conversation:
    """A world in which places are written one after the other; *twin* makes a broken pipeline of Romeo's."""

    def __init__(self, group, seed, twin=None):
        self.group, self.seed = group, seed
        self.world = told(group, twin=twin, manages="again" in group.afterwards)
        self.romeo, self.juliet = self.world.sides
        self.romeo.leaks = twin is not None

    @property
    def lasts(self) -> bool:
        """Whether another place can be written: the state is still about the same."""
        return lasting(self.group) and not self.romeo.client.finished

    def write(self, place):
        """Write *place*, and let happen what happens afterwards."""
        for side in self.world.sides:
            side.read()
            side.seen.clear()
            side.shown.clear()
            side.login = b""
        raw = place.stanza(self._writing(place))
        if place.kind is Kind.IQ_RESULT_OF_ITSELF and not place.answers and not place.name.startswith("id "):
            self._asked(raw)
        if place.header:
            self.romeo.end_stream()
            self.romeo.log_in(raw)
            self.world.run()
        else:
            self.world.acknowledges = "again" not in self.group.afterwards
            self.romeo.write(raw)
        self._go_on(raw)
        return Try(place, self, raw)

    def _asked(self, raw):
        """The contact asks what *raw* answers."""
        asked = {
            "from": str(JULIET),
            "to": str(self.romeo.jid),
            "type": "get",
            "id": Stanza.parse(raw, ROOT).id,
        }
        self.romeo.server.deliver(build("iq", asked, b"<query xmlns='jabber:iq:version'/>"))

    def _writing(self, place):
        """How *place* is written: by the seed, and the same whatever was written before."""
        rng = random.Random(f"{self.seed} {self.group} {place.name}")
        form = rng.choice(list(SPELLINGS))
        if place.beyond.startswith("what a client encrypted"):
            form = "base64 at offset 1"
        to = rng.choice((str(JULIET), str(JULIET), *OTHER_SPELLINGS))
        more = {}
        if place.answers:
            more = {"opened": _inside(self.world.opened), "opened_id": self.world.opened.id}
        if place.answers and self.world.opened_request is not None:
            request = self.world.opened_request
            more |= {"request": _inside(request), "request_id": request.id}
        return Writing(canary=CANARY.token, c=SPELLINGS[form](CANARY.token), to=to, **more)

    def _go_on(self, raw):
        ending = self.group.afterwards
        if ending != "wait" and not self.romeo.client.finished:
            if ending.startswith("killed"):
                self.romeo.start()
            elif ending == "stream ends":
                self.romeo.end_stream()
            else:
                self.romeo.lose_stream()
            self.romeo.read()
            self.romeo.log_in()
            self.world.acknowledges = True
            self.romeo.write(b"<presence/>")
            self.romeo.knows(self.juliet)
            if "again" in ending:
                self.romeo.write(raw)
        self.world.wait(PATIENCE)


class Try:
    """One place, written once in a conversation."""

    def __init__(self, place, conversation, raw):
        self.place, self.group, self.raw = place, conversation.group, raw
        self.romeo, self.juliet = conversation.romeo, conversation.juliet

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def leaks(self) -> list[str]:
        """How the server sees the canary."""
        return CANARY.places([self.romeo.login, *self.romeo.seen])

    @property
    def fate(self) -> set[str]:
        """What became of the stanza: it came back, it left, the peer was shown it, the proxy spoke about it."""
        stanza = Stanza.parse(self.raw, ROOT)
        found = set()
        for one in self.romeo.read():
            if one.type == "error" and one.id == stanza.id:
                found.add("came back")
            if one.from_ == str(PROXY):
                found.add("notice")
        for raw in self.romeo.seen:
            found |= self._left(stanza, raw)
        if any(one.kind == stanza.kind and one.type != "error" for one in self.juliet.read()):
            found.add("shown")
        return found

    def _left(self, stanza, raw) -> set[str]:
        try:
            seen = Stanza.parse(raw, ROOT)
        except RemoteError:
            return set()
        if seen.name != stanza.name or NODE.encode() in raw:
            return set()
        if METHODS[self.group.method]().recognise(seen) is Recognition.NONE:
            return {"left"} if _bare(seen.to) == _bare(stanza.to) else set()
        # The messages of a handshake look like sealed ones.
        to_him = _bare(seen.to) == (_bare(stanza.to) or self.romeo.jid.bare)
        return {"left sealed"} if to_him and self.group.method not in HANDSHAKES else set()

    def faults(self) -> list[str]:
        """What must not be, as sentences."""
        where = f"{self.place.name} ({self.group})"
        found = [f"{where}: {bug}" for side in (self.romeo, self.juliet) for bug in side.bugs]
        leaks = self.leaks
        if leaks and not self.may_be_seen:
            raw = next((one for one in self.romeo.seen if CANARY.places([one])), b"")
            found.append(f"{where}: the server sees it, {', '.join(leaks[:2])}: {self.raw!r} left as {raw!r}")
        if not self.place.no_stanza and not self.fate and not self._may_vanish:
            found.append(f"{where}: it vanished: {self.raw!r}")
        return found

    @property
    def _may_vanish(self) -> bool:
        """Whether nobody has to hear of it: what says nothing to the proxy, or what nobody misses once a stream is gone."""
        if self.place.kind is Kind.PROXY:
            return b"<body" not in self.raw
        if self.group.afterwards == "wait":
            return False
        stanza = Stanza.parse(self.raw, ROOT)
        signals = all(names.split_name(child.name)[0] in _SIGNALS for child in stanza.children)
        return stanza.kind == "presence" or stanza.type in {"error", "result"} or signals

    @property
    def may_be_seen(self) -> bool:
        """Whether the kinds table, or the nature of the place, says that the server sees it."""
        return self.place.visible or bool(self.place.beyond)


def _bare(address):
    try:
        return None if address is None else JID.parse(address).bare
    except BadJID:
        return None


def _inside(stanza):
    """What was in *stanza*, as a client that echoes it writes it."""
    return b"".join(stanza.standalone_part(child) for child in stanza.children).decode()
