"""What goes over the wire in the bench: one shape of stanza, and the shortest login a relay can follow.

Kept in one place, because every row has to carry the same bytes: a chat message of exactly 350 bytes with the
children that clients of today put beside a body (chat state, receipt request, origin id).
"""

from __future__ import annotations

DOMAIN = "example.test"
STANZA_BYTES = 350
#: How each stanza ends; it cannot occur inside one. Counting it counts stanzas, whatever a relay did to the bytes.
STANZA_END = b"</message>"

_STANZA = (
    "<message type='chat' id='{number:012d}' to='juliet@example.test/balcony' xml:lang='en'>"
    "<body>{text}</body>"
    "<active xmlns='http://jabber.org/protocol/chatstates'/>"
    "<request xmlns='urn:xmpp:receipts'/>"
    "<origin-id xmlns='urn:xmpp:sid:0' id='{number:012d}'/></message>"
)
_TEXT = "Wherefore art thou Romeo? Deny thy father &amp; refuse thy name; or, if thou wilt not, be but sworn my love, "


def stanza(number: int) -> bytes:
    """Return the chat message number *number*: STANZA_BYTES bytes, all alike except for their id."""
    bare = len(_STANZA.format(number=number, text=""))
    text = (_TEXT * 4)[: STANZA_BYTES - bare - 1] + "."
    made = _STANZA.format(number=number, text=text).encode()
    assert len(made) == STANZA_BYTES, len(made)
    return made


def stanzas(count: int, first: int = 0) -> bytes:
    """Return *count* stanzas in a row."""
    return b"".join(stanza(number) for number in range(first, first + count))


CLIENT_HEADER = (
    b"<?xml version='1.0'?><stream:stream to='example.test' version='1.0' xml:lang='en' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
SERVER_HEADER = (
    b"<?xml version='1.0'?><stream:stream from='example.test' id='b3nch' version='1.0' xml:lang='en' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
SASL_FEATURES = (
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    b"<mechanism>PLAIN</mechanism></mechanisms></stream:features>"
)
BIND_FEATURES = b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
AUTH = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"
SUCCESS = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
BIND = b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
BOUND = (
    b"<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    b"<jid>romeo@example.test/%d</jid></bind></iq>"
)
STREAM_END = b"</stream:stream>"
