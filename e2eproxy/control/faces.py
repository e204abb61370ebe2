"""What is for the proxy, sorted by face: lines to the chat, requests to the contact's answers, presence to its presence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.control.chat import Chat

if TYPE_CHECKING:
    from e2eproxy.control.api import Api
    from e2eproxy.control.contact import Contact
    from e2eproxy.proxy.steering import Speaker
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza


class Faces:
    """Those that are reached by stanzas (``proxy.steering.Steering``). *proxy*: the address of the contact."""

    def __init__(self, api: Api, contact: Contact, proxy: JID) -> None:
        self._chat = Chat(api)
        self._contact = contact
        self._proxy = proxy

    def take(self, stanza: Stanza, contact: JID, by: Speaker) -> None:
        """Do what *stanza* asks for."""
        if stanza.kind == "iq":
            self._contact.request(stanza, by)
        elif stanza.kind == "presence":
            self._contact.presence(stanza, by)
        else:
            self._chat.take(stanza, None if contact == self._proxy else contact, by)

    def left(self, own: JID) -> None:
        """Forget what the stream of *own* was in the middle of."""
        self._contact.left(own)
        self._chat.left(own)
