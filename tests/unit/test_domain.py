"""Domains in their prepared form: what is equal becomes equal, what is no domain is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_identity.hazmat import DNS_ID

from e2eproxy.xmpp.domain import BadDomain, ip_literal, is_local, is_loopback, prepare_domain, unicode_domain

BUECHER = "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher"


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("example.test", "example.test"),
        ("EXAMPLE.Test.", "example.test"),
        ("localhost", "localhost"),
        ("my_host.example", "my_host.example"),
        ("1a.2b", "1a.2b"),
        (f"{BUECHER}.Example", "xn--bcher-kva.example"),
        (f"{BUECHER.upper()}.EXAMPLE", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("bu\N{COMBINING DIAERESIS}cher.example", "xn--bcher-kva.example"),
        (f"{BUECHER}\N{IDEOGRAPHIC FULL STOP}example", "xn--bcher-kva.example"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}bc.test", "abc.test"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("::1", "[::1]"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("a" * 63 + ".test", "a" * 63 + ".test"),
    ],
)
def test_prepared(text, prepared):
    assert prepare_domain(text) == prepared
    assert prepare_domain(prepared) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", ".a", "a b", "a/b", "user@a", "a\x00b", "a\nb", "<a>", "-a.test", "a-.test", "a:5222",
        "a" * 64, "a." * 127 + "a", "x" * 5000, "1.2.3", "127.1", "0x7f.1", "1_0", "a.1_0", "0x7f000001", "1", "256.1.1.1", "[127.0.0.1]",
        "fe80::1%eth0", "[::1", "xn--", "xn--a", "xn--zzzzzzzzzz--.test", "\N{ZERO WIDTH JOINER}.test",
        "a\N{FULLWIDTH SOLIDUS}b", "a\N{SNOWMAN WITHOUT SNOW}\N{LATIN SMALL LETTER LONG S}.\ud800",
        "\N{ARABIC LETTER ALEF}a.test", "*.example.test",
    ],
)  # fmt: skip
def test_refused(text):
    with pytest.raises(BadDomain) as caught:
        prepare_domain(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1200


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_prepared_once_or_refused(text):
    try:
        prepared = prepare_domain(text)
    except BadDomain:
        return
    assert prepare_domain(prepared) == prepared
    assert prepared.isascii()
    assert prepared == prepared.lower()
    assert prepare_domain(unicode_domain(prepared)) == prepared
    if ip_literal(prepared) is None:
        # What is compared with a certificate: it raises for what it takes for no name.
        assert DNS_ID(prepared).hostname == prepared.encode()


def test_unicode_form():
    assert unicode_domain("xn--bcher-kva.example") == f"{BUECHER}.example"
    assert unicode_domain("[::1]") == "[::1]"


def test_addresses():
    assert ip_literal("example.test") is None
    assert str(ip_literal("[::1]")) == "::1"
    assert str(ip_literal("192.0.2.1")) == "192.0.2.1"


def test_this_machine():
    assert all(map(is_local, ("localhost", "a.localhost")))
    assert not any(map(is_local, ("localhost.test", "notlocalhost")))
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")))
    assert not any(
        map(is_loopback, ("192.0.2.1", "::", "0.0.0.0", "::ffff:192.0.2.1", "localhost", "", "2001:db8::1"))
    )
