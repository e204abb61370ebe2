"""A relay that builds and serialises a ``domish`` tree for each stanza: how a proxy on Twisted's XMPP parts would work.

As lean as that can be: no event dispatch, no XPath observers, one write for all stanzas of a chunk. Connecting,
back pressure and closing are the raw relay's. Stanzas are serialised as ``XmlStream.send`` does it.
"""

from __future__ import annotations

import raw_relay
import relay_program
from twisted.internet.protocol import Factory
from twisted.words.xish import domish

CLIENT = "jabber:client"
PREFIXES = {"http://etherx.jabber.org/streams": "stream"}
IN_SCOPE = ["stream"]
SUCCESS = "urn:ietf:params:xml:ns:xmpp-sasl"


class TreeLeg(raw_relay.Leg):
    """Reads its side's stream into trees and writes each to the other leg."""

    stream = None

    def begin(self) -> None:
        """Expect a stream header next."""
        self.stream = domish.elementStream()
        self.stream.DocumentStartEvent = self.header
        self.stream.ElementEvent = self.element
        self.stream.DocumentEndEvent = self.end
        # With expat 2.6 and later a stanza could otherwise wait for more bytes.
        getattr(self.stream.parser, "SetReparseDeferralEnabled", bool)(False)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self.stream is None:
            self.begin()
        self.ready = []
        self.stream.parse(data)
        if self.ready:
            self.other.transport.write("".join(self.ready).encode())

    def header(self, root: domish.Element) -> None:
        self.ready.append(root.toXml(prefixes=PREFIXES, closeElement=0))

    def element(self, element: domish.Element) -> None:
        self.ready.append(element.toXml(prefixes=PREFIXES, defaultUri=CLIENT, prefixesInScope=IN_SCOPE))
        if element.uri == SUCCESS and element.name == "success":
            self.stream = self.other.stream = None

    def end(self) -> None:
        self.ready.append("</stream:stream>")


class UpstreamLeg(TreeLeg, raw_relay.UpstreamLeg):
    """The leg to the server."""


class ClientLeg(TreeLeg, raw_relay.ClientLeg):
    """The leg to the client."""

    upstream_leg = UpstreamLeg


if __name__ == "__main__":
    factory = Factory.forProtocol(ClientLeg)
    factory.upstream = relay_program.upstream(relay_program.options(__doc__))
    relay_program.run(factory)
