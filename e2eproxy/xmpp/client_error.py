"""Stanza errors: those the proxy makes for its client, and those of the client's that go on as a bare condition.

Law 4: what could not be sent comes back with its own id, from the contact it was for, with what it was. The legacy
``code`` is there because some clients (profanity's OMEMO among them) recognise no error without it, the original
payload because others find out by it what failed. Law 1: what a client answers to a stanza that was delivered
decrypted may echo it, so nothing of such an error is kept but what is in a table here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from e2eproxy.xmpp.spans import Span
    from e2eproxy.xmpp.stanza import Kind

ErrorType = Literal["auth", "cancel", "continue", "modify", "wait"]

#: At most this many bytes of the original's children come back with an error; later children are left out.
PAYLOAD_BYTES: Final = 64 * 1024

_ERROR: Final = names.CLIENT + names.SEPARATOR + "error"
_TYPES: Final[tuple[ErrorType, ...]] = ("auth", "cancel", "continue", "modify", "wait")
#: Stanzas of these types are never answered with an error (RFC 6120 section 8.3.1).
_NEVER_ANSWERED: Final = frozenset(("error", "result"))


@frozen
class Condition:
    """A defined condition's usual error type (RFC 6120 section 8.3.3) and legacy code (XEP-0086 section 3)."""

    type: ErrorType
    code: int


#: The defined conditions. ``policy-violation`` came after the codes; it gets that of its nearest, not-acceptable.
CONDITIONS: Final[dict[str, Condition]] = {
    "bad-request": Condition("modify", 400),
    "conflict": Condition("cancel", 409),
    "feature-not-implemented": Condition("cancel", 501),
    "forbidden": Condition("auth", 403),
    "gone": Condition("cancel", 302),
    "internal-server-error": Condition("cancel", 500),
    "item-not-found": Condition("cancel", 404),
    "jid-malformed": Condition("modify", 400),
    "not-acceptable": Condition("modify", 406),
    "not-allowed": Condition("cancel", 405),
    "not-authorized": Condition("auth", 401),
    "payment-required": Condition("auth", 402),
    "policy-violation": Condition("modify", 406),
    "recipient-unavailable": Condition("wait", 404),
    "redirect": Condition("modify", 302),
    "registration-required": Condition("auth", 407),
    "remote-server-not-found": Condition("cancel", 404),
    "remote-server-timeout": Condition("wait", 504),
    "resource-constraint": Condition("wait", 500),
    "service-unavailable": Condition("cancel", 503),
    "subscription-required": Condition("auth", 407),
    "undefined-condition": Condition("cancel", 500),
    "unexpected-request": Condition("wait", 400),
}


def error_to_client(
    original: Stanza,
    condition: str,
    text: str,
    *,
    own: str | None = None,
    error_type: ErrorType | None = None,
    payload_bytes: int = PAYLOAD_BYTES,
) -> bytes | None:
    """Return the error that answers the client's stanza *original* in the name of the contact it was for.

    *condition* is one of ``CONDITIONS`` (KeyError for another), *text* is for people. *own* is the client's own full
    JID for ``to``; without it there is no ``to``. A stanza that was for nobody is answered without ``from``, as by its
    own server. None for stanzas that are never answered (types ``error`` and ``result``). Whatever stood between the
    original's children is left out, and so are children beyond *payload_bytes*.

    The bytes stand alone. Raises BadElement if *original* cannot be read.
    """
    if original.type in _NEVER_ANSWERED:
        return None
    bounded = original.changed(original.with_only(_fitting(original, payload_bytes)))
    addressed = bounded.changed(
        bounded.with_attributes({"from": original.to, "to": own, "type": "error"}),
    )
    echo = addressed.changed(addressed.appended(_error(condition, text, error_type)))
    return echo.standalone()


def _fitting(original: Stanza, most: int) -> list[Span]:
    """Return the children that fit in *most* bytes, but for errors: there must be one only."""
    fitting = []
    left = most
    for child in original.children:
        if child.name == _ERROR:
            continue
        left -= child.end - child.start
        if left < 0:
            break
        fitting.append(child)
    return fitting


def _error(condition: str, text: str | None, error_type: ErrorType | None) -> bytes:
    usual = CONDITIONS[condition]
    content = element(condition, {"xmlns": names.STANZA_ERRORS})
    if text is not None:
        about = {"xmlns": names.STANZA_ERRORS, "xml:lang": "en"}
        content += element("text", about, escape_text(text).encode())
    # The namespace is written out: the original may have put another one in the default's place.
    attributes = {"xmlns": names.CLIENT, "type": error_type or usual.type, "code": str(usual.code)}
    return element("error", attributes, content)


def bare_error(
    kind: Kind,
    condition: str,
    *,
    to: str | None,
    stanza_id: str | None,
    error_type: ErrorType | None = None,
) -> bytes:
    """Return an error to a peer that says nothing but *condition*: no payload, no text, no language.

    *to* and *stanza_id* are those of the stanza it answers, as the proxy knows them. The server fills in ``from``.
    """
    attributes = {"to": to, "id": stanza_id, "type": "error"}
    return build(kind, attributes, _error(condition, None, error_type))


def stripped(answer: Stanza, *, to: str | None, stanza_id: str | None) -> bytes:
    """Return the client's error *answer* as a bare condition, for *to* and with *stanza_id*.

    Both are given by the caller, who has to know that they are those of the stanza answered: what the client wrote
    there may be text. A condition that is not in ``CONDITIONS`` becomes ``undefined-condition``. Raises ValueError if
    *answer* is no error, BadElement if it cannot be read.
    """
    if answer.type != "error":
        raise ValueError("Only an error can be stripped to its condition.")
    error = answer.child(_ERROR)
    condition = "undefined-condition"
    error_type: ErrorType | None = None
    if error is not None:
        error_type = _known_type(error.attributes.get("type"))
        found = (names.split_name(child.name) for child in error.children)
        given = [
            local for namespace, local in found if namespace == names.STANZA_ERRORS and local in CONDITIONS
        ]
        condition = given[0] if given else condition
    return bare_error(answer.kind, condition, to=to, stanza_id=stanza_id, error_type=error_type)


def _known_type(given: str | None) -> ErrorType | None:
    return next((known for known in _TYPES if known == given), None)
