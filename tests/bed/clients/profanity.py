"""profanity, the terminal client on libstrophe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from bed.terminal import Terminal, Tmux

if TYPE_CHECKING:
    from bed.route import Route
    from bed.servers import Account

TLS_POLICY = {"none": "disable", "starttls": "force", "direct": "legacy"}

PREFERENCES = """[ui]
splash=false
vercheck=false
wintitle.show=false
[notifications]
message=off
room=off
[connection]
autoping=0
autoping.timeout=0
tls.certpath={ca_path}
"""

ACCOUNT = """[{jid}]
enabled=true
jid={jid}
resource=profanity
password={password}
server=127.0.0.1
port={port}
tls.policy={policy}
presence.last=online
presence.login=online
"""


class Profanity(Terminal):
    """profanity with directories of its own."""

    client: ClassVar[str] = "profanity"

    def __init__(self, tmux: Tmux, account: Account, route: Route) -> None:
        """Start it; it does not connect by itself."""
        self.account = account
        home = tmux.directory / f"profanity-{account.user}"
        config, data = home / "config" / "profanity", home / "data" / "profanity"
        config.mkdir(parents=True)
        data.mkdir(parents=True, exist_ok=True)
        (config / "profrc").write_text(
            PREFERENCES.format(ca_path=route.certificates.ca_path), encoding="utf-8"
        )
        (data / "accounts").write_text(
            ACCOUNT.format(
                jid=account.jid,
                password=account.password,
                port=route.port,
                policy=TLS_POLICY[route.client_tls],
            ),
            encoding="utf-8",
        )
        places = {f"XDG_{name.upper()}_HOME": str(home / name) for name in ("config", "data", "cache")}
        super().__init__(tmux, home.name, ["profanity"], home=home, environment=places)

    def connect(self) -> None:
        """Log in, and wait until the status bar says so."""
        self.wait("Profanity")
        self.type(f"/connect {self.account.jid}")
        self.wait(r"\[online\]$")

    def say(self, contact: Account, text: str) -> None:
        """Send *text* to *contact*, and wait until the window of the chat shows it."""
        self.type(f"/msg {contact.jid} {text}")
        self.wait(rf"me: {re.escape(text)}$")

    def expect(self, contact: Account, text: str) -> None:
        """Wait for *text* from *contact*, in the window of the chat or after opening it."""
        self.type(f"/msg {contact.jid}")
        self.wait(rf"{contact.user}\S*: {re.escape(text)}$")

    def quit(self) -> None:
        """Log out and end."""
        self.type("/quit")
