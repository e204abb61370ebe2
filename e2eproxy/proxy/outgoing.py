"""The client's stanzas on their way out: what policy decides about each, and the one door they leave by.

Law 1: ``_leave`` is the only place here that writes to the server, and it takes nothing that policy did not clear or a
method did not make. Laws 3 and 4: a stanza that waits holds back later ones to its contact alone, and each one leaves, or
waits with a notice, or comes back as an error with its own id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from attrs import define, evolve, field

from e2eproxy.methods import effects as e
from e2eproxy.methods.events import Outbound, Ref
from e2eproxy.proxy import sticky
from e2eproxy.proxy.allowed_children import BODY, EME, HINTS, Carries, split
from e2eproxy.proxy.classify import classify
from e2eproxy.proxy.holding import NO_ROOM, Direction
from e2eproxy.proxy.kinds import Kind
from e2eproxy.proxy.policy import Outcome, Reach, Reason, Ruling, State, decide
from e2eproxy.proxy.refusals import refusal
from e2eproxy.proxy.shapes import Ids
from e2eproxy.proxy.trim import bare_result, trimmed
from e2eproxy.proxy.waits import Waits
from e2eproxy.xmpp import names
from e2eproxy.xmpp.client_error import error_to_client, stripped
from e2eproxy.xmpp.spans import BadElement, Span, read
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.classify import Classified, Scene
    from e2eproxy.proxy.desk import Desk
    from e2eproxy.proxy.holding import Lines
    from e2eproxy.proxy.lane import Lane
    from e2eproxy.proxy.pipeline import Ways
    from e2eproxy.xmpp.jid import JID

#: Bytes a stanza may have when it leaves, encrypted: ejabberd's and Prosody's own limit for clients.
MOST_BYTES: Final = 256 * 1024
#: Policy's kinds as methods call them in their traits.
_METHOD_KIND: Final = {
    Kind.CHAT: "chat",
    Kind.SELF: "chat",
    Kind.BODYLESS: "bodyless",
    Kind.GROUP_CHAT: "groupchat",
    Kind.MUC_PRIVATE: "muc-private",
    Kind.DIRECTED_PRESENCE: "directed-presence",
    Kind.IQ: "iq",
    Kind.IQ_RESULT: "iq",
}
_IN_SESSION: Final = frozenset((Reach.LIVE, Reach.FINISHED))
_NOT_KEPT: Final = "".join(
    (
        "<private xmlns='urn:xmpp:carbons:2'/>",
        f"<no-copy xmlns='{HINTS}'/>",
        f"<no-permanent-store xmlns='{HINTS}'/>",
    )
).encode()
_KEPT: Final = f"<store xmlns='{HINTS}'/>".encode()


@define(eq=False)
class Outgoing:
    """One stanza of the client on its way: what it is, and which methods have not declined it yet."""

    ref: Ref
    stanza: Stanza
    found: Classified
    contact: JID
    lanes: list[Lane] = field(factory=list)
    asked: bool = False
    #: What methods that declined it asked to have added if it leaves in clear: text behind its body, and elements.
    offer: str = ""
    adds: bytes = b""
    again: bool = False
    required: bool = False


class OutgoingStanzas:
    """The outbound half of a guard.

    *now*: seconds, for waiting. *schedule(seconds, function)* calls back later. *scene* says what is known when a stanza
    is classified.
    """

    def __init__(
        self,
        desk: Desk,
        ways: Ways,
        lines: Lines[Outgoing],
        *,
        scene: Callable[[], Scene],
        now: Callable[[], float],
        schedule: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._desk = desk
        self._ways = ways
        self._lines = lines
        self._scene = scene
        self._now = now
        self._schedule = schedule
        self._waits = Waits()
        self._under_way: dict[Ref, Outgoing] = {}

    def take(self, stanza: Stanza) -> bytes | None:
        """Take a stanza of the client; return it if it leaves as it came and at once, else None."""
        try:
            found = classify(stanza.tree, self._scene())
        except BadElement as error:
            self._ways.to_client(_bare_refusal(stanza, str(error)))
            return None
        own = self._scene().own
        item = Outgoing(Ref(uuid4().hex), stanza, found, (found.to or own).bare)
        if not self._lines.standing(Direction.OUT, item.contact):
            ruling = self._ruling(item)
            if ruling.outcome is Outcome.PASS:
                self._used(item, ruling)
                return stanza.raw
        if self._lines.join(Direction.OUT, item.contact, item, len(stanza.raw), self._now()):
            self.go_on(item.contact)
        else:
            self._give_back(item, "resource-constraint", f"Not sent: {NO_ROOM}.")
        return None

    def go_on(self, contact: JID) -> None:
        """Let the stanzas to *contact* have their turn, as far as they need not wait."""
        while (held := self._lines.next(Direction.OUT, contact)) is not None:
            self._try(held.item)

    def retry(self, contact: JID) -> None:
        """Let what waits for *contact* try again."""
        self._lines.retry(Direction.OUT, contact)
        self.go_on(contact)

    def overdue(self, item: Outgoing, why: str) -> None:
        """Give back a stanza that has waited too long."""
        self._give_back(
            item, "remote-server-timeout", f"Not sent: it waited too long ({why or 'for its turn'})."
        )

    def undeliverable(self, item: Outgoing) -> None:
        """Give back a stanza that is still here when the stream ends."""
        self._give_back(item, "recipient-unavailable", "Not sent: the connection ended first.")

    # -- policy --------------------------------------------------------------------------------------------------------

    def _ruling(self, item: Outgoing) -> Ruling:
        room = item.found.kind in {Kind.GROUP_CHAT, Kind.MUC_PRIVATE}
        resolved = self._desk.resolved(item.found.contact, room=room)
        if not item.asked:
            item.lanes = self._desk.order(resolved)
            item.asked = True
        kind = _METHOD_KIND.get(item.found.kind, "")
        able = [lane for lane in item.lanes if kind in lane.harness.method.traits.kinds]
        memory = self._desk.memory(item.contact)
        state = State(
            reach=self._desk.reach(able, item.found.to or item.contact) if able else Reach.NONE,
            carries=bool(able) or not item.lanes,
            sticky=memory.sticky,
            cleared=memory.cleared,
            waited=self._waits.over(item.contact, resolved.when, self._now()),
        )
        without = evolve(state, reach=Reach.NONE, carries=True)
        item.required = decide(item.found.kind, resolved.when, without).outcome is not Outcome.PASS
        return decide(item.found.kind, resolved.when, state)

    def _try(self, item: Outgoing) -> None:
        ruling = self._ruling(item)
        match ruling.outcome:
            case Outcome.PASS:
                self._used(item, ruling)
                self._leave(item, self._offered(item))
            case Outcome.PROTECT:
                self._protect(item)
            case Outcome.HOLD | Outcome.WAIT:
                self._wait(item)
            case Outcome.TRIM | Outcome.BARE:
                self._reduced(item, ruling)
            case Outcome.TAKE:
                self._finish(
                    item, self._error(item, "service-unavailable", "Not sent: this address is the proxy's.")
                )
            case _:
                self._refuse(item, ruling)

    def _protect(self, item: Outgoing) -> None:
        kind = _METHOD_KIND[item.found.kind]
        lane = next(lane for lane in item.lanes if kind in lane.harness.method.traits.kinds)
        self._under_way[item.ref] = item
        lane.tell(
            Outbound(
                ref=item.ref,
                own=self._scene().own,
                peer=item.found.to or item.contact,
                stanza=item.stanza,
                required=item.required,
                again=item.again,
            )
        )

    def _wait(self, item: Outgoing) -> None:
        setting = self._desk.resolved(item.found.contact).when
        self._waits.begin(item.contact, self._now())
        self._lines.wait(Direction.OUT, item.contact, "it is found out what the contact can read")
        left = self._waits.until(item.contact, setting) - self._now()
        self._schedule(max(left, 0.0), lambda: self.retry(item.contact))

    def _reduced(self, item: Outgoing, ruling: Ruling) -> None:
        tree, found = item.stanza.tree, item.found
        outer = _new_id() if item.stanza.id is not None and item.stanza.kind == "message" else item.stanza.id
        if ruling.outcome is Outcome.BARE:
            address = {"to": item.stanza.to, "stanza_id": item.stanza.id}
            error = item.stanza.type == "error"
            raw: bytes | None = stripped(item.stanza, **address) if error else bare_result(**address)
        else:
            raw = trimmed(tree, found, Ids(outer=outer))
        if raw is None:
            self._refuse(item, evolve(ruling, outcome=Outcome.REFUSE, reason=Reason.NOTHING_LEFT))
        else:
            self._leave(item, raw)

    def _refuse(self, item: Outgoing, ruling: Ruling) -> None:
        whom = str(item.contact)
        words = refusal(item.found.kind, ruling, whom)
        self._finish(item, self._error(item, words.condition, words.text))

    def _used(self, item: Outgoing, ruling: Ruling) -> None:
        if ruling.by_word:
            self._desk.remember(item.contact, sticky.left_in_clear(self._desk.memory(item.contact)))

    # -- what a method made of it -------------------------------------------------------------------------------------

    def outcome(self, lane: Lane, event: Outbound, effect: e.Effect) -> bool:
        """Do what *lane* decided about a stanza in this guard's care; return whether *effect* was such a thing."""
        item = self._under_way.get(event.ref)
        if item is None:
            return False
        match effect:
            case e.Send():
                self._send(lane, item, effect)
            case e.Hold(why=why):
                del self._under_way[item.ref]
                item.again = True
                self._lines.wait(Direction.OUT, item.contact, why)
            case e.Return(condition=condition, why=why):
                self._finish(item, self._error(item, condition, f"Not sent. {why}"))
            case e.Decline(why=why) if self._desk.reach([lane], item.found.to or item.contact) in _IN_SESSION:
                # There is a session, so the user believes to be writing in it: clear text would be a surprise.
                self._finish(item, self._error(item, "not-acceptable", f"Not sent. {why}"))
            case e.Decline(offer=offer, adds=adds):
                del self._under_way[item.ref]
                item.lanes.remove(lane)
                item.offer = item.offer or offer
                item.adds += adds
                self._try(item)
            case _:
                return False
        return True

    def _send(self, lane: Lane, item: Outgoing, send: e.Send) -> None:
        view = self._desk.views[lane.name]
        if not all(view.usable(item.contact, key) for key in send.keys):
            self._refuse(item, Ruling(outcome=Outcome.REFUSE, reason=Reason.KEY))
            return
        try:
            raw = _protected(lane, item.stanza, send)
        except BadElement:
            why = f"Not sent: the encryption method {lane.name} made what is no XML; this is a bug of the method."
            self._finish(item, self._error(item, "internal-server-error", why))
            return
        if len(raw) > MOST_BYTES:
            why = f"Not sent: encrypted it has {len(raw)} bytes, and servers take at most {MOST_BYTES}."
            self._finish(item, self._error(item, "policy-violation", why))
            return
        if item.found.kind in {Kind.CHAT, Kind.SELF}:
            self._desk.remember(item.contact, sticky.text_encrypted(self._desk.memory(item.contact)))
        self._ways.to_server(raw)

    def settle(self, ref: Ref) -> None:
        """Take note that a method has said all it has to say about a stanza: unless it waits, the next one's turn."""
        item = self._under_way.get(ref)
        if item is not None:
            self._finish(item, None)

    def _offered(self, item: Outgoing) -> bytes:
        """Return the stanza that leaves in clear, with a method's offer behind its text."""
        body = item.stanza.child(BODY)
        if item.adds:
            return self._offer_behind(item, item.stanza.changed(item.stanza.appended(item.adds)))
        return item.stanza.raw if not item.offer or body is None else self._offer_behind(item, item.stanza)

    def _offer_behind(self, item: Outgoing, stanza: Stanza) -> bytes:
        body = stanza.child(BODY)
        if not item.offer or body is None:
            return stanza.raw
        start, end = (
            body.start_tag.removesuffix(b"/>").removesuffix(b">"),
            b"</" + _tag(body.start_tag) + b">",
        )
        text = escape_text(body.text + item.offer).encode()
        return stanza.replaced({body: start + b">" + text + end})

    # -- the ways it ends ---------------------------------------------------------------------------------------------

    def _leave(self, item: Outgoing, raw: bytes) -> None:
        self._ways.to_server(raw)
        self._finish(item, None)

    def _finish(self, item: Outgoing, to_client: bytes | None) -> None:
        if to_client is not None:
            self._ways.to_client(to_client)
        self._under_way.pop(item.ref, None)
        self._lines.done(Direction.OUT, item.contact)
        self.go_on(item.contact)

    def _give_back(self, item: Outgoing, condition: str, text: str) -> None:
        """Give back a stanza that stands in no line."""
        raw = self._error(item, condition, text)
        if raw is not None:
            self._ways.to_client(raw)

    def _error(self, item: Outgoing, condition: str, text: str) -> bytes | None:
        return error_to_client(item.stanza, condition, text, own=str(self._scene().own))


def _protected(lane: Lane, stanza: Stanza, send: e.Send) -> bytes:
    """Return the outer stanza: what is allowed outside, written anew, and the method's payload."""
    traits = lane.harness.method.traits
    outer = _new_id()
    beside = split(stanza.tree.children, Carries(traits.carries.value), Ids(outer=outer)).outside
    payload = {span.name for span in _elements(send.payload)}
    content = (
        b"".join(raw for raw in beside if not {span.name for span in _elements(raw)} & payload) + send.payload
    )
    if stanza.kind == "message":
        content += _KEPT if send.lasting else _NOT_KEPT
        if traits.wire.eme and (EME + names.SEPARATOR).encode() not in content:
            content += element("encryption", {"xmlns": EME, "namespace": traits.wire.eme})
    attributes = {"to": str(send.to), "type": stanza.type, "id": outer}
    return build(stanza.kind, attributes, content)


def _elements(raw: bytes) -> tuple[Span, ...]:
    """Return the elements in *raw*, which we or a method made. Raises BadElement if it is none of the door's payloads."""
    return read(b"<p xmlns='" + names.CLIENT.encode() + b"'>" + raw + b"</p>").children


def _bare_refusal(stanza: Stanza, why: str) -> bytes:
    """Return the error for a stanza that cannot be read, and so not be quoted."""
    content = element("not-acceptable", {"xmlns": names.STANZA_ERRORS}) + element(
        "text", {"xmlns": names.STANZA_ERRORS}, escape_text(f"Not sent: {why}").encode()
    )
    attributes = {"from": stanza.to, "id": stanza.id, "type": "error"}
    return build(stanza.kind, attributes, element("error", {"type": "modify", "code": "406"}, content))


def _tag(start_tag: bytes) -> bytes:
    return start_tag[1:].rstrip(b"/>").split(maxsplit=1)[0]


def _new_id() -> str:
    return uuid4().hex
