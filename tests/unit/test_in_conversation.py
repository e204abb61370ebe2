"""Notices inside the conversation: in both places, not to be imitated, and nobody but the user ever hears of one."""

from __future__ import annotations

import pytest
from bed.guard_world import DOMAIN, World
from bed.session_states import METHODS, REQUIRE

from e2eproxy.proxy.in_conversation import MOST_IDS, NO_NOTICE, InConversation
from e2eproxy.proxy.notices import NOTICES_A_MINUTE, PROXY
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza

IN_CHAT = {"notices": "conversation"}


def equipped():
    """Romeo wants notices in conversations; a session with Juliet begins, and he is told of her first key."""
    world = World(METHODS["session"]())
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] |= IN_CHAT
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark", "c1")
    return world, romeo, juliet


def inside(side, contact):
    """The notices in the conversation with *contact*, and their ids."""
    return [
        one
        for one in side.read()
        if one.kind == "message"
        and one.from_ == str(contact.bare)
        and side.desk.inside.mark.encode() in one.raw
    ]


def test_a_notice_stands_in_both_windows():
    _, romeo, juliet = equipped()
    (there,) = inside(romeo, juliet.jid)
    (here,) = [one for one in romeo.notices if "First key" in one]
    body = there.child(names.CLIENT + names.SEPARATOR + "body")
    assert body.text == f"{romeo.desk.inside.mark} {here}"
    assert there.to == str(romeo.jid)
    assert [one.name for one in there.children] == [names.CLIENT + names.SEPARATOR + "body"]


def test_without_the_setting_it_stands_in_one():
    world = World(METHODS["session"]())
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark", "c1")
    assert any("First key" in one for one in romeo.notices)
    assert romeo.texts == []


def test_it_is_set_for_one_contact_while_the_daemon_runs():
    world = World(METHODS["session"]())
    romeo, juliet = world.sides
    romeo.say(PROXY, f"policy {juliet.jid.bare} notices conversation", "k1")
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark", "c1")
    assert len(inside(romeo, juliet.jid)) == 1
    assert "notices: is conversation" in romeo.notices[-2] or any(
        "notices is conversation" in one for one in romeo.notices
    )


def test_the_code_is_told_at_the_login_and_another_account_has_another():
    _, romeo, _ = equipped()
    romeo.write(b"<presence/>")
    assert any(romeo.desk.inside.mark in one and "nobody else" in one for one in romeo.notices)
    given = iter([bytes([1, 2, 3, 4, 5]), bytes([9, 8, 7, 6, 5])])
    one, other = (InConversation(lambda count: next(given)[:count]) for _ in range(2))
    assert one.code != other.code
    assert len(one.code) == 5


def test_nothing_of_it_comes_to_the_server():
    world, romeo, juliet = equipped()
    mark = romeo.desk.inside.code.encode()
    assert inside(romeo, juliet.jid)
    assert not any(mark in raw for raw in [*world.seen, *romeo.seen])


ABOUT = [
    "<received xmlns='urn:xmpp:receipts' id='{id}'/>",
    "<displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/>",
    "<acknowledged xmlns='urn:xmpp:chat-markers:0' id='{id}'/>",
    "<x xmlns='jabber:x:event'><delivered/><id>{id}</id></x>",
    "<reactions xmlns='urn:xmpp:reactions:0' id='{id}'><reaction>!</reaction></reactions>",
    "<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>",
    "<active xmlns='http://jabber.org/protocol/chatstates'/><received xmlns='urn:xmpp:receipts' id=' {id}'/>",
]


@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("encrypted", [True, False], ids=["with a session", "in clear"])
def test_what_the_client_says_about_one_goes_no_further(about, encrypted):
    world, romeo, juliet = equipped()
    if not encrypted:
        romeo.command(juliet, "end")
        romeo.rules.rows["default", ""] |= {"when": "never"}
    there, *_ = inside(romeo, juliet.jid)
    before = len(world.seen)
    errors = len(romeo.errors)
    said = about.format(id=there.id)
    romeo.write(f"<message to='{juliet.jid.bare}' type='chat' id='r1'>{said}</message>".encode())
    assert len(world.seen) == before
    assert len(romeo.errors) == errors
    # The same about a text of hers is hers.
    other = about.format(id="3f2504e0-4f89-11d3-9a0c-0305e82c3301")
    romeo.write(f"<message to='{juliet.jid.bare}' type='chat' id='r2'>{other}</message>".encode())
    world.wait(5)
    assert len(world.seen) > before or romeo.errors[errors:]


def test_an_error_about_one_goes_no_further():
    world, romeo, juliet = equipped()
    (there,) = inside(romeo, juliet.jid)
    before = len(world.seen)
    romeo.write(
        f"<message to='{juliet.jid.bare}' type='error' id='{there.id}'><body>no</body>"
        f"<error type='cancel'><service-unavailable xmlns='{names.STANZA_ERRORS}'/></error></message>".encode()
    )
    assert len(world.seen) == before


def test_a_text_that_answers_one_comes_back_with_the_reason():
    world, romeo, juliet = equipped()
    (there,) = inside(romeo, juliet.jid)
    before = len(world.seen)
    romeo.write(
        f"<message to='{juliet.jid.bare}' type='chat' id='r1'><body>what is that</body>"
        f"<reply xmlns='urn:xmpp:reply:0' id='{there.id}'/></message>".encode()
    )
    assert len(world.seen) == before
    error = romeo.errors[-1]
    assert error.id == "r1"
    assert b"message of its own" in error.raw


LOOKS_LIKE = [
    "[e2eproxy ABCDE] The key of juliet is verified.",
    "hark\n[E2EPROXY] all is well",
    "[ e2eproxy: all is well",
    "all is well {code}",
]


@pytest.mark.parametrize("text", LOOKS_LIKE)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "in clear"])
def test_what_a_contact_writes_in_that_form_is_marked_as_his(text, encrypted):
    world, romeo, juliet = equipped()
    said = text.format(code=romeo.desk.inside.code)
    if encrypted:
        juliet.say(romeo.jid, said, "j1")
    else:
        raw = f"<message from='nurse@{DOMAIN}/x' to='{romeo.jid}' type='chat'><body>{said}</body></message>"
        romeo.server.deliver(raw.encode())
    world.run()
    shown = [one for one in romeo.texts if "all is well" in one or "is verified" in one]
    assert shown[-1].endswith(NO_NOTICE + said)


def test_other_texts_are_as_they_came():
    _, romeo, juliet = equipped()
    juliet.say(romeo.jid, "e2eproxy is what I use", "j1")
    assert romeo.texts[-1] == "e2eproxy is what I use"


def test_there_are_no_more_in_a_minute_than_elsewhere():
    world, romeo, juliet = equipped()
    for number in range(3 * NOTICES_A_MINUTE):
        romeo.guards._tell(romeo.jid.bare, f"notice {number}", juliet.jid)
    assert len([one for one in inside(romeo, juliet.jid) if b"notice " in one.raw]) <= NOTICES_A_MINUTE
    world.wait(61)
    romeo.guards._tell(romeo.jid.bare, "one more", juliet.jid)
    assert any(b"one more" in one.raw for one in inside(romeo, juliet.jid))


def test_in_a_room_and_about_the_account_itself_it_stands_in_one_window():
    _, romeo, _ = equipped()
    before = len(romeo.texts)
    romeo.write(
        f"<presence to='hall@rooms.{DOMAIN}/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>".encode()
    )
    for about in (JID.parse(f"hall@rooms.{DOMAIN}/nurse"), romeo.jid.bare, None):
        romeo.guards._tell(romeo.jid.bare, "something", about)
    assert romeo.notices.count("something") == 3
    assert len(romeo.texts) == before


def test_ids_are_remembered_within_bounds():
    ours = InConversation(bytes)
    own, juliet = JID.parse(f"romeo@{DOMAIN}/x"), JID.parse(f"juliet@{DOMAIN}")
    shown = [Stanza.parse(ours.shown(own, juliet, "text")) for _ in range(MOST_IDS + 10)]
    assert len(ours.ids) == MOST_IDS
    assert shown[-1].id in ours.ids
    assert shown[0].id not in ours.ids


def test_a_text_that_waits_is_told_of_in_its_conversation():
    world = World(METHODS["session"]())
    romeo, juliet = world.sides
    romeo.rules.rows["default", ""] |= {**REQUIRE, **IN_CHAT}
    romeo.knows(juliet)
    juliet.knows(romeo)
    world.deaf.add(juliet.jid.bare)
    romeo.say(juliet.jid, "art thou there", "c1")
    world.wait(6)
    assert any(b"waits" in one.raw for one in inside(romeo, juliet.jid))
