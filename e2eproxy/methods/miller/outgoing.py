"""What becomes of the user's stanza: signed, then encrypted under the SMK for its contact, and the SMK handed over if it is new.

Law 1: what leaves is named with every key by which it can be read. A new SMK is nobody's at first; whoever has an old one and is not
accepted any more is kept out of all that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods.miller import envelope, handover, sealing, signing
from e2eproxy.methods.miller.keys import NAME
from e2eproxy.methods.miller.trust import usable_keys
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.stanza import Stanza, build

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account
    from e2eproxy.methods.miller.table import Smk
    from e2eproxy.xmpp.jid import JID

_MAKING = "The keys of your account for miller-e2e are being made."


def outbound(account: Account, event: events.Outbound) -> tuple[e.Effect, ...]:
    """Dispose of the user's stanza."""
    if event.stanza.type == "groupchat" or event.members:
        return (e.Decline(ref=event.ref, why="miller-e2e does not encrypt for rooms."),)
    if not account.reads(event.peer):
        return (e.Decline(ref=event.ref, why="The contact's program does not announce miller-e2e."),)
    if not account.keys.there:
        return _without_keys(account, event)
    smk, durable, emits = _key_for(account, event.own, event.peer)
    payload = _protected(account, event, smk)
    used = evolve(smk, count=smk.count + 1, used=account.context.clock())
    return (
        *(one for one in durable if one.key != f"smk:{smk.sid}"),
        account.table.kept(used),
        *emits,
        *_warned(account, event, smk),
        e.Send(
            ref=event.ref,
            to=event.peer,
            payload=payload,
            keys=tuple(Fingerprint(NAME, text) for text in smk.released),
            pending=True,
        ),
    )


def _without_keys(account: Account, event: events.Outbound) -> tuple[e.Effect, ...]:
    if account.keys.failed and event.again:
        why = "The keys of your account for miller-e2e could not be made."
        return (e.Return(ref=event.ref, condition="internal-server-error", why=why),)
    account.waiting.add(event.peer.bare)
    return (e.Hold(ref=event.ref, why=_MAKING), *account.keys.wanted())


def _key_for(account: Account, own: JID, peer: JID) -> tuple[Smk, tuple[e.Persist, ...], tuple[e.Emit, ...]]:
    """(The SMK for *peer*, what has to be kept of a new one, what hands a new one over)."""
    theirs = usable_keys(account.context, peer.bare)
    ours = usable_keys(account.context, account.context.account)
    trusted = tuple(sorted(one.text for one in theirs))
    smk = account.table.active(own, peer, trusted, frozenset(one.text for one in (*theirs, *ours)))
    if smk is not None:
        return smk, (), ()
    smk, emits = handover.handed_over(account, own, peer, account.table.made(own, peer, trusted))
    return smk, account.table.activated(smk), emits


def _protected(account: Account, event: events.Outbound, smk: Smk) -> bytes:
    """The payload: the stanza signed, that in a stanza of its own, and that encrypted."""
    plain = Stanza.parse(event.stanza.standalone())
    head: dict[str, str | None] = {"from": str(event.own), "to": str(event.peer)}
    stanza = plain.with_attributes(head)
    header = account.keys.signing_header(account.read.get(event.peer.bare, ""))
    signed = signing.sign(
        account.keys.pair.signing, envelope.enclose(stanza, account.stamp()), header, account.signature
    )
    identifier = account.context.random(16).hex() if plain.kind == "iq" else None
    around = build(plain.kind, {**head, "type": plain.type, "id": identifier}, signed.to_bytes())
    outer = envelope.enclose(around, account.stamp())
    return sealing.seal(smk.octets, smk.sid, outer, account.context.random).to_bytes()


def _warned(account: Account, event: events.Outbound, smk: Smk) -> tuple[e.Effect, ...]:
    """Say, now and then, that nobody who is away now can read this unless we are there when he is back."""
    away = event.stanza.kind == "message" and not account.is_there(event.peer)
    contact = event.peer.bare
    if not away or smk.released or account.warnings.exceeded(contact, account.context.clock()):
        return ()
    text = (
        f"{contact} is not online and has no key to this yet: it can be read only if this program is online when "
        f"{contact} is."
    )
    return (e.Tell(contact=contact, text=text),)
