"""One TCP connection to a host name: Happy Eyeballs, and a report on each address that was tried.

``HostnameEndpoint`` does the racing (RFC 8305). It reports only its last failure, and a user whose server is down
would read "network unreachable" because his machine has no IPv6; so each attempt is noted on its way through.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.protocol import ClientFactory
from zope.interface import alsoProvides

from e2eproxy.xmpp.bounded import within
from e2eproxy.xmpp.domain import is_loopback
from e2eproxy.xmpp.reaching import ConnectError, unreachable, unsafe

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall
    from twisted.internet.protocol import Factory
    from twisted.python.failure import Failure

#: Seconds for the addresses of one host and a TCP connection to one of them.
CONNECT_SECONDS: Final = 10.0
#: Addresses of one host that are tried.
MOST_ADDRESSES: Final = 12

_NO_NETWORK: Final = frozenset((errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL))


async def dial(reactor: Any, host: str, port: int, factory: Factory, *, loopback_only: bool) -> Any:  # noqa: ANN401
    """Connect to *port* of *host*, return the protocol that *factory* built for the first address that answered.

    Raises ConnectError: no address, none answers, or (with *loopback_only*) one that is not of this machine.
    """
    attempts = _Attempts(reactor, loopback_only=loopback_only)
    endpoint = HostnameEndpoint(attempts, host, port, timeout=CONNECT_SECONDS)
    try:
        return await within(CONNECT_SECONDS, endpoint.connect(factory), reactor)
    except CancelledError:
        raise
    except Exception as failure:  # noqa: BLE001 - every way in which a connection can fail becomes one report
        raise attempts.report(failure) from None


class NoAddressError(ConnectError):
    """A host name has no address; whether that is DNS's word or its silence, getaddrinfo does not tell."""


class _Attempts:
    """The reactor as ``HostnameEndpoint`` sees it; notes each address and how it failed."""

    def __init__(self, reactor: Any, *, loopback_only: bool) -> None:  # noqa: ANN401 - several interfaces in one
        self._reactor = reactor
        self._loopback_only = loopback_only
        self._foreign: str | None = None
        self._failures: dict[str, BaseException | None] = {}
        self.seconds: Callable[[], float] = reactor.seconds
        self.callLater: Callable[..., IDelayedCall] = reactor.callLater
        self.nameResolver = reactor.nameResolver
        alsoProvides(self, IReactorPluggableNameResolver)

    def connectTCP(  # noqa: N802 - IReactorTCP's name
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float,
        bindAddress: object = None,  # noqa: N803
    ) -> IConnector:
        if self._loopback_only and not is_loopback(host):
            self._foreign = host
            raise unsafe("not an address of this machine")
        if len(self._failures) >= MOST_ADDRESSES:
            raise unreachable("too many addresses")
        self._failures[host] = None
        noted = _Noted(factory, lambda failure: self._failures.update({host: failure}))
        connector: IConnector = self._reactor.connectTCP(host, port, noted, timeout, bindAddress)
        return connector

    def report(self, failure: BaseException) -> ConnectError:
        """Return what is to be said after all attempts have failed, the last with *failure*."""
        if self._foreign is not None:
            return unsafe(
                f"TLS is switched off, and that is only allowed to this machine itself, but {self._foreign} is not"
                " one of its loopback addresses. Set the upstream's TLS to starttls or direct."
            )
        if not self._failures:
            return _no_address(failure)
        reasons = {host: _reason(noted) for host, noted in self._failures.items()}
        offline = all(_errno(noted) in _NO_NETWORK for noted in self._failures.values())
        if len(set(reasons.values())) == 1:
            return unreachable(next(iter(reasons.values())), offline=offline)
        return unreachable(
            ", ".join(f"{reason} ({host})" for host, reason in reasons.items()), offline=offline
        )


class _Noted(ClientFactory):
    """Passes a connector's calls on to *factory*, and a failure to *note* as well."""

    noisy = False

    def __init__(self, factory: ClientFactory, note: Callable[[BaseException], None]) -> None:
        self._factory = factory
        self._note = note

    def startedConnecting(self, connector: IConnector) -> None:  # noqa: N802 - Twisted's name
        self._factory.startedConnecting(connector)

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ANN401, N802 - Twisted's name
        return self._factory.buildProtocol(addr)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        if reason.value is not None:
            self._note(reason.value)
        self._factory.clientConnectionFailed(connector, reason)


def _no_address(failure: BaseException) -> ConnectError:
    if isinstance(failure, error.DNSLookupError):
        return NoAddressError("host-unknown", "its name was not found in DNS")
    if isinstance(failure, DeferredTimeoutError):
        return unreachable(f"DNS gave no address within {CONNECT_SECONDS:.0f} s", offline=True)
    return unreachable(_reason(failure))


def _errno(failure: BaseException | None) -> int | None:
    if isinstance(failure, error.NoRouteError):
        return errno.ENETUNREACH
    number = getattr(failure, "osError", None)
    return number if isinstance(number, int) else None


def _reason(failure: BaseException | None) -> str:
    if failure is None or isinstance(
        failure, error.TimeoutError | DeferredTimeoutError | error.UserError | error.ConnectingCancelledError
    ):
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    if isinstance(failure, error.ConnectionRefusedError):
        return "connection refused"
    if isinstance(failure, error.NoRouteError):
        return "network unreachable"
    number = _errno(failure)
    if number is not None:
        return os.strerror(number).lower()
    return str(failure).rstrip(".") or type(failure).__name__
