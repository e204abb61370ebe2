"""What a command is made of, as data: its arguments with their types, and whom it is about in each face.

Law 8: a value that cannot be used is never repeated in what is said about it, since it may be a secret or a text that was
meant for somebody. What is said names the choices there are instead.
"""

from __future__ import annotations

import difflib
import enum
import re
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Collection

#: Letters and digits of a fingerprint that name a key. Fewer could be matched by a key that somebody makes on purpose.
SHORTEST_PREFIX: Final = 8
#: Characters of a text that is an argument.
LONGEST_TEXT: Final = 1_000
_FINGERPRINT: Final = re.compile(r"[A-Za-z0-9:=+/_-]+")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_MOST_DIGITS: Final = 4
#: So many choices are named in a usage line.
_FEW: Final = 8
_HALF_RIGHT: Final = 0.5


class Face(enum.Enum):
    """Where people say a command."""

    CLI = "cli"
    CHAT = "chat"
    FORM = "form"


class About(enum.Enum):
    """Whom a command is about.

    In the chat with a contact that is the contact; elsewhere its address is the first word, or a field of the form. The
    account is that of the stream a line or a form came by; at the command line it is the one there is, or ``--account``.
    """

    DAEMON = "the daemon"
    ACCOUNT = "the account"
    CONTACT = "a contact"
    EITHER = "a contact, or the account if none is named"


class Takes(enum.Enum):
    """What an argument is."""

    CHOICE = "one of the choices"
    FINGERPRINT = f"the fingerprint of a key, or at least its first {SHORTEST_PREFIX} letters and digits"
    REFERENCE = "the reference in a placeholder"
    NUMBER = f"a number of at most {_MOST_DIGITS} digits"
    TEXT = "words"
    SECRET = "words that nobody else may see"  # noqa: S105 - no password


@frozen(kw_only=True)
class Argument:
    """One argument. *keyword*: it stands behind this word (``for domain``). A SECRET or TEXT takes all words that are left.

    *until*: such a text ends with the first of this character. *only*: with which choice of the first argument it makes
    sense, empty for any.
    """

    name: str
    help: str
    takes: Takes
    choices: tuple[str, ...] = ()
    optional: bool = False
    keyword: str = ""
    until: str = ""
    only: frozenset[str] = frozenset()

    @property
    def written(self) -> str:
        """How it stands in a usage line."""
        few = 0 < len(self.choices) <= _FEW
        text = "|".join(self.choices) if few else self.name.upper()
        text = f"{self.keyword} {text}" if self.keyword else text
        return f"[{text}]" if self.optional else text

    @property
    def greedy(self) -> bool:
        """Whether it takes all words that are left."""
        return self.takes in {Takes.TEXT, Takes.SECRET, Takes.FINGERPRINT}


@frozen(kw_only=True)
class Example:
    """A line behind the command's name, as it is said in the chat with a contact (*said*), and what it does."""

    said: str
    does: str


@frozen(kw_only=True)
class Command:
    """One command: *name* and older names, what it is for, whom it is about, and in which faces it makes sense."""

    name: str
    help: str
    about: About
    arguments: tuple[Argument, ...] = ()
    examples: tuple[Example, ...] = field()
    faces: frozenset[Face] = frozenset(Face)
    also: tuple[str, ...] = ()
    changes: bool = False

    def usage(self, face: Face) -> str:
        """How it is written in *face*."""
        start = "e2eproxy" if face is Face.CLI else "/e2e"
        contact = {About.CONTACT: "CONTACT", About.EITHER: "[CONTACT]"}.get(self.about, "")
        words = [start, self.name, contact if face is Face.CLI else "", *(a.written for a in self.told(face))]
        return " ".join(filter(None, words))

    def told(self, face: Face) -> tuple[Argument, ...]:
        """The arguments as they are written in *face*: at the command line a secret is asked for, never written."""
        return tuple(a for a in self.arguments if face is not Face.CLI or a.takes is not Takes.SECRET)

    def asked(self, first: str | None) -> tuple[Argument, ...]:
        """The arguments that make sense when *first* was chosen for the first one, None if nothing was."""
        return tuple(one for one in self.arguments if not one.only or first in one.only)

    def argument(self, name: str) -> Argument:
        """The argument called *name*."""
        return next(one for one in self.arguments if one.name == name)


def plain(text: str) -> str:
    """Return letters and digits of *text*, small: people write fingerprints in groups, with colons and in capitals."""
    return "".join(filter(str.isalnum, text)).lower()


def meant(word: str, choices: Collection[str]) -> str:
    """A sentence that names the one of *choices* that is like *word*, empty if none is."""
    near = difflib.get_close_matches(word[:20].lower(), choices, 1, _HALF_RIGHT)
    return f" Did you mean {near[0]}?" if near else ""


def chosen(word: str, choices: Collection[str]) -> str:
    """The one of *choices* that *word* is. Raises LocalError, which names them."""
    if word.lower() not in choices:
        raise LocalError(f"There are {', '.join(choices)}.{meant(word, choices)}")
    return word.lower()


def checked(argument: Argument, text: str) -> str:
    """*Text* as the value of *argument*. Raises LocalError with a sentence that says what may be written."""
    match argument.takes:
        case Takes.CHOICE:
            return chosen(text, argument.choices)
        case Takes.FINGERPRINT:
            return _prefix(text)
        case Takes.REFERENCE:
            if not _REFERENCE.fullmatch(text):
                raise LocalError("Write the reference that stands in the placeholder.")
        case Takes.NUMBER:
            if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text)):
                raise LocalError(f"Write {argument.name} as {argument.takes.value}.")
        case _ if not text.strip() or len(text) > LONGEST_TEXT:
            raise LocalError(f"Write {argument.name} with at most {LONGEST_TEXT} characters.")
    return text


def _prefix(text: str) -> str:
    words = text.split()
    prefix = plain("".join(words))
    if not words or not all(map(_FINGERPRINT.fullmatch, words)) or len(prefix) < SHORTEST_PREFIX:
        raise LocalError(
            f"Write the fingerprint of one key, or at least its first {SHORTEST_PREFIX} letters and digits; "
            "the command keys shows it."
        )
    return prefix
