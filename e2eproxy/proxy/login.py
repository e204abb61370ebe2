"""Whose stream this is: the account, learnt from the server and from nobody else.

One daemon serves many accounts, so a hostile server must not be able to claim one of another domain: the address it
binds has to be in the domain it was verified for. Until then there is no account (DESIGN: "Authentication of the
client"). Sans-IO: elements in, the account out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.errors import StreamError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.domain import BadDomain, prepare_domain, unicode_domain
from e2eproxy.xmpp.jid import prepared as prepared_jid
from e2eproxy.xmpp.tree import Node, parse

if TYPE_CHECKING:
    from e2eproxy.xmpp.pieces import Element

_BIND: Final = names.BIND + names.SEPARATOR + "bind"
_BIND_JID: Final = names.BIND + names.SEPARATOR + "jid"
_LEGACY_QUERY: Final = names.LEGACY_AUTH + names.SEPARATOR + "query"
_LEGACY: Final = names.LEGACY_AUTH + names.SEPARATOR

#: An address has at most this many bytes: three parts of 1,023 and two separators (RFC 7622 section 3.1).
_LONGEST_JID: Final = 3 * 1023 + 2
#: What an IQ may be about before an address is bound: binding, the session of RFC 3921, XEP-0078 and XEP-0077.
LOGIN: Final = frozenset(
    (names.BIND, "urn:ietf:params:xml:ns:xmpp-session", names.LEGACY_AUTH, "jabber:iq:register")
)
#: Logins by XEP-0078 that may be under way at once; a client tries one.
_MOST_ATTEMPTS: Final = 8


@frozen
class Account:
    """Whom the server bound: the full JID as the server wrote it, and its prepared domain."""

    full_jid: str
    domain: str

    @property
    def bare_jid(self) -> str:
        """The account itself: the full JID without its resource, as the server wrote it."""
        return self.full_jid.partition("/")[0]


class Login:
    """Watches one stream until the server has bound an address; *domain* is the prepared domain it was verified for."""

    __slots__ = ("_attempts", "_binding", "_domain", "account", "authenticated")

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._attempts: dict[str, tuple[str, str]] = {}
        self._binding: set[str] = set()
        #: Whether the server has said that the client is who it claims to be.
        self.authenticated = False
        #: The address the server bound, once it did.
        self.account: Account | None = None

    @property
    def binding(self) -> bool:
        """Whether the client has asked for an address, and the server has not answered."""
        return bool(self._binding)

    def from_client(self, element: Element, root: bytes) -> bool:
        """Look at a stanza of a client that nobody has bound; return whether it may pass: it has to be part of a login.

        A login by XEP-0078 is noted, since its answer does not name the account. Raises StreamError if it cannot be read.
        """
        if element.name != names.IQ:
            return False
        iq = parse(root, element.raw)
        namespaces = [names.split_name(child.name)[0] for child in iq.children]
        if not namespaces or not LOGIN.issuperset(namespaces):
            return False
        if element.attribute("type") == "set":
            self._note(element.attribute("id") or "", iq)
        return True

    def _note(self, identifier: str, iq: Node) -> None:
        if iq.child(_BIND) is not None and len(self._binding) < _MOST_ATTEMPTS:
            self._binding.add(identifier)
        query = iq.child(_LEGACY_QUERY)
        if query is None:
            return
        user, resource = query.child(_LEGACY + "username"), query.child(_LEGACY + "resource")
        if user is not None and resource is not None and len(self._attempts) < _MOST_ATTEMPTS:
            self._attempts[identifier] = (user.text.strip(), resource.text.strip())

    def from_server(self, element: Element, root: bytes) -> Account | None:
        """Look at an element of the server; return the account if this one binds it.

        Raises StreamError ``not-authorized`` if the address is not one this server may give.
        """
        if element.name == names.SASL_SUCCESS:
            self.authenticated = True
            return None
        if self.account is not None or element.name != names.IQ:
            return None
        identifier = element.attribute("id") or ""
        attempt = self._attempts.pop(identifier, None)
        asked = identifier in self._binding
        self._binding.discard(identifier)
        if element.attribute("type") != "result":
            return None
        if attempt is not None:
            self.authenticated = True
            user, resource = attempt
            return self._bound(f"{user}@{unicode_domain(self._domain)}/{resource}")
        return self._bound_by(parse(root, element.raw), asked=asked) if self.authenticated else None

    def _bound_by(self, iq: Node, *, asked: bool) -> Account | None:
        bind = iq.child(_BIND)
        jid = None if bind is None else bind.child(_BIND_JID)
        if jid is None and asked:
            # The client would take itself for bound, and nobody would know who it is.
            raise StreamError("not-authorized", f"The server of {self._domain} bound no address.")
        return None if jid is None else self._bound(jid.text.strip())

    def _bound(self, full_jid: str) -> Account:
        bare, _, resource = full_jid.partition("/")
        local, at, domain = bare.rpartition("@")
        try:
            prepared = prepare_domain(domain)
        except BadDomain:
            prepared = ""
        whole = (
            at
            and local
            and "@" not in local
            and resource
            and len(full_jid.encode("utf-8", "replace")) <= _LONGEST_JID
        )
        if not whole or prepared != self._domain or prepared_jid(full_jid) is None:
            raise StreamError(
                "not-authorized",
                f"The server of {self._domain} bound an address that is not one of its own.",
            )
        self.account = Account(full_jid, prepared)
        return self.account
