"""The decision: what becomes of one outbound stanza (laws 1 and 10).

The kinds table gives a treatment; this module's table says what that comes to, given what can be done for the contact
just now. Everything that decides is in the two tables and in the four lines where stickiness, the user's word and an answer to
something decrypted take precedence. It has no state and no clock (law 7).
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import frozen

from e2eproxy.proxy.kinds import KINDS, Kind, Setting, Treatment


class Reach(enum.Enum):
    """What the best method can do for the contact just now."""

    LIVE = "live"
    """A session is there, or keys that need none, and their keys may be used."""
    POSSIBLE = "possible"
    """The contact supports a method; a session would have to begin."""
    UNDISCOVERED = "undiscovered"
    """Nobody knows yet whether it supports one."""
    NONE = "none"
    """It supports none."""
    BLOCKED = "blocked"
    """It supports one, but its key may not be used: a new one, or not verified."""
    FINISHED = "finished"
    """The peer ended the session; the user may not have noticed."""


class Way(enum.Enum):
    """``Reach`` for one kind of stanza, with what waiting and the method's abilities make of it."""

    LIVE = "live"
    POSSIBLE = "possible"
    UNDISCOVERED = "undiscovered"
    WAITED = "waited"
    NONE = "none"
    BLOCKED = "blocked"
    FINISHED = "finished"
    CANNOT = "cannot"


class Outcome(enum.Enum):
    """What becomes of a stanza."""

    PROTECT = "protect"
    """A method takes it; it may hold it while keys are fetched."""
    HOLD = "hold"
    """It waits until the contact is discovered, and is refused when the time is over."""
    WAIT = "wait"
    """It waits for a short time, once, and then leaves in clear."""
    PASS = "pass"  # noqa: S105 - no password
    """It leaves as it came."""
    TRIM = "trim"
    """It leaves written anew with what is allowed, if that is anything."""
    BARE = "bare"
    """Of an error only the condition leaves, of a result only that there is one."""
    REFUSE = "refuse"
    """It returns to the client as an error."""
    TAKE = "take"
    """It is for the proxy."""


class Reason(enum.Enum):
    """Why a stanza was refused; ``refusals`` has a sentence for each."""

    NO_METHOD = "no-method"
    NOT_DISCOVERED = "not-discovered"
    KEY = "key"
    FINISHED = "finished"
    KIND = "kind"
    UNREADABLE = "unreadable"
    UNKNOWN_KIND = "unknown-kind"
    BAD_ADDRESS = "bad-address"
    NOTHING_LEFT = "nothing-left"


@frozen(kw_only=True)
class State:
    """What is known when a decision is made.

    *carries*: the method in question can carry this kind. *sticky*: the contact is remembered as encrypted; *cleared*:
    the user's word lets text leave in clear. *waited*: the wait that the setting allows is used up. *answers_decrypted*:
    the stanza answers one that was delivered decrypted; *by_keys*: by a method that needs no session to answer it.
    """

    reach: Reach = Reach.UNDISCOVERED
    carries: bool = True
    sticky: bool = False
    cleared: bool = False
    waited: bool = False
    answers_decrypted: bool = False
    by_keys: bool = False


@frozen(kw_only=True)
class Ruling:
    """A decision: *outcome*, for a refusal its *reason*, and whether the user's word made it (``once`` is used up then).

    *word_helps*: ``/e2e clear`` would let the stanza leave. *visible*: what the server sees of the user's, "" for nothing.
    """

    outcome: Outcome
    reason: Reason | None = None
    by_word: bool = False
    word_helps: bool = False
    visible: str = ""


_Cell = tuple[Outcome, Reason | None]
_PROTECT: Final[_Cell] = (Outcome.PROTECT, None)
_PASS: Final[_Cell] = (Outcome.PASS, None)
_TRIM: Final[_Cell] = (Outcome.TRIM, None)

OUTCOMES: Final[dict[tuple[Treatment, Way], _Cell]] = {
    (Treatment.MUST, Way.LIVE): _PROTECT,
    (Treatment.MUST, Way.POSSIBLE): _PROTECT,
    (Treatment.MUST, Way.UNDISCOVERED): (Outcome.HOLD, None),
    (Treatment.MUST, Way.WAITED): (Outcome.REFUSE, Reason.NOT_DISCOVERED),
    (Treatment.MUST, Way.NONE): (Outcome.REFUSE, Reason.NO_METHOD),
    (Treatment.MUST, Way.BLOCKED): (Outcome.REFUSE, Reason.KEY),
    (Treatment.MUST, Way.FINISHED): (Outcome.REFUSE, Reason.FINISHED),
    (Treatment.MUST, Way.CANNOT): (Outcome.REFUSE, Reason.NO_METHOD),
    (Treatment.SHOULD, Way.LIVE): _PROTECT,
    (Treatment.SHOULD, Way.POSSIBLE): _PROTECT,
    (Treatment.SHOULD, Way.UNDISCOVERED): (Outcome.WAIT, None),
    (Treatment.SHOULD, Way.WAITED): _PASS,
    (Treatment.SHOULD, Way.NONE): _PASS,
    (Treatment.SHOULD, Way.BLOCKED): (Outcome.REFUSE, Reason.KEY),
    (Treatment.SHOULD, Way.FINISHED): (Outcome.REFUSE, Reason.FINISHED),
    (Treatment.SHOULD, Way.CANNOT): _PASS,
    (Treatment.MAY, Way.LIVE): _PROTECT,
    (Treatment.MAY, Way.POSSIBLE): _PASS,
    (Treatment.MAY, Way.UNDISCOVERED): _PASS,
    (Treatment.MAY, Way.WAITED): _PASS,
    (Treatment.MAY, Way.NONE): _PASS,
    (Treatment.MAY, Way.BLOCKED): _PASS,
    (Treatment.MAY, Way.FINISHED): (Outcome.REFUSE, Reason.FINISHED),
    (Treatment.MAY, Way.CANNOT): _PASS,
    (Treatment.REST_MUST, Way.LIVE): _PROTECT,
    (Treatment.REST_MUST, Way.POSSIBLE): _PROTECT,
    (Treatment.REST_MUST, Way.UNDISCOVERED): (Outcome.HOLD, None),
    (Treatment.REST_MUST, Way.WAITED): _TRIM,
    (Treatment.REST_MUST, Way.NONE): _TRIM,
    (Treatment.REST_MUST, Way.BLOCKED): _TRIM,
    (Treatment.REST_MUST, Way.FINISHED): _TRIM,
    (Treatment.REST_MUST, Way.CANNOT): _TRIM,
    (Treatment.REST_SHOULD, Way.LIVE): _PROTECT,
    (Treatment.REST_SHOULD, Way.POSSIBLE): _PROTECT,
    (Treatment.REST_SHOULD, Way.UNDISCOVERED): (Outcome.WAIT, None),
    (Treatment.REST_SHOULD, Way.WAITED): _PASS,
    (Treatment.REST_SHOULD, Way.NONE): _PASS,
    (Treatment.REST_SHOULD, Way.BLOCKED): _TRIM,
    (Treatment.REST_SHOULD, Way.FINISHED): _TRIM,
    (Treatment.REST_SHOULD, Way.CANNOT): _TRIM,
    (Treatment.REST_MAY, Way.LIVE): _PROTECT,
    (Treatment.REST_MAY, Way.POSSIBLE): _PASS,
    (Treatment.REST_MAY, Way.UNDISCOVERED): _PASS,
    (Treatment.REST_MAY, Way.WAITED): _PASS,
    (Treatment.REST_MAY, Way.NONE): _PASS,
    (Treatment.REST_MAY, Way.BLOCKED): _PASS,
    (Treatment.REST_MAY, Way.FINISHED): _TRIM,
    (Treatment.REST_MAY, Way.CANNOT): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.LIVE): _PROTECT,
    (Treatment.INSIDE_OR_TRIM, Way.POSSIBLE): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.UNDISCOVERED): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.WAITED): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.NONE): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.BLOCKED): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.FINISHED): _TRIM,
    (Treatment.INSIDE_OR_TRIM, Way.CANNOT): _TRIM,
    (Treatment.INSIDE_OR_PASS, Way.LIVE): _PROTECT,
    (Treatment.INSIDE_OR_PASS, Way.POSSIBLE): _PASS,
    (Treatment.INSIDE_OR_PASS, Way.UNDISCOVERED): _PASS,
    (Treatment.INSIDE_OR_PASS, Way.WAITED): _PASS,
    (Treatment.INSIDE_OR_PASS, Way.NONE): _PASS,
    (Treatment.INSIDE_OR_PASS, Way.BLOCKED): _PASS,
    (Treatment.INSIDE_OR_PASS, Way.FINISHED): _PASS,
    (Treatment.INSIDE_OR_PASS, Way.CANNOT): _PASS,
}

#: Treatments that ask nothing of any method; so does REFUSE, which has its reasons below.
ALWAYS: Final[dict[Treatment, Outcome]] = {
    Treatment.PASS: Outcome.PASS,
    Treatment.TRIM: Outcome.TRIM,
    Treatment.BARE: Outcome.BARE,
    Treatment.TAKE: Outcome.TAKE,
}

#: The settings under which the user's word counts: ``require`` is changed by changing it, not by a word.
_WORD_COUNTS: Final = frozenset({Setting.PREFER, Setting.ACCEPT})
#: Where a method without sessions may have what answers something it opened: the question shows that the contact has it.
#: It says itself whether it can; nothing leaves in clear by that.
_BY_KEYS: Final = frozenset({Way.POSSIBLE, Way.UNDISCOVERED, Way.WAITED})
_WHY_REFUSED: Final[dict[Kind, Reason]] = {
    Kind.UNKNOWN: Reason.UNKNOWN_KIND,
    Kind.BAD_ADDRESS: Reason.BAD_ADDRESS,
}


def decide(kind: Kind, setting: Setting, state: State) -> Ruling:
    """Return what becomes of a stanza of *kind* for whose contact *setting* holds."""
    row = KINDS.get(kind, KINDS[Kind.UNKNOWN])
    if row.answer and state.answers_decrypted:
        return _answer(kind, setting, state)
    spoken = row.sticky and setting in _WORD_COUNTS
    if spoken and state.cleared and not row.answer:
        return Ruling(outcome=Outcome.PASS, by_word=True, visible=row.visible)
    treatment = row.treatment(Setting.REQUIRE if spoken and state.sticky and not state.cleared else setting)
    outcome, reason = _outcome(kind, treatment, setting, state)
    helps = spoken and outcome is Outcome.REFUSE
    return Ruling(outcome=outcome, reason=reason, word_helps=helps, visible=row.visible)


def _outcome(kind: Kind, treatment: Treatment, setting: Setting, state: State) -> _Cell:
    if treatment is Treatment.REFUSE:
        usual = Reason.UNREADABLE if setting is Setting.UNKNOWN else Reason.KIND
        return Outcome.REFUSE, _WHY_REFUSED.get(kind, usual)
    if treatment in ALWAYS:
        return ALWAYS[treatment], None
    return OUTCOMES[treatment, way(state)]


def way(state: State) -> Way:
    """Return what *state* comes to for the kind it was made for."""
    if not state.carries and state.reach is not Reach.NONE:
        return Way.CANNOT
    if state.reach is Reach.UNDISCOVERED and state.waited:
        return Way.WAITED
    return Way(state.reach.value)


def _answer(kind: Kind, setting: Setting, state: State) -> Ruling:
    """Rule on what answers a stanza that was delivered decrypted: protected like it, or stripped (law 1)."""
    if setting is not Setting.UNKNOWN and (way(state) is Way.LIVE or _answers_by_keys(kind, state)):
        return Ruling(outcome=Outcome.PROTECT)
    return unprotected(kind)


def _answers_by_keys(kind: Kind, state: State) -> bool:
    """Whether a method that needs no session may have it; a signal loses nothing by being trimmed."""
    return kind is not Kind.SIGNAL and state.by_keys and way(state) in _BY_KEYS


def unprotected(kind: Kind) -> Ruling:
    """Return what becomes of an answer to a stanza that was delivered decrypted if no method protects it."""
    return Ruling(outcome=Outcome.TRIM if kind is Kind.SIGNAL else Outcome.BARE)
