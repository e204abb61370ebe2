"""An answer as a page: sentences and tables, which every face can show; and the page as plain text.

One page for all faces, so that chat, form and command line say the same. Commands are named without what a face writes
before them.
"""

from __future__ import annotations

from functools import singledispatch
from time import gmtime, strftime
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.control import answers as a

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen
class Table:
    """Rows under *columns*; each row has as many cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@frozen
class Page:
    """*parts* in their order: a text is a paragraph of one or more lines. *codes*: fingerprints that are shown as QR codes."""

    parts: tuple[str | Table, ...]
    codes: tuple[str, ...] = ()


_CLEARED: Final = {
    "once": "The next message to {whom} may leave unencrypted.",
    "session": "Messages to {whom} may leave unencrypted until you log out.",
    "always": "{whom} is not remembered as encrypted any more, and will not be.",
}
_DECIDED: Final = {
    "accepted": "is accepted now",
    "distrusted": "is refused now",
    "verified": "is verified now",
}


def plain(page: Page) -> str:
    """*Page* as text for a window that is narrow and may have a proportional font: a table's row is a line of its own."""
    lines: list[str] = []
    for part in page.parts:
        lines += [part] if isinstance(part, str) else _rows(part)
    return "\n".join(lines)


def _rows(table: Table) -> list[str]:
    first, *others = table.columns
    lines = []
    for row in table.rows:
        told = [f"{name} {cell}".lstrip() for name, cell in zip(others, row[1:], strict=True) if cell]
        lines.append(f"{row[0]}: {', '.join(told)}" if told else f"{first} {row[0]}")
    return lines


@singledispatch
def page(answer: object) -> Page:
    """Return *answer* for people."""
    raise TypeError(f"no page for {type(answer)}")


def _key(key: a.Key) -> tuple[str, ...]:
    how = f"{key.decision} ({key.how})" if key.how else key.decision
    return f"{key.method}:{key.fingerprint}", how, "yes" if key.usable else "no"


def _keys(keys: Iterable[a.Key]) -> Table:
    return Table(("key", "is", "used"), tuple(map(_key, keys)))


@page.register
def _(answer: a.Status) -> Page:
    days, seconds = divmod(int(answer.uptime), 86_400)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    clients = "1 client" if answer.clients == 1 else f"{answer.clients} clients"
    head = f"e2eproxy {answer.version}, up {days} d {hours} h {minutes} min, {clients}."
    rows = tuple(
        (
            one.account,
            str(len(one.streams)),
            one.when,
            one.whom,
            " ".join(one.methods) or "none",
            str(one.sessions),
            str(one.waiting),
        )
        for one in answer.accounts
    )
    columns = ("account", "clients", "when", "whom", "methods", "sessions", "waiting")
    refused = [
        f"{one.account}: nothing of it can leave: {one.why_not}." for one in answer.accounts if one.why_not
    ]
    idle = [
        f"No client is logged in through it yet: let one connect to it, and log in. There it is the contact {answer.contact}."
    ]
    return Page((head, *([Table(columns, rows)] if rows else []), *([] if rows else idle), *refused))


@page.register
def _(answer: a.Peers) -> Page:
    if not answer.peers:
        return Page((f"Nothing is known yet of any contact of {answer.account}: write to somebody.",))
    rows = tuple(
        (
            one.contact,
            one.when,
            "; ".join(f"{s.method} {s.state} with {s.peer}" for s in one.sessions),
            f"{one.keys} ({one.verified} verified)" if one.keys else "",
            one.remembered,
            one.word,
        )
        for one in answer.peers
    )
    return Page((Table(("contact", "when", "session", "keys", "remembered", "cleared"), rows),))


@page.register
def _(answer: a.Keys) -> Page:
    if not answer.keys:
        own = answer.contact == answer.account
        when = (
            "it is made when a method is first used" if own else "it is learnt when a session begins (start)"
        )
        return Page((f"No key of {answer.contact} is known; {when}.",))
    return Page((f"Keys of {answer.contact}:", _keys(answer.keys)))


@page.register
def _(answer: a.Fingerprints) -> Page:
    return Page(_compared(answer.own, answer.theirs, answer.account, answer.contact), _codes(answer))


def _codes(answer: a.Fingerprints | a.Ways) -> tuple[str, ...]:
    return tuple(f"{key.method}:{key.fingerprint}" for key in answer.own)


def _compared(
    own: tuple[a.Key, ...], theirs: tuple[a.Key, ...], account: str, contact: str
) -> tuple[str | Table, ...]:
    parts: list[str | Table] = []
    for whose, keys in ((f"Yours ({account})", own), (contact, theirs)):
        parts += (
            [f"{whose}:", _keys(keys)] if keys else [f"{whose}: no key is known yet; start a session first."]
        )
    return tuple(parts)


@page.register
def _(answer: a.Ways) -> Page:
    account = answer.own[0].contact if answer.own else "no key"
    ways = Table(
        ("way", "how", "by"),
        tuple((f"verify {one.name}", one.what, " ".join(one.methods)) for one in answer.ways),
    )
    parts = _compared(answer.own, answer.theirs, account, answer.contact)
    return Page((*parts, f"To verify {answer.contact}, say one of these:", ways), _codes(answer))


@page.register
def _(answer: a.Decided) -> Page:
    key = answer.key
    done = _DECIDED[key.decision]
    text = f"The key {key.method}:{key.fingerprint} of {answer.contact} {done}."
    refused = key.decision != "distrusted" and not key.usable
    more = " Policy does not use it all the same; the command policy shows why (whom)." if refused else ""
    return Page((text + more,))


@page.register
def _(answer: a.Asked) -> Page:
    who = ", ".join(answer.methods)
    return Page((f"{answer.verb}: {who} is at work with {answer.contact}; a notice says what comes of it.",))


@page.register
def _(answer: a.Policy) -> Page:
    rows = tuple((one.name, one.value, one.scope) for one in answer.settings)
    parts: list[str | Table] = [f"For {answer.contact} holds:", Table(("setting", "is", "set for"), rows)]
    if answer.remembered:
        word = f"; your word lets text leave in clear: {answer.word}" if answer.word else ""
        parts.append(
            f"{answer.contact} is remembered as encrypted: clear text needs your word (clear){word}."
        )
    if answer.visible:
        parts.append(f"A server sees in any case: {'; '.join(answer.visible)}.")
    return Page(tuple(parts))


@page.register
def _(answer: a.PolicySet) -> Page:
    return Page(
        (f"{answer.name} is {answer.value or 'not set any more'} for {answer.key or 'all accounts'}.",)
    )


@page.register
def _(answer: a.Cleared) -> Page:
    return Page((_CLEARED[answer.word].format(whom=answer.contact),))


@page.register
def _(answer: a.Required) -> Page:
    return Page((f"Nothing leaves unencrypted to {answer.contact} from now on without your word.",))


@page.register
def _(answer: a.Methods) -> Page:
    if not answer.methods:
        return Page(
            ("No end-to-end method is installed: text can only leave unencrypted, if policy lets it.",)
        )
    rows = tuple(
        (
            one.name,
            "yes" if one.used else "no",
            one.standard,
            one.summary,
            " ".join(name.replace("_", "-") for name, holds in one.claims.items() if holds),
        )
        for one in answer.methods
    )
    return Page((Table(("method", "used", "standard", "what", "has"), rows),))


@page.register
def _(answer: a.Log) -> Page:
    if not answer.notices:
        return Page((f"There was no notice for {answer.account} since the daemon started.",))
    rows = tuple((strftime("%Y-%m-%d %H:%M:%SZ", gmtime(one.at)), one.text) for one in answer.notices)
    return Page((Table(("at", ""), rows),))


@page.register
def _(answer: a.Original) -> Page:
    rest = f" ... ({answer.more} more characters)" if answer.more else ""
    return Page((f"As it came from {answer.contact}: {answer.text}{rest}",))


@page.register
def _(answer: a.Losses) -> Page:
    nothing = () if answer.lines else ("nothing",)
    head = "Forgotten" if answer.done else "A reset would forget"
    more = () if answer.done else ("Nothing was done. To do it, say it again with --yes.",)
    return Page((f"{head}, of {answer.account}:", *answer.lines, *nothing, *more))


@page.register
def _(answer: a.Exported) -> Page:
    return Page(
        (f"The archive of {answer.account} is written. Whoever has it and the passphrase has your keys.",)
    )


@page.register
def _(answer: a.KeyFiles) -> Page:
    text = (
        f"The files of {answer.account} are written. They are NOT sealed: whoever has the one with the private key can pass "
        "for you. Use a key in one program at a time."
    )
    return Page((text,))


@page.register
def _(answer: a.Imported) -> Page:
    text = (
        f"Taken over into {answer.account}: {answer.identities} own keys, {answer.peer_keys} keys of contacts, "
        f"{answer.settings} settings, {answer.sticky} contacts that are remembered as encrypted."
    )
    return Page((text, *(f"Left: {one}." for one in answer.left)))


@page.register
def _(answer: a.Help) -> Page:
    return Page((answer.text,))
