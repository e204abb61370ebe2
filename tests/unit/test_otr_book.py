"""OTR's conversations: found without looking at all of them, and bounded where strangers begin them."""

from __future__ import annotations

from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import fragments
from e2eproxy.methods.otr.book import MOST_PARTS, MOST_STRANGERS, Book
from e2eproxy.xmpp.jid import JID

OWN = JID.parse("alice@one.test/desk")
LIVE = talk.Conversation(own_tag=1, state=talk.State.ENCRYPTED)


def jid(contact, resource="r"):
    return JID.parse(f"{contact}@two.test/{resource}")


def begun(book, peer, *, live=False, own=OWN):
    entry = book.entry(own, peer, 1)
    if live:
        entry.now = LIVE
    return entry


def test_a_contact_that_invents_resources_pushes_out_its_own():
    book = Book()
    friend = begun(book, jid("friend"))
    session = begun(book, jid("mallory", "real"), live=True)
    waiting = begun(book, jid("mallory", "asked"))
    waiting.waiting = True
    for number in range(3 * MOST_STRANGERS):
        begun(book, jid("mallory", f"{number}"))
        assert len(list(book.all())) <= MOST_STRANGERS + 2
    assert book.find(OWN, jid("friend")) is friend
    assert book.find(OWN, jid("mallory", "real")) is session
    assert book.find(OWN, jid("mallory", "asked")) is waiting
    assert book.find(OWN, jid("mallory", f"{3 * MOST_STRANGERS - 1}")), "the newest is there"
    assert book.find(OWN, jid("mallory", "0")) is None


def test_many_sessions_leave_room_for_a_handshake():
    book = Book()
    for number in range(2 * MOST_STRANGERS):
        begun(book, jid(f"friend{number}"), live=True)
    handshakes = [begun(book, jid(f"new{number}")) for number in range(10)]
    assert [book.find(OWN, jid(f"new{number}")) for number in range(10)] == handshakes
    assert len(list(book.all())) == 2 * MOST_STRANGERS + 10


def test_the_one_last_heard_from_is_first_and_streams_are_kept_apart():
    book, other = Book(), JID.parse("alice@one.test/phone")
    for at, resource in ((2.0, "a"), (9.0, "b"), (4.0, "c")):
        begun(book, jid("bob", resource)).heard_at = at
    begun(book, jid("bob", "d"), own=other)
    begun(book, jid("carol"))
    assert [peer.resource for peer, _ in book.of(OWN, jid("bob").bare)] == ["b", "c", "a"]
    assert [peer.resource for peer, _ in book.of(other, jid("bob").bare)] == ["d"]
    assert [peer for peer, _ in book.of_stream(other)] == [jid("bob", "d")]
    assert len(list(book.all())) == 5
    for peer, _ in list(book.of_stream(OWN)):
        book.forget(OWN, peer)
    assert [peer for _, peer, _ in book.all()] == [jid("bob", "d")]
    assert book.find(OWN, jid("bob", "b")) is None


def test_a_client_that_moves_takes_its_conversation_and_its_parts_along():
    book = Book()
    entry = begun(book, jid("bob", "old"), live=True)
    replaced = begun(book, jid("bob", "new"))
    entry.partial = fragments.Partial(1, 2, "x" * (MOST_PARTS // 2))
    assert book.bound_parts(entry, jid("bob", "old")) == ()
    book.move(OWN, jid("bob", "old"), jid("bob", "new"))
    assert book.find(OWN, jid("bob", "old")) is None
    assert book.find(OWN, jid("bob", "new")) is entry is not replaced
    other = begun(book, jid("carol"))
    other.partial = fragments.Partial(1, 2, "x" * MOST_PARTS)
    assert book.bound_parts(other, jid("carol")) == (jid("bob", "new"),)
    assert entry.partial == fragments.Partial()
    assert other.partial.text, "the newest is kept"


def test_parts_of_a_conversation_that_is_forgotten_do_not_count():
    book = Book()
    gone = begun(book, jid("bob"))
    gone.partial = fragments.Partial(1, 2, "x" * MOST_PARTS)
    assert book.bound_parts(gone, jid("bob")) == ()
    book.forget(OWN, jid("bob"))
    for contact in ("carol", "dave"):
        entry = begun(book, jid(contact))
        entry.partial = fragments.Partial(1, 2, "x" * (MOST_PARTS // 2))
        assert book.bound_parts(entry, jid(contact)) == ()
