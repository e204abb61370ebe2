"""What the user's words to the proxy do: to policy, to keys, to what is remembered of a contact (law 9).

Each line is answered in plain sentences, when what it changed is durable. Words act only on the account of the stream that
they came by; what holds for all accounts of the daemon is set in its configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.errors import LocalError
from e2eproxy.methods.events import Command
from e2eproxy.proxy import sticky
from e2eproxy.proxy.allowed_children import BODY
from e2eproxy.proxy.classify import command
from e2eproxy.proxy.commands import (
    Accept,
    Clear,
    Distrust,
    Help,
    Keys,
    Policy,
    Require,
    Session,
    Show,
    parse,
    selects,
)
from e2eproxy.proxy.rules import Scope
from e2eproxy.trust.values import Decision, PolicyRow
from e2eproxy.xmpp.client_error import error_to_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from e2eproxy.proxy.desk import Desk
    from e2eproxy.trust.transaction import Transaction
    from e2eproxy.trust.values import KeptOriginal, PeerKey
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Stanza

#: Characters of an original that are shown.
SHOWN: Final = 8_000
_CLEARED: Final = {
    sticky.Word.ONCE: "The next message to {whom} may leave unencrypted.",
    sticky.Word.SESSION: "Messages to {whom} may leave unencrypted until you log out.",
    sticky.Word.ALWAYS: "{whom} is not remembered as encrypted any more, and will not be.",
}


def steer(
    stanza: Stanza, contact: JID, desk: Desk, tell: Callable[[str], None], *, own: JID, proxy: JID
) -> bytes | None:
    """Do what *stanza*, which is for the proxy, asks for; return what answers it at once, None if notices do."""
    if stanza.kind == "iq":
        why = "The proxy answers no such request."
        return error_to_client(stanza, "service-unavailable", why, own=str(own))
    if stanza.kind == "presence" or stanza.type == "error":
        return None
    body = stanza.child(BODY)
    text = command(stanza.tree) or ("" if body is None else body.text)
    if not text.strip():
        return None
    _Steering(desk, tell, None if contact == proxy else contact, own).do(text)
    return None


class _Steering:
    """One line of the user's, in the chat with *contact* (None: with the proxy)."""

    def __init__(self, desk: Desk, tell: Callable[[str], None], contact: JID | None, own: JID) -> None:
        self._desk = desk
        self._own = own
        self._tell = tell
        self._contact = contact
        # What is said to the proxy about keys is about those of our own account.
        self._whose = contact or desk.account

    def do(self, text: str) -> None:
        what = parse(text, self._contact)
        match what:
            case Help(text=said):
                self._tell(said)
            case Session(verb=verb):
                self._session(verb)
            case Clear(word=word):
                memory = sticky.user_clears(self._desk.memory(self._whose), word)
                self._desk.remember(self._whose, memory)
                self._tell(_CLEARED[word].format(whom=self._whose))
            case Require():
                self._desk.remember(self._whose, sticky.user_requires(self._desk.memory(self._whose)))
                self._tell(f"Nothing leaves unencrypted to {self._whose} from now on without your word.")
            case Keys():
                self._tell(self._keys())
            case Accept(prefix=prefix):
                self._decide(prefix, Decision.ACCEPTED, "is accepted now")
            case Distrust(prefix=prefix):
                self._decide(prefix, Decision.DISTRUSTED, "is refused now")
            case Show(reference=reference):
                self._show(reference)
            case Policy():
                self._set(what)

    def _session(self, verb: str) -> None:
        """Have the methods that know *verb* do it; they tell what came of it."""
        able = [
            lane
            for lane in self._desk.lanes.values()
            if verb in {name for name, _ in lane.harness.method.traits.commands}
        ]
        if not able:
            self._tell(f"There is no method that can {verb} a session.")
        for lane in able:
            peer = self._desk.peer_of(lane.name, self._whose)
            lane.tell(Command(own=self._own, peer=peer, verb=verb))

    def _keys(self) -> str:
        known = self._desk.cabinet.keys(self._whose)
        if not known:
            return f"No key of {self._whose} is known."
        return "\n".join([f"Keys of {self._whose}:", *(_described(key) for key in known)])

    def _decide(self, prefix: str, decision: Decision, done: str) -> None:
        known = self._desk.cabinet.keys(self._whose)
        meant = [key for key in known if selects(prefix, key.fingerprint)]
        if len(meant) != 1:
            count = "No key" if not meant else "More than one key"
            self._tell(f"{count} of {self._whose} begins like that; /e2e keys shows them.")
            return
        fingerprint = meant[0].fingerprint
        deciding = self._desk.cabinet.decide(self._whose, fingerprint, decision)

        def decided(event: object) -> None:
            lane = self._desk.lanes.get(fingerprint.method)
            if lane is not None:
                lane.tell(event)  # type: ignore[arg-type] # Deferred's result: a TrustChanged
            self._tell(f"The key {fingerprint} of {self._whose} {done}.")

        deciding.addCallbacks(decided, self._failed)

    def _show(self, reference: str) -> None:
        def found(original: KeptOriginal | None) -> None:
            if original is None:
                self._tell("That is not kept any more, or never was.")
                return
            raw = original.stanza.decode(errors="replace")
            rest = f" ... ({len(raw) - SHOWN} more characters)" if len(raw) > SHOWN else ""
            self._tell(f"As it came from {original.contact}: {raw[:SHOWN]}{rest}")

        self._desk.cabinet.original(reference).addCallbacks(found, self._failed)

    def _set(self, wanted: Policy) -> None:
        if wanted.scope is Scope.DEFAULT:
            self._tell(
                "What holds for all accounts is set in the configuration of the proxy, not from a chat."
            )
            return
        account = str(self._desk.account)
        key = {
            Scope.CONTACT: str(self._whose.bare),
            Scope.DOMAIN: self._whose.domain,
            Scope.ACCOUNT: account,
        }[wanted.scope]
        row = PolicyRow(
            account=account, scope=wanted.scope.value, key=key, setting=wanted.name, value=wanted.value
        )

        def change(work: Transaction) -> None:
            if wanted.value:
                work.policy.set(row)
            else:
                work.policy.unset(account, row.scope, key, row.setting)

        said = f"{wanted.name} is {wanted.value or 'not set any more'} for {key}."
        self._desk.cabinet.writer.run(change).addCallbacks(lambda _: self._tell(said), self._failed)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        why = str(error) if isinstance(error, LocalError) else "the store failed; the log says more"
        self._tell(f"Nothing was changed: {why}.")


def _described(key: PeerKey) -> str:
    how = f" ({key.how_verified})" if key.how_verified else ""
    return f"{key.fingerprint}: {key.decision.value}{how}"
