"""Terminal clients with their own OTR (libotr): the other end of what the daemon does for a client that has none.

Their keys are made here and put where they look for them, since libotr takes its time; so a test knows the fingerprints.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import TYPE_CHECKING

from bed.clients.mcabber import Mcabber
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
  (p #{p:X}#)
  (q #{q:X}#)
  (g #{g:X}#)
  (y #{y:X}#)
  (x #{x:X}#)
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
    public = key.public
    return KEY_FILE.format(
        name=name, protocol=protocol, p=public.p, q=public.q, g=public.g, y=public.y, x=key.x
    )


class OtrMcabber(Mcabber):
    """mcabber with OTR 2 and 3. *policy*: manual, opportunistic (white space) or always."""

    def __init__(
        self,
        tmux: Tmux,
        account: Account,
        route: Route,
        *,
        resource: str = "mcabber",
        policy: str = "manual",
        key: PrivateKey | None = None,
    ) -> None:
        """Start it with a key of its own."""
        self.key_pair = key or key_of("mcabber")
        folder = tmux.directory / f"{resource}-{account.user}" / "otr"
        folder.mkdir(parents=True, mode=0o700)
        (folder / "otr.key").write_text(key_file(self.key_pair, account.jid, "jabber"), encoding="utf-8")
        more = f"set otr = 1\nset otr_dir = {folder}\notrpolicy default {policy}\n"
        super().__init__(tmux, account, route, resource=resource, more=more)

    @property
    def fingerprint(self) -> str:
        """Of its key, as people compare it."""
        return self.key_pair.public.fingerprint
