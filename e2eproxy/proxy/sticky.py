"""Who is remembered as encrypted, and what the user said about it (DESIGN.md, "Sticky").

A contact becomes sticky when *we* encrypted text that the peer proved to have read, or when the user says so. A
stranger cannot make himself sticky: what he sends, however well encrypted, changes nothing without text of ours.
Pure functions over immutable values; the caller keeps them (law 7).
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import evolve, frozen


class Why(enum.Enum):
    """Why a contact is remembered as encrypted; the values are what the store keeps."""

    PROVED = "proved"
    USER = "user"


class Word(enum.Enum):
    """The user's word about clear text to a sticky contact: ``/e2e clear once|session|always``."""

    ONCE = "once"
    """The next text leaves in clear."""
    SESSION = "session"
    """All text leaves in clear until the client logs out."""
    ALWAYS = "always"
    """The contact is forgotten as encrypted and not remembered again; a session that is there is still used."""


@frozen(kw_only=True)
class Memory:
    """What is known of one contact.

    *why*: it is sticky, and why. *unproved*: text of ours was encrypted and the peer has not proved yet to have read
    it. *never_again*: the user said ``always``. *word*: a word that still holds; neither it nor *unproved* is stored.
    """

    why: Why | None = None
    unproved: bool = False
    never_again: bool = False
    word: Word | None = None

    @property
    def sticky(self) -> bool:
        """Whether clear text needs the user's word."""
        return self.why is not None

    @property
    def cleared(self) -> bool:
        """Whether the user's word lets text leave in clear now."""
        return self.word is not None


NOTHING_KNOWN: Final = Memory()


def text_encrypted(memory: Memory) -> Memory:
    """Return the memory after text that the user wrote (not a handshake) left encrypted to the contact."""
    return evolve(memory, unproved=True)


def peer_proved(memory: Memory) -> Memory:
    """Return the memory after the peer proved to have read what we encrypted: text or a receipt in the same session."""
    if not memory.unproved:
        return memory
    why = memory.why if memory.never_again else memory.why or Why.PROVED
    return evolve(memory, unproved=False, why=why)


def session_ended(memory: Memory) -> Memory:
    """Return the memory after the method's session ended: what was not proved until then never will be."""
    return evolve(memory, unproved=False)


def user_requires(memory: Memory) -> Memory:
    """Return the memory after the user said that this contact is to be encrypted."""
    return evolve(memory, why=Why.USER, never_again=False, word=None)


def user_clears(memory: Memory, word: Word) -> Memory:
    """Return the memory after the user's *word*."""
    if word is Word.ALWAYS:
        return evolve(memory, why=None, never_again=True, unproved=False, word=None)
    return evolve(memory, word=word)


def left_in_clear(memory: Memory) -> Memory:
    """Return the memory after a stanza left in clear by the user's word: ``once`` is used up."""
    return evolve(memory, word=None) if memory.word is Word.ONCE else memory


def logged_out(memory: Memory) -> Memory:
    """Return the memory after the client's session ended."""
    return evolve(memory, word=None, unproved=False)
