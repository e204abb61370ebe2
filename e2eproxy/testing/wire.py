"""What runs over the simulated wire, and who may be sitting on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import evolve, field, frozen

from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.testing.device import Device
    from e2eproxy.testing.server import Directory
    from e2eproxy.testing.world import World
    from e2eproxy.xmpp.jid import JID


@frozen(kw_only=True)
class Packet:
    """One stanza on its way: ``sender`` is the full JID the server stamps as ``from``, ``to`` the prepared address.

    ``number`` counts what clients sent, from 0; what an attacker made has the number of what it was made from, or -1.
    ``delay``: seconds it is kept back before it is routed. ``maker``: who made it, which two of the same JID share not.
    """

    number: int
    at: float
    sender: JID
    to: JID
    raw: bytes
    delay: float = 0.0
    maker: Device | None = field(default=None, eq=False, repr=False)

    @property
    def stanza(self) -> Stanza:
        """The stanza, stamped with its sender, as the server hands it on."""
        plain = Stanza.parse(self.raw)
        return Stanza.parse(plain.with_attributes({"from": str(self.sender), "to": str(self.to)}))

    def with_raw(self, raw: bytes) -> Packet:
        """The same with other bytes."""
        return evolve(self, raw=raw)

    def readdressed(self, sender: JID, to: JID) -> Packet:
        """The same bytes from *sender* for *to*."""
        changed = Stanza.parse(self.raw).with_attributes({"to": str(to)})
        return evolve(self, sender=sender, to=to, raw=changed)


class Attacker(Protocol):
    """Whoever holds the wire: sees each packet, says what goes on in its place, and may inject by ``World.route``."""

    def join(self, world: World) -> None:
        """Take the place in *world*; called once, before anything runs."""

    def meet(self, packet: Packet) -> Iterable[Packet]:
        """Return what goes on in the place of *packet*, in this order."""

    def directory(self, asker: Device, owner: JID, honest: Directory) -> Directory:
        """Return the directory of published items that *asker* gets to see as that of *owner* (bare)."""
