"""Which kind an outbound stanza is, from its tree and what is known of the session (law 1).

Nothing here decides anything; it finds the row of the kinds table. It asks for the dangerous kinds first, and what
fits none of its questions is ``UNKNOWN``, which is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.proxy import payloads, stand_down
from e2eproxy.proxy.allowed_children import BODY, MUC_USER, Carries, split
from e2eproxy.proxy.kinds import Kind
from e2eproxy.proxy.shapes import NO_IDS, Ids, fits
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, BadJID, prepared

if TYPE_CHECKING:
    from collections.abc import Collection

    from e2eproxy.proxy.stand_down import Encrypted
    from e2eproxy.xmpp.tree import Node

#: Characters of an address: three parts of 1,023 bytes, and what stands between and around them.
_LONGEST_ADDRESS: Final = 4_000
_COMMAND: Final = re.compile(r"\s*/e2e(\s|$)", re.IGNORECASE)
_SUBSCRIPTIONS: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})
_AVAILABILITIES: Final = frozenset({None, "unavailable", "probe"})
_REQUESTS: Final = frozenset({"get", "set"})
_MUC_JOIN: Final = payloads.MUC + names.SEPARATOR + "x"
_MUC_USER_X: Final = MUC_USER + names.SEPARATOR + "x"
ADDRESSES: Final = payloads.ADDRESSES + names.SEPARATOR + "addresses"
_ADDRESS: Final = payloads.ADDRESSES + names.SEPARATOR + "address"

_PAST_METHODS: Final[dict[str, Kind]] = {
    **dict.fromkeys(payloads.TRANSFER, Kind.TRANSFER),
    **dict.fromkeys(payloads.UPLOAD, Kind.UPLOAD),
    **dict.fromkeys(payloads.ARCHIVING, Kind.ARCHIVING),
}


@frozen(kw_only=True)
class Scene:
    """What is known when a stanza is classified.

    *own*: the full JID the server bound. *rooms*: bare JIDs of rooms the client is in or asked to join. *proxy*: the
    proxy's reserved JID. *speaks*: the end-to-end systems the client speaks itself (names of ``stand_down.SYSTEMS``).
    """

    own: JID
    rooms: Collection[JID] = ()
    proxy: JID | None = None
    speaks: Collection[str] = ()


@frozen(kw_only=True)
class Classified:
    """A stanza's *kind* and whom it concerns.

    *to*: the prepared address, None for no ``to`` or a bad one. *contact*: the bare JID whose setting is asked, None
    where the kind is nobody's or the account's. *recipients*: bare JIDs of all it goes to, for multicast.
    *encrypted*: what leaves of a stanza the client encrypted.
    """

    kind: Kind
    to: JID | None = None
    contact: JID | None = None
    recipients: tuple[JID, ...] = ()
    encrypted: Encrypted | None = field(default=None, repr=False)


def classify(tree: Node, scene: Scene, ids: Ids = NO_IDS, *, literal: bool = False) -> Classified:
    """Return what *tree*, a stanza from the client, is; *literal*: a text that looks like a command is none."""
    if tree.name not in names.STANZAS:
        return Classified(kind=Kind.UNKNOWN)
    try:
        written = tree.attributes.get("to")
        to = None if written is None else JID.parse(written)
        recipients = _addressees(tree)
    except BadJID:
        return Classified(kind=Kind.BAD_ADDRESS)
    contact = scene.own.bare if to is None else to.bare
    if scene.proxy is not None and (contact == scene.proxy or _asks_about(tree, scene.proxy)):
        return Classified(kind=Kind.PROXY, to=to)
    if recipients is not None:
        found = {contact, *recipients}
        return Classified(kind=Kind.MULTICAST, to=to, recipients=tuple(sorted(found, key=str)))
    encrypted = stand_down.encrypted(tree, scene.speaks)
    if encrypted is not None:
        return Classified(kind=Kind.ENCRYPTED, to=to, contact=contact, encrypted=encrypted)
    ask = {names.MESSAGE: _message, names.PRESENCE: _presence, names.IQ: _iq}[tree.name]
    said = not literal and _is_said_to_proxy(tree)
    return Classified(kind=Kind.PROXY if said else ask(tree, to, scene, ids), to=to, contact=contact)


def _is_said_to_proxy(tree: Node) -> bool:
    answerable = tree.name == names.MESSAGE and tree.attributes.get("type") != "error"
    return answerable and command(tree) is not None


def command(tree: Node) -> str | None:
    """Return the text of the message *tree* if it is a command to the proxy, wherever it is addressed."""
    bodies = [child.text for child in tree.children if child.name == BODY]
    return next((body for body in bodies if _COMMAND.match(body)), None)


def _asks_about(tree: Node, proxy: JID) -> bool:
    """Whether the client asks the server, or anybody, about the proxy's contact, of which nobody else is to hear."""
    if tree.name != names.IQ or tree.attributes.get("type") not in _REQUESTS:
        return False
    return any(_names(child, proxy) for child in tree.children)


def _names(tree: Node, proxy: JID) -> bool:
    values = (*tree.attributes.values(), tree.text)
    return any(_is_address_of(value, proxy) for value in values) or any(
        _names(child, proxy) for child in tree.children
    )


def _is_address_of(text: str, proxy: JID) -> bool:
    if len(text) > _LONGEST_ADDRESS or not text or text.isspace():
        return False
    jid = prepared(text.strip())
    return jid is not None and jid.domain == proxy.domain


def _addressees(tree: Node) -> list[JID] | None:
    """Return the bare JIDs in the stanza's XEP-0033 addresses, None if it has none. Raises BadJID."""
    found = [child for child in tree.children if child.name == ADDRESSES]
    if not found:
        return None
    every = [address for addresses in found for address in addresses.children if address.name == _ADDRESS]
    return [JID.parse(address.attributes["jid"]).bare for address in every if "jid" in address.attributes]


def _message(tree: Node, to: JID | None, scene: Scene, ids: Ids) -> Kind:  # noqa: PLR0911 - one question a line
    what = tree.attributes.get("type")
    if what == "error":
        return Kind.ERROR
    if what == "groupchat":
        return Kind.GROUP_CHAT
    if any(names.split_name(child.name)[0] in payloads.TRANSFER for child in tree.children):
        return Kind.TRANSFER
    if to is not None and to.bare in scene.rooms:
        return Kind.MUC_PRIVATE if to.full else Kind.ROOM_REQUEST
    mark = tree.child(_MUC_USER_X)
    if mark is not None and mark.children:
        return Kind.ROOM_REQUEST
    if not any(child.name == BODY for child in tree.children):
        return Kind.SIGNAL if _only_signals(tree, ids) else Kind.BODYLESS
    return Kind.SELF if to is None or to.bare == scene.own.bare else Kind.CHAT


def _only_signals(tree: Node, ids: Ids) -> bool:
    # An outer id is not always made yet; that an origin-id is allowed does not depend on which it is.
    known = evolve(ids, outer="0")
    return not tree.text.strip() and not split(tree.children, Carries.NOTHING, known).dropped


def _presence(tree: Node, to: JID | None, scene: Scene, _ids: Ids) -> Kind:
    what = tree.attributes.get("type")
    if what == "error":
        return Kind.ERROR
    if what in _SUBSCRIPTIONS:
        return Kind.SUBSCRIPTION
    if what not in _AVAILABILITIES:
        return Kind.UNKNOWN
    if to is None:
        return Kind.PRESENCE
    in_room = to.bare in scene.rooms or (to.full and tree.child(_MUC_JOIN) is not None)
    return Kind.ROOM_PRESENCE if in_room else Kind.DIRECTED_PRESENCE


def _iq(tree: Node, to: JID | None, scene: Scene, ids: Ids) -> Kind:  # noqa: PLR0911 - one question a line
    what = tree.attributes.get("type")
    if what in {"error", "result"}:
        return Kind.ERROR if what == "error" else _result(tree)
    if what not in _REQUESTS or len(tree.children) != 1 or not tree.attributes.get("id"):
        return Kind.UNKNOWN
    (payload,) = tree.children
    namespace = names.split_name(payload.name)[0]
    past_methods = _PAST_METHODS.get(namespace)
    if past_methods is not None:
        return past_methods
    if to is None or to in {scene.own.bare, JID("", scene.own.domain)}:
        return _own(namespace)
    if what == "get" and payloads.harmless(payload, ids) is not None:
        return Kind.IQ_HARMLESS
    if to.bare in scene.rooms:
        return Kind.ROOM_IQ
    asks_keys = what == "get" and scene.speaks and fits(payload, payloads.KEY_REQUEST)
    return Kind.KEY_REQUEST if asks_keys else Kind.IQ


def _own(namespace: str) -> Kind:
    if namespace == payloads.ROSTER:
        return Kind.ROSTER
    if namespace in payloads.VCARD:
        return Kind.VCARD
    if namespace in payloads.PRIVATE:
        return Kind.PRIVATE
    if namespace in payloads.PUBLISH:
        return Kind.PEP
    return Kind.OWN_IQ if namespace in payloads.OWN else Kind.OWN_IQ_UNKNOWN


def _result(tree: Node) -> Kind:
    namespaces = {names.split_name(child.name)[0] for child in tree.children}
    return Kind.IQ_RESULT_OF_ITSELF if namespaces <= payloads.TOLD_OF_ITSELF else Kind.IQ_RESULT
