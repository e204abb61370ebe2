"""What becomes of a text that a peer sends: an offer answered, a handshake's step made, a message opened, or told as unreadable.

Law 6: all of it is the worst peer's. Offers, complaints and parts are answered at a bounded rate; what does not hold
changes nothing. Copies, archived and delayed stanzas are never OTR's to answer or to open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.events import Way
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, fragments, markup, messages
from e2eproxy.methods.otr.account import PATIENCE, begun, body, patience
from e2eproxy.methods.otr.news import news
from e2eproxy.methods.otr.outgoing import BODY

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from e2eproxy.methods import events
    from e2eproxy.methods.otr.account import Account
    from e2eproxy.methods.otr.book import Entry
    from e2eproxy.xmpp.jid import JID

OFFERS: Final = 5
"""So many offers of one peer are answered in ``OFFERS_SECONDS`` seconds: one is lost or renewed, a thousand are an attack."""
OFFERS_SECONDS: Final = 10.0
MOST_OFFERS: Final = 50
"""So many offers wait for our first key."""
BETWEEN_COMPLAINTS: Final = 60.0
"""Seconds between two complaints to one peer that a message could not be opened, and between two new starts after its own."""
_COMPLAINT: Final = (
    "?OTR Error: A message of yours could not be decrypted here. Please start the private conversation again."
)


def inbound(account: Account, event: events.Inbound) -> tuple[e.Effect, ...]:
    """Dispose of the peer's stanza; raises MethodError if it does not hold."""
    found = event.stanza.child(BODY)
    if found is None:
        raise MethodError("A message without a text arrived.")
    form = forms.form_of(found.node.text)
    if form is None:
        return (e.Decline(ref=event.ref, why="It is plain text."),)
    if event.way is not Way.LIVE or event.author is not None:
        return _not_ours(
            event, form, "It is a copy of a conversation that another client had, or that is over."
        )
    if event.room:
        return _not_ours(event, form, "In rooms OTR is not used: who is behind a nick may change.")
    if event.to.full and event.to != event.own:
        return _not_ours(event, form, "It was encrypted for another client of yours.")
    return _for_a_key(account, event, form) or _ACTIONS[type(form)](account, event, form)


def _for_a_key(account: Account, event: events.Inbound, form: forms.Form) -> tuple[e.Effect, ...]:
    """Let what is a step of a handshake, or may be, wait for our first key."""
    needs = isinstance(form, forms.Encoded | forms.Fragment)
    if needs and not account.key.there and _known(account, event) and account.key.waits(event.peer.bare):
        return (e.Hold(ref=event.ref, why="A first OTR key is made for your account."), *account.key.wanted())
    return ()


def _not_ours(event: events.Inbound, form: forms.Form, why: str) -> tuple[e.Effect, ...]:
    """Nothing is answered, and no session is touched."""
    if isinstance(form, forms.Tagged):
        return (e.Decline(ref=event.ref, why="It is plain text.", body=form.text),)
    if isinstance(form, forms.ErrorText | forms.Query):
        return (e.Absorb(ref=event.ref, why="It is an old step of OTR, or one of another client."),)
    return (e.Unreadable(ref=event.ref, why=why),)


def _query(account: Account, event: events.Inbound, form: Any) -> tuple[e.Effect, ...]:  # noqa: ANN401 - a row
    return (e.Absorb(ref=event.ref, why="An offer of OTR."), *_offered(account, event, form.versions))


def _tagged(account: Account, event: events.Inbound, form: Any) -> tuple[e.Effect, ...]:  # noqa: ANN401 - a row
    entry = account.book.find(event.own, event.peer)
    offered = () if entry and entry.live else _offered(account, event, form.versions, quiet=True)
    return (*offered, e.Decline(ref=event.ref, why="It is plain text that offers OTR.", body=form.text))


def _offered(
    account: Account, event: events.Inbound, versions: frozenset[int], *, quiet: bool = False
) -> tuple[e.Effect, ...]:
    """Answer an offer with a handshake's first step, if there is a version that both speak."""
    common = versions & account.versions
    if not common:
        text = "The contact's client offers OTR in a version that is not used here. No session was started."
        return () if quiet else _told(account, event, text, e.Tone.WARNING)
    if not _known(account, event):
        text = "Somebody who, as far as is known, does not get your presence offers OTR. Start a session yourself if you want one."
        return _told(account, event, text, e.Tone.INFO)
    entry, kept = account.entry(event.own, event.peer)
    if _too_often(entry, account.context.clock()):
        return kept
    if account.key.expected:
        waiting = sum(one.offered > 0 for _, _, one in account.book.all())
        entry.offered = max(common) if waiting < MOST_OFFERS else entry.offered
        return (*kept, *account.key.wanted())
    return (*kept, *_answered(account, event.own, event.peer, entry, max(common)))


def _told(account: Account, event: events.Inbound, text: str, tone: e.Tone) -> tuple[e.Effect, ...]:
    """A notice about an offer, unless there have been enough, from whatever addresses."""
    if not account.may_tell():
        return ()
    return (e.Tell(contact=event.peer.bare, text=text, tone=tone),)


def _answered(account: Account, own: JID, peer: JID, entry: Entry, version: int) -> tuple[e.Effect, ...]:
    turn = talk.offered(entry.now, version, account.party())
    entry.now = turn.conversation
    return (*account.emitted(own, peer, turn.replies), *begun(own, peer, entry))


def answer_offers(account: Account) -> tuple[e.Effect, ...]:
    """Answer the offers that waited for our first key, or forget them if it could not be made."""
    effects: tuple[e.Effect, ...] = ()
    for own, peer, entry in account.book.all():
        version, entry.offered = entry.offered, 0
        if version and account.key.there:
            effects += _answered(account, own, peer, entry, version)
    return effects


def _too_often(entry: Entry, now: float) -> bool:
    if now - entry.asked_at >= OFFERS_SECONDS:
        entry.asked_at, entry.asked = now, 0
    entry.asked += 1
    return entry.asked > OFFERS


def _known(account: Account, event: events.Inbound) -> bool:
    """Whether the peer may know that we are here: it gets our presence, or our user began."""
    known = account.book.of(event.own, event.peer.bare)
    return event.may_answer or any(not one.disposable or one.tagged for _, one in known)


def _error(account: Account, event: events.Inbound, form: Any) -> tuple[e.Effect, ...]:  # noqa: ANN401 - a row
    """The peer could not read us: its session is lost, so a new one is asked for. Nothing proves it, so ours stays.

    What our user wrote last goes into the new session once more.
    """
    shown = e.Decline(ref=event.ref, why="It is a complaint of the contact's OTR.", body=f"OTR: {form.text}")
    entry = account.book.find(event.own, event.peer)
    if entry is None or not entry.live:
        return (shown,)
    now = account.context.clock()
    if now - entry.complained_at < BETWEEN_COMPLAINTS:
        return (shown,)
    entry.complained_at = now
    entry.resend = entry.last if now - entry.last_at <= PATIENCE else None
    return (shown, account.query(event.own, event.peer))


def _fragment(account: Account, event: events.Inbound, form: Any) -> tuple[e.Effect, ...]:  # noqa: ANN401 - a row
    entry, kept = account.entry(event.own, event.peer)
    if form.tagged and form.receiver not in {0, entry.now.own_tag}:
        if form.number > 1:
            return (*kept, e.Absorb(ref=event.ref, why="A further part for another client of yours."))
        return (*kept, e.Unreadable(ref=event.ref, why="It was encrypted for another client of yours."))
    partial = entry.partial if form.sender == entry.partial_tag else fragments.Partial()
    after, whole = fragments.put_together(partial, form)
    timer = e.SetTimer(name=f"parts {event.own} {event.peer}", seconds=PATIENCE if after.count else None)
    if whole is None:
        entry.partial, entry.partial_tag = after, form.sender
        lost = tuple(_parts_lost(peer) for peer in account.book.bound_parts(entry, event.peer))
        return (*kept, e.Absorb(ref=event.ref, why="A part of a message."), timer, *lost)
    inside = forms.form_of(whole)
    if not isinstance(inside, forms.Encoded):
        raise MethodError("The parts of an OTR message came to something else.")
    opened = _encoded(account, event, inside)
    entry.partial = fragments.Partial()
    return (*kept, *opened, timer)


def _parts_lost(peer: JID) -> e.Tell:
    text = "The contact sent parts of an encrypted message; too many were unfinished, and they were given up."
    return e.Tell(contact=peer.bare, text=text, tone=e.Tone.WARNING)


def _encoded(account: Account, event: events.Inbound, form: Any) -> tuple[e.Effect, ...]:  # noqa: ANN401 - a row
    message = messages.decode(form.value)
    if isinstance(message.content, messages.Data):
        return _data(account, event, message)
    if message.version not in account.versions or not _known(account, event):
        return (e.Absorb(ref=event.ref, why="A handshake that is not wanted."),)
    entry, kept = account.entry(event.own, event.peer)
    entry.partial = fragments.Partial()
    if isinstance(message.content, messages.Commit) and _is_for_another(account, event, entry):
        return (*kept, e.Absorb(ref=event.ref, why="It answers what another client of ours has asked."))
    try:
        turn = talk.receive(entry.now, message, account.party())
    except MethodError as error:
        # A step of a handshake holds no text, and anybody can send a bad one.
        return (*kept, e.Absorb(ref=event.ref, why=str(error)))
    entry.now = turn.conversation
    started = begun(event.own, event.peer, entry) if turn.replies and not turn.happened else ()
    return (
        *kept,
        e.Absorb(ref=event.ref, why="A step of a handshake."),
        *account.emitted(event.own, event.peer, turn.replies),
        *started,
        *news(account, event, entry, turn),
    )


def _is_for_another(account: Account, event: events.Inbound, entry: Entry) -> bool:
    """Whether a handshake that went to all of our clients would only disturb the session that this one has."""
    asked = (event.own, event.peer.bare) in account.asked
    return entry.live and not event.to.full and not asked and not entry.exchanging


def _data(account: Account, event: events.Inbound, message: messages.Message) -> tuple[e.Effect, ...]:
    entry, kept = account.entry(event.own, event.peer)
    entry.partial = fragments.Partial()
    try:
        turn = talk.receive(entry.now, message, account.party())
    except talk.OtherClientError as error:
        return (*kept, _elsewhere(event, message, str(error)))
    if _failed(turn) and (moved := _moved(account, event, message)):
        return (*kept, *moved)
    entry.now = turn.conversation
    return (*kept, *_opened(account, event, entry, turn))


def _elsewhere(event: events.Inbound, message: messages.Message, why: str) -> e.Effect:
    assert isinstance(message.content, messages.Data)  # noqa: S101 - whoever calls has looked
    quiet = message.content.flags & messages.IGNORE_UNREADABLE
    return e.Absorb(ref=event.ref, why=why) if quiet else e.Unreadable(ref=event.ref, why=why)


def _failed(turn: talk.Turn) -> bool:
    return any(isinstance(one, talk.Unreadable) for one in turn.happened)


def _moved(account: Account, event: events.Inbound, message: messages.Message) -> tuple[e.Effect, ...]:
    """A session of version 3 goes with its client to another resource, if it is that client: the message opens."""
    old = account.book.with_tag(event.own, event.peer.bare, message.sender)
    entry = account.book.find(event.own, old) if old else None
    if old is None or entry is None or old == event.peer:
        return ()
    turn = talk.receive(entry.now, message, account.party())
    if _failed(turn):
        return ()
    entry.now = turn.conversation
    account.book.move(event.own, old, event.peer)
    active = e.SessionChanged(
        peer=event.peer, state=e.State.ACTIVE, protection=account.protection(entry.now.identity)
    )
    return (e.SessionChanged(peer=old, state=e.State.NONE), active, *_opened(account, event, entry, turn))


def _opened(account: Account, event: events.Inbound, entry: Entry, turn: talk.Turn) -> tuple[e.Effect, ...]:
    """The disposition, and the rest, of a data message."""
    now = account.context.clock()
    out = (*account.emitted(event.own, event.peer, turn.replies), *news(account, event, entry, turn))
    for one in turn.happened:
        if isinstance(one, talk.Unreadable):
            return (*_unreadable(account, event, entry, one), *out)
    entry.heard_at, entry.away = now, False
    if entry.checking:  # whether it is still there was asked, and here it is
        entry.checking = entry.waiting = False
        out += (patience(event.own, event.peer, None), e.Retry(contact=event.peer.bare))
    if turn.replies:
        entry.sent_at = now
    elif entry.live and now - entry.sent_at >= PATIENCE:
        out += _heartbeat(account, event, entry)
    for one in turn.happened:
        if isinstance(one, talk.Said) and one.text:
            inside = e.Body(_readable(account, event, entry, one.text.decode("utf-8", "replace")))
            deliver = e.Deliver(ref=event.ref, inside=inside, protection=_author(account, entry, turn))
            return (deliver, *out)
    return (e.Absorb(ref=event.ref, why="A message between the clients, without a text."), *out)


def _readable(account: Account, event: events.Inbound, entry: Entry, text: str) -> str:
    """*Text* as a body can hold it; whoever wrote one that is no HTML once does not write HTML."""
    if entry.html is not False:
        told = markup.verdict(text)
        entry.html = entry.html if told is None else told
    return markup.allowed(markup.plain(text) if account.writes_html(event.peer, entry) else text)


def _author(account: Account, entry: Entry, turn: talk.Turn) -> e.Protection:
    """By whose key it was protected: the one from before, if the message itself ended the session."""
    ended = next((one for one in turn.happened if isinstance(one, talk.Ended)), None)
    return account.protection(ended.identity if ended else entry.now.identity)


def _heartbeat(account: Account, event: events.Inbound, entry: Entry) -> tuple[e.Effect, ...]:
    """Say something without a text, so that keys turn although our user only reads."""
    entry.now, message = talk.sealed(entry.now, ())
    entry.sent_at = account.context.clock()
    return account.emitted(event.own, event.peer, (message,))


def _unreadable(
    account: Account, event: events.Inbound, entry: Entry, what: talk.Unreadable
) -> tuple[e.Effect, ...]:
    if what.quiet:
        return (e.Absorb(ref=event.ref, why=what.why),)
    shown = e.Unreadable(ref=event.ref, why=what.why)
    now = account.context.clock()
    if now - entry.complained_at < BETWEEN_COMPLAINTS or not _known(account, event):
        return (shown,)
    entry.complained_at = now
    complaint = e.Emit(to=event.peer, payload=body(_COMPLAINT), own=event.own)
    # Without a session it is we who lost it, with an earlier daemon: so we ask for a new one.
    return (shown, complaint) if entry.live else (shown, complaint, account.query(event.own, event.peer))


_ACTIONS: Final[dict[type[forms.Form], Callable[[Account, events.Inbound, Any], tuple[e.Effect, ...]]]] = {
    forms.Query: _query,
    forms.Tagged: _tagged,
    forms.ErrorText: _error,
    forms.Fragment: _fragment,
    forms.Encoded: _encoded,
}
