"""Opening layer by layer: nesting, addresses, times, whose signature counts."""

from __future__ import annotations

import os

import pytest
from attrs import evolve
from bed.miller_values import DRAFT, SID, encrypted, person, signed

from e2eproxy.methods.miller import envelope, fields, layers, sealing, signing
from e2eproxy.methods.miller.failures import (
    DecryptionError,
    InsufficientError,
    KeyNeededError,
    TimestampError,
    VerificationError,
)
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build

AUTHOR, READER = JID.parse("juliet@capulet.lit/balcony"), JID.parse("romeo@montegue.lit")
SMK = bytes(range(32))
NOW = 1_795_426_200
HEAD = {"from": str(AUTHOR), "to": str(READER), "type": "chat"}
PLAIN = build("message", HEAD, b"<body>text</body>")


def smk(sid):
    if sid != SID:
        raise KeyNeededError(sid)
    return SMK


SCENE = layers.Scene(
    author=AUTHOR.bare,
    reader=READER.bare,
    sent_at=float(NOW),
    window=300.0,
    smk=smk,
    known=lambda name: person("juliet").public if name == "juliet@capulet.lit" else None,
    random=os.urandom,
)


def enclosed(stanza, at=NOW):
    return envelope.enclose(stanza, at * 1000)


def around(payload, kind="message", head=HEAD):
    return build(kind, head, payload)


def enc(stanza, at=NOW, sid=SID, **head):
    return around(sealing.seal(SMK, sid, enclosed(stanza, at), os.urandom).to_bytes(), head=HEAD | head)


def sig(stanza, at=NOW, who="juliet", jwk=True, **head):
    header = {"jwk": dict(person(who).public.numbers)} if jwk else {}
    return around(signing.sign(person(who), enclosed(stanza, at), header).to_bytes(), head=HEAD | head)


def opened(raw, **changes):
    return layers.open_layers(Stanza.parse(raw), evolve(SCENE, **changes))


@pytest.mark.parametrize(
    ("raw", "encrypted", "proved"),
    [
        (enc(PLAIN), True, False),
        (sig(PLAIN), False, True),
        (enc(sig(PLAIN)), True, True),
        (sig(enc(PLAIN)), True, False),
        (sig(enc(sig(PLAIN))), True, True),
        (enc(enc(PLAIN)), True, False),
        (sig(sig(PLAIN)), False, True),
    ],
)
def test_nesting(raw, encrypted, proved):
    """Only the innermost signature says who wrote it: one around a ciphertext can be anybody's."""
    found = opened(raw)
    assert found.stanza.raw == PLAIN
    assert found.encrypted is encrypted
    assert found.author == (person("juliet").public if proved else None)
    assert found.sid == (SID if encrypted else "")


def test_more_than_three_layers_are_not_looked_into():
    with pytest.raises(DecryptionError, match="more often"):
        opened(enc(sig(enc(sig(PLAIN)))))


def test_a_missing_key_is_told_before_anything_else_but_a_bad_header():
    with pytest.raises(KeyNeededError) as caught:
        opened(enc(PLAIN, sid="other"))
    assert caught.value.sid == "other"
    bad = enc(PLAIN, sid="other").replace(b"id='other'", b"id='another'")
    with pytest.raises(DecryptionError, match="another key"):
        opened(bad)


def test_two_encrypted_parts_are_none():
    part = sealing.seal(SMK, SID, enclosed(PLAIN), os.urandom).to_bytes()
    with pytest.raises(DecryptionError, match="several"):
        opened(around(part + part))


@pytest.mark.parametrize("at", [NOW - 301, NOW + 301])
@pytest.mark.parametrize("wrap", [enc, sig])
def test_the_time_of_every_layer_has_to_be_near(at, wrap):
    with pytest.raises(TimestampError):
        opened(wrap(PLAIN, at))
    with pytest.raises(TimestampError):
        opened(enc(sig(PLAIN, at)))
    with pytest.raises(TimestampError):
        opened(enc(sig(PLAIN), at))
    assert opened(wrap(PLAIN, at), sent_at=float(at)).at == at
    assert opened(wrap(PLAIN, at), window=None).at == at


OTHERS = [
    {"from": "tybalt@capulet.lit/x"},
    {"to": "nurse@capulet.lit"},
    {"from": None},
    {"to": None},
    {"from": "@@"},
    {"type": "headline"},
    {"type": None},
]


@pytest.mark.parametrize("other", OTHERS)
def test_each_layer_is_from_and_to_whom_the_stanza_says(other):
    inner = build("message", HEAD | other, b"<body>text</body>")
    for raw in (enc(inner), sig(inner), enc(sig(inner)), enc(sig(PLAIN, **other))):
        with pytest.raises(VerificationError):
            opened(raw)


def test_another_kind_inside_is_refused():
    with pytest.raises(VerificationError, match="kind"):
        opened(enc(build("presence", HEAD)))


def test_an_error_may_be_inside_a_result():
    inner = build("iq", HEAD | {"type": "error", "id": "1"}, b"<error type='cancel'/>")
    part = sealing.seal(SMK, SID, enclosed(inner), os.urandom).to_bytes()
    result = around(part, "iq", HEAD | {"type": "result", "id": "2"})
    assert opened(result).stanza.type == "error"
    with pytest.raises(VerificationError):
        opened(around(part, "iq", HEAD | {"type": "get", "id": "2"}))


def test_what_another_signed_is_not_the_authors_even_inside():
    """A peer who passes on what was signed for him ends at the addresses; one who signs for another has another key."""
    assert opened(enc(sig(PLAIN, who="romeo"))).author == person("romeo").public


def test_a_signature_without_a_key_is_checked_with_a_known_one():
    signature = signed(DRAFT["sign_example"])
    head = {"from": "juliet@capulet.lit/balcony", "to": "romeo@montegue.lit", "type": "chat"}
    found = opened(around(signature.to_bytes(), head=head), window=None)
    assert found.author == person("juliet").public
    with pytest.raises(InsufficientError):
        opened(around(signature.to_bytes(), head=head), window=None, known=lambda _name: None)


def test_the_drafts_encrypted_example_opens_whole_if_it_is_wanted():
    raw = around(encrypted(DRAFT["encrypt_example"]).to_bytes())
    key = fields.decode(DRAFT["encrypt_example"]["smk_b64url"])
    found = opened(raw, window=None, legacy=True, smk=lambda _sid: key)
    assert found.legacy
    assert found.stanza.child("jabber:client\x01thread").text == "35740be5-b5a4-4c4e-962a-a03b14ed92f4"
    with pytest.raises(DecryptionError):
        opened(raw, window=None, smk=lambda _sid: key)


def test_a_digest_is_of_what_was_written_and_not_of_its_wrapping():
    inner = sig(PLAIN)
    assert opened(enc(inner)).digest == opened(enc(inner, NOW + 1)).digest == opened(inner).digest
    assert opened(enc(inner)).digest != opened(enc(sig(PLAIN, NOW + 1))).digest
