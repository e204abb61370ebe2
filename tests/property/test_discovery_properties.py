"""Whatever peers send, in whatever order: nothing is raised, all bounds hold, and each question ends once."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter

from bed.caps_samples import EXODUS, FEATURES, SIMPLE, c, presence, result
from hypothesis import assume, given
from hypothesis import strategies as st

from e2eproxy.errors import RemoteError
from e2eproxy.proxy.discovery import Bounds, Discovery
from e2eproxy.xmpp import caps, names
from e2eproxy.xmpp.caps import Form, Identity
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, escape_value

BOUNDS = Bounds(peers=6, resources=3, vers=2, kept_bytes=4_000, questions=4, of_one=2)
PEERS = [JID.parse(f"{who}@example.test/{where}") for who in "abc" for where in range(5)]
CONTACT = PEERS[0].bare

_BROKEN = st.sampled_from(
    [
        b"<c xmlns='http://jabber.org/protocol/caps'",
        b"<x>",
        b"</presence>",
        b"\xff",
        b"&a;",
        b"<c:c xmlns:c='http://jabber.org/protocol/caps' ver='1'/>",
        f"<query xmlns='{caps.DISCO_INFO}'>".encode(),
        f"<query xmlns='{caps.DISCO_INFO}'/>".encode(),
        b"<feature var='",
        b"<feature/>",
        b"<identity xml:lang='",
        b"<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'>",
        b"<value>",
        b"'/>",
        b"",
    ]
)
_RAW = st.lists(st.one_of(_BROKEN, st.binary(max_size=5)), max_size=6).map(b"".join)
_TYPES = st.sampled_from([None, "unavailable", "error", "result", "subscribe", "get"])


def _written(kind, raw, what):
    """A stanza with anything inside, as no framer would let it through."""
    attributes = {} if what is None else {"type": what}
    whole = b"<%b xmlns='jabber:client'>%b</%b>" % (kind, raw, kind)
    return Stanza(whole, b"<x>", names.CLIENT + names.SEPARATOR + kind.decode(), attributes)


_PRESENCES = st.one_of(
    st.builds(_written, st.just(b"presence"), _RAW, _TYPES),
    st.sampled_from([SIMPLE, f"{1:027}=", "0.11"]).map(
        lambda ver: presence(c(f"hash='sha-1' node='n' ver='{ver}'"))
    ),
)
_ANSWERS = st.one_of(
    st.none(),
    st.builds(_written, st.just(b"iq"), _RAW, _TYPES),
    st.sampled_from([result(EXODUS + FEATURES), result(EXODUS), result(FEATURES * 2)]),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("presence"), st.sampled_from(PEERS), _PRESENCES),
        st.tuples(st.just("wanted"), st.sampled_from([*PEERS, *(peer.bare for peer in PEERS)]), st.none()),
        st.tuples(st.just("answered"), st.integers(0, 40), _ANSWERS),
    ),
    max_size=60,
)


@given(_STEPS)
def test_every_question_ends_once_and_all_is_bounded(steps):
    asked, found = {}, Counter()
    tokens = itertools.count()
    discovery = Discovery(
        lambda to, _node, token: asked.__setitem__(token, to),
        lambda peer, features, known: found.update({(peer, known or not features): 1}),
        lambda: str(next(tokens)),
        is_contact=lambda jid: jid == CONTACT,
        bounds=BOUNDS,
    )
    for what, whom, stanza in steps:
        if what == "presence":
            discovery.presence(whom, stanza)
        elif what == "wanted":
            discovery.wanted(whom)
        else:
            discovery.answered(str(whom), stanza)
        _check(discovery)
    # What was not known was never given features.
    assert all(fits for _, fits in found)
    told = sum(found.values())
    still_open = len(discovery._open)
    for token in list(asked) * 2:
        discovery.answered(token, None)
    assert sum(found.values()) == told + still_open
    assert sum(found.values()) >= len(asked)
    assert not discovery._open


def _check(discovery):
    peers = discovery._peers
    assert len(peers) <= BOUNDS.peers
    assert set(peers._all) == set(peers._strangers) | set(peers._contacts)
    assert not set(peers._strangers) & set(peers._contacts)
    assert {peer for mine in peers._resources.values() for peer in mine} == set(peers._all)
    assert all(0 < len(mine) <= BOUNDS.resources for mine in peers._resources.values())
    assert len(discovery.answers) <= BOUNDS.vers
    assert discovery.answers.memory <= BOUNDS.kept_bytes
    assert len(discovery._open) <= BOUNDS.questions
    of_one = Counter(question.peer.bare for question in discovery._open.values())
    assert all(number <= BOUNDS.of_one for number in of_one.values())


@given(st.binary(max_size=40), _RAW)
def test_only_remote_errors_leave_the_readers(anything, raw):
    for stanza in (
        _written(b"iq", raw, "result"),
        _written(b"iq", f"<query xmlns='{caps.DISCO_INFO}'>".encode() + raw + b"</query>", "result"),
        Stanza(anything, b"<x>", names.IQ, {}),
    ):
        for read in (caps.answer, caps.announced):
            with contextlib.suppress(RemoteError):
                read(stanza)


_TOKENS = st.sampled_from(["a", "b", "http:", "urn:x", "/", "<", "softwareinfo", "\u03a8", "\U0001f512"])
_WORDS = st.lists(_TOKENS, min_size=1, max_size=3).map("".join)
_IDENTITIES = st.lists(
    st.builds(Identity, st.sampled_from("ab"), st.sampled_from("cd"), st.sampled_from(["", "el"]), _WORDS),
    unique=True,
    max_size=3,
)
_FEATURES = st.lists(_WORDS, unique=True, max_size=4)


def _answer(identities, features, forms):
    def quoted(text):
        return f"'{escape_value(text)}'"

    said = [
        f"<identity category={quoted(one.category)} type={quoted(one.type)} name={quoted(one.name)}"
        + (f" xml:lang={quoted(one.lang)}/>" if one.lang else "/>")
        for one in identities
    ]
    said += [f"<feature var={quoted(one)}/>" for one in features]
    for form in forms:
        fields = f"<field var='FORM_TYPE' type='hidden'><value>{form.type}</value></field>"
        for var, values in form.fields:
            said_values = "".join(f"<value>{escape_value(value)}</value>" for value in values)
            fields += f"<field var={quoted(var)}>{said_values}</field>"
        said.append(f"<x xmlns='jabber:x:data'>{fields}</x>")
    return result("".join(said))


_SOFTWARE = st.lists(
    st.tuples(st.sampled_from(["os", "software"]), st.lists(_WORDS, max_size=2).map(tuple)),
    unique_by=lambda pair: pair[0],
    max_size=2,
).map(lambda fields: Form("urn:xmpp:dataforms:softwareinfo", tuple(fields)))
_FORMS = st.one_of(st.just(()), _SOFTWARE.map(lambda form: (form,)))


@given(_IDENTITIES, _FEATURES, _FORMS, st.randoms(use_true_random=False))
def test_the_same_answer_in_another_order_is_the_same(identities, features, forms, random):
    info = caps.answer(_answer(identities, features, forms))
    assert info.features == frozenset(features)
    if info.ver is not None:
        assert info.ver == caps.verification_string(identities, features, forms)
    for several in (identities, features):
        random.shuffle(several)
    assert caps.answer(_answer(identities, features, forms)) == info


@given(_IDENTITIES, _FEATURES)
def test_a_feature_that_became_something_else_is_not_believed(identities, features):
    """The last features of an answer moved into a form: the same hash, fewer features."""
    assume(features)
    features = sorted(features)
    honest = caps.answer(_answer(identities, features, ()))
    for kept in range(len(features)):
        hidden = Form(features[kept], tuple((feature, ()) for feature in features[kept + 1 :]))
        assert caps.verification_string(identities, features[:kept], [hidden]) == caps.verification_string(
            identities, features
        )
        forged = caps.answer(
            _answer(identities, features[:kept], [Form(escape_value(hidden.type), hidden.fields)])
        )
        assert forged.ver is None or forged.ver != honest.ver
