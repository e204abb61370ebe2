"""miller-e2e's engine behind the door: each event goes to the part that knows what to do with it.

There are no sessions. What lives longer than an event is in records: our two keys, SMKs, who was met, what was opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Secrets, Stolen
from e2eproxy.methods.miller import handover, requests
from e2eproxy.methods.miller.account import Account
from e2eproxy.methods.miller.answers import answered
from e2eproxy.methods.miller.incoming import inbound
from e2eproxy.methods.miller.outgoing import outbound
from e2eproxy.methods.miller.own_keys import ENCRYPTION, SIGNING
from e2eproxy.methods.miller.steering import command
from e2eproxy.methods.miller.table import DAY, MOST_SWEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.door import Context
    from e2eproxy.methods.miller.keys import PrivateKey

SWEEP: Final = "sweep"
SOON: Final = 5.0
"""Seconds after which records that are too old are forgotten, or the next lot of them."""


class MillerEngine:
    """One account's engine; *make* makes a key of ours."""

    def __init__(self, context: Context, make: Callable[[Callable[[int], bytes]], PrivateKey]) -> None:
        """Begin with what is in the view."""
        self.account = Account(context, make)

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
            case events.Answer():
                return answered(self.account, event)
            case events.TrustChanged():
                return self._decided(event)
            case events.PeerPresence() | events.PeerFeatures():
                return self._seen(event)
            case _:
                return self._other(event)

    def _other(self, event: events.Event) -> tuple[e.Effect, ...]:
        match event:
            case events.Starting() | events.Stopping() | events.Interrupted():
                self.account.stream_ended(event.own)
                return self._starting() if isinstance(event, events.Starting) else ()
            case events.Command():
                return command(self.account, event)
            case events.Computed():
                return self._made(event)
            case events.Timer(name=name) if name == SWEEP:
                return self._swept()
            case _:
                return ()

    def _seen(self, event: events.PeerPresence | events.PeerFeatures) -> tuple[e.Effect, ...]:
        if isinstance(event, events.PeerFeatures):
            return self.account.announced(event.peer, event.features) if event.known else ()
        if event.available:
            self.account.came(event.peer)
        else:
            self.account.gone(event.peer)
        return ()

    def _starting(self) -> tuple[e.Effect, ...]:
        fault = self.account.fault
        told = (e.Tell(contact=None, text=fault, tone=e.Tone.WARNING),) if fault else ()
        return (*self.account.keys.wanted(), e.SetTimer(name=SWEEP, seconds=SOON), *told)

    def _swept(self) -> tuple[e.Effect, ...]:
        gone = self.account.table.swept()
        return (*gone, e.SetTimer(name=SWEEP, seconds=SOON if len(gone) == MOST_SWEPT else DAY))

    def _made(self, event: events.Computed) -> tuple[e.Effect, ...]:
        """Our keys are there, or could not be made: what waited for them may try again."""
        waiting, self.account.waiting = self.account.waiting, set()
        retries = tuple(e.Retry(contact=one) for one in sorted(waiting, key=str))
        told: tuple[e.Effect, ...] = ()
        if event.result is None:
            why = f"The keys of your account for miller-e2e could not be made. {event.why}"
            told = (e.Tell(contact=None, text=why, tone=e.Tone.WARNING),)
        return (*self.account.keys.came(event), *told, *retries)

    def _decided(self, event: events.TrustChanged) -> tuple[e.Effect, ...]:
        """Policy's word on a key has come: answer who waited for it, and vouch for a device of our own."""
        heard = requests.heard(self.account, event.contact)
        return (*heard, *handover.vouched(self.account, event), e.Retry(contact=event.contact))

    # -- for the bench --

    def stolen_state(self, what: Secrets) -> Stolen:
        """As ``Engine`` says; nothing secret is in the memory only."""
        context = self.account.context
        kept = [context.view.identity(name) for name in (SIGNING, ENCRYPTION)]
        stolen = Stolen(
            what=what, account=context.account, identities=tuple(one for one in kept if one is not None)
        )
        return evolve(stolen, records=dict(context.view.records(""))) if what is Secrets.SESSION else stolen
