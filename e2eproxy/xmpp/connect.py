"""From a domain to a checked connection with its server: find the places, try them in order, say what went wrong.

The client trusts the proxy with its server's identity, so this is strict: a place that cannot be reached leads to
the next one, a place that cannot be trusted ends it. Nothing falls back to less security (law 1).
"""

from __future__ import annotations

from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from e2eproxy.xmpp.bounded import within
from e2eproxy.xmpp.dial import NoAddressError, dial
from e2eproxy.xmpp.domain import BadDomain, ip_literal, is_local, is_loopback, prepare_domain
from e2eproxy.xmpp.reaching import (
    MISSPELT,
    NEXT,
    Candidate,
    ConnectError,
    Security,
    UpstreamSettings,
    printable,
    unreachable,
    unsafe,
)
from e2eproxy.xmpp.srv import RandomSource, ServiceResolver, SystemResolver, in_order, look_up
from e2eproxy.xmpp.tls import ServerTLS
from e2eproxy.xmpp.upstream import Opening, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.python.failure import Failure

__all__ = ["ConnectError", "Connector", "Upstream", "UpstreamSettings"]

#: Seconds for STARTTLS and the TLS handshake on one connection.
SECURE_SECONDS: Final = 15.0
#: Seconds for everything.
WHOLE_SECONDS: Final = 45.0
#: Seconds during which it is tried again while there seems to be no network, and the first and longest pause.
OFFLINE_SECONDS: Final = 15.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 4.0

_PORTS: Final[dict[Security, int]] = {"starttls": 5222, "direct": 5223, "none": 5222}

_log = Logger()


@define
class _Search:
    """One search for a server: what it is for, and what was tried so far."""

    domain: str
    redirect: tuple[str, int] | None
    # Whether "not found" may only mean that DNS did not answer.
    uncertain: bool = True
    tried: list[tuple[Candidate, ConnectError]] = field(factory=list)

    def failure(self, last: str = "") -> ConnectError:
        """Return what to say when no place is left."""
        if (
            not last
            and not self.uncertain
            and all(isinstance(error, NoAddressError) for _, error in self.tried)
        ):
            return ConnectError(
                "host-unknown", f"There is no server for {self.domain}: DNS does not know it. {MISSPELT}"
            )
        places = [f"{candidate}: {error.text}" for candidate, error in self.tried]
        conditions = {error.condition for _, error in self.tried} - {"host-unknown"}
        condition = conditions.pop() if len(conditions) == 1 and not last else "remote-connection-failed"
        tried = "; ".join(dict.fromkeys(places))
        text = f"The server of {self.domain} could not be reached{last}."
        return ConnectError(condition, f"{text} Tried {tried}. {NEXT}" if tried else f"{text} {NEXT}")


class Connector:
    """Connects to the server of any domain under one set of settings.

    *reactor*: TCP, time and name resolution. *resolver*: asked for SRV records (None: what /etc/resolv.conf names).
    *random*: order of SRV records and jitter. Raises LocalError if the settings cannot be used.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several interfaces of Twisted's reactor in one object
        settings: UpstreamSettings,
        *,
        resolver: ServiceResolver | None = None,
        random: RandomSource | None = None,
    ) -> None:
        self._reactor = reactor
        self.settings = settings
        self._resolver = SystemResolver(reactor) if resolver is None else resolver
        self._random = SystemRandom() if random is None else random
        self._tls = ServerTLS(settings, reactor)

    def connect(self, domain: str, redirect: tuple[str, int] | None = None) -> Deferred[Upstream]:
        """Connect to the server of *domain*, or to where it sent us (*redirect*), checked for *domain* either way.

        Fails with ConnectError, within 45 s; when cancelled, with CancelledError, and no socket is left.
        """
        try:
            search = _Search(prepare_domain(domain), redirect)
        except BadDomain as error:
            failed: Deferred[Upstream] = Deferred()
            failed.errback(ConnectError("host-unknown", str(error)))
            return failed

        def explain(failure: Failure) -> Failure:
            if not isinstance(failure.value, DeferredTimeoutError):
                return failure
            raise search.failure(f" within {WHOLE_SECONDS:g} s")

        connecting = within(WHOLE_SECONDS, Deferred.fromCoroutine(self._search(search)), self._reactor)
        connecting.addErrback(explain)
        return connecting

    async def _search(self, search: _Search) -> Upstream:
        began = self._reactor.seconds()
        pause = FIRST_PAUSE
        while True:
            search.tried.clear()
            upstream = await self._try_all(search, await self._candidates(search))
            if upstream is not None:
                return upstream
            offline = all(
                error.offline or (isinstance(error, NoAddressError) and search.uncertain)
                for _, error in search.tried
            )
            wait = pause * (0.5 + self._random.random())
            if not offline or self._reactor.seconds() - began + wait > OFFLINE_SECONDS:
                raise search.failure()
            _log.info(
                "no network for {domain} yet, trying again in {wait:.1f} s", domain=search.domain, wait=wait
            )
            await deferLater(self._reactor, wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    # -- where to go ---------------------------------------------------------------------------------------------

    async def _candidates(self, search: _Search) -> list[Candidate]:
        domain, wanted = search.domain, self.settings.tls
        if search.redirect is not None:
            return [self._redirected(*search.redirect)]
        if self.settings.address is not None:
            host, port = self.settings.address
            return [Candidate(_dialled(host), port, wanted or "starttls")]
        plain: Security = wanted or "starttls"
        fallback = Candidate(_dialled(domain), _PORTS[plain], plain)
        literal = ip_literal(domain)
        if wanted == "none" and not (is_local(domain) or (literal is not None and is_loopback(str(literal)))):
            raise unsafe(
                f"TLS is switched off, which is only allowed to a server on this machine, and {domain} is not that."
                " Set the upstream's TLS to starttls or direct."
            )
        if literal is not None or is_local(domain):
            search.uncertain = False
            return [fallback]
        return await self._services(search, fallback)

    async def _services(self, search: _Search, fallback: Candidate) -> list[Candidate]:
        wanted: Iterable[Security] = (
            ("starttls", "direct") if self.settings.tls is None else (self.settings.tls,)
        )
        services = await look_up(self._resolver, search.domain, wanted, self._reactor)
        states = {service.state for service in services}
        search.uncertain = "failed" in states
        records = [record for service in services for record in service.records]
        if records:
            return in_order(records, self._random)
        if "refused" in states:
            raise ConnectError(
                "host-unknown",
                f"{search.domain} says in DNS that it has no XMPP server for clients.",
                final=True,
            )
        return [fallback]

    def _redirected(self, host: str, port: int) -> Candidate:
        if self.settings.tls == "none":
            raise unsafe("The server wants to send us to another host, which is only followed inside TLS.")
        try:
            target = prepare_domain(host)
        except BadDomain:
            target = ""
        if not target or not 0 < port < 65536:
            raise unsafe(f"The server wants to send us to {printable(host, 80)!r}, which is no host.")
        return Candidate(_dialled(target), port, self.settings.tls or "starttls")

    # -- trying --------------------------------------------------------------------------------------------------

    async def _try_all(self, search: _Search, candidates: list[Candidate]) -> Upstream | None:
        for candidate in candidates:
            try:
                upstream = await self._try(candidate, search.domain)
            except ConnectError as error:
                _log.debug("{candidate}: {reason}", candidate=str(candidate), reason=error.text)
                if error.final:
                    raise self._final(candidate, search.domain, error) from None
                search.tried.append((candidate, error))
            else:
                _log.info("connected for {domain}: {how}", domain=search.domain, how=upstream.description)
                return upstream
        return None

    async def _try(self, candidate: Candidate, domain: str) -> Upstream:
        factory = _OpeningFactory(candidate, domain, self._tls)
        loopback_only = candidate.security == "none"
        opening: Opening = await dial(
            self._reactor, candidate.host, candidate.port, factory, loopback_only=loopback_only
        )
        try:
            return await within(SECURE_SECONDS, opening.begin(), self._reactor)
        except DeferredTimeoutError:
            raise unreachable(f"no TLS connection within {SECURE_SECONDS:g} s") from None

    @staticmethod
    def _final(candidate: Candidate, domain: str, error: ConnectError) -> ConnectError:
        text = f"Not connected to {domain} at {candidate}. {error.text}"
        return ConnectError(error.condition, text, final=True)


class _OpeningFactory(Factory):
    noisy = False

    def __init__(self, candidate: Candidate, domain: str, tls: ServerTLS) -> None:
        self._candidate = candidate
        self._domain = domain
        self._tls = tls

    def buildProtocol(self, addr: object) -> Opening:  # noqa: ARG002, N802 - Twisted's
        return Opening(self._candidate, self._domain, self._tls)


def _dialled(host: str) -> str:
    """Return *host* as a connection wants it: an IPv6 address without brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host
