"""The forwarding envelope: a stanza, and when it was written. It is what is encrypted and what is signed.

Its octets are made once and never again: nothing is canonicalised. Law 6: inside a ciphertext a peer can write anything, so it is
read within bounds, without a document type, and has to be exactly one time and one stanza.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.methods.miller.failures import DecryptionError, TimestampError
from e2eproxy.xmpp.names import SEPARATOR, STANZAS
from e2eproxy.xmpp.spans import BadElement, read
from e2eproxy.xmpp.stanza import Stanza, element

if TYPE_CHECKING:
    from e2eproxy.xmpp.stanza import Span

_FORWARD: Final = "urn:xmpp:forward:0"
_DELAY: Final = "urn:xmpp:delay"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# XEP-0082, but for the offset: the draft wants UTC "with no offset".
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z\Z", re.ASCII)
_MISSPELT: Final = "fowarded"
"""How the draft's example of an encrypted stanza spells it."""


@frozen(kw_only=True)
class Envelope:
    """``at``: when it was written, in seconds since 1970."""

    at: float
    stanza: Stanza = field(repr=False)


def stamp(milliseconds: int) -> str:
    """Milliseconds since 1970 as XEP-0082 writes them."""
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"


def seconds(text: str) -> float:
    """The time that *text* is. Raises TimestampError."""
    try:
        found = datetime.fromisoformat(text) if _STAMP.match(text) else None
    except ValueError:
        found = None
    if found is None:
        raise TimestampError("It does not say when it was written.")
    return (found - _EPOCH).total_seconds()


def enclose(stanza: bytes, milliseconds: int) -> bytes:
    """*Stanza*, which declares all it uses, as written at *milliseconds* since 1970."""
    delay = element("delay", {"xmlns": _DELAY, "stamp": stamp(milliseconds)})
    return element("forwarded", {"xmlns": _FORWARD}, delay + stanza)


def disclose(payload: bytes, *, misspelt: bool = False) -> Envelope:
    """What is in the envelope *payload*; *misspelt* allows the draft's own mistake. Raises FailedError."""
    try:
        found = read(payload)
    except BadElement:
        raise DecryptionError("What was inside is not the XML that it should be.") from None
    names = {_FORWARD + SEPARATOR + "forwarded"}
    if misspelt:
        names.add(_FORWARD + SEPARATOR + _MISSPELT)
    if found.name not in names or found.text.strip() or len(found.children) != 2:
        raise DecryptionError("What was inside is not one stanza and its time.")
    delays = [child for child in found.children if child.name == _DELAY + SEPARATOR + "delay"]
    stanzas = [child for child in found.children if child.name in STANZAS]
    if len(delays) != 1 or len(stanzas) != 1:
        raise DecryptionError("What was inside is not one stanza and its time.")
    return Envelope(at=seconds(delays[0].attributes.get("stamp", "")), stanza=_stanza(found, stanzas[0]))


def _stanza(envelope: Span, inner: Span) -> Stanza:
    try:
        return Stanza.parse(inner.raw, envelope.start_tag)
    except BadElement:
        raise DecryptionError("What was inside is not the XML that it should be.") from None
