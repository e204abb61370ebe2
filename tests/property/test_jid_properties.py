"""Preparation is idempotent, never raises anything but BadJID, and always gives what can be told apart again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from e2eproxy.xmpp.jid import JID, BadJID

# Much of what is odd about JIDs is in these; plain text() would rarely find it.
ODD = st.sampled_from(
    "@/.:\u2024\uff20\uff0f\uff0e\u3002\u2100\u00ad\u200b\u200d\u00df\u1e9e\u03c2\u0130\u0131\u0345\u05d0\u0660\u212a\ufb01\uff21\u030a\u0301 \u00a0"
)
TEXT = st.text(st.one_of(ODD, st.characters(), st.characters(max_codepoint=127)), max_size=30)


def parsed(text):
    try:
        return JID.parse(text)
    except BadJID:
        return None


@given(TEXT)
@example("\u0130@b")
@example("a@\u0345\u0301b")
def test_preparing_twice_is_preparing_once(text):
    jid = parsed(text)
    if jid is not None:
        assert JID.parse(str(jid)) == jid
        assert jid.domain
        assert "@" not in jid.local
        assert "/" not in jid.local + jid.domain
        assert all(len(part.encode()) <= 1023 for part in (jid.local, jid.domain, jid.resource))


@given(TEXT, TEXT)
def test_parts_stay_apart(local, resource):
    jid = parsed(f"{local}@example.test/{resource}")
    if jid is not None and "@" not in local and "/" not in local:
        assert jid.domain == "example.test"
        assert jid.bare == JID.parse(f"{local}@example.test")
        assert jid.resource == JID.parse(f"b/{resource}").resource


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20))
def test_case_and_width_of_the_bare_part_never_matter(name):
    wide = "".join(chr(ord(character) + 0xFEE0) for character in name)
    expected = JID.parse(f"{name.lower()}@example.test")
    assert JID.parse(f"{name.upper()}@EXAMPLE.test") == expected
    assert JID.parse(f"{wide}@\uff45xample.test") == expected
