"""Key files of other OTR programs: what is in them is taken over, what is none of them ends in one clear line."""

from __future__ import annotations

import random
import time
from base64 import b64decode, b64encode

import pytest
from bed.guard_world import ROMEO, World
from bed.otr_pair import identity
from bed.otr_transcript import PLACE
from twisted.internet.defer import maybeDeferred

from e2eproxy.control import otr_keys
from e2eproxy.control.api import Asker
from e2eproxy.control.lines import Request
from e2eproxy.control.table import BY_NAME
from e2eproxy.control.words import Face
from e2eproxy.errors import LocalError
from e2eproxy.methods.otr import key_files, s_expressions
from e2eproxy.methods.otr.arithmetic import inverse
from e2eproxy.methods.otr.identity import PrivateKey, PublicKey
from e2eproxy.methods.otr.key_files import KeyFileError, read
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.trust.values import Decision, Fingerprint
from e2eproxy.xmpp.jid import JID

ALICE, BOB = JID.parse("alice@example.org"), JID.parse("bob@example.org")
KEY = identity("of a file")
DIGITS = "3ad92f3921173cf5a16a8b9fba12c1228865e74f"
NAME = Fingerprint("otr", "3AD92F39 21173CF5 A16A8B9F BA12C122 8865E74F")


def sample(who, ending):
    return (PLACE / f"libotr-{who}.otr.{ending}").read_bytes()


def found(raw, form="libotr", account=ALICE):
    return read(raw, form, account, random.Random(1).randbytes)


def entry(name, numbers, protocol="prpl-jabber"):
    inside = " ".join(f"({one} #{value}#)" for one, value in numbers.items())
    return f"(account (name {name}) (protocol {protocol}) (private-key (dsa {inside})))".encode()


def numbers_of(key, **others):
    numbers = {
        "p": key.public.p,
        "q": key.public.q,
        "g": key.public.g,
        "y": key.public.y,
        "x": key.x,
        **others,
    }
    return {name: f"{number:x}".zfill(len(f"{number:x}") // 2 * 2 + 2) for name, number in numbers.items()}


def privkeys(*entries):
    return b"(privkeys " + b"\n".join(entries) + b")"


# ---- what is read ----


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_libotr_s_own_files_are_read(who):
    account, other = (ALICE, BOB) if who == "alice" else (BOB, ALICE)
    key = found(sample(who, "private_key"), account=account).key
    (seen,) = found(sample(who, "fingerprints"), account=account).seen
    assert (seen.contact, seen.trust) == (other, "smp")
    theirs = found(sample("bob" if who == "alice" else "alice", "private_key"), account=other).key
    assert seen.fingerprint.text == theirs.public.fingerprint
    tag = found(sample(who, "instance_tags"), account=account).tag
    assert f"{tag:08x}".encode() in sample(who, "instance_tags")
    assert key.public.fingerprint != theirs.public.fingerprint


@pytest.mark.parametrize(
    "name", ['"alice@example.org"', "alice@example.org", '"Alice@Example.ORG/Pidgin"', "|YWxpY2VAZXhhbXBsZS5vcmc=|", '"\\x61lice@example.org"', '"\\141lice@example.org"']
)  # fmt: skip
@pytest.mark.parametrize("protocol", ["prpl-jabber", "xmpp", "XMPP", '"jabber"'])
def test_one_of_several_accounts_is_chosen_by_its_name_in_each_spelling(name, protocol):
    others = [entry(f"user{number}@example.org", numbers_of(identity("another"))) for number in range(3)]
    raw = privkeys(
        *others, entry(name, numbers_of(KEY), protocol), entry("12345", numbers_of(identity("x")), "prpl-icq")
    )
    assert found(raw).key == KEY


def test_numbers_may_be_broken_into_lines_and_begin_with_zeros():
    numbers = numbers_of(KEY)
    broken = {
        name: "\n   ".join(value[at : at + 8] for at in range(0, len(value), 8))
        for name, value in numbers.items()
    }
    assert found(privkeys(entry("alice@example.org", broken))).key == KEY


def test_potr_s_key_is_read():
    assert found(KEY.encoded(), "potr").key == KEY


@pytest.mark.parametrize("form", key_files.FORMS)
def test_fingerprints_are_read_with_what_was_thought_of_them(form):
    lines = [
        f"bob@example.org\talice@example.org\txmpp\t{DIGITS}\tverified",
        f"bob@example.org/phone\talice@example.org/desk\tprpl-jabber\t{DIGITS[::-1].upper()}\t",
        f"carol@example.org\talice@example.org\txmpp\t{DIGITS}",
        f"dave@example.org\tsomebody.else@example.org\txmpp\t{DIGITS}\tsmp",
        f"12345\t678\ticq\t{DIGITS}\tsmp",
        f"@@@\talice@example.org\txmpp\t{DIGITS}\tsmp",
        "nonsense",
    ]
    whole = found("\r\n".join(lines).encode(), form)
    assert [(str(one.contact), one.trust) for one in whole.seen] == [
        ("bob@example.org", "verified"),
        ("bob@example.org", ""),
        ("carol@example.org", ""),
    ]
    assert whole.seen[0].fingerprint == NAME
    assert whole.left == ("3 lines could not be read",)


def test_what_is_written_is_read_again():
    seen = (
        key_files.Seen(contact=BOB, fingerprint=NAME, trust="smp"),
        key_files.Seen(contact=BOB, fingerprint=NAME, trust=""),
    )
    assert found(key_files.private_key(str(ALICE), "xmpp", KEY)).key == KEY
    assert found(key_files.fingerprints(str(ALICE), "xmpp", seen)).seen == seen
    assert found(key_files.instance_tags(str(ALICE), "xmpp", 0xFFFFFFFF)).tag == 0xFFFFFFFF
    for text in ("plain", 'with "quotes" and \\', "a b"):
        assert s_expressions.parse(f"(x {s_expressions.quoted(text)})".encode()) == [b"x", text.encode()]


# ---- what is not ----


def composite(key):
    """A key whose p is no prime: twice the bits of nothing."""
    q = key.public.q
    p = q * (2**864) + 1
    return numbers_of(key, p=p)


BAD_KEYS = {
    "another x": (numbers_of(KEY, x=KEY.x ^ 2), "do not belong together"),
    "x of zero": (numbers_of(KEY, x=0), "do not belong together"),
    "x beyond q": (numbers_of(KEY, x=KEY.x + KEY.public.q), "do not belong together"),
    "another y": (numbers_of(KEY, y=KEY.public.y ^ 1), "do not belong together"),
    "g of one": (numbers_of(KEY, g=1, y=1), "do not belong together"),
    "g of another order": (numbers_of(KEY, g=2, y=pow(2, KEY.x, KEY.public.p)), "do not belong together"),
    "even q": (numbers_of(KEY, q=KEY.public.q + 1), "do not belong together"),
    "no prime": (composite(KEY), "do not belong together"),
    "small": (numbers_of(KEY, p=23, q=11, g=4, y=9), "size"),
    "huge q": (numbers_of(KEY, q=KEY.public.p), "size"),
    "huge p": (numbers_of(KEY, p=1 << 5000), "size"),
    "no p": ({name: value for name, value in numbers_of(KEY).items() if name != "p"}, "missing or too long"),
    "p of a megabyte": ({**numbers_of(KEY), "p": "FF" * 2**20}, "missing or too long"),
    "p twice": ({**numbers_of(KEY), "p": "00#) (p #11"}, "missing or too long"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_is_none_is_refused_and_soon(name):
    numbers, why = BAD_KEYS[name]
    began = time.process_time()
    with pytest.raises(KeyFileError, match=why) as caught:
        found(privkeys(entry("alice@example.org", numbers)))
    assert time.process_time() - began < 1
    one_line(caught.value)
    assert numbers_of(KEY)["x"][:12] not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"(" * 1_000_000, "too deep"),
        (b"(privkeys " + b"(a)" * 1_000_000 + b")", "too large"),
        (b'(privkeys "' + b"\\" * 1_000_001, "damaged"),
        (b'(privkeys "' + b"\\a" * 500_000, "damaged"),
        (b"(privkeys #" + b"0 " * 1_000_000, "damaged"),
        (b"(privkeys #0#)", "damaged"),
        (b"(privkeys |A|)", "damaged"),
        (b"(privkeys", "not complete"),
        (b"(privkeys))", "damaged"),
        (b"(privkeys) (privkeys)", "not complete"),
        (b"(keys)", "no otr.private_key"),
        (b"(privkeys)", "it has no account"),
        (b"(privkeys (account) () x (account (name)))", "Nothing in the file"),
        (privkeys(entry("bob@example.org", numbers_of(KEY))), "it has bob@example.org"),
        (privkeys(entry('"\\x1b[31m"', numbers_of(KEY))), "unreadable"),
        (privkeys(*(entry(f"u{n}@example.org", {}) for n in range(9))), "and 4 more"),
        (privkeys(entry(str(ALICE), numbers_of(KEY)), entry(str(ALICE), numbers_of(identity("x")))), "several different"),
        (privkeys(entry(str(ALICE), numbers_of(KEY), "prpl-jabber)) (rsa (x")), "no usable DSA key"),
        (b"", "none of its lines"),
        (b"\xff\xfe\x00", "neither a key nor a text"),
        (b"hello\n" * 100, "none of its lines"),
        (b"a\n" * 30_000, "more than"),
        (b"#" * (key_files.MOST_BYTES + 1), "larger"),
        (f"bob@example.org\tbob@example.org\txmpp\t{DIGITS}\t\n".encode(), "it has bob@example.org"),
        (b"alice@example.org\txmpp\t000000ff\n", "none of its lines"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_told_in_a_line_and_soon(raw, why):
    began = time.process_time()
    with pytest.raises(KeyFileError, match=why) as caught:
        found(raw)
    assert time.process_time() - began < 2
    one_line(caught.value)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (KEY.encoded()[:-1], "cut off"),
        (KEY.encoded() + b"\0\0\0\1\1", "another number"),
        (KEY.public.encoded(), "another number"),
        (b"\0\0" + b"\xff" * 20, "cut off"),
        (b"\0\0" + b"\0\0\0\0" * 5, "size"),
        (b"\0\1" + KEY.encoded()[2:], "neither a key nor a text|none of its lines"),
        (b"\0\0" + b"\0\x10\0\0" + b"\xff" * 2**20 + b"\0\0\0\1\1" * 4, "size"),
        (sample("alice", "private_key"), "none of its lines"),
    ],
)
def test_a_file_that_is_none_of_potr_is_told_in_a_line(raw, why):
    with pytest.raises(KeyFileError, match=why) as caught:
        found(raw, "potr")
    one_line(caught.value)


def one_line(error):
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300


# ---- into the store, and out of it ----


@pytest.fixture
def side():
    """Romeo's daemon, whose client is logged out."""
    world = World(OtrMethod())
    romeo, _ = world.sides
    romeo.lose_stream()
    return romeo


def do(side, name, **more):
    done = []
    request = Request(command=BY_NAME[name])
    asker = Asker(face=Face.CLI, account=str(ROMEO.bare), **more)
    maybeDeferred(side.control.api.do, request, asker).addBoth(done.append)
    if isinstance(result := done[0], Exception) or hasattr(result, "value"):
        raise result.value
    return result


def take(side, raw, form="libotr", *, replace=False):
    return do(side, "import", archive=b64encode(raw).decode(), format=form, replace=replace)


def stored(side):
    name = str(ROMEO.bare)
    with side.disk.transaction() as work:
        work.open_account(name, 0.0)
        return {
            "identity": work.identities.get(name, "otr", "dsa"),
            "tag": work.records.get(name, "otr", "tag:0"),
            "keys": {(one.contact, one.fingerprint.text): one for one in work.peer_keys.all(name)},
        }


def key_file(key):
    return key_files.private_key(str(ROMEO.bare), "xmpp", key)


def test_an_own_key_is_never_replaced_without_a_word(side):
    before = stored(side)["identity"]
    assert before is not None
    done = take(side, key_file(KEY))
    assert done.identities == 0
    assert "it stays" in done.left[0]
    assert stored(side)["identity"] == before
    assert take(side, key_file(PrivateKey.decoded(before.secret))).left == ()
    assert take(side, KEY.encoded(), "potr", replace=True).identities == 1
    assert stored(side)["identity"].secret == KEY.encoded()
    own = {key[1]: one for key, one in stored(side)["keys"].items() if key[0] == str(ROMEO.bare)}
    assert list(own) == [KEY.public.fingerprint], "the old one is not ours any more"
    assert (own[KEY.public.fingerprint].decision, own[KEY.public.fingerprint].how_verified) == (
        Decision.ACCEPTED,
        "own",
    )
    side.log_in()
    side.world.run()
    assert side.desk.cabinet.identity("otr", "dsa").secret == KEY.encoded()


def test_trust_is_taken_over_but_never_over_a_refusal(side):
    me = str(ROMEO.bare)

    def row(contact, digit, trust):
        return f"{contact}@example.org\t{me}\txmpp\t{digit * 40}\t{trust}\n"

    raw = (
        row("bob", "1", "smp") + row("bob", "2", "") + row("carol", "3", "") + row("dave", "4", "verified")
        + row("eve", "5", "") + row("eve", "6", "") + row("fay", "7", "custom word")
    )  # fmt: skip
    assert take(side, raw.encode()).peer_keys == 7
    keys = {(contact, text[0]): one for (contact, text), one in stored(side)["keys"].items()}

    def how(contact, digit):
        one = keys[f"{contact}@example.org", digit]
        return one.decision, one.how_verified

    assert how("bob", "1") == (Decision.VERIFIED, "smp")
    assert how("bob", "2") == (Decision.UNDECIDED, None)
    assert how("carol", "3") == (Decision.TOFU, None), "the only one is as good as a first one"
    assert how("dave", "4") == how("fay", "7") == (Decision.VERIFIED, "fingerprint")
    assert how("eve", "5") == how("eve", "6") == (Decision.UNDECIDED, None)
    refused, seen = (Fingerprint("otr", " ".join([digit * 8] * 5)) for digit in "43")
    with side.disk.transaction() as work:
        work.open_account(me, 0.0)
        work.peer_keys.decide(me, "dave@example.org", refused, Decision.DISTRUSTED)
    assert take(side, raw.encode()).peer_keys == 0, "there is nothing new in it"
    raw = row("dave", "4", "verified") + row("carol", "3", "smp") + row("carol", "8", "")
    assert take(side, raw.encode()).peer_keys == 2
    keys = {(contact, text): one for (contact, text), one in stored(side)["keys"].items()}
    assert keys["dave@example.org", refused.text].decision is Decision.DISTRUSTED
    assert keys["carol@example.org", seen.text].decision is Decision.VERIFIED
    assert keys["carol@example.org", " ".join(["8" * 8] * 5)].decision is Decision.UNDECIDED


def test_the_tag_is_taken_over_if_there_is_none_or_with_a_word(side):
    before = stored(side)["tag"]
    raw = key_files.instance_tags(str(ROMEO.bare), "xmpp", 0x12345678)
    assert "it stays" in take(side, raw).left[0]
    assert stored(side)["tag"] == before
    assert take(side, raw, replace=True).left == ()
    assert stored(side)["tag"] == bytes.fromhex("12345678")


def test_a_file_that_cannot_be_used_changes_nothing(side):
    before = stored(side)
    for raw in (sample("alice", "private_key"), b"(", b"x"):
        with pytest.raises(KeyFileError):
            take(side, raw, replace=True)
    for words in ({"archive": "?", "format": "libotr"}, {"format": "pgp"}):
        with pytest.raises(LocalError):
            do(side, "import", **words)
    assert stored(side) == before


def test_a_client_that_is_logged_in_is_in_the_way(side):
    side.log_in()
    side.world.run()
    with pytest.raises(LocalError, match="logged in"):
        take(side, key_file(KEY), replace=True)


def test_what_is_exported_is_read_again(side):
    take(side, key_file(KEY), replace=True)
    take(side, f"bob@example.org\t{ROMEO.bare}\txmpp\t{DIGITS}\tsmp\n".encode())
    files = {name: b64decode(raw) for name, raw in do(side, "export", format="libotr").files.items()}
    assert set(files) == {"private_key", "fingerprints", "instance_tags"}
    assert found(files["private_key"], account=ROMEO.bare).key == KEY
    assert found(files["fingerprints"], account=ROMEO.bare).seen[0].trust == "smp"
    assert found(files["instance_tags"], account=ROMEO.bare).tag == int.from_bytes(stored(side)["tag"], "big")
    assert b"(protocol prpl-jabber)" in files["private_key"]
    assert b"(protocol xmpp)" in b64decode(
        do(side, "export", format="libotr", protocol="xmpp").files["private_key"]
    )
    for words in ({"format": "potr"}, {"format": "libotr", "protocol": "x)\n(y"}):
        with pytest.raises(LocalError):
            do(side, "export", **words)


def test_an_export_shows_no_refused_key_as_known(side):
    fingerprint = Fingerprint("otr", " ".join(["1" * 8] * 5))
    me = str(ROMEO.bare)
    with side.disk.transaction() as work:
        work.open_account(me, 0.0)
        work.peer_keys.learn(me, "bob@example.org", fingerprint, b"", 1.0)
        work.peer_keys.decide(me, "bob@example.org", fingerprint, Decision.DISTRUSTED)
        assert otr_keys.hand_out(work, ROMEO.bare, "xmpp")["fingerprints"] == b""


def test_a_public_key_of_the_files_is_the_key_s():
    public = found(sample("alice", "private_key")).key.public
    assert isinstance(public, PublicKey)
    assert inverse(public.q, public.p) * public.q % public.p == 1
