"""A minimal XMPP server inside the process, for the demo and for fast tests only: never a server for people.

Its users are fixed and thrown away with it, all of them have each other as contacts, nothing is kept for anybody who is
offline, and there is no network in it. It knows what two clients need to talk: login (``server_stream``), roster, presence,
and the routing of messages and IQs by RFC 6121; and PEP's publishing and looking up, for methods with published keys.
Whatever a client sends it, it hands to *seen* as it came: that is what any server sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from e2eproxy.demo.server_stream import Stream
from e2eproxy.xmpp import names
from e2eproxy.xmpp.jid import JID, prepared
from e2eproxy.xmpp.roster import ROSTER
from e2eproxy.xmpp.stanza import Stanza, build, element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from e2eproxy.xmpp.spans import Span

DISCO: Final = "http://jabber.org/protocol/disco#info"
PUBSUB: Final = "http://jabber.org/protocol/pubsub"
#: Items of one node; the oldest goes first.
MOST_ITEMS: Final = 20


@define(eq=False)
class Account:
    """*jid*: bare. ``streams`` by resource; ``published`` by node and item id, each item as it stands alone."""

    jid: JID
    password: str = field(repr=False)
    streams: dict[str, Stream] = field(factory=dict, repr=False)
    published: dict[str, dict[str, bytes]] = field(factory=dict, repr=False)

    @property
    def available(self) -> list[Stream]:
        """The streams that have sent presence."""
        return [one for one in self.streams.values() if one.presence is not None]


class Server:
    """The server of *domain*. *users*: passwords by name; *random*: bytes for ids; *seen*: told (full JID, stanza)."""

    def __init__(
        self,
        domain: str,
        users: Mapping[str, str],
        *,
        random: Callable[[int], bytes],
        seen: Callable[[JID, Stanza], None],
    ) -> None:
        self.domain = domain
        self.random = random
        self._seen = seen
        self.accounts = {name: Account(JID(name, domain), word) for name, word in users.items()}

    def connection(self) -> Stream:
        """Return the protocol of a client that has just connected."""
        return Stream(self)

    def log_in(self, user: str, password: str) -> Account | None:
        """Return the account of *user*, None if there is none or *password* is another one's."""
        account = self.accounts.get(user)
        return account if account is not None and account.password == password else None

    def find(self, jid: JID, asker: Account) -> Account | None:  # noqa: ARG002 - not every server gives all the same answer
        """Return what *asker* is to take for the account of *jid*."""
        return self.accounts.get(jid.local) if jid.domain == self.domain else None

    def contacts(self, account: Account) -> Iterable[Account]:
        """Return the accounts that *account* exchanges presence with."""
        return [one for one in self.accounts.values() if one is not account]

    def deliver(self, stanza: Stanza, stream: Stream) -> None:
        """Bring *stanza*, stamped, to *stream*."""
        stream.send(stanza.standalone())

    # -- routing -------------------------------------------------------------------------------------------------------

    def take(self, stream: Stream, stanza: Stanza) -> None:
        """Route what the client of *stream*, which is bound, sent."""
        own, account = stream.jid, stream.account
        if own is None or account is None:
            raise AssertionError("a stanza of a stream that nobody bound")
        self._seen(own, stanza)
        to = own.bare if stanza.to is None else prepared(stanza.to)
        if to is None:
            self._refuse(stream, stanza, "jid-malformed")
            return
        stamped = stanza.changed(stanza.with_attributes({"from": str(own), "to": str(to)}))
        if stanza.kind == "presence":
            self._presence(stream, account, stamped, to, directed=stanza.to is not None)
        elif stanza.kind == "iq" and not to.full and stanza.type in {"get", "set"}:
            self._request(stream, account, stamped, to)
        else:
            self._to_clients(stream, account, stamped, to)

    def _to_clients(self, stream: Stream, account: Account, stanza: Stanza, to: JID) -> None:
        found = self.find(to, account)
        exact = None if found is None else found.streams.get(to.resource)
        anybody = stanza.kind == "message" and found is not None and exact is None
        receivers = [exact] if exact is not None else found.available if anybody and found is not None else []
        if not receivers and stanza.type not in {"error", "result"}:
            self._refuse(stream, stanza, "service-unavailable")
        for one in receivers:
            self.deliver(stanza, one)

    def _presence(self, stream: Stream, account: Account, stanza: Stanza, to: JID, *, directed: bool) -> None:
        if directed:
            found = self.find(to, account)
            if found is not None and stanza.type in {None, "unavailable"}:
                for one in found.available:
                    if to in {one.jid, found.jid}:
                        self.deliver(stanza, one)
            return
        if stanza.type not in {None, "unavailable"}:
            return
        first = stream.presence is None
        stream.presence = stanza if stanza.type is None else None
        self._broadcast(account, stanza)
        if first and stream.presence is not None:
            for contact in self.contacts(account):
                for one in contact.available:
                    if one.presence is not None:
                        self.deliver(one.presence, stream)

    def _broadcast(self, account: Account, stanza: Stanza) -> None:
        for one in (account, *self.contacts(account)):
            for receiver in one.available:
                self.deliver(stanza, receiver)

    def left(self, stream: Stream, jid: JID, account: Account) -> None:
        """Tell the contacts that *stream*, which was bound to *jid*, is over."""
        if stream.presence is not None:
            stream.presence = None
            head = {"type": "unavailable", "from": str(jid)}
            self._broadcast(account, Stanza.parse(build("presence", head)))

    # -- requests to the server and to accounts --------------------------------------------------------------------------

    def _request(self, stream: Stream, account: Account, stanza: Stanza, to: JID) -> None:
        payload = stanza.children[0] if len(stanza.children) == 1 else None
        namespace, local = names.split_name("" if payload is None else payload.name)
        about_own = to == account.jid or not to.local
        answer: bytes | None = None
        if payload is not None and (namespace, local) == (PUBSUB, "pubsub"):
            answer = self._pubsub(account, stanza, payload, to)
        elif namespace == ROSTER and about_own and stanza.type == "get":
            answer = self._roster(account)
        elif namespace == DISCO and about_own and stanza.type == "get":
            kind = element("identity", {"category": "server", "type": "im", "name": "the demo's server"})
            answer = element("query", {"xmlns": DISCO}, kind)
        if answer is None:
            self._refuse(stream, stanza, "service-unavailable")
        else:
            head = {"type": "result", "from": str(to), "to": str(stream.jid), "id": stanza.id}
            stream.send(build("iq", head, answer))

    def _roster(self, account: Account) -> bytes:
        contacts = self.contacts(account)
        items = [element("item", {"jid": str(one.jid), "subscription": "both"}) for one in contacts]
        return element("query", {"xmlns": ROSTER}, b"".join(items))

    def _pubsub(self, account: Account, stanza: Stanza, pubsub: Span, to: JID) -> bytes | None:
        """Publish at the own account, or look up what an account has published; None for all else."""
        if len(pubsub.children) != 1:
            return None
        what = pubsub.children[0]
        node = what.attributes.get("node", "")
        owner = self.find(to, account)
        if what.local_name == "publish" and stanza.type == "set" and owner is account:
            kept = account.published.setdefault(node, {})
            for item in what.children:
                name = item.attributes.get("id") or self.random(8).hex()
                kept.pop(name, None)
                kept[name] = stanza.standalone_part(item)
            while len(kept) > MOST_ITEMS:
                del kept[next(iter(kept))]
            return b""
        if what.local_name == "items" and stanza.type == "get" and owner is not None:
            items = b"".join(owner.published.get(node, {}).values())
            return element("pubsub", {"xmlns": PUBSUB}, element("items", {"node": node}, items))
        return None

    def _refuse(self, stream: Stream, stanza: Stanza, condition: str) -> None:
        """Send *stanza* back as an error, unless it is one."""
        if stanza.type in {"error", "result"} or stanza.kind == "presence":
            return
        what = element(condition, {"xmlns": names.STANZA_ERRORS})
        head = {"type": "error", "from": stanza.to, "to": str(stream.jid), "id": stanza.id}
        stream.send(build(stanza.kind, head, element("error", {"type": "cancel"}, what)))
