"""A simulated device: one engine with its store, and a small pipeline around it that keeps the door's promises.

It commits what is durable before it does what can be seen, checks the keys of what leaves, holds and presents again, and
writes down all that its user would have seen. It can be killed at any effect and started again.
"""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import TYPE_CHECKING, Literal

from attrs import evolve, field, frozen

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Context, Recognition
from e2eproxy.methods.events import Outcome, Ref, Way
from e2eproxy.methods.harness import Harness
from e2eproxy.testing.errands import Errands
from e2eproxy.testing.store import MemoryStore
from e2eproxy.xmpp.names import CLIENT, SEPARATOR, STANZA_ERRORS, split_name
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.methods.door import Method, Secrets, Stolen
    from e2eproxy.methods.harness import Bug
    from e2eproxy.testing.world import World
    from e2eproxy.trust.values import Fingerprint
    from e2eproxy.xmpp.jid import JID

BODY = CLIENT + SEPARATOR + "body"
_NO_KEEPING = (
    b"<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>"
    b"<no-permanent-store xmlns='urn:xmpp:hints'/>"
)


@frozen(kw_only=True)
class Shown:
    """One stanza as the user saw it. ``protection`` None: it came in clear. ``trusted``: by a key policy accepts."""

    text: str
    peer: JID
    protection: e.Protection | None
    trusted: bool
    way: Way
    stanza: Stanza = field(repr=False)


@frozen(kw_only=True)
class Failed:
    """One of the user's stanzas that was not protected. ``how``: "returned", or "declined" (policy may let it go clear)."""

    how: Literal["returned", "declined"]
    text: str
    condition: str
    why: str
    offer: str = ""


class Killed(Exception):  # noqa: N818 - an end, not an error
    """The device was killed between two effects."""


class Device:
    """See the module. Made by ``World.device``."""

    def __init__(
        self, world: World, jid: JID, method: Method, seed: str, settings: Mapping[str, str]
    ) -> None:
        """Make a device for the full JID *jid* that is not yet online; *seed* decides all its randomness."""
        rng = random.Random(seed)  # noqa: S311 - nobody's secrets
        self.world, self.jid, self.method = world, jid, method
        self._seed = seed
        self._computations = itertools.count()
        self.store = MemoryStore(jid.bare, method.traits.name, world.clock.now)
        self.context = Context(
            account=jid.bare, view=self.store, clock=world.clock.now, random=rng.randbytes, settings=settings
        )
        self.online = False
        # Nothing ever leaves in clear here, so the method is told that clear text is out of the question.
        self.required = True
        self.fuse: int | None = None
        # Seconds that a computation takes.
        self.computes_for = 0.0
        self.shown: list[Shown] = []
        self.unreadable: list[str] = []
        self.absorbed: list[str] = []
        self.failed: list[Failed] = []
        self.notices: list[e.Tell] = []
        self.bugs: list[Bug] = []
        self.sessions: dict[JID, e.SessionChanged] = {}
        self.proved: list[JID] = []
        self._refs = itertools.count()
        self._sent: dict[Ref, events.Outbound] = {}
        self._revive()

    def _revive(self) -> None:
        self.errands = Errands(self.world.clock)
        self.harness = Harness(self.method, self.context, self.bugs.append)
        self._computing: set[str] = set()

    # -- its life --

    def start(self) -> None:
        """Come online: the server hands out what it kept, the others see presence and features."""
        self.online = True
        self.world.guard(self, events.Starting(own=self.jid))
        if self.online:
            self.world.announce(self)
            self.world.server.hand_out(self)

    def stop(self) -> None:
        """Go offline in good order."""
        self.world.guard(self, events.Stopping(own=self.jid))
        self.online = False
        self.errands.forget()
        self.world.announce(self)

    def kill(self) -> None:
        """Vanish: memory, timers and what was held are lost, the store stays."""
        self.online = False
        self.errands.forget()
        self.fuse = None
        self._revive()
        self.world.announce(self)

    def lose_stream(self, *doubtful: JID) -> None:
        """Lose the stream without order; what was sent last to *doubtful* may not have arrived."""
        self.world.guard(self, events.Interrupted(own=self.jid, doubtful=doubtful))
        self.online = False
        self.errands.forget()
        self.world.announce(self)

    # -- what its user does --

    def say(self, to: JID, text: str, *, kind: str = "chat", more: bytes = b"") -> None:
        """Write *text* to *to* (bare, full, or a room with *kind* "groupchat"); *more* are further children."""
        content = element("body", {}, escape_text(text).encode()) + more
        self.send(build("message", {"to": str(to), "type": kind, "id": f"c{next(self._refs)}"}, content), to)

    def send(self, raw: bytes, to: JID) -> None:
        """Have the client send the stanza *raw*."""
        room = self.world.server.rooms.get(to.bare)
        event = events.Outbound(
            ref=Ref(f"o{next(self._refs)}"),
            own=self.jid,
            peer=to,
            stanza=Stanza.parse(raw),
            members=room.members if room else (),
            required=self.required,
        )
        if self.errands.waits("out", to.bare):
            self.errands.hold("out", to.bare, event)
        else:
            self.world.alive(self, partial(self.tell, event))
        self.world.run()

    def command(self, peer: JID, verb: str, *arguments: str) -> None:
        """Give the method a command of the user."""
        self.world.guard(self, events.Command(own=self.jid, peer=peer, verb=verb, arguments=arguments))
        self.world.run()

    # -- what the network brings --

    def receive(
        self, stanza: Stanza, peer: JID, *, way: Way, sent_at: float | None, author: JID | None
    ) -> None:
        """Take in *stanza* from *peer*."""
        if stanza.kind == "iq" and stanza.type in {"result", "error"} and self._answered(stanza, peer):
            return
        if stanza.type == "error" or self.method.recognise(stanza) is Recognition.NONE:
            self._show_plain(stanza, peer, way)
            return
        event = events.Inbound(
            ref=Ref(f"i{next(self._refs)}"),
            own=self.jid,
            peer=peer,
            to=self.jid,
            stanza=stanza,
            way=way,
            sent_at=sent_at,
            author=author,
            may_answer=any(one.jid.bare == peer.bare for one in self.world.devices),
            room=peer.bare in self.world.server.rooms,
        )
        if self.errands.waits("in", peer.bare) and not self._is_at_once(stanza):
            self.errands.hold("in", peer.bare, event)
        else:
            self.tell(event)

    def _is_at_once(self, stanza: Stanza) -> bool:
        at_once = self.method.traits.wire.at_once
        return stanza.kind == "iq" and any(split_name(child.name) in at_once for child in stanza.children)

    def _answered(self, stanza: Stanza, peer: JID) -> bool:
        asked = self.errands.answered(stanza.id or "", peer)
        if asked is None:
            return False
        condition = ""
        for error in stanza.all(CLIENT + SEPARATOR + "error"):
            condition = next(
                (
                    local
                    for space, local in (split_name(one.name) for one in error.children)
                    if space == STANZA_ERRORS
                ),
                "",
            )
        outcome = Outcome.RESULT if stanza.type == "result" else Outcome.ERROR
        self.tell(
            events.Answer(own=self.jid, token=asked, outcome=outcome, stanza=stanza, condition=condition)
        )
        return True

    def tell(self, event: events.Event) -> None:
        """Give the engine *event* and do what it wants done."""
        wanted = self.harness.handle(event)
        durable = tuple(one for one in wanted if isinstance(one, e.DURABLE))
        if durable:
            self._burn()
            changes = self.store.commit(durable)
        else:
            changes = []
        # A computation may end after the stream: nobody is there to see what comes of it.
        seen = self.online or not isinstance(event, events.Computed)
        for one in wanted:
            if seen and not isinstance(one, e.DURABLE):
                self._burn()
                self._do(one, event)
        for change in changes:
            self.tell(change)

    def _burn(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed

    def _do(self, effect: e.Effect, event: events.Event) -> None:
        match event:
            case _ if isinstance(effect, e.Repeat):
                self._repeat(effect.ref)
            case events.Outbound() if isinstance(effect, e.Return | e.Decline):
                self.failed.append(_failure(effect, text_of(event.stanza)))
            case events.Outbound() if isinstance(effect, e.Hold):
                self.errands.hold("out", event.peer.bare, event)
            case events.Inbound() if isinstance(effect, e.Hold):
                self.errands.hold("in", event.peer.bare, event)
            case events.Inbound() if isinstance(effect, e.Decline):
                self._show_plain(event.stanza, event.peer, event.way, effect.body)
            case events.Inbound() if isinstance(effect, e.Deliver | e.Unreadable | e.Absorb):
                self._take_in(effect, event)
            case _ if isinstance(effect, e.Send | e.Emit | e.Ask):
                self._send(effect, event)
            case _:
                self._note(effect)

    def _repeat(self, ref: Ref) -> None:
        sent = self._sent.pop(ref, None)
        if sent is not None:
            once_more = evolve(sent, ref=Ref(f"o{next(self._refs)}"), again=False, repeated=True)
            self.world.soon(partial(self.world.alive, self, partial(self.tell, once_more)))

    def _note(self, effect: e.Effect) -> None:
        match effect:
            case e.Retry(contact=contact):
                for again in self.errands.held(contact.bare):
                    self.world.soon(partial(self.world.alive, self, partial(self._again, again)))
            case e.SetTimer(name=name, seconds=seconds):
                self.errands.timer(name, seconds, lambda: self.world.guard(self, events.Timer(name=name)))
            case e.Consult(token=token, backend=backend):
                why = f"There is no {backend} here."
                gone = events.Consulted(token=token, outcome=Outcome.ERROR, why=why)
                self.world.soon(lambda: self.world.guard(self, gone))
            case e.Compute():
                self._compute(effect)
            case e.Tell():
                self.notices.append(effect)
            case e.SessionChanged(peer=peer):
                self.sessions[peer] = effect
            case e.ProvedReading(contact=contact):
                self.proved.append(contact)
            case _:
                raise AssertionError(f"there is no place for {type(effect).__name__} here")

    def _done(self, wanted: e.Compute) -> events.Computed | Bug:
        """What *wanted* comes to. Its randomness is its own, so that worlds of one seed may share what was long to compute."""
        seed = f"{self._seed}/{wanted.name}/{next(self._computations)}"
        if seed not in self.world.computed:
            draws = random.Random(seed).randbytes  # noqa: S311 - as above
            self.world.computed[seed] = self.harness.compute(wanted, draws)
        return self.world.computed[seed]

    def _compute(self, wanted: e.Compute) -> None:
        """Have its end come later, but not to another engine. It outlives the stream, as the account does."""
        if wanted.name in self._computing:
            return
        harness, engine, computing = self.harness, self.harness.engine, self._computing
        computing.add(wanted.name)
        done = self._done(wanted)

        def end() -> None:
            computing.discard(wanted.name)
            event = harness.computed(wanted, done)
            if self.harness is harness and harness.engine is engine:
                self.world.guard(self, event)

        if self.computes_for > 0:
            self.world.clock.call_later(self.computes_for, end)
        else:
            self.world.soon(end)

    def _again(self, event: events.Outbound | events.Inbound) -> None:
        way: Literal["in", "out"] = "out" if isinstance(event, events.Outbound) else "in"
        if self.errands.waits(way, event.peer.bare):
            self.errands.hold(way, event.peer.bare, event)
        else:
            self.tell(event)

    def _take_in(self, effect: e.Deliver | e.Unreadable | e.Absorb, event: events.Inbound) -> None:
        if isinstance(effect, e.Unreadable):
            self.unreadable.append(effect.why)
        elif isinstance(effect, e.Absorb):
            self.absorbed.append(effect.why)
        else:
            stanza = opened(event.stanza, effect.inside)
            key = effect.protection.key
            contact = (event.author or event.peer).bare
            self.shown.append(
                Shown(
                    text=text_of(stanza),
                    peer=event.peer,
                    protection=effect.protection,
                    trusted=key is not None and self.store.usable(contact, key),
                    way=event.way,
                    stanza=stanza,
                )
            )

    def _show_plain(self, stanza: Stanza, peer: JID, way: Way, text: str | None = None) -> None:
        shown = text_of(stanza) if text is None else text
        self.shown.append(
            Shown(text=shown, peer=peer, protection=None, trusted=False, way=way, stanza=stanza)
        )

    def _send(self, effect: e.Send | e.Emit | e.Ask, event: events.Event) -> None:
        outbound = event if isinstance(event, events.Outbound) else None
        text = text_of(outbound.stanza) if outbound and effect_ref(effect) else None
        if isinstance(effect, e.Emit) and not self._gives(effect):
            return
        if (
            outbound
            and not isinstance(effect, e.Emit)
            and effect.ref
            and not self._accepts(effect.keys, outbound)
        ):
            why = "Policy does not accept a key it was encrypted to."
            self.failed.append(Failed(how="returned", text=text or "", condition="policy-violation", why=why))
            return
        to = effect.to or self.jid.bare
        head: dict[str, str | None] = {"to": str(to), "id": f"{self.jid.resource}{next(self._refs)}"}
        payload = effect.payload
        match effect:
            case e.Send(lasting=lasting) if outbound:
                self._sent = {outbound.ref: outbound}
                kind: e.Kind = outbound.stanza.kind
                head["type"] = outbound.stanza.type
                payload += b"" if lasting else _NO_KEEPING
            case e.Emit():
                kind, head["type"] = effect.kind, effect.type or None
                head["id"] = effect.id or head["id"]
            case _:
                assert isinstance(effect, e.Ask)  # noqa: S101 - the harness let no other through
                kind, head["type"] = "iq", effect.type
                self._await(effect, str(head["id"]), to)
        self.world.submit(self, build(kind, head, payload), to, text)

    def _gives(self, effect: e.Emit) -> bool:
        contact = effect.to.bare
        if all(self.store.usable(contact, one) for one in effect.keys):
            return True
        self.notices.append(
            e.Tell(contact=contact, text="A key was not given to a key that is not accepted.")
        )
        return False

    def _accepts(self, keys: tuple[Fingerprint, ...], outbound: events.Outbound) -> bool:
        contacts = outbound.members or (outbound.peer.bare,)
        return all(any(self.store.usable(one, key) for one in contacts) for key in keys)

    def _await(self, ask: e.Ask, identifier: str, to: JID) -> None:
        def late() -> None:
            if self.errands.answered(identifier, to) is not None:
                timeout = events.Answer(own=self.jid, token=ask.token, outcome=Outcome.TIMEOUT)
                self.world.guard(self, timeout)

        self.errands.ask(ask.token, identifier, to, ask.timeout, late)

    # -- for the bench --

    def stolen(self, what: Secrets) -> Stolen:
        """What a thief gets who copies this device now."""
        engine = self.harness.engine
        if engine is None:
            raise AssertionError("a device without an engine has nothing to steal")
        return engine.stolen_state(what)

    @property
    def texts(self) -> list[str]:
        """The texts its user saw as protected and by a key that policy accepts."""
        return [one.text for one in self.shown if one.protection and one.trusted]


def effect_ref(effect: e.Send | e.Emit | e.Ask) -> Ref | None:
    """Which of the user's stanzas *effect* carries, if any."""
    return None if isinstance(effect, e.Emit) else effect.ref


def _failure(effect: e.Return | e.Decline, text: str) -> Failed:
    if isinstance(effect, e.Return):
        return Failed(how="returned", text=text, condition=effect.condition, why=effect.why)
    return Failed(how="declined", text=text, condition="", why=effect.why, offer=effect.offer)


def text_of(stanza: Stanza) -> str:
    """The text of a message's body; empty if it has none."""
    body = stanza.child(BODY)
    return body.node.text if body else ""


def opened(outer: Stanza, inside: e.Inside) -> Stanza:
    """The stanza the client gets for *outer* when *inside* was in it."""
    match inside:
        case e.Body(text=text):
            return Stanza.parse(
                outer.with_content(element("body", {"xmlns": CLIENT}, escape_text(text).encode()))
            )
        case e.Children(raw=raw):
            return Stanza.parse(outer.with_content(raw))
        case e.Whole(raw=raw):
            whole = Stanza.parse(raw)
            return Stanza.parse(whole.with_attributes({"from": outer.from_, "to": outer.to}))
