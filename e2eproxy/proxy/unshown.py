"""What was opened and perhaps never shown: kept until the client has it, for the server may bring the stanza again.

Laws 4 and 5: a method that has committed its state takes the same stanza, brought again, for a repetition. If the daemon
died, or the client went, between that commit and the showing, the text would be lost. So it is stored in the same
transaction, sealed, and shown when the server, which was never told that it arrived, brings the stanza again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza
    from e2eproxy.xmpp.tree import Node

#: How the reference begins under which such a text is kept.
PREFIX: Final = "opened:"
# What servers put into a stanza, some only when they bring it late (XEP-0203, XEP-0091, XEP-0359, the old XEP-0313).
_OF_SERVERS: Final = frozenset(
    namespace + names.SEPARATOR + name
    for namespace, name in (
        ("urn:xmpp:delay", "delay"),
        ("jabber:x:delay", "x"),
        ("urn:xmpp:sid:0", "stanza-id"),
        ("urn:xmpp:mam:tmp", "archived"),
    )
)


def reference(stanza: Stanza, peer: JID) -> str:
    """Return the reference for what was inside *stanza* of *peer*: the same if a server brings it again, written anew.

    Raises BadElement if the stanza cannot be read.
    """
    digest = hashlib.sha256()
    tree = stanza.tree
    for text in (str(peer), stanza.id or ""):
        _add(digest, text)
    for child in tree.children:
        if child.name not in _OF_SERVERS:
            for text in _texts(child):
                _add(digest, text)
    return PREFIX + digest.hexdigest()


def _add(digest: hashlib._Hash, text: str) -> None:
    data = text.encode()
    digest.update(len(data).to_bytes(8, "big") + data)


def _texts(node: Node) -> Iterator[str]:
    """Yield all of *node* as texts that no other element yields, however it was written."""
    yield node.name
    yield str(len(node.attributes))
    for name in sorted(node.attributes):
        yield name
        yield node.attributes[name]
    yield node.text
    yield str(len(node.children))
    for child in node.children:
        yield from _texts(child)
