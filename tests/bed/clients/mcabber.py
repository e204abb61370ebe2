"""mcabber, the terminal client on loudmouth; of SASL it knows PLAIN and DIGEST-MD5 only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from bed.terminal import Terminal, Tmux

if TYPE_CHECKING:
    from bed.route import Route
    from bed.servers import Account

TLS_SETTINGS = {"none": "set tls = 0", "starttls": "set tls = 1", "direct": "set ssl = 1"}

SETTINGS = """set jid = {jid}
set password = {password}
set server = 127.0.0.1
set port = {port}
set resource = {resource}
{tls}
set ssl_ca = {ca_file}
set beep_on_message = 0
set log_win_height = 12
set statefile = {folder}/state
{more}"""


class Mcabber(Terminal):
    """mcabber with a configuration of its own; it connects as soon as it starts."""

    client: ClassVar[str] = "mcabber"

    def __init__(
        self, tmux: Tmux, account: Account, route: Route, *, resource: str = "mcabber", more: str = ""
    ) -> None:
        """Start it; *more* are lines of its configuration."""
        self.account = account
        home = tmux.directory / f"{resource}-{account.user}"
        folder = home / ".mcabber"
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        config = folder / "mcabberrc"
        config.touch(mode=0o600)
        text = SETTINGS.format(
            jid=account.jid,
            password=account.password,
            port=route.port,
            tls=TLS_SETTINGS[route.client_tls],
            ca_file=route.certificates.ca_file,
            folder=folder,
            resource=resource,
            more=more,
        )
        config.write_text(text, encoding="utf-8")
        super().__init__(tmux, home.name, ["mcabber", "-f", str(config)], home=home)

    def connect(self) -> None:
        """Wait until it is logged in."""
        self.wait(r"Your status has been set")

    def say(self, contact: Account, text: str) -> None:
        """Send *text* to *contact* and wait until the buffer of the chat shows it."""
        self.type(f"/say_to {contact.jid} {text}")
        self._open(contact)
        self.wait(rf"^.*--> {re.escape(text)}")

    def expect(self, contact: Account, text: str) -> None:
        """Wait for *text* from *contact* in the buffer of the chat."""
        self._open(contact)
        self.wait(rf"<== {re.escape(text)}")

    def _open(self, contact: Account) -> None:
        # Moving to a contact does not open its buffer; Enter on an empty line does.
        self.type(f"/roster search {contact.jid}")
        self.key("Enter")

    def quit(self) -> None:
        """Log out and end."""
        self.type("/quit")
