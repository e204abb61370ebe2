"""What an element may look like if it is to leave beside a ciphertext, as data that is checked and written from.

Law 1 for the small things: an attribute, a namespace declaration or the blanks between two elements hold text as well
as a body does. So nothing that is allowed outside is copied: an element is compared with its ``Allowed`` and written anew
from it, and what is not in the ``Allowed`` does not exist in what is written.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, BadJID
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from e2eproxy.xmpp.tree import Node

_SPACES: Final = " \t\r\n"
_TOKEN: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,64}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+")
_URL_BASE64: Final = re.compile(r"[A-Za-z0-9_-]+")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_HEX: Final = re.compile(r"[0-9a-f]{40}")
_PRIORITY: Final = re.compile(r"[+-]?[0-9]{1,3}")
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_SOFTWARE: Final = re.compile(r"https?://[a-z0-9.-]{1,60}(?:/[A-Za-z0-9._~/-]{0,40})?#?")


@frozen
class Ids:
    """The ids that a stanza may repeat.

    *outer*: the id under which it leaves, None if it has none; *of_peer*: those the contact gave to what it sent to us,
    so that a receipt for one says nothing that the contact and its server did not say first; *nodes*: the service
    discovery nodes that the contact announced, in its capabilities (``node#ver``) or in answers.
    """

    outer: str | None = None
    of_peer: Collection[str] = ()
    nodes: Collection[str] = ()


NO_IDS: Final = Ids()


@frozen
class Shape:
    """What a text may be: *name* is how the documentation calls it, *test* is given the text and the ids."""

    name: str
    test: Callable[[str, Ids], bool]


def _pattern(name: str, pattern: re.Pattern[str]) -> Shape:
    return Shape(name, lambda text, _ids: pattern.fullmatch(text) is not None)


def one_of(*words: str) -> Shape:
    """Return the shape of exactly these words."""
    return Shape(" or ".join(f"`{word}`" for word in words), lambda text, _ids: text in words)


def without_spaces(text: str) -> str:
    """Return *text* without the white space XML knows."""
    return text.translate({ord(space): None for space in _SPACES})


def decoded(text: str, *, url: bool = False) -> bytes | None:
    """Return what *text* is the base64 (or base64url) of, white space in it apart; None if it is none.

    Padding has to be right in base64; in base64url it may be missing.
    """
    packed = without_spaces(text)
    digits = packed.rstrip("=")
    padded = digits + "=" * (-len(digits) % 4)
    if not (_URL_BASE64 if url else _BASE64).fullmatch(digits) or not (url or packed == padded):
        return None
    try:
        return base64.b64decode(padded, altchars=b"-_")
    except binascii.Error:
        return None


def _is_jid(text: str, _ids: Ids) -> bool:
    try:
        return not JID.parse(text).full
    except BadJID:
        return False


NOTHING: Final = Shape("no text at all", lambda text, _ids: not text.strip(_SPACES))
TOKEN: Final = _pattern("a UUID, or 16 to 64 hexadecimal digits", _TOKEN)
#: Written as the outer id, whatever the client wrote.
OUTER_ID: Final = Shape("the stanza's outer id", lambda _text, ids: ids.outer is not None)
PEER_ID: Final = Shape(
    "an id that the contact used, or a UUID or 16 to 64 hexadecimal digits",
    lambda text, ids: text in ids.of_peer or TOKEN.test(text, ids),
)
#: Nodes that standards name; any other has to be the contact's own, since a node is text.
NODES: Final = (
    "http://jabber.org/protocol/commands",
    "http://jabber.org/protocol/muc#rooms",
    "http://jabber.org/protocol/muc#traffic",
    "x-roomuser-item",
)
PEER_NODE: Final = Shape(
    "a node that the contact announced, or one of a standard",
    lambda text, ids: text in ids.nodes or text in NODES,
)
NUMBER: Final = _pattern("a number of at most 10 digits", _DIGITS)
BOOLEAN: Final = one_of("true", "false", "1", "0")
BARE_JID: Final = Shape("a bare JID", _is_jid)
BASE64: Final = Shape("text in base64", lambda text, _ids: decoded(text) is not None)
URL_BASE64: Final = Shape("text in base64url", lambda text, _ids: decoded(text, url=True) is not None)
PRIORITY: Final = _pattern("a number of at most 3 digits", _PRIORITY)
DATE_TIME: Final = _pattern("a date and time", _DATE_TIME)
SHA1: Final = _pattern("40 hexadecimal digits", _HEX)
SOFTWARE: Final = _pattern("the short URL of a program", _SOFTWARE)
ANYTHING: Final = Shape("any text", lambda _text, _ids: True)


@frozen(kw_only=True)
class Allowed:
    """An element that may stay outside, and why.

    *attributes* are all it may have, *required* those it must have; *children* are all it may hold, each at most
    *most* times. It must not hold anything else.
    """

    element: str
    why: str = ""
    attributes: Mapping[str, Shape] = field(factory=dict)
    required: frozenset[str] = frozenset()
    text: Shape = NOTHING
    children: tuple[Allowed, ...] = ()
    most: int = 1


def fits(node: Node, allowed: Allowed, ids: Ids = NO_IDS) -> bool:
    """Whether *node* is no more than *allowed* says."""
    if node.name != allowed.element or not allowed.required <= node.attributes.keys():
        return False
    for name, value in node.attributes.items():
        shape = allowed.attributes.get(name)
        if shape is None or not shape.test(value, ids):
            return False
    return allowed.text.test(node.text, ids) and _children_fit(node, allowed, ids)


def _children_fit(node: Node, allowed: Allowed, ids: Ids) -> bool:
    seen: dict[str, int] = {}
    for child in node.children:
        one = next((one for one in allowed.children if one.element == child.name), None)
        seen[child.name] = seen.get(child.name, 0) + 1
        if one is None or seen[child.name] > one.most or not fits(child, one, ids):
            return False
    return True


def written(node: Node, allowed: Allowed, ids: Ids = NO_IDS, around: str = names.CLIENT) -> bytes:
    """Return *node*, which fits *allowed*, written where *around* is the default namespace: what was checked, no more."""
    namespace, local = names.split_name(node.name)
    attributes = {"xmlns": namespace} if namespace != around else {}
    for name, shape in allowed.attributes.items():
        if name in node.attributes:
            attributes[name] = str(ids.outer) if shape is OUTER_ID else node.attributes[name]
    by_name = {one.element: one for one in allowed.children}
    inside = b"".join(written(child, by_name[child.name], ids, namespace) for child in node.children)
    if allowed.text is not NOTHING:
        inside = escape_text(node.text).encode() + inside
    return element(local, attributes, inside)
