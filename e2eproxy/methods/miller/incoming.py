"""What becomes of a stanza that arrives: a key asked for or handed over, or something to be opened.

Law 6: all of it is the worst peer's. Law 4: what does not open is told to our user and to its sender, unless that would
say more than it should. What was opened once is not shown again, in whatever form it comes; our own archive is the exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.events import Way
from e2eproxy.methods.miller import answers, handover, legacy, replies, requests, wire
from e2eproxy.methods.miller.failures import (
    FailedError,
    InsufficientError,
    KeyNeededError,
    TimestampError,
    VerificationError,
)
from e2eproxy.methods.miller.keys import PublicKey, stored_key
from e2eproxy.methods.miller.layers import Opened, Scene, open_layers
from e2eproxy.methods.miller.table import KEPT_FOR
from e2eproxy.methods.miller.trust import judge
from e2eproxy.xmpp.names import CLIENT, LANG, SEPARATOR
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account

CLEAR: Final = "[signed, but not encrypted] "
_BODY: Final = CLIENT + SEPARATOR + "body"


def inbound(account: Account, event: events.Inbound) -> tuple[e.Effect, ...]:
    """Dispose of the peer's stanza; raises MethodError if it does not hold."""
    of_keys = _about_keys(account, event)
    if of_keys:
        return of_keys
    if event.author is not None or event.stanza.type == "groupchat":
        return (e.Unreadable(ref=event.ref, why="miller-e2e does not encrypt for rooms."),)
    if not account.keys.there:
        account.waiting.add(event.peer.bare)
        return (e.Hold(ref=event.ref, why="The keys of your account are being made."), *account.keys.wanted())
    try:
        return _opened(account, event, open_layers(event.stanza, _scene(account, event)))
    except KeyNeededError as needed:
        return _needed(account, event, needed.sid)
    except FailedError as failure:
        return replies.not_opened(account, event, failure)


def _about_keys(account: Account, event: events.Inbound) -> tuple[e.Effect, ...]:
    """Deal with what holds keys or asks for them, and nothing of a user's; empty if it is something else."""
    stanza = event.stanza
    if stanza.kind == "iq":
        request = stanza.child(wire.KEY_REQUEST)
        return () if request is None else requests.asked(account, event, request)
    if (push := stanza.child(handover.PUSH)) is not None:
        return _silent(event, lambda: handover.pushed(account, event, push))
    if (vouch := stanza.child(handover.VOUCH)) is not None:
        return _silent(event, lambda: handover.heard(account, event, vouch))
    return ()


def _silent(event: events.Inbound, do: Callable[[], tuple[e.Effect, ...]]) -> tuple[e.Effect, ...]:
    """What holds nothing of a user's is nothing for ours if it is damaged."""
    try:
        return do()
    except MethodError as error:
        return (e.Absorb(ref=event.ref, why=str(error)),)


def _scene(account: Account, event: events.Inbound) -> Scene:
    """What the stanza has to agree with. Raises FailedError if it cannot be for us, or is too old."""
    context, author = account.context, event.peer.bare
    ours = author == context.account
    if event.to.bare != context.account and not (ours and event.way is not Way.LIVE):
        raise VerificationError("It was written to somebody else.")
    now = context.clock()
    sent_at = now if event.sent_at is None else event.sent_at
    if event.way is not Way.ARCHIVE and now - sent_at > KEPT_FOR:
        raise TimestampError("It was written too long ago.")

    def smk(sid: str) -> bytes:
        mine = account.table.own(sid) if ours else None
        found = account.table.of_peer(event.peer, sid) if mine is None else mine.octets
        if found is None:
            raise KeyNeededError(sid)
        return found

    def known(name: str) -> PublicKey | None:
        for one in context.view.peer_keys(author):
            if one.public and name and (key := stored_key(one.public)).thumbprint == name:
                return key
        return None

    return Scene(
        author=author,
        reader=event.to.bare,
        sent_at=sent_at,
        window=account.window,
        smk=smk,
        known=known,
        random=context.random,
        direct=account.allowed("dir"),
        legacy=account.allowed("legacy_decode"),
    )


def _needed(account: Account, event: events.Inbound, sid: str) -> tuple[e.Effect, ...]:
    """Ask for the key that is missing, and let the stanza wait; or say that it cannot be got."""
    why = account.failure(event.peer, sid)
    if why is None and not event.peer.full:
        why = "Nobody can be asked for the key."
    if why is None and event.peer == event.own:
        why = "The key under which this client wrote it is forgotten."
    if why is None and not account.knows(event.peer):
        why = "Somebody whose presence you do not see wrote it: write to him first, if you want to read it."
    if why is not None:
        return replies.not_opened(account, event, InsufficientError(why))
    waits = e.Hold(ref=event.ref, why="The contact's program is asked for its key.")
    return (waits, *answers.ask(account, event.own, event.peer, sid))


def _opened(account: Account, event: events.Inbound, opened: Opened) -> tuple[e.Effect, ...]:
    seen = account.table.seen(opened.digest)
    if seen and event.way is not Way.ARCHIVE:
        return (e.Absorb(ref=event.ref, why="It was opened before."),)
    contact = event.peer.bare
    durable: tuple[e.Effect, ...] = () if seen else (account.table.note_seen(opened.digest),)
    visible: tuple[e.Effect, ...] = ()
    # Of strangers nothing is kept: whoever likes can have any number of addresses, and a key for each.
    author = opened.author if account.knows(event.peer) else None
    if author is not None:
        judged = judge(account.context, contact, author, account.anchors, proved=True)
        durable = (*judged.news, *durable)
        visible = _proved(account, event, opened)
    if opened.encrypted and contact != account.context.account:
        account.note_read(contact, opened.sid)
    notes = _notes(account, event, opened)
    protection = e.Protection(key=author.fingerprint if author else None, notes=notes)
    return (
        *durable,
        e.Deliver(ref=event.ref, inside=e.Whole(_inside(opened)), protection=protection),
        *visible,
    )


def _proved(account: Account, event: events.Inbound, opened: Opened) -> tuple[e.Effect, ...]:
    """Whether an accepted device says, signed, that it has opened something of ours."""
    contact, key = event.peer.bare, opened.author
    smk = account.table.own(opened.read) if opened.read else None
    if key is None or smk is None or smk.peer != str(contact) or not smk.count:
        return ()
    known = any(one.fingerprint == key.fingerprint for one in account.context.view.peer_keys(contact))
    if not known or not account.context.view.usable(contact, key.fingerprint):
        return ()
    return (e.ProvedReading(contact=contact),)


def _notes(account: Account, event: events.Inbound, opened: Opened) -> tuple[str, ...]:
    notes = []
    if event.way is Way.LIVE and account.earlier(event.peer, opened.at):
        notes.append("It is older than what came before it.")
    if opened.legacy:
        notes.append(legacy.NOTE)
    if not opened.encrypted:
        notes.append("It was signed but not encrypted: servers can read it.")
    return tuple(notes)


def _inside(opened: Opened) -> bytes:
    """The stanza for the client; its texts are marked if everybody could read them (law 9)."""
    stanza = opened.stanza
    if not opened.encrypted:
        marked = {}
        for body in stanza.all(_BODY):
            text = escape_text(CLEAR + body.text).encode()
            marked[body] = element("body", {"xmlns": CLIENT, "xml:lang": body.attributes.get(LANG)}, text)
        stanza = stanza.changed(stanza.replaced(marked))
    return stanza.standalone()
