"""Terminal clients with their own OTR (libotr): the other end of what the daemon does for a client that has none.

mcabber's key is made here and put where it looks for it, so that two of one account have the same.
"""

from __future__ import annotations

import re
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from bed.clients.mcabber import Mcabber
from bed.clients.profanity import Profanity
from e2eproxy.methods.otr.identity import PrivateKey, new_key

if TYPE_CHECKING:
    from bed.route import Route
    from bed.servers import Account
    from bed.terminal import Tmux

KEY_FILE = """(privkeys
 (account
(name "{name}")
(protocol {protocol})
(private-key
 (dsa
  (p #{p}#)
  (q #{q}#)
  (g #{g}#)
  (y #{y}#)
  (x #{x}#)
  )
 )
 )
)
"""


@cache
def key_of(user: str) -> PrivateKey:
    """The key of *user*; the same one in each run, and one alone."""
    return new_key(Random(f"OTR of {user}").randbytes)


def key_file(key: PrivateKey, name: str, protocol: str) -> str:
    """*Key* as libotr keeps it for the account *name*."""
    numbers = {"p": key.public.p, "q": key.public.q, "g": key.public.g, "y": key.public.y, "x": key.x}
    # gcrypt wants whole bytes.
    digits = {one: f"{value:0{(value.bit_length() + 7) // 8 * 2}X}" for one, value in numbers.items()}
    return KEY_FILE.format(name=name, protocol=protocol, **digits)


class OtrMcabber(Mcabber):
    """mcabber with OTR 2 and 3. *policy*: manual, opportunistic (white space) or always."""

    def __init__(
        self, tmux: Tmux, account: Account, route: Route, *, resource: str = "mcabber", policy: str = "manual"
    ) -> None:
        """Start it with a key of the account's."""
        key = key_of(account.user)
        self.fingerprint = key.public.fingerprint
        folder = tmux.directory / f"{resource}-{account.user}" / "otr"
        folder.mkdir(parents=True, mode=0o700)
        (folder / f"{account.jid}.key").write_text(key_file(key, account.jid, "jabber"), encoding="utf-8")
        more = f"set otr = 1\nset otr_dir = {folder}\notrpolicy default {policy}\n"
        super().__init__(tmux, account, route, resource=resource, more=more)

    def begin(self, contact: Account) -> None:
        """Ask *contact* for a session."""
        self.type(f"/otr start {contact.jid}")

    def wait_session(self, contact: Account, count: int = 1) -> None:
        """Wait for the session with *contact*; it is the *count*-th."""
        self._open(contact)
        self.wait(rf"(?s)(OTR: channel established.*){{{count}}}")

    def say_private(self, contact: Account, text: str) -> None:
        """Send *text* in the session."""
        self._open(contact)
        self.type(text)
        self.wait(rf"-O> {re.escape(text)}")

    def expect_private(self, contact: Account, text: str) -> None:
        """Wait for *text* in the session."""
        self._open(contact)
        self.wait(rf"<O= {re.escape(text)}")

    def knows(self, contact: Account, fingerprint: str) -> None:
        """Its user is shown *fingerprint* as that of *contact*."""
        self._open(contact)
        self.wait(rf"OTR: new fingerprint: {fingerprint}")

    def ask(self, contact: Account, secret: str) -> None:
        """Have *secret* compared."""
        self.type(f"/otr smpq {contact.jid} {secret}")

    def answer(self, contact: Account, secret: str) -> None:
        """Answer what *contact* asked."""
        self._open(contact)
        self.wait("Received SMP Initiation")
        self.type(f"/otr smpr {contact.jid} {secret}")

    def compared(self, contact: Account, *, same: bool) -> None:
        """Wait for the end of a comparison."""
        self._open(contact)
        self.wait("Protocol: Success!" if same else r"Protocol: Failure\.")

    def end(self, contact: Account) -> None:
        """End the session."""
        self.type(f"/otr stop {contact.jid}")

    def wait_end(self, contact: Account) -> None:
        """Wait until the other side has ended the session."""
        self._open(contact)
        self.wait("OTR: channel closed")


class OtrProfanity(Profanity):
    """profanity, whose OTR is version 2 only. *policy* as in ``OtrMcabber``."""

    def __init__(self, tmux: Tmux, account: Account, route: Route, *, policy: str = "manual") -> None:
        """Start it."""
        super().__init__(tmux, account, route)
        self._policy = policy
        self.fingerprint = ""

    def connect(self) -> None:
        """Log in, and have it make a key; one that lies in its place already it does not take."""
        super().connect()
        self.type("/otr gen")
        self.wait("key generation complete", timeout=60)
        self.type("/otr myfp")
        self.fingerprint = self.wait(r"Your OTR fingerprint: ([0-9A-F ]{44})").group(1)
        self.type(f"/otr policy {self._policy}")
        self.wait(f"OTR policy is now set to: {self._policy}")

    def begin(self, contact: Account) -> None:
        """Ask *contact* for a session."""
        self.type(f"/otr start {contact.jid}")

    def wait_session(self, contact: Account, count: int = 1) -> None:
        """Wait for the session with *contact*; it is the *count*-th."""
        self.type(f"/msg {contact.jid}")
        self.wait(rf"(?s)(OTR session started.*){{{count}}}")

    def say_private(self, contact: Account, text: str) -> None:
        """Send *text* in the session."""
        self.type(f"/msg {contact.jid}")
        self.type(text)
        self.wait(rf"~ me: {re.escape(text)}$")

    def expect_private(self, contact: Account, text: str) -> None:
        """Wait for *text* in the session."""
        self.type(f"/msg {contact.jid}")
        self.wait(rf"~ {contact.user}\S*: {re.escape(text)}$")

    def knows(self, contact: Account, fingerprint: str) -> None:
        """Its user is shown *fingerprint* as that of *contact*."""
        self.type(f"/msg {contact.jid}")
        self.type("/otr theirfp")
        self.wait(rf"OTR fingerprint: {fingerprint}")

    def ask(self, contact: Account, secret: str) -> None:
        """Have *secret* compared."""
        self.type(f"/msg {contact.jid}")
        self.type(f"/otr secret {secret}")

    def answer(self, contact: Account, secret: str) -> None:
        """Answer what *contact* asked."""
        self.type(f"/msg {contact.jid}")
        self.wait("wants to authenticate your identity")
        self.type(f"/otr secret {secret}")

    def compared(self, contact: Account, *, same: bool) -> None:
        """Wait for the end of a comparison."""
        self.type(f"/msg {contact.jid}")
        self.wait("Authentication successful" if same else r"Authentication failed|failed to authenticate")

    def end(self, contact: Account) -> None:
        """End the session."""
        self.type(f"/msg {contact.jid}")
        self.type("/otr end")

    def wait_end(self, contact: Account) -> None:
        """Wait until the other side has ended the session."""
        self.type(f"/msg {contact.jid}")
        self.wait("OTR session ended")
