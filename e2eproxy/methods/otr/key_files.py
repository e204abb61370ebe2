"""The key files of other OTR programs: those of libotr, and of python-potr (Gajim, WeeChat); ours as libotr reads them.

Such a file comes from another program, perhaps from another person. Sizes are looked at before anything is computed, and a key is
taken only if it is one: two primes, a generator of the right order, both halves belonging together. Law 8: an error never
shows anything of the file but names of accounts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from e2eproxy.errors import LocalError, RemoteError
from e2eproxy.methods.otr import s_expressions
from e2eproxy.methods.otr.arithmetic import is_prime, power
from e2eproxy.methods.otr.identity import PrivateKey, PublicKey
from e2eproxy.methods.otr.messages import LOWEST_TAG
from e2eproxy.methods.otr.own_key import NAME
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.jid import JID, prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2eproxy.methods.otr.s_expressions import Expression

MOST_BYTES: Final = 4 * 2**20
MOST_LINES: Final = 20_000
_SIZES: Final = {"p": range(1024, 4097), "q": range(160, 257)}
"""Bits of the primes of a key of our own."""
_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}\Z")
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}\Z")

Form = Literal["libotr", "potr"]
FORMS: Final = ("libotr", "potr")


class KeyFileError(LocalError):
    """The file is none of the kind, or what is in it cannot be used."""


@frozen(kw_only=True)
class Seen:
    """A key of *contact* (bare) that the other program knew; *trust*: its word, empty where nobody checked it."""

    contact: JID
    fingerprint: Fingerprint
    trust: str


@frozen(kw_only=True)
class Found:
    """What is in a file of *account*: its own key, keys of contacts, its instance tag; and how much could not be used."""

    key: PrivateKey | None = field(default=None, repr=False)
    seen: tuple[Seen, ...] = ()
    tag: int | None = None
    left: tuple[str, ...] = ()


def read(raw: bytes, form: Form, account: JID, random: Callable[[int], bytes]) -> Found:
    """What *raw* has for *account* (bare). Raises KeyFileError, whose text says what is wrong."""
    if len(raw) > MOST_BYTES:
        raise KeyFileError(f"The file is larger than any key file ({MOST_BYTES} bytes).")
    if form == "potr" and raw[:2] == b"\0\0":
        return Found(key=_checked(_potr_key(raw), random))
    if form == "libotr" and raw.lstrip()[:1] == b"(":
        return Found(key=_checked(_libotr_key(raw, account), random))
    return _lines(raw, form, account)


# ---- private keys ----


def _potr_key(raw: bytes) -> dict[str, int]:
    numbers: list[int] = []
    at = 2
    while at < len(raw) and len(numbers) < 6:
        length = int.from_bytes(raw[at : at + 4], "big")
        digits = raw[at + 4 : at + 4 + length]
        if len(digits) != length or len(raw) < at + 4:
            raise KeyFileError("The file is damaged: a number of the key is cut off.")
        numbers.append(int.from_bytes(digits[: _SIZES["p"].stop], "big"))
        at += 4 + length
    if len(numbers) != 5:
        raise KeyFileError("The file is no key of python-potr: it has another number of numbers.")
    return dict(zip("pqgyx", numbers, strict=True))


def _libotr_key(raw: bytes, account: JID) -> dict[str, int]:
    try:
        whole = s_expressions.parse(raw)
    except s_expressions.NoExpressionError as error:
        raise KeyFileError(f"The file is no otr.private_key of libotr: {error}.") from None
    if whole[:1] != [b"privkeys"]:
        raise KeyFileError("The file is no otr.private_key of libotr.")
    names: list[str] = []
    chosen: list[Expression] = []
    for entry in whole[1:]:
        name = _text(_of(entry, b"account", b"name"))
        names.append(name)
        jid = prepared(name)
        if jid is not None and jid.bare == account:
            chosen.append(entry)
    if not chosen:
        raise _not_of(account, names)
    keys = [_dsa(entry) for entry in chosen]
    if any(one != keys[0] for one in keys):
        raise KeyFileError(f"The file has several different keys of {account}; leave one of them in it.")
    return keys[0]


def _of(expression: Expression, *path: bytes) -> Expression | None:
    """What stands behind the last name of *path*, each in the list of the one before."""
    here: Expression | None = expression
    if not isinstance(here, list) or here[:1] != [path[0]]:
        return None
    for name in path[1:]:
        lists = [one for one in here[1:] if isinstance(one, list) and one[:1] == [name]]
        if len(lists) != 1:
            return None
        here = lists[0]
    return here[1] if len(here) == 2 and isinstance(here[1], bytes) else here


def _text(found: Expression | None) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""


def _dsa(entry: Expression) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for name in "pqgyx":
        value = _of(entry, b"account", b"private-key", b"dsa", name.encode())
        if not isinstance(value, bytes) or len(value) > _SIZES["p"].stop:
            raise KeyFileError(
                "The file has no usable DSA key for the account: a number is missing or too long."
            )
        numbers[name] = int.from_bytes(value, "big")
    return numbers


def _checked(found: dict[str, int], random: Callable[[int], bytes]) -> PrivateKey:
    p, q, g, y, x = (found[name] for name in "pqgyx")
    if p.bit_length() not in _SIZES["p"] or q.bit_length() not in _SIZES["q"]:
        raise KeyFileError("The key in the file has a size that OTR programs do not use.")
    whole = p % 2 and q % 2 and (p - 1) % q == 0 and 1 < g < p - 1 and 1 < y < p - 1 and 0 < x < q
    if not whole or power(g, q, p) != 1 or not is_prime(q, random) or not is_prime(p, random):
        raise KeyFileError("The key in the file is no DSA key: its numbers do not belong together.")
    try:
        return PrivateKey.decoded(PrivateKey(PublicKey(p, q, g, y), x).encoded())
    except RemoteError:
        raise KeyFileError(
            "The key in the file is no DSA key: its two halves do not belong together."
        ) from None


# ---- lines ----


def _lines(raw: bytes, form: Form, account: JID) -> Found:
    """Fingerprints (peer, account, protocol, 40 digits, trust), or instance tags (account, protocol, 8 digits)."""
    try:
        lines = [one for one in raw.decode("utf-8").splitlines() if one.strip() and not one.startswith("#")]
    except UnicodeDecodeError:
        raise KeyFileError(f"The file is none of {form}: it is neither a key nor a text.") from None
    if len(lines) > MOST_LINES:
        raise KeyFileError(f"The file has more than {MOST_LINES} lines.")
    rows = [one.split("\t") for one in lines]
    seen, tags, others, unread = [], [], [], 0
    for row in rows:
        whose = _whose(row)
        if whose is None:
            unread += 1
        elif whose[0] != account:
            others.append(str(whose[0]))
        elif isinstance(whose[1], Seen):
            seen.append(whose[1])
        else:
            tags.append(whose[1])
    if not seen and not tags:
        raise (
            _not_of(account, others)
            if others
            else KeyFileError(
                f"The file is none of {form}: none of its lines is a fingerprint or an instance tag."
            )
        )
    left = (f"{unread} lines could not be read",) if unread else ()
    return Found(seen=tuple(dict.fromkeys(seen)), tag=tags[0] if tags else None, left=left)


def _whose(row: list[str]) -> tuple[JID, Seen | int] | None:
    if len(row) in {4, 5} and _FINGERPRINT.match(row[3]):
        contact, account = prepared(row[0]), prepared(row[1])
        if contact is None or account is None:
            return None
        digits = row[3].upper()
        name = Fingerprint(NAME, " ".join(digits[at : at + 8] for at in range(0, 40, 8)))
        trust = row[4].strip() if len(row) == 5 else ""
        return account.bare, Seen(contact=contact.bare, fingerprint=name, trust=trust)
    if len(row) == 3 and _TAG.match(row[2]) and int(row[2], 16) >= LOWEST_TAG:
        account = prepared(row[0])
        return None if account is None else (account.bare, int(row[2], 16))
    return None


def _not_of(account: JID, names: Iterable[str]) -> KeyFileError:
    there = sorted({name if name.isprintable() and len(name) < 200 else "(unreadable)" for name in names})
    shown = ", ".join(there[:5]) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
    return KeyFileError(f"Nothing in the file is of {account}; it has {shown or 'no account'}.")


# ---- for libotr ----


def private_key(account: str, protocol: str, key: PrivateKey) -> bytes:
    """An ``otr.private_key`` with the one *key*."""
    numbers = {"p": key.public.p, "q": key.public.q, "g": key.public.g, "y": key.public.y, "x": key.x}
    lines = "".join(f"  ({name} #{_hexadecimal(number)}#)\n" for name, number in numbers.items())
    name = s_expressions.quoted(account)
    head = f"(privkeys\n (account\n(name {name})\n(protocol {protocol})\n(private-key\n (dsa\n"
    return f"{head}{lines}  )\n )\n )\n)\n".encode()


def _hexadecimal(number: int) -> str:
    """An even number of digits, and a zero in front of what would be negative."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big").hex().upper()


def fingerprints(account: str, protocol: str, seen: Iterable[Seen]) -> bytes:
    """An ``otr.fingerprints``."""
    rows = (
        (str(one.contact), account, protocol, one.fingerprint.text.replace(" ", "").lower(), one.trust)
        for one in seen
    )
    return "".join("\t".join(row) + "\n" for row in rows).encode()


def instance_tags(account: str, protocol: str, tag: int) -> bytes:
    """An ``otr.instance_tags``."""
    return f"{account}\t{protocol}\t{tag:08x}\n".encode()
