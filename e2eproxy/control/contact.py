"""The proxy as a contact: what it answers to a client's requests and presence, so that it can be found and looked at.

Nothing of this leaves the machine. What is not known is answered with an error, as any client would (law 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.control.adhoc import COMMAND, COMMANDS_NS, NODES, AdHoc, Wrong
from e2eproxy.control.forms import DATA
from e2eproxy.xmpp import names
from e2eproxy.xmpp.archive_queries import MAM
from e2eproxy.xmpp.client_error import CONDITIONS
from e2eproxy.xmpp.jid import prepared
from e2eproxy.xmpp.roster import ROSTER
from e2eproxy.xmpp.stanza import build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.steering import Speaker
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza
    from e2eproxy.xmpp.tree import Node

INFO: Final = "http://jabber.org/protocol/disco#info"
ITEMS: Final = "http://jabber.org/protocol/disco#items"
VCARD: Final = "vcard-temp"
VERSION: Final = "jabber:iq:version"
PING: Final = "urn:xmpp:ping"
RSM: Final = "http://jabber.org/protocol/rsm"
# Those whose query is answered in the IQ; before them the end came in a message.
_ARCHIVES: Final = MAM[1:]
_FEATURES: Final = (INFO, ITEMS, COMMANDS_NS, DATA, VCARD, VERSION, PING)
_ABOUT: Final = (
    "The proxy on this machine that encrypts what you write. Say help to see what it understands. It is not on any server: what "
    "you say to it leaves nowhere."
)


class Contact:
    """*version* is that of the program, *proxy* the contact's address."""

    def __init__(self, adhoc: AdHoc, proxy: JID, version: str) -> None:
        self._adhoc = adhoc
        self._jid, self._proxy = proxy, str(proxy)
        self._version = version

    def left(self, own: JID) -> None:
        """Take note that the stream of *own* has ended."""
        self._adhoc.left(own)

    # -- requests --------------------------------------------------------------------------------------------------------

    def request(self, iq: Stanza, by: Speaker) -> None:
        """Answer *iq*."""
        if iq.type not in {"get", "set"}:
            return

        def reply(payload: bytes) -> None:
            head = {"type": "result", "from": iq.to, "to": str(by.own), "id": iq.id}
            by.reply(build("iq", head, payload))

        try:
            (payload,) = iq.tree.children
        except ValueError:
            self._refuse(iq, by, Wrong("bad-request", "", "A request holds one element."))
            return
        try:
            to = prepared(iq.to)
            if to is None or to.bare != self._jid:
                self._elsewhere(payload, by, reply)
            else:
                self._answer(payload, iq.type, by.own, reply)
        except Wrong as wrong:
            self._refuse(iq, by, wrong)

    def _elsewhere(self, payload: Node, by: Speaker, reply: Callable[[bytes], None]) -> None:
        """Answer what was asked of the server, or of somebody, about the contact: they do not know it, and are not to."""
        namespace, local = names.split_name(payload.name)
        if local == "query" and namespace in _ARCHIVES:
            # What was said here is in nobody's archive: that is the whole answer.
            none = element("set", {"xmlns": RSM}, element("count", {}, b"0"))
            reply(element("fin", {"xmlns": namespace, "complete": "true"}, none))
            return
        text = (
            f"The server is not told of the proxy's contact, so it cannot be in the roster, a list or a search. Write to "
            f"{self._proxy} without adding it; help shows what it understands."
        )
        if namespace == ROSTER:
            by.answer(text)
        raise Wrong("not-allowed", "", text)

    def _answer(self, payload: Node, kind: str, own: JID, reply: Callable[[bytes], None]) -> None:
        if payload.name == COMMAND and kind == "set":
            self._adhoc.execute(payload, own, reply)
            return
        answers: dict[str, Callable[[Node], bytes]] = {
            _query(INFO): self._info,
            _query(ITEMS): self._items,
            _query(VERSION): lambda _: _about(
                "query", VERSION, [("name", "e2eproxy"), ("version", self._version)]
            ),
            VCARD + names.SEPARATOR + "vCard": lambda _: _about(
                "vCard", VCARD, [("FN", "e2eproxy"), ("NICKNAME", "e2eproxy"), ("DESC", _ABOUT)]
            ),
            PING + names.SEPARATOR + "ping": lambda _: b"",
        }
        answer = answers.get(payload.name)
        if answer is None or kind != "get":
            raise Wrong("service-unavailable", "", "The proxy answers no such request.")
        reply(answer(payload))

    def _info(self, query: Node) -> bytes:
        node = query.attributes.get("node")
        if node is None:
            content = _identity("client", "bot", "e2eproxy") + b"".join(map(_feature, _FEATURES))
        elif node == COMMANDS_NS:
            content = _identity("automation", "command-list", "Commands") + _feature(COMMANDS_NS)
        elif node in NODES:
            content = _identity("automation", "command-node", node) + _feature(COMMANDS_NS) + _feature(DATA)
        else:
            raise Wrong("item-not-found", "", "There is no such node.")
        return element("query", {"xmlns": INFO, "node": node}, content)

    def _items(self, query: Node) -> bytes:
        node = query.attributes.get("node")
        if node not in {None, COMMANDS_NS, *NODES}:
            raise Wrong("item-not-found", "", "There is no such node.")
        items = [
            element("item", {"jid": self._proxy, "node": name, "name": f"{name}: {_short(command.help)}"})
            for name, command in NODES.items()
        ]
        return element(
            "query", {"xmlns": ITEMS, "node": node}, b"".join(items) if node == COMMANDS_NS else b""
        )

    def _refuse(self, iq: Stanza, by: Speaker, wrong: Wrong) -> None:
        usual = CONDITIONS[wrong.condition]
        content = element(wrong.condition, {"xmlns": names.STANZA_ERRORS})
        content += element(
            "text", {"xmlns": names.STANZA_ERRORS, "xml:lang": "en"}, escape_text(wrong.text).encode()
        )
        if wrong.detail:
            content += element(wrong.detail, {"xmlns": COMMANDS_NS})
        error = element("error", {"type": usual.type, "code": str(usual.code)}, content)
        by.reply(build("iq", {"type": "error", "from": iq.to, "to": str(by.own), "id": iq.id}, error))

    # -- presence --------------------------------------------------------------------------------------------------------

    def presence(self, presence: Stanza, by: Speaker) -> None:
        """Answer *presence*: the contact is there for whoever asks, and nobody has to be asked whether he may know."""
        said = {
            "subscribe": ("subscribed", None),
            "probe": (None,),
            "unsubscribe": ("unsubscribed", "unavailable"),
        }
        for kind in said.get(presence.type or "", ()):
            by.reply(build("presence", {"from": self._proxy, "to": str(by.own), "type": kind}))


def _short(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _query(namespace: str) -> str:
    return namespace + names.SEPARATOR + "query"


def _identity(category: str, kind: str, name: str) -> bytes:
    return element("identity", {"category": category, "type": kind, "name": name})


def _feature(name: str) -> bytes:
    return element("feature", {"var": name})


def _about(name: str, namespace: str, texts: list[tuple[str, str]]) -> bytes:
    content = b"".join(element(key, {}, escape_text(text).encode()) for key, text in texts)
    return element(name, {"xmlns": namespace}, content)
