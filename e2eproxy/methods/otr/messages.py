"""The five messages of OTR as values, and their one encoding.

Law 6: what does not parse to its last byte is no message. Because numbers are taken in their shortest form only, encoding
what was decoded gives the same bytes again, which is what a data message's MAC is computed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import encoding as enc
from e2eproxy.methods.otr.encoding import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

MAC_BYTES: Final = 20
HASH_BYTES: Final = 32
COUNTER_BYTES: Final = 8
KEY_BYTES: Final = 16
LOWEST_TAG: Final = 0x100
"""The lowest instance tag that names a client; below are reserved, and 0 is "not known yet"."""
VERSIONS: Final = (2, 3)
IGNORE_UNREADABLE: Final = 0x01
"""A data message's flag: say nothing if it cannot be opened."""


@frozen
class Commit:
    """D-H Commit: the sender's public key, encrypted (its MPI) and hashed (SHA-256)."""

    encrypted: bytes = field(repr=False)
    hashed: bytes


@frozen
class Key:
    """D-H Key: the other's public key."""

    public: int


@frozen
class RevealSignature:
    """Reveal Signature: the key that opens the commit, and the sender's identity and signature, encrypted."""

    revealed: bytes = field(repr=False)
    encrypted: bytes = field(repr=False)
    mac: bytes


@frozen
class Signature:
    """Signature: the other's identity and signature, encrypted."""

    encrypted: bytes = field(repr=False)
    mac: bytes


@frozen(kw_only=True)
class Data:
    """A data message. ``counter``: 8 bytes. ``published``: MAC keys of 20 bytes each that were used and dropped."""

    flags: int
    sender_key: int
    recipient_key: int
    next_public: int
    counter: bytes
    ciphertext: bytes = field(repr=False)
    mac: bytes = b""
    published: bytes = field(default=b"", repr=False)


Content = Commit | Key | RevealSignature | Signature | Data


@frozen(kw_only=True)
class Message:
    """A message with its header. ``sender``, ``receiver``: instance tags, both 0 in version 2, which has none."""

    version: int
    content: Content
    sender: int = 0
    receiver: int = 0


def _commit(reader: Reader) -> Commit:
    made = Commit(reader.data(), reader.data())
    if len(made.hashed) != HASH_BYTES:
        raise MethodError("An OTR handshake arrived with a hash of the wrong length.")
    return made


def _key(reader: Reader) -> Key:
    return Key(reader.mpi())


def _reveal(reader: Reader) -> RevealSignature:
    made = RevealSignature(reader.data(), reader.data(), reader.take(MAC_BYTES))
    if len(made.revealed) != KEY_BYTES:
        raise MethodError("An OTR handshake arrived with a key of the wrong length.")
    return made


def _signature(reader: Reader) -> Signature:
    return Signature(reader.data(), reader.take(MAC_BYTES))


def _data(reader: Reader) -> Data:
    made = Data(
        flags=reader.byte(),
        sender_key=reader.integer(),
        recipient_key=reader.integer(),
        next_public=reader.mpi(),
        counter=reader.take(COUNTER_BYTES),
        ciphertext=reader.data(),
        mac=reader.take(MAC_BYTES),
        published=reader.data(),
    )
    if len(made.published) % MAC_BYTES:
        raise MethodError("An OTR message arrived that publishes a part of a key.")
    return made


_READ: Final[dict[int, Callable[[Reader], Content]]] = {
    0x02: _commit,
    0x0A: _key,
    0x11: _reveal,
    0x12: _signature,
    0x03: _data,
}
_TYPES: Final = {Commit: 0x02, Key: 0x0A, RevealSignature: 0x11, Signature: 0x12, Data: 0x03}


def decode(value: bytes) -> Message:
    """The message that *value* is; raises MethodError if it is none of version 2 or 3."""
    reader = Reader(value)
    version, kind = reader.short(), reader.byte()
    if version not in VERSIONS:
        raise MethodError("An OTR message arrived of a version that is not supported.")
    if kind not in _READ:
        raise MethodError("An OTR message arrived of an unknown type.")
    sender, receiver = (reader.integer(), reader.integer()) if version == 3 else (0, 0)
    content = _READ[kind](reader)
    reader.end()
    if version == 3:
        _check_tags(sender, receiver, content)
    return Message(version=version, sender=sender, receiver=receiver, content=content)


def _check_tags(sender: int, receiver: int, content: Content) -> None:
    unknown_allowed = isinstance(content, Commit)
    if sender < LOWEST_TAG or (receiver < LOWEST_TAG and not (receiver == 0 and unknown_allowed)):
        raise MethodError("An OTR message arrived with an instance tag that is not allowed.")


def encode(message: Message) -> bytes:
    """*Message* as it is sent, without base64."""
    head = _head(message)
    match message.content:
        case Commit(encrypted=encrypted, hashed=hashed):
            return head + enc.data(encrypted) + enc.data(hashed)
        case Key(public=public):
            return head + enc.mpi(public)
        case RevealSignature(revealed=revealed, encrypted=encrypted, mac=mac):
            return head + enc.data(revealed) + enc.data(encrypted) + mac
        case Signature(encrypted=encrypted, mac=mac):
            return head + enc.data(encrypted) + mac
        case Data(mac=mac, published=published) as content:
            return _covered(head, content) + mac + enc.data(published)


def _head(message: Message) -> bytes:
    tags = enc.integer(message.sender) + enc.integer(message.receiver) if message.version == 3 else b""
    return enc.short(message.version) + bytes([_TYPES[type(message.content)]]) + tags


def covered(message: Message) -> bytes:
    """What the MAC of a data message is computed over: all from the version to the ciphertext."""
    if not isinstance(message.content, Data):
        raise TypeError("only a data message has a MAC of this kind")
    return _covered(_head(message), message.content)


def _covered(head: bytes, content: Data) -> bytes:
    return b"".join(
        (
            head,
            bytes([content.flags]),
            enc.integer(content.sender_key),
            enc.integer(content.recipient_key),
            enc.mpi(content.next_public),
            content.counter,
            enc.data(content.ciphertext),
        )
    )
