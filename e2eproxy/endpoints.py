"""What ``--listen`` may name, read from Twisted's endpoint strings without opening anything.

The client's login passes unchanged (SASL ``relay``), so whoever can connect can try passwords in clear, and a
client on TLS would bind its login to our channel and fail. That is why only plain loopback and Unix sockets are
let through here, each refusal with its reason. The strings are Twisted's (``twisted.internet.endpoints``), but
they are read here and not by ``serverFromString``, which would first load certificates and foreign plug-ins.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from attrs import frozen

from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_LISTEN = (r"tcp:5222:interface=127.0.0.1", r"tcp:5222:interface=\:\:1")
"""IPv4 and IPv6 loopback at the client port that RFC 6120 section 14.7 registers."""

DEFAULT_BACKLOG = 1024
"""Connections that may wait for ``accept``; the kernel cuts it to ``net.core.somaxconn``."""

UNIX_PATH_BYTES = 107
"""``sun_path`` of unix(7) without its terminating zero."""

_RELAY = "the client's login passes through unchanged, which is only safe on this machine itself"


class EndpointError(LocalError):
    """An endpoint string that cannot be read, or that is refused; the text says why."""


@frozen
class TCPEndpoint:
    """A loopback TCP address; *port* 0 lets the kernel choose."""

    host: str
    port: int
    backlog: int = DEFAULT_BACKLOG

    @property
    def place(self) -> tuple[str, ...]:
        """What two endpoints cannot share."""
        return ("tcp", self.host, str(self.port))


@frozen
class UnixEndpoint:
    """A Unix socket at the absolute *path*, with the permission bits *mode*."""

    path: str
    mode: int = 0o600
    backlog: int = DEFAULT_BACKLOG

    @property
    def place(self) -> tuple[str, ...]:
        """What two endpoints cannot share."""
        return ("unix", self.path)


@frozen
class InheritedEndpoint:
    """A listening socket handed in by systemd (sd_listen_fds(3)); its address is checked when it is opened."""

    description: str

    @property
    def place(self) -> tuple[str, ...]:
        """What two endpoints cannot share."""
        return ("systemd", self.description)


Endpoint = TCPEndpoint | UnixEndpoint | InheritedEndpoint


def read_endpoint(text: str) -> Endpoint:
    r"""Read a Twisted server endpoint string such as ``tcp:5222:interface=\:\:1``; raises EndpointError."""
    positional, named = _split(text)
    kind = positional[0].lower() if positional else ""
    if kind in {"ssl", "tls"}:
        raise EndpointError(
            f"a TLS listener is refused: {_RELAY}, and a client that binds its login to the TLS"
            " channel would be bound to ours and turned away; use tcp: on loopback, or unix:"
        )
    readers: dict[str, Callable[[list[str], dict[str, str]], Endpoint]]
    readers = {"tcp": _read_tcp, "tcp4": _read_tcp, "tcp6": _read_tcp, "unix": _read_unix}
    if kind == "systemd":
        return _read_systemd(text, positional, named)
    if kind not in readers:
        raise EndpointError(f"{kind or text!r} is no kind of listener; allowed: {ALLOWED}")
    return readers[kind](positional, named)


ALLOWED = (
    r"tcp:PORT:interface=127.0.0.1, tcp:PORT:interface=\:\:1, unix:PATH[:mode=600],"
    r" systemd:domain=INET|INET6|UNIX:index=N|name=NAME"
)
"""The forms that are let through, for error texts and the documentation."""


METRICS_ALLOWED = r"tcp:PORT:interface=127.0.0.1, tcp:PORT:interface=\:\:1"
"""The forms that are let through for the metrics."""
_COUNTS = "what is counted is for this machine alone"


def read_metrics_endpoint(text: str) -> TCPEndpoint:
    """Read where the metrics may be served, a string as above of a loopback port; raises EndpointError."""
    positional, named = _split(text)
    if not positional or positional[0].lower() not in {"tcp", "tcp4", "tcp6"}:
        raise EndpointError(f"allowed: {METRICS_ALLOWED}; the control socket serves them as well")
    return _read_tcp(positional, named, _COUNTS)


def is_loopback(host: str) -> bool:
    """Whether *host* is a literal loopback address: 127.0.0.0/8 or ::1 (RFC 1122, RFC 4291). A name never is."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return address.is_loopback
    return address == IPv6Address(1)


def _split(text: str) -> tuple[list[str], dict[str, str]]:
    """Split at unescaped colons into positional and ``name=value`` fields, a backslash taking the next literally."""
    positional: list[str] = []
    named: dict[str, str] = {}
    for name, value in _fields(text):
        if name is None:
            positional.append(value)
        elif name in named:
            raise EndpointError(f"{name}= is given twice")
        else:
            named[name] = value
    return positional, named


def _fields(text: str) -> Iterator[tuple[str | None, str]]:
    name: str | None = None
    value = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, None)
            if following is None:
                raise EndpointError("it ends with a lone backslash")
            value += following
        elif character == ":":
            yield name, value
            name, value = None, ""
        elif character == "=" and name is None:
            name, value = value, ""
        else:
            value += character
    yield name, value


def _read_tcp(positional: list[str], named: dict[str, str], why: str = _RELAY) -> TCPEndpoint:
    if len(positional) > 2:
        raise EndpointError(
            r"there are too many fields; the colons of an IPv6 address are written \: as in"
            r" tcp:5222:interface=\:\:1"
        )
    _only(named, {"port", "interface", "backlog"})
    given = [*positional[1:], *([named["port"]] if "port" in named else [])]
    if len(given) != 1:
        raise EndpointError("exactly one port is needed, as in tcp:5222:interface=127.0.0.1")
    port = _number("the port", given[0], 0, 65535)
    host = named.get("interface", "")
    if not is_loopback(host):
        where = repr(host) if host else "all addresses of this machine (no interface= is given)"
        raise EndpointError(
            f"listening on {where} is refused: {why}; add interface=127.0.0.1 or"
            r" interface=\:\:1 (an address, not a name)"
        )
    return TCPEndpoint(str(ip_address(host)), port, _backlog(named))


def _read_unix(positional: list[str], named: dict[str, str]) -> UnixEndpoint:
    _only(named, {"address", "mode", "backlog", "lockfile"})
    given = [*positional[1:], *([named["address"]] if "address" in named else [])]
    if len(given) != 1 or not given[0].startswith("/") or "\0" in given[0]:
        raise EndpointError("exactly one absolute path is needed, as in unix:/run/user/1000/e2eproxy.sock")
    if len(os.fsencode(given[0])) > UNIX_PATH_BYTES:
        raise EndpointError(
            f"the path is longer than the {UNIX_PATH_BYTES} bytes that a Unix socket may have"
        )
    mode = named.get("mode", "600")
    if not mode.isascii() or not mode.isdigit() or set(mode) & {"8", "9"} or int(mode, 8) > 0o777:
        raise EndpointError(f"mode={mode!r} is not allowed; allowed: octal permissions such as 600 or 660")
    return UnixEndpoint(os.path.normpath(given[0]), int(mode, 8), _backlog(named))


def _read_systemd(text: str, positional: list[str], named: dict[str, str]) -> InheritedEndpoint:
    _only(named, {"domain", "index", "name"})
    if len(positional) > 1:
        raise EndpointError("its fields have names, as in systemd:domain=INET:index=0")
    if named.get("domain") not in {"INET", "INET6", "UNIX"}:
        raise EndpointError(f"domain={named.get('domain', '')!r} is not allowed; allowed: INET, INET6, UNIX")
    if ("index" in named) == ("name" in named):
        raise EndpointError("exactly one of index= and name= is needed")
    if "index" in named:
        _number("the index", named["index"], 0, 1023)
    return InheritedEndpoint(text)


def _only(named: dict[str, str], known: set[str]) -> None:
    for name in named:
        if name not in known:
            raise EndpointError(f"{name}= is unknown here; allowed: {', '.join(sorted(known))}")


def _backlog(named: dict[str, str]) -> int:
    return _number("the backlog", named.get("backlog", str(DEFAULT_BACKLOG)), 1, 65535)


def _number(what: str, text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise EndpointError(f"{what} {text!r} is not allowed; allowed: {least} to {most}")
    return int(text)
