"""What is inside an IQ, as data: which payloads say nothing of the user's, and which namespaces make which kind.

Part of the kinds table of DESIGN.md (law 1): a payload that no table here knows makes the strictest kind there is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.shapes import NO_IDS, PEER_NODE, Allowed, Ids, Shape, fits
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from e2eproxy.xmpp.tree import Node

DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
VERSION: Final = "jabber:iq:version"
PING: Final = "urn:xmpp:ping"
TIME: Final = "urn:xmpp:time"
OLD_TIME: Final = "jabber:iq:time"
LAST: Final = "jabber:iq:last"
ROSTER: Final = "jabber:iq:roster"
PUBSUB: Final = "http://jabber.org/protocol/pubsub"
PUBSUB_OWNER: Final = PUBSUB + "#owner"
MUC: Final = "http://jabber.org/protocol/muc"
ADDRESSES: Final = "http://jabber.org/protocol/address"


def _name(namespace: str, local: str) -> str:
    return namespace + names.SEPARATOR + local


_NODE: Final = {"node": PEER_NODE}

#: Requests that hold nothing of the user's: the only IQs that go to a contact under ``require``.
HARMLESS: Final[tuple[Allowed, ...]] = (
    Allowed(
        element=_name(DISCO_INFO, "query"),
        attributes=_NODE,
        why="XEP-0030: what the contact's client can do.",
    ),
    Allowed(element=_name(DISCO_ITEMS, "query"), attributes=_NODE, why="XEP-0030: what else it offers."),
    Allowed(element=_name(VERSION, "query"), why="XEP-0092: which client it is."),
    Allowed(element=_name(PING, "ping"), why="XEP-0199: whether it is there."),
    Allowed(element=_name(TIME, "time"), why="XEP-0202: what time it is there."),
    Allowed(element=_name(OLD_TIME, "query"), why="XEP-0090: the same, for old clients."),
    Allowed(element=_name(LAST, "query"), why="XEP-0012: since when it is idle."),
)
_HARMLESS: Final = {one.element: one for one in HARMLESS}

_KEY_NODE: Final[Shape] = Shape(
    "a node that holds public keys",
    lambda text, _ids: _KEY_NODES.fullmatch(text) is not None,
)
_KEY_NODES: Final[re.Pattern[str]] = re.compile(
    r"eu\.siacs\.conversations\.axolotl\.(?:devicelist|bundles:[0-9]{1,10})"
    r"|urn:xmpp:omemo:2:(?:devices|bundles)"
    r"|urn:xmpp:openpgp:0:public-keys(?::[0-9A-F]{40,64})?"
)
_ITEM_ID: Final[Shape] = Shape(
    "`current` or a number", lambda text, _ids: text == "current" or _DEVICE.fullmatch(text) is not None
)
_DEVICE: Final[re.Pattern[str]] = re.compile(r"[0-9]{1,10}")

#: A request for somebody's public keys, from a client that speaks such a system itself.
KEY_REQUEST: Final = Allowed(
    element=_name(PUBSUB, "pubsub"),
    why="XEP-0384, XEP-0373: public keys of the contact, for a client that encrypts itself.",
    children=(
        Allowed(
            element=_name(PUBSUB, "items"),
            attributes={"node": _KEY_NODE, "max_items": _ITEM_ID},
            required=frozenset({"node"}),
            children=(Allowed(element=_name(PUBSUB, "item"), attributes={"id": _ITEM_ID}, most=100),),
        ),
    ),
)

#: Files, calls and streams to a contact, past any method: IQs and messages with a child in one of these.
TRANSFER: Final = frozenset(
    {
        "urn:xmpp:jingle:1",
        "urn:xmpp:jingle-message:0",
        "urn:xmpp:call-invites:0",
        "http://jabber.org/protocol/si",
        "http://jabber.org/protocol/ibb",
        "http://jabber.org/protocol/bytestreams",
        "jabber:iq:oob",
        "http://jabber.org/protocol/jinglenodes",
        "urn:xmpp:bob",
        "http://www.google.com/session",
        "http://www.google.com/transport/p2p",
    }
)
UPLOAD: Final = frozenset(
    {
        "urn:xmpp:http:upload",
        "urn:xmpp:http:upload:0",
        "eu:siacs:conversations:http:upload",
        "p1:s3filetransfer",
    }
)
ARCHIVING: Final = frozenset({"urn:xmpp:archive", "http://www.xmpp.org/extensions/xep-0136.html#ns"})
VCARD: Final = frozenset({"vcard-temp", "urn:ietf:params:xml:ns:vcard-4.0"})
PRIVATE: Final = frozenset({"jabber:iq:private"})
PUBLISH: Final = frozenset({PUBSUB, PUBSUB_OWNER})

#: What a client asks of its own server and account; all else it asks there is a kind of its own.
OWN: Final = frozenset(
    {
        DISCO_INFO,
        DISCO_ITEMS,
        VERSION,
        PING,
        TIME,
        OLD_TIME,
        LAST,
        names.BIND,
        names.SESSION,
        "jabber:iq:register",
        "jabber:iq:privacy",
        "jabber:iq:search",
        "urn:xmpp:blocking",
        "urn:xmpp:reporting:1",
        "urn:xmpp:carbons:2",
        "urn:xmpp:mam:0",
        "urn:xmpp:mam:1",
        "urn:xmpp:mam:2",
        "urn:xmpp:push:0",
        "urn:xmpp:extdisco:1",
        "urn:xmpp:extdisco:2",
        "urn:xmpp:sic:0",
        "urn:xmpp:sic:1",
        "urn:xmpp:invite#invite",
        "http://jabber.org/protocol/commands",
        "http://jabber.org/protocol/offline",
        "google:mail:notify",
    }
)

#: Answers that say what the client's software is, as its developers wrote it.
TOLD_OF_ITSELF: Final = frozenset({DISCO_INFO, DISCO_ITEMS, VERSION, PING, TIME, OLD_TIME, LAST})


def harmless(node: Node, ids: Ids = NO_IDS) -> Allowed | None:
    """Return what the request *node* is if it holds nothing of the user's, else None."""
    allowed = _HARMLESS.get(node.name)
    return allowed if allowed is not None and fits(node, allowed, ids) else None
