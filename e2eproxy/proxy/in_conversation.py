"""Notices that stand in the conversation they are about, beside the window of the proxy's contact, if the user wants that.

Law 9: whatever stands in a conversation could have been written by the contact, so such a notice bears a code that only this
proxy and its user know: new with each opening of the account, told in the contact's window, and sent to nobody. What a contact
writes in that form is marked as his. The server and the contact never hear of such a notice: what a client says about one (a
receipt, a marker, a reaction, an error) goes no further, since the id in it is not of anything that the contact wrote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from e2eproxy.proxy.allowed_children import BODY
from e2eproxy.proxy.outer import bare_refusal
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza
    from e2eproxy.xmpp.tree import Node

#: The value of the setting ``rules.NOTICES`` that asks for this.
CONVERSATION: Final = "conversation"
#: What stands before a contact's text that looks like a notice.
NO_NOTICE: Final = "[written by the contact, no notice] "
#: Ids that are remembered; the oldest go first.
MOST_IDS: Final = 5_000
# No letter or digit that is mistaken for another one. Five of 31 are 28 million: a contact who guesses is marked each time.
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ2345689"
_LENGTH: Final = 5
_LOOKS_LIKE: Final = re.compile(r"\[\W*e2eproxy", re.IGNORECASE)
_REFUSED: Final = (
    "it answers a notice of the proxy, which your contact has not got. Write it as a message of its own."
)


class InConversation:
    """Those of one account; *random* gives secret bytes."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.code = "".join(_LETTERS[byte % len(_LETTERS)] for byte in random(_LENGTH))
        #: To be read only: the ids of those that were shown, and something from when any may be: then all is looked at.
        self.ids: dict[str, None] = {}

    @property
    def mark(self) -> str:
        """What each of them begins with."""
        return f"[e2eproxy {self.code}]"

    def expected(self) -> str:
        """From now on there may be some; return what the user is told of them."""
        self.ids[""] = None
        return (
            f"Notices about a contact also stand in the conversation with him. Each begins with {self.mark}, which nobody else "
            "knows: tell it to nobody. What does not begin so, or is not in this window as well, is not from the proxy."
        )

    def shown(self, own: JID, contact: JID, text: str) -> bytes:
        """Return the message that shows *text* to the client *own* in the conversation with *contact*."""
        identifier = uuid4().hex
        while len(self.ids) >= MOST_IDS:
            del self.ids[next(iter(self.ids))]
        self.ids[identifier] = None
        body = element("body", {"xmlns": names.CLIENT}, escape_text(f"{self.mark} {text}").encode())
        head = {"from": str(contact.bare), "to": str(own), "type": "chat", "id": identifier}
        return build("message", head, body)

    def imitated(self, text: str) -> bool:
        """Whether a contact's *text* has the form of a notice, or the code of this account's."""
        return bool(self.ids) and (self.code in text or _LOOKS_LIKE.search(text) is not None)

    def takes(self, stanza: Stanza, tree: Node, ways: Ways) -> bool:
        """Whether the client's *stanza* is about one of them, and so goes no further; a text comes back to the client."""
        if not self.ids or not self._named(tree):
            return False
        if tree.child(BODY) is not None and stanza.type != "error":
            ways.to_client(bare_refusal(stanza, _REFUSED))
        return True

    def _named(self, tree: Node) -> bool:
        values = [value.strip() for value in (*tree.attributes.values(), tree.text)]
        return any(value and value in self.ids for value in values) or any(map(self._named, tree.children))
