"""What a method says about itself, as data: the table, the documentation and policy are made from it.

Nothing here is believed: ``e2eproxy evaluate`` measures each claim and fails where one does not hold.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from attrs import field, fields, frozen, validators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class Carries(enum.Enum):
    """How much of a stanza a method can take inside; the rest is dropped where it is not allowed outside."""

    BODY = "body"
    CHILDREN = "children"
    STANZA = "stanza"


class Scope(enum.Enum):
    """Between whom a session or a key holds."""

    PEER = "full JID to full JID"
    CONTACT = "bare JID to bare JID"


@frozen
class Claim:
    """Whether the method has a property, and how (a few words that stand in a table's cell)."""

    holds: bool
    how: str = ""


@frozen(kw_only=True)
class Claims:
    """The columns of the comparison; ``recovery`` (after theft of session keys) is told beside forward secrecy."""

    authenticity: Claim
    integrity: Claim
    encryption: Claim
    forward_secrecy: Claim
    malleable_encryption: Claim
    one_to_one: Claim
    group_chat: Claim
    online_chats: Claim
    offline_messages: Claim
    multiple_resources: Claim
    discovery_of_support: Claim
    replay_protection: Claim
    recovery: Claim

    def __iter__(self) -> Iterator[tuple[str, Claim]]:
        """(Column, claim) in the table's order."""
        for one in fields(Claims):
            yield one.name, getattr(self, one.name)


@frozen(kw_only=True)
class Wire:
    """By what the pipeline sees that an inbound stanza is this method's.

    ``elements``: (namespace, local name) of a child; ``body_prefixes``: how a body begins, blanks in front apart;
    ``body_marks``: texts anywhere in a body (OTR's whitespace tag) that only mean an offer;
    ``iq_elements``: (namespace, local name) of an IQ's payload that peers ask us; ``at_once``: those of them that hold nothing of
    a user's and are presented past what waits of that peer, which may wait for the answer (they cannot be held); ``pep_nodes``: nodes (or beginnings of
    them, ending in ``*``) whose notifications it wants and which are announced as ``node+notify``;
    ``eme``: the namespace for XEP-0380.
    """

    elements: frozenset[tuple[str, str]] = frozenset()
    body_prefixes: tuple[str, ...] = ()
    body_marks: tuple[str, ...] = ()
    iq_elements: frozenset[tuple[str, str]] = frozenset()
    at_once: frozenset[tuple[str, str]] = frozenset()
    pep_nodes: tuple[str, ...] = ()
    eme: str = ""


def _is_name(_instance: Any, _attribute: Any, value: str) -> None:  # noqa: ANN401 - attrs' own signature
    if not isinstance(value, str) or not _NAME.match(value):
        raise ValueError(f"the name of a method is lower-case words joined by '-', not {value!r}")


@frozen(kw_only=True)
class Traits:
    """One method's traits.

    ``kinds``: which kinds of stanza it can protect, by policy's names ("chat", "bodyless", "groupchat", "muc-private",
    "directed-presence", "iq"); of all others it is not asked. ``survives_offline``: what of a conversation lives
    through the absence of either side, as a sentence. ``resent``: what it writes before a text of the user's that it sends once
    more, because the peer could not read it. ``needs``: what has to be there ("gpg"). ``commands``: verb and help.
    """

    name: str = field(validator=_is_name)
    title: str = field(validator=validators.instance_of(str))
    standard: str
    summary: str
    carries: Carries
    scope: Scope
    kinds: frozenset[str]
    wire: Wire
    claims: Claims = field(validator=validators.instance_of(Claims))
    features: tuple[str, ...] = ()
    survives_offline: str = ""
    resent: str = ""
    needs: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()

    @property
    def announces(self) -> tuple[str, ...]:
        """What our client announces while this method is on: ``features``, and that it wants to hear of PEP nodes.

        Of nodes that are only known by their beginning none can be announced.
        """
        nodes = (f"{node}+notify" for node in self.wire.pep_nodes if not node.endswith("*"))
        return (*self.features, *nodes)
