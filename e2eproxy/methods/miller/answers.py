"""Getting a key: asking the device that wrote under it, and taking the answer.

Law 6: an answer is taken for the key that was asked for, from whom it was asked of, and nothing in it is believed but the key itself.
Whoever gives a wrong one makes his own stanzas unreadable, and no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.events import Outcome
from e2eproxy.methods.miller import fields, headers, legacy, sealing, wire
from e2eproxy.methods.miller.account import Question
from e2eproxy.methods.miller.failures import DecryptionError

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account
    from e2eproxy.xmpp.jid import JID

PATIENCE: Final = 30.0
"""Seconds that a device has for its answer."""
_WHY: Final = {
    "forbidden": "The contact's program does not give its key to this device: the contact has to accept it there first.",
    "item-not-found": "The contact's program does not have the key any more.",
    "not-acceptable": "The contact's program cannot encrypt a key to this device.",
    "service-unavailable": "The contact's program has gone, and only it has the key.",
    "resource-constraint": "The contact's program was asked for too many keys.",
}
_OTHER: Final = "The contact's program did not give its key."
_LATE: Final = "The contact's program did not answer when it was asked for its key."


def ask(account: Account, own: JID, peer: JID, sid: str) -> tuple[e.Effect, ...]:
    """Ask *peer* (full) for the key *sid*, unless that is under way."""
    token = account.new_question(Question(own, peer, sid))
    if token is None:
        return ()
    payload = wire.request(sid, account.keys.offered())
    return (e.Ask(token=token, to=peer, payload=payload, timeout=PATIENCE, own=own),)


def answered(account: Account, event: events.Answer) -> tuple[e.Effect, ...]:
    """Take the end of a question, and let what waits for it try again."""
    question = account.asked.pop(event.token, None)
    if question is None:
        return ()
    kept: tuple[e.Effect, ...] = ()
    try:
        kept = account.table.keep_of_peer(question.peer, question.sid, _key(account, event, question))
    except MethodError as error:
        final = event.outcome is Outcome.RESULT or event.condition == "forbidden"
        account.note_failure(question.peer, question.sid, str(error), final=final)
    return (*kept, e.Retry(contact=question.peer.bare))


def _key(account: Account, event: events.Answer, question: Question) -> bytes:
    if event.outcome is Outcome.TIMEOUT or event.stanza is None:
        raise MethodError(_LATE)
    if event.outcome is Outcome.ERROR:
        raise MethodError(_WHY.get(event.condition, _OTHER))
    answer = event.stanza.child(wire.KEY_REQUEST)
    if answer is None or answer.attributes.get("id") != question.sid:
        raise MethodError("The contact's program answered with another key than was asked for.")
    return key_in(account, wire.wrapped_key(answer, question.sid))


def key_in(account: Account, wrapped: wire.Encrypted) -> bytes:
    """The SMK that is *wrapped* for us. Raises DecryptionError."""
    own, random = account.keys.pair.encryption, account.context.random
    if account.allowed("legacy_decode") and legacy.is_legacy(wrapped):
        payload = legacy.unwrap(own, wrapped, random)
    else:
        payload = sealing.unwrap(own, wrapped, random, rsa15=account.allowed("rsa1_5"))
    jwk = fields.json_object(payload, DecryptionError)
    right = jwk.get("kty") == "oct" and jwk.get("kid") == wrapped.sid and jwk.get("use", "enc") == "enc"
    key = fields.octets_of(jwk.get("k"), 64, DecryptionError)
    if not right or jwk.get("alg", sealing.ALG) not in (*headers.WRAPPINGS, headers.DIRECT, *headers.CONTENT):
        raise DecryptionError("What the contact's program gave is not the key that it should be.")
    if len(key) not in {16, 24, 32, 64}:
        raise DecryptionError("What the contact's program gave is not the key that it should be.")
    return key
