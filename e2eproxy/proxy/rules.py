"""What was set, for whom: the rules, how they are resolved, and how they are edited while the daemon runs.

Two axes and an order: *when* to encrypt, *whom* to trust, and which *methods* in which order; beside them, where *notices* stand. Each is resolved on its own,
contact before domain before account before default (DESIGN.md, "Policy"). What cannot be read is ``Setting.UNKNOWN``,
which refuses (law 1).
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

from e2eproxy.errors import LocalError
from e2eproxy.proxy.kinds import Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from e2eproxy.xmpp.jid import JID


class Whom(enum.Enum):
    """Which keys to encrypt to."""

    VERIFIED = "verified"
    TOFU = "tofu"
    BLIND = "blind"


class Scope(enum.Enum):
    """At which level a rule stands; the values are what the store keeps."""

    ROOM = "room"
    CONTACT = "contact"
    DOMAIN = "domain"
    ACCOUNT = "account"
    DEFAULT = "default"


class Rules(Protocol):
    """The stored rules, read only. *account* and *key* are prepared JIDs or domains as text."""

    def settings(self, account: str, scope: str, key: str) -> Mapping[str, str]:
        """Return what is set at one level, by setting (``when``, ``whom``, ``methods``); empty if nothing is.

        *account* is "" for what holds for every account. Raises LocalError if the store cannot be read.
        """

    def methods(self, account: str) -> frozenset[str]:
        """Return the names of all methods that any level of *account* names: no others are begun for it."""

    def lenient(self, account: str) -> bool:
        """Return whether nothing that is set keeps text from leaving in clear, for whomever of *account*'s contacts.

        Where it is not known, it is not so.
        """


WHEN: Final = "when"
WHOM: Final = "whom"
METHODS: Final = "methods"
NOTICES: Final = "notices"

OTR_HTML: Final = "otr-html"

#: Where notices about a contact stand: in the window of the proxy's contact alone, or in the conversation as well.
PLACES: Final = ("contact", "conversation")

DEFAULTS: Final[dict[str, str]] = {
    WHEN: "prefer",
    WHOM: "tofu",
    METHODS: "otr",
    NOTICES: PLACES[0],
    OTR_HTML: "auto",
}


@frozen
class Found:
    """A value of one setting, and the level it was found at."""

    value: str
    scope: Scope


@frozen(kw_only=True)
class Resolved:
    """What holds for a contact, a room or an account; the ``*_from`` say where each was found."""

    when: Setting
    whom: Whom
    methods: tuple[str, ...]
    when_from: Scope = Scope.DEFAULT
    whom_from: Scope = Scope.DEFAULT
    methods_from: Scope = Scope.DEFAULT
    notices: str = PLACES[0]
    notices_from: Scope = Scope.DEFAULT
    otr_html: str = "auto"
    otr_html_from: Scope = Scope.DEFAULT


_SETTINGS: Final = {setting.value: setting for setting in Setting if setting is not Setting.UNKNOWN}
_OTR_HTML: Final = ("auto", "yes", "no")
_METHOD: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

#: What holds while nobody knows what was set: nothing leaves, no key is good enough.
UNREADABLE: Final = Resolved(when=Setting.UNKNOWN, whom=Whom.VERIFIED, methods=())

Level = tuple[Scope, str, str]


def levels(account: JID, contact: JID | None, *, room: bool = False) -> tuple[Level, ...]:
    """Return the levels asked for *contact* of *account* in their order, as (scope, account, key).

    None stands for the account itself. A room is asked by its own rule first; that of a contact does not hold for it.
    """
    mine = str(account.bare)
    asked: list[Level] = []
    if contact is not None:
        asked.append((Scope.ROOM if room else Scope.CONTACT, mine, str(contact.bare)))
        asked.append((Scope.DOMAIN, mine, contact.domain))
    asked += [(Scope.ACCOUNT, mine, mine), (Scope.DEFAULT, "", "")]
    return tuple(asked)


def resolve(rules: Rules, account: JID, contact: JID | None, *, room: bool = False) -> Resolved:
    """Return what holds for *contact* (None: the account itself) by *rules*; ``UNREADABLE`` if they cannot be read.

    A value that nobody understands, of a newer version for instance, is as good as unreadable.
    """
    found: dict[str, Found] = {}
    try:
        for scope, owner, key in levels(account, contact, room=room):
            for name, value in rules.settings(owner, scope.value, key).items():
                found.setdefault(name, Found(value, scope))
        given = {name: found.get(name, Found(value, Scope.DEFAULT)) for name, value in DEFAULTS.items()}
        return Resolved(
            when=_SETTINGS[given[WHEN].value],
            whom=Whom(given[WHOM].value),
            methods=_methods(given[METHODS].value),
            when_from=given[WHEN].scope,
            whom_from=given[WHOM].scope,
            methods_from=given[METHODS].scope,
            notices=given[NOTICES].value,
            notices_from=given[NOTICES].scope,
            otr_html=_checked(OTR_HTML, [given[OTR_HTML].value]),
            otr_html_from=given[OTR_HTML].scope,
        )
    except (LocalError, KeyError, ValueError):
        return UNREADABLE


SPEAKS: Final = "client-speaks"
"""The setting of an account (or the default) that names the systems its clients speak themselves."""


def client_speaks(rules: Rules, account: JID) -> frozenset[str]:
    """Return the names of the end-to-end systems that the clients of *account* speak themselves; none if nobody knows."""
    return frozenset(first_of(rules, account, None, SPEAKS).split())


def first_of(rules: Rules, account: JID, contact: JID | None, name: str) -> str:
    """Return the value of *name* at the first level that has one; "" if none has, or nobody knows."""
    try:
        for scope, owner, key in levels(account, contact):
            value = rules.settings(owner, scope.value, key).get(name)
            if value is not None:
                return value
    except LocalError:
        return ""
    return ""


_STRICTER: Final = (Setting.NEVER, Setting.ACCEPT, Setting.PREFER, Setting.REQUIRE, Setting.UNKNOWN)


def strictest(settings: Iterable[Setting]) -> Setting:
    """Return the strictest of *settings*: for a stanza that goes to several. Of none it is ``UNKNOWN``."""
    return max(settings, key=_STRICTER.index, default=Setting.UNKNOWN)


def stricter(one: Setting, other: Setting) -> bool:
    """Whether *one* clears less than *other*."""
    return _STRICTER.index(one) > _STRICTER.index(other)


def edited(current: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """Return the settings of one level after *name* was set to what a user wrote, "" to remove it.

    Raises LocalError with a sentence that says what may be written.
    """
    if name not in DEFAULTS:
        raise LocalError(f"There is no setting {name!r}; there are {', '.join(DEFAULTS)}.")
    kept = {key: old for key, old in current.items() if key != name}
    words = value.strip().lower().replace(",", " ").split()
    if not words:
        return kept
    return kept | {name: _checked(name, words)}


def _checked(name: str, words: list[str]) -> str:
    if name == METHODS:
        return " ".join(_methods(" ".join(words)))
    choices = {
        WHEN: list(_SETTINGS),
        WHOM: [whom.value for whom in Whom],
        NOTICES: list(PLACES),
        OTR_HTML: list(_OTR_HTML),
    }[name]
    if len(words) != 1 or set(words).isdisjoint(choices):
        raise LocalError(f"{name} is one of {', '.join(choices)}.")
    return words.pop()


def _methods(text: str) -> tuple[str, ...]:
    words = tuple(text.split())
    if len(set(words)) != len(words) or not all(map(_METHOD.fullmatch, words)):
        raise LocalError("methods is a list of methods' names, each once, the first choice first.")
    return words
