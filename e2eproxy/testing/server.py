"""The simulated server: routes stanzas, keeps messages for those who are away, and what accounts publish (PEP).

Only as much of RFC 6121, XEP-0045, XEP-0060 and XEP-0163 as methods use; everything in it is what a real server may do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.names import CLIENT, SEPARATOR, STANZA_ERRORS
from e2eproxy.xmpp.stanza import Stanza, build, element

if TYPE_CHECKING:
    from e2eproxy.testing.device import Device
    from e2eproxy.testing.world import World
    from e2eproxy.xmpp.spans import Span

PUBSUB = "http://jabber.org/protocol/pubsub"
HINTS = "urn:xmpp:hints"
_NO_STORE = frozenset(HINTS + SEPARATOR + name for name in ("no-store", "no-permanent-store"))


def named(namespace: str, local: str) -> str:
    """The name as the framer reports it."""
    return namespace + SEPARATOR + local


@define
class Directory:
    """What one account published: node, item id, the item's payload as standalone bytes."""

    nodes: dict[str, dict[str, bytes]] = field(factory=dict)

    def publish(self, node: str, item: str, payload: bytes) -> None:
        """Put or replace an item."""
        self.nodes.setdefault(node, {})[item] = payload


@define
class Room:
    """A members-only, non-anonymous group chat: occupants by nick."""

    jid: JID
    occupants: dict[str, Device] = field(factory=dict)

    @property
    def members(self) -> tuple[JID, ...]:
        """The real bare JIDs of all who are in it."""
        return tuple(sorted({one.jid.bare for one in self.occupants.values()}, key=str))


class Server:
    """Routes for all domains of a world."""

    def __init__(self, world: World) -> None:
        """Serve *world*."""
        self.world = world
        self.directories: dict[JID, Directory] = {}
        self.stored: dict[JID, list[tuple[float, Stanza]]] = {}
        self.rooms: dict[JID, Room] = {}

    def directory(self, owner: JID) -> Directory:
        """What the account *owner* (bare) published."""
        return self.directories.setdefault(owner.bare, Directory())

    def route(self, stanza: Stanza, sender: JID, to: JID, maker: Device | None) -> None:
        """Bring *stanza*, stamped, from *sender* to whoever is meant by *to*; *maker* gets the server's answers."""
        if to.bare in self.rooms and stanza.type == "groupchat":
            self._reflect(self.rooms[to.bare], stanza, sender)
        elif stanza.kind == "iq" and not to.full and stanza.type in {"get", "set"}:
            self._answer(stanza, to, maker)
        else:
            self._route_to_devices(stanza, sender, to, maker)

    def _route_to_devices(self, stanza: Stanza, sender: JID, to: JID, maker: Device | None) -> None:
        online = [one for one in self.world.devices if one.online and one.jid.bare == to.bare]
        exact = [one for one in online if one.jid == to]
        if stanza.kind == "message":
            receivers = exact or online
            if not receivers:
                self._store(stanza, to)
            for one in receivers:
                self.world.hand_over(one, stanza, sender)
        elif exact:
            self.world.hand_over(exact[0], stanza, sender)
        elif stanza.kind == "iq" and stanza.type in {"get", "set"}:
            self._refuse(stanza, maker, to, "service-unavailable")

    def _store(self, stanza: Stanza, to: JID) -> None:
        if not any(child.name in _NO_STORE for child in stanza.children):
            self.stored.setdefault(to.bare, []).append((self.world.clock.now(), stanza))

    def hand_out(self, device: Device) -> None:
        """Give *device* what was kept for its account while nobody was there."""
        for at, stanza in self.stored.pop(device.jid.bare, []):
            self.world.hand_over(device, stanza, JID.parse(stanza.from_ or ""), sent_at=at)

    def _reflect(self, room: Room, stanza: Stanza, sender: JID) -> None:
        nick = next((nick for nick, one in room.occupants.items() if one.jid == sender), None)
        if nick is None:
            return
        occupant = JID(room.jid.local, room.jid.domain, nick)
        for one in room.occupants.values():
            if one.online:
                stamped = {"from": str(occupant), "to": str(one.jid)}
                copy = Stanza.parse(stanza.with_attributes(stamped))
                self.world.hand_over(one, copy, occupant, author=sender.bare)

    def _answer(self, stanza: Stanza, to: JID, maker: Device | None) -> None:
        pubsub = stanza.child(named(PUBSUB, "pubsub"))
        publish = pubsub and pubsub.child(named(PUBSUB, "publish"))
        items = pubsub and pubsub.child(named(PUBSUB, "items"))
        if publish and stanza.type == "set" and maker and maker.jid.bare == to.bare:
            self._publish(stanza, maker, publish)
        elif items and stanza.type == "get" and maker:
            self._items(stanza, maker, to, items.attributes.get("node", ""))
        else:
            self._refuse(stanza, maker, to, "service-unavailable")

    def _publish(self, stanza: Stanza, maker: Device, publish: Span) -> None:
        for item in publish.children:
            payload = b"".join(stanza.standalone_part(child) for child in item.children)
            directory = self.world.directory_of(maker, maker.jid.bare)
            directory.publish(
                publish.attributes.get("node", ""), item.attributes.get("id", "current"), payload
            )
        self._reply(stanza, maker, maker.jid.bare, b"")

    def _items(self, stanza: Stanza, asker: Device, owner: JID, node: str) -> None:
        items = self.world.directory_of(asker, owner.bare).nodes.get(node)
        if items is None:
            self._refuse(stanza, asker, owner, "item-not-found")
            return
        written = b"".join(element("item", {"id": name}, payload) for name, payload in items.items())
        inside = element("pubsub", {"xmlns": PUBSUB}, element("items", {"node": node}, written))
        self._reply(stanza, asker, owner, inside)

    def _reply(self, asked: Stanza, asker: Device, owner: JID, content: bytes) -> None:
        head = {"type": "result", "from": str(owner), "to": str(asker.jid), "id": asked.id}
        self.world.hand_over(asker, Stanza.parse(build("iq", head, content)), owner)

    def _refuse(self, asked: Stanza, asker: Device | None, owner: JID, condition: str) -> None:
        if asker is None:
            return
        head = {"type": "error", "from": str(owner), "to": str(asker.jid), "id": asked.id}
        inside = element(
            "error", {"xmlns": CLIENT, "type": "cancel"}, element(condition, {"xmlns": STANZA_ERRORS})
        )
        self.world.hand_over(asker, Stanza.parse(build("iq", head, inside)), owner)
