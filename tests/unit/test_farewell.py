"""What engines say at the end of a stream leaves before its end does, and nothing waits for that for long."""

from __future__ import annotations

import pytest
from bed.box_method import NAMESPACE, BoxEngine, BoxMethod
from bed.guard_world import SECRET, World

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.proxy.farewell import GOODBYE_SECONDS
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.xmpp.jid import JID

END = b"</stream:stream>"
ENDED = "The contact ended the encrypted session."


@pytest.fixture(params=[True, False], ids=["acknowledging server", "old server"])
def world(request):
    return World(SessionMethod(parting=True), manages=request.param)


def in_session(world):
    """Both have written to each other; from now on the store of Romeo's daemon does its work when it is told to."""
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "good morrow", "c0")
    juliet.say(romeo.jid, "good cousin", "j0")
    world.wait(5)
    assert romeo.texts[-1:] == ["good cousin"]
    romeo.pool.waiting = []
    return romeo, juliet


def store_works(side):
    while side.pool.waiting:
        side.pool.waiting.pop(0)()
    side.pool.waiting = None


def ends_its_stream(side):
    side.client.deliver(END)


def goes(side):
    side.client.hang_up()


def is_stopped(side):
    side.listener.close("The proxy is shutting down.")


@pytest.mark.parametrize("end", [ends_its_stream, goes, is_stopped])
def test_goodbyes_that_need_a_commit_leave_before_the_end_of_the_stream(world, end):
    romeo, juliet = in_session(world)
    end(romeo)
    assert END not in bytes(romeo.server.written)
    store_works(romeo)
    written = bytes(romeo.server.written)
    assert written.count(b"<message") == 1
    assert written.index(b"<message") < written.index(END)
    assert written.endswith(END)
    world.run()
    assert juliet.notices[-1] == f"{romeo.jid.bare}: {ENDED}"
    romeo.server.deliver(END)
    assert romeo.client.finished
    assert not romeo.bugs


@pytest.mark.parametrize("end", [ends_its_stream, goes, is_stopped])
def test_they_are_waited_for_two_seconds(world, end):
    romeo, juliet = in_session(world)
    end(romeo)
    world.clock.advance(GOODBYE_SECONDS - 0.1)
    assert END not in bytes(romeo.server.written)
    world.clock.advance(0.1)
    assert bytes(romeo.server.written).endswith(END)
    assert b"<message" not in bytes(romeo.server.written)
    store_works(romeo)
    assert bytes(romeo.server.written).endswith(END)
    world.run()
    assert ENDED not in juliet.notices


def test_who_has_nothing_to_store_is_not_waited_for(world):
    romeo, _ = world.sides
    romeo.pool.waiting = []
    romeo.client.deliver(END)
    assert bytes(romeo.server.written).endswith(END)


def test_a_daemon_that_stops_is_waited_for(world):
    romeo, _ = in_session(world)
    closing = romeo.listener.close("The proxy is shutting down.")
    assert not closing.called
    store_works(romeo)
    romeo.server.deliver(END)
    romeo.client.hang_up()
    romeo.server.hang_up()
    assert closing.called


def test_engines_are_told_of_the_end_once(world):
    romeo, _ = in_session(world)
    told = []
    for lane in romeo.desk.lanes.values():
        lane.tell, tell = lambda event, tell=lane.tell: (told.append(event), tell(event)), lane.tell
        assert tell is not lane.tell
    romeo.client.deliver(END)
    store_works(romeo)
    romeo.server.deliver(END)
    assert [one for one in told if isinstance(one, events.Stopping | events.Interrupted)] == [
        events.Stopping(own=romeo.jid)
    ]


def test_what_waits_comes_back_and_does_not_begin_a_session_behind_the_goodbyes(world):
    romeo, juliet = in_session(world)
    store_works(romeo)
    nurse = JID.parse(f"nurse@{juliet.jid.domain}/home")
    romeo.rules.rows["contact", str(nurse.bare)] = {"when": "require", "methods": "reference-session"}
    romeo.say(nurse, SECRET, "c9")
    romeo.pool.waiting = []
    romeo.client.deliver(END)
    assert [error.id for error in romeo.errors] == ["c9"]
    romeo.server.deliver(f"<presence from='{nurse}'/>".encode())
    world.clock.advance(0)
    store_works(romeo)
    world.run()
    assert [error.id for error in romeo.errors] == ["c9"]
    assert juliet.notices[-1] == f"{romeo.jid.bare}: {ENDED}"


def test_a_session_that_ended_with_its_stream_is_over_for_the_pipeline_as_well(world):
    romeo, juliet = in_session(world)
    romeo.client.deliver(END)
    store_works(romeo)
    world.run()
    assert romeo.desk._contacts[juliet.jid.bare].sessions == {}


def test_goodbyes_never_leave_by_another_stream_of_the_account(world):
    romeo, _ = in_session(world)
    first = romeo.client, romeo.server
    romeo.jid = JID.parse(f"{romeo.jid.bare}/orchard")
    romeo.log_in()
    store_works(romeo)
    world.run()
    romeo.pool.waiting = []
    client, server = first
    client.deliver(END)
    world.clock.advance(GOODBYE_SECONDS)
    assert bytes(server.written).endswith(END)
    romeo.server.written.clear()
    store_works(romeo)
    assert b"<message" not in bytes(romeo.server.written)


class TunnelEngine(BoxEngine):
    """It holds each stanza once; then a request carries it, as in a tunnel."""

    def _outbound(self, event):
        if not event.again:
            return (e.Hold(ref=event.ref, why="not yet"), e.Retry(contact=event.peer.bare))
        learn, send = super()._outbound(event)
        return (learn, e.Ask(token="t", to=send.to, payload=send.payload, ref=event.ref, keys=send.keys))


class TunnelMethod(BoxMethod):
    def engine(self, context):
        return TunnelEngine(context)


def test_what_was_given_back_at_the_end_does_not_leave_after_all():
    world = World(TunnelMethod())
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = {"when": "require", "methods": "box"}
    romeo.knows(juliet)
    romeo.client.deliver(f"<message to='{juliet.jid}' id='c9'><body>{SECRET}</body></message>".encode())
    romeo.pool.waiting = []
    world.clock.advance(0)
    romeo.client.deliver(END)
    assert [error.id for error in romeo.errors] == ["c9"]
    store_works(romeo)
    assert bytes(romeo.server.written).endswith(END)
    assert NAMESPACE.encode() not in bytes(romeo.server.written)
