"""What a peer writes is read within bounds: base64url, JSON, JOSE headers, the draft's elements, the envelope."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from bed.miller_values import MAPPING, SID, encrypted

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.miller import envelope, fields, headers, keys, wire
from e2eproxy.methods.miller.failures import DecryptionError, FailedError, TimestampError, VerificationError
from e2eproxy.xmpp.spans import read
from e2eproxy.xmpp.stanza import element


def text(header) -> str:
    return fields.encode(header if isinstance(header, bytes) else json.dumps(header).encode())


# ---- base64url ----


@pytest.mark.parametrize(
    ("written", "octets"),
    [
        ("", b""),
        ("AQ", b"\1"),
        ("AQ==", b"\1"),
        (" A\n\tQ\r ", b"\1"),
        ("_-8=", b"\xff\xef"),
        ("AQID", b"\1\2\3"),
    ],
)
def test_white_space_and_padding_may_be_there(written, octets):
    assert fields.decode(fields.bare(written, 10, MethodError)) == octets


@pytest.mark.parametrize(
    "written",
    [
        "A",
        "AQ=",
        "AQ===",
        "=",
        "A=Q",
        "AR",
        "A+8",
        "A/8",
        "AQ.",
        "A\u00a0Q",
        "A\vQ",
        "ÄQ",
        "AQIDBAUGBwgJCgsM",
        "A" * 200,
    ],
)
def test_anything_else_is_refused(written):
    with pytest.raises(DecryptionError):
        fields.bare(written, 10, DecryptionError)


# ---- JSON ----


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\\ud800"}',
        b'\xff{"a":1}',
        b'{"a":' + b"[" * 10 + b"]" * 10 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 100_000,
        b'{"a":' + b"1" * 10_000 + b"}",
    ],
)
def test_json_is_one_object_without_surprises(written):
    with pytest.raises(DecryptionError):
        fields.json_object(written, DecryptionError)


# ---- headers ----

GOOD = {"alg": "A256KW", "enc": "A256CBC-HS512", "kid": SID}
SIGNED = {"alg": "RS256", "kid": "x"}


@pytest.mark.parametrize("alg", headers.WRAPPINGS)
@pytest.mark.parametrize("enc", headers.CONTENT)
def test_the_algorithms_in_use_are_taken(alg, enc):
    assert headers.of_stanza(text({"alg": alg, "enc": enc}), SID) == headers.Encryption(alg=alg, enc=enc)


def without(members, name):
    return {key: value for key, value in members.items() if key != name}


@pytest.mark.parametrize(
    "header",
    [
        without(GOOD, "alg"),
        without(GOOD, "enc"),
        GOOD | {"alg": "none"},
        GOOD | {"alg": "dir"},
        GOOD | {"alg": "RSA-OAEP"},
        GOOD | {"alg": "PBES2-HS256+A128KW"},
        GOOD | {"alg": ["A256KW"]},
        GOOD | {"alg": None},
        GOOD | {"enc": "A256CBC+HS512"},
        GOOD | {"enc": "A192GCM"},
        GOOD | {"enc": 5},
        GOOD | {"kid": "another"},
        GOOD | {"kid": 7},
        GOOD | {"kid": None},
        GOOD | {"cty": "jwk+json"},
        *(
            GOOD | {name: value}
            for name, value in [("crit", ["exp"]), ("crit", []), ("zip", "DEF"), ("b64", False)]
        ),
        *(GOOD | {name: "https://example.test/"} for name in ("jku", "x5u", "unknown", "p2c", "epk", "iv")),
        GOOD | {"typ": "x" * 2000},
        b"no JSON",
    ],
)
def test_other_headers_of_what_is_encrypted_are_refused(header):
    with pytest.raises(DecryptionError):
        headers.of_stanza(text(header), SID)


def test_a_header_that_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(DecryptionError, match="longer"):
        headers.of_stanza(text(json.dumps(GOOD).encode() + b" " * headers.LONGEST), SID)


def test_dir_and_rsa15_are_options():
    direct = text({"alg": "dir", "enc": "A128GCM"})
    assert headers.of_stanza(direct, SID, direct=True).alg == "dir"
    old = text({"alg": "RSA1_5", "enc": "A128GCM"})
    assert headers.of_key(old, rsa15=True).alg == "RSA1_5"
    with pytest.raises(DecryptionError):
        headers.of_key(old)


@pytest.mark.parametrize("content", ["jwk+json", "application/jwk+json", None])
def test_a_wrapped_key_says_so_in_either_way_or_not_at_all(content):
    header = {"alg": "RSA-OAEP", "enc": "A128GCM"} | ({"cty": content} if content else {})
    assert headers.of_key(text(header)).alg == "RSA-OAEP"


@pytest.mark.parametrize("alg", headers.SIGNATURES)
def test_the_signatures_in_use_are_taken(alg):
    assert headers.of_signature(text({"alg": alg})).alg == alg


@pytest.mark.parametrize(
    "header",
    [
        {},
        SIGNED | {"alg": "none"},
        SIGNED | {"alg": "HS256"},
        SIGNED | {"alg": "R256"},
        SIGNED | {"alg": "EdDSA"},
        SIGNED | {"crit": ["b64"], "b64": False},
        SIGNED | {"b64": True},
        SIGNED | {"jku": "https://example.test/"},
        SIGNED | {"x5u": "https://example.test/"},
        SIGNED | {"jwk": "x"},
        SIGNED | {"x5c": "x"},
        SIGNED | {"x5c": [1]},
        SIGNED | {"kid": {}},
        SIGNED | {headers.READ: 1},
        SIGNED | {"more": 1},
    ],
)
def test_other_headers_of_signatures_are_refused(header):
    with pytest.raises(VerificationError):
        headers.of_signature(text(header))


# ---- keys ----


def test_a_thumbprint_is_that_of_rfc_7638_and_does_not_depend_on_the_spelling():
    # RFC 7638 section 3.1
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn"
        "1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = keys.public_key({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    padded = keys.public_key({"kty": "RSA", "n": fields.encode(b"\0" + fields.decode(n)), "e": "AAEAAQ"})
    assert padded == key
    assert padded.thumbprint == key.thumbprint
    assert keys.stored_key(key.encoded) == key
    assert key.fingerprint.text.replace(" ", "").lower() == fields.decode(key.thumbprint).hex()


_ODD = (2**2048 - 1).to_bytes(256, "big")


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AA"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "n": fields.encode(_ODD)},
        {"kty": "RSA", "n": fields.encode(_ODD[:128]), "e": "AQAB"},
        {"kty": "RSA", "n": fields.encode(_ODD * 5), "e": "AQAB"},
        {"kty": "RSA", "n": fields.encode(_ODD[:-1] + b"\xfe"), "e": "AQAB"},
        {"kty": "RSA", "n": fields.encode(_ODD), "e": "AQ"},
        {"kty": "RSA", "n": fields.encode(_ODD), "e": fields.encode(b"\1" * 8)},
        {"kty": "RSA", "n": fields.encode(_ODD) + "\n", "e": "AQAB"},
        {"kty": "RSA", "n": fields.encode(_ODD), "e": "AQAB", "kid": 5},
        {"kty": "RSA", "n": fields.encode(_ODD), "e": "AQAB", headers.VOUCHED: ["x"] * 5},
        {"kty": "RSA", "n": fields.encode(_ODD), "e": "AQAB", headers.DEVICE: "x" * 5000},
        {"kty": "EC", "crv": "P-256", "x": fields.encode(bytes(32)), "y": fields.encode(bytes(32))},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-521", "x": fields.encode(bytes(66)), "y": fields.encode(bytes(66))},
    ],
)
def test_keys_of_other_kinds_and_sizes_are_refused(jwk):
    with pytest.raises(MethodError):
        keys.public_key(jwk)


# ---- elements ----

SEALED = encrypted(MAPPING["A256KW/A256CBC-HS512"])


def test_what_is_written_is_read_again():
    assert wire.layer_of(read(SEALED.to_bytes())) == SEALED
    signature = wire.Signed(header="AQ", data="AQID", signature="AQ")
    assert wire.layer_of(read(signature.to_bytes())) == signature
    asked = read(wire.request(SID, b'{"keys":[]}'))
    assert (wire.sid_of(asked, MethodError), wire.keys_of(asked)) == (SID, b'{"keys":[]}')
    assert wire.wrapped_key(read(wire.answer(SEALED)), SID) == SEALED


def test_the_type_may_be_missing_and_the_text_wrapped():
    written = (
        SEALED.to_bytes()
        .replace(b" type='enc'", b"")
        .replace(b"<iv>", b"\n  <iv>\n    ")
        .replace(b"</iv>", b"==\n</iv>")
    )
    assert wire.layer_of(read(written)) == SEALED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"type='enc'", b"type='zip'"),
        (b"type='enc'", b"type='sig'"),
        (b"id='" + SID.encode(), b"id='"),
        (b"id='" + SID.encode(), b"id='" + b"x" * 200),
        (b"<iv>", b"<iv>."),
        (b"<iv>", b"<iv/><iv>"),
        (b"<iv>", b"<more/><iv>"),
        (b"<iv>", b"<iv><x/>"),
        (b"<iv>", b"<!-- -->text<iv>"),
        (b"<iv>", b"<iv>AAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        (b"<mac>", b"<mac xmlns='urn:other'>"),
        (b"encheader>", b"header>"),
    ],
)
def test_other_elements_are_refused(old, new):
    assert old in SEALED.to_bytes()
    with pytest.raises(FailedError):
        wire.layer_of(read(SEALED.to_bytes().replace(old, new)))


def test_too_large_a_part_is_refused():
    with pytest.raises(DecryptionError, match="longer"):
        wire.layer_of(read(evolve(SEALED, key="A" * 4000).to_bytes()))


# ---- the envelope ----

STANZA = element("message", {"xmlns": "jabber:client", "to": "b@two.test"}, b"<body>x</body>")


def test_an_envelope_has_a_time_in_milliseconds_and_the_stanza_as_it_was():
    written = envelope.enclose(STANZA, 1795426200123)
    assert b"stamp='2026-11-23T09:30:00.123Z'" in written
    found = envelope.disclose(written)
    assert (found.at, found.stanza.raw) == (1795426200.123, STANZA)


def test_a_stanza_in_an_envelope_may_take_its_namespaces_from_there():
    written = (
        envelope.enclose(STANZA, 0)
        .replace(b"<message xmlns='jabber:client'", b"<c:message")
        .replace(b"</message>", b"</c:message>")
    )
    found = envelope.disclose(written.replace(b"<forwarded", b"<forwarded xmlns:c='jabber:client'"))
    assert found.stanza.to == "b@two.test"


DELAY = b"<delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:00.000Z'/>"


@pytest.mark.parametrize(
    "written",
    [
        b"",
        STANZA,
        b"<!DOCTYPE x><forwarded xmlns='urn:xmpp:forward:0'>" + DELAY + STANZA + b"</forwarded>",
        b"<forwarded xmlns='urn:xmpp:forward:0'>" + DELAY + STANZA + STANZA + b"</forwarded>",
        b"<forwarded xmlns='urn:xmpp:forward:0'>" + DELAY + DELAY + STANZA + b"</forwarded>",
        b"<forwarded xmlns='urn:xmpp:forward:0'>" + DELAY + b"</forwarded>",
        b"<forwarded xmlns='urn:xmpp:forward:0'>" + STANZA + b"</forwarded>",
        b"<forwarded xmlns='urn:xmpp:forward:0'>text" + DELAY + STANZA + b"</forwarded>",
        b"<forwarded xmlns='urn:xmpp:forward:0'>" + DELAY + b"<message/></forwarded>",
        b"<forwarded>" + DELAY + STANZA + b"</forwarded>",
        envelope.enclose(STANZA, 0) * 2,
        envelope.enclose(STANZA, 0)[:-1],
        envelope.enclose(b"<message xmlns='jabber:client'>" + b"<x>" * 70 + b"</x>" * 70 + b"</message>", 0),
        envelope.enclose(b"<message xmlns='jabber:client'>" + b"<x/>" * 20_001 + b"</message>", 0),
        envelope.enclose(STANZA.replace(b"x</body>", b"\xff</body>"), 0),
        envelope.enclose(STANZA.replace(b"x</body>", b"&bomb;</body>"), 0),
        envelope.enclose(STANZA, 0).replace(b"forwarded", b"fowarded"),
    ],
)
def test_other_envelopes_are_refused(written):
    with pytest.raises(DecryptionError):
        envelope.disclose(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "x",
        "2026-11-23",
        "2026-11-23T09:30:00",
        "2026-11-23T09:30:00+00:00",
        "2026-13-23T09:30:00Z",
        "\uff12026-11-23T09:30:00Z",
    ],
)
def test_other_times_are_refused(written):
    with pytest.raises(TimestampError):
        envelope.seconds(written)
