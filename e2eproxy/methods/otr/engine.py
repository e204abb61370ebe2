"""OTR's engine behind the door: each event goes to the part that knows what to do; here is the life of streams and sessions.

Sessions are in memory only, and die with their stream: the peer is told where that is possible. Kept are our key, and a
tag for each client of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Secrets, Stolen
from e2eproxy.methods.otr import ake, fragments
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr.account import Account
from e2eproxy.methods.otr.incoming import answer_offers, inbound
from e2eproxy.methods.otr.outgoing import outbound
from e2eproxy.methods.otr.own_key import IDENTITY
from e2eproxy.methods.otr.steering import command

if TYPE_CHECKING:
    from e2eproxy.methods.door import Context
    from e2eproxy.methods.otr.book import Entry
    from e2eproxy.xmpp.jid import JID

MOST_AWAY: Final = 5
"""So many sessions wait for a contact's clients that have gone and may come back."""


class OtrEngine:
    """One account's engine."""

    def __init__(self, context: Context) -> None:
        """Begin with what is in the view: no session."""
        self.account = Account(context)

    def handle(self, event: events.Event) -> tuple[e.Effect, ...]:
        """As ``Engine`` says."""
        effects = self._effects(event)
        durable = [one for one in effects if isinstance(one, e.DURABLE)]
        return (*durable, *(one for one in effects if not isinstance(one, e.DURABLE)))

    def _effects(self, event: events.Event) -> tuple[e.Effect, ...]:
        match event:
            case events.Outbound():
                return outbound(self.account, event)
            case events.Inbound():
                return inbound(self.account, event)
            case events.Command():
                return command(self.account, event)
            case events.Timer(name=name):
                return self._late(name)
            case events.PeerPresence():
                return self._presence(event)
            case _:
                return self._other(event)

    # -- streams, and our key --

    def _other(self, event: events.Event) -> tuple[e.Effect, ...]:
        match event:
            case events.Starting(own=own):
                # Another stream may have had the same address, and was put out by the server for this one.
                over = self._over(own, told=False)
                return (*self.account.key.wanted(), *over, *self.account.slots.take(own)[1])
            case events.Stopping(own=own):
                return self._over(own, told=True)
            case events.Interrupted(own=own):
                return self._over(own, told=False)
            case events.Computed():
                return (*self.account.key.came(event), *answer_offers(self.account))
            case events.TrustChanged(contact=contact):
                return (e.Retry(contact=contact),)
            case _:
                return ()

    def _over(self, own: JID, *, told: bool) -> tuple[e.Effect, ...]:
        """The stream is over, and its sessions with it."""
        effects: tuple[e.Effect, ...] = ()
        for peer, entry in self.account.book.of_stream(own):
            turn = talk.ended(entry.now)
            if told and not entry.away:
                effects += self.account.emitted(own, peer, turn.replies)
            if entry.now.state is not talk.State.PLAINTEXT or entry.exchanging or entry.waiting:
                effects += (e.SessionChanged(peer=peer, state=e.State.NONE),)
            self.account.book.forget(own, peer)
        self.account.slots.leave(own)
        self.account.asked = {one for one in self.account.asked if one[0] != own}
        return effects

    # -- peers --

    def _presence(self, event: events.PeerPresence) -> tuple[e.Effect, ...]:
        entry = self.account.book.find(event.own, event.peer)
        if event.available:
            if event.peer not in self.account.here:
                self._offer_again(event)
            self.account.here.add(event.peer)
            if entry:
                entry.away = False
            return ()
        self.account.here.discard(event.peer)
        if entry is None or entry.now.state is talk.State.PLAINTEXT:
            return ()
        if entry.live and entry.now.session is not None and entry.now.session.version == 3:
            entry.away = True
            return self._too_many_away(event)
        return self._lost(event.own, event.peer)

    def _offer_again(self, event: events.PeerPresence) -> None:
        """The contact has come with another client, or anew: that one has not seen our offer in white space."""
        for peer, one in self.account.book.of(event.own, event.peer.bare):
            if peer in {event.peer, event.peer.bare}:
                one.tagged = False

    def _too_many_away(self, event: events.PeerPresence) -> tuple[e.Effect, ...]:
        known = self.account.book.of(event.own, event.peer.bare)
        away = [peer for peer, one in known if one.away]
        return tuple(one for peer in away[MOST_AWAY:] for one in self._lost(event.own, peer))

    def _lost(self, own: JID, peer: JID) -> tuple[e.Effect, ...]:
        self.account.book.forget(own, peer)
        return (e.SessionChanged(peer=peer, state=e.State.NONE),)

    # -- time --

    def _late(self, name: str) -> tuple[e.Effect, ...]:
        for own, peer, entry in self.account.book.all():
            if name == f"handshake {own} {peer}":
                return self._given_up(peer, entry)
            if name == f"parts {own} {peer}" and entry.partial.count:
                entry.partial = fragments.Partial()
                text = "The contact sent a part of an encrypted message, and the rest did not come."
                return (e.Tell(contact=peer.bare, text=text, tone=e.Tone.WARNING),)
        return ()

    def _given_up(self, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
        waited = entry.waiting
        entry.now = evolve(entry.now, exchange=ake.NOTHING, exchange_tag=0)
        entry.waiting = False
        if entry.checking:
            return self._not_there(peer, entry)
        if entry.now.state is not talk.State.PLAINTEXT:
            return ()
        entry.failed = True
        changed = e.SessionChanged(peer=peer, state=e.State.NONE)
        text = "No encrypted session could be made: the contact's client did not answer."
        told = (e.Tell(contact=peer.bare, text=text, tone=e.Tone.WARNING),) if waited else ()
        return (changed, *told, e.Retry(contact=peer.bare))

    def _not_there(self, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
        """Nobody answered who had been silent for long: what the user writes would be lost, or read by nobody."""
        entry.checking = False
        entry.now = talk.lost(entry.now)
        text = (
            "The contact has been silent, and did not answer when it was asked whether it still has the encrypted session."
            " What you write is not sent until you start it again or end it."
        )
        return (
            e.SessionChanged(peer=peer, state=e.State.FINISHED),
            e.Tell(contact=peer.bare, text=text, tone=e.Tone.WARNING),
            e.Retry(contact=peer.bare),
        )

    # -- for the bench --

    def stolen_state(self, what: Secrets) -> Stolen:
        """As ``Engine`` says; the exponents in memory are under ``exponent:``, keys of messages under ``key:``."""
        view = self.account.context.view
        identity = view.identity(IDENTITY)
        stolen = Stolen(
            what=what,
            account=self.account.context.account,
            identities=(identity,) if identity else (),
            records=dict(view.records("")),
        )
        if what is Secrets.LONG_TERM:
            return stolen
        memory: dict[str, bytes] = {}
        for number, (_, _, entry) in enumerate(self.account.book.all()):
            memory |= {f"{name}:{number}": value for name, value in _secrets(entry.now).items()}
        return evolve(stolen, memory=memory)


def _secrets(now: talk.Conversation) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if now.exchange.own is not None:
        found["exponent:exchange"] = now.exchange.own.secret.to_bytes(40, "big")
    if now.session is not None:
        for number, pair in now.session.own.items():
            found[f"exponent:{number}"] = pair.secret.to_bytes(40, "big")
        for ids, one in now.session.pairs.items():
            found[f"key:{ids}:sent"] = one.sending
            found[f"key:{ids}:received"] = one.receiving
    return found
