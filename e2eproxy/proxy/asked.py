"""Whose settings are asked for a stanza: the column "whose setting" of the kinds table, resolved (law 1).

A stanza to several is under the strictest of their settings, and one that is nobody's under the account's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from e2eproxy.proxy.kinds import KINDS, Whose
from e2eproxy.proxy.rules import resolve, strictest

if TYPE_CHECKING:
    from e2eproxy.proxy.classify import Classified
    from e2eproxy.proxy.rules import Resolved, Rules
    from e2eproxy.xmpp.jid import JID


def resolved_for(rules: Rules, account: JID, found: Classified) -> Resolved:
    """Return what holds for the stanza that was *found* to be of its kind, sent by *account*."""
    whose = KINDS[found.kind].whose
    if whose is Whose.RECIPIENTS:
        every = [resolve(rules, account, recipient) for recipient in found.recipients]
        own = resolve(rules, account, None)
        return evolve(own, when=strictest([own.when, *(one.when for one in every)]))
    if whose in {Whose.ACCOUNT, Whose.NOBODY}:
        return resolve(rules, account, None)
    return resolve(rules, account, found.contact, room=whose is Whose.ROOM)
