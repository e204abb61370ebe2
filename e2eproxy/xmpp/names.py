"""The names the relay has to recognise, once, in the form the framer reports them.

expat joins a namespace and a local name with a separator of our choice; so do these constants. It refuses a namespace
that contains the separator, and any contact can send one, so the separator is a character XML does not allow at all.
"""

from __future__ import annotations

from typing import Final

SEPARATOR: Final = "\x01"

CLIENT: Final = "jabber:client"
STREAMS: Final = "http://etherx.jabber.org/streams"
STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL2: Final = "urn:xmpp:sasl:2"
BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION: Final = "urn:ietf:params:xml:ns:xmpp-session"
LEGACY_AUTH: Final = "jabber:iq:auth"
COMPRESS: Final = "http://jabber.org/protocol/compress"
COMPRESS_FEATURE: Final = "http://jabber.org/features/compress"
SM2: Final = "urn:xmpp:sm:2"
SM3: Final = "urn:xmpp:sm:3"
CSI: Final = "urn:xmpp:csi:0"
XML: Final = "http://www.w3.org/XML/1998/namespace"

STREAM: Final = STREAMS + SEPARATOR + "stream"
FEATURES: Final = STREAMS + SEPARATOR + "features"
STREAM_ERROR: Final = STREAMS + SEPARATOR + "error"
MESSAGE: Final = CLIENT + SEPARATOR + "message"
PRESENCE: Final = CLIENT + SEPARATOR + "presence"
IQ: Final = CLIENT + SEPARATOR + "iq"
STANZAS: Final = frozenset((MESSAGE, PRESENCE, IQ))
SASL_FAILURE: Final = SASL + SEPARATOR + "failure"
SASL_SUCCESS: Final = SASL + SEPARATOR + "success"
TLS_PROCEED: Final = TLS + SEPARATOR + "proceed"
LANG: Final = XML + SEPARATOR + "lang"


def split_name(name: str) -> tuple[str, str]:
    """Return (namespace, local name) of *name* as the framer reports it; the namespace may be empty."""
    namespace, _, local = name.rpartition(SEPARATOR)
    return namespace, local
