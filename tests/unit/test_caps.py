"""Verification strings as XEP-0115 has them, and answers that are not believed in the name of others."""

from __future__ import annotations

import pytest
from bed.caps_samples import BASIC, COMPLEX, EXODUS, FEATURES, SIMPLE, c, presence, result

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import caps
from e2eproxy.xmpp.caps import Caps, Form, Identity
from e2eproxy.xmpp.stanza import Stanza

PSI = (
    "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>"
    "<identity xml:lang='el' category='client' name='\u03a8 0.11' type='pc'/>"
)
SOFTWARE_TYPE = "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>"
SOFTWARE_FIELDS = (
    "<field var='software_version'><value>0.11</value></field>"
    "<field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>"
    "<field var='os'><value>Mac</value></field>"
    "<field var='os_version'><value>10.5.1</value></field>"
    "<field var='software'><value>Psi</value></field>"
)


def form(content, of="result"):
    return f"<x xmlns='jabber:x:data' type='{of}'>{content}</x>"


SOFTWARE = form(SOFTWARE_TYPE + SOFTWARE_FIELDS)


def ver(content):
    return caps.answer(result(content)).ver


def test_the_simple_example():
    info = caps.answer(result(EXODUS + FEATURES))
    assert info.features == frozenset(BASIC)
    assert info.ver == SIMPLE
    assert caps.verification_string([Identity("client", "pc", name="Exodus 0.9.1")], BASIC) == SIMPLE


def test_the_complex_example():
    assert ver(PSI + FEATURES + SOFTWARE) == COMPLEX


def test_order_does_not_matter():
    turned = "".join(f"<feature var='{feature}'/>" for feature in reversed(BASIC))
    fields = "<field var='os'><value>Mac</value></field><field var='software'><value>Psi</value></field>"
    rest = SOFTWARE_FIELDS.replace("<field var='os'><value>Mac</value></field>", "").replace(
        "<field var='software'><value>Psi</value></field>", ""
    )
    one, other = PSI.split("/>", 1)
    assert ver(form(fields + SOFTWARE_TYPE + rest) + turned + other + one + "/>") == COMPLEX


def test_identities_are_sorted_by_category_first():
    # As joined texts they would sort the other way: "-" comes before "/".
    short, long = Identity("a", "z"), Identity("a-b", "a")
    assert caps.verification_string([long, short], []) == caps.verification_string([short, long], [])
    # SHA-1 of "a/z//<a-b/a//<", by openssl.
    assert caps.verification_string([long, short], []) == "k9QiXr5yKjRWNVFJ5aTQitZF2cc="


def test_identities_are_sorted_by_type_before_language():
    every = [Identity("a", "z", "el", "n"), Identity("a", "b", "en", "n")]
    # SHA-1 of "a/b/en/n<a/z/el/n<", by openssl.
    assert caps.verification_string(every, []) == "ALjkqp6j2DPaSoAa3uVjpGwWruc="


def test_forms_are_sorted_by_type_and_fields_by_name():
    forms = [Form("b"), Form("a", (("y", ("2", "1")), ("x", ())))]
    # SHA-1 of "c/d//<f<a<x<y<1<2<b<", by openssl.
    assert caps.verification_string([Identity("c", "d")], ["f"], forms) == "32ba8wVdRcpanzM8aYASGU7Y16A="


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(EXODUS + EXODUS + FEATURES, id="identity twice"),
        pytest.param(EXODUS + FEATURES + f"<feature var='{BASIC[0]}'/>", id="feature twice"),
        pytest.param(PSI + FEATURES + SOFTWARE + SOFTWARE, id="form twice"),
        pytest.param(
            PSI + FEATURES + form(SOFTWARE_TYPE.replace("</field>", "<value>x</value></field>")),
            id="two types",
        ),
        pytest.param(EXODUS + FEATURES + "<feature/>", id="feature without a name"),
    ],
)
def test_an_ill_formed_answer_is_good_for_nobody_else(content):
    info = caps.answer(result(content))
    assert info.ver is None
    assert info.features == frozenset(BASIC)


def test_a_form_without_hidden_type_is_ignored():
    for type_field in (
        "",
        SOFTWARE_TYPE.replace("hidden", "text-single"),
        SOFTWARE_TYPE.replace(" type='hidden'", ""),
    ):
        assert ver(EXODUS + FEATURES + form(type_field + SOFTWARE_FIELDS)) == SIMPLE
    assert ver(EXODUS + FEATURES + form("<field var='FORM_TYPE' type='hidden'/>")) == SIMPLE


def test_only_data_forms_are_hashed():
    foreign = SOFTWARE.replace("jabber:x:data", "urn:x")
    inside = foreign.replace("<field", "<field xmlns='jabber:x:data'")
    assert ver(EXODUS + FEATURES + foreign + inside) == SIMPLE
    noise = "<note xmlns='urn:x' var='os' type='hidden'/>"
    noisy = SOFTWARE.replace("<value>", "<note xmlns='urn:x'>x</note><value>").replace(
        "<field", noise + "<field", 1
    )
    assert ver(PSI + FEATURES + noisy) == COMPLEX


def test_a_hidden_field_is_a_field():
    hidden = SOFTWARE.replace("var='os'", "var='os' type='hidden'")
    assert ver(PSI + FEATURES + hidden) == COMPLEX


def test_every_field_of_the_known_form_is_known():
    for name in ("icon", "ip_version", "os", "os_version", "software", "software_version"):
        assert ver(EXODUS + FEATURES + form(SOFTWARE_TYPE + f"<field var='{name}'/>")) is not None


def test_the_same_type_twice_in_one_field_is_one():
    twice = SOFTWARE_TYPE.replace("</field>", "<value>urn:xmpp:dataforms:softwareinfo</value></field>")
    assert ver(PSI + FEATURES + form(twice + SOFTWARE_FIELDS)) == COMPLEX


def features(*wanted):
    return "".join(f"<feature var='{feature}'/>" for feature in wanted)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(
            "<identity category='client' type='pc' name='Exodus 0.9.1&lt;http://jabber.org/protocol/caps'/>"
            + features(*BASIC[1:]),
            id="behind a name",
        ),
        pytest.param(
            EXODUS
            + "<identity category='http:' type='' xml:lang='jabber.org' name='protocol/caps'/>"
            + features(*BASIC[1:]),
            id="as an identity",
        ),
        pytest.param(
            EXODUS
            + features(
                *BASIC[:2], "http://jabber.org/protocol/disco#items&lt;http://jabber.org/protocol/muc"
            ),
            id="joined to another",
        ),
        pytest.param(
            EXODUS
            + features(*BASIC[:3])
            + form(f"<field var='FORM_TYPE' type='hidden'><value>{BASIC[3]}</value></field>"),
            id="as the type of a form",
        ),
        pytest.param(
            EXODUS
            + features(*BASIC[:2])
            + form(
                f"<field var='FORM_TYPE' type='hidden'><value>{BASIC[2]}</value></field><field var='{BASIC[3]}'/>"
            ),
            id="as a field",
        ),
    ],
)
def test_a_feature_cannot_be_taken_out_under_the_same_hash(forged):
    """Each of these is hashed like the simple example, but lists fewer features."""
    answer = result(forged)
    parts = answer.tree.children[0].children
    hashed = caps.verification_string(
        [caps.identity_of(part) for part in parts if part.name == caps.IDENTITY],
        [part.attributes["var"] for part in parts if part.name == caps.FEATURE],
        [caps.form_of(part) for part in parts if part.name == caps.DATA + "x"],
    )
    assert hashed == SIMPLE
    info = caps.answer(answer)
    assert not info.features >= frozenset(BASIC)
    assert info.ver is None


@pytest.mark.parametrize(
    "forged",
    [
        "<field var='os'><value>Mac&lt;urn:x</value></field>",
        "<field var='urn:x'/>",
        "<field><value>x</value></field>",
    ],
)
def test_a_known_form_holds_known_fields_only(forged):
    assert ver(EXODUS + FEATURES + form(SOFTWARE_TYPE)) is not None
    assert ver(EXODUS + FEATURES + form(SOFTWARE_TYPE + forged)) is None


@pytest.mark.parametrize(
    "identity",
    [
        "<identity type='pc'/>",
        "<identity category='client'/>",
        "<identity category='client' type='a/b'/>",
        "<identity category='client' type='a&lt;b'/>",
        "<identity category='client' type='pc' xml:lang='a/b'/>",
    ],
)
def test_an_identity_can_be_read_in_one_way(identity):
    assert ver(EXODUS + FEATURES) is not None
    assert ver(EXODUS + identity + FEATURES) is None


def test_an_inherited_language_is_not_the_identity_s():
    raw = result(EXODUS + FEATURES).raw.replace(b"<iq ", b"<iq xml:lang='en' ")
    assert caps.answer(Stanza.parse(raw)).ver == SIMPLE


def test_foreign_elements_are_no_features():
    other = "<feature xmlns='urn:x' var='urn:x'/><x xmlns='urn:x'/>"
    info = caps.answer(result(EXODUS + other + FEATURES))
    assert info == caps.Info(frozenset(BASIC), SIMPLE)


def test_an_answer_has_bounds():
    many = features(*map(str, range(1_000)))
    assert len(caps.answer(result(many)).features) == 1_000
    with pytest.raises(RemoteError):
        caps.answer(result(many + "<feature var='x'/>"))
    assert len(caps.answer(result(features("x" * 1_023))).features) == 1
    with pytest.raises(RemoteError):
        caps.answer(result(features("x" * 1_024)))


def test_an_answer_about_something_else_is_none():
    with pytest.raises(RemoteError):
        caps.answer(result(EXODUS, "http://jabber.org/protocol/disco#items"))


def test_what_a_presence_announces():
    found = caps.announced(presence(c(f"hash='sha-1' node='urn:n' ver='{SIMPLE}'")))
    assert found == Caps("urn:n", SIMPLE, "sha-1")
    assert found.verifiable
    assert found.full_node == "urn:n#" + SIMPLE
    assert not caps.announced(presence(c(f"node='urn:n' ver='{SIMPLE}'"))).verifiable
    assert not caps.announced(presence(c(f"hash='sha-256' node='urn:n' ver='{SIMPLE}'"))).verifiable
    assert not caps.announced(presence(c("hash='sha-1' node='urn:n' ver='0.11'"))).verifiable


@pytest.mark.parametrize(
    ("content", "used"),
    [
        ("", False),
        ("<c xmlns='urn:xmpp:caps' node='n' ver='v'/>", False),
        (c("node='n'"), False),
        (c("ver='v'"), False),
        (c("node='' ver='v'"), False),
        (c("node='n' ver=''"), False),
        (c("node='n' ver='v'"), True),
        (c(f"node='{'n' * 256}' ver='{'v' * 128}'"), True),
        (c(f"node='{'n' * 257}' ver='v'"), False),
        (c(f"node='n' ver='{'v' * 129}'"), False),
    ],
)
def test_caps_that_cannot_be_used_are_none(content, used):
    assert (caps.announced(presence(content)) is not None) is used
