"""Long computations: in threads, few at once, for the engine that wanted them and no other, given up when the daemon stops."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
from bed.guard_world import JULIET, ROMEO, World

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import MethodError, Recognition
from e2eproxy.methods.harness import Bug
from e2eproxy.proxy.computations import MOST_AT_ONCE, MOST_OF_ONE
from e2eproxy.testing import WHO, SessionMethod
from e2eproxy.testing import World as Simulation
from e2eproxy.xmpp.jid import JID

OTHER = JID.parse(f"{ROMEO.bare}/window")


def doubled(number, random):
    """A computation that asks for randomness, as all that are worth it do."""
    return random(number) * 2


def refuse(_random):
    raise MethodError("The numbers are wrong.")


def fail(_random):
    raise KeyError("secret")


def no_bytes(_random):
    return "text"


class Computing:
    """A method whose engines want *work* done when a text is to leave, and hold the text until it is."""

    traits = SessionMethod.traits
    door_version = SessionMethod.door_version

    def __init__(self, *work):
        self.work, self.engines = work or (partial(doubled, 3),), []

    def engine(self, context):
        self.engines.append(ComputingEngine(context, self.work))
        return self.engines[-1]

    def recognise(self, _stanza):
        return Recognition.NONE


class ComputingEngine:
    def __init__(self, context, work):
        self.context, self.work, self.heard = context, work, []

    def handle(self, event):
        match event:
            case events.Computed(result=None):
                self.heard.append(event)
            case events.Computed(name=name, result=result):
                self.heard.append(event)
                contacts = WHO.bob.bare, JULIET.bare
                return (e.Persist(key=name, data=result), *(e.Retry(contact=one) for one in contacts))
            case events.Outbound() if self.context.view.record("0") is not None:
                return (e.Return(ref=event.ref, condition="gone", why="It was computed."),)
            case events.Outbound():
                wanted = (e.Compute(name=str(number), work=one) for number, one in enumerate(self.work))
                return (e.Hold(ref=event.ref, why="it is being computed"), *wanted)
            case events.Command(verb="break"):
                raise ZeroDivisionError
            case events.Command():
                return tuple(e.Compute(name=str(number), work=one) for number, one in enumerate(self.work))
        return ()

    def stolen_state(self, _what):
        raise NotImplementedError


@pytest.fixture
def method():
    return Computing()


@pytest.fixture
def world(method):
    """Computations end when a test says so."""
    made = World(method)
    romeo, _ = made.sides
    romeo.thread.waiting = []
    return made


def wants(side, jid=None):
    """Have the engine want its computation."""
    event = events.Command(own=jid or side.jid, peer=JULIET, verb="compute")
    side.desk.tell_all(event)
    side.world.run()


def breaks(side):
    side.desk.tell_all(events.Command(own=side.jid, peer=JULIET, verb="break"))
    side.world.run()


def of(method):
    """The engine of the first side."""
    return method.engines[0]


def record(side):
    return side.desk.cabinet.record("reference-session", "0")


# ---- in the simulator ----


def simulated(*work, seconds=0.0):
    world, method = Simulation(), Computing(*work)
    alice = world.device(WHO.alice, method)
    alice.computes_for = seconds
    world.start(alice)
    alice.say(WHO.bob, "hello")
    return world, alice, method


def test_a_result_comes_with_the_randomness_that_is_handed_in():
    _, alice, method = simulated()
    (event,) = method.engines[0].heard
    assert (event.name, event.why, len(event.result)) == ("0", "", 6)
    assert alice.store.record("0") == event.result
    _, again, _ = simulated()
    assert again.store.record("0") == event.result, "the same for the same seed"
    assert [one.condition for one in alice.failed] == ["gone"], "what was held was presented again"


def test_the_simulator_lets_it_take_its_time_and_the_text_waits():
    world, alice, _ = simulated(seconds=5)
    world.wait(4)
    assert (alice.failed, alice.errands.waiting) == ([], 1)
    world.wait(2)
    assert [one.text for one in alice.failed] == ["hello"]


def test_in_the_simulator_a_result_outlives_the_stream_but_not_the_engine():
    world, alice, method = simulated(seconds=5)
    alice.stop()
    world.wait(6)
    assert alice.store.record("0") is not None
    world, alice, method = simulated(seconds=5)
    alice.kill()
    world.start(alice)
    world.wait(6)
    assert alice.store.record("0") is None
    assert [one.heard for one in method.engines] == [[], []]


@pytest.mark.parametrize(
    ("work", "why", "what"),
    [
        (refuse, "The numbers are wrong.", None),
        (fail, "bug of the method", "its work raised KeyError"),
        (no_bytes, "bug of the method", "its work returned no bytes"),
    ],
)
def test_a_computation_that_fails_says_why_and_a_bug_is_reported_without_its_text(work, why, what):
    _, alice, method = simulated(work)
    (event,) = method.engines[0].heard
    assert event.result is None
    assert why in event.why
    assert [bug.what for bug in alice.bugs] == ([what] if what else [])
    assert "secret" not in repr(alice.bugs)
    if work is fail:
        assert "test_computations.py" in alice.bugs[0].where


# ---- in the pipeline ----


def test_a_stanza_waits_for_it_and_all_goes_on_meanwhile(world, method):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.requires(juliet.jid)
    romeo.say(juliet.jid, "hello")
    assert romeo.errors == []
    romeo.write(b"<iq type='get' id='q' to='other.test'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert any(b"urn:xmpp:ping" in raw for raw in romeo.seen)
    romeo.thread.end()
    world.run()
    assert [one.id for one in romeo.errors] == ["c1"]
    assert record(romeo) == of(method).heard[0].result


def test_one_of_a_name_is_under_way_at_once(world, method):
    romeo, _ = world.sides
    wants(romeo)
    wants(romeo)
    assert len(romeo.thread.waiting) == 1
    romeo.thread.end()
    wants(romeo)
    assert len(romeo.thread.waiting) == 1, "the name is free again"
    assert len(of(method).heard) == 1


def test_few_are_under_way_at_once_and_the_others_follow_in_order():
    method = Computing(*(partial(doubled, number) for number in range(1, 7)))
    world = World(method)
    romeo, _ = world.sides
    romeo.thread.waiting = []
    wants(romeo)
    heard = method.engines[0].heard
    for ended in range(6):
        assert len(romeo.thread.waiting) == min(MOST_AT_ONCE, 6 - ended)
        romeo.thread.end()
        assert [len(one.result) for one in heard] == [2 * number for number in range(1, ended + 2)]


def test_more_than_an_engine_may_have_waiting_is_refused_at_once():
    method = Computing(*(partial(doubled, 1) for _ in range(MOST_OF_ONE + 2)))
    world = World(method)
    romeo, _ = world.sides
    romeo.thread.waiting = []
    wants(romeo)
    heard = method.engines[0].heard
    assert [(one.name, one.result, bool(one.why)) for one in heard] == [
        (str(MOST_OF_ONE), None, True),
        (str(MOST_OF_ONE + 1), None, True),
    ]
    while romeo.thread.waiting:
        romeo.thread.end()
    assert len(heard) == MOST_OF_ONE + 2


def test_a_result_is_not_for_an_engine_that_was_made_anew(world, method):
    romeo, _ = world.sides
    wants(romeo)
    before = len(method.engines)
    breaks(romeo)
    assert len(method.engines) == before + 1
    wants(romeo)
    assert len(romeo.thread.waiting) == 2, "the new one's does not count as the old one's"
    romeo.thread.end()
    assert record(romeo) is None
    romeo.thread.end()
    assert record(romeo) is not None
    assert [len(one.heard) for one in (method.engines[0], method.engines[-1])] == [0, 1]


def test_what_an_engine_wanted_that_is_gone_is_not_even_begun():
    method = Computing(*(partial(doubled, number) for number in range(1, 7)))
    world = World(method)
    romeo, _ = world.sides
    romeo.thread.waiting = []
    wants(romeo)
    breaks(romeo)
    for _ in range(MOST_AT_ONCE):
        romeo.thread.end()
    assert romeo.thread.waiting == []
    wants(romeo)
    assert len(romeo.thread.waiting) == MOST_AT_ONCE, "nothing is left of the first"


def test_a_result_that_comes_after_the_stream_is_kept(world, method):
    romeo, _ = world.sides
    wants(romeo)
    romeo.lose_stream()
    romeo.thread.end()
    assert record(romeo) == of(method).heard[0].result


def test_a_result_that_comes_after_the_account_was_closed_is_nobodys(world, method):
    romeo, _ = world.sides
    wants(romeo)
    romeo.lose_stream()
    assert romeo.guards.let_go(romeo.jid.bare)
    romeo.thread.end()
    assert of(method).heard == []
    assert romeo.bugs == []


def test_a_daemon_that_stops_begins_no_more_and_takes_no_result():
    method = Computing(*(partial(doubled, number) for number in range(1, 7)))
    world = World(method)
    romeo, _ = world.sides
    romeo.thread.waiting = []
    wants(romeo)
    romeo.guards.stop()
    for _ in range(MOST_AT_ONCE):
        romeo.thread.end()
    assert romeo.thread.waiting == []
    assert method.engines[0].heard == []


def test_a_bug_of_the_work_is_reported_and_the_engine_hears_of_its_end():
    method = Computing(fail)
    world = World(method)
    romeo, _ = world.sides
    wants(romeo)
    assert [(bug.event, bug.what) for bug in romeo.bugs] == [("Compute", "its work raised KeyError")]
    assert isinstance(romeo.bugs[0], Bug)
    assert "bug of the method" in method.engines[0].heard[0].why


def test_a_thread_that_fails_by_itself_is_the_end_of_one_computation(world, method):
    romeo, _ = world.sides
    wants(romeo)
    _, done = romeo.thread.waiting.pop()
    done.errback(MemoryError("secret"))
    assert [(one.result, one.why) for one in of(method).heard] == [(None, "It could not be computed.")]
    wants(romeo)
    assert len(romeo.thread.waiting) == 1


def test_what_another_stream_of_the_account_holds_is_presented_again_too(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.requires(juliet.jid)
    romeo.jid = OTHER
    romeo.log_in()
    romeo.knows(juliet)
    romeo.say(juliet.jid, "hello")
    assert (romeo.errors, len(romeo.thread.waiting)) == ([], 1)
    romeo.thread.end()
    world.run()
    assert [one.id for one in romeo.errors] == ["c1"]


# ---- in threads ----


PROGRAM = """
import sys, threading, time
from functools import partial
from twisted.internet import reactor
from twisted.internet.threads import deferToThreadPool
from e2eproxy.methods.effects import Compute
from e2eproxy.methods.events import Computed
from e2eproxy.proxy.computations import Computations

begun = threading.Event()

def work(_random):
    assert threading.current_thread() is not threading.main_thread()
    begun.set()
    ended.wait(20)
    return b"done"

class Lane:
    harness = property(lambda self: self)
    engine = None
    def compute(self, wanted):
        return Computed(name=wanted.name, result=wanted.work(bytes))
    def computed(self, wanted, done):
        return done
    def tell_engine(self, engine, event):
        print("heard", event.name, threading.current_thread() is threading.main_thread())
        if event.name == last:
            reactor.stop()

ended = threading.Event()
computations = Computations(partial(deferToThreadPool, reactor, reactor.getThreadPool()))
last, stopping = "4", sys.argv[1] == "stop"

def begin():
    for number in range(5):
        computations.begin(lane, Compute(name=str(number), work=work))
    reactor.callLater(0, look)

def look():
    if not begun.is_set():
        reactor.callLater(0.01, look)
    elif stopping:
        computations.stop()
        reactor.callLater(0, reactor.stop)
        reactor.addSystemEventTrigger("during", "shutdown", ended.set)
    else:
        ended.set()

lane = Lane()
reactor.callWhenRunning(begin)
reactor.run()
print("threads", threading.active_count())
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("end", [f"heard {number} True" for number in range(5)]),
        ("stop", []),
    ],
)
def test_threads_do_it_and_none_is_left_when_the_daemon_ends(how, said):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == sorted([*said, "threads 1"])
    assert done.returncode == 0
