"""The walk of one message through the code, as data: the page and the picture are made of it, and a test walks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One function that a stanza comes through: its `module` (below the package), its name there, what it does."""

    module: str
    function: str
    says: str

    @property
    def room(self) -> str:
        """The room of the module."""
        return self.module.partition(".")[0]

    @property
    def where(self) -> str:
        """Module and function, as they are called when the room is known."""
        return f"{self.module.partition('.')[2]}.{self.function}"


@dataclass(frozen=True)
class Walk:
    """A way through the code, from bytes that come to bytes that go."""

    name: str
    title: str
    steps: tuple[Step, ...]


#: From the client's bytes to the server's.
OUT = (
    Step("proxy.legs", "ClientLeg.dataReceived", "bytes of the client, from its transport"),
    Step(
        "proxy.session",
        "Session.client_sent",
        "the one place they come in; what they set off leaves in one write",
    ),
    Step(
        "xmpp.framer",
        "Framer.receive",
        "cuts them into pieces: here one `Element`, a slice of the bytes that came",
    ),
    Step(
        "proxy.session",
        "Session._client_pieces",
        "tells elements from headers, white space and the stream's end",
    ),
    Step(
        "proxy.relay",
        "Relay.client_stanza",
        "an account is bound and it is a stanza: the pipeline's; all else is for `nonzas`",
    ),
    Step(
        "proxy.guard",
        "Guard.from_client",
        "waits its turn while an earlier stanza is neither sent nor stored (law 4)",
    ),
    Step(
        "proxy.outgoing",
        "OutgoingStanzas.take",
        "from here on each stanza has one end: it leaves, waits, or goes back",
    ),
    Step(
        "xmpp.spans", "read", "only now a tree is made of the slice, since something must look inside (law 2)"
    ),
    Step("proxy.classify", "classify", "finds the kind: here `chat`; what fits nothing is `unknown`"),
    Step("proxy.asked", "resolved_for", "whose setting holds: the contact's"),
    Step("proxy.rules", "resolve", "contact, domain, account, default: the first that has one"),
    Step("trust.book", "Book.settings", "what is set, from memory, as it was committed"),
    Step("proxy.desk", "Desk.reach", "the best that the methods can do for the contact just now"),
    Step(
        "proxy.policy", "decide", "kind, setting and state come to an outcome, by two tables: here `protect`"
    ),
    Step("proxy.holding", "Lines.join", "behind what is before it to the same contact (law 3)"),
    Step("proxy.outgoing", "OutgoingStanzas._protect", "hands it to the first method that can carry it"),
    Step("proxy.lane", "Lane.tell", "one event at a time for an engine: `Outbound`"),
    Step(
        "methods.harness",
        "Harness.handle",
        "the fence: the engine returns effects, which are checked against the door's rules",
    ),
    Step(
        "proxy.guards",
        "Guards.prepare",
        "what of it has to be durable first is asked of the guard of this stream",
    ),
    Step(
        "proxy.outgoing",
        "OutgoingStanzas.prepare",
        "each key that the method names is checked against policy",
    ),
    Step("proxy.outer", "protected", "the outer stanza, written anew under a new id"),
    Step("proxy.allowed_children", "split", "what may stand beside the ciphertext, by the one list"),
    Step(
        "proxy.cabinet",
        "Cabinet.commit",
        "ratchet, both ids and the client's stanza in one transaction (law 5)",
    ),
    Step("trust.writer", "Writer.run", "in order, on the store's thread"),
    Step("trust.store", "Store.transaction", "durable when it ends"),
    Step("trust.sent", "SentIds.note", "the pair of ids and what was sent"),
    Step("trust.vault", "Vault.seal", "sealed, and bound to its place in the table"),
    Step("proxy.lane", "Lane._committed", "committed: now what can be seen may happen"),
    Step("proxy.guards", "Guards.apply", "each visible effect, in order"),
    Step("proxy.outgoing", "OutgoingStanzas.outcome", "`Send`: what was made ready leaves"),
    Step("proxy.ids", "Pairs.note", "so that an answer finds the client's id again"),
    Step("proxy.relay", "Relay.to_server", "the one door out for what a pipeline sends (law 1)"),
    Step("proxy.ledger", "Ledger.send", "entered until the server has acknowledged it (law 4)"),
    Step("xmpp.stream_management", "StreamManagement.sent", "counts it, and says when to ask"),
    Step(
        "proxy.way",
        "Way.send",
        "the one queue towards the server keeps order and wholeness, and writes to TLS",
    ),
    Step("proxy.outgoing", "OutgoingStanzas.settle", "the next one to this contact has its turn"),
)

#: The server says that it has it.
ACKNOWLEDGED = (
    Step("proxy.legs", "ServerLeg.dataReceived", "bytes of the server: `<a/>` of stream management"),
    Step("proxy.session", "Session.server_sent", "the one place they come in"),
    Step(
        "xmpp.framer",
        "Framer.receive",
        "cut as the client's are, with more patience: no limit ends the stream",
    ),
    Step("proxy.relay", "Relay.server_element", "no stanza: the ledger's"),
    Step("proxy.ledger", "Ledger.from_server", "never shown to the client, who knows nothing of it"),
    Step(
        "xmpp.stream_management",
        "StreamManagement.from_server",
        "which stanzas that covers; too many ends the stream",
    ),
    Step("proxy.guard", "Guard.acknowledged", "the pipeline hears of each"),
    Step("proxy.unacknowledged", "Unacknowledged.acknowledged", "will not be given back any more"),
    Step("proxy.cabinet", "Cabinet.acknowledged", "nor reported after a crash"),
    Step(
        "trust.sent",
        "SentIds.acknowledge",
        "what left is forgotten; the pair stays for errors that still come",
    ),
)

#: The contact's message, from the server's bytes to the client's.
IN = (
    Step("proxy.legs", "ServerLeg.dataReceived", "bytes of the server"),
    Step("proxy.session", "Session.server_sent", "the one place they come in"),
    Step("xmpp.framer", "Framer.receive", "cuts them into pieces"),
    Step("proxy.relay", "Relay.server_stanza", "a stanza: the pipeline's"),
    Step("proxy.guard", "Guard.from_server", "answers to the proxy's own questions end here"),
    Step("proxy.incoming", "IncomingStanzas.take", "in the proxy's name: dropped, told once"),
    Step(
        "xmpp.wrappers", "unwrap", "a carbon or an archive's result is believed only from whom may send such"
    ),
    Step("proxy.desk", "Desk.recognised", "whose it is: the method for which it is complete, or nobody's"),
    Step("proxy.holding", "Lines.join", "behind what is before it from the same contact"),
    Step("proxy.lane", "Lane.tell", "`Inbound`"),
    Step(
        "methods.harness",
        "Harness.handle",
        "the engine opens it; whatever it raises ends as a placeholder (law 6)",
    ),
    Step("proxy.incoming", "IncomingStanzas.prepare", "the original of what could not be opened is kept"),
    Step(
        "proxy.delivery",
        "opened",
        "what was inside, in the outer stanza's place; what only servers may say is the outer one's",
    ),
    Step("proxy.cabinet", "Cabinet.commit", "ratchet and replay mark first (law 5)"),
    Step("trust.own_keys", "Records.put", "sealed"),
    Step("proxy.guards", "Guards.apply", "then what can be seen"),
    Step("proxy.incoming", "IncomingStanzas.outcome", "`Deliver`"),
    Step(
        "proxy.ids",
        "OpenedStanzas.note",
        "what the client answers to it is protected like it, or stripped (law 1)",
    ),
    Step("proxy.relay", "Relay.to_client", "to the client, if it is there"),
    Step("proxy.way", "Way.send", "the one queue towards the client"),
    Step("xmpp.prompt", "PromptTransport.write", "bytes to the client"),
    Step("proxy.incoming", "IncomingStanzas.settle", "the next one of this contact has its turn"),
    Step(
        "proxy.ledger",
        "Ledger.arrived",
        "gets its number; the server is told when it was dealt with, not before",
    ),
    Step("proxy.ledger", "Ledger.handled", "dealt with: the server's next question is answered with it"),
)

WALKS = (
    Walk("out", "A message on its way out", OUT),
    Walk("acknowledged", "The server's acknowledgement", ACKNOWLEDGED),
    Walk("in", "The answer on its way in", IN),
)
