"""sendxmpp, the command that sends one message; of SASL it knows PLAIN and DIGEST-MD5 only."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from bed.polling import BedError
from bed.programs import require_program

if TYPE_CHECKING:
    from pathlib import Path

    from bed.route import Route
    from bed.servers import Account

TLS_OPTIONS = {"none": [], "starttls": ["--tls"], "direct": ["--ssl"]}


def sendxmpp(directory: Path, account: Account, route: Route, contact: Account, text: str) -> None:
    """Send *text* from *account* to *contact*; the configuration is written below *directory*."""
    require_program("sendxmpp")
    config = directory / f"sendxmpprc-{account.user}"
    config.touch(mode=0o600)
    config.write_text(
        f"username: {account.user}\njserver: 127.0.0.1\nport: {route.port}\n"
        f"password: {account.password}\ncomponent: {account.domain}\n",
        encoding="utf-8",
    )
    authority = ["--tls-ca-path", str(route.certificates.ca_file)]
    argv = ["sendxmpp", "-f", str(config), *TLS_OPTIONS[route.client_tls], *authority, contact.jid]
    done = subprocess.run(
        argv,
        input=text,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if done.returncode:
        raise BedError(f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
