"""What is said to the proxy in a chat, through whole guards: taken, answered, and never sent on."""

from __future__ import annotations

import pytest
from bed.guard_world import DOMAIN, World

from e2eproxy.control.chat import MOST_IN_VAIN
from e2eproxy.proxy.history import MOST_ACCOUNTS, MOST_NOTICES, Histories, Told
from e2eproxy.proxy.notices import NOTICES_A_MINUTE, PROXY
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.xmpp.jid import JID

NURSE = f"nurse@{DOMAIN}"


@pytest.fixture(params=[True, False], ids=["with a method", "without methods"])
def world(request):
    return World(*([SessionMethod()] if request.param else []))


def left(world, of=0):
    """All that the server has seen since it was last asked."""
    seen = b"".join(world.sides[of].seen)
    world.sides[of].seen.clear()
    return seen


CUT = [
    "<body>/e2<x xmlns='urn:x'/>e status</body>",
    "<body>/<x xmlns='urn:x'>no</x>e2e status</body>",
    "<body>/e<x xmlns='urn:x'/>2e status</body>",
    "<body>/e2<![CDATA[e status]]></body>",
    "<body><![CDATA[/]]>e2e status</body>",
    "<body>&#47;e2e status</body>",
    "<body>/&#x65;2e status</body>",
    "<body>/e2&#101; status</body>",
    "<c:body xmlns:c='jabber:client'>/E2<c:x/>E status</c:body>",
]


@pytest.mark.parametrize("body", CUT)
def test_a_line_that_is_cut_in_two_is_taken(world, body):
    romeo, _ = world.sides
    left(world)
    romeo.write(f"<message to='{NURSE}' type='chat' id='c1'>{body}</message>".encode())
    assert b"status" not in left(world)
    assert "e2eproxy 0.0.test" in romeo.notices[-1]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("<body>//e2e status</body>", b"<body>/e2e status</body>"),
        ("<body>///e2e status</body>", b"<body>//e2e status</body>"),
        (
            "<body xml:lang='en'>/<![CDATA[/e2e a <b> &]]></body>",
            b"<body xml:lang='en'>/e2e a &lt;b&gt; &amp;</body>",
        ),
        (
            "<c:body xmlns:c='jabber:client'>//e2e x</c:body>",
            b"<c:body xmlns:c='jabber:client'>/e2e x</c:body>",
        ),
    ],
)
def test_an_escaped_line_is_sent_as_text(body, sent):
    world = World()
    romeo, juliet = world.sides
    for kind, to in (("chat", juliet.jid), ("groupchat", f"hall@rooms.{DOMAIN}")):
        left(world)
        romeo.write(f"<message to='{to}' type='{kind}' id='c1'>{body}<thread>t</thread></message>".encode())
        seen = left(world)
        assert sent + b"<thread>t</thread>" in seen
        assert not romeo.notices


def test_an_escaped_line_passes_policy_like_any_other_text():
    world = World(SessionMethod())
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid.bare, "/e2e require")
    left(world)
    romeo.say(juliet.jid, "//e2e is how it begins")
    assert juliet.texts == ["/e2e is how it begins"]
    assert b"is how it begins" not in left(world)
    romeo.say(NURSE, "/e2e require")
    romeo.say(NURSE, "//e2e is secret", "c2")
    world.wait(90)
    assert b"is secret" not in left(world)
    assert [error.id for error in romeo.errors] == ["c2"]


def test_what_is_a_command_in_one_language_is_no_text_in_another(world):
    romeo, juliet = world.sides
    left(world)
    bodies = "<body>//e2e hark</body><body xml:lang='de'>/e2e status</body>"
    romeo.write(f"<message to='{juliet.jid}' type='chat' id='c1'>{bodies}</message>".encode())
    assert b"hark" not in left(world)
    assert "e2eproxy 0.0.test" in romeo.notices[-1]


def test_nothing_is_done_in_a_group_chat_and_nothing_is_sent_there(world):
    romeo, _ = world.sides
    left(world)
    room = f"hall@rooms.{DOMAIN}"
    romeo.write(
        f"<message to='{room}' type='groupchat' id='c1'><body>/e2e set when never</body></message>".encode()
    )
    assert b"never" not in left(world)
    assert "not taken in group chats" in romeo.notices[-1]
    assert romeo.desk.holds(JID.parse(room)).when.value == "prefer"


def test_a_word_does_not_wait_behind_the_text_that_it_is_about():
    world = World(SessionMethod())
    romeo, juliet = world.sides
    romeo.say(juliet.jid, "/e2e set when require", "w0")
    romeo.say(juliet.jid, "this waits", "c1")
    assert "this waits" not in juliet.texts
    romeo.say(juliet.jid, "/e2e status", "w1")
    assert "waiting 1" in romeo.notices[-1]


def test_answers_are_not_counted_and_not_remembered_as_notices(world):
    romeo, _ = world.sides
    for number in range(NOTICES_A_MINUTE + 5):
        romeo.say(PROXY, "keys", f"k{number}")
    assert len(romeo.notices) == NOTICES_A_MINUTE + 5
    romeo.say(PROXY, "log", "k")
    assert romeo.notices[-1] == f"There was no notice for {romeo.jid.bare} since the daemon started."


def test_the_log_has_the_notices_there_were(world):
    romeo, _ = world.sides
    romeo.server.deliver(b"<message from='e2eproxy.localhost'><body>all is well</body></message>")
    romeo.say(PROXY, "log", "k")
    assert "A forged stanza was dropped" in romeo.notices[-1]
    assert "all is well" not in romeo.notices[-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("set when", "inherit takes it away"),
        ("set when sometimes", "when is one of"),
        ("set when require prefer", "when is one of"),
        ("set methods otr otr", "each once"),
        ("set methods -", "methods"),
        ("set methods no-such-method", "methods is a list of some of"),
        ("policy when require for default", "at the command line"),
        ("trust 0A1B2C3D", "the command keys shows them"),
        ("show 7f3a", "Ask the contact to send"),
        ("keys a@b@c", "write it as juliet@example.org"),
        ("start nurse@example.test", "can start a session"),
        ("verify nurse@example.test code", "Compare fingerprints"),
        ("verify nurse@example.test fingerprint", "Write which key"),
        ("verify nurse@example.test secret", "can verify by secret"),
    ],
)
def test_what_cannot_be_done_says_what_to_do_next(world, line, said):
    romeo, _ = world.sides
    before = romeo.desk.holds(None)
    romeo.say(PROXY, line, "k")
    assert said.lower() in romeo.notices[-1].lower()
    assert romeo.desk.holds(None) == before


def test_only_the_account_of_the_stream_is_acted_on(world):
    romeo, juliet = world.sides
    romeo.say(PROXY, "set when require", "k")
    assert romeo.desk.holds(None).when.value == "require"
    assert juliet.desk.holds(None).when.value == "prefer"
    romeo.say(PROXY, "status", "k2")
    assert str(juliet.jid.bare) not in romeo.notices[-1]


def test_a_compared_key_is_verified():
    world = World(SessionMethod())
    romeo, juliet = world.sides
    romeo.knows(juliet)
    juliet.knows(romeo)
    romeo.say(juliet.jid, "hark")
    (key,) = romeo.desk.cabinet.keys(juliet.jid)
    romeo.say(juliet.jid, "/e2e verify", "v1")
    assert key.fingerprint.text in romeo.notices[-1]
    assert "verify fingerprint" in romeo.notices[-1]
    romeo.say(juliet.jid, f"/e2e verify fingerprint {key.fingerprint.text[:12]}", "v2")
    (key,) = romeo.desk.cabinet.keys(juliet.jid)
    assert (key.decision.value, key.how_verified) == ("verified", "fingerprint")
    assert "is verified now" in romeo.notices[-1]


def test_a_store_that_cannot_be_read_lets_nothing_be_decided():
    world = World()
    romeo, _ = world.sides
    romeo.lose_stream()
    world.wait(700)
    romeo.disk.broken = True
    romeo.log_in()
    romeo.say(PROXY, "status", "k1")
    assert "nothing of it can leave" in romeo.notices[-1]
    romeo.say(PROXY, "keys", "k2")
    assert romeo.notices[-1].startswith("Nothing can be done")


def test_histories_are_bounded():
    histories = Histories()
    for number in range(MOST_NOTICES + 1):
        histories.add(JID.parse("a@b"), Told(number, "x"))
    assert [one.at for one in histories.of(JID.parse("a@b"))] == list(range(1, MOST_NOTICES + 1))
    for number in range(MOST_ACCOUNTS):
        histories.add(JID.parse(f"{number}@b"), Told(0, "x"))
    assert histories.of(JID.parse("a@b")) == ()


def test_with_a_bot_that_answers_everything_it_does_not_talk_for_ever(world):
    romeo, _ = world.sides
    before = len(romeo.notices)
    for number in range(20):
        romeo.say(str(PROXY), f"you said something {number}", f"v{number}")
    answers = romeo.notices[before:]
    assert len(answers) == MOST_IN_VAIN
    assert [("the last answer" in one) for one in answers] == [False] * (MOST_IN_VAIN - 1) + [True]
    romeo.say(NURSE, "/e2e nonsense", "n")
    assert len(romeo.notices) == before + MOST_IN_VAIN + 1, "in a chat with somebody a slip is always told"
    romeo.say(str(PROXY), "status", "s")
    assert "e2eproxy 0.0.test" in romeo.notices[-1]
    romeo.say(str(PROXY), "nonsense", "t")
    assert len(romeo.notices) == before + MOST_IN_VAIN + 3
