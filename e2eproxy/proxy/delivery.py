"""What the client gets in the place of a stanza that was protected, could not be opened, or should have been.

Law 4: always something readable, never silence. Law 9: a mark is always there and always the same. What only servers may
say (delay, stanza ids, addresses) is taken from the outer stanza and never out of a ciphertext (XEP-0420 section 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods.effects import Body, Whole
from e2eproxy.proxy.allowed_children import OUTSIDE
from e2eproxy.xmpp import names
from e2eproxy.xmpp.spans import BadElement, read
from e2eproxy.xmpp.stanza import Stanza, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.methods.effects import Inside
    from e2eproxy.xmpp.stanza import Span

_BODY: Final = names.CLIENT + names.SEPARATOR + "body"
_ERROR: Final = names.CLIENT + names.SEPARATOR + "error"

#: What only our own or the sender's server may put into a stanza.
SERVERS_ONLY: Final = frozenset(
    namespace + names.SEPARATOR + local
    for namespace, local in (
        ("urn:xmpp:delay", "delay"),
        ("jabber:x:delay", "x"),
        ("urn:xmpp:sid:0", "stanza-id"),
        ("http://jabber.org/protocol/address", "addresses"),
        ("urn:xmpp:carbons:2", "sent"),
        ("urn:xmpp:carbons:2", "received"),
        ("urn:xmpp:mam:1", "result"),
        ("urn:xmpp:mam:2", "result"),
        ("http://jabber.org/protocol/muc#user", "x"),
        ("urn:xmpp:occupant-id:0", "occupant-id"),
    )
)
#: What a peer's client says beside a ciphertext and ours is to hear: what is allowed there, but for words to servers.
BESIDE: Final = frozenset(one.element for one in OUTSIDE if one.rather_inside)
NOT_ENCRYPTED: Final = "[not encrypted] "
#: Of what was opened, but written with a key that is not taken for the author's, or with none.
NOT_ACCEPTED: Final = "[written with a key that you have not accepted] "
NOT_VERIFIED: Final = "[written with a key that you have not verified] "
REFUSED: Final = "[written with a key that you refused] "
NOT_PROVED: Final = "[nothing proves who wrote this] "
#: Other renderings of a body's text.
_ALTERNATIVES: Final = frozenset(
    namespace + names.SEPARATOR + local
    for namespace, local in (("http://jabber.org/protocol/xhtml-im", "html"), ("urn:xmpp:markup:0", "markup"))
)


def opened(outer: Stanza, inside: Inside) -> bytes:
    """Return what the client gets for *outer*, of which a method found *inside*.

    Raises BadElement if *inside* cannot be read: it is a peer's.
    """
    kept = b"".join(child.raw for child in outer.children if child.name in SERVERS_ONLY)
    if isinstance(inside, Whole):
        return _whole(outer, Stanza.parse(inside.raw), kept)
    beside = [child for child in outer.children if child.name in BESIDE]
    if isinstance(inside, Body):
        return outer.with_content(_body(inside.text) + b"".join(child.raw for child in beside) + kept)
    children = read(b"<inside xmlns='" + names.CLIENT.encode() + b"'>" + inside.raw + b"</inside>").children
    there = {child.name for child in children}
    rest = b"".join(child.raw for child in beside if child.name not in there)
    return outer.with_content(_not_servers(children) + rest + kept)


def _whole(outer: Stanza, inner: Stanza, kept: bytes) -> bytes:
    if inner.kind != outer.kind:
        raise BadElement(f"Inside an encrypted {outer.kind} was another kind of stanza.")
    content = b"".join(
        inner.standalone_part(child) for child in inner.children if child.name not in SERVERS_ONLY
    )
    taken = {name: inner.attributes.get(name) for name in ("type", "id", names.LANG)}
    return outer.changed(outer.with_content(content + kept)).with_attributes(taken)


def _not_servers(children: Iterable[Span]) -> bytes:
    return b"".join(child.raw for child in children if child.name not in SERVERS_ONLY)


def placeholder(outer: Stanza, method: str, why: str, reference: str | None) -> bytes:
    """Return a readable message for *outer*, which *method* could not open; *why* is a sentence.

    *reference* names the original, which is kept for a while; None if it could not be. An IQ or presence is answered or left
    to others, so *outer* has to be a message.
    """
    rest = (
        "The original could not be kept."
        if reference is None
        else f"/e2e show {reference} shows it as it came"
    )
    text = f"[a message encrypted with {method} could not be opened: {why} {rest}]"
    kept = b"".join(child.raw for child in outer.children if child.name in SERVERS_ONLY)
    return outer.with_content(_body(text) + kept)


def marked_plain(stanza: Stanza, text: str | None = None) -> bytes:
    """Return a message that came in the clear where it should not have, its text marked as such.

    *text* takes the place of the body's, if given. Other renderings of the text are left out, since they would show it
    without the mark; a message without text is as it was.
    """
    return marked(stanza, NOT_ENCRYPTED, text)


def marked(stanza: Stanza, mark: str, text: str | None = None) -> bytes:
    """Return *stanza* with *mark* before each of its texts, or before *text* in their place; see ``marked_plain``."""
    bodies = stanza.all(_BODY)
    if not bodies:
        return stanza.raw
    changes = {child: b"" for child in stanza.children if child.name in _ALTERNATIVES}
    changes |= {body: _saying(body, mark + (body.text if text is None else text)) for body in bodies}
    return stanza.replaced(changes)


def with_text(stanza: Stanza, text: str) -> bytes:
    """Return *stanza* with *text* in the place of each of its texts, and all else as it is."""
    return stanza.replaced({body: _saying(body, text) for body in stanza.all(_BODY)})


def _saying(body: Span, text: str) -> bytes:
    """Return the element *body* with *text* in it."""
    opening = body.start_tag.removesuffix(b"/>").removesuffix(b">")
    closing = b"</" + opening[1:].split(maxsplit=1)[0] + b">"
    return opening + b">" + escape_text(text).encode() + closing


def error_of_client(error: Stanza, original: Stanza, client_id: str | None) -> bytes:
    """Return *error*, which answers the client's *original*, with the client's id and what it had sent.

    What it echoes is left out: that is a ciphertext the client never saw. Raises BadElement if it cannot be read.
    """
    echoed = b"".join(original.standalone_part(child) for child in original.children)
    kept = b"".join(
        child.raw for child in error.children if child.name == _ERROR or child.name in SERVERS_ONLY
    )
    return error.changed(error.with_content(echoed + kept)).with_attributes({"id": client_id})


def _body(text: str) -> bytes:
    return element("body", {"xmlns": names.CLIENT}, escape_text(text).encode())
