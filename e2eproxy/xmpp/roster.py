"""A copy of the account's roster, taken from what passes: who is a contact, and with which subscription.

Policy depends on it (a stranger is treated otherwise), so it is only believed from our own server: results of requests
that were made, and pushes that come from the account itself (RFC 6121 section 2.1.6). Until it is ``known`` nobody is a
contact. The roster itself passes unchanged; if the client never asks for it, the proxy does, once, and what comes of
that does not reach the client. Names and groups are not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast
from xml.parsers import expat

from attrs import field, frozen

from e2eproxy.xmpp import names
from e2eproxy.xmpp.archive_queries import is_from
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.spans import BadElement
from e2eproxy.xmpp.stanza import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2eproxy.xmpp.stanza import Stanza

Subscription = Literal["none", "to", "from", "both"]

ROSTER: Final = "jabber:iq:roster"
#: Contacts kept; later ones count as strangers.
MOST_CONTACTS: Final = 50_000
#: Requests of the client's that may be open at once; the oldest is forgotten when there are more.
_MOST_REQUESTS: Final = 16
#: Characters of an id or a version that are kept; longer ones are not noted.
_LONGEST: Final = 1_023
_QUERY: Final = ROSTER + names.SEPARATOR + "query"
_ITEM: Final = ROSTER + names.SEPARATOR + "item"
_SUBSCRIPTIONS: Final[dict[str, Subscription]] = {"none": "none", "to": "to", "from": "from", "both": "both"}


@frozen
class Snapshot:
    """A roster to be stored: its version (opaque, None without one) and subscriptions by prepared bare JID."""

    version: str | None
    subscriptions: Mapping[str, Subscription] = field(repr=False)


@frozen
class Change:
    """A contact whose subscription is another now (None: none any more), "" if it cannot be read; and the new version."""

    version: str | None
    contact: str
    subscription: Subscription | None


@frozen
class Reaction:
    """What comes of a stanza of the server's.

    ``swallow``: it is not for the client. ``to_server``: an answer in the client's place. ``changed``: there is a new
    ``snapshot``; if only of one contact, ``change`` says of whom.
    """

    swallow: bool = False
    to_server: bytes = b""
    changed: bool = False
    change: Change | None = None


_PASS: Final = Reaction()


@frozen
class _Request:
    id: str
    version: str | None
    ours: bool = False


class RosterCopy:
    """The roster of the account *own* (a prepared bare JID) in one session; *stored* is what an earlier one left."""

    def __init__(self, own: JID, stored: Snapshot | None = None) -> None:
        self._own = own
        self._stored = stored
        self._requests: list[_Request] = []
        self._asked = False
        self._client_asked = False
        self._version: str | None = None
        self._subscriptions: dict[str, Subscription] = {}
        #: Whether the copy is the server's roster; until then nobody is a contact.
        self.known = False
        #: Whether there were more contacts than are kept.
        self.overflowed = False

    def __len__(self) -> int:
        """Return how many contacts are known."""
        return len(self._subscriptions)

    # -- look-ups ----------------------------------------------------------------------------------------------------

    def subscription(self, jid: JID) -> Subscription | None:
        """Return the subscription of a contact, or None for a stranger, as everybody is while nothing is known."""
        return self._subscriptions.get(str(jid.bare))

    def gets_our_presence(self, jid: JID) -> bool:
        """Whether *jid* is a contact that is subscribed to our presence."""
        return self.subscription(jid) in {"from", "both"}

    def snapshot(self) -> Snapshot | None:
        """Return what to store, None while nothing is known."""
        return Snapshot(self._version, dict(self._subscriptions)) if self.known else None

    # -- requests ----------------------------------------------------------------------------------------------------

    @property
    def should_ask(self) -> bool:
        """Whether only a request of the proxy's own would make the roster known."""
        return not self.known and not self._asked and not self._requests

    def request(self, request_id: str) -> bytes:
        """Return the proxy's own request, made once; *request_id* must be one nobody can guess.

        It names no version, so that the answer is the whole roster.
        """
        if self._asked:
            raise ValueError("The roster is asked for once.")
        self._asked = True
        self._requests.append(_Request(request_id, None, ours=True))
        content = f"<query xmlns='{ROSTER}'/>".encode()
        return build("iq", {"type": "get", "id": request_id}, content)

    def from_client(self, stanza: Stanza) -> None:
        """Note a request of the client's. Raises BadElement if it is an IQ that cannot be read."""
        if stanza.kind != "iq" or stanza.type != "get" or not is_from(stanza.to, self._own, self._own):
            return
        query = stanza.child(_QUERY)
        if query is None:
            return
        self._client_asked = True
        version = query.attributes.get("ver")
        if stanza.id is None or max(len(stanza.id), len(version or "")) > _LONGEST:
            return
        theirs = [one for one in self._requests if not one.ours]
        if len(theirs) >= _MOST_REQUESTS:
            self._requests.remove(theirs[0])
        self._requests.append(_Request(stanza.id, version))

    # -- what the server says ----------------------------------------------------------------------------------------

    def from_server(self, stanza: Stanza) -> Reaction:
        """Take a stanza of the server's. Raises BadElement if it is about the roster and cannot be read."""
        if stanza.kind != "iq":
            return _PASS
        if stanza.type == "set":
            return self._push(stanza)
        if stanza.type not in {"result", "error"}:
            return _PASS
        request = next((one for one in self._requests if one.id == stanza.id), None)
        if request is None:
            return _PASS
        if not is_from(stanza.from_, self._own, self._own):
            # Nobody else was asked; the client must not see an answer to what it did not ask.
            return Reaction(swallow=request.ours)
        self._requests.remove(request)
        changed = stanza.type == "result" and self._answered(stanza, request)
        return Reaction(swallow=request.ours, changed=changed)

    def _answered(self, stanza: Stanza, request: _Request) -> bool:
        """Take over the answer to *request*; return whether the copy is another one now."""
        found = _items(stanza)
        if found is None:
            return self._unchanged(request)
        version, items = found
        self._version = version
        self._subscriptions = {}
        self.overflowed = False
        for jid, subscription in items:
            self._set(jid, subscription)
        self.known = True
        return True

    def _unchanged(self, request: _Request) -> bool:
        """Take the stored copy if the server said that the version asked with is still the roster (RFC 6121 2.6.3)."""
        stored = self._stored
        if self.known or stored is None or not request.version or stored.version != request.version:
            return False
        self._version = stored.version
        self._subscriptions = dict(stored.subscriptions)
        self.known = True
        return False

    def _push(self, stanza: Stanza) -> Reaction:
        if not is_from(stanza.from_, self._own, self._own):
            return _PASS
        query = stanza.child(_QUERY)
        if query is None:
            return _PASS
        items = query.all(_ITEM)
        change = None
        if self.known and len(items) == 1:
            attributes = items[0].attributes
            contact = self._set(attributes.get("jid"), attributes.get("subscription"))
            self._version = _bounded(query.attributes.get("ver"))
            change = Change(self._version, contact, self._subscriptions.get(contact))
        changed = change is not None
        if not self._asked or self._client_asked:
            return Reaction(changed=changed, change=change)
        # The server sends pushes because the proxy asked, so the proxy answers them.
        answer = build("iq", {"type": "result", "id": stanza.id, "to": stanza.from_})
        return Reaction(swallow=True, to_server=answer, changed=changed, change=change)

    def _set(self, jid: str | None, subscription: str | None) -> str:
        """Enter a contact or take one out, and return it; what cannot be read is left out, and so counts as a stranger."""
        try:
            key = str(JID.parse(jid or "").bare)
        except BadJID:
            return ""
        kept = _SUBSCRIPTIONS.get(subscription or "none")
        if kept is None:
            self._subscriptions.pop(key, None)
        elif key in self._subscriptions or len(self._subscriptions) < MOST_CONTACTS:
            self._subscriptions[key] = kept
        else:
            self.overflowed = True
        return key


def _bounded(version: str | None) -> str | None:
    return version if version is not None and len(version) <= _LONGEST else None


def _items(stanza: Stanza) -> tuple[str | None, list[tuple[str | None, str | None]]] | None:
    """Return version and (jid, subscription) of each item in a result, or None if it holds no roster.

    A roster can have tens of thousands of items, so no tree is made of it. Raises BadElement if it cannot be read.
    """
    version: list[str | None] = []
    items: list[tuple[str | None, str | None]] = []
    path: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        if path[1:] == [_QUERY]:
            version.append(_bounded(attributes.get("ver")))
        elif path[1:] == [_QUERY, _ITEM] and len(items) <= MOST_CONTACTS:
            items.append((attributes.get("jid"), attributes.get("subscription")))

    def end(_name: str) -> None:
        path.pop()

    parser = expat.ParserCreate("utf-8", names.SEPARATOR, {})
    undeferred = cast("Callable[[bool], None] | None", getattr(parser, "SetReparseDeferralEnabled", None))
    if undeferred is not None:
        undeferred(False)
    try:
        parser.Parse(stanza.root, False)
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.Parse(stanza.raw, False)
        whole = not path
    except (expat.ExpatError, IndexError):
        whole = False
    if not whole:
        raise BadElement("A roster is not well-formed.")
    return (version[0], items) if version else None
