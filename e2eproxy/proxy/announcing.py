"""What our client announces, with the methods' features in it: in its presence and in what it answers to service discovery.

A contact's proxy can only know by service discovery that there is a method here, and a client does not know that itself. So its answers
get the features added, and the hashes in its presence (XEP-0115, XEP-0390) are those of the answers with the features; who
asks for such a hash is answered here, for the client would not know it. What others keep under a hash of the client's own
is never touched: a peer that keeps it for all who have that client would believe the features of them all.

Law 3: while the client is asked what it can do, its presence and all behind it wait, a bounded time and in bounded memory.
Law 2: without features to announce, none of this exists. No stream and no clock (law 7).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import define, field, frozen
from twisted.logger import Logger

from e2eproxy.errors import RemoteError
from e2eproxy.proxy.notices import PROXY
from e2eproxy.xmpp import caps, disco_info, names, own_caps
from e2eproxy.xmpp.caps import Identity
from e2eproxy.xmpp.disco_info import DiscoInfo
from e2eproxy.xmpp.jid import JID, prepared
from e2eproxy.xmpp.own_caps import NOTHING, Announced
from e2eproxy.xmpp.stanza import Stanza, build, element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Seconds for which the client's presence waits until the client has said what it can do.
WAIT_SECONDS: Final = 2.0
#: Bytes of the client's stanzas that wait behind such a presence; with more, none of them waits.
MOST_WAITING: Final = 64 * 1024
#: Sets of features that are answered for: XEP-0390 section 5.3 asks for three.
MOST_SETS: Final = 3
#: What the client announced that is remembered, and questions to it of which an answer is still recognised.
MOST_KNOWN: Final = 8
#: Addresses that directed presence went to that are remembered.
MOST_SHOWN: Final = 1_000
#: The program of a client that names none, as those who hear its presence see it; no domain that somebody could own.
NODE: Final = f"https://{PROXY.domain}/"

#: Of a client that says that it knows nothing of service discovery.
_OF_NO_DISCO: Final = DiscoInfo((Identity("client", "pc"),), (caps.DISCO_INFO,))
_UNAVAILABLE: Final = frozenset(("service-unavailable", "feature-not-implemented"))
_ERROR: Final = names.CLIENT + names.SEPARATOR + "error"


@frozen
class _Question:
    """A question to the client about what it *announced*; with a *node* or, when that fails, without."""

    announced: Announced
    node: str | None


@define
class _Set:
    """What was announced with the methods' features in it, and the nodes by which it is asked for."""

    info: DiscoInfo
    nodes: set[str] = field(factory=set)


class Announcing:
    """That of the stream of *own*. *features* are the methods' at the moment.

    *proxy* is the proxy's own address, which asks the client. *to_client* sends the client a stanza,
    *later(seconds, function)* calls back unless the stream has ended. *go_on* takes stanzas of the client that have waited
    here, before all later ones. *may_know* says who gets the client's presence, directed presence apart.
    """

    _log = Logger()

    def __init__(
        self,
        own: JID,
        features: Callable[[], Iterable[str]],
        *,
        proxy: JID,
        to_client: Callable[[bytes], None],
        later: Callable[[float, Callable[[], None]], None],
        go_on: Callable[[Sequence[Stanza]], None],
        may_know: Callable[[JID], bool],
    ) -> None:
        self._own = own
        self._features = features
        self._proxy = proxy
        self._to_client = to_client
        self._later = later
        self._go_on = go_on
        self._gets_presence = may_know
        self._last = NOTHING
        # What the client can do by what it announces, None where it could not be found out.
        self._known: OrderedDict[Announced, DiscoInfo | None] = OrderedDict()
        self._questions: OrderedDict[str, _Question] = OrderedDict()
        self._sets: deque[_Set] = deque(maxlen=MOST_SETS)
        self._shown: OrderedDict[JID, None] = OrderedDict()
        #: To be read only: the client's stanzas that wait here.
        self.waiting: deque[Stanza] = deque()
        self._waiting_bytes = 0
        # Whether the client let a question go unanswered: then nothing waits for its answers any more.
        self._silent = False
        # Whether it said that it knows no service discovery.
        self._without_disco = False

    # -- from the client -----------------------------------------------------------------------------------------------

    def answered(self, stanza: Stanza) -> bool:
        """Whether a stanza of the client's answers a question that was asked here; it is dealt with then. Raises nothing."""
        question = self._questions.get(stanza.id or "")
        if question is None or stanza.kind != "iq" or prepared(stanza.to) != self._proxy:
            return False
        del self._questions[stanza.id or ""]
        self._hear(question, stanza)
        return True

    def from_client(self, stanza: Stanza) -> Stanza | None:
        """Return what takes the place of any other stanza of the client's; None if it waits. Raises nothing."""
        if self.waiting:
            self._wait(stanza)
            return None
        try:
            if stanza.kind == "presence":
                return self._presence(stanza)
            return self._result(stanza) if stanza.type == "result" else stanza
        except RemoteError:
            # Whoever looks at it next says what is wrong with it.
            return stanza

    def _release(self) -> None:
        """Let what waits go on."""
        if not self.waiting:
            return
        stanzas = list(self.waiting)
        self.waiting.clear()
        self._waiting_bytes = 0
        self._go_on(stanzas)

    def _wait(self, stanza: Stanza) -> None:
        self.waiting.append(stanza)
        self._waiting_bytes += len(stanza.raw)
        if self._waiting_bytes > MOST_WAITING:
            self.give_up()

    def give_up(self) -> None:
        """Wait no more for what the client can do: what waits goes on as it came."""
        self._silent = True
        for question in self._questions.values():
            if question.announced not in self._known:
                self._learn(question.announced, None)
        self._release()

    def _presence(self, stanza: Stanza) -> Stanza | None:
        if stanza.type is not None:
            self._gone(stanza)
            return stanza
        features = tuple(self._features())
        if not features:
            return stanza
        said = own_caps.announced(stanza)
        if said == NOTHING:
            # Servers that leave unchanged ones out take it that the last ones hold (XEP-0115 section 8.4). Under another
            # name: what the client wrote to one contact is not for us to write to the next (law 1).
            said = self._last
        self._last = said
        if said not in self._known:
            self._ask(_Question(said, said.node))
            if not self._silent:
                self._wait(stanza)
                return None
        self._note_shown(stanza)
        info = self._known.get(said)
        if info is None:
            return stanza
        merged = info.with_features(features)
        if merged == info:
            return stanza
        new = own_caps.rewritten(stanza, merged, NODE)
        self._announces(merged, new.nodes)
        return stanza.changed(new.raw)

    def _result(self, stanza: Stanza) -> Stanza:
        asked, node = disco_info.asked(stanza)
        if not asked:
            return stanza
        if node is None:
            features = tuple(self._features())
            return stanza.changed(disco_info.more_features(stanza, features)) if features else stanza
        if node in self._last.nodes:
            self._heard(stanza)
        return stanza

    def _heard(self, answer: Stanza) -> None:
        """Learn from what the client answers somebody else, if that is proved to be what it announces."""
        known = self._known.get(self._last)
        if known is None or not self._last.is_of(known):
            info = disco_info.read(answer)
            if self._last.is_of(info):
                self._learn(self._last, info)

    def _announces(self, info: DiscoInfo, nodes: Iterable[str]) -> None:
        """Note that from now on *info* is asked for by *nodes*."""
        known = next((one for one in self._sets if one.info == info), None)
        if known is not None:
            self._sets.remove(known)
        newest = known or _Set(info)
        if len(newest.nodes) > MOST_KNOWN:
            newest.nodes.clear()
        newest.nodes |= set(nodes)
        self._sets.append(newest)

    def _note_shown(self, presence: Stanza) -> None:
        to = prepared(presence.to)
        if to is not None:
            self._shown[to.bare] = None
            self._shown.move_to_end(to.bare)
            if len(self._shown) > MOST_SHOWN:
                self._shown.popitem(last=False)

    def _gone(self, presence: Stanza) -> None:
        if presence.type != "unavailable":
            return
        to = prepared(presence.to)
        if to is not None:
            self._shown.pop(to.bare, None)
        elif presence.to is None:
            self._shown.clear()

    # -- what the client is asked --------------------------------------------------------------------------------------

    def _ask(self, question: _Question) -> None:
        if any(question == one for one in self._questions.values()):
            return
        token = uuid4().hex
        self._questions[token] = question
        if len(self._questions) > MOST_KNOWN:
            self._questions.popitem(last=False)
        query = element("query", {"xmlns": caps.DISCO_INFO, "node": question.node})
        head = {"from": str(self._proxy), "to": str(self._own), "type": "get", "id": token}
        self._later(WAIT_SECONDS, lambda: self._late(token))
        self._to_client(build("iq", head, query))

    def _late(self, token: str) -> None:
        # The answer may still come: then the next presence has it.
        if token in self._questions:
            self._log.info("{own} has not said what it can do, so nothing is added to it", own=str(self._own))
            self.give_up()

    def _hear(self, question: _Question, stanza: Stanza) -> None:
        self._silent = False
        try:
            info = disco_info.read(stanza) if stanza.type == "result" else self._refused(question, stanza)
        except RemoteError as error:
            self._log.warn("what {own} can do cannot be read: {error}", own=str(self._own), error=str(error))
            info = None
        if info is None and question.node is not None and stanza.type == "error":
            self._ask(_Question(question.announced, None))
            return
        self._learn(question.announced, info)
        self._release()

    def _refused(self, question: _Question, error: Stanza) -> DiscoInfo | None:
        """Return what a client has that answers with *error*: nothing, if it knows no service discovery at all."""
        if question.announced != NOTHING:
            return None
        found = error.child(_ERROR)
        conditions = () if found is None else found.children
        if not any(names.split_name(one.name)[1] in _UNAVAILABLE for one in conditions):
            return None
        self._without_disco = True
        return _OF_NO_DISCO

    def _learn(self, announced: Announced, info: DiscoInfo | None) -> None:
        self._known[announced] = info
        self._known.move_to_end(announced)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    # -- what others ask -----------------------------------------------------------------------------------------------

    def answer(self, stanza: Stanza) -> Stanza | None:
        """Return the answer to a stanza of the server's that asks for what was announced here, None for any other."""
        if stanza.type != "get":
            return None
        try:
            asked, node = disco_info.asked(stanza)
        except RemoteError:
            return None
        asker = self._own.bare if stanza.from_ is None else prepared(stanza.from_)
        if not asked or asker is None or not self._may_know(asker):
            # The client decides whom it tells that it is there.
            return None
        info = self._asked_for(node)
        if info is None:
            return None
        head = {"type": "result", "to": stanza.from_, "id": stanza.id}
        try:
            return Stanza.parse(build("iq", head, info.query(node)))
        except (ValueError, RemoteError):
            return None

    def _asked_for(self, node: str | None) -> DiscoInfo | None:
        if node is not None:
            return next((one.info for one in reversed(self._sets) if node in one.nodes), None)
        return _OF_NO_DISCO.with_features(self._features()) if self._without_disco else None

    def _may_know(self, asker: JID) -> bool:
        own = asker.bare == self._own.bare or str(asker) == self._own.domain
        return own or asker.bare in self._shown or self._gets_presence(asker)
