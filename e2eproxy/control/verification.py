"""How keys are verified, whatever the method: it says by the verbs of its traits what it has.

Comparing fingerprints needs no method: people do it, and say so. A method whose traits have ``verify`` can compare a shared
secret (arguments: the secret, and a question or ""), with ``answer`` it lets the user answer the other side's question (the
secret), with ``code`` it tells a short code, and with ``confirm`` it hears whether both are the same ("yes", "no").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.control import answers as a
from e2eproxy.control.table import NEEDS_SECRET, WAYS
from e2eproxy.errors import LocalError
from e2eproxy.trust.values import Decision

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from e2eproxy.control.account import OfAccount
    from e2eproxy.xmpp.jid import JID

#: By way: the verb that a method has to know.
VERBS: Final = {
    "secret": "verify",
    "question": "verify",
    "answer": "answer",
    "code": "code",
    "same": "confirm",
    "different": "confirm",
}


def ways(account: OfAccount, contact: JID) -> a.Ways:
    """How the keys of *contact* can be verified."""
    able = {way: tuple(lane.name for lane in account.lanes_that(verb)) for way, verb in VERBS.items()}
    shown = account.fingerprints(contact)
    found = [a.Way(name="fingerprint", what=WAYS["fingerprint"], methods=())]
    found += [a.Way(name=way, what=WAYS[way], methods=methods) for way, methods in able.items() if methods]
    return a.Ways(contact=str(contact.bare), own=shown.own, theirs=shown.theirs, ways=tuple(found))


def verify(
    account: OfAccount, contact: JID, way: str, *, prefix: str = "", question: str = "", secret: str = ""
) -> a.Asked | Deferred[a.Decided]:
    """Verify *contact* by *way*: *prefix* of the key that was compared, or what both sides know."""
    if way == "fingerprint":
        if not prefix:
            raise LocalError(
                "Write which key you compared: its fingerprint, or the beginning; the command fingerprints shows it."
            )
        return account.decide(contact, prefix, Decision.VERIFIED)
    verb = VERBS[way]
    able = account.lanes_that(verb)
    if not able:
        raise LocalError(
            f"No method of this account can verify by {way}. Compare fingerprints: the command fingerprints shows them, "
            "and verify fingerprint says that you did."
        )
    if way in NEEDS_SECRET and not secret:
        raise LocalError(f"Write behind {way} what only you two know; it is never sent.")
    if way == "question" and not question:
        raise LocalError("Write the question first, with its question mark, and then its answer.")
    return account.ask(able, contact, verb, _arguments(way, question, secret))


def _arguments(way: str, question: str, secret: str) -> tuple[str, ...]:
    if way in {"same", "different"}:
        return ("yes" if way == "same" else "no",)
    return {"secret": (secret, ""), "question": (secret, question), "answer": (secret,)}.get(way, ())
