"""SRV records: order, weights, what is not offered, and what happens when DNS does not answer. In memory."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from fake_network import FakeReactor, FakeResolver
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError, DNSNameError, DNSServerError, DomainError

from e2eproxy.xmpp.connect import ConnectError, Connector, UpstreamSettings
from e2eproxy.xmpp.reaching import Candidate
from e2eproxy.xmpp.srv import MOST_CANDIDATES, Service, SrvRecord, in_order, look_up, name_servers

BOTH = ("starttls", "direct")


def record(priority, weight, host, port=5222, security="starttls"):
    return SrvRecord(priority, weight, Candidate(host, port, security))


def hosts(candidates):
    return [candidate.host for candidate in candidates]


def ask(answers, wanted=BOTH):
    services = []
    resolver = FakeResolver(answers)
    asking = Deferred.fromCoroutine(look_up(resolver, "example.test", wanted, Clock()))
    asking.addCallback(services.extend)
    assert asking.called
    return services, resolver


# -- order ---------------------------------------------------------------------------------------------------------


def test_priorities_first_whatever_the_kind():
    records = [record(30, 0, "c"), record(5, 0, "a", 443, "direct"), record(10, 65535, "b")]
    assert in_order(records, Random(1)) == [
        Candidate("a", 443, "direct"), Candidate("b", 5222, "starttls"), Candidate("c", 5222, "starttls")
    ]  # fmt: skip


def test_weights_are_chances():
    """Of 20,000 draws each place is first as often as its weight says, and second as RFC 2782 repeats the draw."""
    weights = {"a": 10, "b": 30, "c": 60}
    random = Random(20261123)
    first, second = Counter(), Counter()
    draws = 20_000
    for _ in range(draws):
        order = hosts(in_order([record(1, weight, host) for host, weight in weights.items()], random))
        first[order[0]] += 1
        second[order[1]] += 1
    for host, weight in weights.items():
        # The RFC's number runs from 0 to the sum, both included, which favours the first by 1 in 101.
        assert first[host] / draws == pytest.approx(weight / 100, abs=0.015)
        others = sum(
            weights[other] / 100 * weight / (100 - weights[other]) for other in weights if other != host
        )
        assert second[host] / draws == pytest.approx(others, abs=0.025)


def test_weight_zero_is_rarely_first():
    random = Random(7)
    orders = Counter(
        hosts(in_order([record(1, 100, "heavy"), record(1, 0, "light")], random))[0] for _ in range(5_000)
    )
    assert 10 < orders["light"] < 150


def test_all_weights_zero_keeps_everyone():
    assert sorted(hosts(in_order([record(1, 0, host) for host in "abc"], Random(1)))) == ["a", "b", "c"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535), st.integers(1, 30)), max_size=40),
    st.integers(),
)
def test_order_properties(rows, seed):
    """Nobody twice, nobody invented, priorities ascending, bounded."""
    records = [record(priority, weight, f"h{host}") for priority, weight, host in rows]
    ordered = in_order(records, Random(seed))
    assert len(ordered) == len(set(ordered)) == min(len({row[2] for row in rows}), MOST_CANDIDATES)
    best = {}
    for priority, _, host in rows:
        best[f"h{host}"] = min(priority, best.get(f"h{host}", priority))
    priorities = [best[candidate.host] for candidate in ordered]
    assert priorities == sorted(priorities)


# -- what DNS says -------------------------------------------------------------------------------------------------


def test_both_are_asked_for():
    (starttls, direct), resolver = ask(
        {"_xmpp-client": [(1, 2, 5222, "A.example.test")], "_xmpps-client": [(3, 4, 443, "b.example.test")]}
    )
    assert starttls == Service("offered", (record(1, 2, "a.example.test"),))
    assert direct == Service("offered", (record(3, 4, "b.example.test", 443, "direct"),))
    assert resolver.asked == ["_xmpp-client._tcp.example.test", "_xmpps-client._tcp.example.test"]


def test_only_what_is_wanted_is_asked_for():
    _, resolver = ask({}, wanted=("direct",))
    assert resolver.asked == ["_xmpps-client._tcp.example.test"]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ([], "absent"),
        (DNSNameError(), "absent"),
        (AuthoritativeDomainError(), "absent"),
        (DomainError(), "absent"),
        (DNSServerError(), "failed"),
        (OSError(101, "Network is unreachable"), "failed"),
        (ValueError("nonsense"), "failed"),
        ([(0, 0, 0, ".")], "refused"),
        ([(0, 0, 5222, "")], "refused"),
        ([(0, 0, 0, "a.test")], "absent"),
        ([(0, 0, 5222, "127.0.0.1")], "absent"),
        ([(0, 0, 5222, "a b.test"), (0, 0, 5222, "-.test")], "absent"),
        ([(0, 0, 5222, "a.test"), (0, 0, 5222, ".")], "offered"),
    ],
)
def test_states(answer, state):
    services, _ = ask({"_xmpp-client": answer}, wanted=("starttls",))
    assert [service.state for service in services] == [state]


def test_foreign_records_and_too_many():
    class Mixed(FakeResolver):
        def lookupService(self, name, timeout):  # noqa: ARG002, N802 - Twisted's
            alias = dns.RRHeader(name, dns.CNAME, payload=dns.Record_CNAME(b"other.test"))
            many = [
                dns.RRHeader(name, dns.SRV, payload=dns.Record_SRV(1, 1, 5222, b"h%d.test" % number))
                for number in range(500)
            ]
            return defer.succeed(([alias, *many], [], []))

    services = []
    Deferred.fromCoroutine(look_up(Mixed(), "example.test", ("starttls",), Clock())).addCallback(
        services.extend
    )
    assert len(services[0].records) == 64


def test_silence_ends_after_ten_seconds():
    clock, resolver, services = (
        Clock(),
        FakeResolver({"_xmpp-client": "silent", "_xmpps-client": "silent"}),
        [],
    )
    asking = Deferred.fromCoroutine(look_up(resolver, "example.test", BOTH, clock))
    asking.addCallback(services.extend)
    clock.advance(9.9)
    assert not services
    clock.advance(0.2)
    assert [service.state for service in services] == ["failed", "failed"]
    assert resolver.cancelled == 2
    assert not clock.getDelayedCalls()


def test_cancelling_cancels_both():
    clock, resolver, failures = (
        Clock(),
        FakeResolver({"_xmpp-client": "silent", "_xmpps-client": "silent"}),
        [],
    )
    asking = Deferred.fromCoroutine(look_up(resolver, "example.test", BOTH, clock))
    asking.addErrback(lambda failure: failures.append(failure.type))
    asking.cancel()
    assert failures == [defer.CancelledError]
    assert resolver.cancelled == 2
    assert not clock.getDelayedCalls()


def test_name_servers():
    text = "# c\nsearch a.test\nnameserver 192.0.2.1\nnameserver\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n"
    assert name_servers(text) == [("192.0.2.1", 53), ("2001:db8::1", 53)]
    assert name_servers("") == [("127.0.0.1", 53)]


# -- what comes of it ----------------------------------------------------------------------------------------------


def connect(answers, *, names=None, behaviour=None, seconds=60.0, **settings):
    """Connect to example.test in the fake network; return (ConnectError or None, reactor, resolver)."""
    reactor = FakeReactor(names, behaviour)
    resolver = FakeResolver(answers)
    connector = Connector(reactor, UpstreamSettings(**settings), resolver=resolver, random=Random(3))
    failures = []
    connecting = connector.connect("example.test")
    connecting.addErrback(lambda failure: failures.append(failure.value))
    for _ in range(int(seconds * 10)):
        if connecting.called:
            break
        reactor.advance(0.1)
    return (failures[0] if failures else None), reactor, resolver


def places(reactor):
    return [(host, port) for _, host, port in reactor.tried]


def test_all_records_are_tried_in_order():
    error, reactor, _ = connect(
        {"_xmpp-client": [(9, 0, 5222, "b.test")], "_xmpps-client": [(1, 0, 443, "a.test")]},
        names={
            "a.test": ["192.0.2.1", "2001:db8::1"],
            "b.test": ["192.0.2.2"],
            "example.test": ["192.0.2.3"],
        },
    )
    assert places(reactor) == [("192.0.2.1", 443), ("2001:db8::1", 443), ("192.0.2.2", 5222)]
    assert error.condition == "remote-connection-failed"
    assert error.text == (
        "The server of example.test could not be reached."
        " Tried a.test:443: connection refused; b.test:5222: connection refused. "
        "Is this machine online, and the server up? Another address of it is set with --upstream."
    )


@pytest.mark.parametrize("answer", [[], DNSNameError(), DNSServerError(), "silent"])
def test_without_records_the_domain_itself(answer):
    error, reactor, _ = connect(
        {"_xmpp-client": answer, "_xmpps-client": answer}, names={"example.test": ["192.0.2.3"]}
    )
    assert places(reactor) == [("192.0.2.3", 5222)]
    assert "example.test:5222: connection refused" in error.text
    _, reactor, _ = connect({}, names={"example.test": ["192.0.2.3"]}, tls="direct")
    assert places(reactor) == [("192.0.2.3", 5223)]


@pytest.mark.parametrize("other", [[(0, 0, 0, ".")], [], DNSNameError(), "silent"])
def test_not_offered_means_not_tried(other):
    error, reactor, _ = connect(
        {"_xmpp-client": [(0, 0, 0, ".")], "_xmpps-client": other}, names={"example.test": ["192.0.2.3"]}
    )
    assert not reactor.tried
    assert (error.condition, error.final) == ("host-unknown", True)
    assert "has no XMPP server for clients" in error.text


def test_one_kind_not_offered_leaves_the_other():
    _, reactor, _ = connect(
        {"_xmpp-client": [(0, 0, 0, ".")], "_xmpps-client": [(1, 0, 443, "a.test")]},
        names={"a.test": ["192.0.2.1"], "example.test": ["192.0.2.3"]},
    )
    assert places(reactor) == [("192.0.2.1", 443)]


def test_unknown_domain_is_said_at_once():
    error, reactor, _ = connect({"_xmpp-client": DNSNameError(), "_xmpps-client": DNSNameError()})
    assert reactor.seconds() < 1
    assert error.condition == "host-unknown"
    assert error.text == (
        "There is no server for example.test: DNS does not know it. Look whether the domain of the account is spelt right in "
        "your client."
    )


def test_no_srv_for_an_address_setting_or_a_literal():
    _, reactor, resolver = connect({}, address=("192.0.2.9", 99))
    assert (places(reactor), resolver.asked) == ([("192.0.2.9", 99)], [])
    for domain, host in (
        ("192.0.2.8", "192.0.2.8"),
        ("localhost", "localhost"),
        ("[2001:db8::8]", "2001:db8::8"),
    ):
        reactor, resolver = FakeReactor({"localhost": ["127.0.0.1"], host: ["127.0.0.1"]}), FakeResolver()
        connecting = Connector(reactor, UpstreamSettings(), resolver=resolver).connect(domain)
        connecting.addErrback(lambda failure: failure.trap(ConnectError))
        reactor.pump([0.1] * 20)
        assert (len(reactor.tried), resolver.asked) == (1, [])


# -- time ----------------------------------------------------------------------------------------------------------


def test_happy_eyeballs_does_not_wait_for_a_dead_family():
    _, reactor, _ = connect(
        {}, names={"example.test": ["2001:db8::1", "192.0.2.1"]},
        behaviour={"2001:db8::1": "silent", "192.0.2.1": "answer"}, seconds=1,
    )  # fmt: skip
    assert places(reactor) == [("2001:db8::1", 5222), ("192.0.2.1", 5222)]
    assert reactor.tried[1][0] <= 0.5
    assert (
        reactor.transports[0].value().startswith(b"<?xml version='1.0'?><stream:stream to=\"example.test\"")
    )
    assert not reactor.open


def test_each_connection_attempt_is_bounded():
    error, reactor, _ = connect(
        {"_xmpp-client": [(1, 0, 1, "a.test"), (2, 0, 2, "b.test")]},
        names={"a.test": ["192.0.2.1"], "b.test": "silent"}, behaviour={"192.0.2.1": "silent"},
    )  # fmt: skip
    assert 19.5 < reactor.seconds() < 21
    assert "a.test:1: no answer within 10 s; b.test:2: DNS gave no address within 10 s" in error.text
    assert not reactor.open
    assert not reactor.getDelayedCalls()


def test_a_server_that_says_nothing_is_left_after_15_seconds():
    error, reactor, _ = connect({}, names={"example.test": ["192.0.2.1"]}, behaviour={"192.0.2.1": "answer"})
    assert 14.5 < reactor.seconds() < 16.5
    assert "no TLS connection within 15 s" in error.text
    assert all(transport.aborted for transport in reactor.transports)


def test_everything_together_is_bounded():
    names = {f"h{number}.test": [f"192.0.2.{number}"] for number in range(1, 9)}
    error, reactor, _ = connect(
        {"_xmpp-client": [(number, 0, 5222, f"h{number}.test") for number in range(1, 9)]},
        names=names, behaviour={f"192.0.2.{number}": "silent" for number in range(1, 9)},
    )  # fmt: skip
    assert 44.5 < reactor.seconds() < 46
    assert error.text.startswith(
        "The server of example.test could not be reached within 45 s. Tried h1.test:5222"
    )
    assert not reactor.open
    assert not reactor.getDelayedCalls()


@pytest.mark.parametrize("dead", [OSError(101, "Network is unreachable"), DNSServerError()])
def test_without_a_network_it_is_tried_again_for_a_while(dead):
    error, reactor, resolver = connect({"_xmpp-client": dead, "_xmpps-client": dead})
    assert 9 < reactor.seconds() < 16
    assert 8 <= len(resolver.asked) <= 20
    assert error.condition == "remote-connection-failed"
    assert "its name was not found in DNS" in error.text


def test_the_network_comes_back():
    from twisted.internet.error import NoRouteError

    reactor = FakeReactor({"example.test": ["192.0.2.1"]}, {"192.0.2.1": NoRouteError(101, "unreachable")})
    connecting = Connector(reactor, UpstreamSettings(), resolver=FakeResolver(), random=Random(1)).connect(
        "example.test"
    )
    connecting.addErrback(lambda failure: failure.trap(defer.CancelledError))
    reactor.pump([0.1] * 30)
    assert len(reactor.tried) >= 2
    reactor.behaviour["192.0.2.1"] = "answer"
    reactor.pump([0.1] * 60)
    assert reactor.transports
    connecting.cancel()
    assert reactor.transports[0].aborted
    assert not reactor.getDelayedCalls()


def test_pauses_differ_between_clients():
    reactors = [FakeReactor() for _ in range(2)]
    for reactor, seed in zip(reactors, (1, 2), strict=True):
        resolver = FakeResolver({"_xmpp-client": DNSServerError(), "_xmpps-client": DNSServerError()})
        connector = Connector(reactor, UpstreamSettings(), resolver=resolver, random=Random(seed))
        connector.connect("example.test").addErrback(lambda failure: failure.trap(ConnectError))
        reactor.pump([0.1] * 5)
    assert len({min(call.getTime() for call in reactor.getDelayedCalls()) for reactor in reactors}) == 2


@pytest.mark.parametrize("phase", ["dns", "resolving", "connecting", "pausing"])
def test_cancelled_in_each_phase(phase):
    answer = {"dns": "silent", "pausing": DNSServerError()}.get(phase, [])
    names = {"resolving": {"example.test": "silent"}, "connecting": {"example.test": ["192.0.2.1"]}}.get(
        phase
    )
    reactor = FakeReactor(names, {"192.0.2.1": "silent"})
    resolver = FakeResolver({"_xmpp-client": answer, "_xmpps-client": answer})
    failures = []
    connecting = Connector(reactor, UpstreamSettings(), resolver=resolver, random=Random(1)).connect(
        "example.test"
    )
    connecting.addErrback(lambda failure: failures.append(failure.type))
    reactor.pump([0.01] * 3)
    assert not failures
    connecting.cancel()
    reactor.pump([0.01] * 3)
    assert failures == [defer.CancelledError]
    assert len(reactor.tried) == (phase == "connecting")
    assert not reactor.open
    assert not reactor.getDelayedCalls()
