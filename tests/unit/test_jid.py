"""Every spelling that a server delivers to the same account is one JID here; what servers read differently is none."""

from __future__ import annotations

import sys
import timeit
import unicodedata

import pytest
from twisted.words.protocols.jabber import xmpp_stringprep

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import jid as module
from e2eproxy.xmpp.jid import JID, BadJID

FULLWIDTH = "\uff2a\uff35\uff2c\uff29\uff25\uff34@\uff45xample.test"


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("juliet@example.test", "juliet@example.test"),
        ("JULIET@EXAMPLE.TEST", "juliet@example.test"),
        (FULLWIDTH, "juliet@example.test"),
        ("ju\u00adliet@example.test", "juliet@example.test"),
        ("ju\u200bliet@example.test", "juliet@example.test"),
        ("juliet@example.test.", "juliet@example.test"),
        ("juliet@example\u3002test", "juliet@example.test"),
        ("ju\u2024liet@example.test", "ju.liet@example.test"),
        ("\u212aate@example.test", "kate@example.test"),
        ("Stra\u00dfe@example.test", "strasse@example.test"),
        ("\u03f4@example.test", "\u03b8@example.test"),
        ("a\u030a@example.test", "\u00e5@example.test"),
        ("A\u030a@example.test", "\u00e5@example.test"),
        ("juliet@B\u00fccher.example", "juliet@xn--bcher-kva.example"),
        ("juliet@bu\u0308cher.example", "juliet@xn--bcher-kva.example"),
        ("juliet@XN--BCHER-KVA.example", "juliet@xn--bcher-kva.example"),
        ("juliet@xn--strae-oqa.example", "juliet@xn--strae-oqa.example"),
        ("juliet@127.0.0.1", "juliet@127.0.0.1"),
        ("juliet@::1", "juliet@[::1]"),
        ("example.test", "example.test"),
        ("example.test/announce/online", "example.test/announce/online"),
        ("a@b/r/x@y", "a@b/r/x@y"),
        ("a@b/ Two  Blanks ", "a@b/ Two  Blanks "),
        ("a@b/Balcony", "a@b/Balcony"),
        ("a@b/\uff22alcony", "a@b/Balcony"),
        ("a@b/\u00a0x", "a@b/ x"),
        ("a@b/bal\u00adcony", "a@b/balcony"),
        ("a@b/\u00df", "a@b/\u00df"),
        ("room@b/Nick\U0001f600", "room@b/Nick\U0001f600"),
        ("\U0001f600@b", "\U0001f600@b"),
        ("\ua723@b", "\ua723@b"),
        ("\u05d0\u05d1@b", "\u05d0\u05d1@b"),
        ("a%b.c+d=e?;!#$*()-[]{}|~`^_\\,@b", "a%b.c+d=e?;!#$*()-[]{}|~`^_\\,@b"),
        ("a@b/" + "r" * 1023, "a@b/" + "r" * 1023),
        ("l" * 1023 + "@b", "l" * 1023 + "@b"),
    ],
)
def test_spellings_that_reach_one_account_are_one_jid(text, prepared):
    jid = JID.parse(text)
    assert str(jid) == prepared
    assert JID.parse(str(jid)) == jid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "/",
        "@b",
        "/r",
        "a@",
        "a@/r",
        "a@b/",
        "b/",
        "a@b@c",
        "@a@b",
        "a@@b",
        "juliet\uff20example.test",  # a full-width at-sign: Prosody and ejabberd turn it into juliet's own address
        "juliet@example.test\uff0fr",
        "juli\uff0fet@example.test",
        "juli\uff20et@example.test",
        "\u2100@example.test",  # becomes a/c
        "a@x\u2100.test",
        "\u00ad@b",
        "\u200b\u200c@b",
        "a@\u00ad",
        "a@b/\u00ad",
        "a@b/\u200b",
        "a b@c",
        "a\u00a0b@c",
        "a\u3000b@c",
        "a\tb@c",
        'a"b@c',
        "a&b@c",
        "a'b@c",
        "a:b@c",
        "a<b@c",
        "a>b@c",
        "a\uff1ab@c",
        "a@b/\x00",
        "a@b/\n",
        "a@b/\x7f",
        "a@b/\x85",
        "a@b/\u200e",
        "a@b/\ue000",
        "a@b/\ufffd",
        "a@b/\ufffe",
        "\ud800@b",
        "a@\ud800",
        "a@b/\U000e0001",
        "\u05d0a@b",
        "a\u05d0@b",
        "\u05d01@b",
        "a@b/\u05d0a\u05d0",
        "\u1e9e@b",  # capital sharp s: unknown to stringprep, ss to newer rules
        "\ua722@b",  # the same with a small letter of its own
        "a@stra\u00dfe.example",
        "juliet@example\u2024test",  # a one-dot leader: some servers read a full stop
        "\u04c0@b",  # had no small letter in Unicode 3.2
        "\u13a0@b",
        "\uab70@b",
        "a@\u03b2\u03cc\u03bb\u03bf\u03c2.example",
        "a@b..c",
        "a@.b",
        "a@-b",
        "a@b c",
        "a@1",
        "a@[::1",
        "l" * 1024 + "@b",
        "\u00e5" * 512 + "@b",
        "a@b/" + "r" * 1024,
        "a@b/" + "\ufdfa" * 61,  # 183 bytes that become more than 1023
        "x" * 5000,
        "a@" + "b" * 300,
    ],
)
def test_what_is_no_jid_is_refused(text):
    with pytest.raises(BadJID) as caught:
        JID.parse(text)
    assert isinstance(caught.value, RemoteError)
    assert len(str(caught.value)) < 1200


def test_parts():
    jid = JID.parse("Juliet@Example.Test/Balcony")
    assert (jid.local, jid.domain, jid.resource) == ("juliet", "example.test", "Balcony")
    assert jid.full
    assert jid.bare == JID.parse("juliet@example.test")
    assert not jid.bare.full
    bare = jid.bare
    assert bare.bare is bare
    assert hash(jid) == hash(JID.parse("JULIET@example.test/Balcony"))
    assert jid != JID.parse("juliet@example.test/balcony")
    with pytest.raises(AttributeError):
        jid.local = "romeo"


def twisted(profile, text):
    try:
        return profile.prepare(text)
    except (UnicodeError, IndexError):
        return None


def ours(text):
    try:
        return JID.parse(text)
    except BadJID:
        return None


# All that is not one of ten thousands of alike ideographs and syllables, of which some are taken.
CODE_POINTS = [
    *range(0x3400),
    *range(0x3400, 0xD800, 97),
    *range(0xE000, 0xF900, 97),
    *range(0xF900, 0x10000),
    *range(0x10000, 0x20000, 7),
    *range(0x20000, sys.maxunicode + 1, 997),
    *range(0xE0000, 0xE0080),
]


def test_every_code_point_is_read_as_twisted_reads_it():
    """Twisted's stringprep is the second opinion; it refuses what Unicode 3.2 did not know, as ejabberd does."""
    different = []
    for number in CODE_POINTS:
        character = chr(number)
        if unicodedata.ucd_3_2_0.category(character) in {"Cn", "Co", "Cs"}:
            continue
        for text in (character,):
            for whole, profile, part in (
                (f"{text}@b", xmpp_stringprep.nodeprep, "local"),
                (f"b/{text}", xmpp_stringprep.resourceprep, "resource"),
            ):
                if part == "local" and ("@" in text or "/" in text):
                    continue
                expected = twisted(profile, text) or None
                if getattr(ours(whole), part, None) != expected:
                    different.append((whole, expected))
    assert different == []


def test_no_code_point_is_changed_by_a_second_preparation_or_folds_two_ways():
    for number in CODE_POINTS:
        character = chr(number)
        jid = ours(f"a{character}@b")
        if jid is None:
            continue
        assert JID.parse(str(jid)) == jid
        if unicodedata.ucd_3_2_0.category(character) == "Cn":
            assert character.lower() == character.casefold() == character, hex(number)


def test_a_known_jid_is_found_in_less_than_two_microseconds():
    text = "JULIET@EXAMPLE.TEST/Balcony"
    assert JID.parse(text) is JID.parse(text)
    best = min(timeit.repeat(lambda: JID.parse(text), number=2000, repeat=7)) / 2000
    assert best < 2e-6


def test_the_cache_is_bounded_and_keeps_no_long_texts():
    before = module._cached.cache_info()
    assert before.maxsize == 4096
    JID.parse("a@b/" + "r" * 500)
    assert module._cached.cache_info().currsize == before.currsize
    JID.parse("a@b/" + "r" * 196)
    assert module._cached.cache_info().currsize in {before.currsize + 1, 4096}
