"""poezio, the terminal client on slixmpp; it refuses to run as root, and PLAIN without TLS."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bed.terminal import Terminal, Tmux

if TYPE_CHECKING:
    from bed.route import Route
    from bed.servers import Account

NOBODY = 65534

SETTINGS = """[Poezio]
jid = {jid}/poezio
password = {password}
custom_host = 127.0.0.1
custom_port = {port}
force_encryption = {encryption}
ca_cert_path = {ca_file}
rooms =
auto_reconnect = false
use_log = false
enable_vertical_tab_list = false
log_errors = false
send_os_info = false
request_message_receipts = false
"""


class Poezio(Terminal):
    """poezio as an unprivileged user; it connects as soon as it starts. It has no direct TLS to a custom host."""

    client: ClassVar[str] = "poezio"

    def __init__(self, tmux: Tmux, account: Account, route: Route) -> None:
        """Start it."""
        self.account = account
        # Not below the test's own directory: nobody but its owner may enter that.
        home = Path(tempfile.mkdtemp(prefix="bed-poezio-"))
        ca_file = Path(shutil.copy(route.certificates.ca_file, home))
        config = home / "poezio.cfg"
        config.write_text(
            SETTINGS.format(
                jid=account.jid,
                password=account.password,
                port=route.port,
                encryption=str(route.client_tls != "none").lower(),
                ca_file=ca_file,
            ),
            encoding="utf-8",
        )
        argv = ["poezio", "-f", str(config)]
        if os.getuid() == 0:
            for path in (home, ca_file, config):
                os.chown(path, NOBODY, NOBODY)
            argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]
        super().__init__(tmux, f"poezio-{account.user}", argv, home=home)

    def connect(self) -> None:
        """Wait until it is logged in."""
        self.wait(r"Your JID is ")

    def open(self, jid: str) -> None:
        """Open the tab of the chat with *jid*."""
        self.command(f"message {jid}")
        self.wait(rf"^\[{re.escape(jid)}\]")

    def say(self, contact: Account, text: str) -> None:
        """Send *text* to *contact* from the tab of the chat."""
        self.command(f"message {contact.jid} {text}")
        self.wait(rf"> {re.escape(text)}$")

    def expect(self, contact: Account, text: str) -> None:
        """Wait for *text* from *contact* in the tab of the chat."""
        self.command(f"message {contact.jid}")
        self.wait(rf"{contact.user}\S*> {re.escape(text)}$")

    def command(self, text: str) -> None:
        """Give poezio a command, from whatever tab it shows."""
        # The tab of the roster has no input line before the slash, and takes what comes together with it for keys.
        self.key("/")
        self.wait(r"^/$")
        self.type(text)

    def fill(self, text: str) -> None:
        """Type *text* into the field of a form that is at its turn; Enter would go on to the next one."""
        self.tmux.run("send-keys", "-t", self.name, "-l", "--", text)
        self.wait(re.escape(text))

    def kill(self) -> None:
        """End it and remove its home."""
        super().kill()
        shutil.rmtree(self.home, ignore_errors=True)
