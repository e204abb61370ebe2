"""The archive: identities and trust in one file under a passphrase, to move to another machine or to come back.

Ratchets are not in it: an older state of a session that comes back would use keys a second time (law 5), so sessions
begin anew after an import. The file is one line that names the format, one line of JSON with what scrypt and AES-GCM
need, then the sealed content; both lines are authenticated with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from e2eproxy.trust.archive_values import CODECS, ArchiveError, Content, from_json, to_json
from e2eproxy.trust.passphrase import ScryptParameters, derive
from e2eproxy.trust.values import Decision
from e2eproxy.trust.vault import Vault, VaultError, joined

if TYPE_CHECKING:
    from e2eproxy.trust.transaction import Transaction
    from e2eproxy.trust.values import PeerKey
    from e2eproxy.trust.vault import Random

VERSION: Final = 1
MAGIC: Final = b"e2eproxy archive "
MAX_BYTES: Final = 256 * 2**20
MAX_HEADER: Final = 4096


@frozen
class Imported:
    """What an import did: how many of each kind were written, and what was left as it was, in sentences."""

    identities: int
    peer_keys: int
    settings: int
    sticky: int
    left: tuple[str, ...]


def collect(work: Transaction, account: str) -> Content:
    """What of *account* goes into an archive: identities, peers' keys with decisions, settings, sticky contacts."""
    return Content(
        account=account,
        identities=work.identities.all(account),
        peer_keys=work.peer_keys.all(account),
        policy=work.policy.all(account),
        sticky=work.sticky.all(account),
    )


def seal(content: Content, passphrase: str, random: Random) -> bytes:
    """*content* as the bytes of an archive; takes about half a second."""
    parameters = ScryptParameters.new(random)
    head = MAGIC + b"%d\n" % VERSION + json.dumps(parameters.as_texts(), sort_keys=True).encode() + b"\n"
    plain = json.dumps(to_json(content), ensure_ascii=False, sort_keys=True).encode()
    return head + Vault(derive(passphrase, parameters), random).seal(plain, joined(head))


def unseal(archive: bytes, passphrase: str) -> Content:
    """The content of *archive*; raises ArchiveError (a LocalError) for whatever is not one, or does not open."""
    head, sealed, parameters = _split(archive)
    vault = Vault(derive(passphrase, parameters), _no_random)
    try:
        plain = vault.open(sealed, joined(head))
    except VaultError:
        raise ArchiveError(
            "the archive does not open: the passphrase is wrong, or the file is damaged"
        ) from None
    try:
        return from_json(json.loads(plain))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"the archive opens, but its content is not what it should be: {error}") from None


def restore(work: Transaction, content: Content, at: float, *, replace: bool = False) -> Imported:
    """Write *content* into the store, into an account that may have something already.

    An own key that differs from one in the store stays as it is unless *replace*; of two decisions about one key the
    store's stays unless it is undecided, except that a refusal always wins. Settings that differ stay unless
    *replace*. Nothing is removed.
    """
    account = content.account
    work.open_account(account, at)
    left: list[str] = []
    counts = dict.fromkeys(CODECS, 0)
    for identity in content.identities:
        mine = work.identities.get(account, identity.method, identity.name)
        if mine is not None and mine.secret != identity.secret and not replace:
            left.append(
                f"the own {identity.method} key {identity.name!r} in the store is another one; it stays"
            )
        elif mine is None or mine.secret != identity.secret:
            work.identities.put(identity)
            counts["identities"] += 1
    for key in content.peer_keys:
        known = work.peer_keys.get(account, key.contact, key.fingerprint)
        merged = _merged(known, key)
        if merged != known:
            work.peer_keys.put(merged)
            counts["peer_keys"] += 1
    present = {(row.scope, row.key, row.setting): row.value for row in work.policy.all(account)}
    for row in content.policy:
        value = present.get((row.scope, row.key, row.setting))
        if value is not None and value != row.value and not replace:
            left.append(
                f"the setting {row.setting} of {row.key or row.scope} in the store is {value}; it stays"
            )
        elif value != row.value:
            work.policy.set(row)
            counts["policy"] += 1
    before = {sticky.contact for sticky in work.sticky.all(account)}
    for sticky in content.sticky:
        work.sticky.add(sticky)
        counts["sticky"] += sticky.contact not in before
    return Imported(
        counts["identities"], counts["peer_keys"], counts["policy"], counts["sticky"], tuple(left)
    )


def _merged(known: PeerKey | None, key: PeerKey) -> PeerKey:
    """One key of both, with the store's decision unless that says nothing or the archive refuses."""
    if known is None:
        return key
    merged = evolve(
        known,
        first_seen=min(known.first_seen, key.first_seen),
        last_seen=max(known.last_seen, key.last_seen),
    )
    refused = key.decision is Decision.DISTRUSTED and known.decision is not Decision.DISTRUSTED
    if known.decision is Decision.UNDECIDED or refused:
        merged = evolve(
            merged, decision=key.decision, how_verified=key.how_verified, verified_at=key.verified_at
        )
    return merged


def _split(archive: bytes) -> tuple[bytes, bytes, ScryptParameters]:
    if len(archive) > MAX_BYTES or not archive.startswith(MAGIC):
        raise ArchiveError("this is not an archive of e2eproxy")
    first = archive.find(b"\n", 0, MAX_HEADER)
    second = archive.find(b"\n", first + 1, MAX_HEADER)
    if first < 0 or second < 0:
        raise ArchiveError("the archive is damaged: its first lines are not complete")
    number = archive[len(MAGIC) : first]
    if number != b"%d" % VERSION:
        shown = number.decode("ascii", "replace")[:20]
        raise ArchiveError(
            f"the archive has the version {shown}, this e2eproxy reads {VERSION}; update e2eproxy"
        )
    try:
        texts: Any = json.loads(archive[first + 1 : second])
        parameters = ScryptParameters.from_texts({str(name): str(value) for name, value in texts.items()})
    except (ValueError, AttributeError, RecursionError, VaultError):
        raise ArchiveError("the archive is damaged: its parameters cannot be read") from None
    return archive[: second + 1], archive[second + 1 :], parameters


def _no_random(count: int) -> bytes:
    raise AssertionError(f"opening an archive needs no randomness, and asked for {count} bytes")
