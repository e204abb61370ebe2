"""The simulator: devices, a server and an attacker on one wire, on a clock that stands still; the same for the same seed.

Nothing in it waits or runs at the same time: a packet is routed when those before it are, and time passes only when
a test lets it. Everything that the server sees is written down.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from e2eproxy.methods import events
from e2eproxy.methods.door import Recorded
from e2eproxy.methods.events import Way
from e2eproxy.testing.clock import FakeClock
from e2eproxy.testing.device import Device, Killed
from e2eproxy.testing.server import Directory, Room, Server
from e2eproxy.testing.wire import Packet
from e2eproxy.xmpp.jid import JID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from e2eproxy.methods.door import Method
    from e2eproxy.methods.events import Computed
    from e2eproxy.methods.harness import Bug
    from e2eproxy.testing.wire import Attacker
    from e2eproxy.xmpp.stanza import Stanza

MOST_STEPS = 20_000


class Honest:
    """Nobody: what is sent arrives."""

    def join(self, world: World) -> None:
        """Sit and do nothing."""

    def meet(self, packet: Packet) -> Iterable[Packet]:
        """Let it pass."""
        return (packet,)

    def directory(self, asker: Device, owner: JID, honest: Directory) -> Directory:  # noqa: ARG002 - the interface's
        """Show what the owner published."""
        return honest


@frozen(kw_only=True)
class Cast:
    """The JIDs that simulations use."""

    alice: JID
    bob: JID
    bob_too: JID
    carol: JID
    room: JID


WHO = Cast(
    alice=JID.parse("alice@one.test/desk"),
    bob=JID.parse("bob@two.test/phone"),
    bob_too=JID.parse("bob@two.test/tablet"),
    carol=JID.parse("carol@three.test/desk"),
    room=JID.parse("den@rooms.test"),
)


class World:
    """See the module."""

    def __init__(
        self,
        seed: int = 0,
        attacker: Attacker | None = None,
        computed: dict[str, Computed | Bug] | None = None,
    ) -> None:
        """Begin an empty world; *seed* decides all randomness of all devices.

        Worlds of one method may share what its long computations came to, *computed* by their seeds: keys are not made anew for each.
        """
        self.seed = seed
        self.computed = {} if computed is None else computed
        self.clock = FakeClock()
        self.server = Server(self)
        self.devices: list[Device] = []
        self.transcript: list[Recorded] = []
        self._steps: deque[Callable[[], None]] = deque()
        self._running = False
        self.attacker: Attacker = attacker or Honest()
        self.attacker.join(self)

    def device(
        self,
        jid: JID,
        method: Method,
        *,
        listed: bool = True,
        settings: Mapping[str, str] | None = None,
        salt: str = "",
    ) -> Device:
        """Make a device; one that is not *listed* gets only what an attacker hands to it."""
        made = Device(self, jid, method, f"{self.seed}/{jid}/{salt}", settings or {})
        if listed:
            self.devices.append(made)
        return made

    def room(self, jid: JID, *occupants: Device) -> Room:
        """Open a room with *occupants*, who are called as their accounts."""
        made = Room(jid, {one.jid.local: one for one in occupants})
        self.server.rooms[jid.bare] = made
        return made

    def start(self, *devices: Device) -> None:
        """Bring *devices* online, one after the other, and let everything settle."""
        for one in devices:
            one.start()
            self.run()

    # -- the wire --

    def submit(self, device: Device, raw: bytes, to: JID, text: str | None = None) -> None:
        """Take *raw* from *device*: the server sees it, the attacker has it, then it is routed."""
        number = len(self.transcript)
        now = self.clock.now()
        self.transcript.append(
            Recorded(number=number, at=now, sender=device.jid, receiver=to, raw=raw, text=text)
        )
        packet = Packet(number=number, at=now, sender=device.jid, to=to, raw=raw, maker=device)
        self.soon(lambda: self._meet(packet))

    def _meet(self, packet: Packet) -> None:
        for one in self.attacker.meet(packet):
            if one.delay > 0:
                later = evolve(one, delay=0.0)
                self.clock.call_later(one.delay, partial(self.route, later))
            else:
                self.soon(partial(self.route, one))

    def route(self, packet: Packet) -> None:
        """Have the server route *packet*, which the attacker does not meet again."""
        self.server.route(packet.stanza, packet.sender, packet.to, packet.maker)

    def inject(self, packet: Packet) -> None:
        """Put a packet on the wire behind the attacker, and let everything settle."""
        self.soon(lambda: self.route(packet))
        self.run()

    def hand_over(
        self,
        device: Device,
        stanza: Stanza,
        peer: JID,
        *,
        sent_at: float | None = None,
        author: JID | None = None,
    ) -> None:
        """Give *stanza* to *device* in its turn."""
        way = Way.LIVE if sent_at is None else Way.DELAYED

        def receive() -> None:
            if device.online:
                self.alive(
                    device, lambda: device.receive(stanza, peer, way=way, sent_at=sent_at, author=author)
                )

        self.soon(receive)

    def directory_of(self, asker: Device, owner: JID) -> Directory:
        """What *asker* gets to see of what *owner* published."""
        return self.attacker.directory(asker, owner, self.server.directory(owner))

    def announce(self, device: Device) -> None:
        """Tell the others of *device*'s presence and features, and it of theirs."""
        here = [one for one in self.devices if one is not device and one.online]
        if device not in self.devices:
            return
        for one in here:
            self.introduce(one, device)
            if device.online:
                self.introduce(device, one)

    def introduce(self, who: Device, peer: Device) -> None:
        """Tell *who* of *peer*'s features and presence."""
        self.soon(lambda: self._see(who, peer))

    def _see(self, who: Device, peer: Device) -> None:
        if not who.online:
            return
        features = frozenset(peer.method.traits.features)
        if peer.online:
            self.guard(who, events.PeerFeatures(own=who.jid, peer=peer.jid, features=features))
        self.guard(who, events.PeerPresence(own=who.jid, peer=peer.jid, available=peer.online))

    # -- its time --

    def soon(self, action: Callable[[], None]) -> None:
        """Do *action* after all that is to be done already."""
        self._steps.append(action)

    def guard(self, device: Device, event: events.Event) -> None:
        """Give *device* an event; if it is killed by it, it is dead until started again."""
        self.alive(device, lambda: device.tell(event))

    def alive(self, device: Device, action: Callable[[], None]) -> None:
        """Do *action* of *device*'s; if it is killed by it, it is dead until started again."""
        try:
            action()
        except Killed:
            device.kill()

    def run(self) -> None:
        """Let everything happen that can happen now."""
        if self._running:
            return
        self._running = True
        try:
            for _ in range(MOST_STEPS):
                if not self._steps:
                    return
                self._steps.popleft()()
            raise AssertionError(f"it does not come to rest within {MOST_STEPS} steps")
        finally:
            self._running = False

    def wait(self, seconds: float) -> None:
        """Let *seconds* pass, with all that becomes due in them."""
        self.run()
        end = self.clock.now() + seconds
        while self.clock.step_to(end):
            self.run()

    @property
    def seen(self) -> list[bytes]:
        """All stanzas the server saw, in their order."""
        return [one.raw for one in self.transcript]
