"""Where a domain says its servers are: SRV records of both kinds, in the order to try them.

``_xmpp-client`` (STARTTLS) and ``_xmpps-client`` (direct TLS) are asked for at once and merged by priority and
weight (RFC 2782, RFC 6120 section 3.2.1, XEP-0368). DNS is not trusted: whatever it says, the certificate is checked
for the domain. Randomness, clock and resolver are handed in (law 7).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import AuthoritativeDomainError, DNSNameError, DomainError

from e2eproxy.xmpp.bounded import within
from e2eproxy.xmpp.domain import BadDomain, ip_literal, prepare_domain
from e2eproxy.xmpp.reaching import Candidate, Security

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IReactorTime

#: Seconds until an unanswered query is repeated, for each of the name servers.
QUERY_SECONDS: Final = (1, 2, 3)
#: Seconds for both queries, all repetitions included.
LOOKUP_SECONDS: Final = 10.0
#: Records of one answer that are looked at, and places that are tried.
MOST_RECORDS: Final = 64
MOST_CANDIDATES: Final = 10

SERVICES: Final[tuple[tuple[str, Security], ...]] = (
    ("_xmpp-client", "starttls"),
    ("_xmpps-client", "direct"),
)

_log = Logger()


class RandomSource(Protocol):
    """What is needed of ``random.Random``."""

    def randint(self, a: int, b: int, /) -> int: ...
    def random(self) -> float: ...


class ServiceResolver(Protocol):
    """What is needed of twisted.names: the records as (answers, authority, additional)."""

    def lookupService(self, name: str, timeout: Sequence[int]) -> Deferred[Any]: ...  # noqa: N802 - Twisted's name


@frozen
class SrvRecord:
    """One SRV record and the way TLS is begun with it."""

    priority: int
    weight: int
    candidate: Candidate


@frozen
class Service:
    """What DNS says about one service.

    ``offered``: it has records. ``absent``: it has none. ``refused``: its target is ``.``, the domain does not
    offer it. ``failed``: there was no proper answer in time.
    """

    state: Literal["offered", "absent", "refused", "failed"]
    records: tuple[SrvRecord, ...] = ()


def in_order(records: Iterable[SrvRecord], random: RandomSource) -> list[Candidate]:
    """Return the candidates by priority, and among equals by weighted chance (RFC 2782, "Usage rules")."""
    by_priority: dict[int, list[SrvRecord]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    ordered: list[Candidate] = []
    for priority in sorted(by_priority):
        # Weight 0 first: then it is chosen only when the random number is 0.
        left = sorted(by_priority[priority], key=lambda record: record.weight != 0)
        while left:
            ordered.append(left.pop(_choose(left, random)).candidate)
    return list(dict.fromkeys(ordered))[:MOST_CANDIDATES]


def _choose(records: list[SrvRecord], random: RandomSource) -> int:
    number = random.randint(0, sum(record.weight for record in records))
    for at, record in enumerate(records):
        number -= record.weight
        if number <= 0:
            return at
    return len(records) - 1


async def look_up(
    resolver: ServiceResolver, domain: str, wanted: Iterable[Security], clock: IReactorTime
) -> tuple[Service, ...]:
    """Ask for the *wanted* services of the prepared *domain* at once. Fails only if cancelled."""
    queries = [
        Deferred.fromCoroutine(_look_up_one(resolver, f"{label}._tcp.{domain}", security, clock))
        for label, security in SERVICES
        if security in wanted
    ]
    try:
        return tuple([await query for query in queries])
    finally:
        for query in queries:
            query.cancel()
            query.addErrback(lambda _cancelled: None)


async def _look_up_one(
    resolver: ServiceResolver, name: str, security: Security, clock: IReactorTime
) -> Service:
    query = defer.maybeDeferred(resolver.lookupService, name, timeout=QUERY_SECONDS)
    try:
        answers, _, _ = await within(LOOKUP_SECONDS, query, clock)
        return _read(answers, security)
    except defer.CancelledError:
        raise
    except (DNSNameError, AuthoritativeDomainError):
        return Service("absent")
    except Exception as error:  # noqa: BLE001 - law 6: whatever a resolver makes of foreign bytes is "no answer"
        if type(error) is DomainError:
            return Service("absent")
        _log.debug("no answer to the SRV query {name}: {error!r}", name=name, error=error)
        return Service("failed")


def _read(answers: Iterable[Any], security: Security) -> Service:
    payloads = [answer.payload for answer in answers if answer.type == dns.SRV][:MOST_RECORDS]
    targets = [payload.target.name.decode("ascii", "replace").rstrip(".") for payload in payloads]
    if payloads and not any(targets):
        return Service("refused")
    records = []
    for payload, target in zip(payloads, targets, strict=True):
        host = _host(target)
        if host is not None and 0 < payload.port < 65536:
            records.append(
                SrvRecord(payload.priority, payload.weight, Candidate(host, payload.port, security))
            )
    return Service("offered", tuple(records)) if records else Service("absent")


def _host(target: str) -> str | None:
    """Return the SRV *target* prepared, or None if it is no host name: an address is not allowed there."""
    try:
        host = prepare_domain(target)
    except BadDomain:
        return None
    return None if ip_literal(host) else host


class SystemResolver:
    """Asks the name servers that /etc/resolv.conf names at that moment.

    Each query has a resolver of its own: a laptop's name servers change, and a shared resolver would join equal
    queries of different clients, so that one client's cancelling fails the other's.
    """

    def __init__(self, reactor: Any, read: Callable[[], str] | None = None) -> None:  # noqa: ANN401 - many interfaces
        self._reactor = reactor
        self._read = _resolv_conf if read is None else read

    def lookupService(self, name: str, timeout: Sequence[int]) -> Deferred[Any]:  # noqa: N802 - Twisted's name
        resolver: Any = Resolver(  # type: ignore[no-untyped-call]  # Twisted's, not annotated
            servers=name_servers(self._read()), reactor=self._reactor
        )
        query: Deferred[Any] = resolver.lookupService(name, timeout)

        def close(result: Any) -> Any:  # noqa: ANN401 - passed through
            # Left open by Twisted after an answer that was too long for UDP.
            for connection in list(resolver.connections):
                connection.transport.loseConnection()
            return result

        return query.addBoth(close)


def name_servers(resolv_conf: str) -> list[tuple[str, int]]:
    """Return address and port of the name servers in the text of a resolv.conf(5), or of this machine's own."""
    fields = [line.split() for line in resolv_conf.splitlines()]
    servers = [field[1] for field in fields if len(field) > 1 and field[0] == "nameserver"]
    return [(server, dns.PORT) for server in servers if ip_literal(server)] or [("127.0.0.1", dns.PORT)]


def _resolv_conf() -> str:
    try:
        with Path("/etc/resolv.conf").open(encoding="utf-8", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""
