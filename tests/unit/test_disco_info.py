"""What a client says of itself: read, added to, hashed as both XEPs have it, and said again so that the hash is right."""

from __future__ import annotations

import hashlib

import pytest
from bed import caps2_samples
from bed.caps_samples import COMPLEX, EXODUS, FEATURES, SIMPLE, result

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import caps, disco_info
from e2eproxy.xmpp.capability_hashes import FUNCTIONS, capability_hash
from e2eproxy.xmpp.caps import Identity
from e2eproxy.xmpp.disco_info import DiscoInfo
from e2eproxy.xmpp.stanza import Stanza

TYPE = "<field var='FORM_TYPE' type='hidden'><value>urn:f</value></field>"


def read(content):
    return disco_info.read(result(content))


def form(content, of="result"):
    return f"<x xmlns='jabber:x:data' type='{of}'>{content}</x>"


def again(info, node="n#v", lang=None):
    """What somebody else reads in the answer, on a stream of that language."""
    stamp = "" if lang is None else f" xml:lang='{lang}'"
    raw = b"<iq xmlns='jabber:client' type='result' id='1'%b>%b</iq>" % (stamp.encode(), info.query(node))
    return Stanza.parse(raw)


@pytest.mark.parametrize(
    ("content", "hashes"),
    [
        pytest.param(caps2_samples.SIMPLE, caps2_samples.SIMPLE_HASHES, id="simple"),
        pytest.param(caps2_samples.COMPLEX, caps2_samples.COMPLEX_HASHES, id="complex"),
    ],
)
def test_the_examples_of_xep_0390(content, hashes):
    assert {name: read(content).hash(name) for name in hashes} == hashes


def test_the_examples_of_xep_0115():
    assert read(EXODUS + FEATURES).ver() == SIMPLE
    psi = (
        "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>"
        "<identity xml:lang='el' category='client' name='\u03a8 0.11' type='pc'/>"
    )
    fields = (
        "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>"
        "<field var='ip_version'><value>ipv4</value><value>ipv6</value></field>"
        "<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>"
        "<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field>"
    )
    assert read(psi + FEATURES + form(fields)).ver() == COMPLEX


def test_every_function_by_its_length_and_one_value():
    lengths = {name: len(function(b"")) for name, function in FUNCTIONS.items()}
    assert lengths == {
        "sha-1": 20,
        "sha-224": 28,
        "sha-256": 32,
        "sha-384": 48,
        "sha-512": 64,
        "sha3-256": 32,
        "sha3-512": 64,
        "blake2b-256": 32,
        "blake2b-512": 64,
    }
    # Of RFC 7693, appendix A.
    assert FUNCTIONS["blake2b-512"](b"abc").hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e9")


@pytest.mark.parametrize("name", sorted(caps.VER_HASHES))
def test_verification_strings_in_other_functions(name):
    info = DiscoInfo((Identity("client", "pc"),), ("b", "a"))
    plain = hashlib.new(caps.VER_HASHES[name], b"client/pc//<a<b<").digest()
    assert info.ver(name) == capability_hash(name, b"client/pc//<a<b<")
    assert FUNCTIONS[name](b"client/pc//<a<b<") == plain


def test_what_is_said_twice_is_said_once():
    info = read(EXODUS * 2 + FEATURES * 2 + form(TYPE) + form(TYPE + "<field var='x'/>"))
    assert info == read(EXODUS + FEATURES + form(TYPE))
    assert caps.answer(again(read(EXODUS * 2 + FEATURES * 2))).ver == SIMPLE


@pytest.mark.parametrize(
    "unclear",
    [
        pytest.param("<field var='x'/>", id="without a type"),
        pytest.param(TYPE.replace("hidden", "text-single"), id="a type that is not hidden"),
        pytest.param(TYPE + TYPE, id="a type twice"),
        pytest.param(TYPE.replace("</field>", "<value>urn:f</value></field>"), id="a type in two values"),
        pytest.param(TYPE.replace("</field>", "<value>urn:g</value></field>"), id="two types"),
        pytest.param(TYPE.replace("<value>urn:f</value>", "<value/>"), id="an empty type"),
        pytest.param(TYPE + "<field var='x'/><field var='x'/>", id="a field twice"),
        pytest.param(TYPE + "<field type='fixed'><value>x</value></field>", id="a field without a name"),
        pytest.param(TYPE + "<item><field var='x'/></item>", id="items"),
        pytest.param(TYPE + "<reported/>", id="reported"),
        pytest.param(TYPE + "<other xmlns='urn:x'/>", id="something else"),
    ],
)
def test_forms_that_are_read_in_several_ways_are_left_out(unclear):
    assert read(EXODUS + FEATURES + form(unclear)).ver() == SIMPLE
    assert read(EXODUS + FEATURES + form(unclear)).forms == ()


def test_added_features_are_there_once():
    info = read(EXODUS + FEATURES).with_features(["urn:new", caps.DISCO_INFO])
    assert info.features.count("urn:new") == info.features.count(caps.DISCO_INFO) == 1
    assert info.with_features(["urn:new"]) == info


@pytest.mark.parametrize("lang", [None, "de"])
@pytest.mark.parametrize("content", [caps2_samples.SIMPLE, caps2_samples.COMPLEX, EXODUS, ""])
def test_what_is_said_again_has_the_same_hashes(content, lang):
    info = read(content).with_features(["urn:new<&'\""])
    heard = again(info, lang=lang)
    assert disco_info.read(heard).ver() == info.ver()
    assert disco_info.read(heard).hash("sha-256") == info.hash("sha-256")
    query = heard.child(caps.QUERY)
    assert query.attributes["node"] == "n#v"
    assert query.attributes[caps.names.LANG] == "", "a language of the stream is none of the identities"


def test_a_form_is_said_as_it_was_written():
    written = form(f"<!-- a --><field var='x' label='&lt;x&gt;'><value><![CDATA[1]]></value></field>{TYPE}")
    assert written.encode() in again(read(EXODUS + written)).raw


def test_a_form_takes_the_prefixes_of_its_stream_along():
    root = b"<stream:stream xmlns='jabber:client' xmlns:stream='s' xmlns:d='jabber:x:data'>"
    prefixed = form(TYPE).replace("<x xmlns='jabber:x:data'", "<d:x").replace("</x>", "</d:x>")
    prefixed = prefixed.replace("<field", "<d:field").replace("</field", "</d:field")
    prefixed = prefixed.replace("<value", "<d:value").replace("</value", "</d:value")
    raw = f"<iq type='result' id='1'><query xmlns='{caps.DISCO_INFO}'>{EXODUS}{prefixed}</query></iq>"
    info = disco_info.read(Stanza.parse(raw.encode(), root))
    assert disco_info.read(again(info)).ver() == info.ver() == read(EXODUS + form(TYPE)).ver()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"<feature var='{'x' * 70_000}'/>", id="too long"),
        pytest.param("".join(f"<feature var='{n}'/>" for n in range(1_001)), id="too many"),
        pytest.param(f"<feature var='{'x' * 1_024}'/>", id="a long one"),
    ],
)
def test_a_huge_answer_is_none(content):
    with pytest.raises(RemoteError):
        read(content)


def test_an_answer_about_something_else_is_none():
    with pytest.raises(RemoteError):
        disco_info.read(result(EXODUS, around="urn:x"))


# ---- features in an answer that passes ----


def answer_of(query):
    return Stanza.parse(b"<iq xmlns='jabber:client' type='result' id='1'>" + query + b"</iq>")


@pytest.mark.parametrize(
    "query",
    [
        b"<query xmlns='%b'><feature var='a'/></query>",
        b"<query xmlns='%b'/>",
        b"<query xmlns='%b'></query >",
        b"<q:query xmlns:q='%b'><q:feature var='a'/> <!-- x --></q:query>",
        b"<q:query xmlns:q='%b' />",
    ],
)
def test_features_are_added_and_all_else_stays(query):
    query = query.replace(b"%b", caps.DISCO_INFO.encode())
    stanza = answer_of(query)
    changed = stanza.changed(disco_info.more_features(stanza, ["a", "urn:n&"]))
    heard = disco_info.read(changed)
    assert set(heard.features) == {"a", "urn:n&"}
    assert disco_info.more_features(changed, ["a", "urn:n&"]) == changed.raw
    for part in (b"<feature var='a'/>", b" <!-- x -->"):
        assert (part in stanza.raw) <= (part in changed.raw)


def test_an_answer_without_anything_missing_stays():
    stanza = answer_of(b"<query xmlns='%b'><feature var='a'/></query>" % caps.DISCO_INFO.encode())
    assert disco_info.more_features(stanza, ["a"]) is stanza.raw
    assert disco_info.more_features(stanza, []) is stanza.raw


def test_what_is_asked():
    def ask(query):
        return disco_info.asked(Stanza.parse(f"<iq xmlns='jabber:client' type='get'>{query}</iq>".encode()))

    assert ask(f"<query xmlns='{caps.DISCO_INFO}' node='n#v'/>") == (True, "n#v")
    assert ask(f"<query xmlns='{caps.DISCO_INFO}' node=''/>") == (True, None)
    assert ask(f"<query xmlns='{caps.DISCO_INFO}'/>") == (True, None)
    assert ask("<query xmlns='http://jabber.org/protocol/disco#items'/>") == (False, None)
    assert ask("") == (False, None)
