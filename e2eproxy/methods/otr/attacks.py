"""The best attacks known on OTR, for the test bench: what stolen keys open, and how anybody forges a recorded text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from e2eproxy.errors import RemoteError
from e2eproxy.methods.door import Forgery
from e2eproxy.methods.otr import forms, fragments, messages, records
from e2eproxy.methods.otr.arithmetic import number_of, secret_power
from e2eproxy.methods.otr.ciphers import crypt, mac_sha1, same, sha1
from e2eproxy.methods.otr.encoding import mpi
from e2eproxy.methods.otr.outgoing import BODY
from e2eproxy.xmpp.stanza import Stanza, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.methods.door import Recorded, Stolen, Transcript


@frozen
class Seen:
    """A message of OTR, and the stanza that held it, or its last part."""

    recorded: Recorded
    message: messages.Message


def seen(transcript: Transcript) -> list[Seen]:
    """Every message of OTR in *transcript*, those in parts put together."""
    found = []
    partials: dict[tuple[str, str], fragments.Partial] = {}
    for one in transcript:
        try:
            body = Stanza.parse(one.raw).child(BODY)
            form = forms.form_of(body.node.text) if body else None
            if isinstance(form, forms.Fragment):
                way = str(one.sender), str(one.receiver)
                partials[way], whole = fragments.put_together(partials.get(way, fragments.Partial()), form)
                form = forms.form_of(whole) if whole else None
            if isinstance(form, forms.Encoded):
                found.append(Seen(one, messages.decode(form.value)))
        except RemoteError:
            continue
    return found


def open_recorded(stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
    """Try every stolen key, and every one that a stolen exponent makes with a recorded public key, on every message."""
    data = [one.message for one in seen(transcript) if isinstance(one.message.content, messages.Data)]
    keys = set(_keys(stolen, transcript))
    opened = []
    for message in data:
        content = message.content
        assert isinstance(content, messages.Data)  # noqa: S101 - as chosen above
        for key in keys:
            if same(mac_sha1(sha1(key), messages.covered(message)), content.mac):
                text, _ = records.split(crypt(key, content.ciphertext, content.counter))
                opened.append(text.decode("utf-8", "replace"))
    return tuple(opened)


def _keys(stolen: Stolen, transcript: Transcript) -> Iterator[bytes]:
    secrets = [*stolen.memory.items(), *((f"exponent:{one.name}", one.secret) for one in stolen.identities)]
    publics = set(_publics(transcript))
    for name, secret in secrets:
        if name.startswith("key:"):
            yield secret
        elif number_of(secret):
            for public in publics:
                shared = mpi(secret_power(public, number_of(secret)))
                yield from (sha1(end + shared)[: messages.KEY_BYTES] for end in (b"\x01", b"\x02"))


def _publics(transcript: Transcript) -> Iterator[int]:
    commit: messages.Commit | None = None
    for one in seen(transcript):
        match one.message.content:
            case messages.Commit() as latest:
                commit = latest
            case messages.Key(public=public) | messages.Data(next_public=public):
                yield public
            case messages.RevealSignature(revealed=revealed) if commit is not None:
                yield number_of(crypt(revealed, commit.encrypted)[4:])
            case _:
                pass


def forge(transcript: Transcript) -> Forgery | None:
    """Change a known text in a message whose MAC key was published later; no secret is needed."""
    found = seen(transcript)
    published = {
        content.published[at : at + messages.MAC_BYTES]
        for one in found
        if isinstance(content := one.message.content, messages.Data)
        for at in range(0, len(content.published), messages.MAC_BYTES)
    }
    for one in found:
        if not isinstance(one.message.content, messages.Data) or not one.recorded.text:
            continue
        for key in published:
            if same(mac_sha1(key, messages.covered(one.message)), one.message.content.mac):
                return _with_other_text(one, one.message.content, key, one.recorded.text)
    return None


def _with_other_text(one: Seen, content: messages.Data, key: bytes, text: str) -> Forgery | None:
    old = text.encode()
    new = ("I never said " + "so " * len(old)).encode()[: len(old)]
    changed = bytes(c ^ a ^ b for c, a, b in zip(content.ciphertext, old, new, strict=False))
    forged = evolve(content, ciphertext=changed + content.ciphertext[len(changed) :])
    message = evolve(one.message, content=forged)
    message = evolve(message, content=evolve(forged, mac=mac_sha1(key, messages.covered(message))))
    before, after = (
        escape_text(forms.encoded_text(messages.encode(which))).encode() for which in (one.message, message)
    )
    if before not in one.recorded.raw:  # it was sent in parts
        return None
    return Forgery(
        instead_of=one.recorded.number, raw=one.recorded.raw.replace(before, after), text=new.decode()
    )
