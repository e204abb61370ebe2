"""What becomes of a text that the user writes: sealed, held until there is a session, given back, or not for OTR.

Law 1: in a session that the peer has ended nothing goes out, and a text never leaves sealed for a key that policy
does not accept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, markup
from e2eproxy.methods.otr.account import patience
from e2eproxy.methods.otr.own_key import name_of
from e2eproxy.xmpp.stanza import qualified

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.otr.account import Account
    from e2eproxy.methods.otr.book import Entry
    from e2eproxy.xmpp.jid import JID

BODY: Final = qualified("jabber:client", "body")
RESENT: Final = "[resent] "
"""Before a text that is sent again, because the contact could not read it; libotr writes the same."""
SILENT: Final = 600.0
"""Seconds without a word of a peer whose presence is not seen, after which it is asked whether it is still there."""


def outbound(account: Account, event: events.Outbound) -> tuple[e.Effect, ...]:
    """Dispose of the user's stanza."""
    text = event.stanza.child(BODY) if event.stanza.kind == "message" else None
    if text is None or event.stanza.type == "groupchat":
        return (e.Decline(ref=event.ref, why="OTR protects the text of messages to one person only."),)
    peer, entry = _conversation(account, event)
    if entry is not None and entry.live and _silent(account, peer, entry):
        return _checked(account, event, peer, entry)
    if entry is not None and entry.live:
        return (*_sealed(account, event, peer, entry, text.node.text), *_one_of_several(account, event, peer))
    if entry is not None and entry.now.state is talk.State.FINISHED:
        why = "The contact ended the encrypted session. Start it again, or end it on your side, before you write."
        return (e.Return(ref=event.ref, condition="not-acceptable", why=why),)
    return _without_session(account, event, peer)


def _conversation(account: Account, event: events.Outbound) -> tuple[JID, Entry | None]:
    """Whom the text goes to: the resource that is meant, else the one of the session last heard from."""
    if event.peer.full:
        return event.peer, account.book.find(event.own, event.peer)
    known = account.book.of(event.own, event.peer.bare)
    for wanted in (talk.State.ENCRYPTED, talk.State.FINISHED):
        for peer, entry in known:
            if entry.now.state is wanted and not entry.away:
                return peer, entry
    return event.peer, None


def _sealed(
    account: Account, event: events.Outbound, peer: JID, entry: Entry, text: str
) -> tuple[e.Effect, ...]:
    assert entry.now.identity is not None  # noqa: S101 - of a live session
    key = name_of(entry.now.identity)
    if not account.context.view.usable(peer.bare, key):
        why = (
            "The contact's OTR key is not accepted. Compare its fingerprint, or accept it, before you write."
        )
        return (e.Return(ref=event.ref, condition="policy-violation", why=why),)
    if account.writes_html(peer, entry):
        text = markup.escaped(text)
    entry.now, message = talk.said(entry.now, ((RESENT if event.repeated else "") + text).encode())
    entry.sent_at = entry.last_at = account.context.clock()
    entry.spoken, entry.last = True, None if event.repeated else event.ref
    return tuple(
        e.Send(ref=event.ref, to=peer, payload=payload, keys=(key,), lasting=False)
        for payload in account.bodies(message)
    )


def _silent(account: Account, peer: JID, entry: Entry) -> bool:
    """Whether the peer may have gone without our hearing of it: its presence is not seen, and it has said nothing for long."""
    return peer not in account.here and account.context.clock() - entry.heard_at >= SILENT


def _checked(account: Account, event: events.Outbound, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
    """Ask whether the peer still has the session, before a text of the user's goes into it."""
    hold = e.Hold(
        ref=event.ref,
        why="The contact has been silent, and is asked whether it still has the encrypted session.",
    )
    if entry.checking:
        return (hold,)
    entry.checking = True
    return account.query(event.own, peer), patience(event.own, peer), hold


def _one_of_several(account: Account, event: events.Outbound, peer: JID) -> tuple[e.Effect, ...]:
    """Say to which of a contact's clients a text went, where that is our choice and not the same as before."""
    live = [
        one for one, entry in account.book.of(event.own, event.peer.bare) if entry.live and not entry.away
    ]
    chosen = account.chosen.get((event.own, event.peer.bare))
    if event.peer.full or len(live) < 2:
        account.chosen.pop((event.own, event.peer.bare), None)
        return ()
    account.chosen[event.own, event.peer.bare] = peer
    if chosen == peer:
        return ()
    text = f"You have encrypted sessions with {len(live)} clients of the contact; what you write goes to {peer.resource}, last heard from."
    return (e.Tell(contact=peer.bare, text=text),)


def _without_session(account: Account, event: events.Outbound, peer: JID) -> tuple[e.Effect, ...]:
    if not account.key.there and not account.key.expected:
        return (_keyless(event),)
    entry, kept = account.entry(event.own, peer)
    kept = (*kept, *account.key.wanted())
    # With another client of the contact there is a session: the user believes to write encrypted.
    wanted = (
        event.required or event.repeated or any(one.live for _, one in account.book.of(event.own, peer.bare))
    )
    if entry.failed and event.again:
        entry.waiting = False
        if wanted:
            why = "No encrypted session could be made: the contact's client did not answer OTR's offer."
            return (*kept, e.Return(ref=event.ref, condition="remote-server-timeout", why=why))
    elif wanted or _under_way(account, event, entry):
        return (*kept, *_held(account, event, peer, entry))
    offer = "" if entry.tagged or not account.versions else forms.tag_text(account.versions)
    entry.tagged = True
    why = "There is no OTR session with the contact."
    return (*kept, e.Decline(ref=event.ref, why=why, offer=offer, settled=not offer and not kept))


def _keyless(event: events.Outbound) -> e.Effect:
    why = "There is no OTR key of your own, and none could be made just now."
    if event.required:
        return e.Return(ref=event.ref, condition="internal-server-error", why=why)
    return e.Decline(ref=event.ref, why=why)


def _under_way(account: Account, event: events.Outbound, entry: Entry) -> bool:
    """Whether a session is being made: a handshake is on, or the user, or a text of his, asked for one."""
    known = account.book.of(event.own, event.peer.bare)
    mine = [entry] if event.peer.full else [entry, *(one for _, one in known)]
    return any(one.exchanging or one.waiting for one in mine)


def _held(account: Account, event: events.Outbound, peer: JID, entry: Entry) -> tuple[e.Effect, ...]:
    hold = e.Hold(ref=event.ref, why="An encrypted session is being made.")
    if entry.waiting:
        return (hold,)
    asked = () if _under_way(account, event, entry) else (account.query(event.own, peer),)
    entry.waiting, entry.failed = True, False
    return (
        *asked,
        patience(event.own, peer),
        e.SessionChanged(peer=peer, state=e.State.NEGOTIATING),
        hold,
    )
