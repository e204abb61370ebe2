"""What becomes of the answer to a request that was delivered decrypted: its method protects it, or it says nothing (law 1)."""

from __future__ import annotations

import pytest
from bed.box_method import BOX, KEY, NAMESPACE, BoxEngine, BoxMethod
from bed.guard_world import ROOT, SECRET, World

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.stanza import Stanza

ERROR = f"<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><a xmlns='urn:a'>{SECRET}</a></error>"
RESULT = f"<query xmlns='urn:x'>{SECRET}</query>"
BOTH = pytest.mark.parametrize(("kind", "content"), [("result", RESULT), ("error", ERROR)])


class Moody(BoxEngine):
    """One that does with answers what a test says."""

    does: e.Effect | None = None

    def _outbound(self, event):
        if event.stanza.type in {"result", "error"} and self.does is not None:
            return (type(self.does)(ref=event.ref, **self.given),)
        return super()._outbound(event)


class MoodyMethod(BoxMethod):
    def engine(self, context):
        return Moody(context)


@pytest.fixture
def world():
    """Romeo has asked."""
    found = World(MoodyMethod())
    romeo, juliet = found.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.rules.rows["default", ""] = {"when": "prefer", "methods": "box"}
        side.knows(other)
    romeo.write(
        f"<iq type='get' id='q1' to='{juliet.jid}'><query xmlns='urn:x'>{SECRET}</query></iq>".encode()
    )
    assert [one.id for one in juliet.read() if one.kind == "iq"] == ["q1"]
    juliet.seen.clear()
    return found


def answered(world, kind, content):
    """What leaves when Juliet's client answers, and what Romeo's is shown."""
    romeo, juliet = world.sides
    juliet.write(f"<iq type='{kind}' id='q1' to='{romeo.jid}'>{content}</iq>".encode())
    (left,) = [one for one in (Stanza.parse(raw, ROOT) for raw in juliet.seen) if one.kind == "iq"]
    (shown,) = [one for one in romeo.read() if one.kind == "iq"]
    assert SECRET.encode() not in b"".join(world.seen)
    assert [bug for side in world.sides for bug in side.bugs] == []
    return left, shown


def outer_id(world):
    """Under which id Romeo's request left."""
    stanzas = [Stanza.parse(raw, ROOT) for raw in world.sides[0].seen if NAMESPACE.encode() in raw]
    return next(one.id for one in stanzas if one.type == "get" and one.child(BOX) is not None)


@BOTH
def test_its_method_has_it_and_it_leaves_in_a_result_under_the_requests_id(world, kind, content):
    left, shown = answered(world, kind, content)
    assert (left.type, left.id) == ("result", outer_id(world))
    assert NAMESPACE.encode() in left.raw
    assert (shown.type, shown.id) == (kind, "q1")
    assert SECRET.encode() in shown.raw


@BOTH
@pytest.mark.parametrize(
    ("effect", "given"),
    [
        (e.Decline, {"why": "Not today."}),
        (e.Return, {"condition": "internal-server-error", "why": "Not today."}),
    ],
)
def test_if_its_method_does_not_take_it_it_says_nothing(world, kind, content, effect, given):
    juliet = world.sides[1]
    engine = juliet.desk.lanes["box"].harness.engine
    engine.does, engine.given = effect(ref=events.Ref("r"), **given), given
    left, shown = answered(world, kind, content)
    assert (left.type, left.id) == (kind, outer_id(world))
    assert (shown.type, shown.id) == (kind, "q1")
    assert NAMESPACE.encode() not in left.raw
    assert (kind == "error") is (b"forbidden" in shown.raw)


@BOTH
def test_if_the_key_may_not_be_used_it_says_nothing(world, kind, content):
    romeo, juliet = world.sides
    juliet.desk.cabinet.decide(romeo.jid.bare, KEY, Decision.DISTRUSTED)
    world.run()
    left, shown = answered(world, kind, content)
    assert (left.type, left.id) == (kind, outer_id(world))
    assert (shown.type, shown.id) == (kind, "q1")
    assert NAMESPACE.encode() not in left.raw


def test_a_result_that_cannot_be_opened_is_an_error_of_the_request_and_of_no_other(world):
    romeo, juliet = world.sides
    box = f"<box xmlns='{NAMESPACE}'>?</box>"
    outer = outer_id(world)
    for sender in ("mallory@example.test/x", str(juliet.jid)):
        romeo.read()
        romeo.shown.clear()
        romeo.server.deliver(
            f"<iq from='{sender}' to='{romeo.jid}' type='result' id='{outer}'>{box}</iq>".encode()
        )
        world.run()
        shown = [one for one in romeo.read() if one.kind == "iq"]
        assert [(one.type, one.id, one.from_) for one in shown] == (
            [("error", "q1", str(juliet.jid))] if sender == str(juliet.jid) else []
        )


def test_a_result_under_the_id_of_a_message_answers_nothing(world):
    romeo, juliet = world.sides
    romeo.say(juliet.jid, "good morrow", "c1")
    outer = Stanza.parse(romeo.seen[-1], ROOT).id
    romeo.read()
    romeo.shown.clear()
    box = f"<box xmlns='{NAMESPACE}'>?</box>"
    romeo.server.deliver(
        f"<iq from='{juliet.jid}' to='{romeo.jid}' type='result' id='{outer}'>{box}</iq>".encode()
    )
    world.run()
    assert [one for one in romeo.read() if one.type == "error"] == []
