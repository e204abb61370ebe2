"""What a presence announces, and the same presence announcing something else: only the hashes are other bytes."""

from __future__ import annotations

import pytest
from bed import caps2_samples
from bed.caps_samples import EXODUS, FEATURES, SIMPLE, c, presence, result

from e2eproxy.xmpp import caps, disco_info, own_caps
from e2eproxy.xmpp.caps import Caps
from e2eproxy.xmpp.own_caps import NOTHING, Announced
from e2eproxy.xmpp.stanza import BadElement, Stanza

NODE = "https://e2eproxy.localhost/"
INFO = disco_info.read(result(EXODUS + FEATURES))
MORE = INFO.with_features(["urn:new"])
OLD = c(f"hash='sha-1' node='urn:n' ver='{SIMPLE}'")
SHA256 = INFO.hash("sha-256")


def new(**hashes):
    inside = "".join(
        f"<hash xmlns='urn:xmpp:hashes:2' algo='{name.replace('_', '-')}'>{value}</hash>"
        for name, value in hashes.items()
    )
    return f"<c xmlns='urn:xmpp:caps'>{inside}</c>"


def rewritten(content, info=MORE):
    stanza = presence(content)
    made = own_caps.rewritten(stanza, info, NODE)
    return stanza.changed(made.raw), made.nodes


# ---- what is announced ----


def test_both_kinds_are_read():
    found = own_caps.announced(presence(OLD + new(sha_256=f" {SHA256}\n", other="x")))
    assert found == Announced(Caps("urn:n", SIMPLE, "sha-1"), (("sha-256", SHA256), ("other", "x")))
    assert found.nodes == {f"urn:n#{SIMPLE}", f"urn:xmpp:caps#sha-256.{SHA256}", "urn:xmpp:caps#other.x"}
    assert found.node == f"urn:n#{SIMPLE}"
    assert found.is_of(INFO)
    assert not found.is_of(MORE)


def test_the_new_kind_alone():
    found = own_caps.announced(presence(new(sha_256=SHA256)))
    assert found.node == f"urn:xmpp:caps#sha-256.{SHA256}"
    assert found.is_of(INFO)
    assert not found.is_of(MORE)


def test_a_version_from_before_the_hash_is_no_proof_and_all_features_are_asked_for():
    found = own_caps.announced(presence(c("node='urn:n' ver='0.11' ext='a b'")))
    assert found.node is None
    assert not found.is_of(INFO)


@pytest.mark.parametrize("content", ["", "<c xmlns='urn:x'/>", new(), c("node='n'"), new(sha_256="x" * 200)])
def test_nothing_is_announced(content):
    assert own_caps.announced(presence(content)) == NOTHING
    assert NOTHING.node is None
    assert not NOTHING.is_of(INFO)


def test_a_flood_of_hashes_is_bounded():
    many = new(**{f"a{n}": "x" for n in range(100)})
    assert len(own_caps.announced(presence(many)).hashes) == own_caps.MOST
    _, nodes = rewritten(new(**dict.fromkeys(["sha_1"], "x")).replace("</c>", "") + "</c>")
    assert len(nodes) == 1


def test_what_cannot_be_read_raises_bad_element():
    broken = Stanza(b"<presence><c></presence>", b"<x>", caps.names.PRESENCE, {})
    with pytest.raises(BadElement):
        own_caps.announced(broken)


# ---- announced anew ----


def test_only_the_value_changes():
    raw = (
        "<x xmlns='urn:x'/> <c:c xmlns:c='http://jabber.org/protocol/caps'  ext = \"a b\" node='urn:n'\n"
        f"ver = \"{SIMPLE}\" hash='sha-1' ></c:c><!-- ver='{SIMPLE}' --><status>{SIMPLE}</status>"
    )
    stanza, nodes = rewritten(raw)
    assert stanza.raw == presence(raw.replace(f'"{SIMPLE}"', f'"{MORE.ver()}"')).raw
    assert nodes == {f"urn:n#{MORE.ver()}"}
    assert own_caps.announced(stanza).is_of(MORE)


def test_the_same_set_leaves_the_same_bytes():
    stanza, _ = rewritten(OLD + new(sha_256=SHA256), INFO)
    assert stanza.raw == presence(OLD + new(sha_256=SHA256)).raw


@pytest.mark.parametrize("name", sorted(caps.VER_HASHES))
def test_the_function_of_the_client_is_kept(name):
    stanza, nodes = rewritten(c(f"hash='{name}' node='urn:n' ver='x'"))
    found = own_caps.announced(stanza)
    assert found.caps == Caps("urn:n", MORE.ver(name), name)
    assert nodes == {found.caps.full_node}


@pytest.mark.parametrize(
    "old",
    [
        pytest.param("node='urn:n' ver='0.11' ext='voice'", id="before the hash"),
        pytest.param("node='urn:n' hash='md5' ver='x'", id="a function nobody should use"),
        pytest.param("node='urn:n' hash='sha-1'", id="no value"),
    ],
)
def test_what_cannot_be_computed_becomes_what_can(old):
    stanza, nodes = rewritten(c(old))
    assert own_caps.announced(stanza).caps == Caps("urn:n", MORE.ver(), "sha-1")
    assert nodes == {f"urn:n#{MORE.ver()}"}
    assert stanza.raw.count(b"<c ") == 1


def test_a_program_without_a_name_gets_one():
    stanza, nodes = rewritten(c(f"hash='sha-1' node='' ver='{SIMPLE}'"))
    assert own_caps.announced(stanza).caps == Caps(NODE, MORE.ver(), "sha-1")
    assert nodes == {f"{NODE}#{MORE.ver()}"}


@pytest.mark.parametrize(
    "raw", [b"<presence xmlns='jabber:client'/>", b"<presence xmlns='jabber:client'>\n</presence>"]
)
def test_a_presence_without_any_gets_one(raw):
    stanza = Stanza.parse(raw)
    made = own_caps.rewritten(stanza, MORE, NODE)
    assert own_caps.announced(stanza.changed(made.raw)) == Announced(Caps(NODE, MORE.ver(), "sha-1"))
    assert made.nodes == {f"{NODE}#{MORE.ver()}"}


def test_every_hash_of_the_new_kind_is_computed():
    raw = new(sha_256=SHA256, sha3_256="x", blake2b_512="y").replace(
        "algo='sha3-256'>x<", 'algo="sha3-256"> x\n<'
    )
    stanza, nodes = rewritten(OLD + raw)
    found = own_caps.announced(stanza)
    assert [name for name, _ in found.hashes] == ["sha-256", "sha3-256", "blake2b-512"]
    assert all(MORE.hash(name) == value for name, value in found.hashes)
    assert nodes == found.nodes


def test_hashes_that_nobody_here_can_compute_are_left_out():
    stanza, nodes = rewritten(new(md2="x", sha_256=SHA256))
    assert own_caps.announced(stanza).hashes == (("sha-256", MORE.hash("sha-256")),)
    stanza, nodes = rewritten(new(md2="x"))
    assert own_caps.announced(stanza).hashes == (("sha-256", MORE.hash("sha-256")),)
    assert nodes == own_caps.announced(stanza).nodes


def test_an_empty_hash_element_gets_a_value():
    empty = "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'/></c>"
    assert own_caps.announced(rewritten(empty)[0]).hashes == (("sha-256", MORE.hash("sha-256")),)


def test_of_several_elements_the_first_one_stands():
    stanza, nodes = rewritten(
        OLD + c("hash='sha-256' node='urn:m' ver='x'") + new(sha_256="x") + new(sha_512="y")
    )
    assert nodes == {f"urn:n#{MORE.ver()}", f"urn:xmpp:caps#sha-256.{MORE.hash('sha-256')}"}
    assert own_caps.announced(stanza).nodes == nodes
    assert stanza.raw.count(b"<c ") == 2


def test_the_examples_as_they_are_announced():
    info = disco_info.read(result(caps2_samples.COMPLEX))
    found = own_caps.announced(
        presence(new(**{k.replace("-", "_"): v for k, v in caps2_samples.COMPLEX_HASHES.items()}))
    )
    assert found.is_of(info)
