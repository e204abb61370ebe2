"""The best attacks known on the reference session method: what stolen keys open, and how a transcript is forged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from e2eproxy.errors import RemoteError
from e2eproxy.methods.door import Forgery, MethodError
from e2eproxy.testing import handshake, ratchet
from e2eproxy.testing.fields import KEY, agree, mac, public_of, same, unpack
from e2eproxy.xmpp.stanza import Stanza, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.methods.door import Stolen, Transcript

_FURTHEST = 30
"""So many steps a chain is followed."""


def wire_messages(transcript: Transcript) -> list[tuple[int, str | None, bytes, bytes]]:
    """(Number, text if known, kind, data) of each of the method's messages in *transcript*."""
    found = []
    for one in transcript:
        try:
            body = Stanza.parse(one.raw).child(handshake.BODY)
            if body is not None:
                found.append((one.number, one.text, *handshake.decoded(body.node.text)))
        except RemoteError:
            continue
    return found


def open_recorded(stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
    """Follow every chain that the stolen states hold or lead to, and try its keys on every recorded message."""
    messages = wire_messages(transcript)
    data = [ratchet.Message.from_bytes(one[3]) for one in messages if one[2] == b"d"]
    states = [
        ratchet.Ratchet.from_bytes(record)
        for name, record in stolen.records.items()
        if name.startswith("session:")
    ]
    states += _from_handshakes(stolen, messages)
    reachable = {key for state in states for key in _reachable(state, data)}
    keys = [ratchet.message_keys(key) for key in reachable]
    opened = []
    for message in data:
        for cipher, mac_key in keys:
            if same(mac(mac_key, *message.covered), message.tag_mac):
                opened.append(ratchet.crypt(cipher, message.ciphertext).decode("utf-8", "replace"))
    return tuple(opened)


def _from_handshakes(
    stolen: Stolen, messages: list[tuple[int, str | None, bytes, bytes]]
) -> Iterator[ratchet.Ratchet]:
    """The states that come out if one of the stolen secrets was the ephemeral key of a recorded handshake."""
    secrets = {one.secret for one in stolen.identities} | set(stolen.memory.values())
    secrets |= {value for value in stolen.records.values() if len(value) == KEY}
    hellos = [data for _, _, kind, data in messages if kind == b"h"]
    replies = [unpack(data, 4)[0] for _, _, kind, data in messages if kind == b"r"]
    for secret in (one for one in secrets if len(one) == KEY):
        public = public_of(secret)
        for hello in hellos:
            for reply in replies:
                if public == hello:
                    yield ratchet.initiator(b"", agree(secret, reply), secret, reply)
                if public == reply:
                    yield ratchet.responder(b"", agree(secret, hello), secret, hello)


def _reachable(state: ratchet.Ratchet, data: list[ratchet.Message]) -> Iterator[bytes]:
    """Message keys that *state* holds, or comes to by what was recorded, without any further secret."""
    yield from state.skipped.values()
    chains = [state.send, state.receive, *_later_chains(state, data)]
    for start in set(chains):
        chain = start
        for _ in range(_FURTHEST if chain else 0):
            chain, key = ratchet.step_chain(chain)
            yield key


def _later_chains(state: ratchet.Ratchet, data: list[ratchet.Message]) -> Iterator[bytes]:
    """Chains after further root steps: along the recorded keys in their order, and with one key again and again.

    The state's owner makes each of his steps with a new key, which the thief of this moment does not have; where that is
    not so, or where it does not matter, these are the true chains.
    """
    keys = list(dict.fromkeys(message.key for message in data))
    for path in [*(keys[at:] for at in range(len(keys))), *([key] * len(keys) * 2 for key in keys)]:
        root = state.root
        for key in path:
            try:
                root, chain = ratchet.step_root(root, agree(state.own, key))
            except MethodError:
                break
            yield chain


def forge(transcript: Transcript) -> Forgery | None:
    """Change a text that is known, in a message whose MAC key was published later, without any secret."""
    messages = wire_messages(transcript)
    published = {
        key
        for _, _, kind, data in messages
        if kind == b"d"
        for key in ratchet.Message.from_bytes(data).published_keys
    }
    for number, text, kind, data in messages:
        if kind != b"d" or not text:
            continue
        message = ratchet.Message.from_bytes(data)
        for key in published:
            if same(mac(key, *message.covered), message.tag_mac):
                return _with_text(transcript, number, message, key, text)
    return None


def _with_text(
    transcript: Transcript, number: int, message: ratchet.Message, key: bytes, text: str
) -> Forgery:
    old = text.encode()
    new = ("I never said " + "so " * len(old)).encode()[: len(old)]
    ciphertext = bytes(c ^ a ^ b for c, a, b in zip(message.ciphertext, old, new, strict=True))
    forged = evolve(message, ciphertext=ciphertext)
    forged = evolve(forged, tag_mac=mac(key, *forged.covered))
    raw = next(one.raw for one in transcript if one.number == number)
    before = escape_text(handshake.carried(b"d" + message.to_bytes())).encode()
    after = escape_text(handshake.carried(b"d" + forged.to_bytes())).encode()
    return Forgery(instead_of=number, raw=raw.replace(before, after), text=new.decode())
