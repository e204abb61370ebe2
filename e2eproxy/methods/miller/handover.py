"""Keys handed over before they are needed, in our own namespace: what was written can be read although its author has gone.

The draft lets the reader ask the author, who has to be online then. To a contact that announces our namespace, a new SMK is
sent ahead of the first stanza under it, encrypted to each of his devices that policy accepts and that has asked for a key before;
and to our own other devices, which then can read what this one sends. As a message, so that servers keep it with the stanza.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from attrs import evolve

from e2eproxy.methods import effects as e
from e2eproxy.methods.miller import answers, sealing, statements, wire
from e2eproxy.methods.miller.failures import DecryptionError
from e2eproxy.methods.miller.headers import OWN
from e2eproxy.methods.miller.keys import PublicKey, stored_key
from e2eproxy.methods.miller.trust import judge, usable_keys
from e2eproxy.trust.values import Decision, Fingerprint
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.names import SEPARATOR
from e2eproxy.xmpp.stanza import element

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account
    from e2eproxy.methods.miller.table import Smk
    from e2eproxy.xmpp.stanza import Span

PUSH: Final = OWN + SEPARATOR + "keypush"
VOUCH: Final = OWN + SEPARATOR + "vouch"
_KEY: Final = OWN + SEPARATOR + "key"
MOST_DEVICES: Final = 10
"""Devices of one account that are remembered, and that keys are handed to."""
_STORE: Final = b"<store xmlns='urn:xmpp:hints'/>"


# ---- who can be handed a key ----


def met(account: Account, at: JID, identity: PublicKey, encryption: PublicKey) -> e.Persist:
    """Remember that the device *identity*, which was at the full JID *at* last, encrypts with *encryption*."""
    owner = at.bare
    devices = _devices(account, owner)
    devices.pop(identity.fingerprint.text, None)
    devices[identity.fingerprint.text] = {
        "key": encryption.encoded.decode(),
        "alg": encryption.alg,
        "at": str(at),
    }
    newest = dict(list(devices.items())[-MOST_DEVICES:])
    return e.Persist(key=f"devices:{owner}", data=json.dumps(newest).encode())


def _devices(account: Account, owner: JID) -> dict[str, dict[str, str]]:
    record = account.context.view.record(f"devices:{owner.bare}")
    devices: dict[str, dict[str, str]] = {} if record is None else json.loads(record)
    return devices


def _receivers(account: Account, owner: JID) -> Iterator[tuple[Fingerprint, PublicKey]]:
    """The devices of *owner* that policy accepts, this one excepted, with the keys they encrypt with."""
    own = account.keys.pair.signing.public.fingerprint
    usable = set(usable_keys(account.context, owner)) - {own}
    for text, device in _devices(account, owner).items():
        fingerprint = Fingerprint(own.method, text)
        if fingerprint in usable:
            key = stored_key(device["key"].encode())
            yield fingerprint, evolve(key, alg=device["alg"])


# ---- handing over ----


def handed_over(account: Account, own: JID, peer: JID, smk: Smk) -> tuple[Smk, tuple[e.Emit, ...]]:
    """(*Smk* as it is then, what hands it to the devices of *peer* and to our own others)."""
    if account.context.settings.get("handover", "yes") == "no":
        return smk, ()
    emits: tuple[e.Emit, ...] = ()
    for owner in dict.fromkeys((peer.bare, account.context.account)):
        receivers = list(_receivers(account, owner)) if account.takes_keys(owner) else []
        if not receivers:
            continue
        for fingerprint, _ in receivers:
            ours = owner == account.context.account
            smk = smk.shared_with(fingerprint.text) if ours else smk.released_to(fingerprint.text)
        named = tuple(fingerprint for fingerprint, _ in receivers)
        payload = _push(account, smk, [key for _, key in receivers])
        emits += (e.Emit(to=owner, payload=payload, type="", own=own, keys=named),)
    return smk, emits


def _push(account: Account, smk: Smk, keys: list[PublicKey]) -> bytes:
    inside = b""
    for key in keys:
        wrapped = sealing.wrap(key, smk.sid, smk.jwk, account.context.random)
        inside += element("key", {"for": key.thumbprint}, wrapped.parts())
    return element("keypush", {"xmlns": OWN, "id": smk.sid}, inside) + _STORE


# ---- being handed something ----


def pushed(account: Account, event: events.Inbound, push: Span) -> tuple[e.Effect, ...]:
    """Take a key that was handed over. Raises MethodError if it is damaged."""
    if not account.keys.there:
        account.waiting.add(event.peer.bare)
        return (e.Hold(ref=event.ref, why="The keys of your account are being made."), *account.keys.wanted())
    sid = wire.sid_of(push, DecryptionError)
    absorbed = e.Absorb(ref=event.ref, why="A key that was handed over.")
    ours = event.peer.bare == account.context.account
    stranger = not ours and not account.context.view.peer_keys(event.peer.bare)
    if stranger or not event.peer.full or account.table.of_peer(event.peer, sid) is not None:
        return (absorbed,)
    name = account.keys.pair.encryption.public.thumbprint
    mine = [one for one in push.all(_KEY)[:MOST_DEVICES] if one.attributes.get("for") == name]
    if not mine:
        return (absorbed,)
    key = answers.key_in(account, wire.wrapped_key(mine[0], sid, OWN))
    return (*account.table.keep_of_peer(event.peer, sid, key), absorbed, e.Retry(contact=event.peer.bare))


# ---- words for our own other devices ----


def vouched(account: Account, event: events.TrustChanged) -> tuple[e.Effect, ...]:
    """Say to another device of ours, which the user has accepted here, that we vouch for it."""
    said = event.decision in {Decision.ACCEPTED, Decision.VERIFIED} and event.usable
    if event.contact != account.context.account or not said or not account.keys.there:
        return ()
    device = _devices(account, event.contact).get(event.fingerprint.text)
    mine = account.keys.pair.signing
    if device is None or event.fingerprint == mine.public.fingerprint:
        return ()
    return (word_for(account, event.fingerprint, device["at"]),)


def word_for(account: Account, fingerprint: Fingerprint, at: str) -> e.Emit:
    """Our word for a device of ours that is at the full JID *at*."""
    known = account.context.view.peer_keys(account.context.account)
    key = stored_key(next(one.public for one in known if one.fingerprint == fingerprint))
    statement = statements.vouched(account.keys.pair.signing, account.context.account, key)
    payload = element("vouch", {"xmlns": OWN}, statement.encode()) + _STORE
    return e.Emit(to=JID.parse(at), payload=payload, type="")


def heard(account: Account, event: events.Inbound, vouch: Span) -> tuple[e.Effect, ...]:
    """Keep the word of another device of ours, to show it around. Raises MethodError if it is wrong."""
    absorbed = e.Absorb(ref=event.ref, why="Another device of the account vouches for this one.")
    if event.peer.bare != account.context.account or not account.keys.there:
        return (absorbed,)
    context = account.context
    statement = vouch.text.strip()
    voucher = statements.vouching_key(statement, context.account, account.keys.pair.signing.public)
    judged = judge(context, context.account, voucher, account.anchors, proved=True)
    # It gives its keys to this one from now on.
    account.forget_failures(context.account)
    return (*judged.news, account.keys.with_word(voucher, statement), absorbed)
