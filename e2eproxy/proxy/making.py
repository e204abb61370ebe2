"""What a method made of a stanza, written as the stanzas that leave, or why they cannot.

Law 1: beside a method's payload there is only what ``outer`` lets stand there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.methods import effects as e
from e2eproxy.proxy.outer import MOST_BYTES, new_id, protected, request
from e2eproxy.proxy.tally import Why
from e2eproxy.xmpp.spans import BadElement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.on_its_way import Outgoing
    from e2eproxy.proxy.shapes import Ids
    from e2eproxy.xmpp.tree import Node


def make(
    lane: Lane, item: Outgoing, carriers: Sequence[e.Send | e.Ask], tree: Node, ids: Callable[[str], Ids]
) -> None:
    """Put into *item* what *lane* made of it, each under an id of its own, or the fault that keeps all of it from leaving.

    *tree* is the stanza with ids that may be seen; *ids* says what is known of ids, for one that leaves. What answers a request
    that was opened leaves under the request's id; it is stored under one of ours all the same, for that one is a peer's.
    """
    asked = item.answers.outer_id if item.answers is not None and item.stanza.kind == "iq" else None
    for carrier in carriers:
        outer = new_id()
        try:
            if isinstance(carrier, e.Ask):
                raw = request(carrier, outer)
            else:
                raw = protected(lane.harness.method.traits, item.stanza, tree, carrier, ids(asked or outer))
        except BadElement:
            text = f"Not sent: the encryption method {lane.name} made what is no XML; this is a bug of the method."
            item.fault = (Why.UNFIT, "internal-server-error", text)
            break
        if len(raw) > MOST_BYTES:
            text = f"Not sent: encrypted it has {len(raw)} bytes, and servers take at most {MOST_BYTES}."
            item.fault = (Why.UNFIT, "policy-violation", text)
            break
        if isinstance(carrier, e.Send):
            item.made.append((raw, outer))
    if item.fault is not None:
        item.made = []
