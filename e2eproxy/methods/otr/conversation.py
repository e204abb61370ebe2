"""One conversation: the exchange, the session and the comparison of secrets that we have with one client of a contact.

It says which machine a message belongs to, and what came of it. A conversation is a value; every step returns a new one.
Law 6: a message that is not for us, or does not hold, raises MethodError or is told as ``Unreadable``, and the conversation
given stays good.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import ake, records, session, smp
from e2eproxy.methods.otr import messages as m

if TYPE_CHECKING:
    from e2eproxy.methods.otr.identity import Party, PublicKey
    from e2eproxy.methods.otr.session import Session


class State(enum.Enum):
    """What becomes of a text that the user writes."""

    PLAINTEXT = "plaintext"
    ENCRYPTED = "encrypted"
    FINISHED = "finished"
    """The peer ended the session: nothing goes out until the user says what he wants."""


@frozen(kw_only=True)
class Conversation:
    """See the module. Tags are 0 in version 2, and where the peer's is not known yet.

    ``exchange_tag``: of the client that the exchange is with, ``peer_tag``: of the one that the session is with.
    ``ours``: we began the comparison. ``questioned``: it has a question, so only who asked learns something.
    """

    own_tag: int
    state: State = State.PLAINTEXT
    exchange: ake.Exchange = ake.NOTHING
    exchange_tag: int = 0
    session: Session | None = field(default=None, repr=False)
    peer_tag: int = 0
    identity: PublicKey | None = None
    ssid: bytes = b""
    first_half: bool = False
    comparison: smp.Comparison = smp.NOTHING
    ours: bool = False
    questioned: bool = False


class OtherClientError(MethodError):
    """The message is for another client of ours."""


@frozen(kw_only=True)
class Secured:
    """A session was made. ``again``: there was one already."""

    again: bool


@frozen(kw_only=True)
class Said:
    """The peer wrote *text* (bytes, may be empty). ``answers``: a message of ours was read."""

    text: bytes = field(repr=False)
    answers: bool


@frozen
class Ended:
    """The peer ended the session; *identity* is whose it was."""

    identity: PublicKey | None


@frozen
class Asked:
    """The peer asks for the secret that both know, with a *question* or without ("")."""

    question: str = field(repr=False)


@frozen(kw_only=True)
class Compared:
    """The comparison ended. ``ours``, ``questioned``, ``identity`` as in the conversation."""

    identity: PublicKey | None
    holds: bool
    ours: bool
    questioned: bool


@frozen
class Aborted:
    """The comparison was given up; *why* is a sentence."""

    why: str


@frozen(kw_only=True)
class ExtraKey:
    """The peer will use the extra symmetric *key* (32 bytes) for *use*, a number, with *data*."""

    use: int
    data: bytes = field(repr=False)
    key: bytes = field(repr=False)


@frozen
class Unreadable:
    """A data message cannot be opened; *why* is a sentence. *quiet*: its sender wants nothing to be said about it."""

    why: str
    quiet: bool


Happened = Secured | Said | Ended | Asked | Compared | Aborted | ExtraKey | Unreadable


@frozen(kw_only=True)
class Turn:
    """What came of something: the conversation as it is now, what to send, and what has happened, both in order."""

    conversation: Conversation
    replies: tuple[m.Message, ...] = ()
    happened: tuple[Happened, ...] = ()


# ---- what the peer sends ----


def offered(now: Conversation, version: int, party: Party) -> Turn:
    """Take the peer's offer of *version*."""
    step = ake.begin(now.exchange, version, party)
    begun = evolve(now, exchange=step.exchange, exchange_tag=0)
    return Turn(conversation=begun, replies=_replies(begun, version, 0, step.reply))


def receive(now: Conversation, message: m.Message, party: Party) -> Turn:
    """Take in a message; raises OtherClientError, or MethodError if it does not hold."""
    if message.version == 3:
        if message.sender == now.own_tag:
            raise MethodError("A message of our own came back.")
        if message.receiver not in {0, now.own_tag}:
            raise OtherClientError("A message arrived that is for another of our clients.")
    if isinstance(message.content, m.Data):
        return _receive_data(now, message, message.content, party)
    return _receive_exchange(now, message, party)


def _receive_exchange(now: Conversation, message: m.Message, party: Party) -> Turn:
    stranger = now.exchange_tag not in {0, message.sender} and not isinstance(message.content, m.Commit)
    if stranger:
        return Turn(conversation=now)
    step = ake.receive(now.exchange, message.version, message.content, party)
    if step.reply is None and step.done is None:
        return Turn(conversation=now)
    repeated_commit = isinstance(step.reply, m.Commit)
    tag = now.exchange_tag if repeated_commit else message.sender
    after = evolve(now, exchange=step.exchange, exchange_tag=tag)
    replies = _replies(after, message.version, 0 if repeated_commit else tag, step.reply)
    if step.done is None:
        return Turn(conversation=after, replies=replies)
    again = now.state is State.ENCRYPTED
    return Turn(
        conversation=_secured(after, step.done, message.sender, party),
        replies=replies,
        happened=(Secured(again=again),),
    )


def _secured(now: Conversation, done: ake.Established, tag: int, party: Party) -> Conversation:
    return evolve(
        now,
        state=State.ENCRYPTED,
        exchange_tag=0,
        session=session.established(done, now.session, party.random),
        peer_tag=tag,
        identity=done.identity,
        ssid=done.ssid,
        first_half=done.first_half,
        comparison=smp.NOTHING,
    )


def _replies(now: Conversation, version: int, tag: int, content: m.Content | None) -> tuple[m.Message, ...]:
    if content is None:
        return ()
    own, peer = (now.own_tag, tag) if version == 3 else (0, 0)
    return (m.Message(version=version, sender=own, receiver=peer, content=content),)


def _receive_data(now: Conversation, message: m.Message, content: m.Data, party: Party) -> Turn:
    quiet = bool(content.flags & m.IGNORE_UNREADABLE)
    if now.session is None:
        why = "A message arrived that was encrypted in a session that is not there any more."
        return Turn(conversation=now, happened=(Unreadable(why, quiet),))
    if message.sender != now.peer_tag:
        why = "A message arrived that another client of the contact has encrypted."
        return Turn(conversation=now, happened=(Unreadable(why, quiet),))
    try:
        opened = session.open_(now.session, message, party.random)
    except (session.UnreadableError, session.RepeatedError) as error:
        return Turn(conversation=now, happened=(Unreadable(str(error), quiet),))
    text, inside = records.split(opened.plain)
    turn = Turn(
        conversation=evolve(now, session=opened.session),
        happened=(Said(text=text, answers=opened.answers),),
    )
    for record in inside:
        turn = _then(turn, _record(turn.conversation, record, opened.extra, party))
    return turn


def _then(first: Turn, second: Turn) -> Turn:
    return Turn(
        conversation=second.conversation,
        replies=first.replies + second.replies,
        happened=first.happened + second.happened,
    )


def _record(now: Conversation, record: records.Record, extra: bytes, party: Party) -> Turn:
    if now.session is None:  # a record before this one ended it
        return Turn(conversation=now)
    match record.type:
        case records.DISCONNECTED:
            return Turn(conversation=_without_session(now, State.FINISHED), happened=(Ended(now.identity),))
        case records.SMP_ABORT:
            return _aborted(now)
        case records.SMP_1 | records.SMP_1_QUESTION | records.SMP_2 | records.SMP_3 | records.SMP_4:
            return _compare(now, record, party)
        case records.EXTRA_KEY if now.session.version == 3 and len(record.value) >= 4:
            use = int.from_bytes(record.value[:4], "big")
            return Turn(conversation=now, happened=(ExtraKey(use=use, data=record.value[4:], key=extra),))
        case _:
            return Turn(conversation=now)


def _aborted(now: Conversation) -> Turn:
    if now.comparison.stage is smp.Stage.FIRST:
        return Turn(conversation=now)
    return Turn(
        conversation=evolve(now, comparison=smp.NOTHING),
        happened=(Aborted("The contact's client gave the comparison up."),),
    )


def _compare(now: Conversation, record: records.Record, party: Party) -> Turn:
    try:
        step = smp.receive(now.comparison, record, party.random)
    except MethodError as error:
        after, abort = sealed(evolve(now, comparison=smp.NOTHING), (_ABORT,))
        return Turn(conversation=after, replies=(abort,), happened=(Aborted(str(error)),))
    after = evolve(now, comparison=step.comparison)
    happened: tuple[Happened, ...] = ()
    if step.question is not None:
        after = evolve(after, ours=False, questioned=record.type == records.SMP_1_QUESTION)
        happened = (Asked(step.question),)
    if step.holds is not None:
        happened = (
            Compared(identity=now.identity, holds=step.holds, ours=after.ours, questioned=after.questioned),
        )
    if step.reply is None:
        return Turn(conversation=after, happened=happened)
    after, reply = sealed(after, (step.reply,))
    return Turn(conversation=after, replies=(reply,), happened=happened)


# ---- what we send ----

_ABORT: Final = records.Record(records.SMP_ABORT)


def sealed(now: Conversation, inside: tuple[records.Record, ...]) -> tuple[Conversation, m.Message]:
    """Seal records without a text; the peer's client is to say nothing if it cannot open them."""
    return _seal(now, records.join(b"", inside), m.IGNORE_UNREADABLE)


def said(now: Conversation, text: bytes) -> tuple[Conversation, m.Message]:
    """Seal the user's *text*; a zero byte in it, behind which it would not be text any more, is taken out."""
    return _seal(now, records.join(text.replace(b"\0", b"")), 0)


def _seal(now: Conversation, plain: bytes, flags: int) -> tuple[Conversation, m.Message]:
    if now.session is None:
        raise MethodError("There is no encrypted session.")
    tags = (now.own_tag, now.peer_tag) if now.session.version == 3 else (0, 0)
    after, message = session.seal(now.session, plain, flags=flags, tags=tags)
    return evolve(now, session=after), message


def ended(now: Conversation) -> Turn:
    """Our user ends it: the peer is told, all keys are forgotten, and a handshake under way is given up."""
    replies: tuple[m.Message, ...] = ()
    if now.session is not None:
        now, message = sealed(now, (records.Record(records.DISCONNECTED),))
        replies = (message,)
    now = evolve(now, exchange=ake.NOTHING, exchange_tag=0)
    return Turn(conversation=_without_session(now, State.PLAINTEXT), replies=replies)


def lost(now: Conversation) -> Conversation:
    """The peer does not have the session any more, or is not there: as if it had ended it."""
    return _without_session(now, State.FINISHED)


def _without_session(now: Conversation, state: State) -> Conversation:
    return evolve(now, state=state, session=None, identity=None, ssid=b"", peer_tag=0, comparison=smp.NOTHING)


def ask(now: Conversation, text: bytes, question: str, party: Party) -> Turn:
    """Have the secret *text* compared; a comparison under way is given up first. Raises MethodError without a session."""
    if now.identity is None:
        raise MethodError("There is no encrypted session in which secrets could be compared.")
    inside: tuple[records.Record, ...] = () if now.comparison.stage is smp.Stage.FIRST else (_ABORT,)
    secret = smp.secret_of(party.identity.public.hashed, now.identity.hashed, now.ssid, text)
    step = smp.ask(secret, question, party.random)
    assert step.reply is not None  # noqa: S101 - asking makes a record
    begun = evolve(now, comparison=step.comparison, ours=True, questioned=bool(question))
    after, message = sealed(begun, (*inside, step.reply))
    return Turn(conversation=after, replies=(message,))


def answer(now: Conversation, text: bytes, party: Party) -> Turn:
    """Answer the peer's question with the secret *text*; raises MethodError if it has asked nothing."""
    if now.identity is None:
        raise MethodError("There is no encrypted session in which secrets could be compared.")
    secret = smp.secret_of(now.identity.hashed, party.identity.public.hashed, now.ssid, text)
    step = smp.answer(now.comparison, secret, party.random)
    assert step.reply is not None  # noqa: S101 - answering makes a record
    after, message = sealed(evolve(now, comparison=step.comparison), (step.reply,))
    return Turn(conversation=after, replies=(message,))


def give_up(now: Conversation) -> Turn:
    """Our user does not want to compare any more."""
    if now.session is None or now.comparison.stage is smp.Stage.FIRST:
        return Turn(conversation=now)
    after, message = sealed(evolve(now, comparison=smp.NOTHING), (_ABORT,))
    return Turn(conversation=after, replies=(message,))
