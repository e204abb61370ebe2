"""Stanzas inside stanzas: carbons (XEP-0280), archive results (XEP-0313) and plain forwards (XEP-0297).

Carbons and archive results speak with the authority of our own server, so only it may send them: a carbon comes from
our own bare JID, an archive result from an archive that has an open query. Everything else that looks like one is a
forgery (law 4: dropped, counted, told). The stanza inside is handed out with its place in the bytes, so that it alone
can be replaced (law 2): delay, stanza-id and all around it stay as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from e2eproxy.xmpp import names
from e2eproxy.xmpp.archive_queries import MAM, is_from
from e2eproxy.xmpp.jid import JID, BadJID

if TYPE_CHECKING:
    from e2eproxy.xmpp.archive_queries import ArchiveQueries
    from e2eproxy.xmpp.spans import Span
    from e2eproxy.xmpp.stanza import Stanza

WrapperKind = Literal["carbon received", "carbon sent", "archive result", "forward"]

CARBONS: Final = "urn:xmpp:carbons:2"
_FORWARDED: Final = "urn:xmpp:forward:0" + names.SEPARATOR + "forwarded"
_DELAY: Final = "urn:xmpp:delay" + names.SEPARATOR + "delay"
#: The elements that make a message a carbon or an archive result.
CARRIERS: Final[dict[str, WrapperKind]] = {
    CARBONS + names.SEPARATOR + "received": "carbon received",
    CARBONS + names.SEPARATOR + "sent": "carbon sent",
    **{namespace + names.SEPARATOR + "result": "archive result" for namespace in MAM},
}


@frozen
class Wrapper:
    """A stanza that holds another one.

    ``inner`` is that one, in the context of the place where it stands, ``place`` where that is. ``stamp`` is when it
    was first received (XEP-0082, as written), None if that is not said. For an archive result ``archive`` is whose it
    is and ``archive_id`` the stanza's id there. A plain forward is only something a contact says: neither ``inner``'s
    addresses nor its ``stamp`` have been vouched for.
    """

    kind: WrapperKind
    inner: Stanza
    place: Span
    stamp: str | None = None
    archive: JID | None = None
    archive_id: str | None = None


@frozen
class Forgery:
    """A stanza that claims to come from our server's carbons or archive and cannot; ``reason`` is for people."""

    kind: WrapperKind
    reason: str


def unwrap(stanza: Stanza, own: JID, queries: ArchiveQueries) -> Wrapper | Forgery | None:
    """Say what the server's stanza *stanza* wraps for the account *own* (a bare JID), or None if nothing.

    A message with several forwards, or with none that holds exactly one stanza, wraps nothing: it is a contact's
    content like any other. Raises BadElement if the stanza cannot be read.
    """
    if stanza.kind != "message":
        return None
    carriers = _carriers(stanza)
    if not carriers:
        forward = _inner(stanza, stanza.span)
        return None if forward is None else Wrapper("forward", *forward)
    kind = CARRIERS[carriers[0].name]
    archive = _source(kind, stanza, carriers[0], own, queries)
    if archive is None:
        return Forgery(kind, _FROM_ANOTHER[kind])
    return _believed(stanza, carriers, archive, own)


def _believed(stanza: Stanza, carriers: list[Span], archive: JID, own: JID) -> Wrapper | Forgery:
    """Say what *carriers* wrap, whose sender may send such."""
    kind = CARRIERS[carriers[0].name]
    found = _inner(stanza, carriers[0])
    if len(carriers) > 1 or found is None:
        return Forgery(kind, "It does not hold exactly one message.")
    fault = _fault(kind, found[0], own)
    if fault is not None:
        return Forgery(kind, fault)
    if kind != "archive result":
        return Wrapper(kind, *found)
    return Wrapper(kind, *found, archive, carriers[0].attributes.get("id"))


def _source(
    kind: WrapperKind, stanza: Stanza, carrier: Span, own: JID, queries: ArchiveQueries
) -> JID | None:
    """Return who may and does send *carrier*: the archive that was asked, or our own account; None if a forger."""
    if kind == "archive result":
        return queries.archive_of(stanza.from_, carrier)
    return own if is_from(stanza.from_, own, own) else None


def rewrapped(stanza: Stanza, wrapper: Wrapper, inner: bytes) -> bytes:
    """Return *stanza* with *inner* in the place of the stanza that *wrapper*, made of it, holds."""
    return stanza.replaced({wrapper.place: inner})


_FROM_ANOTHER: Final[dict[WrapperKind, str]] = {
    "carbon received": "It does not come from this account's own address.",
    "carbon sent": "It does not come from this account's own address.",
    "archive result": "Nothing was asked of that archive, or the answer was complete.",
}


def _carriers(stanza: Stanza) -> list[Span]:
    return [child for child in stanza.children if child.name in CARRIERS]


def _inner(stanza: Stanza, carrier: Span) -> tuple[Stanza, Span, str | None] | None:
    """Return the one stanza in the one forward in *carrier*, its place, and its stamp."""
    forwards = carrier.all(_FORWARDED)
    if len(forwards) != 1:
        return None
    places = [child for child in forwards[0].children if child.name in names.STANZAS]
    if len(places) != 1:
        return None
    delay = forwards[0].child(_DELAY)
    return stanza.inner(places[0]), places[0], None if delay is None else delay.attributes.get("stamp")


def _fault(kind: WrapperKind, inner: Stanza, own: JID) -> str | None:
    """Return what is wrong with the stanza in a carbon or archive result, or None."""
    if inner.kind != "message":
        return "It does not hold exactly one message."
    if _carriers(inner):
        return "The message it holds claims to be another carbon or archive result."
    sent = kind == "carbon sent" and (inner.from_ is None or _bare(inner.from_) != own)
    received = kind == "carbon received" and inner.to is not None and _bare(inner.to) != own
    return "The message it holds is neither to nor from this account." if sent or received else None


def _bare(text: str) -> JID | None:
    try:
        return JID.parse(text).bare
    except BadJID:
        return None
