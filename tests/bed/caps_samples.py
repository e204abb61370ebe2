"""What peers announce and answer: the examples of XEP-0115 and the stanzas around them."""

from __future__ import annotations

from e2eproxy.xmpp.stanza import Stanza

BASIC = (
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    "http://jabber.org/protocol/muc",
)
FEATURES = "".join(f"<feature var='{feature}'/>" for feature in BASIC)
EXODUS = "<identity category='client' name='Exodus 0.9.1' type='pc'/>"
# Both from XEP-0115, sections 5.2 and 5.3.
SIMPLE = "QgayPKawpkPSDYmwT/WM94uAlu0="
COMPLEX = "q07IKJEyjvHSyhy//CH0CxmKi8w="


def result(content, around="http://jabber.org/protocol/disco#info"):
    raw = f"<iq xmlns='jabber:client' type='result' id='1'><query xmlns='{around}'>{content}</query></iq>"
    return Stanza.parse(raw.encode())


def presence(content):
    return Stanza.parse(f"<presence xmlns='jabber:client'>{content}</presence>".encode())


def c(attributes):
    return f"<c xmlns='http://jabber.org/protocol/caps' {attributes}/>"
