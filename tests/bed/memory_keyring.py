"""Keyrings for tests: one in memory, and one that is locked."""

from __future__ import annotations

from typing import ClassVar

from keyring.backend import KeyringBackend


class MemoryKeyring(KeyringBackend):
    """Keeps its entries in ``entries``."""

    priority = 0.1
    entries: ClassVar[dict[tuple[str, str], str]] = {}

    def get_password(self, service: str, username: str) -> str | None:
        """The entry, if there is one."""
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep an entry."""
        self.entries[service, username] = password


class Locked(KeyringBackend):
    """Refuses everything, quoting what it was given, as a careless back end may."""

    priority = 0.1

    def get_password(self, service: str, username: str) -> str | None:
        """Nothing, so that an entry is made."""
        del service, username

    def set_password(self, service: str, username: str, password: str) -> None:
        """Refuse it."""
        raise OSError(f"locked: {service} {username} {password}")
