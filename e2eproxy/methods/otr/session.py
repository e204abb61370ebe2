"""Data messages: which keys a text is sealed with, how keys rotate, and which MAC keys are published when.

A session is a value; every step returns a new one, and a message that does not hold leaves the old one good. Two keys of
each side are in use; each pair of them has keys and counters of its own, which are computed when they are first needed.
A pair is dropped with one of its keys; then the MAC key by which something was checked is published, so that from there on
anybody could have written what it had checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import messages as m
from e2eproxy.methods.otr.arithmetic import Keypair, checked, new_keypair, secret_power
from e2eproxy.methods.otr.ciphers import crypt, mac_sha1, same, sha1, sha256
from e2eproxy.methods.otr.encoding import mpi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from e2eproxy.methods.otr.ake import Established

MOST_PUBLISHED: Final = 100 * m.MAC_BYTES
"""A peer that turns its keys with each message, and is never answered, makes no more than this wait to be published."""
_HIGHEST_ID: Final = (1 << 32) - 1
_HIGHEST_COUNT: Final = (1 << 64) - 1


class UnreadableError(MethodError):
    """A data message that no key of the session opens."""


class RepeatedError(MethodError):
    """A data message whose counter was used before."""


@frozen(kw_only=True)
class Pair:
    """What one key of ours and one of the peer's make. ``sent``, ``received``: the last counters. ``checked``: it verified."""

    sending: bytes = field(repr=False)
    sending_mac: bytes = field(repr=False)
    receiving: bytes = field(repr=False)
    receiving_mac: bytes = field(repr=False)
    extra: bytes = field(repr=False)
    sent: int = 0
    received: int = 0
    checked: bool = False


@frozen(kw_only=True)
class Session:
    """Keys in use by their ids; ``own_id`` and ``peer_id`` are the newest. ``pairs`` by (own id, peer's id).

    ``publish``: MAC keys to go out with the next message. ``earlier``: those of an earlier session, which go out
    when the peer has shown that it uses this one.
    """

    version: int
    own: Mapping[int, Keypair] = field(repr=False)
    own_id: int
    peer: Mapping[int, int]
    peer_id: int
    pairs: Mapping[tuple[int, int], Pair] = field(factory=dict, repr=False)
    publish: bytes = field(default=b"", repr=False)
    earlier: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class Opened:
    """What was in a data message. ``extra``: the key (32 bytes) that both sides can use elsewhere.

    ``answers``: it was written to a key which only our messages told, so one of them was read.
    """

    session: Session
    plain: bytes = field(repr=False)
    extra: bytes = field(repr=False)
    answers: bool


def established(done: Established, earlier: Session | None, random: Callable[[int], bytes]) -> Session:
    """The session that an exchange led to, in the place of an *earlier* one."""
    own = {1: done.own, 2: new_keypair(random)}
    peer = {done.peer_key_id: done.peer_public}
    carried = b"" if earlier is None else earlier.earlier + earlier.publish + _checked(earlier.pairs.values())
    return Session(
        version=done.version,
        own=own,
        own_id=2,
        peer=peer,
        peer_id=done.peer_key_id,
        earlier=carried[-MOST_PUBLISHED:],
    )


def seal(
    session: Session, plain: bytes, *, flags: int = 0, tags: tuple[int, int] = (0, 0)
) -> tuple[Session, m.Message]:
    """Seal *plain*; *tags* are ours and the peer's. It goes by our key before the newest, which the peer has for sure."""
    ids = (session.own_id - 1, session.peer_id)
    pair = session.pairs.get(ids) or _pair(session, ids)
    pair = evolve(pair, sent=pair.sent + 1)
    counter = pair.sent.to_bytes(m.COUNTER_BYTES, "big")
    content = m.Data(
        flags=flags,
        sender_key=ids[0],
        recipient_key=ids[1],
        next_public=session.own[session.own_id].public,
        counter=counter,
        ciphertext=crypt(pair.sending, plain, counter),
        published=session.publish,
    )
    message = m.Message(version=session.version, sender=tags[0], receiver=tags[1], content=content)
    message = evolve(message, content=evolve(content, mac=mac_sha1(pair.sending_mac, m.covered(message))))
    return evolve(session, pairs={**session.pairs, ids: pair}, publish=b""), message


def extra_key(session: Session) -> bytes:
    """The extra symmetric key (32 bytes) of what would be sealed now."""
    ids = (session.own_id - 1, session.peer_id)
    return (session.pairs.get(ids) or _pair(session, ids)).extra


def open_(session: Session, message: m.Message, random: Callable[[int], bytes]) -> Opened:
    """Open *message* and turn the keys that it asks for.

    Raises UnreadableError if no key opens it or its MAC does not hold, RepeatedError if its counter was used before.
    """
    content = message.content
    assert isinstance(content, m.Data)  # noqa: S101 - whoever calls has looked
    ids = (content.recipient_key, content.sender_key)
    if message.version != session.version or ids[0] not in session.own or ids[1] not in session.peer:
        raise UnreadableError("A message arrived that was encrypted with keys that are not in use any more.")
    pair = session.pairs.get(ids) or _pair(session, ids)
    if not same(mac_sha1(pair.receiving_mac, m.covered(message)), content.mac):
        raise UnreadableError("A message arrived that was altered on its way, or is not the contact's.")
    count = int.from_bytes(content.counter, "big")
    if count <= pair.received:
        raise RepeatedError("A message arrived that was opened before.")
    plain = crypt(pair.receiving, content.ciphertext, content.counter)
    pair = evolve(pair, received=count, checked=True)
    kept = evolve(session, pairs={**session.pairs, ids: pair})
    if kept.earlier:
        kept = _publishing(evolve(kept, earlier=b""), kept.earlier)
    turned = _turn_peer(_turn_own(kept, ids[0], random), ids[1], content.next_public)
    answers = ids[0] == session.own_id
    return Opened(session=turned, plain=plain, extra=pair.extra, answers=answers)


def _turn_own(session: Session, used: int, random: Callable[[int], bytes]) -> Session:
    """The peer has our newest key: the one before is not needed any more, and a new one is."""
    if used != session.own_id or used == _HIGHEST_ID:
        return session
    own = {used: session.own[used], used + 1: new_keypair(random)}
    return _without_pairs(evolve(session, own=own, own_id=used + 1))


def _turn_peer(session: Session, used: int, following: int) -> Session:
    """The peer uses its newest key, and told the one that follows."""
    if used != session.peer_id or used == _HIGHEST_ID:
        return session
    peer = {used: session.peer[used], used + 1: checked(following)}
    return _without_pairs(evolve(session, peer=peer, peer_id=used + 1))


def _without_pairs(session: Session) -> Session:
    """Drop the pairs that have lost a key, and see to it that their MAC keys are published."""
    dropped = {ids: one for ids, one in session.pairs.items() if not _in_use(session, ids)}
    kept = {ids: one for ids, one in session.pairs.items() if ids not in dropped}
    # Those with the newer keys come first, as in libotr.
    ordered = [dropped[ids] for ids in sorted(dropped, reverse=True)]
    return _publishing(evolve(session, pairs=kept), _checked(ordered))


def _in_use(session: Session, ids: tuple[int, int]) -> bool:
    return ids[0] in session.own and ids[1] in session.peer


def _publishing(session: Session, macs: bytes) -> Session:
    return evolve(session, publish=(session.publish + macs)[-MOST_PUBLISHED:])


def _checked(pairs: Iterable[Pair]) -> bytes:
    """The MAC keys that verified something: only those are worth to be told, and each only once."""
    return b"".join(one.receiving_mac for one in pairs if one.checked)


def _pair(session: Session, ids: tuple[int, int]) -> Pair:
    """The keys of our key and the peer's; the side with the larger public key is the high end."""
    own, peer = session.own[ids[0]], session.peer[ids[1]]
    shared = mpi(secret_power(peer, own.secret))
    high, low = sha1(b"\x01" + shared)[: m.KEY_BYTES], sha1(b"\x02" + shared)[: m.KEY_BYTES]
    sending, receiving = (high, low) if own.public > peer else (low, high)
    return Pair(
        sending=sending,
        sending_mac=sha1(sending),
        receiving=receiving,
        receiving_mac=sha1(receiving),
        extra=sha256(b"\xff" + shared),
    )
