"""The stanza that leaves in the place of the client's: written anew around what a method made, or with its offer added.

Law 1: beside a method's payload there is only what the allow-list lets stand there, and that is written, not copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from e2eproxy.proxy.allowed_children import BODY, EME, HINTS, Carries, split
from e2eproxy.proxy.shapes import NO_IDS, TOKEN
from e2eproxy.proxy.trim import bare_result
from e2eproxy.xmpp import names
from e2eproxy.xmpp.client_error import error_to_client, stripped
from e2eproxy.xmpp.spans import BadElement, Span, read
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Container

    from e2eproxy.methods.effects import Ask, Send
    from e2eproxy.methods.traits import Traits
    from e2eproxy.proxy.ids import Opened
    from e2eproxy.proxy.shapes import Ids
    from e2eproxy.xmpp.tree import Node

#: Bytes a stanza may have when it leaves, encrypted: ejabberd's and Prosody's own limit for clients.
MOST_BYTES: Final = 256 * 1024
#: What a message's ``type`` may be outside; it is no place for text.
_TYPES: Final = frozenset(("chat", "groupchat", "headline", "normal", "get", "set", "result", "error"))
NOT_KEPT: Final = "".join(
    (
        "<private xmlns='urn:xmpp:carbons:2'/>",
        f"<no-copy xmlns='{HINTS}'/>",
        f"<no-permanent-store xmlns='{HINTS}'/>",
    )
).encode()
#: Of what nobody would miss who was not there: a step of a handshake.
OF_THE_MOMENT: Final = NOT_KEPT + f"<no-store xmlns='{HINTS}'/>".encode()
_KEPT: Final = f"<store xmlns='{HINTS}'/>".encode()


def new_id() -> str:
    """Return an id that nobody can guess, for a stanza that leaves."""
    return uuid4().hex


def protected(traits: Traits, stanza: Stanza, tree: Node, send: Send, ids: Ids) -> bytes:
    """Return the outer stanza for *send* under the id ``ids.outer``; *tree* is the stanza with ids that may be seen.

    The error that answers a request is inside, and outside a result like any other. Raises BadElement if the method's payload is none.
    """
    beside = split(tree.children, Carries(traits.carries.value), ids).outside
    payload = {span.name for span in _elements(send.payload)}
    content = (
        b"".join(raw for raw in beside if not {span.name for span in _elements(raw)} & payload) + send.payload
    )
    if stanza.kind == "message":
        content += _KEPT if send.lasting else NOT_KEPT
        if traits.wire.eme and (EME + names.SEPARATOR).encode() not in content:
            content += element("encryption", {"xmlns": EME, "namespace": traits.wire.eme})
    what = stanza.type if stanza.type in _TYPES else None
    if stanza.kind == "iq" and what == "error":
        what = "result"
    return build(stanza.kind, {"to": str(send.to), "type": what, "id": ids.outer}, content)


def request(ask: Ask, identifier: str) -> bytes:
    """Return the request that *ask* sends, under an id of ours."""
    to = None if ask.to is None else str(ask.to)
    return build("iq", {"to": to, "type": ask.type, "id": identifier}, ask.payload)


def _elements(raw: bytes) -> tuple[Span, ...]:
    """Return the elements in *raw*, which we or a method made. Raises BadElement if it is none of the door's payloads."""
    return read(b"<p xmlns='" + names.CLIENT.encode() + b"'>" + raw + b"</p>").children


def with_offer(stanza: Stanza, offer: str, adds: bytes) -> bytes:
    """Return *stanza*, which leaves in clear, with a method's *offer* behind its text and *adds* behind its children."""
    if adds:
        stanza = stanza.changed(stanza.appended(adds))
    body = stanza.child(BODY)
    if not offer or body is None:
        return stanza.raw
    opening = body.start_tag.removesuffix(b"/>").removesuffix(b">") + b">"
    closing = b"</" + body.start_tag[1:].rstrip(b"/>").split(maxsplit=1)[0] + b">"
    return stanza.replaced({body: opening + escape_text(body.text + offer).encode() + closing})


def bare_answer(stanza: Stanza, answers: Opened | None, seen: Container[str]) -> bytes:
    """Return the client's error or result without all that was written in it.

    It goes to the address and with the id that the contact used: those of the stanza that it *answers* if that was
    delivered decrypted; else its own, if the id is one of those *seen* of the contact or nobody's text.
    """
    if answers is not None:
        to, identifier = answers.sender, answers.outer_id
    else:
        known = stanza.id is not None and (stanza.id in seen or TOKEN.test(stanza.id, NO_IDS))
        to, identifier = stanza.to or "", stanza.id if known else new_id()
    if stanza.type == "error":
        return stripped(stanza, to=to or None, stanza_id=identifier)
    return bare_result(to=to or None, stanza_id=identifier)


def given_back(stanza: Stanza, condition: str, text: str, own: str) -> bytes | None:
    """Return the error with which a stanza of the client's returns, quoted if it can be read; None if none answers it."""
    try:
        return error_to_client(stanza, condition, text, own=own)
    except BadElement:
        return bare_refusal(stanza, text.removeprefix("Not sent: "))


def bare_refusal(stanza: Stanza, why: str) -> bytes:
    """Return the error for a stanza that cannot be read, and so not be quoted."""
    content = element("not-acceptable", {"xmlns": names.STANZA_ERRORS}) + element(
        "text", {"xmlns": names.STANZA_ERRORS}, escape_text(f"Not sent: {why}").encode()
    )
    attributes = {"from": stanza.to, "id": stanza.id, "type": "error"}
    return build(stanza.kind, attributes, element("error", {"type": "modify", "code": "406"}, content))
