"""Attackers for the simulator: single tactics, several together, and one who sits in the middle with keys of his own.

All of them may do what a server may do. They see the wire and nothing else; none knows a secret of the devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import evolve

from e2eproxy.testing.changes import changes
from e2eproxy.testing.server import Directory
from e2eproxy.testing.world import WHO, Honest

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Sequence

    from e2eproxy.methods.door import Method
    from e2eproxy.testing.device import Device
    from e2eproxy.testing.wire import Packet
    from e2eproxy.testing.world import World
    from e2eproxy.xmpp.jid import JID

    Which = Callable[[Packet], bool]


def by(sender: JID, *, nth: int | None = None, kind: str = "message") -> Which:
    """Choose packets of *kind* by *sender*, or only the *nth* of them (from 0)."""
    seen: list[int] = []

    def which(packet: Packet) -> bool:
        if packet.sender != sender or packet.stanza.kind != kind:
            return False
        if packet.number not in seen:
            seen.append(packet.number)
        return nth is None or seen.index(packet.number) == nth

    return which


def always(raw: bytes) -> Callable[[bytes], bytes | None]:
    """A change into *raw*, for ``Alter``."""
    return lambda _: raw


class Tactic(Honest):
    """Something done to the packets that *which* chooses; the others pass."""

    def __init__(self, which: Which) -> None:
        """Act on what *which* chooses."""
        self.which = which
        self.world: World | None = None

    def join(self, world: World) -> None:
        """Know the world."""
        self.world = world

    def meet(self, packet: Packet) -> Iterable[Packet]:
        """Act or let pass."""
        return self.act(packet) if self.which(packet) else (packet,)

    def act(self, packet: Packet) -> Iterable[Packet]:
        """Return what goes on in the place of a chosen packet."""
        return (packet,)


class Drop(Tactic):
    """Takes packets away."""

    def act(self, packet: Packet) -> Iterable[Packet]:  # noqa: ARG002 - the interface's
        """Nothing goes on."""
        return ()


class Delay(Tactic):
    """Keeps packets back."""

    def __init__(self, which: Which, seconds: float) -> None:
        """Keep what *which* chooses for *seconds*."""
        super().__init__(which)
        self.seconds = seconds

    def act(self, packet: Packet) -> Iterable[Packet]:
        """It goes on later."""
        return (evolve(packet, delay=self.seconds),)


class Duplicate(Tactic):
    """Sends packets twice."""

    def act(self, packet: Packet) -> Iterable[Packet]:
        """It goes on, and goes on."""
        return (packet, packet)


class Replay(Tactic):
    """Lets packets pass and sends them again after *seconds*."""

    def __init__(self, which: Which, seconds: float) -> None:
        """Repeat what *which* chooses."""
        super().__init__(which)
        self.seconds = seconds

    def act(self, packet: Packet) -> Iterable[Packet]:
        """It goes on, and again later."""
        return (packet, evolve(packet, delay=self.seconds))


class Reorder(Tactic):
    """Collects *count* packets and sends them on in reverse."""

    def __init__(self, which: Which, count: int = 2) -> None:
        """Turn round groups of *count*."""
        super().__init__(which)
        self.count = count
        self._kept: list[Packet] = []

    def act(self, packet: Packet) -> Iterable[Packet]:
        """It waits for the group to be whole."""
        self._kept.append(packet)
        if len(self._kept) < self.count:
            return ()
        kept, self._kept = self._kept, []
        return tuple(reversed(kept))


class Reflect(Tactic):
    """Sends packets back to whoever sent them, as if by the one they were for."""

    def __init__(self, which: Which, *, also: bool = True, apparent: JID | None = None) -> None:
        """Reflect what *which* chooses; *also* lets it pass; *apparent* is the JID it seems to come from."""
        super().__init__(which)
        self.also = also
        self.apparent = apparent

    def act(self, packet: Packet) -> Iterable[Packet]:
        """Back it goes."""
        back = packet.readdressed(self.apparent or packet.to, packet.sender)
        return (packet, back) if self.also else (back,)


class Alter(Tactic):
    """Changes packets: *change* gets the bytes of the stanza and returns others (None: nothing goes on)."""

    def __init__(self, which: Which, change: Callable[[bytes], bytes | None]) -> None:
        """Change what *which* chooses."""
        super().__init__(which)
        self.change = change

    def act(self, packet: Packet) -> Iterable[Packet]:
        """It goes on changed."""
        changed = self.change(packet.raw)
        return () if changed is None else (packet.with_raw(changed),)


class Splice(Tactic):
    """Puts together what *mix* makes of two packets: the one before and this one; the first passes unchanged."""

    def __init__(self, which: Which, mix: Callable[[bytes, bytes], bytes | None]) -> None:
        """Mix what *which* chooses."""
        super().__init__(which)
        self.mix = mix
        self._last: Packet | None = None

    def act(self, packet: Packet) -> Iterable[Packet]:
        """It goes on mixed with the one before."""
        last, self._last = self._last, packet
        if last is None:
            return (packet,)
        mixed = self.mix(last.raw, packet.raw)
        return () if mixed is None else (packet.with_raw(mixed),)


class Several(Honest):
    """Attackers one behind the other: what the first lets pass the second meets."""

    def __init__(self, *attackers: Tactic) -> None:
        """Sit in this order."""
        self.attackers = attackers

    def join(self, world: World) -> None:
        """All of them."""
        for one in self.attackers:
            one.join(world)

    def meet(self, packet: Packet) -> Iterable[Packet]:
        """Each one's output is the next one's input."""
        packets: Sequence[Packet] = (packet,)
        for one in self.attackers:
            packets = [out for each in packets for out in one.meet(each)]
        return packets


Action = Literal["pass", "drop", "delay", "duplicate", "replay", "reflect", "alter"]
ACTIONS: tuple[Action, ...] = ("pass", "drop", "delay", "duplicate", "replay", "reflect", "alter")


class Chaos(Tactic):
    """Does anything of *actions* with each chosen packet, by the dice *rng*."""

    def __init__(self, which: Which, rng: random.Random, actions: Sequence[Action] = ACTIONS) -> None:
        """Play with what *which* chooses."""
        super().__init__(which)
        self.rng = rng
        self.actions = actions
        self.done: list[tuple[int, Action]] = []

    def act(self, packet: Packet) -> Iterable[Packet]:
        """Throw the dice."""
        action = self.rng.choice(self.actions)
        self.done.append((packet.number, action))
        outcomes: dict[Action, Callable[[], tuple[Packet, ...]]] = {
            "pass": lambda: (packet,),
            "drop": lambda: (),
            "delay": lambda: (evolve(packet, delay=self.rng.uniform(0, 90)),),
            "duplicate": lambda: (packet, packet),
            "replay": lambda: (packet, evolve(packet, delay=self.rng.uniform(0, 900))),
            "reflect": lambda: (packet, packet.readdressed(packet.to, packet.sender)),
            "alter": lambda: (packet.with_raw(any_change(packet.raw, self.rng) or packet.raw),),
        }
        return outcomes[action]()


def any_change(raw: bytes, rng: random.Random) -> bytes | None:
    """One change by chance of *raw* that leaves it a stanza, or None."""
    ways = list(changes(raw, most=20))
    return rng.choice(ways).raw if ways else None


class Middle(Honest):
    """Substitutes keys: he has an engine that plays Bob for Alice and one that plays Alice for Bob, with his own keys.

    What one side writes he opens with one engine and sends on with the other; what is published he replaces.
    ``read`` is what he could read. He works from ``active`` on.
    """

    def __init__(
        self, method: Method, alice: JID = WHO.alice, bob: JID = WHO.bob, *, active: bool = True
    ) -> None:
        """Sit between *alice* and *bob*."""
        self.method, self.alice, self.bob, self.active = method, alice, bob, active
        self.devices: list[Device] = []
        self.read: list[str] = []
        self._shown: dict[JID, int] = {}
        self._published: dict[JID, Directory] = {alice.bare: Directory(), bob.bare: Directory()}

    def join(self, world: World) -> None:
        """Bring the two engines."""
        self.world = world
        self.as_alice = world.device(self.alice, self.method, listed=False, salt="mallory")
        self.as_bob = world.device(self.bob, self.method, listed=False, salt="mallory")
        self.devices = [self.as_alice, self.as_bob]
        for one in self.devices:
            one.store.policy = "blind"

    def begin(self, *victims: Device) -> None:
        """Start the two engines, which see the *victims* as online."""
        for own, peer in ((self.as_alice, self.bob), (self.as_bob, self.alice)):
            own.start()
            for victim in victims:
                if victim.jid == peer:
                    self.world.introduce(own, victim)
        self.world.run()

    def meet(self, packet: Packet) -> Iterable[Packet]:
        """Take what the victims send to each other, and let pass what the own engines send on to the victims."""
        if packet.maker in self.devices:
            self.world.soon(self._pass_on)
            return (packet,)
        if self.active and (packet.sender, packet.to.bare) == (self.alice, self.bob.bare):
            return self._take(self.as_bob, packet)
        if self.active and (packet.sender, packet.to.bare) == (self.bob, self.alice.bare):
            return self._take(self.as_alice, packet)
        return (packet,)

    def _take(self, own: Device, packet: Packet) -> Iterable[Packet]:
        stanza = packet.stanza
        if stanza.kind == "iq" and not packet.to.full:
            return (packet,)
        self.world.hand_over(own, stanza, packet.sender)
        self.world.soon(self._pass_on)
        return ()

    def _pass_on(self) -> None:
        """Send on, with the other engine, what could be read."""
        for own, other, peer in (
            (self.as_bob, self.as_alice, self.bob),
            (self.as_alice, self.as_bob, self.alice),
        ):
            start = self._shown.get(own.jid, 0)
            fresh = own.shown[start:]
            self._shown[own.jid] = len(own.shown)
            for one in fresh:
                if one.text:
                    self.read.append(one.text)
                    other.say(peer, one.text)

    def directory(self, asker: Device, owner: JID, honest: Directory) -> Directory:
        """Victims see the attacker's keys in the place of each other's; his own engines see the real ones."""
        if not self.active or owner.bare not in self._published:
            return honest
        own = asker in self.devices
        return self._published[owner.bare] if own == (asker.jid.bare == owner.bare) else honest
