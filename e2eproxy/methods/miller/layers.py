"""Opening a stanza, layer by layer: decrypted and verified, in whatever order its author nested them, down to what he wrote.

The order of checks is that of the list in docs/miller-e2e.md: header, key, tag, XML, time, addresses; a layer that fails anywhere
fails all. Law 6: three layers at most, and each one has to be from the same author to the same reader as the stanza outside, so that
nobody can pass on what was written to somebody else, or by somebody else.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.miller import envelope, headers, legacy, sealing, signing, wire
from e2eproxy.methods.miller.failures import (
    DecryptionError,
    InsufficientError,
    KeyNeededError,
    TimestampError,
    VerificationError,
)
from e2eproxy.methods.miller.keys import PublicKey, public_key
from e2eproxy.xmpp.jid import JID, prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.xmpp.stanza import Stanza

MOST_LAYERS: Final = 3
WINDOW: Final = 300.0
"""Seconds by which the time inside may differ from the time at which it was sent, or is now."""


@frozen(kw_only=True)
class Scene:
    """What a stanza has to agree with, and what helps to open it.

    ``author`` and ``reader``: bare JIDs. ``sent_at``: when it was sent, as far as known, else now; seconds since 1970.
    ``window``: by how much the time inside may differ from it, None for any time. ``smk`` gives the key called so, or raises
    KeyNeededError; ``known`` the author's key with that thumbprint or name, if it is known.
    """

    author: JID
    reader: JID
    sent_at: float
    window: float | None
    smk: Callable[[str], bytes] = field(repr=False)
    known: Callable[[str], PublicKey | None] = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False)
    direct: bool = False
    legacy: bool = False


@frozen(kw_only=True)
class Opened:
    """What was inside.

    ``author``: the key with which the innermost layer was signed, None if it was not. ``encrypted``: whether any layer was.
    ``sid``: of the key of the outermost encrypted layer. ``digest`` tells this writing from all others, however it comes again.
    """

    stanza: Stanza = field(repr=False)
    at: float
    digest: str
    author: PublicKey | None = None
    read: str = ""
    encrypted: bool = False
    sid: str = ""
    legacy: bool = False


@frozen
class _Layer:
    """The payload of one layer, and what it adds to what is known of the whole."""

    payload: bytes = field(repr=False)
    known: Opened


def open_layers(outer: Stanza, scene: Scene) -> Opened:
    """Open *outer* down to what was written. Raises FailedError, or KeyNeededError while a key is missing."""
    stanza, found = outer, Opened(stanza=outer, at=0.0, digest="")
    for _ in range(MOST_LAYERS):
        layer = _layer(stanza, scene, found)
        inner = envelope.disclose(layer.payload, misspelt=layer.known.legacy)
        if scene.window is not None and abs(inner.at - scene.sent_at) > scene.window:
            raise TimestampError("It was written at another time than it was sent, or a clock is wrong.")
        _check_addresses(inner.stanza, stanza, scene)
        digest = hashlib.sha256(layer.payload).hexdigest()
        stanza, found = inner.stanza, evolve(layer.known, stanza=inner.stanza, at=inner.at, digest=digest)
        if stanza.child(wire.E2E) is None:
            return found
    raise DecryptionError("It is wrapped more often than is looked into.")


def _layer(stanza: Stanza, scene: Scene, found: Opened) -> _Layer:
    elements = stanza.all(wire.E2E)
    if len(elements) != 1:
        raise DecryptionError("There is not one encrypted or signed part, but several.")
    layer = wire.layer_of(elements[0])
    return (
        _verified(layer, scene, found) if isinstance(layer, wire.Signed) else _decrypted(layer, scene, found)
    )


def _decrypted(layer: wire.Encrypted, scene: Scene, found: Opened) -> _Layer:
    old = scene.legacy and legacy.is_legacy(layer)
    try:
        smk = scene.smk(layer.sid)
    except KeyNeededError:
        headers.of_stanza(layer.header, layer.sid, direct=scene.direct, legacy=old)
        raise
    if old:
        payload = legacy.open_(smk, layer)
    else:
        payload = sealing.open_(smk, layer, scene.random, direct=scene.direct)
    # A signature around this layer says nothing about who wrote what is in it.
    known = evolve(
        found, author=None, read="", encrypted=True, sid=found.sid or layer.sid, legacy=found.legacy or old
    )
    return _Layer(payload, known)


def _verified(layer: wire.Signed, scene: Scene, found: Opened) -> _Layer:
    header = headers.of_signature(layer.header)
    key = _signer(header, scene)
    payload = signing.verify(layer, key)
    return _Layer(payload, evolve(found, author=key, read=header.read))


def _signer(header: headers.Signature, scene: Scene) -> PublicKey:
    if header.jwk is None:
        key = scene.known(header.kid or "")
        if key is None:
            raise InsufficientError("It is signed with a key that is not known.")
        return key
    try:
        key = public_key(header.jwk)
    except MethodError as error:
        raise VerificationError(str(error)) from None
    return evolve(key, x5c=key.x5c or header.x5c)


def _check_addresses(inner: Stanza, outer: Stanza, scene: Scene) -> None:
    author, reader = prepared(inner.from_), prepared(inner.to)
    if author is None or author.bare != scene.author or reader is None or reader.bare != scene.reader:
        raise VerificationError("What is inside was written by or to somebody else than the stanza says.")
    answers = inner.kind == "iq" and outer.type == "result" and inner.type == "error"
    if inner.kind != outer.kind or not (answers or _type(inner) == _type(outer)):
        raise VerificationError("What is inside is of another kind than the stanza.")


def _type(stanza: Stanza) -> str | None:
    return stanza.type or ("normal" if stanza.kind == "message" else None)
