"""OTR behind the door, in the simulator: what two users get, what attackers get, and what is answered to what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve

from e2eproxy.evaluate.experiments import COLUMNS, evaluate
from e2eproxy.evaluate.table import title, word
from e2eproxy.methods import effects as e
from e2eproxy.methods import events
from e2eproxy.methods.door import Recognition
from e2eproxy.methods.events import Ref, Way
from e2eproxy.methods.otr import conversation, forms, messages, records
from e2eproxy.methods.otr.account import PATIENCE
from e2eproxy.methods.otr.book import MOST_PARTS
from e2eproxy.methods.otr.incoming import BETWEEN_COMPLAINTS, OFFERS
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.testing import WHO, World
from e2eproxy.testing.attackers import Alter, Drop, by
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

MALLORY = JID.parse("mallory@four.test/x")


def pair(attacker=None, *, seed=1, alice_settings=None, bob_settings=None, start=True):
    world = World(seed, attacker)
    alice = world.device(WHO.alice, OtrMethod(), settings=alice_settings)
    bob = world.device(WHO.bob, OtrMethod(), settings=bob_settings)
    world.start(alice, bob)
    if start:
        alice.command(WHO.bob, "start")
    return world, alice, bob


def without_bugs(*devices):
    assert [bug for one in devices for bug in one.bugs] == []


def message(text, *, sender=WHO.bob, to=WHO.alice):
    body = element("body", {}, escape_text(text).encode())
    return Stanza.parse(build("message", {"from": str(sender), "to": str(to), "type": "chat"}, body))


def arrived(device, text, *, peer=WHO.bob, to=WHO.alice, way=Way.LIVE):
    """What the engine of *device* wants done about *text*."""
    event = events.Inbound(
        ref=Ref("x"),
        own=device.jid,
        peer=peer,
        to=to,
        stanza=message(text, sender=peer, to=to),
        way=way,
        may_answer=peer.bare != MALLORY.bare,
    )
    return device.harness.handle(event)


def element_text(payload):
    return Stanza.parse(build("message", {}, payload)).tree.children[0].text


def only(effects, kind):
    found = [one for one in effects if isinstance(one, kind)]
    assert len(found) == 1, effects
    return found[0]


def bodies(world, start=0):
    return [Stanza.parse(raw).tree.children[0].text for raw in world.seen[start:]]


# ---- two users ----


@pytest.mark.parametrize("versions", ["2", "3", "2,3"])
@pytest.mark.parametrize("fragment", ["0", "200"])
def test_a_conversation(versions, fragment):
    settings = {"versions": versions, "fragment": fragment}
    world, alice, bob = pair(alice_settings=settings, bob_settings=settings)
    for number in range(5):
        alice.say(WHO.bob.bare, f"to bob {number} é <&>")
        bob.say(WHO.alice, f"to alice {number}")
    assert bob.texts == [f"to bob {number} é <&>" for number in range(5)]
    assert alice.texts == [f"to alice {number}" for number in range(5)]
    assert alice.proved == [WHO.bob.bare] * len(alice.proved) != []
    if fragment != "0":
        texts = [one for one in bodies(world) if not one.startswith("?OTRv")]
        assert max(map(len, texts)) <= 200
        assert any(one.startswith("?OTR|" if versions != "2" else "?OTR,") for one in texts)
    assert not any(b"to bob" in raw or b"to alice" in raw for raw in world.seen)
    without_bugs(alice, bob)


def test_a_text_that_needs_a_session_waits_for_it():
    _, alice, bob = pair(start=False)
    alice.say(WHO.bob.bare, "one")
    alice.say(WHO.bob.bare, "two")
    assert bob.texts == ["one", "two"]
    assert alice.failed == []
    without_bugs(alice, bob)


def test_both_write_at_the_same_time():
    world, alice, bob = pair(start=False)
    alice.world._running = True  # nothing leaves before both have written
    alice.say(WHO.bob, "from alice")
    bob.say(WHO.alice, "from bob")
    alice.world._running = False
    world.run()
    assert (alice.texts, bob.texts) == (["from bob"], ["from alice"])
    without_bugs(alice, bob)


def test_a_contact_without_otr_gives_the_text_back_in_time():
    world, alice, bob = pair(Drop(by(WHO.alice)), start=False)
    alice.say(WHO.bob, "one")
    alice.say(WHO.bob, "two")
    assert alice.failed == []
    world.wait(PATIENCE + 1)
    assert [(one.text, one.condition) for one in alice.failed] == [
        ("one", "remote-server-timeout"),
        ("two", "remote-server-timeout"),
    ]
    alice.say(WHO.bob, "three")
    assert len(alice.failed) == 2, "a new text is a new try"
    without_bugs(alice, bob)


def test_a_text_behind_the_users_word_waits_for_the_session_though_policy_does_not_demand_it():
    world, alice, bob = pair(Drop(by(WHO.bob)))
    assert not bob.shown
    alice.required = False
    alice.say(WHO.bob, "one")
    assert alice.failed == [], "the user has asked for a session"
    world.wait(PATIENCE + 1)
    assert [one.how for one in alice.failed] == ["declined"]


def test_white_space_offers_a_session_and_starts_one():
    world, alice, bob = pair(start=False)
    alice.required = False
    alice.say(WHO.bob, "in clear")
    alice.say(WHO.bob, "still in clear")
    assert [one.how for one in alice.failed] == ["declined", "declined"]
    assert forms.form_of("in clear" + alice.failed[0].offer) == forms.Tagged("in clear", frozenset({2, 3}))
    assert alice.failed[1].offer == "", "who does not answer is offered it once"
    effects = arrived(bob, "in clear" + alice.failed[0].offer, peer=WHO.alice, to=WHO.bob)
    assert only(effects, e.Decline).body == "in clear"
    assert "?OTR:" in only(effects, e.Emit).payload.decode()
    without_bugs(alice, bob)
    assert world.seen == []


def test_a_session_whose_key_is_not_accepted_is_not_said_to_encrypt_what_is_written():
    _, alice, bob = pair(start=False)
    alice.store.policy = "verified"
    alice.command(WHO.bob, "start")
    assert alice.sessions[WHO.bob].state is e.State.ACTIVE
    assert "its key is not accepted" in alice.notices[-1].text
    assert not [one for one in alice.notices if "From now on" in one.text]
    assert "From now on what you write" in bob.notices[-1].text
    without_bugs(alice, bob)


def test_what_the_peer_has_ended_is_not_written_into():
    _, alice, bob = pair()
    bob.command(WHO.alice, "end")
    alice.say(WHO.bob, "secret")
    assert [(one.how, one.condition) for one in alice.failed] == [("returned", "not-acceptable")]
    assert alice.sessions[WHO.bob].state is e.State.FINISHED
    alice.command(WHO.bob, "end")
    alice.say(WHO.bob, "again")
    assert bob.texts == ["again"]
    without_bugs(alice, bob)


def test_an_orderly_stop_tells_the_peer_and_a_lost_stream_heals():
    world, alice, bob = pair()
    bob.stop()
    world.run()
    assert alice.sessions[WHO.bob].state is not e.State.ACTIVE
    world.start(bob)
    alice.command(WHO.bob, "end")
    alice.command(WHO.bob, "start")
    alice.say(WHO.bob, "back")
    bob.kill()
    world.start(bob)
    world.wait(BETWEEN_COMPLAINTS + 1)
    alice.say(WHO.bob, "lost")
    assert len(bob.unreadable) == 1
    assert bob.texts == ["back", "[resent] lost"]
    alice.say(WHO.bob, "healed")
    assert bob.texts[2:] == ["healed"]
    without_bugs(alice, bob)


@pytest.mark.parametrize("question", ["", "Which colour?"])
@pytest.mark.parametrize("same", [True, False])
def test_secrets_are_compared(question, same):
    _, alice, bob = pair()
    alice.command(WHO.bob, "verify", "red", question)
    assert question in bob.notices[-1].text
    bob.command(WHO.alice, "answer", "red" if same else "blue")
    key = only_key(alice, WHO.bob)
    assert (key.decision is Decision.VERIFIED) is same
    other = only_key(bob, WHO.alice)
    assert (other.decision is Decision.VERIFIED) is (same and not question), "who answers learns nothing"
    tones = {alice.notices[-1].tone, bob.notices[-1].tone}
    assert tones == ({e.Tone.INFO} if same else {e.Tone.ALARM})
    without_bugs(alice, bob)


def only_key(device, contact):
    (key,) = device.store.peer_keys(contact.bare)
    return key


def test_codes_are_the_same_for_both_and_a_yes_counts():
    _, alice, bob = pair()
    alice.command(WHO.bob, "code")
    bob.command(WHO.alice, "code")
    mine, other = (re.findall("[0-9a-f]{8}", one.notices[-1].text) for one in (alice, bob))
    assert mine == other[::-1]
    assert len(set(mine)) == 2
    alice.command(WHO.bob, "confirm", "yes")
    assert only_key(alice, WHO.bob).decision is Decision.VERIFIED
    without_bugs(alice, bob)


def test_commands_without_a_session_say_so():
    _, alice, bob = pair(start=False)
    for words in (("end",), ("verify", "x", ""), ("answer", "x"), ("code",), ("confirm", "yes"), ("dance",)):
        before = len(alice.notices)
        alice.command(WHO.bob, *words)
        assert len(alice.notices) == before + 1
    without_bugs(alice, bob)


def test_the_tag_stays_over_a_restart_and_two_streams_never_share_one():
    world, alice, _ = pair()
    before = alice.store.records("tag:")
    alice.kill()
    world.start(alice)
    assert alice.store.records("tag:") == before != {}
    other = JID.parse("alice@one.test/other")
    kept = [one for one in alice.harness.handle(events.Starting(own=other)) if isinstance(one, e.Persist)]
    assert [one.key for one in kept] == ["tag:1"]
    assert kept[0].data not in before.values()


def test_a_session_of_version_3_goes_with_its_client_to_another_resource():
    world, alice, bob = pair(alice_settings={"versions": "3"})
    alice.say(WHO.bob, "here")
    engine = bob.harness.engine
    entry = engine.account.book.find(WHO.bob, WHO.alice)
    now, sealed = forms_of(engine, entry)
    elsewhere = JID.parse("bob@two.test/elsewhere")
    world.guard(alice, events.PeerPresence(own=WHO.alice, peer=WHO.bob, available=False))
    effects = arrived(alice, sealed, peer=elsewhere)
    assert only(effects, e.Deliver).inside == e.Body("from elsewhere")
    states = {one.peer: one.state for one in effects if isinstance(one, e.SessionChanged)}
    assert states == {WHO.bob: e.State.NONE, elsewhere: e.State.ACTIVE}
    assert now is not entry.now


def forms_of(engine, entry):
    now, sealed = conversation.said(entry.now, b"from elsewhere")
    assert engine.account.book is not None
    return now, forms.encoded_text(messages.encode(sealed))


def second_client(world, bob):
    """Another client of Bob's, which has his key."""
    tablet = world.device(WHO.bob_too, OtrMethod())
    key = bob.store.identity("dsa")
    tablet.store.commit((e.PersistIdentity(name="dsa", public=key.public, secret=key.secret),))
    world.start(tablet)
    return tablet


def two_clients():
    """Alice, and two of Bob's clients, each with a session with her; the phone has spoken last."""
    world, alice, bob = pair()
    tablet = second_client(world, bob)
    alice.command(WHO.bob_too, "start")
    world.wait(1)
    tablet.say(WHO.alice, "from the tablet")
    world.wait(1)
    bob.say(WHO.alice, "from the phone")
    return world, alice, bob, tablet


def test_a_text_goes_to_the_client_last_heard_from_and_the_user_is_told_once():
    world, alice, bob, tablet = two_clients()
    before = len(alice.notices)
    alice.say(WHO.bob.bare, "one")
    alice.say(WHO.bob.bare, "two")
    assert (bob.texts, tablet.texts) == (["one", "two"], [])
    (told,) = alice.notices[before:]
    assert "sessions with 2 clients of the contact; what you write goes to phone" in told.text
    world.wait(1)
    tablet.say(WHO.alice, "here now")
    alice.say(WHO.bob.bare, "three")
    assert tablet.texts == ["three"]
    assert "goes to tablet" in alice.notices[-1].text
    alice.say(WHO.bob, "four")
    assert bob.texts == ["one", "two", "four"], "a full address is obeyed"
    assert len(alice.notices) == before + 2
    without_bugs(alice, bob, tablet)


def test_a_client_without_a_session_gets_one_where_another_has_one():
    """Else a client that has locked on to a resource would make the user write in clear in an encrypted conversation."""
    world, alice, bob = pair()
    tablet = second_client(world, bob)
    alice.required = False
    alice.say(WHO.bob_too, "to the tablet")
    assert tablet.texts == ["to the tablet"]
    assert alice.failed == []
    deaf = JID.parse("bob@two.test/old")
    alice.say(deaf, "to the old one")
    world.wait(PATIENCE + 1)
    assert [(one.how, one.condition) for one in alice.failed] == [("returned", "remote-server-timeout")]
    without_bugs(alice, bob, tablet)


def test_a_handshake_for_all_of_our_clients_leaves_a_session_alone_that_nobody_asked_to_renew():
    """Answers of libotr go to the bare address, and servers bring them to each client of ours: only the one that asked is meant."""
    _, alice, _ = pair()
    commit = forms.encoded_text(b"\0\3\2\0\0\2\1\0\0\0\0\0\0\0\1x\0\0\0\x20" + bytes(32))
    assert [type(one) for one in arrived(alice, commit, to=WHO.alice.bare)] == [e.Absorb]
    assert len(arrived(alice, commit)) > 1, "what is for this one alone is answered"
    _, alice, _ = pair()
    alice.harness.handle(events.Command(own=WHO.alice, peer=WHO.bob, verb="start"))
    assert len(arrived(alice, commit, to=WHO.alice.bare)) > 1, "and what it has asked for"


def test_who_comes_anew_is_offered_it_anew():
    world, alice, bob = pair(start=False)
    alice.required = False
    alice.say(WHO.bob.bare, "one")
    alice.say(WHO.bob.bare, "two")
    bob.stop()
    world.run()
    world.start(bob)
    alice.say(WHO.bob.bare, "three")
    assert [bool(one.offer) for one in alice.failed] == [True, False, True]


def test_a_text_is_sent_again_only_if_it_is_fresh():
    world, alice, bob = pair()
    alice.say(WHO.bob, "old")
    world.wait(PATIENCE + 1)
    bob.kill()
    world.start(bob)
    effects = arrived(alice, "?OTR Error: what")
    assert "?OTRv" in only(effects, e.Emit).payload.decode()
    world.wait(1)
    alice.command(WHO.bob, "start")
    assert bob.texts == ["old"], "and not once more"
    without_bugs(alice, bob)


def test_a_session_of_version_2_ends_with_its_resource():
    world, alice, bob = pair(alice_settings={"versions": "2"})
    bob.kill()
    world.run()
    assert alice.sessions[WHO.bob].state is e.State.NONE
    without_bugs(alice)


def test_a_reader_keeps_the_keys_turning():
    world, alice, bob = pair()
    alice.say(WHO.bob, "one")
    world.wait(PATIENCE + 1)
    before = len(world.seen)
    alice.say(WHO.bob, "two")
    assert len(world.seen) == before + 2, "the text, and a message without one"
    assert alice.texts == []
    without_bugs(alice, bob)


# ---- HTML ----


def test_html_of_the_contact_becomes_text_and_what_he_gets_is_escaped():
    _, alice, bob = pair()
    bob.store.settings[WHO.alice.bare, "html"] = "no"
    alice.say(WHO.bob, "<3")
    assert bob.texts == ["<3"], "nothing is known of him yet"
    bob.say(WHO.alice, "<b>one</b> &amp; two")
    assert alice.texts == ["one & two"]
    alice.say(WHO.bob, "a < b")
    assert bob.texts[-1] == "a &lt; b"
    without_bugs(alice, bob)


def test_who_has_written_no_html_once_does_not_write_any():
    _, alice, bob = pair()
    bob.say(WHO.alice, "a & b")
    bob.say(WHO.alice, "write <b>this</b>")
    assert alice.texts == ["a & b", "write <b>this</b>"]
    alice.say(WHO.bob, "a < b")
    assert bob.texts == ["a < b"]


@pytest.mark.parametrize(
    ("setting", "shown", "sent"), [("yes", "bold", "&lt;3"), ("no", "<b>bold</b>", "<3")]
)
def test_html_as_it_is_set(setting, shown, sent):
    _, alice, bob = pair()
    bob.store.settings[WHO.alice.bare, "html"] = "no"
    alice.store.settings[WHO.bob.bare, "html"] = setting
    bob.say(WHO.alice, "<b>bold</b>")
    alice.say(WHO.bob, "<3")
    assert (alice.texts, bob.texts) == ([shown], [sent])


def test_what_no_stanza_can_hold_is_replaced():
    _, alice, bob = pair()
    entry = bob.harness.engine.account.book.find(WHO.bob, WHO.alice)
    entry.now, sealed = conversation.said(entry.now, b"a\x1b[31mb\xff")
    (shown,) = [
        one
        for one in arrived(alice, forms.encoded_text(messages.encode(sealed)))
        if isinstance(one, e.Deliver)
    ]
    assert shown.inside == e.Body("a\ufffd[31mb\ufffd")


# ---- attackers, and what is not for us ----


def test_altered_messages_are_told_and_the_session_goes_on():
    flip = Alter(by(WHO.alice, nth=4), lambda raw: raw.replace(b"AAAAAAAA", b"AAAAAAAB", 1))
    _, alice, bob = pair(flip)
    alice.say(WHO.bob, "one")
    alice.say(WHO.bob, "two")
    alice.say(WHO.bob, "three")
    assert bob.texts == ["one", "[resent] two", "three"]
    assert len(bob.unreadable) == 1
    without_bugs(alice, bob)


@pytest.mark.parametrize("way", [one for one in Way if one is not Way.LIVE])
def test_copies_and_archives_are_never_answered_or_opened(way):
    world, alice, bob = pair()
    bob.say(WHO.alice, "once")
    (text,) = bodies(world)[-1:]
    for body in (text, "?OTRv23?", "?OTR Error: what", "?OTR,00001,00002,?OTR:AA,"):
        effects = arrived(alice, body, way=way)
        assert len(effects) == 1
        assert isinstance(effects[0], e.Unreadable | e.Absorb)
    assert only(arrived(alice, "hi" + forms.tag_text(frozenset({3})), way=way), e.Decline).body == "hi"


def test_what_is_for_another_resource_is_not_processed():
    world, alice, bob = pair()
    bob.say(WHO.alice, "once")
    other = JID.parse("alice@one.test/gone")
    effects = arrived(alice, bodies(world)[-1], to=other)
    assert len(effects) == 1
    assert isinstance(effects[0], e.Unreadable)


def test_strangers_get_no_answer_but_the_user_hears_of_it():
    _, alice, _ = pair(start=False)
    stranger = MALLORY
    effects = arrived(alice, "?OTRv3?", peer=stranger)
    assert not [one for one in effects if isinstance(one, e.Emit)]
    only(effects, e.Tell)
    commit = forms.encoded_text(b"\0\3\2\0\0\2\1\0\0\0\0\0\0\0\1x\0\0\0\x20" + bytes(32))
    assert [type(one) for one in arrived(alice, commit, peer=stranger)] == [e.Absorb]


def test_a_thousand_queries_are_answered_a_few_times():
    _, alice, _ = pair(start=False)
    sent = [one for _ in range(1000) for one in arrived(alice, "?OTRv3?") if isinstance(one, e.Emit)]
    assert len(sent) == OFFERS


def test_invented_resources_do_not_grow_without_bound():
    world, alice, _ = pair(start=False)
    for number in range(1200):
        arrived(alice, "?OTR,00001,00002,?OTR:AA,", peer=JID.parse(f"bob@two.test/{number}"))
    assert len(list(alice.harness.engine.account.book.all())) <= 1000
    assert world.seen == []


def test_unfinished_parts_of_many_resources_do_not_grow_without_bound():
    _, alice, _ = pair(start=False)
    told = 0
    piece = "A" * (forms.MOST_TEXT // 4)
    for number in range(40):
        peer = JID.parse(f"bob@two.test/{number}")
        told += len(
            [one for one in arrived(alice, f"?OTR,1,9,{piece},", peer=peer) if isinstance(one, e.Tell)]
        )
    kept = [len(one.partial.text) for _, _, one in alice.harness.engine.account.book.all()]
    assert sum(kept) == MOST_PARTS
    assert told == 40 - kept.count(len(piece)) == 24
    assert kept[-1] == len(piece)


def test_complaints_are_rare_and_never_answer_a_complaint():
    _, alice, _ = pair(start=False)
    data = b"\0\2\3\0" + b"\0\0\0\1" * 2 + b"\0\0\0\1\2" + b"\1" * 8 + b"\0\0\0\1x" + bytes(20) + bytes(4)
    effects = [one for _ in range(50) for one in arrived(alice, forms.encoded_text(data))]
    assert len([one for one in effects if isinstance(one, e.Unreadable)]) == 50
    said = [forms.form_of(element_text(one.payload)) for one in effects if isinstance(one, e.Emit)]
    assert [type(one) for one in said] == [forms.ErrorText, forms.Query]
    assert [type(one) for one in arrived(alice, "?OTR Error: you")] == [e.Decline]


def test_a_peer_cannot_make_itself_count_as_having_read():
    """It makes our machines answer, and answers that; our user has written nothing."""
    _, alice, bob = pair()
    engine, entry = bob.harness.engine, bob.harness.engine.account.book.find(WHO.bob, WHO.alice)
    for record in (records.Record(records.SMP_2, b"x"), records.Record(records.PADDING, b"")) * 4:
        entry.now, sealed = conversation.sealed(entry.now, (record,))
        for effect in arrived(alice, forms.encoded_text(messages.encode(sealed))):
            if isinstance(effect, e.Emit):
                body = Stanza.parse(build("message", {}, effect.payload)).tree.children[0].text
                arrived(bob, body, peer=WHO.alice, to=WHO.bob)
            assert not isinstance(effect, e.ProvedReading)
    assert entry.now.session.own_id > 2, "keys have turned"
    alice.say(WHO.bob, "text")
    bob.say(WHO.alice, "answer")
    assert alice.proved == [WHO.bob.bare]
    assert engine is bob.harness.engine
    without_bugs(alice, bob)


@pytest.mark.parametrize(("flags", "kind"), [(0, e.Unreadable), (1, e.Absorb)])
def test_what_is_for_another_instance_is_told_unless_it_is_quiet(flags, kind):
    _, alice, bob = pair(alice_settings={"versions": "3"})
    entry = bob.harness.engine.account.book.find(WHO.bob, WHO.alice)
    _, sealed = conversation._seal(entry.now, b"text", flags)
    text = forms.encoded_text(messages.encode(evolve(sealed, receiver=0x12345678)))
    assert [type(one) for one in arrived(alice, text)] == [kind]


def test_parts_that_never_come_are_told():
    world, alice, _ = pair(start=False)
    world.guard(alice, events.PeerPresence(own=WHO.alice, peer=WHO.bob, available=True))
    sender = world.device(WHO.bob_too, OtrMethod(), listed=False)
    sender.online = True
    raw = message("?OTR,00001,00002,?OTR:AA,", sender=WHO.bob)
    alice.receive(raw, WHO.bob, way=Way.LIVE, sent_at=None, author=None)
    world.wait(PATIENCE + 1)
    assert "rest did not come" in alice.notices[-1].text


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        ("?OTRv23?", Recognition.COMPLETE),
        (" ?OTR?v2?\nfor people", Recognition.COMPLETE),
        ("?OTR,00001,00002,abc,", Recognition.COMPLETE),
        ("?OTR:AAMD.", Recognition.MARKED),
        ("?OTR:AAMD", Recognition.MARKED),
        ("?OTR Error: what", Recognition.MARKED),
        ("?OTR is a protocol", Recognition.NONE),
        ("they say ?OTRv3?", Recognition.NONE),
        ("hi" + forms.tag_text(frozenset({2})), Recognition.MARKED),
        ("hi", Recognition.NONE),
    ],
)
def test_recognition(text, is_):
    assert OtrMethod().recognise(message(text)) is is_


def test_a_fused_device_comes_back_with_its_key_at_every_step():
    for fuse in range(12):
        world = World(fuse)
        alice, bob = world.device(WHO.alice, OtrMethod()), world.device(WHO.bob, OtrMethod())
        bob.fuse = fuse
        world.start(alice, bob)
        alice.say(WHO.bob, "one")
        bob.fuse = None
        if not bob.online:
            world.start(bob)
        world.wait(2 * PATIENCE)
        alice.command(WHO.bob, "start")
        world.wait(2 * PATIENCE)
        alice.say(WHO.bob, "two")
        assert bob.texts[-1] == "two", fuse
        without_bugs(alice, bob)


@pytest.mark.once
def test_it_is_what_it_claims():
    report = evaluate(OtrMethod())
    assert report.bugs == ()
    assert report.disagreements == ()
    page = (
        (Path(__file__).parents[2] / "docs" / "methods.md")
        .read_text("utf-8")
        .partition("## OTR, measured")[2]
    )
    told = re.findall(r"^\| (.+?) \| (yes|no) \| ?(.*?) ?\|$", page, re.MULTILINE)
    assert told == [(title(one.column), word(one), one.how) for one in report.cells if one.column in COLUMNS]


def test_a_handshake_that_came_to_nothing_does_not_keep_the_next_session_waiting():
    _, alice, bob = pair()
    alice.say(WHO.bob, "one")
    only(arrived(alice, "?OTRv3?"), e.Emit)  # its answer is lost
    alice.command(WHO.bob, "end")
    alice.say(WHO.bob, "two")
    assert bob.texts == ["one", "two"]
    without_bugs(alice, bob)


def test_a_renewal_that_is_not_answered_is_given_up_and_the_session_stays():
    _, alice, bob = pair()
    timer = only(arrived(alice, "?OTRv3?"), e.SetTimer)
    assert timer.seconds == PATIENCE
    assert alice.harness.handle(events.Timer(name=timer.name)) == ()
    assert not any(one.exchanging for _, _, one in alice.harness.engine.account.book.all())
    alice.say(WHO.bob, "one")
    assert bob.texts == ["one"]
