"""Two unmodified clients talk in miller-e2e through real servers, each behind a daemon of its own as the program is installed.

What the servers received never holds a canary: of a message, of a request and what answers it, of presence to one contact.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from attrs import frozen
from bed.daemon import Daemon
from bed.polling import wait_until
from bed.raw_client import CLIENT, STANZA_ERRORS
from bed.reference import Wiretap
from bed.route import through, upstream_port
from bed.scripted_client import BODY, ScriptedClient

from e2eproxy.testing import Canary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.shared import SharedBed

CANARY = Canary("g4llop4p4ceY0uSteeds")
E2E = "urn:ietf:params:xml:ns:xmpp-e2e:6"
IQ, PRESENCE = f"{CLIENT}iq", f"{CLIENT}presence"
ASKED = "{urn:e2eproxy:test:asked}query"
KEY_REQUEST = re.compile(rb"<iq [^>]*type='get'[^>]*><keyreq ")
#: What leaves in the place of an answer.
ANSWER = re.compile(rb"<iq [^>]*type='(\w+)'[^>]*><e2e xmlns='" + E2E.encode())


class Home:
    """A daemon, and what it says to its server."""

    def __init__(self, stack: ExitStack, bed: SharedBed, kind: str, policy: str = "require") -> None:
        self.server = bed.server(kind)
        self.tap = stack.enter_context(Wiretap(upstream_port(self.server, "none")))
        options = ["--policy", policy, "--methods", "miller-e2e"]
        self.daemon = stack.enter_context(
            Daemon(self.server.certificates, self.tap.port, "none", options=options)
        )

    def client(self, account, resource: str = "home") -> ScriptedClient:
        """A client of *account* behind this daemon."""
        return ScriptedClient(through(self.daemon, self.server), account, resource)

    def leaks(self) -> list[str]:
        """How the canary shows in what the server received."""
        return CANARY.places([self.tap.said(up=True)])


@frozen
class Talk:
    """Both clients online, and their homes."""

    romeo: ScriptedClient
    juliet: ScriptedClient
    his: Home
    hers: Home
    stack: ExitStack

    def leaks(self) -> list[str]:
        """How the canary shows in what the servers received."""
        return [*self.his.leaks(), *self.hers.leaks()]

    def first_words(self) -> None:
        """One text in each direction."""
        self.romeo.write(self.juliet.account.jid, "first")
        self.juliet.wait_text("first")
        self.juliet.write(self.romeo.account.jid, "second")
        self.romeo.wait_text("second")


@pytest.fixture(scope="module", params=["prosody", "ejabberd"])
def server_kind(request: pytest.FixtureRequest) -> str:
    """Each server in turn."""
    return request.param


@pytest.fixture(scope="module")
def homes(bed: SharedBed, server_kind: str) -> Iterator[tuple[Home, Home]]:
    """Two daemons; each test brings accounts of its own, so what was before does not concern it."""
    if bed.through == "direct":
        pytest.skip("without a daemon nobody encrypts")
    with ExitStack() as stack:
        yield Home(stack, bed, server_kind), Home(stack, bed, server_kind)


@pytest.fixture
def talk(homes: tuple[Home, Home]) -> Iterator[Talk]:
    """Romeo and Juliet, friends, online by way of their daemons."""
    his, hers = homes
    for home in homes:
        home.tap.forget()
    with ExitStack() as stack:
        romeo, juliet = [
            stack.enter_context(home.client(account))
            for home, account in zip(homes, his.server.pair_of(), strict=True)
        ]
        meet(romeo, juliet)
        yield Talk(romeo, juliet, his, hers, stack)
    for home in homes:
        wait_until(lambda home=home: home.daemon.connections(home.tap.port) == 0, "all connections to end")
        home.daemon.require_no_traceback()


def meet(*clients: ScriptedClient) -> None:
    """All of them come online, and see each other."""
    for client in clients:
        client.available()
    for client in clients:
        for other in clients:
            sees(client, other)


def sees(client: ScriptedClient, other: ScriptedClient) -> None:
    """*client* is shown the presence of *other*."""
    client.wait(
        lambda one: one.get("from") == other.jid and one.tag == PRESENCE and one.get("type") is None,
        f"presence of {other.jid}",
    )


def returned(client: ScriptedClient, number: str):
    """The error with which the message *number* comes back."""
    return client.wait(lambda one: one.get("type") == "error" and one.get("id") == number, "the error")


def test_texts_in_both_directions_and_keys_that_are_asked_for(talk: Talk) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    text = CANARY.text()
    romeo.write(juliet.account.jid, text)
    juliet.wait_text(text)
    juliet.write(romeo.jid, f"{text} back")
    romeo.wait_text(f"{text} back")
    for count in range(8):
        romeo.write(juliet.jid, f"{text} {count}")
    juliet.wait_text(f"{text} 7")
    assert juliet.texts(romeo.account.jid) == [text, *(f"{text} {count}" for count in range(8))]
    assert KEY_REQUEST.search(talk.hers.tap.said(up=True)), "she asked for the key"
    assert not romeo.errors()
    assert not juliet.errors()
    assert talk.leaks() == []


def test_both_write_first(talk: Talk) -> None:
    text = CANARY.text()
    talk.romeo.write(talk.juliet.account.jid, f"{text} his")
    talk.juliet.write(talk.romeo.account.jid, f"{text} hers")
    talk.juliet.wait_text(f"{text} his")
    talk.romeo.wait_text(f"{text} hers")
    assert talk.leaks() == []


@pytest.mark.parametrize("kind", ["get", "set"])
@pytest.mark.parametrize("answer", ["result", "error"])
def test_a_request_and_its_answer(talk: Talk, kind: str, answer: str) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    text = CANARY.text()
    query = f"<query xmlns='urn:e2eproxy:test:asked'>{escape(text)}</query>"
    romeo.say(f"<iq type='{kind}' id='q1' to='{juliet.jid}'>{query}</iq>")
    request = juliet.wait(lambda one: one.tag == IQ and one.find(ASKED) is not None, "the request")
    assert (request.get("type"), request.get("from")) == (kind, romeo.jid)
    assert request.findtext(ASKED) == text
    error = f"<error type='auth'><forbidden xmlns='{STANZA_ERRORS[1:-1]}'/></error>"
    content = query + (error if answer == "error" else "")
    juliet.say(f"<iq type='{answer}' id='{request.get('id')}' to='{romeo.jid}'>{content}</iq>")
    came = romeo.wait(lambda one: one.tag == IQ and one.get("id") == "q1", "the answer")
    assert (came.get("type"), came.get("from")) == (answer, juliet.jid)
    assert came.findtext(ASKED) == text
    assert (came.find(f"{CLIENT}error/{STANZA_ERRORS}forbidden") is not None) is (answer == "error")
    assert ANSWER.findall(talk.hers.tap.said(up=True)) == [b"result"], "an error does not show outside"
    assert talk.leaks() == []


def test_presence_to_one_contact_says_no_more_than_it_may(talk: Talk) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    talk.first_words()
    status = f"<status>{escape(CANARY.text())}</status>"
    romeo.say(f"<presence to='{juliet.jid}'><show>dnd</show>{status}</presence>")
    shown = juliet.wait(
        lambda one: one.get("from") == romeo.jid and one.findtext(f"{CLIENT}show") == "dnd", "his presence"
    )
    assert shown.find(f"{CLIENT}status") is None
    assert talk.leaks() == []


def test_the_last_message_before_a_laptop_closes_can_be_read(talk: Talk) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    talk.first_words()
    juliet.close()
    romeo.wait(
        lambda one: one.get("from") == juliet.jid and one.get("type") == "unavailable", "her going away"
    )
    text = CANARY.text()
    romeo.write(juliet.account.jid, text)
    romeo.close()  # in good order: the server has all of it
    assert not romeo.errors()
    talk.hers.tap.forget()
    with talk.hers.client(juliet.account) as again:
        again.available()
        again.wait_text(text)
    assert not KEY_REQUEST.search(talk.hers.tap.said(up=True)), "there was nobody to be asked"
    assert talk.leaks() == []


def test_a_key_of_somebody_else_is_refused(talk: Talk, bed: SharedBed, server_kind: str) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    talk.first_words()
    juliet.close()
    with ExitStack() as stack:
        other = Home(stack, bed, server_kind)
        impostor = stack.enter_context(other.client(juliet.account, "cellar"))
        impostor.available()
        sees(romeo, impostor)
        text = CANARY.text()
        number = romeo.write(juliet.account.jid, text)
        romeo.wait(lambda one: "A NEW KEY of" in (one.findtext(BODY) or ""), "the notice of another key")
        assert returned(romeo, number).findtext(BODY) == text
        impostor.write(romeo.jid, "it is I, believe me")
        marked = romeo.wait(
            lambda one: "it is I, believe me" in (one.findtext(BODY) or ""), "what the other key wrote"
        )
        assert marked.findtext(BODY) != "it is I, believe me"
        assert not [one for one in impostor.texts() if CANARY.token in one]
        assert talk.leaks() == []
        assert other.leaks() == []
        other.daemon.require_no_traceback()


def test_a_contact_without_it_gets_nothing_where_encryption_is_required(talk: Talk, bed, server_kind) -> None:
    romeo, juliet = talk.romeo, talk.juliet
    juliet.close()
    with ScriptedClient(bed.route(server_kind, "none"), juliet.account, "old") as old:
        old.available()
        sees(romeo, old)
        text = CANARY.text()
        assert returned(romeo, romeo.write(old.jid, text)).findtext(BODY) == text
        assert not [one for one in old.texts() if CANARY.token in one]
    assert talk.leaks() == []


def test_a_contact_without_it_is_reached_where_encryption_is_preferred(bed: SharedBed, server_kind) -> None:
    if bed.through == "direct":
        pytest.skip("without a daemon nobody encrypts")
    with ExitStack() as stack:
        home = Home(stack, bed, server_kind, "prefer")
        his, hers = home.server.pair_of()
        romeo = stack.enter_context(home.client(his))
        old = stack.enter_context(ScriptedClient(bed.route(server_kind, "none"), hers, "old"))
        meet(romeo, old)
        romeo.write(old.jid, "in clear")
        old.wait_text("in clear")
        old.write(romeo.jid, "as ever")
        romeo.wait_text("as ever")
        home.daemon.require_no_traceback()
