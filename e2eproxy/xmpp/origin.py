"""The ids of a stanza beside its own: ``origin-id`` and ``stanza-id`` (XEP-0359).

A stanza that leaves under an id of the proxy's own must not carry the client's in its origin-id: the two have to be
equal, or a peer, and the client's own other devices, could not match what comes back to what was sent. A stanza-id
means something only if the entity it names put it there, so one that a client or a peer wrote is taken out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.xmpp import names
from e2eproxy.xmpp.markup import element

if TYPE_CHECKING:
    from e2eproxy.xmpp.stanza import Stanza

STANZA_IDS: Final = "urn:xmpp:sid:0"
ORIGIN_ID: Final = STANZA_IDS + names.SEPARATOR + "origin-id"
STANZA_ID: Final = STANZA_IDS + names.SEPARATOR + "stanza-id"


def origin_id(stanza: Stanza) -> str | None:
    """Return the id in the stanza's first origin-id, or None. Raises BadElement if the stanza cannot be read."""
    found = stanza.child(ORIGIN_ID)
    return None if found is None else found.attributes.get("id")


def with_outer_id(stanza: Stanza, outer: str) -> bytes:
    """Return the stanza with *outer* as its id and, if it has origin-ids, one origin-id of that id instead of them.

    Raises BadElement if the stanza cannot be read, ValueError if *outer* cannot be written.
    """
    found = stanza.all(ORIGIN_ID)
    parts = dict.fromkeys(found, b"")
    if found:
        parts[found[0]] = element("origin-id", {"xmlns": STANZA_IDS, "id": outer})
    return stanza.changed(stanza.replaced(parts)).with_attributes({"id": outer})


def without_stanza_ids(stanza: Stanza) -> bytes:
    """Return the stanza without any stanza-id: for what leaves, or was inside a ciphertext."""
    return stanza.without(stanza.all(STANZA_ID))
