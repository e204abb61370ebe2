"""The half of the key exchange that says who somebody is: keys derived from the shared secret, and sealed signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr.arithmetic import secret_power
from e2eproxy.methods.otr.ciphers import crypt, mac_sha256, same, sha256, short_mac_sha256
from e2eproxy.methods.otr.encoding import Reader, data, integer, mpi
from e2eproxy.methods.otr.identity import PublicKey, read_public

if TYPE_CHECKING:
    from e2eproxy.methods.otr.identity import Party


@frozen
class ProofKeys:
    """One side's keys: *cipher* seals (AES-128), *signed* and *outer* are for MACs inside and around (32 bytes)."""

    cipher: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    outer: bytes = field(repr=False)


@frozen(kw_only=True)
class Keys:
    """All that comes from one shared secret. ``reveal`` is used by who sends Reveal Signature, ``signature`` by the other."""

    ssid: bytes
    reveal: ProofKeys = field(repr=False)
    signature: ProofKeys = field(repr=False)


@frozen
class Claim:
    """What a side says: its public key, the other's, and its key's id."""

    own_public: int
    peer_public: int
    key_id: int


@frozen
class Claimed:
    """What the peer proved: who it is, and its key's id."""

    identity: PublicKey
    key_id: int


def keys_of(secret: int, peer_public: int) -> Keys:
    """The keys from our *secret* exponent and the peer's public key."""
    # The shared number is written in its shortest form: zeros in front are not hashed.
    shared = mpi(secret_power(peer_public, secret))

    def derived(label: int) -> bytes:
        return sha256(bytes([label]) + shared)

    ciphers = derived(1)
    return Keys(
        ssid=derived(0)[:8],
        reveal=ProofKeys(ciphers[:16], derived(2), derived(3)),
        signature=ProofKeys(ciphers[16:], derived(4), derived(5)),
    )


def seal(keys: ProofKeys, claim: Claim, party: Party) -> tuple[bytes, bytes]:
    """(Encrypted signature, MAC) by which *party* proves its *claim*."""
    public = party.identity.public.encoded()
    signed = _signed(keys, claim.own_public, claim.peer_public, public, claim.key_id)
    inside = public + integer(claim.key_id) + party.identity.sign(signed, party.random)
    encrypted = crypt(keys.cipher, inside)
    return encrypted, short_mac_sha256(keys.outer, data(encrypted))


def open_(keys: ProofKeys, publics: tuple[int, int], encrypted: bytes, mac: bytes) -> Claimed:
    """Who the peer is; *publics* are its and our public key. Raises MethodError if the proof does not hold."""
    if not same(short_mac_sha256(keys.outer, data(encrypted)), mac):
        raise MethodError("The contact's proof in the OTR handshake does not hold.")
    reader = Reader(crypt(keys.cipher, encrypted))
    identity = read_public(reader)
    key_id = reader.integer()
    signature = reader.take(identity.signature_bytes)
    reader.end()
    if key_id == 0:
        raise MethodError("The contact's OTR handshake has a key without a number.")
    identity.verify(_signed(keys, *publics, identity.encoded(), key_id), signature)
    return Claimed(identity, key_id)


def _signed(keys: ProofKeys, author: int, other: int, public: bytes, key_id: int) -> bytes:
    """The 32 bytes that the author of a proof signs."""
    return mac_sha256(keys.signed, mpi(author) + mpi(other) + public + integer(key_id))
