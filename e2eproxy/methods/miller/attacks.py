"""The best attack known on miller-e2e, for the test bench: what stolen keys open of what was recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from e2eproxy.errors import RemoteError
from e2eproxy.methods.miller import envelope, fields, handover, sealing, wire
from e2eproxy.methods.miller.failures import DecryptionError
from e2eproxy.methods.miller.headers import OWN
from e2eproxy.methods.miller.keys import PrivateKey
from e2eproxy.methods.miller.layers import MOST_LAYERS
from e2eproxy.methods.miller.own_keys import ENCRYPTION
from e2eproxy.xmpp.names import CLIENT, SEPARATOR
from e2eproxy.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.methods.door import Stolen, Transcript

_BODY: Final = CLIENT + SEPARATOR + "body"


def open_recorded(stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
    """The texts of *transcript* that open with the SMKs in *stolen*, or with those that its key unwraps."""
    smks = dict(_stolen_smks(stolen))
    own = [PrivateKey.decoded(one.secret) for one in stolen.identities if one.name == ENCRYPTION]
    texts = []
    for one in transcript:
        try:
            stanza = Stanza.parse(one.raw)
            for key in own:
                smks.update(_unwrapped(key, stanza))
            text = _text(smks, stanza)
        except RemoteError:
            continue
        if text is not None:
            texts.append(text)
    return tuple(texts)


def _stolen_smks(stolen: Stolen) -> Iterator[tuple[str, bytes]]:
    for name, record in stolen.records.items():
        if name.startswith("smk:"):
            values = json.loads(record)
            yield values["sid"], fields.decode(values["key"])
        elif name.startswith("peer-smk:"):
            yield name.partition("\n")[2], fields.decode(json.loads(record)["k"])


def _unwrapped(own: PrivateKey, stanza: Stanza) -> Iterator[tuple[str, bytes]]:
    answer, push = stanza.child(wire.KEY_REQUEST), stanza.child(handover.PUSH)
    around = [(answer, wire.NAMESPACE)] if answer else [(one, OWN) for one in (push.children if push else ())]
    for element, namespace in around:
        sid = (answer or push or element).attributes.get("id", "")
        try:
            payload = sealing.unwrap(own, wire.wrapped_key(element, sid, namespace), bytes)
            yield sid, fields.decode(fields.json_object(payload, DecryptionError)["k"])
        except RemoteError:
            continue


def _text(smks: dict[str, bytes], stanza: Stanza) -> str | None:
    for _ in range(MOST_LAYERS):
        e2e = stanza.child(wire.E2E)
        if e2e is None:
            break
        layer = wire.layer_of(e2e)
        if isinstance(layer, wire.Signed):
            payload = fields.decode(layer.data)
        elif layer.sid in smks:
            payload = sealing.open_(smks[layer.sid], layer, bytes)
        else:
            return None
        stanza = envelope.disclose(payload).stanza
    body = stanza.child(_BODY)
    return None if body is None else body.text
