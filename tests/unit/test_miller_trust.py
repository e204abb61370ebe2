"""What speaks for a key: statements of devices, certificates, and policy, which decides."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from bed.miller_keys import key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from e2eproxy.errors import LocalError
from e2eproxy.methods import effects as e
from e2eproxy.methods.door import Context
from e2eproxy.methods.miller import signing, statements
from e2eproxy.methods.miller.certificates import XMPP_ADDRESS, anchors_of, certified
from e2eproxy.methods.miller.failures import VerificationError
from e2eproxy.methods.miller.trust import MOST_KEYS, identity_of, judge, usable_keys
from e2eproxy.testing import WHO
from e2eproxy.testing.clock import FakeClock
from e2eproxy.testing.store import MemoryStore
from e2eproxy.trust.values import Decision, Fingerprint

BOB = WHO.bob.bare
FIRST, SECOND, THIRD, KDK = (key(number) for number in range(4))
AT = 1_795_426_200.0


def context(policy="tofu"):
    store = MemoryStore(WHO.alice.bare, "miller-e2e", FakeClock().now)
    store.policy = policy
    return store, Context(account=WHO.alice.bare, view=store, clock=lambda: AT, random=bytes)


def shown(store, ctx, public, anchors=()):
    judged = judge(ctx, BOB, public, anchors, proved=True)
    store.commit(judged.news)
    return [type(one).__name__ for one in judged.news]


def decisions(store):
    return [one.decision for one in store.peer_keys(BOB)]


# ---- statements ----


def test_a_device_is_known_by_the_key_that_it_signs_with():
    statement = statements.device(FIRST, WHO.bob, KDK.public)
    assert identity_of(evolve(KDK.public, device=statement), BOB) == FIRST.public
    assert identity_of(KDK.public, BOB) == KDK.public, "without a statement it is known by the key itself"


def test_what_is_shown_with_a_device_goes_with_its_own_key():
    statement = statements.device(FIRST, WHO.bob, KDK.public)
    identity = identity_of(evolve(KDK.public, device=statement, vouched=("x",), x5c=("y",)), BOB)
    assert (identity.vouched, identity.x5c) == (("x",), ("y",))


def wrong_statements():
    good = statements.device(FIRST, WHO.bob, KDK.public)
    header, data, signature = good.split(".")
    yield "of another account", statements.device(FIRST, WHO.carol, KDK.public)
    yield "about another key", statements.device(FIRST, WHO.bob, THIRD.public)
    yield "a vouch", statements.vouched(FIRST, WHO.bob, KDK.public)
    yield "not whole", f"{header}.{data}"
    yield "another signature", f"{header}.{data}.{'A' * len(signature)}"
    yield "no base64", f"{header}.{data}.!"
    yield (
        "no JSON",
        signing.sign(
            FIRST, b"x", {"typ": "urn:e2eproxy:miller:0:device", "jwk": dict(FIRST.public.numbers)}
        ).compact,
    )
    yield "no key", signing.sign(FIRST, b"{}", {"typ": "urn:e2eproxy:miller:0:device"}).compact
    yield "a stanza", signing.sign(FIRST, b"{}", {"jwk": dict(FIRST.public.numbers)}).compact


@pytest.mark.parametrize("statement", [pytest.param(one, id=what) for what, one in wrong_statements()])
def test_a_wrong_statement_is_worse_than_none(statement):
    with pytest.raises(VerificationError):
        identity_of(evolve(KDK.public, device=statement), BOB)


# ---- policy ----


def test_the_first_key_is_pinned_and_a_later_one_waits():
    store, ctx = context()
    assert shown(store, ctx, FIRST.public) == ["Learn"]
    assert shown(store, ctx, FIRST.public) == []
    assert shown(store, ctx, SECOND.public) == ["Learn"]
    assert decisions(store) == [Decision.TOFU, Decision.UNDECIDED]
    assert usable_keys(ctx, BOB) == (FIRST.public.fingerprint,)


@pytest.mark.parametrize(
    ("of_voucher", "decision"),
    [
        (Decision.TOFU, Decision.ACCEPTED),
        (Decision.ACCEPTED, Decision.ACCEPTED),
        (Decision.VERIFIED, Decision.ACCEPTED),
        (Decision.UNDECIDED, Decision.UNDECIDED),
        (Decision.DISTRUSTED, Decision.UNDECIDED),
    ],
)
def test_a_device_vouches_if_it_is_accepted_itself(of_voucher, decision):
    store, ctx = context()
    shown(store, ctx, FIRST.public)
    store.decide(BOB, FIRST.public.fingerprint, of_voucher)
    word = statements.vouched(FIRST, WHO.bob, SECOND.public)
    shown(store, ctx, evolve(SECOND.public, vouched=(word,)))
    assert decisions(store) == [of_voucher, decision]


def test_a_word_that_comes_later_helps_but_never_against_the_users():
    store, ctx = context()
    word = statements.vouched(FIRST, WHO.bob, SECOND.public)
    shown(store, ctx, FIRST.public)
    shown(store, ctx, SECOND.public)
    assert shown(store, ctx, evolve(SECOND.public, vouched=(word,))) == ["Verified"]
    store.decide(BOB, SECOND.public.fingerprint, Decision.DISTRUSTED)
    assert shown(store, ctx, evolve(SECOND.public, vouched=(word,))) == []
    assert decisions(store) == [Decision.TOFU, Decision.DISTRUSTED]


def test_under_the_policy_verified_a_word_is_not_enough():
    store, ctx = context("verified")
    shown(store, ctx, FIRST.public)
    store.decide(BOB, FIRST.public.fingerprint, Decision.VERIFIED)
    shown(store, ctx, evolve(SECOND.public, vouched=(statements.vouched(FIRST, WHO.bob, SECOND.public),)))
    assert usable_keys(ctx, BOB) == (FIRST.public.fingerprint,)


@pytest.mark.parametrize(
    "word",
    [
        statements.vouched(FIRST, WHO.carol, SECOND.public),
        statements.vouched(FIRST, WHO.bob, THIRD.public),
        statements.vouched(SECOND, WHO.bob, SECOND.public),
        statements.vouched(THIRD, WHO.bob, SECOND.public),
        statements.device(FIRST, WHO.bob, SECOND.public),
        "x.y.z",
        "",
    ],
)
def test_other_words_are_worth_nothing(word):
    store, ctx = context()
    shown(store, ctx, FIRST.public)
    shown(store, ctx, evolve(SECOND.public, vouched=(word,)))
    assert decisions(store) == [Decision.TOFU, Decision.UNDECIDED]


def test_of_a_contact_who_shows_key_after_key_only_so_many_are_kept():
    store, ctx = context()
    for number in range(MOST_KEYS):
        known = Fingerprint("miller-e2e", f"{number}")
        store.commit((e.Learn(contact=BOB, fingerprint=known, public=b""),))
    assert shown(store, ctx, FIRST.public) == []
    assert FIRST.public.fingerprint not in usable_keys(ctx, BOB)


# ---- certificates ----

AUTHORITY = ec.generate_private_key(ec.SECP256R1())
NOT_BEFORE = datetime.fromtimestamp(AT, UTC) - timedelta(days=1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def utf8(text):
    octets = text.encode()
    return bytes([0x0C, len(octets)]) + octets


def certificate(subject, issuer, public, signer, *, extensions, days=30):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_BEFORE + timedelta(days=days))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def authority(signer, subject):
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    extensions = [
        (x509.BasicConstraints(True, None), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(signer.public_key()), False),
    ]
    return certificate(subject, subject, signer.public_key(), signer, extensions=extensions)


def leaf(jid=str(BOB), *, public=None, signer=AUTHORITY, issuer="Authority", der=None, days=30):
    other = x509.OtherName(XMPP_ADDRESS, utf8(jid) if der is None else der)
    extensions = [
        (x509.SubjectAlternativeName([other]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]
    return certificate(
        "Bob", issuer, public or FIRST.raw.public_key(), signer, extensions=extensions, days=days
    )


ANCHORS = (authority(AUTHORITY, "Authority"),)
OTHER = ec.generate_private_key(ec.SECP256R1())


def with_chain(*chain, public=FIRST.public):
    return evolve(
        public, x5c=tuple(base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain)
    )


def test_a_certificate_that_names_the_jid_proves_the_key():
    assert certified(with_chain(leaf()), BOB, ANCHORS, AT)
    assert certified(with_chain(leaf("BOB@two.test")), BOB, ANCHORS, AT)


@pytest.mark.parametrize(
    ("shown_key", "anchors", "at"),
    [
        (with_chain(leaf()), (), AT),
        (with_chain(), ANCHORS, AT),
        (with_chain(leaf("carol@three.test")), ANCHORS, AT),
        (with_chain(leaf("bob@two.test/phone")), ANCHORS, AT),
        (with_chain(leaf(der=b"\x16\x0cbob@two.test")), ANCHORS, AT),
        (with_chain(leaf(der=b"\x0c\x02\xff\xff")), ANCHORS, AT),
        (with_chain(leaf(signer=OTHER)), ANCHORS, AT),
        (with_chain(leaf(signer=OTHER, issuer="Other"), authority(OTHER, "Other")), ANCHORS, AT),
        (with_chain(leaf(public=SECOND.raw.public_key())), ANCHORS, AT),
        (with_chain(leaf(), public=SECOND.public), ANCHORS, AT),
        (with_chain(leaf(days=2)), ANCHORS, AT + 5 * 86400),
        (with_chain(leaf()), ANCHORS, AT - 5 * 86400),
        (with_chain(leaf()), ANCHORS, 1e20),
        (with_chain(leaf()), (authority(OTHER, "Authority"),), AT),
        (evolve(FIRST.public, x5c=("!",)), ANCHORS, AT),
        (evolve(FIRST.public, x5c=("AAAA",)), ANCHORS, AT),
        (with_chain(*[leaf()] * 5), ANCHORS, AT),
    ],
)
def test_other_certificates_prove_nothing(shown_key, anchors, at):
    assert not certified(shown_key, BOB, anchors, at)


def test_a_certificate_makes_a_key_verified_also_a_later_one():
    store, ctx = context()
    shown(store, ctx, SECOND.public)
    assert shown(store, ctx, with_chain(leaf()), ANCHORS) == ["Learn", "Verified"]
    assert decisions(store) == [Decision.TOFU, Decision.VERIFIED]


def test_anchors_are_read_from_the_setting():
    assert anchors_of(ANCHORS[0].public_bytes(Encoding.PEM).decode()) == ANCHORS
    assert anchors_of("  ") == ()
    with pytest.raises(LocalError, match="anchors"):
        anchors_of("no certificate")
