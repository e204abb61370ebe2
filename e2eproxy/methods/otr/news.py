"""What the user, policy and the pipeline hear of what happened in a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.methods import effects as e
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr.account import patience
from e2eproxy.methods.otr.own_key import name_of

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.otr.account import Account
    from e2eproxy.methods.otr.book import Entry
    from e2eproxy.methods.otr.identity import PublicKey


def news(account: Account, event: events.Inbound, entry: Entry, turn: talk.Turn) -> tuple[e.Effect, ...]:
    """The effects of what happened, without the disposition of the stanza."""
    told: tuple[e.Effect, ...] = ()
    for one in turn.happened:
        told += _one(account, event, entry, one)
    return told


def _one(account: Account, event: events.Inbound, entry: Entry, what: talk.Happened) -> tuple[e.Effect, ...]:
    contact = event.peer.bare
    match what:
        case talk.Secured(again=again):
            return _secured(account, event, entry, again=again)
        case talk.Said(answers=True) if entry.spoken:
            # Only a text of the user counts: what the machines answer by themselves a stranger can ask for.
            entry.spoken = False
            return (e.ProvedReading(contact=contact),)
        case talk.Ended():
            text = "The contact ended the encrypted session. What you write is not sent until you start or end it."
            ended = e.SessionChanged(peer=event.peer, state=e.State.FINISHED)
            return ended, e.Tell(contact=contact, text=text, tone=e.Tone.WARNING)
        case _:
            return _comparing(event, what)


def _comparing(event: events.Inbound, what: talk.Happened) -> tuple[e.Effect, ...]:
    contact = event.peer.bare
    match what:
        case talk.Asked(question=question):
            asked = (
                f"The contact asks: {question}"
                if question
                else "The contact wants to compare a secret with you."
            )
            return (
                e.Tell(
                    contact=contact,
                    text=f"{asked} Answer with /e2e verify answer, and behind it what only you two know.",
                ),
            )
        case talk.Compared():
            return _compared(event, what)
        case talk.Aborted(why=why):
            text = f"The comparison of secrets was given up. {why}"
            return (e.Tell(contact=contact, text=text, tone=e.Tone.WARNING),)
        case _:
            return ()


def _secured(account: Account, event: events.Inbound, entry: Entry, *, again: bool) -> tuple[e.Effect, ...]:
    key = entry.now.identity
    assert key is not None  # noqa: S101 - of a live session
    over: tuple[e.Effect, ...] = ()
    for peer, other in account.book.of(event.own, event.peer.bare):
        if other.waiting and not other.exchanging and other.now.state is talk.State.PLAINTEXT:
            over += (
                e.SessionChanged(peer=peer, state=e.State.NONE),
            )  # the contact was asked, and this client answered
        other.waiting = other.failed = other.checking = False
    entry.heard_at = account.context.clock()
    entry.tagged = entry.away = entry.spoken = False
    account.asked.discard((event.own, event.peer.bare))
    resend, entry.resend = entry.resend, None
    repeat = () if resend is None else (e.Repeat(ref=resend),)
    return (
        e.Learn(contact=event.peer.bare, fingerprint=name_of(key), public=key.encoded()),
        patience(event.own, event.peer, None),
        patience(event.own, event.peer.bare, None),
        *over,
        *_left_behind(account, event, entry),
        e.SessionChanged(peer=event.peer, state=e.State.ACTIVE, protection=account.protection(key)),
        *repeat,
        e.Retry(contact=event.peer.bare),
        *_told(account, event, entry, key, again=again),
    )


def _told(
    account: Account, event: events.Inbound, entry: Entry, key: PublicKey, *, again: bool
) -> tuple[e.Effect, ...]:
    """Say that a session was made; of one that takes the place of another with the same key there is nothing to say."""
    if again or entry.now.session is None:
        return ()
    who, how = event.peer.resource or "this contact", f"OTR version {entry.now.session.version}"
    if not account.context.view.usable(event.peer.bare, name_of(key)):
        text = (
            f"An encrypted session ({how}) was made with {who}, but its key is not accepted, and nothing that you write goes"
            f" into it: {key.fingerprint}. Ask the person before you accept it with /e2e trust."
        )
        return (e.Tell(contact=event.peer.bare, text=text, tone=e.Tone.WARNING),)
    text = f"From now on what you write to {who} is encrypted ({how}), with the key {key.fingerprint}."
    return (e.Tell(contact=event.peer.bare, text=text),)


def _left_behind(account: Account, event: events.Inbound, entry: Entry) -> tuple[e.Effect, ...]:
    """The session that the same client had at another JID is over: it has come back with a new one."""
    gone: tuple[e.Effect, ...] = ()
    for peer, other in account.book.of(event.own, event.peer.bare):
        if other is not entry and other.live and other.now.peer_tag == entry.now.peer_tag != 0:
            account.book.forget(event.own, peer)
            gone += (e.SessionChanged(peer=peer, state=e.State.NONE),)
    return gone


def _compared(event: events.Inbound, what: talk.Compared) -> tuple[e.Effect, ...]:
    key = what.identity
    assert key is not None  # noqa: S101 - of a live session
    contact = event.peer.bare
    proved = what.ours or not what.questioned  # who answers a question learns nothing about who asked it
    verified = (e.Verified(contact=contact, fingerprint=name_of(key), how="smp", holds=what.holds),)
    if what.holds:
        text = (
            "The secrets are the same." if proved else "The contact knows now that you have the right answer."
        )
        return (*(verified if proved else ()), e.Tell(contact=contact, text=text))
    text = "The secrets are not the same: it was a mistake, or somebody else is in the middle. Ask again, or compare /e2e fingerprints."
    return (*(verified if proved else ()), e.Tell(contact=contact, text=text, tone=e.Tone.ALARM))
