"""The generator of stanzas is itself checked: what it draws is well-formed, and it does draw the shapes it is for."""

from __future__ import annotations

import re
from pyexpat import ExpatError, ParserCreate

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stanza_strategies import CLIENT_HEADER, CLIENT_NAMESPACE, SERVER_HEADER, cuts, stanza_sequences


def top_level_names(wire: bytes) -> list[str]:
    """The expanded names of the elements directly inside the stream, by a plain expat over all of `wire`."""
    parser = ParserCreate("utf-8", "\x01")
    names: list[str] = []
    depth = 0

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 2:
            names.append(name)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(wire, False)
    parser.Parse(b"</stream:stream>", True)
    return names


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stanza_sequences(), st.sampled_from([CLIENT_HEADER, SERVER_HEADER]))
def test_every_sequence_is_well_formed_and_in_the_client_namespace(drawn, header):
    wire, units = drawn
    names = top_level_names(header + wire)
    assert len(names) == len(units)
    assert {name.partition("\x01")[0] for name in names} == {CLIENT_NAMESPACE}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_cuts_lose_nothing(data):
    wire, _ = data.draw(stanza_sequences(max_size=2))
    pieces = data.draw(cuts(wire))
    assert b"".join(pieces) == wire
    assert all(pieces)


def separator_refused(wire: bytes) -> bool:
    parser = ParserCreate("utf-8", "}")
    try:
        parser.Parse(CLIENT_HEADER + wire, False)
    except ExpatError:
        return True
    return False


SHAPES = {
    "self-closing root": lambda wire: wire.endswith(b"/>"),
    "empty root in two tags": lambda wire: re.fullmatch(rb"<(presence|iq|message)[^<>]*></\1\s*>", wire),
    "CDATA": lambda wire: b"<![CDATA[" in wire,
    "mark-up inside CDATA": lambda wire: re.search(rb"<!\[CDATA\[[^]]*</stream:stream>", wire),
    "raw > in double quotes": lambda wire: b'">' in wire and b'>"' in wire,
    "both quote styles": lambda wire: b"='" in wire and b'="' in wire,
    "prefix bound by the header": lambda wire: b"<h:" in wire and b"xmlns:h" not in wire,
    "root by prefix": lambda wire: wire.startswith(b"<c:"),
    "default namespace undone": lambda wire: b"xmlns=''" in wire,
    "xml:lang": lambda wire: b"xml:lang" in wire,
    "outside the BMP": lambda wire: any(byte >= 0xF0 for byte in wire),
    "non-ASCII name": lambda wire: any(b"<" + start.encode() in wire for start in "éαж中한Àø"),
    "line end in a start tag": lambda wire: wire.startswith((b"<iq\n", b"<message\n", b"<presence\n")),
    "namespace with the habitual separator": separator_refused,
}


def test_every_shape_is_drawn():
    """Fixed seed: 200 sequences of up to 6 stanzas hold each of the spellings that the strategies are for."""
    seen: dict[str, bytes] = {}

    @settings(
        max_examples=200,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(stanza_sequences())
    def draw(drawn):
        for unit in drawn[1]:
            seen.update({shape: unit for shape, holds in SHAPES.items() if shape not in seen and holds(unit)})

    draw()
    assert set(seen) == set(SHAPES)
