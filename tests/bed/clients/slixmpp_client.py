"""slixmpp, the library that bots and poezio are made of, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from bed.child import Child
from bed.polling import BedError, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from bed.route import Route
    from bed.servers import Account

SCRIPTS = Path(__file__).parent


class SlixmppClient:
    """One bot; ``say`` is what it sends once it is online, as (account, text)."""

    client: ClassVar[str] = "slixmpp"
    script: ClassVar[str] = "slixmpp_script.py"

    def __init__(
        self,
        directory: Path,
        account: Account,
        route: Route,
        *,
        say: Sequence[tuple[Account, str]] = (),
        **more: str,
    ) -> None:
        """Start it; its output goes below *directory*. *more* is told to its script as well."""
        self.account = account
        settings = {
            "jid": f"{account.jid}/slixmpp",
            "password": account.password,
            "port": route.port,
            "tls": route.client_tls,
            "ca_file": str(route.certificates.ca_file),
            "say": [[other.jid, text] for other, text in say],
            **more,
        }
        inherited = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV") if name in os.environ}
        self.child = Child(
            [sys.executable, str(SCRIPTS / self.script), json.dumps(settings)],
            log=directory / f"slixmpp-{account.user}.log",
            cwd=directory,
            environment={**inherited, "HOME": str(directory), "LANG": "C.UTF-8"},
        )

    def events(self) -> list[dict[str, str]]:
        """All that has happened so far."""
        return [json.loads(line) for line in self.child.text().splitlines() if line.startswith('{"event"')]

    def wait(self, **wanted: str) -> dict[str, str]:
        """Wait for an event with these fields."""

        def those() -> list[dict[str, str]]:
            return [event for event in self.events() if wanted.items() <= event.items()]

        return self.look(those, f"{wanted}")[0]

    def look(self, those: Callable[[], list[dict[str, str]]], what: str) -> list[dict[str, str]]:
        """Wait until there are *those* events; return them."""

        def running() -> list[dict[str, str]]:
            found = those()
            if not found:
                self.child.require_running()
            return found

        return wait_until(running, f"{what} of slixmpp", timeout=20, instead=self.child.tail)

    def connect(self) -> dict[str, str]:
        """Wait until it is online; the event has ``jid`` and ``mechanism``."""
        return self.wait(event="session")

    def expect(self, contact: Account, text: str) -> None:
        """Wait for *text* from *contact*."""
        self.wait(event="message", sender=contact.jid, body=text)

    def stop(self) -> None:
        """Log out and end."""
        status = self.child.terminate()
        if "Traceback" in self.child.text():
            raise BedError(f"slixmpp ended with {status}:\n{self.child.tail()}")

    def __enter__(self) -> Self:
        """Nothing more than the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if error is None:
            self.stop()
        else:
            self.child.kill()
