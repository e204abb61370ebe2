"""Giving a key out: to whom it is written to, on a device that policy accepts, and to nobody else.

This is the whole security of the system: whoever gets an SMK can read all that was written under it, and a request comes through the
servers with whatever key they like. So the requester's address says only which contact's keys count; which of them may have it
is policy's word, asked before anything is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.miller import fields, handover, replies, sealing, wire
from e2eproxy.methods.miller.failures import DecryptionError
from e2eproxy.methods.miller.keys import PublicKey, public_key
from e2eproxy.methods.miller.trust import Judged, identity_of, judge

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account
    from e2eproxy.methods.miller.table import Smk
    from e2eproxy.trust.values import Fingerprint
    from e2eproxy.xmpp.jid import JID
    from e2eproxy.xmpp.stanza import Span

MOST_UNDECIDED: Final = 100
"""Requests that wait for policy's word."""
_MOST_OFFERED: Final = 10
"""Keys of one request that are looked at."""


@frozen
class Candidate:
    """A key to encrypt to, and its device's own key with what speaks for it."""

    key: PublicKey
    judged: Judged

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the device's own key."""
        return self.judged.key.fingerprint


@frozen
class Request:
    """A request for the key ``sid`` of ours: from ``peer`` (full) to ``own``, with the id ``iq``."""

    own: JID
    peer: JID
    iq: str | None
    sid: str
    candidates: tuple[Candidate, ...] = ()

    def refused(self, condition: str) -> e.Emit:
        """Refuse it."""
        payload = replies.error(condition)
        return e.Emit(to=self.peer, payload=payload, kind="iq", type="error", id=self.iq, own=self.own)


def asked(account: Account, event: events.Inbound, request: Span) -> tuple[e.Effect, ...]:
    """Answer a request for a key of ours, or wait for policy's word on a new key in it."""
    absorbed = e.Absorb(ref=event.ref, why="A request for a key.")
    refusal = _refusal(account, event)
    if refusal:
        return (absorbed, replies.refused(event, refusal))
    try:
        sid = wire.sid_of(request, DecryptionError)
        offered = _offered(wire.keys_of(request))
    except MethodError:
        return (absorbed, replies.refused(event, "bad-request"))
    wanted = Request(event.own, event.peer, event.stanza.id, sid)
    if _wanted_key(account, wanted) is None:
        return (absorbed, wanted.refused("item-not-found"))
    return (
        absorbed,
        *_looked_at(account, evolve(wanted, candidates=_candidates(account, event.peer.bare, offered))),
    )


def _looked_at(account: Account, wanted: Request) -> tuple[e.Effect, ...]:
    if not wanted.candidates:
        return (wanted.refused("not-acceptable"),)
    news = tuple(one for candidate in wanted.candidates for one in candidate.judged.news)
    if not news:
        return decided(account, wanted)
    if len(account.undecided) >= MOST_UNDECIDED:
        return (wanted.refused("resource-constraint"),)
    # Policy says something about a key once it has seen it: the answer follows on its word.
    account.undecided.append(wanted)
    return news


def heard(account: Account, contact: JID) -> tuple[e.Effect, ...]:
    """Policy has seen a key of *contact* (bare): answer what waited for its word."""
    waiting = [one for one in account.undecided if one.peer.bare == contact]
    account.undecided = [one for one in account.undecided if one.peer.bare != contact]
    return tuple(effect for one in waiting for effect in decided(account, one))


def _refusal(account: Account, event: events.Inbound) -> str:
    """The condition with which a request is refused before anybody looks into it; "" if it is not."""
    if not event.peer.full or not account.knows(event.peer):
        return "service-unavailable"
    if account.requests.exceeded(event.peer, account.context.clock()):
        return "resource-constraint"
    return ""


def _wanted_key(account: Account, wanted: Request) -> Smk | None:
    """The key that is asked for, if the requester's account is one that may have it."""
    smk = account.table.own(wanted.sid)
    ours = wanted.peer.bare == account.context.account
    if smk is None or not (ours or smk.peer == str(wanted.peer.bare)) or not account.keys.there:
        return None
    return smk


def _offered(octets: bytes) -> list[dict[str, Any]]:
    offered = fields.json_object(octets, DecryptionError).get("keys")
    if not isinstance(offered, list) or not all(isinstance(one, dict) for one in offered):
        raise DecryptionError("A request for a key offers none to encrypt it to.")
    return offered[:_MOST_OFFERED]


def _candidates(account: Account, owner: JID, offered: list[dict[str, Any]]) -> tuple[Candidate, ...]:
    found: dict[PublicKey, Candidate] = {}
    for jwk in offered:
        try:
            key = public_key(jwk)
            identity = identity_of(key, owner)
        except MethodError:
            continue
        if key.kind == "RSA" and key.use in {"", "enc"}:
            judged = judge(account.context, owner, identity, account.anchors, proved=False)
            found.setdefault(identity, Candidate(key, judged))
    return tuple(found.values())


def decided(account: Account, wanted: Request) -> tuple[e.Effect, ...]:
    """Give the key to the first device that policy accepts, or refuse it."""
    smk = _wanted_key(account, wanted)
    if smk is None:
        return (wanted.refused("item-not-found"),)
    for candidate in wanted.candidates:
        if account.context.view.usable(wanted.peer.bare, candidate.fingerprint):
            return _given(account, wanted, smk, candidate)
    return (*_told(account, wanted), wanted.refused("forbidden"))


def _given(account: Account, wanted: Request, smk: Smk, to: Candidate) -> tuple[e.Effect, ...]:
    ours = wanted.peer.bare == account.context.account
    name = to.fingerprint.text
    released = smk.shared_with(name) if ours else smk.released_to(name)
    wrapped = sealing.wrap(to.key, smk.sid, smk.jwk, account.context.random)
    return (
        account.table.kept(released),
        handover.met(account, wanted.peer, to.judged.key, to.key),
        e.Emit(
            to=wanted.peer,
            payload=wire.answer(wrapped),
            kind="iq",
            type="result",
            id=wanted.iq,
            own=wanted.own,
            keys=(to.fingerprint,),
        ),
    )


def _told(account: Account, wanted: Request) -> tuple[e.Effect, ...]:
    """Tell the user, at a bounded rate; remember where a device of ours is: the user may accept it."""
    contact, first = wanted.peer.bare, wanted.candidates[0]
    kept: tuple[e.Effect, ...] = ()
    known = {one.fingerprint for one in account.context.view.peer_keys(contact)}
    if contact == account.context.account and first.fingerprint in known:
        kept = (handover.met(account, wanted.peer, first.judged.key, first.key),)
    if account.complaints.exceeded(contact, account.context.clock()):
        return kept
    text = (
        f"A device at {wanted.peer} asked for the key to what you wrote, and was refused: its key "
        f"{first.fingerprint.text} is not accepted."
    )
    return (*kept, e.Tell(contact=contact, text=text, tone=e.Tone.WARNING))
