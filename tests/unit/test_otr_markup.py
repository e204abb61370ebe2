"""HTML inside OTR: what it becomes, when a text is taken for it, and what the worst of it costs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.methods.otr import markup

PAGES = {
    "hello": "hello",
    "a &lt; b &amp;&amp; c &gt; d": "a < b && c > d",
    "<b>bold</b> and <I>italic</I>": "bold and italic",
    "one<br>two<BR/>three<br />four": "one\ntwo\nthree\nfour",
    "<html><body><p>one</p><p>two</p></body></html>": "one\ntwo",
    '<FONT COLOR="#000000" FACE="Helvetica">Adium</FONT>': "Adium",
    "<div>one</div><div>two</div>": "one\ntwo\n".strip(),
    '<a href="https://a.test/">here</a>': "here (https://a.test/)",
    '<a href="https://a.test/?x=1&amp;y=2">https://a.test/?x=1&amp;y=2</a>': "https://a.test/?x=1&y=2",
    '<a href="https://a.test/">https://a.test</a>': "https://a.test",
    '<a href="https://evil.test/">https://bank.test/</a>': "https://bank.test/ (https://evil.test/)",
    "<a href='mailto:me@a.test'>me@a.test</a>": "me@a.test",
    '<a name="x">anchor</a>': "anchor",
    '<a href="https://a.test/">open': "open (https://a.test/)",
    '<img src="x" alt=":-)"/>': ":-)",
    "<style>p {color: red}</style>text": "text",
    "<script>alert(1)</script>text": "text",
    "<script>never closed": "never closed",
    "&#72;&#x69;&nbsp;&eacute; &unknown; &amp;lt;": "Hi\N{NO-BREAK SPACE}é &unknown; &lt;",
    "<3 and <unknown> and < b": "<3 and <unknown> and < b",
    "<b": "<b",
    "\u202e": "\u202e",
}


@pytest.mark.parametrize("page", PAGES)
def test_what_html_becomes(page):
    assert markup.plain(page) == PAGES[page]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello", None),
        ("<b>hello</b>", True),
        ("a &amp; b", True),
        ("one<br>two", True),
        ("a & b", False),
        ("a < b", False),
        ("-> there", False),
        ("<hello>", False),
        ("write <b> for bold & so on", False),
        ("R&D;", False),
        ("&unknown;", True),
    ],
)
def test_who_writes_html(text, told):
    assert markup.verdict(text) is told


def test_what_xml_cannot_hold_is_replaced():
    assert (
        markup.allowed("a\0b\x1bc\ud800d\uffff\t\n\U0001f600") == "a\ufffdb\ufffdc\ufffdd\ufffd\t\n\U0001f600"
    )


@given(st.text())
def test_what_is_escaped_comes_back(text):
    text = text.replace("\r", "").strip("\n")
    assert markup.plain(markup.escaped(text)) == text
    assert markup.verdict(markup.escaped(text)) is not False


@given(st.text(alphabet="<>/&;ab \"'=#x1!-brhef\n"))
def test_any_text_is_read_and_stays_small(text):
    assert len(markup.plain(text)) <= 2 * len(text) + 2
    markup.verdict(text)


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a ",
        "<a href=",
        '<a href="',
        "<a href='x",
        "<!--",
        "&",
        "&#",
        "&a",
        "<b",
        "<p>",
        "<a href=x>",
        "</a>",
        "<script>",
        "<img alt=",
    ],
)
def test_a_megabyte_of_anything_is_quickly_read(piece):
    text = piece * (2**20 // len(piece))
    began = time.process_time()
    markup.verdict(text)
    markup.plain(text)
    assert time.process_time() - began < 10, "in proportion to its length; it would be hours if not"
