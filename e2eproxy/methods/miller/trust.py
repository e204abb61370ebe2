"""What a key that came with a stanza or a request is worth: it is shown to policy, with what speaks for it.

Nothing is decided here. The first key of a bare JID is pinned by policy; for a later one there may be a word of a device that
is accepted, or a certificate, and without either it waits for the user. Law 6: a contact can show any number of keys, and only
so many of them are taken note of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from e2eproxy.methods import effects as e
from e2eproxy.methods.miller.certificates import certified
from e2eproxy.methods.miller.failures import VerificationError
from e2eproxy.methods.miller.statements import device_key, vouching_key
from e2eproxy.trust.values import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

    from e2eproxy.methods.door import Context
    from e2eproxy.methods.miller.keys import PublicKey
    from e2eproxy.trust.values import Fingerprint, PeerKey
    from e2eproxy.xmpp.jid import JID

MOST_KEYS: Final = 20
"""Keys of one contact that are taken note of; of all further ones nothing is kept, and nothing believed."""
_ACCEPTED: Final = frozenset({Decision.TOFU, Decision.ACCEPTED, Decision.VERIFIED})


@frozen
class Judged:
    """A device's key, and what has to be kept of it before policy can say whether it is usable."""

    key: PublicKey
    news: tuple[e.Learn | e.Verified, ...] = ()


def identity_of(encryption: PublicKey, owner: JID) -> PublicKey:
    """The key that a device is known by which *owner* encrypts with *encryption*: itself if nothing else is stated.

    Raises VerificationError if something is stated, and wrong.
    """
    if not encryption.device:
        return encryption
    identity = device_key(encryption.device, owner, encryption)
    # What speaks for the device travels with the key that is shown.
    return evolve(identity, vouched=encryption.vouched, x5c=encryption.x5c)


def judge(
    context: Context, contact: JID, key: PublicKey, anchors: Sequence[Certificate], *, proved: bool
) -> Judged:
    """Show *key* of *contact* (bare) to policy. *proved*: its owner has proved to hold it."""
    known = {one.fingerprint: one for one in context.view.peer_keys(contact)}
    mine = known.get(key.fingerprint)
    news: tuple[e.Learn | e.Verified, ...] = ()
    if mine is None:
        if len(known) >= MOST_KEYS:
            return Judged(key)
        news = (e.Learn(contact=contact, fingerprint=key.fingerprint, public=key.encoded, proved=proved),)
    how = _word_for(context, contact, key, known, anchors)
    if how:
        news += (e.Verified(contact=contact, fingerprint=key.fingerprint, how=how, holds=True),)
    return Judged(key, news)


def _word_for(
    context: Context,
    contact: JID,
    key: PublicKey,
    known: dict[Fingerprint, PeerKey],
    anchors: Sequence[Certificate],
) -> str:
    """What speaks for *key* that was not known yet: ``x509``, ``vouched`` or nothing. What the user said stands."""
    mine = known.get(key.fingerprint)
    decision = Decision.UNDECIDED if mine is None else mine.decision
    undecided = decision is Decision.UNDECIDED
    if (undecided or decision is Decision.TOFU) and certified(key, contact, anchors, context.clock()):
        return "x509"
    if undecided and any(_holds(context, contact, key, one, known) for one in key.vouched):
        return "vouched"
    return ""


def _holds(
    context: Context, contact: JID, key: PublicKey, statement: str, known: dict[Fingerprint, PeerKey]
) -> bool:
    try:
        voucher = vouching_key(statement, contact, key).fingerprint
    except VerificationError:
        return False
    there = known.get(voucher)
    return there is not None and there.decision in _ACCEPTED and context.view.usable(contact, voucher)


def usable_keys(context: Context, contact: JID) -> tuple[Fingerprint, ...]:
    """The known keys of *contact* (bare) that policy accepts."""
    known = context.view.peer_keys(contact)
    return tuple(one.fingerprint for one in known if context.view.usable(contact, one.fingerprint))
