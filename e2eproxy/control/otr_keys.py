"""What another OTR program had of an account, taken over into the store, and handed out in libotr's form.

A key of our own that is there is never replaced without the user's word. What the other program had verified is verified; what it
had only seen is seen here too: the only key of a contact is taken as a first one, all others wait for the user's word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from e2eproxy.errors import LocalError
from e2eproxy.methods.otr import key_files
from e2eproxy.methods.otr.identity import PrivateKey
from e2eproxy.methods.otr.own_key import IDENTITY, NAME, name_of
from e2eproxy.methods.otr.slots import record_of
from e2eproxy.trust.archive import Imported
from e2eproxy.trust.values import Decision, IdentityKey, MethodRecord, PeerKey
from e2eproxy.xmpp.jid import JID

if TYPE_CHECKING:
    from e2eproxy.methods.otr.key_files import Found, Seen
    from e2eproxy.trust.transaction import Transaction

#: The protocol's name as Pidgin and libotr's own examples have it; other clients want another one in the file.
PROTOCOL: Final = "prpl-jabber"
_STAYS: Final = "; it stays (--replace takes the file's)"


def take_over(work: Transaction, account: JID, found: Found, at: float, *, replace: bool) -> Imported:
    """Write what was *found* of *account* into the store, at a time (seconds since 1970)."""
    work.open_account(str(account), at)
    left = list(found.left)
    identities = 0 if found.key is None else _own(work, account, found.key, at, left, replace=replace)
    tags = 0 if found.tag is None else _tag(work, account, found.tag, left, replace=replace)
    count = {seen.contact: 0 for seen in found.seen}
    for seen in found.seen:
        count[seen.contact] += 1
    known = {contact: work.peer_keys.of(str(account), str(contact)) for contact in count}
    written = 0
    for seen in found.seen:
        alone = count[seen.contact] == 1 and not known[seen.contact]
        written += _of_contact(work, account, seen, at, first=Decision.TOFU if alone else Decision.UNDECIDED)
    return Imported(identities, written, tags, 0, tuple(left))


def _own(
    work: Transaction, account: JID, key: PrivateKey, at: float, left: list[str], *, replace: bool
) -> int:
    name, secret, public = str(account), key.encoded(), key.public.encoded()
    mine = work.identities.get(name, NAME, IDENTITY)
    if mine is not None and mine.secret == secret:
        return 0
    if mine is not None and not replace:
        left.append(f"the own OTR key in the store is another one{_STAYS}")
        return 0
    if mine is not None:
        # It is not ours any more; who has it shows up as a new key.
        work.peer_keys.forget(name, name, name_of(PrivateKey.decoded(mine.secret).public))
    work.identities.put(
        IdentityKey(account=name, method=NAME, name=IDENTITY, public=public, secret=secret, created_at=at)
    )
    own = name_of(key.public)
    work.peer_keys.learn(name, name, own, public, at)
    work.peer_keys.decide(name, name, own, Decision.ACCEPTED, how="own", at=at)
    return 1


def _tag(work: Transaction, account: JID, tag: int, left: list[str], *, replace: bool) -> int:
    name, key, data = str(account), record_of(0), tag.to_bytes(4, "big")
    mine = work.records.get(name, NAME, key)
    if mine == data:
        return 0
    if mine is not None and not replace:
        left.append(f"the OTR instance tag in the store is another one{_STAYS}")
        return 0
    work.records.put(MethodRecord(account=name, method=NAME, key=key, data=data))
    return 1


def _of_contact(work: Transaction, account: JID, seen: Seen, at: float, *, first: Decision) -> int:
    """Whether something was written. What the user refused here stays refused."""
    name, contact = str(account), str(seen.contact)
    how = None if not seen.trust else "smp" if seen.trust == "smp" else "fingerprint"
    verified = Decision.VERIFIED if how else first
    known = work.peer_keys.get(name, contact, seen.fingerprint)
    if known is None:
        key = PeerKey(
            account=name,
            contact=contact,
            fingerprint=seen.fingerprint,
            public=b"",
            first_seen=at,
            last_seen=at,
            decision=verified,
            how_verified=how,
            verified_at=at if how else None,
        )
    elif how and known.decision not in {Decision.VERIFIED, Decision.DISTRUSTED}:
        key = evolve(known, decision=verified, how_verified=how, verified_at=at)
    else:
        return 0
    work.peer_keys.put(key)
    return 1


def hand_out(work: Transaction, account: JID, protocol: str) -> dict[str, bytes]:
    """Libotr's files, by the endings of their names. Raises LocalError if there is no key."""
    name = str(account)
    mine = work.identities.get(name, NAME, IDENTITY)
    if mine is None:
        raise LocalError(f"There is no OTR key of {name} yet; one is made when a client logs in.")
    if not protocol.replace("-", "").isalnum() or not protocol.isascii() or len(protocol) > 50:
        raise LocalError("The protocol's name has other characters than letters, digits and hyphens.")
    seen = [
        key_files.Seen(contact=JID.parse(key.contact), fingerprint=key.fingerprint, trust=_word(key))
        for key in work.peer_keys.all(name)
        if key.fingerprint.method == NAME and key.contact != name and key.decision is not Decision.DISTRUSTED
    ]
    tag = work.records.get(name, NAME, record_of(0))
    files = {
        "private_key": key_files.private_key(name, protocol, PrivateKey.decoded(mine.secret)),
        "fingerprints": key_files.fingerprints(name, protocol, seen),
    }
    if tag is not None:
        files["instance_tags"] = key_files.instance_tags(name, protocol, int.from_bytes(tag, "big"))
    return files


def _word(key: PeerKey) -> str:
    if key.decision is not Decision.VERIFIED:
        return ""
    return "smp" if key.how_verified == "smp" else "verified"
