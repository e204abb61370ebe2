"""The fence around engines: whatever a method does wrong ends safely and is reported (laws 1, 4, 5 and 6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs.exceptions import FrozenInstanceError

from e2eproxy.errors import RemoteError
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Context, MethodError
from e2eproxy.methods.events import Outcome, Ref
from e2eproxy.methods.harness import MOST_EFFECTS, Harness, where_of
from e2eproxy.testing import WHO, SessionMethod
from e2eproxy.testing.store import MemoryStore
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

KEY = Fingerprint("m", "00")
REF = Ref("r1")
TEXT = (
    b"<message xmlns='jabber:client' to='bob@two.test'><body>A secret of some length</body>"
    b"<active xmlns='urn:c'/></message>"
)
OUT = events.Outbound(ref=REF, own=WHO.alice, peer=WHO.bob.bare, stanza=Stanza.parse(TEXT))
TO_PHONE = events.Outbound(ref=REF, own=WHO.alice, peer=WHO.bob, stanza=Stanza.parse(TEXT))
IN = events.Inbound(ref=REF, own=WHO.alice, peer=WHO.bob, to=WHO.alice, stanza=Stanza.parse(TEXT))
OTHERS = (
    events.Starting(own=WHO.alice),
    events.Stopping(own=WHO.alice),
    events.Answer(own=WHO.alice, token="t", outcome=Outcome.TIMEOUT),
    events.PeerPresence(own=WHO.alice, peer=WHO.bob, available=True),
    events.PeerFeatures(own=WHO.alice, peer=WHO.bob, features=frozenset()),
    events.Timer(name="t"),
    events.Command(own=WHO.alice, peer=WHO.bob, verb="end"),
    events.Consulted(token="t", outcome=Outcome.ERROR),
    events.Computed(name="t", result=None),
    events.Interrupted(own=WHO.alice),
)
SEND = e.Send(ref=REF, to=WHO.bob.bare, payload=b"<x xmlns='urn:x'/>", keys=(KEY,))
DELIVER = e.Deliver(ref=REF, inside=e.Body("hi"), protection=e.Protection(key=KEY))
KEEP = e.Persist(key="k", data=b"1")


class Scripted:
    """A method whose engine does what `script` says; engines are counted."""

    traits = SessionMethod.traits

    def __init__(self, script):
        self.script, self.made = script, 0

    def engine(self, _context):
        self.made += 1
        return self

    def handle(self, event):
        result = self.script(event) if callable(self.script) else self.script
        if isinstance(result, BaseException):
            raise result
        return result


def fence(script):
    bugs = []
    method = Scripted(script)
    context = Context(
        account=WHO.alice.bare,
        view=MemoryStore(WHO.alice.bare, "m", lambda: 0.0),
        clock=lambda: 0.0,
        random=bytes,
    )
    return Harness(method, context, bugs.append), method, bugs


def outcome(script, event):
    harness, method, bugs = fence(script)
    return harness.handle(event), method, bugs


@pytest.mark.parametrize(
    ("event", "effects"),
    [
        (OUT, (SEND,)),
        (OUT, (KEEP, SEND, SEND)),
        (OUT, (e.Send(ref=REF, to=WHO.bob, payload=b"", keys=(), pending=True),)),
        (OUT, (e.Ask(token="t", to=WHO.bob, payload=b"", ref=REF, keys=(KEY,)),)),
        (OUT, (e.Return(ref=REF, condition="x", why="y"),)),
        (OUT, (e.Hold(ref=REF, why="y"), e.Emit(to=WHO.bob, payload=b"<hello xmlns='urn:x'/>"))),
        (OUT, (e.Decline(ref=REF, why="y", offer=" \t"),)),
        (
            OUT,
            (e.Hold(ref=REF, why="y"), e.Ask(token="t", to=WHO.carol, payload=b"<devices xmlns='urn:x'/>")),
        ),
        (OUT, (SEND, e.Emit(to=WHO.bob, payload=b"<p xmlns='urn:x'><active xmlns='urn:c'/></p>"))),
        (TO_PHONE, (e.Send(ref=REF, to=WHO.bob, payload=b"", keys=(KEY,)),)),
        (IN, (KEEP, DELIVER, DELIVER)),
        (IN, (e.Absorb(ref=REF, why="y"), e.Emit(to=WHO.bob, payload=IN.stanza.children[0].raw))),
        (OTHERS[0], (e.Emit(to=WHO.bob, payload=b"<hello xmlns='urn:x'/>"),)),
        (IN, (e.Unreadable(ref=REF, why="y"),)),
        (IN, (e.Absorb(ref=REF, why="y"), e.Retry(contact=WHO.bob.bare))),
        (IN, (e.Hold(ref=REF, why="y"),)),
        (IN, (e.Decline(ref=REF, why="y", body="plain"),)),
        (OTHERS[0], ()),
        (
            OTHERS[0],
            (e.PersistIdentity(name="n", public=b"", secret=b""), e.Ask(token="t", to=None, payload=b"")),
        ),
    ],
)
def test_what_the_door_allows_passes_unchanged(event, effects):
    got, method, bugs = outcome(effects, event)
    assert (got, bugs, method.made) == (effects, [], 1)


def test_a_list_is_taken_as_a_tuple():
    assert outcome([SEND], OUT)[0] == (SEND,)


FAULTS = [
    (OUT, (), "what becomes"),
    (OUT, (KEEP,), "what becomes"),
    (IN, (), "what becomes"),
    (OUT, (SEND, KEEP), "Persist stands behind"),
    (OUT, (SEND, e.PersistIdentity(name="n", public=b"", secret=b"")), "PersistIdentity stands behind"),
    (IN, (DELIVER, e.Learn(contact=WHO.bob.bare, fingerprint=KEY, public=b"")), "Learn stands behind"),
    (
        IN,
        (DELIVER, e.Verified(contact=WHO.bob.bare, fingerprint=KEY, how="smp", holds=True)),
        "Verified stands behind",
    ),
    (OTHERS[0], (e.Tell(contact=None, text="x"), KEEP), "Persist stands behind"),
    (OUT, (DELIVER,), "other direction"),
    (OUT, (e.Unreadable(ref=REF, why="x"),), "other direction"),
    (OUT, (e.Absorb(ref=REF, why="x"),), "other direction"),
    (IN, (SEND,), "other direction"),
    (IN, (e.Return(ref=REF, condition="x", why="x"),), "other direction"),
    (IN, (e.Ask(token="t", to=WHO.bob, payload=b"", ref=REF, keys=(KEY,)),), "other direction"),
    (OUT, (SEND, e.Hold(ref=REF, why="x")), "two ways"),
    (OUT, (e.Return(ref=REF, condition="x", why="x"),) * 2, "two ways"),
    (IN, (DELIVER, e.Unreadable(ref=REF, why="x")), "two ways"),
    (IN, (e.Hold(ref=REF, why="x"), e.Hold(ref=REF, why="x")), "two ways"),
    (OUT, (e.Hold(ref=Ref("r2"), why="x"),), "not the event's"),
    (OUT, (SEND, e.Decline(ref=Ref("r2"), why="x")), "not the event's"),
    (OTHERS[2], (SEND,), "not the event's"),
    (OTHERS[5], (DELIVER,), "not the event's"),
    (OUT, (e.Send(ref=REF, to=WHO.carol, payload=b"", keys=(KEY,)),), "somebody else"),
    (OUT, (e.Ask(token="t", to=None, payload=b"", ref=REF, keys=(KEY,)),), "somebody else"),
    (OUT, (e.Send(ref=REF, to=WHO.bob, payload=b"", keys=()),), "without naming a key"),
    (OUT, (e.Ask(token="t", to=WHO.bob, payload=b"", ref=REF),), "without naming a key"),
    (
        OUT,
        (e.Hold(ref=REF, why="x"), e.Emit(to=WHO.bob, payload=b"<body>A secret of some length</body>")),
        "user's text",
    ),
    (OUT, (e.Persist(key="", data=b""), SEND), "no key"),
    (OTHERS[0], (None,), "no effect"),
    (IN, (DELIVER, "deliver"), "no effect"),
    (OUT, (SEND, IN), "no effect"),
]


@pytest.mark.parametrize(("event", "effects", "fault"), FAULTS)
def test_what_the_door_forbids_is_a_bug_and_ends_safely(event, effects, fault):
    got, method, bugs = outcome(effects, event)
    assert len(bugs) == 1
    assert fault in bugs[0].what
    assert (bugs[0].method, bugs[0].event, bugs[0].where) == (
        "reference-session",
        type(event).__name__,
        "",
    )
    assert method.made == 2
    assert_safe(event, got)
    text = got[0].text if isinstance(got[0], e.Tell) else got[0].why
    assert text == "The encryption method Reference session failed; this is a bug of the method."


def test_all_faults_of_an_event_are_in_one_report():
    for_carol = e.Send(ref=REF, to=WHO.carol, payload=b"", keys=())
    [bug] = outcome((for_carol, KEEP), OUT)[2]
    assert bug.what == (
        "Persist stands behind something visible; it sent the stanza to somebody else; "
        "it sent the stanza without naming a key"
    )


def test_a_stanza_may_go_in_a_thousand_parts_and_no_more():
    assert MOST_EFFECTS == 1000
    assert outcome((SEND,) * 1000, OUT)[2] == []
    got, _, [bug] = outcome((SEND,) * 1001, OUT)
    assert bug.what == "it returned more than 1000 effects"
    assert_safe(OUT, got)


def assert_safe(event, got):
    """Nothing leaves, nothing vanishes."""
    [one] = got
    match event:
        case events.Outbound():
            assert isinstance(one, e.Return)
            assert (one.ref, one.condition) == (event.ref, "internal-server-error")
        case events.Inbound():
            assert isinstance(one, e.Unreadable)
            assert one.ref == event.ref
        case _:
            assert isinstance(one, e.Tell)
            assert one.tone is e.Tone.WARNING
    assert "secret" not in str(got)


def test_a_stanza_for_one_resource_may_not_go_to_another_but_to_the_bare_jid_it_may():
    elsewhere = e.Send(ref=REF, to=WHO.bob_too, payload=b"", keys=(KEY,))
    assert outcome((elsewhere,), TO_PHONE)[2]
    assert not outcome((SEND,), TO_PHONE)[2]
    assert not outcome((elsewhere,), OUT)[2]


@pytest.mark.parametrize("event", [OUT, IN, *OTHERS])
@pytest.mark.parametrize("error", [KeyError("secret"), AssertionError("secret"), RecursionError()])
def test_any_other_exception_is_a_bug_and_its_text_goes_nowhere(event, error):
    got, method, bugs = outcome(error, event)
    assert_safe(event, got)
    assert method.made == 2
    assert type(error).__name__ in bugs[0].what
    assert "secret" not in str(bugs)
    line = next(
        at for at, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "raise result" in text
    )
    assert bugs[0].where == f"{__file__}:{line}"


@pytest.mark.parametrize("error", [RemoteError("Damaged."), MethodError("Damaged.")])
def test_a_remote_error_is_no_bug_and_keeps_the_engine(error):
    got, method, bugs = outcome(error, IN)
    assert got == (e.Unreadable(ref=REF, why="Damaged."),)
    assert (method.made, bugs) == (1, [])
    assert outcome(error, OUT)[0] == (e.Return(ref=REF, condition="not-acceptable", why="Damaged."),)
    assert outcome(error, OTHERS[2])[0] == (e.Tell(contact=None, text="Damaged.", tone=e.Tone.WARNING),)
    assert outcome(error, OTHERS[6])[0] == (e.Tell(contact=None, text="Damaged.", tone=e.Tone.WARNING),)
    assert outcome(error, OTHERS[7])[0] == (e.Tell(contact=None, text="Damaged.", tone=e.Tone.WARNING),)
    assert outcome(error, OTHERS[8])[0] == (e.Tell(contact=None, text="Damaged.", tone=e.Tone.WARNING),)
    for quiet in (0, 1, 3, 4, 5, 9):
        assert outcome(error, OTHERS[quiet])[0] == ()


@pytest.mark.parametrize("bad", [None, 7])
def test_a_result_that_is_no_tuple_is_a_bug(bad):
    got, _, bugs = outcome(bad, OUT)
    assert "TypeError" in bugs[0].what
    assert_safe(OUT, got)


def test_an_engine_that_cannot_be_made_fails_closed_and_is_tried_again():
    harness, method, bugs = fence((SEND,))
    method.engine = lambda _context: 1 / 0
    harness.forget()
    assert harness.engine is None
    assert [bug.event for bug in bugs] == ["start"]
    [refusal] = got = harness.handle(OUT)
    assert_safe(OUT, got)
    assert refusal.why == "The encryption method Reference session cannot be started."
    assert [(bug.event, bug.what) for bug in bugs] == [("start", "its engine raised ZeroDivisionError")] * 2
    method.engine = lambda _context: method
    assert harness.handle(OUT) == (SEND,)
    assert harness.engine is method


def test_forget_makes_the_engine_anew():
    harness, method, _ = fence((SEND,))
    harness.forget()
    assert method.made == 2
    assert harness.name == "reference-session"


def test_where_of_an_error_that_was_never_raised():
    assert where_of(ValueError()) == ""


def test_values_are_frozen_and_do_not_show_what_is_secret():
    for one in (OUT, IN, SEND, DELIVER, KEEP, e.Children(b"s3cret"), e.Whole(b"s3cret"), e.Body("s3cret")):
        assert "s3cret" not in repr(one)
        assert "A secret" not in repr(one)
        name = type(one).__attrs_attrs__[0].name
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, None)
    command = events.Command(own=WHO.alice, peer=WHO.bob, verb="verify", arguments=("s3cret",))
    assert "s3cret" not in repr(command)


def test_jids_of_an_unprepared_spelling_are_prepared_before_they_get_here():
    assert JID.parse("BOB@TWO.TEST") == WHO.bob.bare
