"""Which stanzas need no second look, told from their outside: the way of most stanzas of an account without encryption.

Law 1 holds because this is asked only where nothing that is set could keep a stanza from leaving as it came, and because
it is asked by exclusion: whatever might be for the proxy, badly addressed, sent to many or encrypted by the client is looked at
in full. What this lets pass is exactly what the decision would have let pass; a property test compares the two.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.classify import ADDRESSES
from e2eproxy.proxy.stand_down import ENVELOPES
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import prepared
from e2eproxy.xmpp.roster import ROSTER
from e2eproxy.xmpp.wrappers import CARRIERS

if TYPE_CHECKING:
    from e2eproxy.xmpp.pieces import Element

_TYPES: Final = frozenset(("chat", "normal", "headline", "groupchat"))
#: Addresses of which it is remembered, each of 3 KiB at the most.
_ADDRESSES: Final = 1_000
_QUESTION_MARK, _EXCLAMATION_MARK = b"?!"
# An expression that begins with a fixed character is faster than "in" is.
# What an element, a comment or the like cuts in two counts as well; in this form the expression is the fastest.
_command: Final = re.compile(rb"/[eE<](?:(?<=<)|[2<])").search
_reference: Final = re.compile(rb"&#").search

#: What a client's stanza may hold that has to be looked at: an envelope of its own encryption, addresses of many.
WATCHED_OF_CLIENT: Final = frozenset((ADDRESSES, *(envelope.element for envelope in ENVELOPES.values())))
#: The same of a server's: what claims to be a carbon or an archive result, and the roster.
WATCHED_OF_SERVER: Final = frozenset((ROSTER + names.SEPARATOR + "query", *CARRIERS))


@lru_cache(_ADDRESSES)
def _domain(to: str) -> str:
    """The prepared domain of the address *to*, empty if it is none."""
    jid = prepared(to)
    return "" if jid is None else jid.domain


def may_leave(element: Element, proxy: str) -> bool:
    """Whether a client's stanza leaves as it came, wherever the policy is one that lets text leave in clear.

    *proxy* is the domain of the proxy's contact, prepared: what a client writes to it does not leave.
    """
    if element.watched or element.name != names.MESSAGE:
        return False
    attributes = element.attributes
    # A value may be spelled like a name: an odd place is no name, and such a stanza is looked at in full.
    if "type" in attributes:
        at = attributes.index("type")
        if at % 2 or attributes[at + 1] not in _TYPES:
            return False
    if "to" in attributes:
        at = attributes.index("to")
        if at % 2 or _domain(attributes[at + 1]) in {"", proxy}:
            return False
    raw = element.raw
    # Of text only what could make it a command or a wire form; a reference or CDATA could hide either.
    return not (
        _command(raw)
        or _reference(raw)
        or (_QUESTION_MARK in raw and b"?OTR" in raw)
        or (_EXCLAMATION_MARK in raw and b"<![" in raw)
    )


def may_enter(element: Element, proxy: str) -> bool:
    """Whether a server's stanza goes to the client as it came, where there is no method and no question is open.

    *proxy* is as in ``may_leave``: small ASCII letters, so that whatever else is a spelling of it has it in it.
    """
    if element.watched:
        return False
    attributes = element.attributes
    if "from" in attributes:
        at = attributes.index("from")
        # An odd place is a value, perhaps the last one of all.
        sender = "" if at % 2 else attributes[at + 1]
        if not sender or not sender.isascii() or proxy in sender.lower():
            return False
    # An error may answer what an earlier run of the daemon sent under another id.
    return "error" not in attributes
