"""Where an experiment is made: worlds of one method and one seed, always alike, and what went wrong in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from e2eproxy.methods.door import DOOR_VERSION, Recognition
from e2eproxy.methods.effects import Decline
from e2eproxy.methods.events import Outbound
from e2eproxy.methods.traits import Carries, Claim, Claims, Scope, Traits, Wire
from e2eproxy.testing.world import WHO, World
from e2eproxy.trust.values import Decision

if TYPE_CHECKING:
    from e2eproxy.methods.door import Context, Forgery, Method, Secrets, Stolen, Transcript
    from e2eproxy.methods.effects import Effect
    from e2eproxy.methods.events import Computed, Event
    from e2eproxy.methods.harness import Bug
    from e2eproxy.testing.device import Device
    from e2eproxy.testing.store import TrustPolicy
    from e2eproxy.testing.wire import Attacker, Packet
    from e2eproxy.xmpp.stanza import Stanza


@frozen(kw_only=True)
class Finding:
    """What an experiment found: whether the property holds, ``how`` in a few words, ``evidence`` in sentences."""

    holds: bool
    how: str = ""
    evidence: tuple[str, ...] = ()


class Lab:
    """Makes worlds for experiments with *method*."""

    def __init__(
        self, method: Method, seed: int = 0, computed: dict[str, Computed | Bug] | None = None
    ) -> None:
        """Work with *method*; *seed* decides all randomness, *computed* is what several labs have of long computations."""
        self.method = method
        self.seed = seed
        self.worlds: list[World] = []
        self._computed: dict[str, Computed | Bug] = {} if computed is None else computed

    def world(self, attacker: Attacker | None = None) -> World:
        """A new world, the same each time apart from the *attacker*."""
        made = World(self.seed, attacker, self._computed)
        self.worlds.append(made)
        return made

    def pair(
        self, attacker: Attacker | None = None, *, policy: TrustPolicy = "tofu", verified: bool = False
    ) -> tuple[World, Device, Device]:
        """Alice and Bob, both online; *verified*: they compared fingerprints on paper, and demand that."""
        world = self.world(attacker)
        alice, bob = world.device(WHO.alice, self.method), world.device(WHO.bob, self.method)
        for one in (alice, bob):
            one.store.policy = "verified" if verified else policy
        world.start(alice, bob)
        if verified:
            compare_fingerprints(world, alice, bob)
        return world, alice, bob

    @property
    def bugs(self) -> tuple[str, ...]:
        """What the method did in these worlds that no method may do."""
        found = {
            f"A bug of the method, at {bug.event}: {bug.what}. {bug.where}".strip()
            for world in self.worlds
            for device in [*world.devices, *getattr(world.attacker, "devices", ())]
            for bug in device.bugs
        }
        return tuple(sorted(found))


def compare_fingerprints(world: World, one: Device, other: Device) -> None:
    """Have both users note, on paper and so behind the attacker's back, the key the other's device says it has."""
    for reader, owner in ((one, other), (other, one)):
        for key in owner.store.peer_keys(owner.jid.bare):
            for change in reader.store.decide(owner.jid.bare, key.fingerprint, Decision.VERIFIED):
                world.guard(reader, change)
    world.run()


def protected(device: Device) -> list[str]:
    """The texts that *device* showed as protected, by whatever key."""
    return [one.text for one in device.shown if one.protection is not None]


class Numbered:
    """Chooses the packet with a number of the transcript; the same one in each world of a seed."""

    def __init__(self, *numbers: int) -> None:
        """Choose these."""
        self.numbers = numbers

    def __call__(self, packet: Packet) -> bool:
        """Whether it is one of them."""
        return packet.number in self.numbers


class PlainMethod:
    """Somebody who has no end-to-end encryption at all: recognises nothing, declines everything."""

    door_version = DOOR_VERSION
    traits = Traits(
        name="plain",
        title="Plain",
        standard="RFC 6121",
        summary="no encryption",
        carries=Carries.BODY,
        scope=Scope.PEER,
        kinds=frozenset(),
        wire=Wire(),
        claims=Claims(
            authenticity=Claim(False),
            integrity=Claim(False),
            encryption=Claim(False),
            forward_secrecy=Claim(False),
            malleable_encryption=Claim(False),
            one_to_one=Claim(False),
            group_chat=Claim(False),
            online_chats=Claim(False),
            offline_messages=Claim(False),
            multiple_resources=Claim(False),
            discovery_of_support=Claim(False),
            replay_protection=Claim(False),
            recovery=Claim(False),
        ),
    )

    def engine(self, context: Context) -> PlainEngine:
        """Make the engine."""
        return PlainEngine(context)

    def recognise(self, stanza: Stanza) -> Recognition:  # noqa: ARG002 - the interface's
        """Nothing is his."""
        return Recognition.NONE

    def open_recorded(self, stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:  # noqa: ARG002 - the interface's
        """There is nothing to open."""
        return ()

    def forge(self, transcript: Transcript, accomplice: Stolen | None) -> Forgery | None:  # noqa: ARG002 - as above
        """There is nothing to forge."""
        return None


class PlainEngine:
    """The engine of PlainMethod."""

    def __init__(self, context: Context) -> None:
        """Keep the context."""
        self.context = context

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Decline."""
        return (Decline(ref=event.ref, why="No encryption."),) if isinstance(event, Outbound) else ()

    def stolen_state(self, what: Secrets) -> Stolen:
        """Nothing."""
        from e2eproxy.methods.door import Stolen  # noqa: PLC0415 - only a type everywhere else

        return Stolen(what=what, account=self.context.account)
