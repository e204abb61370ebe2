"""Stream management against a model of both sides: nothing lost, nothing twice, never acknowledged too much.

The model is another program: it keeps whole lists of what was sent and handled where the real one keeps counters. What
is on its way in either direction is lost when the stream is cut, anywhere.
"""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from e2eproxy.xmpp.stream_management import ENABLE, REQUEST, Limits, QueueFull, State, StreamManagement
from e2eproxy.xmpp.tree import parse

SM = "urn:xmpp:sm:3\x01"
LIMITS = Limits(
    stanzas=8, payload=100, reserve=4, ask_after=3, silence=2.0, patience=60.0, pause=1.0, flood=4
)
TO_BE_LOST = "stanza"


class BothSides(RuleBasedStateMachine):
    """The proxy with the real counters, a server that only knows lists, and a wire that keeps order."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.sm = StreamManagement(lambda: self.now, LIMITS)
        self.base = 0
        self.refuses = False
        self.to_server = deque()
        self.to_proxy = deque()
        # The proxy's side.
        self.next_item = 1
        self.kept_from = None
        self.sent = []
        self.sizes = []
        self.acknowledged = []
        self.came = []
        self.dealt_with = set()
        # The server's side.
        self.server_on = False
        self.server_got = []
        self.server_sent = 0
        self.last_h = 0

    @initialize(
        base=st.sampled_from([0, 0, 2**32 - 4, 2**32 - 1]), refuses=st.sampled_from([False] * 7 + [True])
    )
    def start(self, base, refuses):
        """Counters near their end have to be put there by hand: nobody sends four thousand million stanzas."""
        self.base = base
        self.refuses = refuses
        self.sm._acknowledged = self.sm._handled = self.sm._arrived = base

    # -- the proxy -----------------------------------------------------------------------------------------------

    def out(self, *pieces):
        for piece in pieces:
            if isinstance(piece, bytes) and piece.startswith(b"<a ") and piece.endswith(REQUEST):
                self.to_server += [piece.removesuffix(REQUEST), REQUEST]
            elif piece:
                self.to_server.append(piece)

    @precondition(lambda self: self.sm.state is State.OFF and self.kept_from is None)
    @rule(before=st.integers(0, 2))
    def enable(self, before):
        self.kept_from = self.next_item
        self.out(self.sm.enable())
        # Sent before the server's answer, and so counted by neither side.
        self.to_proxy.extend([TO_BE_LOST] * before)

    @rule(size=st.integers(1, 40))
    def send(self, size):
        item = self.next_item
        was = self.sm.state
        try:
            after = self.sm.sent(item, size)
        except QueueFull:
            assert self.sm.full
            waiting = self.sizes[len(self.acknowledged) :]
            assert len(waiting) == LIMITS.stanzas + LIMITS.reserve or sum(waiting) + size > 2 * LIMITS.payload
            return
        self.next_item += 1
        if was in {State.ASKED, State.ON}:
            self.sent.append(item)
            self.sizes.append(size)
        self.out(item, after)

    @precondition(lambda self: len(self.dealt_with) < len(self.came))
    @rule(data=st.data())
    def deal_with_one_that_came(self, data):
        number = data.draw(st.sampled_from([one for one in self.came if one not in self.dealt_with]))
        self.dealt_with.add(number)
        self.out(self.sm.handled(number), self.sm.handled(number))

    @rule(seconds=st.floats(0.1, 20))
    def time_passes(self, seconds):
        """The server answers within its patience here; that it does not is a test of its own."""
        due = self.sm.next_timer
        if self.sm._asked_at is not None and due is not None:
            seconds = min(seconds, due - self.now - 0.01)
        self.now += max(seconds, 0)
        self.out(self.sm.timer())

    # -- the wire ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.to_server)
    @rule()
    def server_reads(self):
        piece = self.to_server.popleft()
        if piece == ENABLE:
            self.server_on = not self.refuses
            self.to_proxy.append("failed" if self.refuses else "enabled")
        elif piece == REQUEST:
            self.answer()
        elif isinstance(piece, bytes):
            self.check_h(int(parse(b"<s>", piece).attributes["h"]))
        elif self.server_on:
            self.server_got.append(piece)

    @precondition(lambda self: self.server_on)
    @rule()
    def answer(self):
        self.to_proxy.append(("a", (self.base + len(self.server_got)) % 2**32))

    @precondition(lambda self: self.server_on)
    @rule()
    def server_asks(self):
        self.to_proxy.append("r")

    @rule()
    def server_sends(self):
        self.server_sent += self.server_on
        self.to_proxy.append(TO_BE_LOST)

    @precondition(lambda self: self.to_proxy)
    @rule()
    def proxy_reads(self):
        piece = self.to_proxy.popleft()
        if piece == TO_BE_LOST:
            self.one_comes()
            return
        name, attributes = (piece, []) if isinstance(piece, str) else (piece[0], ["h", str(piece[1])])
        reaction = self.sm.from_server(SM + name, attributes)
        if piece == "r" and not reaction.to_server:
            assert self.sm.state is not State.ON or self.sm.next_timer <= self.now + LIMITS.pause
        if name == "failed":
            # Without stream management what is sent counts as sent: all that was kept is let go, once and in order.
            assert self.sm.state is State.REFUSED
            assert list(reaction.acknowledged) == self.sent
            self.sent, self.sizes = [], []
        else:
            self.acknowledged += reaction.acknowledged
        self.out(reaction.to_server)

    def one_comes(self):
        """A stanza is dealt with at once, or later."""
        if (self.server_sent + len(self.came)) % 3:
            number = self.sm.arrived()
        else:
            said = self.sm.taken()
            number = self.sm._arrived if self.sm.state is State.ON else 0
            if number:
                self.dealt_with.add(number)
            self.out(said)
        if number:
            self.came.append(number)

    @precondition(lambda self: self.to_server or self.to_proxy)
    @rule()
    def all_on_its_way_is_read(self):
        while self.to_server or self.to_proxy:
            if self.to_proxy:
                self.proxy_reads()
            if self.to_server:
                self.server_reads()

    @precondition(lambda self: self.server_on)
    @rule(number=st.integers(1, 5), data=st.data())
    def server_sends_several_and_asks(self, number, data):
        for _ in range(number):
            self.server_sends()
        self.all_on_its_way_is_read()
        for one in data.draw(st.lists(st.sampled_from(self.came or [0]), max_size=5)):
            self.dealt_with.add(one)
            self.out(self.sm.handled(one))
        self.server_asks()
        self.all_on_its_way_is_read()

    def check_h(self, h):
        """What the proxy says it has handled is a prefix that it has, and no less than what it said before."""
        assert 0 <= h < 2**32
        handled = (h - self.base) % 2**32
        firsts = 0
        while self.base + firsts + 1 in self.dealt_with:
            firsts += 1
        assert self.last_h <= handled <= firsts <= self.server_sent
        self.last_h = handled

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def acknowledged_is_what_the_server_got(self):
        assert self.acknowledged == self.sent[: len(self.acknowledged)]
        assert self.acknowledged == self.server_got[: len(self.acknowledged)]

    @invariant()
    def bounded(self):
        assert len(self.sm._queue) <= LIMITS.stanzas + LIMITS.reserve
        assert self.sm._payload <= 2 * LIMITS.payload
        assert self.sm._payload == sum(size for _, size in self.sm._queue)

    @invariant()
    def something_will_happen_to_what_waits(self):
        if self.sm.state is State.ON and self.sm._queue:
            assert self.sm.next_timer is not None

    @rule()
    def the_stream_is_cut(self):
        lost = self.sm.lost()
        assert lost == self.sent[len(self.acknowledged) :]
        assert set(self.server_got) | set(lost) >= set(self.sent)
        assert not set(lost) & set(self.acknowledged)
        assert self.sm.lost() == []
        self.__init__()

    def teardown(self):
        """Given time and a server that answers, everything is acknowledged."""
        for _ in range(200):
            self.all_on_its_way_is_read()
            due = self.sm.next_timer
            if due is None:
                break
            self.now = due
            self.out(self.sm.timer())
        if self.sm.state is State.ON:
            assert self.acknowledged == self.sent == self.server_got
            assert not self.sm.full


TestBothSides = BothSides.TestCase
TestBothSides.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
