"""What the user says about OTR: start and end a session, compare secrets or codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr.account import patience
from e2eproxy.methods.otr.own_key import name_of

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.otr.account import Account
    from e2eproxy.methods.otr.book import Entry
    from e2eproxy.xmpp.jid import JID

COMMANDS = (
    ("start", "start an encrypted session, or renew it"),
    ("end", "end the session"),
    ("verify", "compare a secret that both know"),
    ("answer", "answer what the contact asked"),
    ("code", "show the code of this session, to be compared by voice"),
    ("confirm", "say whether the codes are the same"),
    ("fingerprint", "show the keys of both sides"),
)


def command(account: Account, event: events.Command) -> tuple[e.Effect, ...]:
    """Do what the user says; raises MethodError where it cannot be done."""
    if event.verb == "start":
        return _start(account, event)
    if event.verb == "fingerprint":
        return _fingerprints(account, event)
    peer, entry = _session(account, event)
    if event.verb == "end":
        return _end(account, event, peer, entry)
    return _checking(account, event, peer, entry)


def _checking(account: Account, event: events.Command, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
    """What people do to know who is at the other end."""
    match event.verb, event.arguments:
        case "verify", (secret, *question):
            turn = talk.ask(entry.now, secret.encode(), question[0] if question else "", account.party())
            return (
                *_taken(account, event, peer, entry, turn=turn),
                e.Tell(contact=peer.bare, text="The comparison has begun."),
            )
        case "answer", (secret, *_):
            turn = talk.answer(entry.now, secret.encode(), account.party())
            return (
                *_taken(account, event, peer, entry, turn=turn),
                e.Tell(contact=peer.bare, text="The answer is on its way."),
            )
        case "code", _:
            return (e.Tell(contact=peer.bare, text=_code(entry)),)
        case "confirm", (("yes" | "no") as word, *_):
            return _confirmed(peer, entry, holds=word == "yes")
        case _:
            return (e.Tell(contact=peer.bare, text=f"OTR cannot do {event.verb} that way."),)


def _session(account: Account, event: events.Command) -> tuple[JID, Entry]:
    known = account.book.of(event.own, event.peer.bare)
    there = [(peer, one) for peer, one in known if not event.peer.full or peer == event.peer]
    for peer, entry in sorted(there, key=lambda one: not one[1].live):
        if entry.now.state is not talk.State.PLAINTEXT:
            return peer, entry
    raise MethodError("There is no OTR session with this contact; /e2e start begins one.")


def _start(account: Account, event: events.Command) -> tuple[e.Effect, ...]:
    if not account.key.there and not account.key.expected:
        raise MethodError("There is no OTR key of your own, and none could be made just now.")
    entry, kept = account.entry(event.own, event.peer)
    kept = (*kept, *account.key.wanted())
    tell = e.Tell(contact=event.peer.bare, text="The contact was asked for an encrypted session.")
    asked = account.query(event.own, event.peer)
    if entry.now.state is talk.State.ENCRYPTED:
        return (*kept, asked, tell)
    entry.waiting, entry.failed = True, False
    negotiating = e.SessionChanged(peer=event.peer, state=e.State.NEGOTIATING)
    return (*kept, asked, patience(event.own, event.peer), negotiating, tell)


def _end(account: Account, event: events.Command, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
    turn = talk.ended(entry.now)
    entry.now = turn.conversation
    return (
        *account.emitted(event.own, peer, turn.replies),
        e.SessionChanged(peer=peer, state=e.State.NONE),
        e.Tell(contact=peer.bare, text="The encrypted session is ended."),
    )


def _taken(
    account: Account, event: events.Command, peer: JID, entry: Entry, *, turn: talk.Turn
) -> tuple[e.Effect, ...]:
    """Take over a step of a comparison, and have it sent."""
    entry.now = turn.conversation
    entry.sent_at = account.context.clock()
    return account.emitted(event.own, peer, turn.replies)


def _code(entry: Entry) -> str:
    """The session's id: each user reads his half aloud, and compares what he hears with the other."""
    halves = entry.now.ssid[:4].hex(), entry.now.ssid[4:].hex()
    mine, other = halves if entry.now.first_half else halves[::-1]
    if not mine:
        return "There is no encrypted session, and so no code."
    return f"Read aloud: {mine}. The contact has to read: {other}. Then say /e2e verify same, or different."


def _confirmed(peer: JID, entry: Entry, *, holds: bool) -> tuple[e.Effect, ...]:
    key = entry.now.identity
    if key is None:
        raise MethodError("There is no OTR session with this contact.")
    verified = e.Verified(contact=peer.bare, fingerprint=name_of(key), how="sas", holds=holds)
    if holds:
        return verified, e.Tell(contact=peer.bare, text="The contact's key counts as verified.")
    text = "The codes are not the same: somebody else may be in the middle. End the session."
    return verified, e.Tell(contact=peer.bare, text=text, tone=e.Tone.ALARM)


def _fingerprints(account: Account, event: events.Command) -> tuple[e.Effect, ...]:
    view = account.context.view
    keys = [*view.peer_keys(account.context.account), *view.peer_keys(event.peer.bare)]
    text = " ".join(f"{one.contact} has the key {one.fingerprint.text}." for one in keys)
    return (e.Tell(contact=event.peer.bare, text=text or "No key is known yet."),)
