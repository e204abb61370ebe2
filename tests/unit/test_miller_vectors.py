"""The recorded values of miller-e2e, those of the draft included, and jwcrypto as a second opinion in both directions."""

from __future__ import annotations

import json
import os

import pytest
from attrs import evolve
from bed.miller_values import DRAFT, MAPPING, SID, encrypted, person, signed
from jwcrypto import jwe as other_jwe
from jwcrypto import jwk as other_jwk
from jwcrypto import jws as other_jws

from e2eproxy.methods.miller import envelope, fields, headers, keys, legacy, sealing, signing, wire
from e2eproxy.methods.miller.failures import DecryptionError, VerificationError

ENCRYPTED = [name for name, one in MAPPING.items() if one["type"] == "e2e enc" and "expect" not in one]
WRAPPED = [name for name, one in MAPPING.items() if one["type"] == "keyreq result"]
SIGNED = [name for name, one in MAPPING.items() if one["type"] == "e2e sig"]
NEGATIVE = [name for name, one in MAPPING.items() if "expect" in one]


def test_every_value_is_used():
    assert len(ENCRYPTED) + len(WRAPPED) + len(SIGNED) + len(NEGATIVE) == len(MAPPING) == 8


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted(name):
    value = MAPPING[name]
    payload = sealing.open_(fields.decode(value["smk_b64url"]), encrypted(value), os.urandom)
    assert payload == value["plaintext"].encode()
    assert envelope.disclose(payload).at == 1795426200.123


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped(name):
    value = MAPPING[name]
    found = sealing.unwrap(person("romeo"), encrypted(value), os.urandom, rsa15=True)
    assert json.loads(found) == value["plaintext"]


@pytest.mark.parametrize("name", SIGNED)
def test_signed(name):
    assert (
        signing.verify(signed(MAPPING[name]), person("juliet").public) == MAPPING[name]["plaintext"].encode()
    )


@pytest.mark.parametrize("name", NEGATIVE)
def test_negative(name):
    value = MAPPING[name]
    with pytest.raises(DecryptionError) as caught:
        sealing.open_(fields.decode(value["smk_b64url"]), encrypted(value), os.urandom)
    assert caught.value.specific == value["expect"]


def test_rsa15_is_refused_unless_it_is_wanted():
    with pytest.raises(DecryptionError, match="algorithm"):
        sealing.unwrap(person("romeo"), encrypted(MAPPING["keyreq RSA1_5"]), os.urandom)


# ---- what the draft itself shows ----


def test_the_drafts_encrypted_example_opens_as_legacy_only():
    value = DRAFT["encrypt_example"]
    smk, sealed = fields.decode(value["smk_b64url"]), encrypted(value)
    assert legacy.is_legacy(sealed)
    assert legacy.open_(smk, sealed) == value["plaintext"].encode()
    with pytest.raises(DecryptionError):
        sealing.open_(smk, sealed, os.urandom)
    assert envelope.disclose(value["plaintext"].encode(), misspelt=True).stanza.to == "romeo@montegue.lit"


def test_the_drafts_example_of_a_key_answer_opens_as_legacy_only():
    value = DRAFT["keyreq_response_example"]
    assert legacy.unwrap(person("romeo"), encrypted(value), os.urandom) == value["plaintext"].encode()
    with pytest.raises(DecryptionError):
        sealing.unwrap(person("romeo"), encrypted(value), os.urandom)


def test_the_drafts_signed_example_verifies():
    value = DRAFT["sign_example"]
    payload = signing.verify(signed(value), person("juliet").public)
    assert payload == value["payload"].encode()
    assert envelope.disclose(payload).stanza.from_ == "juliet@capulet.lit/balcony"


def test_the_drafts_example_of_a_key_request_is_romeos_key():
    offered = fields.json_object(fields.decode(DRAFT["keyreq_request_example"]["pkey"]), DecryptionError)
    assert [keys.public_key(one) for one in offered["keys"]] == [person("romeo").public]


def test_legacy_values_that_were_changed_do_not_open_but_for_the_iv():
    value = DRAFT["encrypt_example"]
    smk, sealed = fields.decode(value["smk_b64url"]), encrypted(value)
    for part in ("key", "data", "tag"):
        changed = getattr(sealed, part)
        changed = ("B" if changed[0] == "A" else "A") + changed[1:]
        with pytest.raises(DecryptionError):
            legacy.open_(smk, evolve(sealed, **{part: changed}))
    with pytest.raises(DecryptionError):
        legacy.open_(b"x" * 32, sealed)
    # The weakness for which it is marked, and off by default.
    assert legacy.open_(smk, evolve(sealed, iv="A" + sealed.iv[1:])) != value["plaintext"].encode()


# ---- jwcrypto ----

SMK = bytes(range(32))


def test_jwcrypto_opens_what_we_seal():
    sealed = sealing.seal(SMK, SID, b"payload", os.urandom)
    found = other_jwe.JWE()
    found.deserialize(sealed.compact, other_jwk.JWK(kty="oct", k=fields.encode(SMK)))
    assert found.payload == b"payload"
    assert json.loads(found.objects["protected"]) == {"alg": "A256KW", "enc": "A256CBC-HS512", "kid": SID}


@pytest.mark.parametrize("alg", headers.WRAPPINGS)
@pytest.mark.parametrize("enc", headers.CONTENT)
def test_we_open_what_jwcrypto_seals(alg, enc):
    smk = SMK[: headers.WRAPPINGS[alg]]
    theirs = other_jwe.JWE(b"payload", json.dumps({"alg": alg, "enc": enc, "kid": SID}))
    theirs.add_recipient(other_jwk.JWK(kty="oct", k=fields.encode(smk)))
    sealed = wire.Encrypted.of(SID, theirs.serialize(compact=True))
    assert sealing.open_(smk, sealed, os.urandom) == b"payload"
    with pytest.raises(DecryptionError):
        sealing.open_(SMK[:20], sealed, os.urandom)


def test_dir_opens_only_if_allowed():
    theirs = other_jwe.JWE(b"payload", json.dumps({"alg": "dir", "enc": "A256GCM", "kid": SID}))
    theirs.add_recipient(other_jwk.JWK(kty="oct", k=fields.encode(SMK)))
    sealed = wire.Encrypted.of(SID, theirs.serialize(compact=True))
    assert sealing.open_(SMK, sealed, os.urandom, direct=True) == b"payload"
    with pytest.raises(DecryptionError):
        sealing.open_(SMK, sealed, os.urandom)


@pytest.mark.parametrize("alg", headers.TRANSPORTS)
def test_wrapped_keys_in_both_directions(alg):
    romeo = person("romeo")
    theirs = other_jwk.JWK(
        **{
            name: romeo.jose.as_dict(private=True)[name]
            for name in ("kty", "n", "e", "d", "p", "q", "dp", "dq", "qi")
        }
    )
    wrapped = sealing.wrap(evolve(romeo.public, alg=alg), SID, b"key", os.urandom)
    found = other_jwe.JWE()
    found.deserialize(wrapped.compact, theirs)
    assert found.payload == b"key"
    assert json.loads(found.objects["protected"])["alg"] == alg
    back = other_jwe.JWE(b"back", json.dumps({"alg": alg, "enc": "A128GCM"}), recipient=theirs)
    assert sealing.unwrap(romeo, wire.Encrypted.of(SID, back.serialize(compact=True)), os.urandom) == b"back"


@pytest.mark.parametrize("alg", headers.SIGNATURES)
def test_signatures_in_both_directions(alg):
    juliet = person("juliet")
    theirs = (
        other_jwk.JWK.generate(kty="EC", crv="P-256")
        if alg == "ES256"
        else other_jwk.JWK.generate(kty="RSA", size=2048)
    )
    made = other_jws.JWS(b"payload")
    made.add_signature(theirs, alg, json.dumps({"alg": alg}))
    key = keys.public_key(theirs.export_public(as_dict=True))
    assert signing.verify(wire.Signed.of(made.serialize(compact=True)), key) == b"payload"
    with pytest.raises(VerificationError):
        signing.verify(wire.Signed.of(made.serialize(compact=True)), juliet.public)
    if alg in signing.CHOICES:
        ours = signing.sign(juliet, b"payload", {}, alg)
        found = other_jws.JWS()
        found.deserialize(ours.compact, other_jwk.JWK(**dict(juliet.public.numbers)))
        assert found.payload == b"payload"


# ---- no oracle ----


def altered(part: str) -> str:
    return ("B" if part[0] == "A" else "A") + part[1:]


@pytest.mark.parametrize("part", ["key", "iv", "data", "tag"])
def test_wherever_it_was_changed_the_failure_is_the_same(part):
    sealed = sealing.seal(SMK, SID, b"payload " * 9, os.urandom)
    cut = getattr(sealed, part)[: len(getattr(sealed, part)) // 4 * 2]
    for value in (altered(getattr(sealed, part)), cut, ""):
        with pytest.raises(DecryptionError) as caught:
            sealing.open_(SMK, evolve(sealed, **{part: value}), os.urandom)
        assert str(caught.value) == str(DecryptionError())
        assert caught.value.__cause__ is None
    with pytest.raises(DecryptionError) as caught:
        sealing.open_(bytes(32), sealed, os.urandom)
    assert str(caught.value) == str(DecryptionError())


@pytest.mark.parametrize("alg", ["RSA-OAEP", "RSA-OAEP-256", "RSA1_5"])
def test_a_wrapped_key_fails_alike_wherever_it_was_changed(alg):
    wrapped = encrypted(MAPPING[f"keyreq {alg}"])
    for part in ("key", "iv", "data", "tag"):
        for value in (altered(getattr(wrapped, part)), "", "AAAA"):
            with pytest.raises(DecryptionError) as caught:
                sealing.unwrap(person("romeo"), evolve(wrapped, **{part: value}), os.urandom, rsa15=True)
            assert str(caught.value) == str(DecryptionError())


def test_content_keys_and_ivs_are_drawn_anew_from_the_randomness_handed_in():
    drawn = []

    def random(length):
        drawn.append(length)
        return bytes([len(drawn)]) * length

    one = sealing.seal(SMK, SID, b"same", random)
    two = sealing.seal(SMK, SID, b"same", random)
    assert sorted(drawn) == [16, 16, 64, 64]
    assert len({one.key, two.key}) == len({one.iv, two.iv}) == len({one.data, two.data}) == 2


# ---- kinds of what is signed ----


def test_a_statement_is_no_stanza_and_a_stanza_no_statement():
    juliet = person("juliet")
    stanza, statement = signing.sign(juliet, b"x", {}), signing.sign(juliet, b"x", {"typ": "statement"})
    assert signing.verify(statement, juliet.public, "statement") == b"x"
    assert signing.verify(signing.sign(juliet, b"x", {"typ": "JOSE"}), juliet.public) == b"x"
    for signature, typ in ((stanza, "statement"), (statement, ""), (statement, "other")):
        with pytest.raises(VerificationError, match="something else"):
            signing.verify(signature, juliet.public, typ)


def test_a_signature_fails_for_another_payload_header_or_key():
    juliet = person("juliet")
    made = signing.sign(juliet, b"x", {})
    other = signing.sign(juliet, b"y", {"typ": "JOSE"})
    for changed in (
        evolve(made, data=other.data),
        evolve(made, header=other.header),
        evolve(made, signature=""),
    ):
        with pytest.raises(VerificationError):
            signing.verify(changed, juliet.public)
    with pytest.raises(VerificationError):
        signing.verify(made, person("romeo").public)
