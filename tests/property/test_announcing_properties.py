"""Whatever a client says of itself: what its presence announces is the hash of what is answered, as anybody else computes it.

The hashes are computed here once more, from the XML that a contact gets and by another parser, straight from the two XEPs.
"""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree as ET

from bed.caps_samples import c
from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.proxy import announcing
from e2eproxy.proxy.announcing import Announcing
from e2eproxy.proxy.notices import PROXY
from e2eproxy.xmpp import caps, names, own_caps
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build, element

OWN = JID.parse("juliet@example.test/balcony")
METHOD = "urn:method<0/&"
INFO = f"{{{caps.DISCO_INFO}}}"
DATA = "{jabber:x:data}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"

_TEXT = st.text(
    st.sampled_from(list("ab/<>&'\" .#\u00fc\U0001f600\ue000"))
    | st.characters(codec="utf-8", categories=["L"]),
    max_size=6,
)
_NAMES = st.sampled_from(["a", "b", "FORM_TYPE", "urn:x", ""]) | _TEXT
_FIELDS = st.builds(
    lambda var, kind, values: element(
        "field", {"var": var, "type": kind}, b"".join(element("value", {}, _escaped(one)) for one in values)
    ),
    st.none() | _NAMES,
    st.sampled_from([None, "hidden", "text-multi"]),
    st.lists(_TEXT, max_size=3),
)
_TYPE = st.builds(
    lambda kind: element(
        "field", {"var": "FORM_TYPE", "type": "hidden"}, element("value", {}, _escaped(kind))
    ),
    st.sampled_from(["urn:f", "urn:g", "a<b"]),
)
_FORMS = st.builds(
    lambda kind, fields: element("x", {"xmlns": "jabber:x:data", "type": "result"}, kind + b"".join(fields)),
    _TYPE | st.just(b""),
    st.lists(_FIELDS, max_size=3),
)
_IDENTITIES = st.builds(
    lambda category, kind, name, lang: element(
        "identity", {"category": category, "type": kind, "name": name, "xml:lang": lang}
    ),
    _TEXT,
    _TEXT,
    st.none() | _TEXT,
    st.sampled_from([None, "", "en", "de"]),
)
_FEATURES = st.builds(
    lambda var: element("feature", {"var": var}), st.sampled_from([METHOD, "a", "b"]) | _TEXT
)
_CONTENTS = st.lists(_IDENTITIES | _FEATURES | _FORMS, max_size=8).map(b"".join)
_ALGORITHMS = st.sampled_from(["sha-1", "sha-256", "sha3-256", "blake2b-256", "md5", ""])
_OLD = st.builds(
    lambda name, node: c(f"hash='{name}' node='{node}' ver='x'"), _ALGORITHMS, st.sampled_from(["urn:n", ""])
)
_NEW = st.lists(_ALGORITHMS, max_size=3).map(
    lambda every: (
        "<c xmlns='urn:xmpp:caps'>"
        + "".join(f"<hash xmlns='urn:xmpp:hashes:2' algo='{one}'>x</hash>" for one in every)
        + "</c>"
    )
)
_PRESENCES = st.lists(_OLD | _NEW | st.just("<show>away</show>"), max_size=3).map(
    lambda parts: Stanza.parse(f"<presence xmlns='jabber:client'>{''.join(parts)}</presence>".encode())
)


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").encode()


class Client:
    """An Announcing whose client answers with *content* at once, if it answers."""

    def __init__(self, content):
        self.content = content
        self.asked = []
        self.gone = []
        self.timers = []
        self.machine = Announcing(
            OWN,
            lambda: [METHOD],
            proxy=PROXY,
            to_client=lambda raw: self.asked.append(Stanza.parse(raw)),
            later=lambda _seconds, function: self.timers.append(function),
            go_on=lambda every: [self.says(one) for one in every],
            may_know=lambda _asker: True,
        )

    def says(self, stanza):
        if not self.machine.answered(stanza):
            taken = self.machine.from_client(stanza)
            if taken is not None:
                self.gone.append(taken)

    def answers(self):
        while self.asked:
            asked = self.asked.pop()
            node = asked.child(caps.QUERY).attributes.get("node")
            query = element("query", {"xmlns": caps.DISCO_INFO, "node": node}, self.content)
            self.says(Stanza.parse(build("iq", {"type": "result", "to": asked.from_, "id": asked.id}, query)))


def _sha(name):
    plain = {"blake2b-256": lambda data: hashlib.blake2b(data, digest_size=32)}
    made = plain.get(name) or getattr(hashlib, name.replace("sha-", "sha").replace("-", "_"))
    return lambda data: base64.b64encode(made(data).digest()).decode()


def _parts(query):
    identities = [
        tuple(one.get(key, "") for key in ("category", "type", LANG, "name"))
        for one in query.iter(INFO + "identity")
    ]
    features = [one.get("var") for one in query.iter(INFO + "feature")]
    forms = [
        [
            (one.get("var"), [value.text or "" for value in one.iter(DATA + "value")])
            for one in form.iter(DATA + "field")
        ]
        for form in query.iter(DATA + "x")
    ]
    for said in (
        identities,
        features,
        [dict(form)["FORM_TYPE"][0] for form in forms],
    ):
        assert len(said) == len(set(said)), "it would be ill-formed"
    return identities, features, forms


def ver(query, name):
    """XEP-0115, section 5.1."""
    identities, features, forms = _parts(query)
    said = "".join(f"{'/'.join(one)}<" for one in sorted(identities))
    said += "".join(f"{one}<" for one in sorted(features))
    for form in sorted(forms, key=lambda form: dict(form)["FORM_TYPE"]):
        said += f"{dict(form)['FORM_TYPE'][0]}<"
        for var, values in sorted(form):
            if var != "FORM_TYPE":
                said += f"{var}<" + "".join(f"{value}<" for value in sorted(values))
    return _sha(name)(said.encode())


def capability_hash(query, name):
    """XEP-0390, section 4.1."""
    identities, features, forms = _parts(query)

    def joined(parts):
        return b"".join(sorted(parts))

    said = joined(one.encode() + b"\x1f" for one in features) + b"\x1c"
    said += (
        joined(b"".join(text.encode() + b"\x1f" for text in one) + b"\x1e" for one in identities) + b"\x1c"
    )
    said += (
        joined(
            joined(
                var.encode() + b"\x1f" + joined(value.encode() + b"\x1f" for value in values) + b"\x1e"
                for var, values in form
            )
            + b"\x1d"
            for form in forms
        )
        + b"\x1c"
    )
    return _sha(name)(said)


@given(_CONTENTS, _PRESENCES)
def test_every_hash_in_a_presence_is_that_of_the_answer(content, presence):
    client = Client(content)
    client.says(presence)
    client.answers()
    (went,) = client.gone
    if went is presence:
        return
    found = own_caps.announced(went)
    assert found.nodes
    for node in found.nodes:
        asks = element("query", {"xmlns": caps.DISCO_INFO, "node": node})
        told = client.machine.answer(Stanza.parse(build("iq", {"type": "get", "id": "1"}, asks)))
        query = ET.fromstring(told.raw)[0]
        assert query.get("node") == node
        assert METHOD in [one.get("var") for one in query]
        if found.caps is not None and node == found.caps.full_node:
            assert ver(query, found.caps.hash) == found.caps.ver
        for name, value in found.hashes:
            assert capability_hash(query, name) == value


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("presence"), _PRESENCES),
        st.tuples(st.just("content"), _CONTENTS),
        st.tuples(st.just("answers"), st.none()),
        st.tuples(st.just("late"), st.none()),
        st.tuples(st.just("message"), st.none()),
    ),
    max_size=30,
)


@given(_STEPS)
def test_nothing_is_lost_or_turned_round_and_all_is_bounded(steps):
    client = Client(b"")
    said = []
    for number, (what, value) in enumerate(steps):
        if what in {"presence", "message"}:
            raw = f"<message xmlns='jabber:client' id='{number}'/>".encode()
            one = Stanza.parse(raw if value is None else value.with_attributes({"id": str(number)}))
            said.append(str(number))
            client.says(one)
        elif what == "content":
            client.content = value
        elif what == "answers":
            client.answers()
        else:
            for late in client.timers:
                late()
        machine = client.machine
        assert [one.id for one in (*client.gone, *machine.waiting)] == said
        assert len(machine._known) <= announcing.MOST_KNOWN
        assert len(machine._questions) <= announcing.MOST_KNOWN
        assert len(machine._sets) <= announcing.MOST_SETS
    client.machine.give_up()
    assert [one.id for one in client.gone] == said
    assert all(one.name in names.STANZAS for one in client.gone)
