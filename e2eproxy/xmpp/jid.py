"""JIDs in the one prepared form in which they are looked up, keyed and compared (laws 1 and 6).

A server delivers ``JULIET@EXAMPLE.TEST`` and full-width spellings to juliet, so a policy that compared what was typed
could be walked around by another spelling. Prosody and ejabberd prepare with stringprep (RFC 3454 and the profiles
of RFC 6122), so this does. Two rule sets are in use among servers, though: where stringprep and PRECIS (RFC 7622) could
read a text as two different people, it is refused rather than guessed. The bytes that are forwarded stay as they came.
"""

from __future__ import annotations

import re
import stringprep
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from unicodedata import ucd_3_2_0

from attrs import frozen

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp.domain import BadDomain, prepare_domain

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_PART: Final = 1023  # bytes of UTF-8, RFC 7622 section 3.1
_LONGEST: Final = 3 * _LONGEST_PART + 2
_CACHED: Final = 4096
# A text over this is prepared anew each time, so that what strangers send cannot fill the cache with megabytes.
_LONGEST_CACHED: Final = 200

# Forbidden in a localpart by nodeprep besides white space and controls, RFC 6122 appendix A.5.
_NOT_IN_LOCAL: Final = frozenset("\"&'/:<>@")
_ASCII_LOCAL: Final = re.compile(r"[!#-%(-.0-9;=?A-Z\[-~]*\Z")
_ASCII_RESOURCE: Final = re.compile(r"[ -~]*\Z")

_FORBIDDEN: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21,
    stringprep.in_table_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class BadJID(RemoteError):  # noqa: N818 - it names the finding, as the other modules use it
    """The text is no JID, or none that all servers read alike; to a client it is ``jid-malformed``."""


@frozen(cache_hash=True)
class JID:
    """A prepared JID; an empty *local* or *resource* means that it has none. Made by ``parse``, not by hand.

    *domain* is the ASCII form of ``prepare_domain``, whichever form was written.
    """

    local: str
    domain: str
    resource: str = ""

    @classmethod
    def parse(cls, text: str) -> JID:
        """Return the prepared JID that *text* is (RFC 7622 section 3.1: ``[local@]domain[/resource]``).

        Raises BadJID for what cannot be prepared, has an empty part, or has a part of more than 1023 bytes.
        """
        return _cached(text) if len(text) <= _LONGEST_CACHED else _parse(text)

    @property
    def bare(self) -> JID:
        """This JID without its resource."""
        return JID(self.local, self.domain) if self.resource else self

    @property
    def full(self) -> bool:
        """Whether it has a resource."""
        return bool(self.resource)

    def __str__(self) -> str:
        """Return the prepared text."""
        local = f"{self.local}@" if self.local else ""
        return f"{local}{self.domain}/{self.resource}" if self.resource else local + self.domain


def _parse(text: str) -> JID:
    if not text or len(text) > _LONGEST:
        raise BadJID(f"{_quoted(text)} is not a JID: it is empty or too long.")
    # The first slash, then the first at-sign before it: a resource may hold either.
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.partition("@")
    if not at:
        local, domain = "", bare
    return JID(
        _prepare_local(local, text) if at else "",
        _prepare_domain(domain, text),
        _prepare_resource(resource, text) if slash else "",
    )


_cached: Final = lru_cache(_CACHED)(_parse)


def prepared(text: str | None) -> JID | None:
    """Return the prepared JID that *text* is, None if it is none."""
    try:
        return None if text is None else JID.parse(text)
    except BadJID:
        return None


def _prepare_domain(domain: str, whole: str) -> str:
    try:
        prepared = prepare_domain(domain)
        if domain.isascii():
            return prepared
        # Servers with nameprep read the German sharp s as ss, those with IDNA 2008 do not: two domains.
        if prepare_domain(_mapped(domain, fold=True)) == prepared:
            return prepared
    except BadDomain:
        pass
    raise BadJID(
        f"{_quoted(whole)} is not a JID: servers do not agree on its domain; the form with xn-- is safe."
        if not domain.isascii()
        else f"{_quoted(whole)} is not a JID: its domain is none."
    )


def _prepare_local(local: str, whole: str) -> str:
    _check_length(local, whole)
    if _ASCII_LOCAL.match(local):
        return local.lower()
    prepared = _mapped(local, fold=True)
    if any(character in _NOT_IN_LOCAL or stringprep.in_table_c11(character) for character in prepared):
        raise BadJID(
            f"{_quoted(whole)} is not a JID: its first part holds a character that may not be there."
        )
    if any(map(_folds_today, prepared)):
        # Unicode 3.2 had no small letter for it, so it stayed; newer rules fold it, and reach another account.
        raise BadJID(f"{_quoted(whole)} is not a JID that all servers read alike.")
    return _checked(prepared, whole, fold=True)


def _prepare_resource(resource: str, whole: str) -> str:
    _check_length(resource, whole)
    if _ASCII_RESOURCE.match(resource):
        return resource
    return _checked(_mapped(resource, fold=False), whole, fold=False)


def _mapped(text: str, *, fold: bool) -> str:
    """Map and normalise *text*: RFC 3454 tables B.1 and, if *fold*, B.2, then NFKC of Unicode 3.2."""
    kept = (character for character in text if not stringprep.in_table_b1(character))
    mapped = "".join(map(_folded, kept) if fold else kept)
    return ucd_3_2_0.normalize("NFKC", mapped)


def _checked(prepared: str, whole: str, *, fold: bool) -> str:
    """Return *prepared* if it may stand in a JID and preparing it again would not change it."""
    _check_length(prepared, whole)
    if any(forbidden(character) for character in prepared for forbidden in _FORBIDDEN):
        raise BadJID(f"{_quoted(whole)} is not a JID: it holds a character that may not be there.")
    if not _reads_one_way(prepared):
        raise BadJID(f"{_quoted(whole)} is not a JID: it mixes writing directions.")
    if _mapped(prepared, fold=fold) != prepared:
        raise BadJID(f"{_quoted(whole)} is not a JID that all servers read alike.")
    return prepared


def _check_length(part: str, whole: str) -> None:
    try:
        length = len(part.encode())
    except UnicodeEncodeError:
        raise BadJID(f"{_quoted(whole)} is not a JID: it is not Unicode text.") from None
    if not 0 < length <= _LONGEST_PART:
        raise BadJID(f"{_quoted(whole)} is not a JID: each of its parts has between 1 and 1023 bytes.")


def _reads_one_way(text: str) -> bool:
    """Whether *text* keeps the rules for two writing directions, RFC 3454 section 6."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))


def _folded(character: str) -> str:
    """Fold *character* by table B.2 as RFC 3454 has it; Python's own also knows small letters of later Unicode."""
    folded = stringprep.map_table_b2(character)
    return character if any(map(stringprep.in_table_a1, character + folded)) else folded


def _folds_today(character: str) -> bool:
    return any(
        unicodedata.normalize("NFKC", fold(character)) != character for fold in (str.lower, str.casefold)
    )


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "...")
