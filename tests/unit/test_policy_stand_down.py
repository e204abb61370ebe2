"""A stanza counts as encrypted by the client only whole: each wire form is tried, and then spoilt in one place."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from e2eproxy.proxy import openpgp_packets, otr_text
from e2eproxy.proxy.stand_down import HINT, SYSTEMS, encrypted
from e2eproxy.xmpp.tree import parse

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
UUID = "1f0ec9a4-7c35-4dbe-8f3b-0a4c6d0f1b2e"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def seen(content: str, speaks=(), name="message", attributes="to='j@x.test'"):
    return encrypted(parse(ROOT, f"<{name} {attributes}>{content}</{name}>".encode()), speaks)


def data(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


HEADER_3 = b"\x00\x03\x03" + struct.pack(">II", 0x100, 0x101)
TAIL = (
    b"\x00"
    + struct.pack(">II", 1, 2)
    + data(b"\x05")
    + b"\0" * 7
    + b"\1"
    + data(b"secret")
    + b"m" * 20
    + data(b"")
)
OTR_DATA = HEADER_3 + TAIL
OTR = f"?OTR:{b64(OTR_DATA)}."


def otr(raw: bytes) -> str:
    return f"?OTR:{b64(raw)}."


COMMIT = b"\x00\x02\x02" + data(b"x" * 196) + data(b"h" * 32)
KEY = b"\x00\x02\x0a" + data(b"y" * 192)
REVEAL = b"\x00\x02\x11" + data(b"r" * 16) + data(b"s" * 400) + b"m" * 20
SIGNATURE = b"\x00\x02\x12" + data(b"s" * 400) + b"m" * 20


@pytest.mark.parametrize("raw", [OTR_DATA, b"\x00\x02\x03" + TAIL, COMMIT, KEY, REVEAL, SIGNATURE])
def test_otr_messages_are_known_to_their_last_field(raw):
    assert otr_text.is_encoded(otr(raw))
    found = seen(f"<body>{otr(raw)}</body>")
    assert found.systems == ("otr",)
    assert found.payload == f"<body>{otr(raw)}</body>".encode()
    assert not otr_text.is_encoded(otr(raw + b"!"))
    assert not otr_text.is_encoded(otr(raw + b"\0"))
    for cut in range(len(raw)):
        assert not otr_text.is_encoded(otr(raw[:cut])), cut


@pytest.mark.parametrize(
    "body",
    [
        "?OTR:" + b64(b"a sentence of the user") + ".",
        f"?OTR:{b64(OTR_DATA)}",
        f" {OTR}",
        f"{OTR} ",
        f"{OTR}\n",
        f"{OTR}{OTR}",
        f"hi {OTR}",
        f"{OTR} hi",
        OTR.replace("?OTR:", "?OTR: "),
        otr(b"\x00\x04\x03" + TAIL),
        otr(b"\x00\x01\x03" + TAIL),
        otr(b"\x00\x02\x04" + TAIL),
        otr(b"\x01\x02\x03" + TAIL),
        "?OTR:.",
        "?OTR:AAI.",
        "?OTR:AAID.",
        "?OTR:A.",
        "?OTR:AAMD?.",
        "?OTR Error: hi",
        "?OTRv23? hi",
        "?OTR? hi",
        "?OTRv23? This user has requested something else.",
        "?OTRvhi?",
        "?OTRv23",
        "?OTRv232323232?",
        "?otrv23?",
        "?OTR",
        "hi ?OTRv23?",
        "hi \t  \t\t\t\t \t \t \t    \t\t  \t ",
        "?OTR,1,2,?OTR:AAMD,",
    ],
)
def test_what_only_begins_like_otr_is_text(body):
    assert seen(f"<body>{body}</body>") is None


LIBOTR = (
    '{query}\n<b>{who}</b> has requested an <a href="https://otr.cypherpunks.ca/">Off-the-Record private conversation</a>.  '
    "However, you do not have a plugin to support that.\n{how}See "
    '<a href="https://otr.cypherpunks.ca/">https://otr.cypherpunks.ca/</a> for more information.'
)
DEBIAN = "If you are using Pidgin in Debian or Ubuntu,install the pidgin-otr package.\n"
PROFANITY = (
    "{query} This user has requested an Off-the-Record private conversation. However, you do not have a plugin to support "
    "that. See http://otr.cypherpunks.ca/ for more information."
)


@pytest.mark.parametrize(
    "query", ["?OTR?", "?OTRv2?", "?OTRv23?", "?OTR?v2?", "?OTRv4x?", "?OTRv?", "?OTRv12345678?"]
)
def test_a_query_leaves_without_its_sentence_for_people(query):
    libotr = LIBOTR.format(query=query, who="romeo@example.test", how=DEBIAN)
    for body in (query, query + "\n", libotr, libotr.replace(DEBIAN, ""), PROFANITY.format(query=query)):
        assert otr_text.query(body) == query
    escaped = libotr.replace("<", "&lt;")
    assert seen(f"<body>{escaped}</body>").payload == f"<body>{query}</body>".encode()
    assert otr_text.query(libotr + " hi") is None
    assert otr_text.query(libotr.replace("romeo@", "meet me @")) is None


@pytest.mark.parametrize(
    ("piece", "is_one"),
    [
        ("?OTR,1,2,?OTR:AAMD,", True),
        ("?OTR,1,3,?OTR:,", True),
        ("?OTR,1,3,?OT,", True),
        ("?OTR,2,3,abcd,", True),
        ("?OTR,3,3,ab=.,", True),
        ("?OTR,3,3,.,", True),
        ("?OTR|5a73a599|27e31597,00001,00002,?OTR:AAMD,", True),
        ("?OTR,1,65535,?OTR:AAMD,", True),
        (f"?OTR,1,1,{OTR},", True),
        ("?OTR,1,1,?OTR:AAMD.,", False),
        ("?OTR,1,65536,?OTR:AAMD,", False),
        ("?OTR,0,2,abcd,", False),
        ("?OTR,3,2,abcd.,", False),
        ("?OTR,2,3,abcd.,", False),
        ("?OTR,3,3,abcd,", False),
        ("?OTR,2,3,?OTR:abcd,", False),
        ("?OTR,1,3,abcd,", False),
        ("?OTR,1,3,hi,", False),
        ("?OTR,2,3,hi there,", False),
        ("?OTR,2,3,ab:cd,", False),
        ("?OTR,2,3,abcd", False),
        ("?OTR,2,3,abcd, hi", False),
        ("?OTR|5a73a5999|27e31597,1,2,?OTR:AAMD,", False),
        ("?OTR|hi|27e31597,1,2,?OTR:AAMD,", False),
    ],
)
def test_fragments_count_from_clients_that_speak_otr(piece, is_one):
    assert otr_text.is_fragment(piece) is is_one
    assert (seen(f"<body>{piece}</body>", speaks={"otr"}) is not None) is is_one
    assert seen(f"<body>{piece}</body>", speaks={"omemo"}) is None


# -- OpenPGP -------------------------------------------------------------------------------------------------------


def packet(tag: int, body: bytes, form: str = "new") -> bytes:
    if form == "old":
        return bytes([0x80 | tag << 2 | 1]) + struct.pack(">H", len(body)) + body
    if form == "old-1":
        return bytes([0x80 | tag << 2]) + bytes([len(body)]) + body
    if form == "old-4":
        return bytes([0x80 | tag << 2 | 2]) + struct.pack(">I", len(body)) + body
    if len(body) < 192:
        return bytes([0xC0 | tag, len(body)]) + body
    if len(body) < 8384:
        rest = len(body) - 192
        return bytes([0xC0 | tag, 192 + (rest >> 8), rest & 0xFF]) + body
    return bytes([0xC0 | tag, 255]) + struct.pack(">I", len(body)) + body


def partial(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 224 + 9]) + body[:512] + packet(tag, body[512:])[1:]


SESSION = packet(1, b"k" * 140, "old-1")
PGP = SESSION + packet(18, b"c" * 60)


@pytest.mark.parametrize(
    "message",
    [
        PGP,
        SESSION + SESSION + packet(18, b"c" * 60),
        packet(3, b"k" * 13) + packet(18, b"c" * 16),
        packet(3, b"k" * 13) + packet(20, b"c" * 16),
        packet(1, b"k" * 300, "old") + packet(9, b"c" * 300, "old"),
        packet(1, b"k" * 191) + packet(18, b"c" * 192),
        packet(1, b"k" * 192) + packet(18, b"c" * 8383),
        packet(1, b"k" * 4096) + packet(18, b"c" * 8384),
        packet(1, b"k" * 300, "old-4") + packet(18, b"c" * 20000),
        SESSION + partial(18, b"c" * 700),
        SESSION + partial(18, b"c" * 512),
        SESSION + b"\xd2\xe0c\xe1cc" + packet(18, b"c" * 60)[1:],
    ],
)
def test_whole_openpgp_messages_are_encrypted(message):
    assert openpgp_packets.is_encrypted(message)
    assert not openpgp_packets.is_encrypted(message + b"!")
    assert not openpgp_packets.is_encrypted(message + b"\xca\x01x")
    assert not openpgp_packets.is_encrypted(b"!" + message)
    for cut in {*range(20), len(message) // 2, len(message) - 1}:
        assert not openpgp_packets.is_encrypted(message[:cut]), cut


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"a sentence of the user",
        SESSION,
        packet(18, b"c" * 60),
        SESSION + packet(11, b"a literal, in clear" * 3),
        packet(11, b"a literal" * 9) + PGP,
        packet(2, b"a signature" * 9) + PGP,
        SESSION + packet(8, b"compressed" * 3),
        SESSION + packet(18, b"c" * 15),
        packet(1, b"k" * 4097) + packet(18, b"c" * 60),
        SESSION + bytes([0x80 | 9 << 2 | 3]) + b"c" * 60,
        SESSION + bytes([0x80 | 9 << 2 | 3, 59]) + b"c" * 59,
        bytes([SESSION[0] & 0x7F]) + SESSION[1:] + packet(18, b"c" * 60),
        b"\x05\x00\x8c" + b"k" * 140 + packet(18, b"c" * 60),
        SESSION + bytes([0x52, 60]) + b"c" * 60,
        PGP + PGP,
        SESSION + b"\xd2",
        SESSION + b"\xd2\xfe\0\0\0\x3c" + b"c" * 60,
        SESSION + b"\xd2\xff\0\0",
        SESSION + b"\xd2\xff\1\0\0\x3c" + b"c" * 60,
        SESSION + b"\xd2\xe9" + b"c" * 512,
        SESSION + b"\xd2\xe9" + b"c" * 100,
    ],
)
def test_other_bytes_are_not(message):
    assert not openpgp_packets.is_encrypted(message)


def crc24(raw: bytes) -> bytes:
    # Bit by bit over the whole message as one polynomial: another way than the one that is tested.
    value = int.from_bytes(bytes([raw[0] ^ 0xB7, raw[1] ^ 0x04, raw[2] ^ 0xCE]) + raw[3:] + b"\0\0\0", "big")
    for bit in range(len(raw) * 8 + 23, 23, -1):
        if value >> bit & 1:
            value ^= 0x1864CFB << (bit - 24)
    return value.to_bytes(3, "big")


def lines(text: str) -> str:
    return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))


def test_xep_0027_with_and_without_a_checksum():
    for armour in (
        lines(b64(PGP)),
        lines(b64(PGP)) + "\n=" + b64(crc24(PGP)),
        "\r\n" + lines(b64(PGP)) + "\n",
    ):
        found = seen(f"<body>clear</body><x xmlns='jabber:x:encrypted'>{armour}</x>")
        assert found.systems == ("xep-0027",)
        assert b"clear" not in found.payload
        assert HINT.encode() in found.payload
    for spoilt in (
        lines(b64(SESSION)) + "\n=" + b64(crc24(SESSION)),
        lines(b64(PGP)) + "=" + b64(crc24(PGP)),
        lines(b64(PGP)) + "\n=" + b64(crc24(PGP)) + "AAAA",
        lines(b64(PGP)) + "\n=AAAA",
        lines(b64(PGP)) + "\n=hiya",
        "Comment: hi\n\n" + lines(b64(PGP)),
        lines(b64(PGP)) + "\nhi",
        "=AAAA",
        "hi",
        "",
        lines(b64(SESSION)),
    ):
        assert seen(f"<body>clear</body><x xmlns='jabber:x:encrypted'>{spoilt}</x>") is None


def test_ox():
    found = seen(f"<openpgp xmlns='urn:xmpp:openpgp:0'>{b64(PGP)}</openpgp>")
    assert found.systems == ("ox",)
    assert found.payload == f"<openpgp xmlns='urn:xmpp:openpgp:0'>{b64(PGP)}</openpgp>".encode()
    assert seen(f"<openpgp xmlns='urn:xmpp:openpgp:0'>{b64(PGP)}=</openpgp>") is None
    for spoilt in (
        b64(SESSION),
        b64(b"a sentence of the user"),
        b64(packet(11, b"in clear" * 9)),
        "a sentence",
        "",
    ):
        assert seen(f"<openpgp xmlns='urn:xmpp:openpgp:0'>{spoilt}</openpgp>") is None
    assert seen(f"<openpgp xmlns='urn:xmpp:openpgp:0' note='hi'>{b64(PGP)}</openpgp>") is None


# -- the others ----------------------------------------------------------------------------------------------------

CURRENT = (
    "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='27183'><keys jid='j@x.test'><key rid='31415' kex='true'>aGk=</key>"
    "<key rid='2'>aGk=</key></keys><keys jid='romeo@example.test'><key rid='1337'>aGk=</key></keys></header>"
    "<payload>aGk=</payload></encrypted>"
)
LEGACY = (
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'><key rid='31415' prekey='true'>aGk=</key>"
    "<key rid='2'>aGk=</key><iv>aGk=</iv></header><payload>aGk=</payload></encrypted>"
)


@pytest.mark.parametrize(("system", "whole"), [("omemo", CURRENT), ("omemo-legacy", LEGACY)])
def test_omemo(system, whole):
    assert seen(whole).systems == (system,)
    assert seen(whole).payload == whole.encode()
    assert seen(whole.replace("<payload>aGk=</payload>", "")).systems == (system,)
    with_body = seen(whole + "<body>clear</body><store xmlns='urn:xmpp:hints'/>")
    assert with_body.payload == whole.encode() + f"<body>{HINT}</body>".encode()
    for good, bad in (
        ("aGk=", "a sentence"),
        ("aGk=", ""),
        ("aGk=", "aGk"),
        ("sid='27183'", "sid='hi'"),
        ("sid='27183'", ""),
        ("sid='27183'", "sid='27183' note='hi'"),
        ("rid='2'", ""),
        ("rid='2'", "rid='hi'"),
        ("rid='2'", "rid='2' note='hi'"),
        ("='true'", "='hi'"),
        ("<payload>", "hi<payload>"),
        ("<payload>", "<note>aGk=</note><payload>"),
        ("<payload>aGk=</payload>", "<payload>aGk=</payload><payload>aGk=</payload>"),
        ("<header ", "<header xml:lang='hi' "),
        ("<encrypted ", "<encrypted note='hi' "),
    ):
        assert good in whole
        assert seen(whole.replace(good, bad)) is None, (good, bad)


@pytest.mark.parametrize(
    ("word", "counts"), [("true", True), ("false", True), ("1", True), ("0", True), ("yes", False)]
)
def test_omemo_marks_are_booleans(word, counts):
    assert (seen(CURRENT.replace("'true'", f"'{word}'")) is not None) is counts


def test_a_message_has_no_end_of_keys():
    key = "<key rid='2'>aGk=</key>"
    assert seen(LEGACY.replace(key, key * 1999)) is not None
    assert seen(LEGACY.replace(key, key * 2000)) is None


def test_omemo_has_to_be_complete():
    for namespace in ("urn:xmpp:omemo:2", "eu.siacs.conversations.axolotl", "urn:xmpp:omemo:1"):
        assert seen(f"<encrypted xmlns='{namespace}'/><body>clear</body>") is None
        assert seen(f"<encrypted xmlns='{namespace}'><header sid='1'/></encrypted>") is None
        assert seen(f"<encrypted xmlns='{namespace}'><payload>aGk=</payload></encrypted>") is None
    assert seen(LEGACY.replace("<iv>aGk=</iv>", "")) is None
    assert (
        seen(LEGACY.replace("<key rid='31415' prekey='true'>aGk=</key><key rid='2'>aGk=</key>", "")) is None
    )
    assert seen(CURRENT.replace("<key rid='1337'>aGk=</key>", "")) is None
    assert seen(CURRENT.replace("jid='j@x.test'", "jid='j@x.test/hi there'")) is None
    assert seen(CURRENT.replace("jid='j@x.test'", "jid='@'")) is None
    assert seen(CURRENT.replace("jid='j@x.test'", "")) is None


def header(**more) -> str:
    return url(json.dumps({"alg": "A256KW", "enc": "A256CBC-HS512", "kid": UUID} | more).encode())


def miller(head: str = header(), kind: str = "type='enc'", sid: str = UUID) -> str:
    rest = "".join(f"<{one}>{url(one.encode())}</{one}>" for one in ("cmk", "iv", "data", "mac"))
    return f"<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e:6' {kind} id='{sid}'><encheader>{head}</encheader>{rest}</e2e>"


def test_miller_e2e():
    assert seen(miller()).systems == ("miller-e2e",)
    assert seen(miller(), name="iq", attributes="type='set' id='1' to='j@x.test/r'").systems == (
        "miller-e2e",
    )
    assert seen(miller(url(b'{"enc":"A128GCM","alg":"dir"}'))).systems == ("miller-e2e",)
    for head in (
        header(note="hi"),
        header(kid="hi"),
        header(kid=7),
        header(alg="none"),
        header(enc="hi"),
        header(enc=["A128GCM"]),
        url(b'{"alg":"hi","alg":"A256KW","enc":"A128GCM"}'),
        url(b'{"alg":"A256KW","alg":"A128KW","enc":"A128GCM"}'),
        url(b'{"alg":"A256KW"}'),
        url(b'{"enc":"A128GCM"}'),
        url(b'["alg","enc"]'),
        url(b'[["alg","A256KW"],["enc","A128GCM"]]'),
        url(b'"A256KW"'),
        url(b"7"),
        url(b"[]"),
        url(b"{}"),
        url(b"hi"),
        url(b"\xff"),
        url(b"[" * 100_000),
        "a sentence",
        "",
        "A",
    ):
        assert seen(miller(head)) is None, head
    assert seen(miller(kind="type='sig'")) is None
    assert seen(miller(kind="")) is None
    assert seen(miller(kind="type='enc' note='hi'")) is None
    assert seen(miller(sid="hi")) is None
    assert seen(miller().replace(f" id='{UUID}'", "")) is None
    for one in ("encheader", "cmk", "iv", "data", "mac"):
        start, end = miller().index(f"<{one}>"), miller().index(f"</{one}>") + len(one) + 3
        assert seen(miller()[:start] + miller()[end:]) is None, one
        assert seen(miller().replace(f"<{one}>", f"<{one}>hi there!")) is None, one


@pytest.mark.parametrize("alg", ["A128KW", "A192KW", "A256KW", "dir"])
@pytest.mark.parametrize(
    "enc", ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"]
)
def test_algorithms_of_miller_e2e(alg, enc):
    assert seen(miller(header(alg=alg, enc=enc))) is not None


def der(body: bytes, oid: bytes = bytes.fromhex("06092a864886f70d010703")) -> bytes:
    body = oid + body
    if len(body) < 128:
        return bytes([0x30, len(body)]) + body
    if len(body) < 256:
        return bytes([0x30, 0x81, len(body)]) + body
    return b"\x30\x82" + struct.pack(">H", len(body)) + body


def test_rfc_3923():
    for whole in (der(b"x" * 40), der(b"x" * 116), der(b"x" * 117), der(b"x" * 240), der(b"x" * 400), PGP):
        text = f"<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'><![CDATA[{lines(b64(whole))}]]></e2e>"
        assert seen(text).systems == ("rfc3923",)
        assert seen(text, name="presence", attributes="to='j@x.test'").systems == ("rfc3923",)
    for spoilt in (
        b64(der(b"x" * 40) + b"!"),
        b64(der(b"x" * 40)[:-1]),
        b64(der(b"x" * 40, bytes.fromhex("06092a864886f70d010702"))),
        b64(b"\x30\x03hi!"),
        b64(b"0"),
        b64(b"\x30\x84"),
        "Content-Type: multipart/signed\n\nhi",
        "",
    ):
        assert seen(f"<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>{spoilt}</e2e>") is None


def test_a_stanza_counts_only_whole():
    assert seen(LEGACY + CURRENT).systems == ("omemo-legacy", "omemo")
    assert seen(LEGACY + CURRENT).payload == (LEGACY + CURRENT).encode()
    assert seen(LEGACY + LEGACY) is None
    assert seen(LEGACY + "<encrypted xmlns='urn:xmpp:omemo:2'/>") is None
    assert seen("hi" + LEGACY) is None
    assert seen(LEGACY, attributes="type='error' to='j@x.test'") is None
    assert seen(LEGACY + "<x xmlns='hi'/>", name="iq", attributes="type='set' id='1'") is None
    assert seen(f"<body>{OTR}</body><body xml:lang='de'>hi</body>") is None
    assert seen(f"<body>{OTR}<x/></body>") is None
    assert seen(f"<body>{OTR}</body><encrypted xmlns='urn:xmpp:omemo:2'/>") is None
    assert seen(f"<body>{OTR}</body>", name="iq", attributes="type='set' id='1'") is None
    assert seen("") is None
    assert seen("<body>hi</body>") is None


def test_systems_have_names_and_namespaces():
    assert SYSTEMS == {
        "otr": "urn:xmpp:otr:0",
        "omemo": "urn:xmpp:omemo:2",
        "omemo-legacy": "eu.siacs.conversations.axolotl",
        "ox": "urn:xmpp:openpgp:0",
        "xep-0027": "jabber:x:encrypted",
        "miller-e2e": "urn:ietf:params:xml:ns:xmpp-e2e:6",
        "rfc3923": "urn:ietf:params:xml:ns:xmpp-e2e",
    }
