"""The queue before one engine: one event at a time, and nothing to be seen before what it depends on is durable (law 5)."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.events import Ref
from e2eproxy.proxy.lane import MOST_WAITING, Lane
from e2eproxy.testing import WHO
from e2eproxy.trust.values import Decision, Fingerprint
from e2eproxy.xmpp.stanza import Stanza

TEXT = Stanza.parse(b"<message xmlns='jabber:client' to='bob@two.test'><body>hi</body></message>")
KEEP, KEEP_TOO = e.Persist(key="a", data=b"1"), e.PersistIdentity(name="n", public=b"", secret=b"")
NOTE = object()
STORE = "The store could not be written to."
BUG = "This is a bug in e2eproxy; its log says more."
FLOOD = "Too much is waiting for this encryption method."


def outbound(name):
    return events.Outbound(ref=Ref(name), own=WHO.alice, peer=WHO.bob, stanza=TEXT)


def seen(name):
    return e.Tell(contact=None, text=name)


def returned(name, why):
    return e.Return(ref=Ref(name), condition="internal-server-error", why=why)


class Engine:
    """An engine behind its fence, which does what was written down for an event."""

    name = "scripted"

    def __init__(self, story):
        self.story, self.script = story, {}

    def handle(self, event):
        self.story.append(("handled", event))
        return self.script.get(event, ())

    def forget(self):
        self.story.append(("forgotten",))


class World:
    """Store and guards: what they were asked for is in the story; a commit ends when the test says so."""

    def __init__(self, story):
        self.story, self.notes, self.commits = story, {}, deque()
        self.broken = self.while_applying = None

    def commit(self, method, durable, notes):
        self.story.append(("committing", method, tuple(durable), tuple(notes)))
        self.commits.append(Deferred())
        return self.commits[-1]

    def prepare(self, lane, event, effects):
        self.story.append(("prepared", lane.name, event, tuple(effects)))
        if self.broken is not None and tuple(effects) == self.broken:
            raise ZeroDivisionError
        return self.notes.get(event, ())

    def unkept(self, lane, event):
        self.story.append(("unkept", lane.name, event))

    def apply(self, lane, event, effects):
        self.story.append(("applied", lane.name, event, tuple(effects)))
        if self.while_applying is not None:
            self.while_applying(lane, event)


class LaneTests(TestCase):
    def setUp(self):
        self.story = []
        self.engine, self.world = Engine(self.story), World(self.story)
        self.lane = Lane(self.engine, self.world, self.world)
        self.a, self.b, self.c = outbound("a"), outbound("b"), outbound("c")

    def told(self, *told):
        """The story since last asked, after *told*."""
        for event in told:
            self.lane.tell(event)
        story = self.story[:]
        del self.story[:]
        return story

    def plain(self, event, *effects):
        """What happens of an event with nothing durable."""
        return [
            ("handled", event),
            ("prepared", "scripted", event, effects),
            ("applied", "scripted", event, effects),
        ]

    def test_its_name_is_the_methods(self):
        self.assertEqual(self.lane.name, "scripted")

    def test_what_needs_nothing_durable_is_done_at_once(self):
        self.engine.script = {self.a: (seen("1"), seen("2"))}
        self.assertEqual(self.told(self.a), self.plain(self.a, seen("1"), seen("2")))
        self.assertEqual(self.told(self.b), self.plain(self.b))

    def test_nothing_is_seen_before_all_that_is_durable_was_committed_together(self):
        self.engine.script = {self.a: (KEEP, KEEP_TOO, seen("1"))}
        self.world.notes = {self.a: [NOTE]}
        self.assertEqual(
            self.told(self.a),
            [
                ("handled", self.a),
                ("prepared", "scripted", self.a, (seen("1"),)),
                ("committing", "scripted", (KEEP, KEEP_TOO), (NOTE,)),
            ],
        )
        self.world.commits.popleft().callback([])
        self.assertEqual(self.told(), [("applied", "scripted", self.a, (seen("1"),))])

    def test_a_note_of_the_pipeline_is_waited_for_as_well_and_so_is_a_record_without_a_note(self):
        self.engine.script = {self.b: (KEEP,)}
        self.world.notes = {self.a: [NOTE]}
        self.assertEqual(self.told(self.a)[-1], ("committing", "scripted", (), (NOTE,)))
        self.world.commits.popleft().callback([])
        self.assertEqual(self.told(), [("applied", "scripted", self.a, ())])
        self.assertEqual(self.told(self.b)[-1], ("committing", "scripted", (KEEP,), ()))

    def test_later_events_wait_for_the_commit_and_keep_their_order(self):
        self.engine.script = {self.a: (KEEP, seen("a")), self.b: (seen("b"),), self.c: (KEEP_TOO, seen("c"))}
        self.told(self.a)
        self.assertEqual(self.told(self.b, self.c), [])
        self.world.commits.popleft().callback([])
        self.assertEqual(
            self.told(),
            [
                ("applied", "scripted", self.a, (seen("a"),)),
                *self.plain(self.b, seen("b")),
                ("handled", self.c),
                ("prepared", "scripted", self.c, (seen("c"),)),
                ("committing", "scripted", (KEEP_TOO,), ()),
            ],
        )
        self.assertEqual(self.told(self.a), [])
        self.world.commits.popleft().callback([])
        self.assertEqual(
            self.told()[:2], [("applied", "scripted", self.c, (seen("c"),)), ("handled", self.a)]
        )

    def test_what_became_of_keys_is_told_before_what_waits_already(self):
        changes = [
            events.TrustChanged(
                contact=WHO.bob.bare,
                fingerprint=Fingerprint("m", text),
                decision=Decision.TOFU,
                usable=True,
            )
            for text in ("1", "2")
        ]
        self.engine.script = {self.a: (KEEP,)}
        self.told(self.a, self.b)
        self.world.commits.popleft().callback(changes)
        self.assertEqual(
            [one[1] for one in self.told() if one[0] == "handled"],
            [*changes, self.b],
        )

    def test_a_commit_that_fails_ends_the_event_safely_with_a_new_engine_and_the_next_one_goes_on(self):
        self.engine.script = {self.a: (KEEP, seen("a")), self.b: (seen("b"),)}
        self.told(self.a, self.b)
        self.world.commits.popleft().errback(OSError("disk full"))
        instead = (returned("a", STORE),)
        self.assertEqual(
            self.told(),
            [
                ("forgotten",),
                ("prepared", "scripted", self.a, instead),
                ("applied", "scripted", self.a, instead),
                *self.plain(self.b, seen("b")),
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_what_the_safe_outcome_wants_kept_is_kept_before_it_is_seen(self):
        self.engine.script = {self.a: (KEEP, seen("a"))}
        instead = (returned("a", STORE),)
        for works in (True, False):
            self.world.notes = {}
            self.told(self.a, self.b)
            self.world.notes = {self.a: [NOTE]}
            self.world.commits.popleft().errback(OSError())
            self.assertEqual(
                self.told(),
                [
                    ("forgotten",),
                    ("prepared", "scripted", self.a, instead),
                    ("committing", "scripted", (), (NOTE,)),
                ],
            )
            again = self.world.commits.popleft()
            again.callback([]) if works else again.errback(OSError())
            unkept = [] if works else [("unkept", "scripted", self.a)]
            self.assertEqual(
                self.told(),
                [*unkept, ("applied", "scripted", self.a, instead), *self.plain(self.b)],
            )
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 3)

    def test_what_a_flood_wants_kept_is_kept_before_it_is_seen(self):
        self.engine.script = {self.a: (KEEP,)}
        self.told(self.a, *[events.Timer(name="t")] * MOST_WAITING)
        self.world.notes = {self.b: [NOTE]}
        instead = (returned("b", FLOOD),)
        self.assertEqual(
            self.told(self.b),
            [("prepared", "scripted", self.b, instead), ("committing", "scripted", (), (NOTE,))],
        )
        self.world.commits.pop().callback([])
        self.assertEqual(self.told(), [("applied", "scripted", self.b, instead)])

    def test_a_flood_ends_safely_and_what_waits_already_is_not_lost(self):
        self.assertEqual(MOST_WAITING, 10_000)
        self.engine.script = {self.a: (KEEP,)}
        waiting = [events.Timer(name=str(number)) for number in range(MOST_WAITING)]
        self.told(self.a)
        self.assertEqual(self.told(*waiting), [])
        instead = (returned("b", FLOOD),)
        self.assertEqual(
            self.told(self.b),
            [("prepared", "scripted", self.b, instead), ("applied", "scripted", self.b, instead)],
        )
        self.world.commits.popleft().callback([])
        self.assertEqual([one[1] for one in self.told() if one[0] == "handled"], waiting)
        self.assertEqual(self.told(self.b), self.plain(self.b))

    def test_a_bug_of_ours_is_logged_and_does_not_stop_the_lane(self):
        self.engine.script = {self.a: (KEEP,)}
        self.world.broken = (returned("a", STORE),)
        self.told(self.a, self.b)
        self.world.commits.popleft().errback(OSError())
        self.assertEqual(self.told()[-3:], self.plain(self.b))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.told(self.c), self.plain(self.c))

    def test_what_an_effect_makes_happen_at_once_comes_after_the_events_other_effects(self):
        self.engine.script = {self.a: (seen("a"),), self.b: (KEEP, seen("b"))}
        ended = []

        def while_applying(lane, event):
            if event in (self.a, self.b):
                lane.tell(self.c)
                ended.append((event, [one[1] for one in self.story if one == ("handled", self.c)]))

        self.world.while_applying = while_applying
        self.assertEqual(self.told(self.a), [*self.plain(self.a, seen("a")), *self.plain(self.c)])
        self.told(self.b)
        self.world.commits.popleft().callback([])
        self.assertEqual(self.told(), [("applied", "scripted", self.b, (seen("b"),)), *self.plain(self.c)])
        self.assertEqual(ended, [(self.a, []), (self.b, [])])

    def test_what_cannot_be_made_ready_ends_safely_and_does_not_stop_the_lane(self):
        self.engine.script = {self.a: (KEEP, seen("a"))}
        self.world.broken = (seen("a"),)
        instead = (returned("a", BUG),)
        self.assertEqual(
            self.told(self.a, self.b),
            [
                ("handled", self.a),
                ("prepared", "scripted", self.a, (seen("a"),)),
                ("forgotten",),
                ("prepared", "scripted", self.a, instead),
                ("applied", "scripted", self.a, instead),
                *self.plain(self.b),
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_bug_while_effects_are_done_is_logged_and_the_next_event_goes_on(self):
        def while_applying(_lane, event):
            if event == self.a:
                raise ZeroDivisionError

        self.world.while_applying = while_applying
        self.told(self.a)
        self.assertEqual(self.told(self.b), self.plain(self.b))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
