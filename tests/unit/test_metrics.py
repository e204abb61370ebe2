"""What is counted: each stanza once, under names that are known beforehand, and nothing that anybody wrote."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from bed import exposition
from bed.guard_world import JULIET, ROMEO, SECRET, World
from bed.memory_session import DOMAIN
from twisted.logger import globalLogPublisher

from e2eproxy.control import metrics as page
from e2eproxy.control.scraping import names_this_machine
from e2eproxy.log import json_line
from e2eproxy.proxy.holding import Direction
from e2eproxy.proxy.policy import Reason
from e2eproxy.proxy.tally import BUCKETS, FAILURES, FATES, LINES_A_MINUTE, WHY, Fate, Latency, Tally, Why
from e2eproxy.testing.object_method import ObjectMethod
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.values import OptionError, metrics_endpoint
from e2eproxy.xmpp.stanza import Stanza

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "scripts"))

import metrics as script  # noqa: E402 - needs the path set above

SESSION = "reference-session"
REQUIRE = {"when": "require", "methods": SESSION}


class Counting:
    """A guard whose stanzas are counted from outside."""

    def __init__(self, guard, side):
        self._guard = guard
        side.counted = self
        self.out = self.arrived = 0

    def __getattr__(self, name):
        return getattr(self._guard, name)

    def from_client(self, element, root):
        self.out += 1
        return self._guard.from_client(element, root)

    def from_server(self, element, root):
        self.arrived += 1
        return self._guard.from_server(element, root)


@pytest.fixture
def world():
    return World(SessionMethod(), twin=Counting)


def read(side):
    kind, raw = side.control.metrics()
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    return exposition.read(raw)


def stanzas(side, method, direction, outcome):
    return exposition.value(
        read(side), "e2eproxy_stanzas_total", method=method, direction=direction, outcome=outcome
    )


def failures(side, direction, reason):
    return exposition.value(read(side), FAILURES, direction=direction, reason=reason)


def total(side, direction):
    found = read(side)["e2eproxy_stanzas_total"].samples
    return sum(value for (_, labels), value in found.items() if ("direction", direction) in labels)


def nothing_is_lost(side):
    """Each stanza was counted once, or waits and is shown as waiting."""
    waits = read(side)["e2eproxy_waiting_stanzas"].samples
    assert total(side, "out") + waits["", (("direction", "out"),)] == side.counted.out
    assert total(side, "in") + waits["", (("direction", "in"),)] == side.counted.arrived


@contextmanager
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def lively(world):
    """Most things that can become of a stanza."""
    romeo, juliet = world.sides
    romeo.write(b"<presence/>")
    romeo.say("e2eproxy.localhost", "status", "c0")
    romeo.say(juliet.jid, "/e2e status", "c0b")
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    juliet.knows(romeo)
    juliet.say(romeo.jid, "my only love")
    romeo.server.deliver(f"<message from='{JULIET}' type='chat'><body>plain</body></message>".encode())
    romeo.server.deliver(b"<message from='e2eproxy.localhost' type='chat'><body>all is well</body></message>")
    romeo.write(b"<message to='a@b@c' id='c2'><body>x</body></message>")
    romeo.rules.rows["default", ""] = REQUIRE
    romeo.say(f"nurse@{DOMAIN}", SECRET, "c3")
    world.wait(61)
    romeo.say(f"friar@{DOMAIN}", SECRET, "c4")


def test_every_stanza_is_counted_once(world):
    romeo, _ = world.sides
    lively(world)
    nothing_is_lost(romeo)
    assert exposition.value(read(romeo), "e2eproxy_waiting_stanzas", direction="out") == 1
    romeo.lose_stream()
    assert total(romeo, "out") == romeo.counted.out
    assert total(romeo, "in") == romeo.counted.arrived
    # Two words to the proxy, and what the client can do, which it was asked by the proxy.
    assert stanzas(romeo, "none", "out", "taken") == 3
    assert stanzas(romeo, SESSION, "out", "protected") == 1
    assert stanzas(romeo, "none", "out", "refused") == 2, "the bad address, and what waited too long"
    assert stanzas(romeo, "none", "out", "unsent") == 1
    assert stanzas(romeo, SESSION, "in", "opened") == 1
    assert stanzas(romeo, SESSION, "in", "absorbed") >= 1
    assert stanzas(romeo, "none", "in", "marked") == 1
    assert stanzas(romeo, "none", "in", "dropped") == 1
    for reason in ("bad-address", "overdue", "ended"):
        assert failures(romeo, "out", reason) == 1, reason
    assert failures(romeo, "in", "forged") == 1


def test_a_stanza_that_was_held_is_counted_as_held_once_and_timed(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = REQUIRE
    romeo.say(juliet.jid)
    world.wait(3)
    romeo.knows(juliet)
    assert juliet.texts == [SECRET]
    found = read(romeo)
    assert exposition.value(found, "e2eproxy_holds_total", method="none", direction="out") == 1
    assert exposition.value(found, "e2eproxy_holds_total", method=SESSION, direction="out") == 0
    of = {"method": SESSION, "direction": "out"}
    assert exposition.value(found, "e2eproxy_stanza_seconds", "_count", **of) == 1
    assert exposition.value(found, "e2eproxy_stanza_seconds", "_sum", **of) == pytest.approx(3, abs=1)
    assert exposition.value(found, "e2eproxy_stanza_seconds", "_bucket", le="1.0", **of) == 0
    assert exposition.value(found, "e2eproxy_stanza_seconds", "_bucket", le="5.0", **of) == 1


def test_sessions_accounts_and_clients_are_what_there_is(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    found = read(romeo)
    assert exposition.value(found, "e2eproxy_sessions", method=SESSION, state="active") == 1
    assert exposition.value(found, "e2eproxy_accounts", state="open") == 1
    assert exposition.value(found, "e2eproxy_clients") == 1
    assert exposition.value(found, "e2eproxy_build_info", version="0.0.test") == 1


def test_what_cannot_be_opened_is_counted_and_logged_with_its_method(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.say(juliet.jid)
    sealed = [raw for raw in world.seen if b"<message" in raw][-1]
    damaged = Stanza.parse(sealed).with_attributes({"from": f"nobody@{DOMAIN}/x", "to": str(juliet.jid)})
    with logged() as events:
        juliet.server.deliver(damaged)
        world.run()
    assert stanzas(juliet, SESSION, "in", "unreadable") == 1
    assert failures(juliet, "in", "not-opened") == 1
    (line,) = [json.loads(json_line(event)) for event in events if event.get("metric") == FAILURES]
    assert {"direction": "in", "reason": "not-opened", "method": SESSION, "count": 1}.items() <= line.items()


def test_a_store_that_is_broken_is_counted(world):
    romeo, juliet = world.sides
    romeo.knows(juliet)
    romeo.disk.broken = True
    romeo.say(juliet.jid)
    assert [error.id for error in romeo.errors] == ["c1"]
    nothing_is_lost(romeo)
    assert stanzas(romeo, SESSION, "out", "refused") == 1
    assert failures(romeo, "out", "method") == 1


def test_a_full_line_is_counted(world):
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] = REQUIRE
    for number in range(52):
        romeo.say(juliet.jid, "x", f"c{number}")
    nothing_is_lost(romeo)
    assert failures(romeo, "out", "no-room") == 2


def test_a_method_with_objects_is_counted_by_its_name():
    world = World(ObjectMethod(), twin=Counting)
    romeo, juliet = world.sides
    for side, other in ((romeo, juliet), (juliet, romeo)):
        side.desk.features(other.jid, frozenset(ObjectMethod.traits.features))
    romeo.say(juliet.jid.bare)
    assert juliet.texts == [SECRET]
    assert stanzas(romeo, "reference-object", "out", "protected") == 1
    assert stanzas(juliet, "reference-object", "in", "opened") == 1
    nothing_is_lost(romeo)


# -- the way of a stanza that nobody looks into ------------------------------------------------------------------------


def test_a_stanza_that_nobody_looks_into_is_counted_and_not_timed():
    world = World(twin=Counting)
    romeo, juliet = world.sides
    before = read(romeo), read(juliet)
    asked = []
    for side in world.sides:
        side.guards.tally._now = lambda: asked.append(1) or 0.0
    ways = [side.guards.tally.passed_out for side in world.sides]
    romeo.say(juliet.jid)
    assert juliet.texts == [SECRET]
    assert not asked
    assert romeo.guards.tally.passed_out == ways[0] + 1
    passed = {"method": "none", "outcome": "passed"}
    for side, direction, earlier in ((romeo, "out", before[0]), (juliet, "in", before[1])):
        name = "e2eproxy_stanzas_total"
        now = exposition.value(read(side), name, direction=direction, **passed)
        assert now == exposition.value(earlier, name, direction=direction, **passed) + 1
    nothing_is_lost(romeo)


# -- names -------------------------------------------------------------------------------------------------------------


def test_labels_have_no_jid_key_or_text(world):
    before = read(world.sides[0])
    lively(world)
    allowed = {
        "method": {"none", SESSION},
        "direction": {"in", "out"},
        "outcome": {fate.value for fate in Fate},
        "reason": {why.value for why in Why},
        "state": {"negotiating", "active", "finished", "opening", "open", "refused"},
        "le": {*map(str, BUCKETS), "+Inf"},
        "version": {"0.0.test"},
    }
    for side in world.sides:
        found = read(side)
        for metric in found.values():
            for _, labels in metric.samples:
                assert all(value in allowed[name] for name, value in labels)
        raw = side.control.metrics()[1].decode()
        for secret in (SECRET, ROMEO.local, JULIET.local, "nurse", "friar", DOMAIN, "@"):
            assert secret not in raw
    after = read(world.sides[0])
    assert {name: set(one.samples) for name, one in before.items()} == {
        name: set(one.samples) for name, one in after.items()
    }, "no stanza makes a new series"


def test_what_is_logged_of_failures_has_no_text_either(world):
    with logged() as events:
        lively(world)
    lines = [json_line(event) for event in events if event.get("metric") == FAILURES]
    assert len(lines) == 3
    for line in lines:
        fields = json.loads(line)
        assert set(fields) == {
            "time", "level", "logger", "event", "what", "metric", "direction", "reason", "method", "count",
        }  # fmt: skip
        for secret in (SECRET, ROMEO.local, JULIET.local, "nurse", DOMAIN, "a@b@c"):
            assert secret not in line


def test_a_flood_of_failures_is_counted_and_hardly_logged():
    now = [100.0]
    tally = Tally([SESSION], lambda: now[0])
    with logged() as events:
        for _ in range(10 * LINES_A_MINUTE):
            tally.failed(Direction.IN, Why.FORGED)
        assert len(events) == LINES_A_MINUTE
        now[0] += 61
        tally.failed(Direction.IN, Why.FORGED)
    assert [event.get("count") for event in events[LINES_A_MINUTE:]] == [9 * LINES_A_MINUTE, 1]
    assert dict(tally.failures())[Direction.IN, Why.FORGED] == 10 * LINES_A_MINUTE + 1


def test_policys_reasons_and_all_fates_have_words():
    assert {reason.value for reason in Reason} <= {why.value for why in WHY[Direction.OUT]}
    assert {why for whys in WHY.values() for why in whys} == set(Why)
    assert {fate for fates in FATES.values() for fate in fates} == set(Fate)


def test_latencies_fall_into_their_buckets():
    latency = Latency()
    for seconds in (-5.0, 0.001, 0.0011, 59.0, 61.0):
        latency.add(seconds)
    counts = latency.cumulated()
    assert counts[:2] == [2, 3]
    assert counts[-3:] == [3, 4, 5]
    assert latency.seconds == pytest.approx(120.0021)


def test_a_label_is_escaped():
    line = page._line("x", {"version": 'a"b\\c\nd'}, 1)
    assert exposition.read(f"# HELP x y\n# TYPE x gauge\n{line}\n".encode())["x"].samples == {
        ("", (("version", 'a"b\\c\nd'),)): 1.0
    }


@pytest.mark.parametrize(
    "text",
    [
        "x 1",
        "# HELP x y\nx 1\n",
        "# TYPE x gauge\nx 1\n",
        "# HELP x y\n# TYPE x gauge\nz 1\n",
        "# HELP x y\n# TYPE x gauge\nx 1\nx 2\n",
        '# HELP x y\n# TYPE x gauge\nx{a="b" 1\n',
        '# HELP x y\n# TYPE x gauge\nx{a="b"c="d"} 1\n',
        '# HELP x y\n# TYPE x gauge\nx{a="b",} 1\n',
        "# HELP x y\n# TYPE x counter\nx 1\n",
        '# HELP x y\n# TYPE x histogram\nx_bucket{le="1"} 2\nx_bucket{le="+Inf"} 1\nx_sum 1\nx_count 1\n',
        '# HELP x y\n# TYPE x histogram\nx_bucket{le="+Inf"} 1\nx_sum 1\nx_count 2\n',
    ],
)
def test_the_reader_takes_nothing_that_is_wrong(text):
    with pytest.raises((AssertionError, ValueError)):
        exposition.read(text.encode())


# -- the option, the page, the host ------------------------------------------------------------------------------------


def test_the_page_shows_what_the_tables_say():
    assert script.PAGE.read_text("utf-8") == script.page(), "run: python scripts/metrics.py"


@pytest.mark.parametrize("text", [r"tcp:9109:interface=127.0.0.1", r"tcp:0:interface=\:\:1"])
def test_loopback_is_taken(text):
    assert metrics_endpoint(text) == text
    assert metrics_endpoint("none") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp:9109", "all addresses"),
        ("tcp:9109:interface=0.0.0.0", "is refused"),
        ("tcp:9109:interface=192.0.2.1", "for this machine alone"),
        ("tcp:9109:interface=localhost", "an address, not a name"),
        ("unix:/run/x", "the control socket serves them"),
        ("systemd:domain=INET:index=0", "the control socket serves them"),
        ("ssl:1:interface=127.0.0.1", "allowed: tcp:"),
        ("", "allowed: tcp:"),
        ("9109", "allowed: tcp:"),
    ],
)
def test_nothing_else_is(text, why):
    with pytest.raises(OptionError, match=why):
        metrics_endpoint(text)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        (None, True),
        (b"127.0.0.1:9109", True),
        (b"127.9.9.9", True),
        (b"LOCALHOST:9109", True),
        (b"[::1]:9109", True),
        (b"[::1]", True),
        (b"", False),
        (b"evil.example:9109", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example:9109", False),
        (b"127.0.0.1:x", False),
        (b"192.0.2.1", False),
        (b"[::1", True),
        (b"[::1]evil.example", False),
        (b"\xff", False),
        (b"127.0.0.1@evil.example", False),
    ],
)
def test_a_name_that_somebody_lets_point_here_is_not_this_machine(host, ours):
    assert names_this_machine(host) is ours
