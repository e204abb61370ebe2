"""Which archives the client, or the proxy, has asked and not yet had the whole answer from (XEP-0313).

An archive result is believed only while such a query is open: learnt from the IQs that pass, closed by the answer that
ends it. The table is small; a query that is pushed out of it loses its results, so the bound is far above what clients
keep open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, BadJID

if TYPE_CHECKING:
    from e2eproxy.xmpp.spans import Span
    from e2eproxy.xmpp.stanza import Stanza

#: The versions of the archive's namespace; in the first the end is a message, not the answer to the IQ.
MAM: Final = ("urn:xmpp:mam:0", "urn:xmpp:mam:1", "urn:xmpp:mam:2")
_END_IN_MESSAGE: Final = MAM[0]
#: Queries open at once; the oldest goes when there are more.
MOST_OPEN: Final = 256
#: Characters in an IQ's id or a query's id; a query with a longer one is not noted.
LONGEST_ID: Final = 1_023

_QUERIES: Final = {namespace + names.SEPARATOR + "query": namespace for namespace in MAM}
_FIN: Final = _END_IN_MESSAGE + names.SEPARATOR + "fin"


@frozen
class _Query:
    archive: JID
    namespace: str
    iq_id: str
    query_id: str | None


class ArchiveQueries:
    """The open queries of one session; *own* is the account's prepared bare JID."""

    __slots__ = ("_open", "_own")

    def __init__(self, own: JID) -> None:
        self._own = own
        self._open: list[_Query] = []

    def __len__(self) -> int:
        """Return how many queries are open."""
        return len(self._open)

    def sent(self, stanza: Stanza) -> None:
        """Note an IQ that goes to the server; anything but a query of an archive is ignored.

        Raises BadElement if it is an IQ that cannot be read.
        """
        if stanza.kind != "iq" or stanza.type not in {"get", "set"} or stanza.id is None:
            return
        query = next((child for child in stanza.children if child.name in _QUERIES), None)
        if query is None:
            return
        query_id = query.attributes.get("queryid")
        if max(len(stanza.id), len(query_id or "")) > LONGEST_ID:
            return
        try:
            archive = self._own if stanza.to is None else JID.parse(stanza.to)
        except BadJID:
            return
        self._open.append(_Query(archive, _QUERIES[query.name], stanza.id, query_id))
        del self._open[:-MOST_OPEN]

    def received(self, stanza: Stanza) -> None:
        """Note a stanza of the server's; the one that ends an open query closes it.

        Raises BadElement if it is a message that has to be read for this and cannot be.
        """
        if stanza.kind == "iq" and stanza.type in {"result", "error"}:
            self._close_by_iq(stanza)
        elif stanza.kind == "message" and any(one.namespace == _END_IN_MESSAGE for one in self._open):
            fin = stanza.child(_FIN)
            if fin is not None:
                self._close_by_message(stanza.from_, fin.attributes.get("queryid"))

    def archive_of(self, sender: str | None, result: Span) -> JID | None:
        """Return the archive that *sender* (a stanza's ``from``) gives *result* of, or None if nothing asked for it."""
        namespace = names.split_name(result.name)[0]
        query_id = result.attributes.get("queryid")
        for one in self._open:
            same = one.namespace == namespace and one.query_id == query_id
            if same and is_from(sender, one.archive, self._own):
                return one.archive
        return None

    def _close_by_iq(self, stanza: Stanza) -> None:
        for at, one in enumerate(self._open):
            ends = one.namespace != _END_IN_MESSAGE or stanza.type == "error"
            if ends and one.iq_id == stanza.id and is_from(stanza.from_, one.archive, self._own):
                del self._open[at]
                return

    def _close_by_message(self, sender: str | None, query_id: str | None) -> None:
        for at, one in enumerate(self._open):
            same = one.namespace == _END_IN_MESSAGE and one.query_id == query_id
            if same and is_from(sender, one.archive, self._own):
                del self._open[at]
                return


def is_from(sender: str | None, expected: JID, own: JID) -> bool:
    """Whether a stanza with the ``from`` *sender* comes from *expected*: without one it comes from *own*, our account.

    *own* is the account's bare JID (RFC 6120 section 8.1.2.1: what a server sends without ``from`` is the account's).
    """
    if sender is None:
        return expected == own
    try:
        return JID.parse(sender) == expected
    except BadJID:
        return False
