"""The reference session method's ratchet: a new key for each message, new Diffie-Hellman keys with each change of direction.

Keys are used once: a cipher key encrypts one message, then it is forgotten; the MAC key is published with the receiver's
next message, so that anybody could have made the message it protected. A state is a value; every step returns a new one.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, field, frozen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from e2eproxy.methods.door import MethodError
from e2eproxy.testing.fields import KEY, agree, derive, mac, pack, public_of, same, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_SKIPPED = 50
"""So many messages may be missing in one chain; keys of that many are kept in all."""


class RepeatedError(MethodError):
    """The message was opened before, or its key has been given up."""


@frozen(kw_only=True)
class Ratchet:
    """One side's state. Keys are bytes; ``send`` and ``receive`` are chain keys (empty: there is none yet).

    ``skipped``: message keys of messages that are missing, by sender's key and number. ``publish``: MAC keys that checked
    something and are to be published with the next message.
    """

    tag: bytes
    root: bytes = field(repr=False)
    own: bytes = field(repr=False)
    peer: bytes = b""
    send: bytes = field(default=b"", repr=False)
    receive: bytes = field(default=b"", repr=False)
    sent: int = 0
    received: int = 0
    before: int = 0
    must_step: bool = False
    skipped: Mapping[str, bytes] = field(factory=dict, repr=False)
    publish: bytes = field(default=b"", repr=False)

    def to_bytes(self) -> bytes:
        """As a record."""

        def text(_instance: Any, _attribute: Any, value: object) -> object:  # noqa: ANN401 - attrs' own signature
            return base64.b64encode(value).decode() if isinstance(value, bytes) else value

        skipped = {name: base64.b64encode(key).decode() for name, key in self.skipped.items()}
        plain = asdict(self, value_serializer=text, filter=lambda attribute, _: attribute.name != "skipped")
        return json.dumps({**plain, "skipped": skipped}).encode()

    @classmethod
    def from_bytes(cls, record: bytes) -> Ratchet:
        """From what ``to_bytes`` made."""
        values: dict[str, Any] = json.loads(record)
        skipped = {name: base64.b64decode(key) for name, key in values.pop("skipped").items()}
        decoded: dict[str, Any] = {
            name: base64.b64decode(value) if isinstance(value, str) else value
            for name, value in values.items()
        }
        return cls(**decoded, skipped=skipped)


@frozen(kw_only=True)
class Message:
    """One data message as it stands on the wire. ``published``: MAC keys of earlier ones, 32 bytes each."""

    tag: bytes
    key: bytes
    before: int
    number: int
    published: bytes
    ciphertext: bytes
    tag_mac: bytes

    @property
    def covered(self) -> tuple[bytes, ...]:
        """All that the MAC covers."""
        counts = self.before.to_bytes(4, "big") + self.number.to_bytes(4, "big")
        return self.tag, self.key, counts, self.published, self.ciphertext

    def to_bytes(self) -> bytes:
        """As it is sent."""
        return pack(*self.covered, self.tag_mac)

    @classmethod
    def from_bytes(cls, data: bytes) -> Message:
        """From what arrived; raises MethodError."""
        tag, key, counts, published, ciphertext, tag_mac = unpack(data, 6)
        if len(key) != KEY or len(counts) != 8 or len(published) % KEY:
            raise MethodError("A data message has a field of the wrong length.")
        return cls(
            tag=tag,
            key=key,
            before=int.from_bytes(counts[:4], "big"),
            number=int.from_bytes(counts[4:], "big"),
            published=published,
            ciphertext=ciphertext,
            tag_mac=tag_mac,
        )

    @property
    def published_keys(self) -> tuple[bytes, ...]:
        """The MAC keys it publishes."""
        return tuple(self.published[at : at + KEY] for at in range(0, len(self.published), KEY))


def crypt(key: bytes, data: bytes) -> bytes:
    """AES-256-CTR from a counter of zero: the key is used once, and the same step opens and closes."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def message_keys(message_key: bytes) -> tuple[bytes, bytes]:
    """(Cipher key, MAC key) of one message."""
    both = derive(message_key, b"", b"e2eproxy reference message", 2 * KEY)
    return both[:KEY], both[KEY:]


def step_chain(chain: bytes) -> tuple[bytes, bytes]:
    """(Next chain key, message key)."""
    return mac(chain, b"chain"), mac(chain, b"message")


def step_root(root: bytes, shared: bytes) -> tuple[bytes, bytes]:
    """(Next root, chain key)."""
    both = derive(shared, root, b"e2eproxy reference root", 2 * KEY)
    return both[:KEY], both[KEY:]


def first_keys(shared: bytes, hello: bytes, reply: bytes) -> tuple[bytes, bytes, bytes]:
    """(Root, responder's first chain key, key for the handshake's MACs) from the two ephemeral public keys."""
    out = derive(shared, hello + reply, b"e2eproxy reference session", 3 * KEY)
    return out[:KEY], out[KEY : 2 * KEY], out[2 * KEY :]


def initiator(tag: bytes, shared: bytes, own: bytes, peer: bytes) -> Ratchet:
    """The state of who said hello: it makes the first step when it first writes."""
    root, chain, _ = first_keys(shared, public_of(own), peer)
    return Ratchet(tag=tag, root=root, own=own, peer=peer, receive=chain, must_step=True)


def responder(tag: bytes, shared: bytes, own: bytes, peer: bytes) -> Ratchet:
    """The state of who replied: it may write with the first chain at once."""
    root, chain, _ = first_keys(shared, peer, public_of(own))
    return Ratchet(tag=tag, root=root, own=own, send=chain)


def seal(state: Ratchet, text: bytes, random: Callable[[int], bytes]) -> tuple[Ratchet, Message]:
    """Encrypt *text*; returns the state after it, which has to be durable before the message leaves."""
    if state.must_step:
        own = random(KEY)
        root, send = step_root(state.root, agree(own, state.peer))
        state = evolve(state, own=own, root=root, send=send, before=state.sent, sent=0, must_step=False)
    chain, key = step_chain(state.send)
    cipher, mac_key = message_keys(key)
    message = Message(
        tag=state.tag,
        key=public_of(state.own),
        before=state.before,
        number=state.sent,
        published=state.publish,
        ciphertext=crypt(cipher, text),
        tag_mac=b"",
    )
    message = evolve(message, tag_mac=mac(mac_key, *message.covered))
    return evolve(state, send=chain, sent=state.sent + 1, publish=b""), message


def open_(state: Ratchet, message: Message) -> tuple[Ratchet, bytes]:
    """Decrypt *message*; returns the state after it. Raises MethodError, and the state given stays good."""
    name = f"{message.key.hex()}:{message.number}"
    if name in state.skipped:
        after, key = (
            evolve(state, skipped={k: v for k, v in state.skipped.items() if k != name}),
            state.skipped[name],
        )
    else:
        if message.key != state.peer:
            state = _turned(state, message)
        if message.number < state.received:
            raise RepeatedError("A message arrived that was opened before.")
        state, missing = _skip(state, message.number)
        chain, key = step_chain(state.receive)
        kept = dict(list({**state.skipped, **missing}.items())[-MOST_SKIPPED:])
        after = evolve(state, receive=chain, received=message.number + 1, skipped=kept)
    cipher, mac_key = message_keys(key)
    if not same(mac(mac_key, *message.covered), message.tag_mac):
        raise MethodError("A message was altered on its way, or is not from this session.")
    return evolve(after, publish=after.publish + mac_key), crypt(cipher, message.ciphertext)


def _turned(state: Ratchet, message: Message) -> Ratchet:
    """The state after the peer's new Diffie-Hellman key, with what is missing of the old chain kept."""
    if state.receive and message.before >= state.received:
        state, missing = _skip(state, message.before)
        state = evolve(state, skipped={**state.skipped, **missing})
    root, receive = step_root(state.root, agree(state.own, message.key))
    return evolve(state, root=root, receive=receive, peer=message.key, received=0, must_step=True)


def _skip(state: Ratchet, to: int) -> tuple[Ratchet, dict[str, bytes]]:
    if not state.receive or to - state.received > MOST_SKIPPED:
        raise MethodError("Too many messages are missing before one that arrived.")
    missing = {}
    chain = state.receive
    for number in range(state.received, to):
        chain, key = step_chain(chain)
        missing[f"{state.peer.hex()}:{number}"] = key
    return evolve(state, receive=chain, received=to), missing
