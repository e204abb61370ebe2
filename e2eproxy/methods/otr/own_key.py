"""Our own key, which is made when it is first needed, in a thread; and who waits for it meanwhile.

One key for an account, however many of its clients come at once. What a peer sends that needs the key waits for it, and so do a few
offers of a session: a text of the user's needs none, since the peer's answer comes later. Law 6: all of this is bounded, and a key
that cannot be made is not tried for again at each of a peer's stanzas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr.identity import Party, PrivateKey, new_key
from e2eproxy.trust.values import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods import events
    from e2eproxy.methods.door import Context
    from e2eproxy.methods.otr.identity import PublicKey
    from e2eproxy.xmpp.jid import JID

NAME: Final = "otr"
IDENTITY: Final = "dsa"
WORK: Final = "key"
MOST_WAITING: Final = 100
"""Contacts whose messages wait for the key."""
BETWEEN_TRIES: Final = 60.0
"""Seconds between a key that could not be made and the next try."""


class OwnKey:
    """See the module."""

    def __init__(self, context: Context) -> None:
        """Begin with what is in the view."""
        self._context = context
        self._party: Party | None = None
        self._making = False
        self._failed_at: float | None = None
        self._waiting: dict[JID, None] = {}

    @property
    def there(self) -> bool:
        """Whether we have one."""
        return self._party is not None or self._context.view.identity(IDENTITY) is not None

    @property
    def expected(self) -> bool:
        """Whether there is none yet, but may be soon."""
        failed_at = self._failed_at
        tried = failed_at is not None and 0 <= self._context.clock() - failed_at < BETWEEN_TRIES
        return not self.there and (self._making or not tried)

    def party(self) -> Party:
        """Our key, and randomness; raises MethodError while there is no key."""
        if self._party is None:
            kept = self._context.view.identity(IDENTITY)
            if kept is None:
                raise MethodError("There is no OTR key of our own yet.")
            self._party = Party(identity=PrivateKey.decoded(kept.secret), random=self._context.random)
        return self._party

    def wanted(self) -> tuple[e.Effect, ...]:
        """Have one made, if there is none and that is not under way."""
        if self._making or not self.expected:
            return ()
        self._making = True
        return (e.Compute(name=WORK, work=_made),)

    def waits(self, contact: JID) -> bool:
        """Whether a message of *contact* (bare) may wait for it; then it is looked at again in any case."""
        if not self.expected or (contact not in self._waiting and len(self._waiting) >= MOST_WAITING):
            return False
        self._waiting[contact] = None
        return True

    def came(self, result: events.Computed) -> tuple[e.Effect, ...]:
        """Take over what was made, and have those who waited come again."""
        self._making = False
        again = tuple(e.Retry(contact=contact) for contact in self._waiting)
        self._waiting.clear()
        if result.result is None:
            self._failed_at = self._context.clock()
            text = f"No OTR key could be made for your account. {result.why}"
            return (e.Tell(contact=None, text=text, tone=e.Tone.WARNING), *again)
        if self.there:
            return again
        key = PrivateKey.decoded(result.result)
        self._party = Party(identity=key, random=self._context.random)
        public = key.public.encoded()
        return (
            e.PersistIdentity(name=IDENTITY, public=public, secret=result.result),
            e.Learn(contact=self._context.account, fingerprint=name_of(key.public), public=public),
            *again,
        )


def _made(random: Callable[[int], bytes]) -> bytes:
    return new_key(random).encoded()


def name_of(key: PublicKey) -> Fingerprint:
    """The fingerprint of *key*."""
    return Fingerprint(NAME, key.fingerprint)
