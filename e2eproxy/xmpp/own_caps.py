"""What a presence of our client announces about it (XEP-0115, XEP-0390), and the same presence announcing something else.

Law 2: only the hashes are written anew, where they stand; an element is only made where there is none, or where a hash
would be in a function that nobody here can compute. A hash is never left beside an answer that it is not of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.xmpp import capability_hashes as hashes
from e2eproxy.xmpp import caps
from e2eproxy.xmpp.markup import attributes_of, element, escape_text, escape_value

if TYPE_CHECKING:
    from e2eproxy.xmpp.disco_info import DiscoInfo
    from e2eproxy.xmpp.spans import Span
    from e2eproxy.xmpp.stanza import Stanza

#: Elements and hashes of one presence that are looked at; further ones are left out.
MOST: Final = 8


@frozen
class Announced:
    """What a client announces of itself, the same as long as its features are; *hashes* are (function, value)."""

    caps: caps.Caps | None = None
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def node(self) -> str | None:
        """The service discovery node under which the client is asked for just this, None for that without a name."""
        if self.caps is not None and self.caps.hash:
            return self.caps.full_node
        # A version from before the hash stands for a part of the features, so all are asked for.
        return hashes.hash_node(*self.hashes[0]) if self.hashes and self.caps is None else None

    @property
    def nodes(self) -> frozenset[str]:
        """All nodes by which others know just this."""
        own = set() if self.caps is None else {self.caps.full_node}
        return frozenset(own | {hashes.hash_node(*one) for one in self.hashes})

    def is_of(self, info: DiscoInfo) -> bool:
        """Whether a hash proves that this was announced of *info*."""
        said = self.caps
        if said is not None and said.hash in caps.VER_HASHES:
            return info.ver(said.hash) == said.ver
        known = [one for one in self.hashes if one[0] in hashes.FUNCTIONS]
        return bool(known) and all(info.hash(name) == value for name, value in known)


#: What a client announces that sends no such elements.
NOTHING: Final = Announced()


@frozen
class Rewritten:
    """A presence that announces something else, and the nodes by which others will ask for it."""

    raw: bytes
    nodes: frozenset[str]


def announced(presence: Stanza) -> Announced:
    """Return what *presence* announces. Raises BadElement if it cannot be read."""
    return Announced(caps.announced(presence), tuple(_hashes(presence)[:MOST]))


def rewritten(presence: Stanza, info: DiscoInfo, node: str) -> Rewritten:
    """Return *presence* announcing *info*; *node* names the program where the client names none.

    Raises BadElement if it cannot be read.
    """
    old, new = presence.all(caps.C), presence.all(hashes.C)
    nodes: set[str] = set()
    parts: dict[Span, bytes] = {}
    for part in old:
        parts[part] = _old_element(part, info, node, nodes) if part is old[0] else b""
    for part in new:
        parts[part] = _new_element(part, info, nodes) if part is new[0] else b""
    if parts:
        return Rewritten(presence.replaced(parts), frozenset(nodes))
    return Rewritten(presence.appended(_made(info, node, nodes)), frozenset(nodes))


def _hashes(presence: Stanza) -> list[tuple[str, str]]:
    found = [part for one in presence.all(hashes.C)[:1] for part in one.children if part.name == hashes.HASH]
    short = [(part.attributes.get("algo", ""), "".join(part.text.split())) for part in found[:MOST]]
    return [one for one in short if all(0 < len(text) <= caps.LONGEST_VER for text in one)]


def _made(info: DiscoInfo, node: str, nodes: set[str]) -> bytes:
    ver = info.ver()
    nodes.add(f"{node}#{ver}")
    return element("c", {"xmlns": caps.CAPS, "hash": "sha-1", "node": node, "ver": ver})


def _old_element(part: Span, info: DiscoInfo, node: str, nodes: set[str]) -> bytes:
    """Return the element of XEP-0115 for *info*: the client's with another value, or one in today's form."""
    given = part.attributes
    own = given.get("node", "")
    if not 0 < len(own) <= caps.LONGEST_NODE:
        return _made(info, node, nodes)
    if given.get("hash") not in caps.VER_HASHES:
        # Of before the hash, or of a function that is not known: what others keep of it is kept for the whole program.
        return _made(info, own, nodes)
    tag = part.start_tag
    place = next((one for one in attributes_of(tag) if one.name == b"ver"), None)
    if place is None:
        return _made(info, own, nodes)
    ver = info.ver(given["hash"])
    nodes.add(f"{own}#{ver}")
    quote = tag[place.value_end : place.value_end + 1].decode()
    written = tag[: place.value_start] + escape_value(ver, quote).encode() + tag[place.value_end :]
    return written + part.raw[len(tag) :]


def _new_element(part: Span, info: DiscoInfo, nodes: set[str]) -> bytes:
    """Return the element of XEP-0390 for *info*: the client's, with the hashes that can be computed."""
    said: list[tuple[Span, bytes]] = []
    known = 0
    for one in part.children:
        name = one.attributes.get("algo", "")
        if one.name != hashes.HASH:
            continue
        if name in hashes.FUNCTIONS and known < MOST:
            known += 1
            value = info.hash(name)
            nodes.add(hashes.hash_node(name, value))
            said.append((one, _with_text(one, value)))
        else:
            said.append((one, b""))
    if known:
        return _replaced(part, said)
    value = info.hash(hashes.USUAL)
    nodes.add(hashes.hash_node(hashes.USUAL, value))
    inside = element("hash", {"xmlns": hashes.HASHES, "algo": hashes.USUAL}, value.encode())
    return element("c", {"xmlns": hashes.CAPS2}, inside)


def _with_text(part: Span, text: str) -> bytes:
    start, end = part.content
    written = escape_text(text).encode()
    if start < part.end:
        return part.whole[part.start : start] + written + part.whole[end : part.end]
    return element("hash", {"xmlns": hashes.HASHES, "algo": part.attributes["algo"]}, written)


def _replaced(part: Span, changes: list[tuple[Span, bytes]]) -> bytes:
    kept: list[bytes] = []
    at = part.start
    for one, new in changes:
        kept += (part.whole[at : one.start], new)
        at = one.end
    return b"".join(kept) + part.whole[at : part.end]
