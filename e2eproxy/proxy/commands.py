"""What the user says to the proxy in a chat: the few words that policy needs, each line read to one value (law 9).

Deliberately small and one table: the steering with all its faces brings a command table of its own, which takes the place
of this reading; the values stay. A line that is not understood comes to ``Help`` and never to anything that reaches a peer,
and no text of the line is repeated in it, since a line may hold a secret or a text that was meant for somebody (law 8).
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.errors import LocalError
from e2eproxy.proxy import rules
from e2eproxy.proxy.rules import Scope
from e2eproxy.proxy.sticky import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from e2eproxy.trust.values import Fingerprint
    from e2eproxy.xmpp.jid import JID

#: Characters of a line; a longer one is no command.
LONGEST: Final = 2_000
#: Letters and digits of a fingerprint that name a key. Fewer could be matched by a key that somebody makes on purpose.
SHORTEST_PREFIX: Final = 8
#: What is written for a value to take a setting away, so that the next wider scope holds.
INHERIT: Final = "inherit"

_PREFIX: Final = re.compile(r"\s*/e2e(?=\s|$)", re.IGNORECASE)
_ESCAPED: Final = re.compile(r"(\s*/*)/(/e2e(?:\s.*)?)", re.IGNORECASE | re.DOTALL)
_FINGERPRINT: Final = re.compile(r"[A-Za-z0-9:=+/_-]+")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_NOT_SAID: Final = " Nothing was sent to anybody."
_HALF_RIGHT: Final = 0.5


@frozen
class Clear:
    """The user's *word* about clear text to the contact."""

    word: Word


@frozen
class Require:
    """The contact is to be remembered as encrypted."""


@frozen
class Keys:
    """Show the keys of the contact; said to the proxy itself, those of the account."""


@frozen
class Accept:
    """Take the one key that *prefix* ``selects``, of the contact or, said to the proxy itself, of the account."""

    prefix: str


@frozen
class Distrust:
    """Refuse the one key that *prefix* ``selects``, of the contact or, said to the proxy itself, of the account."""

    prefix: str


@frozen
class Show:
    """Show the original behind the placeholder with this *reference*."""

    reference: str


@frozen
class Policy:
    """Set *name* (``when``, ``whom``, ``methods``) at *scope* to *value*, as ``rules.edited`` takes it: "" removes it.

    CONTACT and DOMAIN are those of the contact, ACCOUNT is the user's own; there is no other.
    """

    name: str
    value: str
    scope: Scope


@frozen
class Help:
    """Tell the user *text*, several lines; nothing is done."""

    text: str


@frozen
class Session:
    """Have the methods ``start`` or ``end`` a session with the contact (*verb*)."""

    verb: str


Command = Session | Clear | Require | Keys | Accept | Distrust | Show | Policy | Help


@frozen(kw_only=True)
class Row:
    """One command: how its *arguments* are written, what it is for, an *example*, and what *read* makes of the words.

    *read* is given the words behind the name and whether there is a contact. It raises LocalError with a sentence for
    words it cannot use, empty if the usage says it all. *in_chat*: it makes sense only where there is a contact.
    """

    name: str
    arguments: str
    help: str
    example: str
    read: Callable[[list[str], bool], Command]
    in_chat: bool = False

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"/e2e {self.name} {self.arguments}".rstrip()


def parse(text: str, contact: JID | None) -> Command:
    """Return what *text*, with or without ``/e2e`` in front, asks for in the chat with *contact*.

    *contact* is None where the user speaks to the proxy itself. Never raises.
    """
    words = _PREFIX.sub("", text, count=1).split() if len(text) <= LONGEST else []
    if len(text) > LONGEST:
        return Help(f"A command has at most {LONGEST} characters.{_NOT_SAID} /e2e help shows them all.")
    if not words:
        return _help([], contact is not None)
    row = _BY_NAME.get(words[0].lower())
    if row is None:
        return Help(
            f"There is no such command.{_meant(words[0], _BY_NAME)}{_NOT_SAID} /e2e help shows them all."
        )
    if row.in_chat and contact is None:
        return Help(f"Say this in the chat with the contact that it is about: {row.usage}")
    try:
        return row.read(words[1:], contact is not None)
    except LocalError as error:
        said = f"{error}".strip() or "That is not how this command is written."
        return Help(f"{said}{_NOT_SAID}\n{_described(row)}")


def unescaped(text: str) -> str | None:
    """Return the literal line that *text* escapes, None if it escapes none: ``//e2e x`` is the text ``/e2e x``.

    One slash is taken off, so that ``///e2e`` is the text ``//e2e``.
    """
    found = _ESCAPED.fullmatch(text)
    return None if found is None else found[1] + found[2]


def selects(prefix: str, fingerprint: Fingerprint) -> bool:
    """Whether *prefix* (of ``Accept`` or ``Distrust``) begins *fingerprint*, its method written before it or not.

    If it selects several keys that are known, none of them is meant.
    """
    whole = _plain(fingerprint.text)
    without_method = prefix.removeprefix(_plain(fingerprint.method))
    given = [one for one in (prefix, without_method) if len(one) >= SHORTEST_PREFIX]
    return any(whole.startswith(one) for one in given)


def _plain(text: str) -> str:
    """Return letters and digits of *text*, small: people write fingerprints in groups, with colons and in capitals."""
    return "".join(filter(str.isalnum, text)).lower()


def _meant(word: str, choices: Collection[str]) -> str:
    near = difflib.get_close_matches(word[:20].lower(), choices, 1, _HALF_RIGHT)
    return f" Did you mean {near[0]}?" if near else ""


def _choice(word: str, choices: Collection[str]) -> str:
    if word.lower() not in choices:
        raise LocalError(f"There are {', '.join(choices)}.{_meant(word, choices)}")
    return word.lower()


def _only(words: list[str]) -> str:
    if len(words) != 1:
        raise LocalError
    return words[0]


def _nothing(words: list[str]) -> None:
    if words:
        raise LocalError("Nothing is written behind this command.")


def _clear(words: list[str], _in_chat: bool) -> Command:
    return Clear(Word(_choice(_only(words), [word.value for word in Word])))


def _require(words: list[str], _in_chat: bool) -> Command:
    _nothing(words)
    return Require()


def _start(words: list[str], _in_chat: bool) -> Command:
    _nothing(words)
    return Session("start")


def _end(words: list[str], _in_chat: bool) -> Command:
    _nothing(words)
    return Session("end")


def _keys(words: list[str], _in_chat: bool) -> Command:
    _nothing(words)
    return Keys()


def _prefix(words: list[str]) -> str:
    prefix = _plain("".join(words))
    if not all(map(_FINGERPRINT.fullmatch, words)) or len(prefix) < SHORTEST_PREFIX:
        raise LocalError(
            f"Write the fingerprint of one key, or at least its first {SHORTEST_PREFIX} letters and digits; "
            "/e2e keys shows it."
        )
    return prefix


def _accept(words: list[str], _in_chat: bool) -> Command:
    return Accept(_prefix(words))


def _distrust(words: list[str], _in_chat: bool) -> Command:
    return Distrust(_prefix(words))


def _show(words: list[str], _in_chat: bool) -> Command:
    reference = _only(words)
    if not _REFERENCE.fullmatch(reference):
        raise LocalError("The reference stands in the placeholder.")
    return Show(reference)


#: What holds for all accounts is set in the configuration, not by one of them.
_SCOPES: Final = {scope.value: scope for scope in (Scope.CONTACT, Scope.DOMAIN, Scope.ACCOUNT)}


def _set(words: list[str], in_chat: bool) -> Command:
    lower = [word.lower() for word in words]
    value, scope = lower[1:], Scope.CONTACT if in_chat else Scope.ACCOUNT
    if "for" in value:
        at = value.index("for")
        scope = _SCOPES[_choice(_only(value[at + 1 :]), _SCOPES)]
        value = value[:at]
    if not value:
        raise LocalError
    name = _choice(lower[0], rules.DEFAULTS)
    if scope in {Scope.CONTACT, Scope.DOMAIN} and not in_chat:
        raise LocalError(f"Set this in the chat with the contact whose {scope.value} setting it is.")
    if value == [INHERIT]:
        return Policy(name, "", scope)
    return Policy(name, rules.edited({}, name, " ".join(value))[name], scope)


def _help(words: list[str], _in_chat: bool) -> Command:
    if words:
        return Help(_described(_BY_NAME[_choice(_only(words), _BY_NAME)]))
    lines = [f"{row.usage}: {row.help}" for row in COMMANDS]
    return Help("\n".join([*lines, "A line that begins with //e2e is sent as a text that begins with /e2e."]))


def _described(row: Row) -> str:
    return f"{row.usage}: {row.help} For example: {row.example}"


COMMANDS: Final[tuple[Row, ...]] = (
    Row(
        name="start",
        arguments="",
        help="Begins an encrypted session with this contact, or a new one.",
        example="/e2e start",
        read=_start,
        in_chat=True,
    ),
    Row(
        name="end",
        arguments="",
        help="Ends the encrypted session with this contact.",
        example="/e2e end",
        read=_end,
        in_chat=True,
    ),
    Row(
        name="clear",
        arguments="|".join(word.value for word in Word),
        help="Lets text to this contact leave unencrypted: the next one, all until you log out, or for good.",
        example="/e2e clear once",
        read=_clear,
        in_chat=True,
    ),
    Row(
        name="require",
        arguments="",
        help="Remembers this contact as encrypted: unencrypted text needs your word from now on.",
        example="/e2e require",
        read=_require,
        in_chat=True,
    ),
    Row(
        name="keys",
        arguments="",
        help="Shows the keys of this contact and what is thought of each; to the proxy itself, your own.",
        example="/e2e keys",
        read=_keys,
    ),
    Row(
        name="accept",
        arguments="FINGERPRINT",
        help=f"Takes a key as this contact's; at least {SHORTEST_PREFIX} letters and digits of it.",
        example="/e2e accept 0A1B2C3D 4E5F6071",
        read=_accept,
    ),
    Row(
        name="distrust",
        arguments="FINGERPRINT",
        help=f"Never uses this key again; at least {SHORTEST_PREFIX} letters and digits of it.",
        example="/e2e distrust 0A1B2C3D 4E5F6071",
        read=_distrust,
    ),
    Row(
        name="show",
        arguments="REFERENCE",
        help="Shows what came in the place of a message that could not be opened.",
        example="/e2e show 7f3a",
        read=_show,
    ),
    Row(
        name="set",
        arguments=f"{'|'.join(rules.DEFAULTS)} VALUE [for {'|'.join(_SCOPES)}]",
        help="Sets when to encrypt (require, prefer, accept, never), whom to trust (verified, tofu, blind), or the order "
        f"of methods; {INHERIT} takes a setting away. Without for: for this contact; to the proxy itself, for your account.",
        example="/e2e set when require for domain",
        read=_set,
    ),
    Row(
        name="help",
        arguments="[COMMAND]",
        help="Shows the commands, or more about one.",
        example="/e2e help set",
        read=_help,
    ),
)

_BY_NAME: Final = {row.name: row for row in COMMANDS}
