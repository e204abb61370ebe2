"""The words in which finding and reaching a server are spoken about: the settings, a place to try, the failure."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from e2eproxy.errors import StreamError

Security = Literal["starttls", "direct", "none"]


@frozen
class UpstreamSettings:
    """How a server is found and what it has to prove.

    ``address``: host and port instead of SRV records. ``tls``: None lets SRV decide (with an address: ``starttls``);
    ``none`` holds for loopback only. ``ca_file``: PEM file of the authorities trusted instead of the system's.
    ``pins``: SHA-256 values (32 bytes each) of the SubjectPublicKeyInfo of certificates that are accepted, on top of
    the check by authority and name; with ``pin_only`` instead of it.
    """

    address: tuple[str, int] | None = None
    tls: Security | None = None
    ca_file: str | None = None
    pins: tuple[bytes, ...] = ()
    pin_only: bool = False


@frozen
class Candidate:
    """A place where the server may be: TCP host and port, and how TLS is begun there."""

    host: str
    port: int
    security: Security

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


#: What the user can look at when no place could be reached, and when DNS knows of none.
NEXT: Final = "Is this machine online, and the server up? Another address of it is set with --upstream."
MISSPELT: Final = "Look whether the domain of the account is spelt right in your client."


class ConnectError(StreamError):
    """The server could not be reached, or not safely. ``condition`` and ``text`` are for the client as they are.

    ``final``: another address must not be tried, since what happened may be an attack.
    ``offline``: it looks as if there were no network; waiting a little may help.
    """

    def __init__(self, condition: str, text: str, *, final: bool = False, offline: bool = False) -> None:
        super().__init__(condition, text)
        self.final = final
        self.offline = offline


def unreachable(text: str, *, offline: bool = False) -> ConnectError:
    """Return the failure of one place, after which another may be tried; *text* is a clause without a full stop."""
    return ConnectError("remote-connection-failed", text, offline=offline)


def unsafe(text: str) -> ConnectError:
    """Return the failure after which no other place is tried; *text* is whole sentences."""
    return ConnectError("policy-violation", text, final=True)


def printable(text: str, longest: int = 200) -> str:
    """Return what a peer wrote on one line, without control characters, of at most *longest* characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return clean if len(clean) <= longest else clean[:longest] + "..."
