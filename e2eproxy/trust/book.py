"""What has to be looked up for every stanza, in memory: keys and decisions, policy rows, sticky contacts.

The book is filled when an account is opened and follows what was committed, never what is only on its way (law 5).
It is used on one thread, the reactor's. A contact with a key costs less than 2 KiB: long public keys stay in the
store and are read when asked for.
"""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Final, Self

from attrs import define, evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from e2eproxy.trust.values import Fingerprint, PeerKey, PolicyRow, StickyContact

LONG_PUBLIC: Final = 256
"""Public keys of more bytes than this are not kept in memory."""


@frozen
class AccountGone:
    """An account was closed or reset: nothing is known of it any more."""

    account: str


@frozen
class KeyChanged:
    """A key is new, was seen again, or is thought of differently."""

    key: PeerKey


@frozen
class KeyGone:
    """A key was forgotten."""

    account: str
    contact: str
    fingerprint: Fingerprint


@frozen
class PolicyChanged:
    """A setting has a value; None: none any more."""

    row: PolicyRow
    gone: bool = False


@frozen
class StickyChanged:
    """A contact is sticky, or is no more."""

    contact: StickyContact
    gone: bool = False


@define
class Contact:
    """What is known of one contact."""

    keys: tuple[PeerKey, ...] = ()
    sticky: StickyContact | None = None


Settings = dict[tuple[str, str], dict[str, str]]
"""Policy rows of one account: {(scope, key): {setting: value}}."""


@frozen
class AccountOpened:
    """An account with everything that the book has to know of it, made on the thread that read it."""

    account: str
    contacts: dict[str, Contact]
    settings: Settings

    @classmethod
    def of(
        cls,
        account: str,
        keys: Iterable[PeerKey],
        settings: Iterable[tuple[str, str, str, str]],
        sticky: Iterable[StickyContact],
    ) -> Self:
        """From lean *keys*, oldest first, *settings* as (scope, key, setting, value), and *sticky* contacts."""
        contacts: dict[str, Contact] = {}
        for key in keys:
            known = contacts.get(key.contact)
            if known is None:
                contacts[key.contact] = Contact((key,))
            else:
                known.keys = (*known.keys, key)
        for one in sticky:
            contacts.setdefault(one.contact, Contact()).sticky = one
        levels: Settings = {}
        for scope, about, setting, value in settings:
            levels.setdefault((intern(scope), intern(about)), {})[intern(setting)] = intern(value)
        return cls(account, contacts, levels)


Change = AccountOpened | AccountGone | KeyChanged | KeyGone | PolicyChanged | StickyChanged


def lean(key: PeerKey) -> PeerKey:
    """*key* as the book keeps it: without a long public key, its texts shared with those of other keys."""
    return evolve(
        key,
        account=intern(key.account),
        contact=intern(key.contact),
        fingerprint=evolve(key.fingerprint, method=intern(key.fingerprint.method)),
        public=key.public if len(key.public) <= LONG_PUBLIC else b"",
        how_verified=key.how_verified and intern(key.how_verified),
    )


class Book:
    """Look-ups that take microseconds; every argument is a prepared bare JID as text."""

    def __init__(self, read_public: Callable[[PeerKey], bytes]) -> None:
        """Keep an empty book; *read_public* reads a long public key from the store."""
        self._read_public = read_public
        self._accounts: dict[str, dict[str, Contact]] = {}
        self._settings: dict[str, Settings] = {"": {}}
        #: Grows with each change: what was found out from the book holds as long as it is the same.
        self.version = 0

    def knows(self, account: str) -> bool:
        """Whether *account* is open; what is not in the book of one that is not open is unknown, not absent."""
        return account in self._accounts

    def keys(self, account: str, contact: str) -> tuple[PeerKey, ...]:
        """All keys of *contact*, oldest first. ``public`` may be empty here; see ``with_public``."""
        found = self._contact(account, contact)
        return found.keys if found else ()

    def key(self, account: str, contact: str, fingerprint: Fingerprint) -> PeerKey | None:
        """The key with that *fingerprint*, if it was ever seen of *contact*."""
        for known in self.keys(account, contact):
            if known.fingerprint == fingerprint:
                return known
        return None

    def with_public(self, key: PeerKey) -> PeerKey:
        """*key* with its public key, read from the store if the book left it there."""
        return key if key.public else evolve(key, public=self._read_public(key))

    def sticky(self, account: str, contact: str) -> StickyContact | None:
        """Since when and why *contact* is sticky; None if he is not."""
        found = self._contact(account, contact)
        return found.sticky if found else None

    def settings(self, account: str, scope: str, key: str) -> Mapping[str, str]:
        """The settings {name: value} at one level, *account* being "" for those of the whole daemon."""
        known = self._settings.get(account)
        return known.get((scope, key), {}) if known else {}

    def all_settings(self, account: str) -> Iterable[Mapping[str, str]]:
        """The settings {name: value} of every level of *account*, "" being the whole daemon."""
        return self._settings.get(account, {}).values()

    def any_sticky(self, account: str) -> bool:
        """Whether any contact of *account* is sticky."""
        return any(one.sticky is not None for one in self._accounts.get(account, {}).values())

    def contacts(self, account: str) -> tuple[str, ...]:
        """The contacts of *account* of whom a key is known or who are sticky."""
        return tuple(self._accounts.get(account, ()))

    def apply(self, changes: Iterable[Change]) -> None:
        """Follow what was committed, in its order."""
        self.version += 1
        for change in changes:
            self._apply(change)

    def _contact(self, account: str, contact: str) -> Contact | None:
        known = self._accounts.get(account)
        return known.get(contact) if known else None

    def _apply(self, change: Change) -> None:
        match change:
            case AccountOpened(account, contacts, settings):
                self._accounts[account] = contacts
                self._settings[account] = settings
            case AccountGone(account):
                self._accounts.pop(account, None)
                self._settings.pop(account, None)
            case KeyChanged(key):
                self._put_key(key)
            case KeyGone(account, contact, fingerprint):
                found = self._contact(account, contact)
                if found:
                    found.keys = tuple(key for key in found.keys if key.fingerprint != fingerprint)
                    self._drop_empty(account, contact)
            case PolicyChanged(row, gone):
                self._put_policy(row, gone=gone)
            case StickyChanged(sticky, gone):
                self._put_sticky(sticky, gone=gone)

    def _put_key(self, key: PeerKey) -> None:
        known = self._accounts.get(key.account)
        if known is None:
            return  # not open: it is read when it is opened
        contact = known.setdefault(intern(key.contact), Contact())
        kept = [old for old in contact.keys if old.fingerprint != key.fingerprint]
        contact.keys = tuple(sorted([*kept, lean(key)], key=lambda one: one.first_seen))

    def _put_policy(self, row: PolicyRow, *, gone: bool) -> None:
        known = self._settings.get(row.account)
        if known is None:
            return
        level = (intern(row.scope), intern(row.key))
        settings = known.setdefault(level, {})
        settings[intern(row.setting)] = intern(row.value)
        if gone:
            del settings[row.setting]
        if not settings:
            del known[level]

    def _put_sticky(self, sticky: StickyContact, *, gone: bool) -> None:
        known = self._accounts.get(sticky.account)
        if known is None:
            return
        contact = known.setdefault(intern(sticky.contact), Contact())
        contact.sticky = None if gone else sticky
        self._drop_empty(sticky.account, sticky.contact)

    def _drop_empty(self, account: str, contact: str) -> None:
        known = self._accounts[account]
        found = known.get(contact)
        if found and not found.keys and found.sticky is None:
            del known[contact]
