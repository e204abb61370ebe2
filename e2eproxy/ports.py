"""The open listeners: all of a set are opened, or none.

On a change of the settings new ones open before old ones close, and what both sets name stays open untouched,
so that no client meets a closed door.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import CannotListenError

from e2eproxy.endpoints import (
    Endpoint,
    InheritedEndpoint,
    TCPEndpoint,
    UnixEndpoint,
    is_loopback,
    read_endpoint,
)
from e2eproxy.errors import LocalError
from e2eproxy.values import reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort, IProtocolFactory

NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
"""What the kernel says of ::1 where IPv6 is switched off or not built in."""


class ListenError(LocalError):
    """A listener that cannot be opened; *absent* if this machine has no such address at all."""

    def __init__(self, text: str, *, absent: bool = False) -> None:
        """Keep *text*, a sentence with what to do."""
        super().__init__(text)
        self.absent = absent


class Ports:
    """The listeners of one factory, by the place that each occupies."""

    def __init__(self, reactor: Any, factory: IProtocolFactory) -> None:  # noqa: ANN401  # four reactor interfaces
        """Open nothing yet; *reactor* provides IReactorTCP, IReactorUNIX and IReactorSocket."""
        self._reactor = reactor
        self._factory = factory
        self._open: dict[tuple[str, ...], IListeningPort] = {}
        self._endpoints: dict[tuple[str, ...], Endpoint] = {}

    @property
    def addresses(self) -> list[str]:
        """Where clients can connect: ``127.0.0.1:5222``, ``[::1]:5222``, ``unix:/run/e2eproxy.sock``."""
        return [address(port) for port in self._open.values()]

    def open(self, descriptions: Iterable[str], *, ipv6_optional: bool) -> Opened:
        """Open those of *descriptions* that are not open yet; raises ListenError with none of them left open.

        With *ipv6_optional* a machine without ::1 leaves that one out; its text is in the result's ``warnings``.
        """
        result = Opened()
        try:
            for endpoint in map(read_endpoint, descriptions):
                known = self._endpoints.get(endpoint.place, endpoint)
                if known != endpoint:
                    result.warnings.append(f"mode and backlog of {_where(endpoint)} change only at a restart")
                if endpoint.place not in self._open and endpoint.place not in result.wanted:
                    self._open_one(endpoint, result, ipv6_optional=ipv6_optional)
                result.wanted[endpoint.place] = known
        except BaseException:
            for port in result.ports.values():
                port.stopListening()
            raise
        return result

    def _open_one(self, endpoint: Endpoint, result: Opened, *, ipv6_optional: bool) -> None:
        try:
            result.ports[endpoint.place] = _listen(self._reactor, endpoint, self._factory)
        except ListenError as error:
            if not (
                error.absent and ipv6_optional and isinstance(endpoint, TCPEndpoint) and ":" in endpoint.host
            ):
                raise
            result.warnings.append("this machine has no IPv6 loopback address ::1; going on with IPv4 alone")

    def keep(self, opened: Opened) -> list[Deferred[None] | None]:
        """Make *opened* the whole set and close the others; connections that these accepted stay."""
        old = [port for place, port in self._open.items() if place not in opened.wanted]
        kept = {place: port for place, port in self._open.items() if place in opened.wanted}
        self._open = kept | opened.ports
        self._endpoints = {place: opened.wanted[place] for place in self._open}
        return [port.stopListening() for port in old]

    def close(self) -> list[Deferred[None] | None]:
        """Stop listening everywhere."""
        return self.keep(Opened())


class Opened:
    """What one call of ``Ports.open`` did: the new ports, all that was wanted, and what there is to tell."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.ports: dict[tuple[str, ...], IListeningPort] = {}
        self.wanted: dict[tuple[str, ...], Endpoint] = {}
        self.warnings: list[str] = []


def address(port: IListeningPort) -> str:
    """Where *port* listens, for people."""
    host: Any = port.getHost()
    name = getattr(host, "name", None)
    if name is not None:
        return f"unix:{os.fsdecode(name)}"
    return _joined(host.host, host.port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _where(endpoint: Endpoint) -> str:
    if isinstance(endpoint, TCPEndpoint):
        return _joined(endpoint.host, endpoint.port)
    return endpoint.path if isinstance(endpoint, UnixEndpoint) else endpoint.description


def _listen(reactor: Any, endpoint: Endpoint, factory: IProtocolFactory) -> IListeningPort:  # noqa: ANN401  # as above
    try:
        if isinstance(endpoint, TCPEndpoint):
            port = reactor.listenTCP(endpoint.port, factory, endpoint.backlog, interface=endpoint.host)
        elif isinstance(endpoint, UnixEndpoint):
            _clear_stale_socket(endpoint.path)
            port = reactor.listenUNIX(
                endpoint.path, factory, endpoint.backlog, mode=endpoint.mode, wantPID=False
            )
        else:
            port = _adopt(reactor, endpoint, factory)
    except CannotListenError as error:
        raise _explained(endpoint, error.socketError) from error
    except OSError as error:
        raise _explained(endpoint, error) from error
    return cast("IListeningPort", port)


def _explained(endpoint: Endpoint, error: Any) -> ListenError:  # noqa: ANN401  # Twisted puts text there as well
    number = getattr(error, "errno", None)
    advice = ""
    absent = number in NO_SUCH_ADDRESS or isinstance(error, socket.gaierror)
    if number == errno.EADDRINUSE:
        advice = "; another program listens there already: stop it, or choose another place with --listen"
    elif number in {errno.EACCES, errno.EPERM}:
        advice = "; this user may not: choose another place with --listen"
    elif absent:
        advice = "; this machine has no such address"
    return ListenError(f"cannot listen on {_where(endpoint)}: {reason(error)}{advice}", absent=absent)


def _clear_stale_socket(path: str) -> None:
    """Remove a socket that nobody listens on any more; one that is in use makes bind fail, as it should."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except ConnectionRefusedError:
        Path(path).unlink()
    except OSError:  # not there, busy, or not ours to judge: bind will say
        return


def _adopt(reactor: Any, endpoint: InheritedEndpoint, factory: IProtocolFactory) -> IListeningPort:  # noqa: ANN401
    """Listen on a socket of systemd's, if its address is one that we would have opened ourselves."""
    # Twisted itself takes LISTEN_FDS out of the environment when this is imported, so only it knows the number.
    from twisted.internet.endpoints import serverFromString  # noqa: PLC0415  # slow, and rarely needed

    try:
        adopted: Any = serverFromString(reactor, endpoint.description)  # type: ignore[no-untyped-call]  # Twisted's
        number, family = adopted.fileno, adopted.addressFamily
    except (ValueError, IndexError, KeyError) as error:
        raise ListenError(
            f"cannot listen on {endpoint.description}: systemd handed in no such socket; check the socket unit"
        ) from error
    with socket.socket(fileno=os.dup(number)) as inherited:
        _check_inherited(endpoint, inherited, family)
    os.set_blocking(number, False)
    os.set_inheritable(number, False)
    port = reactor.adoptStreamPort(number, family, factory)
    os.close(number)  # Twisted listens on a duplicate
    return cast("IListeningPort", _Borrowed(port) if family == socket.AF_UNIX else port)


class _Borrowed:
    """A Unix socket of systemd's, given back as it was.

    Twisted's own port would shut the shared socket down and delete its path, and systemd, which still holds it,
    would start nobody any more.
    """

    def __init__(self, port: Any) -> None:  # noqa: ANN401  # twisted.internet.unix.Port
        self._port = port

    def getHost(self) -> Any:  # noqa: ANN401, N802  # as IListeningPort has it
        return self._port.getHost()

    def stopListening(self) -> None:  # noqa: N802  # as IListeningPort has it
        self._port.stopReading()
        self._port.socket.close()


def _check_inherited(endpoint: InheritedEndpoint, inherited: socket.socket, family: int) -> None:
    complaint = ""
    if inherited.type != socket.SOCK_STREAM or not inherited.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        complaint = "it is no listening stream socket (ListenStream= and Accept=no)"
    elif inherited.family != family:
        complaint = f"it is of the family {inherited.family.name}, not of the domain named"
    elif inherited.family in {socket.AF_INET, socket.AF_INET6}:
        host = inherited.getsockname()[0]
        if not is_loopback(host):
            complaint = (
                f"its address {host} can be reached from other machines, and the client's login passes through"
                " unchanged; use ListenStream=127.0.0.1:5222, [::1]:5222 or a path"
            )
    elif inherited.family != socket.AF_UNIX:
        complaint = f"its family {inherited.family!r} is neither TCP nor Unix"
    if complaint:
        raise ListenError(f"the socket {endpoint.description} is refused: {complaint}")
