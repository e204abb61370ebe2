"""Which stanzas need no second look, told from their outside: the way of most stanzas of an account without encryption.

Law 1 holds because this is asked only where nothing that is set could keep a stanza from leaving as it came, and because
it is asked by exclusion: whatever might be for the proxy, badly addressed, sent to many or encrypted by the client is looked at
in full. What this lets pass is exactly what the decision would have let pass; a property test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.notices import PROXY
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import prepared
from e2eproxy.xmpp.roster import ROSTER

if TYPE_CHECKING:
    from e2eproxy.xmpp.pieces import Element

_TYPES: Final = frozenset(("chat", "normal", "headline", "groupchat"))
_ROSTER: Final = ROSTER.encode()
_NAME: Final = PROXY.domain.partition(".")[0]


def may_leave(element: Element) -> bool:
    """Whether a client's stanza leaves as it came, wherever the policy is one that lets text leave in clear."""
    if element.name != names.MESSAGE:
        return False
    attributes = element.attributes
    for at in range(0, len(attributes), 2):
        name = attributes[at]
        if name == "type":
            if attributes[at + 1] not in _TYPES:
                return False
        elif name == "to":
            jid = prepared(attributes[at + 1])
            if jid is None or jid.domain == PROXY.domain:
                return False
    return _is_plain(element.raw)


def _is_plain(raw: bytes) -> bool:
    """Whether a client's message holds no command, no XEP-0033, no system's wire form, and nothing that could hide one.

    Written out, and single characters first, since this is asked of every message: a loop over the marks takes five times
    as long.
    """
    return not (
        (b"&" in raw and b"&#" in raw)
        or (b"!" in raw and b"<![" in raw)
        or (b"?" in raw and b"?OTR" in raw)
        or b"e2e" in raw.lower()
        or b"encrypted" in raw
        or b"addresses" in raw
        or b"openpgp" in raw
        or b"axolotl" in raw
        or b"omemo" in raw
    )


def may_enter(element: Element) -> bool:
    """Whether a server's stanza goes to the client as it came, where there is no method and no question is open."""
    sender = element.attribute("from")
    if sender is not None and (not sender.isascii() or _NAME in sender.lower()):
        return False
    if element.name == names.MESSAGE:
        return _is_direct(element.raw)
    return element.name == names.PRESENCE or _ROSTER not in element.raw


def _is_direct(raw: bytes) -> bool:
    """Whether a server's message is no carbon and no archive result, and nothing that could hide one."""
    return not (
        (b"&" in raw and b"&#" in raw) or b"forward" in raw or b"carbons" in raw or b"urn:xmpp:mam" in raw
    )
