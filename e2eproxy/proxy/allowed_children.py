"""The one list of what may stay outside a ciphertext, and what becomes of a stanza's other children (law 1).

Whatever is not here is carried inside where the method can carry it, and dropped where it cannot. The list is data:
the documentation is printed from it, and mutation tests hold each of its entries to a test.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.proxy.shapes import (
    NO_IDS,
    OUTER_ID,
    PEER_ID,
    TOKEN,
    Allowed,
    Ids,
    fits,
    one_of,
    written,
)
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.xmpp.tree import Node


class Carries(enum.Enum):
    """How much a method takes inside: the values are those of a method's traits."""

    NOTHING = "nothing"
    BODY = "body"
    CHILDREN = "children"
    STANZA = "stanza"


@frozen(kw_only=True)
class Outside(Allowed):
    """An element that may stay outside; *rather_inside*: it does so only where the method carries text alone."""

    rather_inside: bool = False


def _name(namespace: str, local: str) -> str:
    return namespace + names.SEPARATOR + local


CHAT_STATES: Final = "http://jabber.org/protocol/chatstates"
RECEIPTS: Final = "urn:xmpp:receipts"
MARKERS: Final = "urn:xmpp:chat-markers:0"
HINTS: Final = "urn:xmpp:hints"
EVENTS: Final = "jabber:x:event"
EME: Final = "urn:xmpp:eme:0"
STANZA_IDS: Final = "urn:xmpp:sid:0"
CARBONS: Final = "urn:xmpp:carbons:2"
MUC_USER: Final = "http://jabber.org/protocol/muc#user"

BODY: Final = _name(names.CLIENT, "body")
THREAD: Final = _name(names.CLIENT, "thread")

#: What XEP-0380 calls the systems: a client that encrypts itself names one of them.
EME_NAMESPACES: Final = (
    "urn:xmpp:otr:0",
    "jabber:x:encrypted",
    "urn:xmpp:openpgp:0",
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:1",
    "urn:xmpp:omemo:2",
    "urn:ietf:params:xml:ns:xmpp-e2e",
    "urn:ietf:params:xml:ns:xmpp-e2e:6",
)


def _chat_state(state: str) -> Outside:
    return Outside(
        element=_name(CHAT_STATES, state),
        why="XEP-0085: that the user types, or went away; one of five words, no text.",
        rather_inside=True,
    )


def _hint(hint: str) -> Outside:
    return Outside(
        element=_name(HINTS, hint), why="XEP-0334: tells servers what to store and copy; they must see it."
    )


def _marker(marker: str) -> Outside:
    return Outside(
        element=_name(MARKERS, marker),
        why="XEP-0333: how far the contact's messages were read.",
        attributes={"id": PEER_ID},
        required=frozenset({"id"}),
        rather_inside=True,
    )


def _event(event: str) -> Allowed:
    return Allowed(element=_name(EVENTS, event))


OUTSIDE: Final[tuple[Outside, ...]] = (
    Outside(
        element=THREAD,
        why="RFC 6121 section 5.2.5: clients sort by it; only in the shape of a random token, since it is text.",
        attributes={"parent": TOKEN},
        text=TOKEN,
        rather_inside=True,
    ),
    _chat_state("active"),
    _chat_state("composing"),
    _chat_state("paused"),
    _chat_state("inactive"),
    _chat_state("gone"),
    Outside(
        element=_name(EVENTS, "x"),
        why="XEP-0022: what chat states and receipts were to old clients.",
        children=(
            _event("offline"),
            _event("delivered"),
            _event("displayed"),
            _event("composing"),
            Allowed(element=_name(EVENTS, "id"), text=PEER_ID),
        ),
        rather_inside=True,
    ),
    Outside(element=_name(RECEIPTS, "request"), why="XEP-0184: asks for a receipt.", rather_inside=True),
    Outside(
        element=_name(RECEIPTS, "received"),
        why="XEP-0184: that a message of the contact's arrived.",
        attributes={"id": PEER_ID},
        required=frozenset({"id"}),
        rather_inside=True,
    ),
    Outside(element=_name(MARKERS, "markable"), why="XEP-0333: asks for markers.", rather_inside=True),
    _marker("received"),
    _marker("displayed"),
    _marker("acknowledged"),
    _hint("no-permanent-store"),
    _hint("no-store"),
    _hint("no-copy"),
    _hint("store"),
    Outside(
        element=_name(CARBONS, "private"),
        why="XEP-0280: keeps the server from copying it to the user's other clients.",
    ),
    Outside(
        element=_name(EME, "encryption"),
        why="XEP-0380: names the system; its name for people is left to the other side.",
        attributes={"namespace": one_of(*EME_NAMESPACES)},
        required=frozenset({"namespace"}),
    ),
    Outside(
        element=_name(STANZA_IDS, "origin-id"),
        why="XEP-0359: finds the message in an archive; written as the id that the stanza leaves with.",
        attributes={"id": OUTER_ID},
        required=frozenset({"id"}),
    ),
    Outside(
        element=_name(MUC_USER, "x"),
        why="XEP-0045 section 7.5: marks a private message in a room; empty, so no invitation.",
    ),
)

#: What a receiver must not believe from inside a ciphertext, since only servers may say it (XEP-0420 section 4).
_SERVERS_ONLY: Final = frozenset(
    {
        _name("urn:xmpp:delay", "delay"),
        _name("jabber:x:delay", "x"),
        _name(STANZA_IDS, "stanza-id"),
        _name(STANZA_IDS, "origin-id"),
        _name(CARBONS, "sent"),
        _name(CARBONS, "received"),
        _name(CARBONS, "private"),
        _name("urn:xmpp:mam:2", "result"),
        _name("http://jabber.org/protocol/address", "addresses"),
        _name("http://jabber.org/protocol/amp", "amp"),
        _name(EME, "encryption"),
        _name(names.CLIENT, "error"),
        *(_name(HINTS, hint) for hint in ("no-permanent-store", "no-store", "no-copy", "store")),
    }
)

_BY_NAME: Final = {one.element: one for one in OUTSIDE}


@frozen
class Split:
    """What becomes of a stanza's children.

    *outside*: elements written anew, ready to stand in the outer stanza; *inside*: indexes of the children that the
    method carries; *dropped*: indexes of those that leave in no form.
    """

    outside: tuple[bytes, ...]
    inside: tuple[int, ...]
    dropped: tuple[int, ...]


def split(children: Iterable[Node], carries: Carries, ids: Ids = NO_IDS) -> Split:
    """Say which *children* of a message stay outside a ciphertext of a method that *carries* so much, and which do not.

    An element that is allowed once but comes twice stays outside once: two may say what one may not.
    """
    outside: list[bytes] = []
    inside: list[int] = []
    dropped: list[int] = []
    seen: set[str] = set()
    for index, child in enumerate(children):
        allowed = _BY_NAME.get(child.name)
        if (
            allowed is not None
            and child.name not in seen
            and _stays(allowed, carries)
            and fits(child, allowed, ids)
        ):
            seen.add(child.name)
            outside.append(written(child, allowed, ids))
        elif _goes_inside(child.name, carries):
            inside.append(index)
        else:
            dropped.append(index)
    return Split(tuple(outside), tuple(inside), tuple(dropped))


def _stays(allowed: Outside, carries: Carries) -> bool:
    return not allowed.rather_inside or carries in {Carries.NOTHING, Carries.BODY}


def _goes_inside(name: str, carries: Carries) -> bool:
    if carries is Carries.BODY:
        return name == BODY
    return carries in {Carries.CHILDREN, Carries.STANZA} and name not in _SERVERS_ONLY
