"""Two unmodified clients talk through the daemon with the reference methods, on real servers: nobody in between reads along.

Laws 1, 4 and 9 end to end: what the server received never holds a text, receipts and errors come back under the client's
own ids, and what came in clear where it should not have is marked.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from bed.polling import wait_until
from bed.raw_client import CLIENT, STANZA_ERRORS
from bed.reference import ENABLE, OBJECT, SESSION, ReferenceDaemon, Wiretap
from bed.route import through, upstream_port
from bed.scripted_client import BODY, RECEIPTS, ScriptedClient

from e2eproxy.testing import Canary
from e2eproxy.testing.sealing import NAMESPACE
from e2eproxy.testing.session_method import FEATURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.shared import SharedBed

CANARY = Canary("wherefore4rt7h0u")
FEATURES = {SESSION: FEATURE, OBJECT: NAMESPACE}
BLOCKED = re.compile(rb"<iq (?=[^>]*id=['\"]block['\"])[^>]*type=['\"]result['\"]")
PUBLISHES = re.compile(
    rb"<iq [^>]*id='([^']+)'><pubsub [^>]*><publish node='" + NAMESPACE.encode() + rb":keys'"
)
BOUNCED = re.compile(rb"<message [^>]*type=['\"]error['\"]")
END = b"</stream:stream>"


@frozen
class Conversation:
    """Both clients online, and everything that their daemons said to the server."""

    romeo: ScriptedClient
    juliet: ScriptedClient
    taps: tuple[Wiretap, ...]
    daemons: tuple[ReferenceDaemon, ...]
    bed: SharedBed
    kind: str

    def leaks(self) -> list[str]:
        """How the canary shows in what the server received."""
        return [way for tap in self.taps for way in CANARY.places([tap.said(up=True)])]


@pytest.fixture(params=["one daemon", "two daemons"])
def daemons(request: pytest.FixtureRequest) -> int:
    """Whether both clients are behind the same daemon."""
    return 1 if request.param == "one daemon" else 2


# What daemons are started with. With this scope tests that want the same are run one after another.


@pytest.fixture(scope="module", params=["prosody", "ejabberd"])
def server_kind(request: pytest.FixtureRequest) -> str:
    """Each server in turn."""
    return request.param


@pytest.fixture(scope="module", params=[SESSION, OBJECT])
def method(request: pytest.FixtureRequest) -> str:
    """Each reference method in turn."""
    return request.param


@pytest.fixture(scope="module")
def policy() -> str:
    """The strictest, unless a test says otherwise."""
    return "require"


@pytest.fixture(scope="module")
def running(
    bed: SharedBed, server_kind: str, method: str, policy: str
) -> Iterator[list[tuple[Wiretap, ReferenceDaemon]]]:
    """Two daemons for tests that want the same: each brings accounts of its own, so what was before does not concern it."""
    if bed.through == "direct":
        pytest.skip("without a daemon nobody encrypts")
    server = bed.server(server_kind)
    with ExitStack() as stack:
        taps = [stack.enter_context(Wiretap(upstream_port(server, "none"))) for _ in range(2)]
        yield [
            (
                tap,
                stack.enter_context(
                    ReferenceDaemon(server.certificates, tap.port, methods=method, policy=policy)
                ),
            )
            for tap in taps
        ]


@pytest.fixture
def talk(
    bed: SharedBed,
    server_kind: str,
    daemons: int,
    method: str,
    running: list[tuple[Wiretap, ReferenceDaemon]],
) -> Iterator[Conversation]:
    """Romeo and Juliet, friends, online by way of their daemons."""
    server = bed.server(server_kind)
    accounts = server.pair_of()
    taps, started = zip(*running[:daemons], strict=True)
    for tap in taps:
        tap.forget()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                ScriptedClient(
                    through(started[number % daemons], server),
                    account,
                    "home",
                    announces=[FEATURES[method]],
                    receipts=True,
                )
            )
            for number, account in enumerate(accounts)
        ]
        if method == OBJECT:  # who is looked up before the keys are published has none for a while
            wait_until(
                lambda: sum(map(_published, taps)) == len(clients), "both daemons to publish their keys"
            )
        for client in clients:
            client.available()
        for client, other in (clients, reversed(clients)):
            client.wait(
                lambda one, other=other: one.get("from") == other.jid and one.tag == f"{CLIENT}presence",
                f"presence of {other.jid}",
            )
        yield Conversation(*clients, taps, started, bed, server_kind)
    for tap, daemon in zip(taps, started, strict=True):
        wait_until(lambda daemon=daemon, tap=tap: daemon.connections(tap.port) == 0, "all connections to end")
        daemon.require_no_traceback()


def test_texts_receipts_and_both_directions(talk: Conversation) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    text = CANARY.text()
    number = romeo.write(juliet.account.jid, text, more=f"<request xmlns='{RECEIPTS}'/>")
    juliet.wait_text(text)
    receipt = f"{{{RECEIPTS}}}received"
    found = romeo.wait(lambda one: one.find(receipt) is not None, "a receipt").find(receipt)
    assert found is not None
    assert found.get("id") == number
    juliet.write(romeo.jid, f"{text} back")
    romeo.wait_text(f"{text} back")
    for count in range(8):
        romeo.write(juliet.jid, f"{text} {count}")
    juliet.wait_text(f"{text} 7")
    assert juliet.texts(romeo.account.jid) == [text, *(f"{text} {count}" for count in range(8))]
    assert not romeo.errors()
    assert not juliet.errors()
    assert talk.leaks() == []


@pytest.mark.parametrize("policy", ["require", "prefer"], scope="module")
def test_both_begin_at_once(talk: Conversation) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    text, other = CANARY.text(), f"{CANARY.text()} too"
    romeo.write(juliet.account.jid, text)
    juliet.write(romeo.account.jid, other)
    juliet.wait_text(text)
    romeo.wait_text(other)
    assert talk.leaks() == []


def test_the_daemon_counts_with_the_server(talk: Conversation) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    for count in range(6):
        romeo.write(juliet.account.jid, f"{count} {CANARY.token}")
    juliet.wait_text(f"5 {CANARY.token}")
    for tap in talk.taps:
        assert ENABLE in tap.said(up=True)
    if len(talk.taps) > 1:  # one connection each, so that what is counted is known
        wait_until(talk.taps[0].acknowledged, "the server to acknowledge all that was sent")
    assert talk.leaks() == []


def test_an_error_comes_back_with_what_the_client_wrote(talk: Conversation) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    _answered(romeo, juliet)
    hers, his = talk.taps[-1], talk.taps[0]
    his.hold(up=False)  # so that his daemon does not hear yet that she refuses him
    item = f"<item jid='{romeo.account.jid}'/>"
    juliet.say(f"<iq type='set' id='block'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>")
    wait_until(lambda: BLOCKED.search(hers.said(up=False)), "her server to refuse him")
    if talk.kind == "prosody":  # which bounces nothing that is for a client online
        juliet.vanish()
        wait_until(lambda: END in hers.said(up=False), "her server to see her off")
    text = CANARY.text()
    number = romeo.write(juliet.jid, text)
    wait_until(lambda: BOUNCED.search(his.said(up=False)), "the server to bounce it")
    his.release(up=False)
    error = romeo.wait(lambda one: one.get("type") == "error" and one.get("id") == number, "the error")
    assert error.findtext(BODY) == text
    assert error.get("from") == juliet.jid
    assert error.find(f"{CLIENT}error/{STANZA_ERRORS}service-unavailable") is not None
    assert text not in juliet.texts()
    assert talk.leaks() == []


def test_plain_text_in_the_conversation_is_marked(talk: Conversation, method: str) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    _answered(romeo, juliet)
    if method == OBJECT:  # which has no session, and cannot prove that she read it
        romeo.write(juliet.account.jid, "/e2e require")
        romeo.wait(
            lambda one: "Nothing leaves unencrypted" in (one.findtext(BODY) or ""), "the proxy's answer"
        )
    direct = talk.bed.route(talk.kind, "none")  # a daemon without the method: as good as none
    with ScriptedClient(direct, juliet.account, "old") as other:
        other.write(romeo.jid, "in clear")
        found = romeo.wait(lambda one: "in clear" in (one.findtext(BODY) or ""), "the text in clear")
    assert found.findtext(BODY) == "[not encrypted] in clear"


def _published(tap: Wiretap) -> int:
    """How many lists of keys the server has taken."""
    asked = PUBLISHES.findall(tap.said(up=True))
    return sum(b"%s'" % number in tap.said(up=False).replace(b'"', b"'") for number in asked)


def _answered(romeo: ScriptedClient, juliet: ScriptedClient) -> None:
    """One text in each direction."""
    romeo.write(juliet.jid, "first")
    juliet.wait_text("first")
    juliet.write(romeo.jid, "second")
    romeo.wait_text("second")


def test_nothing_leaves_to_who_cannot_read_it(talk: Conversation) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    direct = talk.bed.route(talk.kind, "none")
    with ScriptedClient(direct, juliet.account, "old") as other:
        juliet.close()
        other.available()
        romeo.wait(
            lambda one: one.get("from") == other.jid and one.tag == f"{CLIENT}presence", "the old client"
        )
        number = romeo.write(other.jid, CANARY.text())
        error = romeo.wait(lambda one: one.get("type") == "error" and one.get("id") == number, "the refusal")
    assert error.findtext(BODY) == CANARY.text()
    assert error.find(f"{CLIENT}error") is not None
    assert talk.leaks() == []


@pytest.mark.parametrize("end", ["stream", "SIGTERM"])
def test_goodbyes_leave_before_the_end_of_the_stream(bed: SharedBed, server_kind: str, end: str) -> None:
    if bed.through == "direct":
        pytest.skip("without a daemon nobody encrypts")
    server = bed.server(server_kind)
    with ExitStack() as stack:
        taps = [stack.enter_context(Wiretap(upstream_port(server, "none"))) for _ in range(2)]
        his, hers = [
            stack.enter_context(ReferenceDaemon(server.certificates, tap.port, parting=True)) for tap in taps
        ]
        romeo, juliet = [
            stack.enter_context(
                ScriptedClient(through(daemon, server), account, "home", announces=[FEATURE], receipts=True)
            )
            for daemon, account in zip((his, hers), server.pair_of(), strict=True)
        ]
        for client in (romeo, juliet):
            client.available()
        for client, other in ((romeo, juliet), (juliet, romeo)):
            client.wait(
                lambda one, other=other: one.get("from") == other.jid and one.tag == f"{CLIENT}presence",
                f"presence of {other.jid}",
            )
        _answered(romeo, juliet)
        before = len(taps[0].said(up=True))
        if end == "stream":
            romeo.say(END.decode())
        else:
            his.stop()
        juliet.wait(
            lambda one: "The contact ended the encrypted session." in (one.findtext(BODY) or ""),
            "the goodbye of his daemon",
        )
        last = taps[0].said(up=True)[before:]
        assert last.count(b"<message") == 1
        assert last.index(b"<message") < last.index(END)
        hers.require_no_traceback()
