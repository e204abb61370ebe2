"""What the user says about miller-e2e: show the keys, take a new SMK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods import effects as e

if TYPE_CHECKING:
    from e2eproxy.methods import events
    from e2eproxy.methods.miller.account import Account

COMMANDS: Final = (
    ("fingerprint", "show the keys of both sides"),
    ("renew", "use a new key for what is written to the contact from now on"),
)


def command(account: Account, event: events.Command) -> tuple[e.Effect, ...]:
    """Do what the user says."""
    contact = event.peer.bare
    if event.verb == "renew":
        text = "A new key is used for what you write from now on; it is given to accepted devices only."
        return (account.table.retired(event.own, contact), e.Tell(contact=contact, text=text))
    if event.verb == "fingerprint":
        view = account.context.view
        keys = [*view.peer_keys(account.context.account), *view.peer_keys(contact)]
        text = " ".join(f"{one.contact} has the key {one.fingerprint.text}." for one in keys)
        return (e.Tell(contact=contact, text=text or "No key is known yet."),)
    return (e.Tell(contact=contact, text=f"miller-e2e cannot do {event.verb}."),)
