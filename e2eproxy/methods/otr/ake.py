"""The authenticated key exchange: a table of states and messages, and what is done where they meet.

A state is a value; every step returns a new one. Law 6: what does not hold raises MethodError, and the state given stays
good, so a failed exchange never harms a session that is there. What has no row in the table is ignored.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import messages as m
from e2eproxy.methods.otr import proofs
from e2eproxy.methods.otr.arithmetic import Keypair, checked, new_keypair
from e2eproxy.methods.otr.ciphers import crypt, same, sha256
from e2eproxy.methods.otr.encoding import Reader, mpi

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.otr.identity import Party, PublicKey

FIRST_KEY: Final = 1
"""The id of the key that was exchanged."""


class State(enum.Enum):
    """What is waited for."""

    NONE = "none"
    AWAITING_KEY = "awaiting D-H Key"
    AWAITING_REVEAL = "awaiting Reveal Signature"
    AWAITING_SIGNATURE = "awaiting Signature"


@frozen(kw_only=True)
class Exchange:
    """An exchange under way. Which fields are filled depends on the state.

    ``sent``: our last message, to be repeated. ``commit``: the peer's D-H Commit that we answered. ``opening``: the key that
    opens ours. ``peer_public``: what the peer's D-H Key held.
    """

    state: State = State.NONE
    version: int = 0
    own: Keypair | None = field(default=None, repr=False)
    opening: bytes = field(default=b"", repr=False)
    sent: m.Content | None = field(default=None, repr=False)
    commit: m.Commit | None = None
    peer_public: int = 0


NOTHING: Final = Exchange()


@frozen(kw_only=True)
class Established:
    """What an exchange ended with. ``first_half``: our user reads the first half of ``ssid`` aloud, else the second."""

    version: int
    ssid: bytes
    first_half: bool
    own: Keypair = field(repr=False)
    peer_public: int
    peer_key_id: int
    identity: PublicKey


@frozen(kw_only=True)
class Step:
    """What came of a message: the exchange as it is now, what to send, and the end if it is one."""

    exchange: Exchange
    reply: m.Content | None = field(default=None, repr=False)
    done: Established | None = None


def begin(exchange: Exchange, version: int, party: Party) -> Step:
    """Answer an offer of *version*; while the answer is waited for, the same D-H Commit goes out again."""
    if exchange.state is State.AWAITING_KEY and exchange.version == version:
        return Step(exchange=exchange, reply=exchange.sent)
    opening = party.random(m.KEY_BYTES)
    own = new_keypair(party.random)
    number = mpi(own.public)
    commit = m.Commit(crypt(opening, number), sha256(number))
    begun = Exchange(state=State.AWAITING_KEY, version=version, own=own, opening=opening, sent=commit)
    return Step(exchange=begun, reply=commit)


def receive(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:
    """Take in a message of the exchange; raises MethodError if something in it does not hold."""
    action = TABLE.get((exchange.state, type(content)))
    wrong_version = not isinstance(content, m.Commit) and version != exchange.version
    if action is None or wrong_version:
        return Step(exchange=exchange)
    return action(exchange, version, content, party)


def _answer_commit(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:  # noqa: ARG001 - a row
    """Send a new D-H Key, whatever was under way."""
    assert isinstance(content, m.Commit)  # noqa: S101 - the table's types
    own = new_keypair(party.random)
    key = m.Key(own.public)
    begun = Exchange(state=State.AWAITING_REVEAL, version=version, own=own, sent=key, commit=content)
    return Step(exchange=begun, reply=key)


def _collide(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:
    """Both sides began: the higher hash goes on."""
    assert isinstance(content, m.Commit)  # noqa: S101 - the table's types
    assert isinstance(exchange.sent, m.Commit)  # noqa: S101 - of this state
    if exchange.sent.hashed >= content.hashed and exchange.version == version:
        return Step(exchange=exchange, reply=exchange.sent)
    return _answer_commit(exchange, version, content, party)


def _answer_again(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:
    """Send the same D-H Key, and take the new D-H Commit in the place of the old."""
    assert isinstance(content, m.Commit)  # noqa: S101 - the table's types
    if version != exchange.version:
        return _answer_commit(exchange, version, content, party)
    return Step(exchange=evolve(exchange, commit=content), reply=exchange.sent)


def _reveal(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:  # noqa: ARG001 - a row
    """Open the commit, and prove who we are."""
    assert isinstance(content, m.Key)  # noqa: S101 - the table's types
    own = _own(exchange)
    peer_public = _peer_public(content.public, own)
    keys = proofs.keys_of(own.secret, peer_public)
    sealed = proofs.seal(keys.reveal, proofs.Claim(own.public, peer_public, FIRST_KEY), party)
    message = m.RevealSignature(exchange.opening, *sealed)
    waiting = evolve(exchange, state=State.AWAITING_SIGNATURE, sent=message, peer_public=peer_public)
    return Step(exchange=waiting, reply=message)


def _reveal_again(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:  # noqa: ARG001 - a row
    """The same D-H Key once more: it had not heard us. Another one is ignored."""
    assert isinstance(content, m.Key)  # noqa: S101 - the table's types
    again = content.public == exchange.peer_public
    return Step(exchange=exchange, reply=exchange.sent if again else None)


def _accept_reveal(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:
    """Check who the peer is, and prove who we are; we have a session."""
    assert isinstance(content, m.RevealSignature)  # noqa: S101 - the table's types
    own = _own(exchange)
    peer_public = _peer_public(_opened(exchange, content.revealed), own)
    keys = proofs.keys_of(own.secret, peer_public)
    claimed = proofs.open_(keys.reveal, (peer_public, own.public), content.encrypted, content.mac)
    sealed = proofs.seal(keys.signature, proofs.Claim(own.public, peer_public, FIRST_KEY), party)
    done = _established(version, keys, own, peer_public, claimed, first_half=False)
    return Step(exchange=NOTHING, reply=m.Signature(*sealed), done=done)


def _accept_signature(exchange: Exchange, version: int, content: m.Content, party: Party) -> Step:  # noqa: ARG001 - a row
    """Check who the peer is; we have a session."""
    assert isinstance(content, m.Signature)  # noqa: S101 - the table's types
    own = _own(exchange)
    keys = proofs.keys_of(own.secret, exchange.peer_public)
    claimed = proofs.open_(keys.signature, (exchange.peer_public, own.public), content.encrypted, content.mac)
    done = _established(version, keys, own, exchange.peer_public, claimed, first_half=True)
    return Step(exchange=NOTHING, done=done)


TABLE: Final[dict[tuple[State, type[m.Content]], Callable[[Exchange, int, m.Content, Party], Step]]] = {
    (State.NONE, m.Commit): _answer_commit,
    (State.AWAITING_KEY, m.Commit): _collide,
    (State.AWAITING_REVEAL, m.Commit): _answer_again,
    (State.AWAITING_SIGNATURE, m.Commit): _answer_commit,
    (State.AWAITING_KEY, m.Key): _reveal,
    (State.AWAITING_SIGNATURE, m.Key): _reveal_again,
    (State.AWAITING_REVEAL, m.RevealSignature): _accept_reveal,
    (State.AWAITING_SIGNATURE, m.Signature): _accept_signature,
}
"""What is done with a message in a state; all other pairs are ignored."""


def _own(exchange: Exchange) -> Keypair:
    assert exchange.own is not None  # noqa: S101 - in every state but NONE
    return exchange.own


def _peer_public(public: int, own: Keypair) -> int:
    if public == own.public:
        raise MethodError("The contact's client sent our own OTR handshake back.")
    return checked(public)


def _opened(exchange: Exchange, key: bytes) -> int:
    """The public key that the peer had committed to."""
    assert exchange.commit is not None  # noqa: S101 - of this state
    number = crypt(key, exchange.commit.encrypted)
    if not same(sha256(number), exchange.commit.hashed):
        raise MethodError("The contact's OTR handshake is not the one that was begun.")
    reader = Reader(number)
    public = reader.mpi()
    reader.end()
    return public


def _established(
    version: int,
    keys: proofs.Keys,
    own: Keypair,
    peer_public: int,
    claimed: proofs.Claimed,
    *,
    first_half: bool,
) -> Established:
    return Established(
        version=version,
        ssid=keys.ssid,
        first_half=first_half,
        own=own,
        peer_public=peer_public,
        peer_key_id=claimed.key_id,
        identity=claimed.identity,
    )
