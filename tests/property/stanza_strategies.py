"""Hypothesis strategies for stanzas of every spelling that XML allows, as the bytes on the wire.

Law 2 of DESIGN.md (verbatim) is a claim about spelling, not about content: prefixes, quotes, CDATA, references and
whitespace have to leave as they came. These strategies therefore draw bytes, never a tree that something would
serialise in one habitual way. All of them are well-formed inside a stream opened by `CLIENT_HEADER` or
`SERVER_HEADER` (the headers bind the prefixes `stream` and those in `HEADER_PREFIXES`; the default namespace is
jabber:client) and stay within the client's limits: at most `MAX_DEPTH` levels, 100 attributes, 16 KiB.

Namespace names hold `}`, blanks and line ends on purpose: expat refuses a namespace name that holds the parser's
separator character, and any contact can send such a name.
"""

from __future__ import annotations

from hypothesis import strategies as st

MAX_DEPTH = 6
MAX_STANZA_BYTES = 16 * 1024
CLIENT_NAMESPACE = "jabber:client"
STREAM_NAMESPACE = "http://etherx.jabber.org/streams"
XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
HEADER_PREFIXES = {"h": "urn:example:bound-by-the-header", "db": "jabber:server:dialback"}

_BOUND = "".join(f" xmlns:{prefix}='{name}'" for prefix, name in HEADER_PREFIXES.items())
CLIENT_HEADER = (
    "<?xml version='1.0'?><stream:stream to='example.test' version='1.0' xml:lang='en'"
    f" xmlns='{CLIENT_NAMESPACE}' xmlns:stream='{STREAM_NAMESPACE}'{_BOUND}>"
).encode()
SERVER_HEADER = (
    "<?xml version='1.0'?><stream:stream from='example.test' id='s1' version='1.0' xml:lang='en'"
    f" xmlns='{CLIENT_NAMESPACE}' xmlns:stream='{STREAM_NAMESPACE}'{_BOUND}>"
).encode()

# What XML 1.0 calls S, in the amounts that people and programs write.
_SPACE = st.sampled_from([" ", "  ", "\n", "\t", "\r\n", " \n\t "])
_OPTIONAL_SPACE = st.one_of(st.just(""), st.just(""), _SPACE)

# XML 1.0's Char without `<` and `&`, which have to be written as references; no noncharacters of the BMP's end.
_CHARACTERS = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="<&\ufffe\uffff", include_characters="\t\n\r\x7f\x85"
)
_WORDS = st.text(_CHARACTERS, max_size=12)
_TRICKY = st.sampled_from(
    [
        *(">", ">>", "/>", "</", "?>", "-->", "]]", "]>", "'", '"', "=", "/", "\r\n", "\r", "\n", "\t", " "),
        *(
            "\U0001f512",
            "\U0010fffd",
            "\U00020000",
            "\u00e9",
            "\u0301",
            "\u2028",
            "\ufeff",
            "\u202e",
            "\ue000",
        ),
        *("</stream:stream>", "<message>", "<?xml version='1.0'?>", "<!--", "<![CDATA[", "&", "<"),
    ]
)
_TAGS = st.sampled_from(["</stream:stream>", "</message>", "<presence/>", "<iq>"])
_REFERENCES = st.sampled_from(
    [
        *("&lt;", "&gt;", "&amp;", "&apos;", "&quot;"),
        *("&#60;", "&#x3C;", "&#x3c;", "&#38;", "&#0000038;", "&#x9;", "&#10;", "&#13;", "&#xD;", "&#32;"),
        *("&#xE9;", "&#128274;", "&#x1F512;", "&#x10FFFF;", "&#xFFFD;", "&#x10fffd;"),
    ]
)

_NAME_START = st.one_of(
    st.sampled_from("abcxyzABC_"), st.sampled_from("\u00e9\u03b1\u0436\u4e2d\ud55c\u00c0\u00f8")
)
# Letters outside the BMP are no name characters for expat (XML 1.0, fourth edition).
_NAME_REST = st.text(st.sampled_from("abcdefxyz019-._\u00e9\u03b1\u4e2d\u00b7"), max_size=8)
LOCAL_NAMES = st.one_of(
    st.sampled_from(
        ["body", "x", "query", "item", "thread", "subject", "delay", "a", "forwarded", "message", "iq"]
    ),
    st.builds(str.__add__, _NAME_START, _NAME_REST).filter(lambda name: not name.lower().startswith("xml")),
)
_PREFIXES = st.sampled_from(["p", "q", "ns0", "h", "db", "c", "client", "_", "\u00e9", "stream-2"])
_NAMESPACES = st.sampled_from(
    [
        *(
            CLIENT_NAMESPACE,
            "jabber:server",
            "urn:xmpp:carbons:2",
            "urn:xmpp:forward:0",
            "http://jabber.org/protocol/chatstates",
        ),
        *("urn:example:one", "urn:example:two?a=1#b", "relative", "\u4e2d:\u00e9", "urn:example:em\u0301bed"),
        *(
            "a}b",
            "}",
            "a b",
            " ",
            "a|b",
            "a:b",
            "a\x7fb",
            "{a}",
            "urn:example:'quoted'",
            'urn:example:"quoted"',
        ),
    ]
)


@st.composite
def attribute_values(draw, text=None):
    """One attribute value with its quotes: either style, raw `>`, references and raw white space inside."""
    quote = draw(st.sampled_from("'\""))
    if text is None:
        pieces = draw(st.lists(st.one_of(_WORDS, _TRICKY, _REFERENCES), max_size=4))
    else:
        pieces = list(text)
    return quote + "".join(_inside_quotes(piece, quote) for piece in pieces) + quote


def _inside_quotes(piece, quote):
    if piece.startswith("&") and piece.endswith(";") and len(piece) > 2:
        return piece
    if piece == quote:
        return "&apos;" if quote == "'" else "&#34;"
    escaped = piece.replace("&", "&amp;").replace("<", "&lt;")
    return escaped.replace(quote, "&#x27;" if quote == "'" else "&quot;")


@st.composite
def _text(draw):
    """Character data between tags: `>` raw, `]]>` never, references and CDATA sections mixed in."""
    kind = draw(st.sampled_from(["words", "cdata", "tricky", "cdata", "reference", "tricky", "blank"]))
    if kind == "words":
        return draw(_WORDS)
    if kind == "reference":
        return draw(_REFERENCES)
    if kind == "blank":
        return draw(_SPACE)
    if kind == "tricky":
        return draw(_TRICKY).replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "]]&gt;")
    inside = "".join(draw(st.lists(st.one_of(_TRICKY, _TAGS, _WORDS, _REFERENCES), max_size=4)))
    return "<![CDATA[" + inside.replace("]]>", "]] >") + "]]>"


def _no_cdata_end(pieces):
    """The joined `pieces`, with no `]]>` come about where two pieces of character data meet."""
    joined = ""
    for piece in pieces:
        tail_is_section = joined.endswith("]]>")
        if piece.startswith((">", "]")) and joined.endswith("]") and not tail_is_section:
            joined += " "
        joined += piece
    return joined


@st.composite
def _declarations(draw, scope):
    """Namespace declarations for one element: (attributes as [(name, value text)], the scope below it)."""
    below = dict(scope)
    written = []
    for prefix in draw(st.lists(_PREFIXES, max_size=2, unique=True)):
        below[prefix] = draw(_NAMESPACES)
        written.append((f"xmlns:{prefix}", below[prefix]))
    default = draw(st.sampled_from([None, None, "new", "none"]))
    if default == "new":
        below[""] = draw(_NAMESPACES)
        written.append(("xmlns", below[""]))
    elif default == "none":
        below[""] = ""
        written.append(("xmlns", ""))
    return written, below


@st.composite
def _attributes(draw, scope, declared):
    """The attributes' part of a start tag; no two with one expanded name (the declarations come anywhere among them)."""
    parts = [f"{name}{draw(_equals())}{draw(attribute_values(text))}" for name, text in declared]
    seen = set()
    for local in draw(st.lists(LOCAL_NAMES, max_size=4)):
        prefix = draw(st.sampled_from(["", "", *sorted(p for p in scope if p)]))
        expanded = (scope[prefix] if prefix else "", local)
        if expanded in seen:
            continue
        seen.add(expanded)
        name = f"{prefix}:{local}" if prefix else local
        parts.append(f"{name}{draw(_equals())}{draw(attribute_values())}")
    if draw(st.integers(0, 3)) == 0:
        language = draw(st.sampled_from(["'en'", '"de"', "''", "'x-klingon'"]))
        parts.append(f"xml:lang{draw(_equals())}{language}")
    if draw(st.integers(0, 5)) == 0:
        parts.append("xml:space='preserve'")
    return "".join(draw(_SPACE) + part for part in draw(st.permutations(parts)))


@st.composite
def _equals(draw):
    return draw(st.sampled_from(["=", "=", "=", " = ", "= ", "\n="]))


@st.composite
def _element(draw, name, attributes, scope, depth):
    """One element of the given start tag; empty ones in each of their spellings."""
    space = draw(_OPTIONAL_SPACE)
    shape = draw(st.sampled_from(["full", "full", "full", "self-closing", "empty"]))
    if shape == "self-closing":
        return f"<{name}{attributes}{space}/>"
    start = f"<{name}{attributes}{space}>"
    end = f"</{name}{draw(_OPTIONAL_SPACE)}>"
    if shape == "empty":
        return start + end
    child = _text() if depth >= MAX_DEPTH else st.one_of(_text(), _children(scope, depth + 1))
    return start + _no_cdata_end(draw(st.lists(child, max_size=4 if depth < 3 else 2))) + end


@st.composite
def _children(draw, scope, depth):
    """A child element at `depth`, in a namespace that is inherited, redeclared, or bound to a prefix anywhere above."""
    declared, below = draw(_declarations(scope))
    prefix = draw(st.sampled_from(["", "", *sorted(p for p in below if p)]))
    local = draw(LOCAL_NAMES)
    attributes = draw(_attributes(below, declared))
    return draw(_element(f"{prefix}:{local}" if prefix else local, attributes, below, depth))


@st.composite
def stanzas(draw, kinds=("message", "presence", "iq")):
    """The bytes of one message, presence or iq in jabber:client, its namespace inherited, repeated or by prefix."""
    kind = draw(st.sampled_from(list(kinds)))
    declared, below = draw(_declarations({"": CLIENT_NAMESPACE, **HEADER_PREFIXES}))
    declared = [(name, value) for name, value in declared if name not in ("xmlns", "xmlns:c")]
    below.update({"": CLIENT_NAMESPACE})
    below.pop("c", None)
    name = kind
    spelling = draw(st.sampled_from(["inherited", "inherited", "repeated", "prefixed"]))
    if spelling == "repeated":
        declared.append(("xmlns", CLIENT_NAMESPACE))
    elif spelling == "prefixed":
        declared.append(("xmlns:c", CLIENT_NAMESPACE))
        below["c"] = CLIENT_NAMESPACE
        name = f"c:{kind}"
    attributes = draw(_attributes(below, declared))
    return draw(_element(name, attributes, below, 2)).encode()


CLIENT_NONZAS = st.sampled_from(
    [
        b"<active xmlns='urn:xmpp:csi:0'/>",
        b"<active xmlns='urn:xmpp:csi:0'></active>",
        b'<inactive  xmlns = "urn:xmpp:csi:0"\n/>',
        b"<i:inactive xmlns:i='urn:xmpp:csi:0'> </i:inactive >",
    ]
)
"""Nonzas that a client sends to a server which offers them (XEP-0352)."""

WHITESPACE = st.text(st.sampled_from(" \n\t\r"), min_size=1, max_size=5).map(str.encode)
"""Whitespace between stanzas (keep-alives, RFC 6120 section 4.6.1)."""


@st.composite
def between_stanzas(draw):
    """Whitespace between stanzas, most of the time none."""
    return draw(st.one_of(st.just(b""), st.just(b""), WHITESPACE))


@st.composite
def stanza_sequences(draw, max_size=6, items=None):
    """What follows a stream header: (bytes on the wire, the list of stanzas in them as bytes)."""
    units = draw(st.lists(stanzas() if items is None else items, min_size=1, max_size=max_size))
    wire = draw(between_stanzas())
    for unit in units:
        wire += unit + draw(between_stanzas())
    return wire, units


@st.composite
def cuts(draw, data, max_pieces=40):
    """`data` as a list of pieces: whole, byte by byte, in pieces of one small size, or cut at random places."""
    kind = draw(st.sampled_from(["whole", "bytes", "even", "random", "random"]))
    if kind == "whole" or len(data) < 2:
        return [data]
    if kind == "bytes":
        return [data[i : i + 1] for i in range(len(data))]
    if kind == "even":
        size = draw(st.integers(2, 7))
        return [data[i : i + size] for i in range(0, len(data), size)]
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=max_pieces)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
