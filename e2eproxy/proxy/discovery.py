"""Who announces what: asked by service discovery (XEP-0030) when a text is about to go there, remembered by caps (XEP-0115).

Policy's wait for a contact that is "not yet discovered" ends with what is found here. Presence alone costs a peer's own
entry and no question, so that whoever floods us with presence gets nothing asked and bounded memory filled (law 6).
No stream and no clock: questions go out by a callback, and the caller says when one got no answer (law 7).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, frozen
from twisted.logger import Logger

from e2eproxy.errors import RemoteError
from e2eproxy.proxy.known_caps import MOST_BYTES, MOST_VERS, KnownCaps
from e2eproxy.xmpp import caps, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

_ERROR: Final = names.CLIENT + names.SEPARATOR + "error"
_MARK: Final = b"protocol/caps"
_NOTHING: Final[frozenset[str]] = frozenset()


@frozen
class Bounds:
    """How much is remembered and asked.

    *peers*: full JIDs, of which one bare JID may have *resources* (rooms have many). *vers*: answers kept for others,
    together at most *kept_bytes* of memory. *questions*: open at once, *of_one* of them to one bare JID.
    """

    peers: int = 20_000
    resources: int = 1_000
    vers: int = MOST_VERS
    kept_bytes: int = MOST_BYTES
    questions: int = 100
    of_one: int = 20


class Ask(Protocol):
    """Sends a disco#info request; its end is told by ``Discovery.answered`` with the same *token*, once."""

    def __call__(self, to: JID, node: str | None, token: str) -> None:
        """Ask the full JID *to* about *node*, None for what it announces in general."""


class Found(Protocol):
    """Hears what *peer* announces; *known* is False if it could not be found out."""

    def __call__(self, peer: JID, features: frozenset[str], known: bool) -> None:
        """Take note; may call back into the Discovery."""


@define(eq=False)
class _Peer:
    """A full JID: what it announced, whether it is online, whether that was looked into, and the open question."""

    caps: caps.Caps | None = None
    there: bool = False
    settled: bool = False
    token: str | None = None


@frozen
class _Question:
    peer: JID
    caps: caps.Caps | None


class _Peers:
    """The full JIDs that are remembered. When there are too many, strangers are forgotten before contacts, oldest first.

    Whoever is not known to be a contact yet stands among the strangers.
    """

    def __init__(self, bounds: Bounds, is_contact: Callable[[JID], bool]) -> None:
        self._bounds = bounds
        self._is_contact = is_contact
        self._all: dict[JID, _Peer] = {}
        self._strangers: OrderedDict[JID, None] = OrderedDict()
        self._contacts: OrderedDict[JID, None] = OrderedDict()
        self._resources: dict[JID, dict[JID, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, peer: JID) -> _Peer | None:
        return self._all.get(peer)

    def of(self, contact: JID) -> Iterator[tuple[JID, _Peer]]:
        """Yield what is remembered of the bare JID *contact*, as it is now."""
        for peer in self._resources.get(contact, ()):
            yield peer, self._all[peer]

    def remember(self, peer: JID) -> _Peer:
        known = self._all.get(peer)
        if known is not None:
            return known
        mine = self._resources.get(peer.bare, {})
        if len(mine) >= self._bounds.resources:
            self.forget(next(iter(mine)))
        elif len(self._all) >= self._bounds.peers:
            self.forget(self._oldest())
        self._resources.setdefault(peer.bare, {})[peer] = None
        self._strangers[peer] = None
        known = self._all[peer] = _Peer()
        return known

    def forget(self, peer: JID) -> _Peer | None:
        """Forget *peer*; return what was known of it."""
        known = self._all.pop(peer, None)
        if known is not None:
            self._strangers.pop(peer, None)
            self._contacts.pop(peer, None)
            mine = self._resources[peer.bare]
            del mine[peer]
            if not mine:
                del self._resources[peer.bare]
        return known

    def _oldest(self) -> JID:
        while self._strangers:
            peer = next(iter(self._strangers))
            if not self._is_contact(peer.bare):
                return peer
            # Asked only now: the roster may have come, or grown, after the presence.
            del self._strangers[peer]
            self._contacts[peer] = None
        return next(iter(self._contacts))


class Discovery:
    """What the peers of one stream announce.

    *make_token* returns texts that nobody can guess. *is_contact* tells contacts' bare JIDs from strangers', who are
    forgotten first; without it everybody is a stranger. For each peer that ``wanted`` begins to look into, *found* is
    called once: at once if its answer is known from others, at the latest when the question ends. ``answers`` is what is
    known from others: its own, until it is given those that outlive the stream.
    """

    _log = Logger()

    def __init__(
        self,
        ask: Ask,
        found: Found,
        make_token: Callable[[], str],
        *,
        is_contact: Callable[[JID], bool] = lambda _contact: False,
        bounds: Bounds | None = None,
    ) -> None:
        self._ask = ask
        self._found = found
        self._make_token = make_token
        self._bounds = bounds or Bounds()
        self._peers = _Peers(self._bounds, is_contact)
        self.answers = KnownCaps(vers=self._bounds.vers, kept_bytes=self._bounds.kept_bytes)
        self._open: dict[str, _Question] = {}

    def presence(self, peer: JID, stanza: Stanza) -> None:
        """Take note of a presence that the server brought from the full JID *peer*; others are of no interest.

        One that went, or cannot be reached, is forgotten; if it was being asked, *found* is called, not known.
        """
        if not peer.full:
            return
        if stanza.type in {"unavailable", "error"}:
            gone = self._peers.forget(peer)
            if gone is not None and gone.token is not None:
                del self._open[gone.token]
                self._found(peer, _NOTHING, known=False)
            return
        if stanza.type is not None:
            return
        known = self._peers.remember(peer)
        if not known.there:
            # What it was asked before it came was perhaps answered by its server.
            known.there, known.settled = True, False
        # A server may leave unchanged caps out (XEP-0115 section 8.4), so what was announced before still holds.
        if _MARK not in stanza.raw:
            return
        try:
            announced = caps.announced(stanza)
        except RemoteError as error:
            self._log.debug("caps of {peer} cannot be read: {error}", peer=str(peer), error=str(error))
            return
        if announced is not None and announced != known.caps:
            known.caps = announced
            known.settled = False

    def nodes(self, contact: JID) -> frozenset[str]:
        """Return the service discovery nodes that *contact* (bare or full; all its resources count) announced."""
        every = [peer.caps for _, peer in self._peers.of(contact.bare) if peer.caps is not None]
        return frozenset(node for one in every for node in (one.node, one.full_node))

    def wanted(self, to: JID) -> bool:
        """See to it that what *to* announces is found out, since a text is about to go there.

        For a bare JID that is every resource that is online, for a full JID itself, seen or not. Returns False, and does
        nothing, for a bare JID of which none is. What was found out is not asked again until its caps change.
        """
        if to.full:
            self._peers.remember(to)
            self._look_into(to)
            return True
        online = [peer for peer, known in self._peers.of(to) if known.there]
        for peer in online:
            self._look_into(peer)
        return bool(online)

    def answered(self, token: str, stanza: Stanza | None) -> None:
        """Take the result or error that answers the question *token*, or None if none came in time.

        The caller has checked that it comes from whom was asked. A token that is not open (any more) is ignored.
        """
        question = self._open.pop(token, None)
        if question is None:
            return
        known = self._peers.get(question.peer)
        if known is not None and known.token == token:
            known.token = None
        info = None if stanza is None or stanza.type != "result" else self._read(question, stanza)
        if info is not None:
            self._found(question.peer, info, known=True)
            return
        others = self._of_others(question.caps)
        if others is not None:
            self._found(question.peer, others, known=True)
            return
        if known is not None and (stanza is None or _may_change(stanza)):
            known.settled = False
        self._found(question.peer, _NOTHING, known=False)

    def _read(self, question: _Question, stanza: Stanza) -> frozenset[str] | None:
        """Return the features in an answer; keep them for others if it is what was announced."""
        try:
            info = caps.answer(stanza)
        except RemoteError as error:
            self._log.debug(
                "the answer of {peer} cannot be read: {error}", peer=str(question.peer), error=str(error)
            )
            return None
        announced = question.caps
        if announced is not None and announced.verifiable and announced.ver == info.ver:
            self.answers.keep(info.ver, info.features)
        return info.features

    def _of_others(self, announced: caps.Caps | None) -> frozenset[str] | None:
        if announced is None or not announced.verifiable:
            return None
        return self.answers.get(announced.ver)

    def _look_into(self, peer: JID) -> None:
        known = self._peers.get(peer)
        # What *found* set off for one resource may have changed another.
        if known is None or known.settled or known.token is not None:
            return
        features = self._of_others(known.caps)
        if features is not None:
            known.settled = True
            self._found(peer, features, known=True)
        elif self._is_busy(peer.bare):
            self._log.warn("{peer} is not asked what it can do, too much is asked at once", peer=str(peer))
            self._found(peer, _NOTHING, known=False)
        else:
            known.settled = True
            known.token = token = self._make_token()
            self._open[token] = _Question(peer, known.caps)
            # Programs from before the hash know their node by other names; asked without one, all say everything.
            node = known.caps.full_node if known.caps is not None and known.caps.hash else None
            self._ask(peer, node, token)

    def _is_busy(self, contact: JID) -> bool:
        mine = sum(question.peer.bare == contact for question in self._open.values())
        return len(self._open) >= self._bounds.questions or mine >= self._bounds.of_one


def _may_change(error: Stanza) -> bool:
    """Whether an answer that is no result may be another one later: its type is ``wait`` (RFC 6120 section 8.3.2)."""
    try:
        found = error.child(_ERROR)
    except RemoteError:
        return False
    return found is not None and found.attributes.get("type") == "wait"
