"""finch, the terminal client on libpurple (so what holds here holds for Pidgin's protocol side as well)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from xml.sax.saxutils import escape

from bed.terminal import Terminal, Tmux

if TYPE_CHECKING:
    from bed.route import Route
    from bed.servers import Account

SECURITY = {"none": "opportunistic_tls", "starttls": "require_tls", "direct": "old_ssl"}

VISIBLE = 20  # characters of a text that are in its first line for certain; the windows are narrow

ACCOUNTS = """<?xml version='1.0' encoding='UTF-8' ?>
<account version='1.0'>
 <account>
  <protocol>prpl-jabber</protocol>
  <name>{jid}/finch</name>
  <password>{password}</password>
  <settings>
   <setting name='connect_server' type='string'>127.0.0.1</setting>
   <setting name='port' type='int'>{port}</setting>
   <setting name='connection_security' type='string'>{security}</setting>
   <setting name='auth_plain_in_clear' type='bool'>1</setting>
  </settings>
  <settings ui='gnt-purple'>
   <setting name='auto-login' type='bool'>1</setting>
  </settings>
 </account>
</account>
"""


class Finch(Terminal):
    """finch with a home of its own; it connects as soon as it starts."""

    client: ClassVar[str] = "finch"
    input_lines: ClassVar[int] = 50  # its windows float

    def __init__(self, tmux: Tmux, account: Account, route: Route) -> None:
        """Start it."""
        self.account = account
        home = tmux.directory / f"finch-{account.user}"
        # libpurple looks for a trusted certificate under the name that it connected to.
        peers = home / ".purple" / "certificates" / "x509" / "tls_peers"
        peers.mkdir(parents=True)
        (peers / "127.0.0.1").write_bytes(route.server.pair.certificate.read_bytes())
        (home / ".purple" / "accounts.xml").write_text(
            ACCOUNTS.format(
                jid=escape(account.jid),
                password=escape(account.password),
                port=route.port,
                security=SECURITY[route.client_tls],
            ),
            encoding="utf-8",
        )
        super().__init__(tmux, home.name, ["finch"], home=home)

    def connect(self) -> None:
        """Wait for its first window; that it is online shows in the presence that its contacts get."""
        self.wait("Buddy List")

    def expect(self, contact: Account, text: str) -> None:
        """Wait for the window that the first message of *contact* opens, go there, and wait for *text*."""
        self.wait(rf"{contact.user} \({re.escape(self.account.jid)}")
        self.key("M-n")
        self.wait(rf"\) {contact.user}: {re.escape(text[:VISIBLE])}")

    def say(self, text: str) -> None:
        """Send *text* to the contact whose window is open."""
        self.type(text)
        self.wait(rf"\) {re.escape(self.account.jid)}/finch: {re.escape(text[:VISIBLE])}")
