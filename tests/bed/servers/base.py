"""What Prosody and ejabberd have in common: a process with throw-away data that answers on loopback ports."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from attrs import frozen

from bed.certificates import ANONYMOUS_DOMAIN, DOMAIN, Certificates
from bed.child import Child
from bed.polling import BedError, wait_until
from bed.ports import reserve_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

Profile = Literal["strict", "plain", "local", "scram", "plus"]
"""How the server lets clients in:

``strict``  TLS required, SCRAM only: a well-run server
``plain``   TLS optional, PLAIN as well, with and without TLS: an old server
``local``   no STARTTLS at all, PLAIN as well: how a listener on loopback looks
``scram``   no STARTTLS at all, SCRAM only: keeps out clients that only know PLAIN
``plus``    as strict, but TLS 1.2, where both servers offer SCRAM with channel binding
"""

STREAM_HEADER = (
    "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


@frozen
class Account:
    """One account of a server."""

    user: str
    domain: str
    password: str

    @property
    def jid(self) -> str:
        """The bare JID."""
        return f"{self.user}@{self.domain}"


@frozen
class Login:
    """One successful login, as the server's own log tells it."""

    jid: str
    secure: bool


class Server(ABC):
    """A server on ``port`` (STARTTLS or plain, by profile) and ``tls_port`` (direct TLS)."""

    kind: ClassVar[str]
    start_timeout: ClassVar[float] = 30

    def __init__(
        self,
        certificates: Certificates,
        *,
        profile: Profile = "strict",
        mam: bool = True,
        certificate: Literal["server", "rogue"] = "server",
        directory: Path | None = None,
    ) -> None:
        """Prepare a server; all its data goes below *directory* (default: a temporary one, removed at the end).

        *mam* off: archive nothing, for measurements. *certificate*: ``rogue`` chains to no authority.
        """
        self.certificates = certificates
        self.pair = certificates.rogue if certificate == "rogue" else certificates.server
        self.profile = profile
        self.mam = mam
        self.domain = DOMAIN
        self.anonymous_domain = ANONYMOUS_DOMAIN
        self._given = directory
        self.directory = Path()
        self.port = self.tls_port = 0
        self.child: Child | None = None
        self._numbers = itertools.count(1)

    # What each server does in its own way.

    @abstractmethod
    def prepare(self) -> tuple[list[str], Mapping[str, str]]:
        """Write the configuration; return the command and its additional environment."""

    @abstractmethod
    def register(self, account: Account) -> None:
        """Create *account* on the running server."""

    @abstractmethod
    def add_contact(self, account: Account, contact: Account) -> None:
        """Put *contact* on the roster of *account* (not logged in), subscribed both ways."""

    @abstractmethod
    def dismiss(self, account: Account) -> None:
        """End the streams of *account* from the server's side: a stream error, and the end of the stream."""

    @abstractmethod
    def logins(self) -> list[Login]:
        """All successful SASL logins so far, oldest first."""

    @abstractmethod
    def version(self) -> str:
        """The version of the installed server."""

    # What they share.

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._running().pid

    @property
    def log(self) -> Path:
        """The file with everything that the server logs."""
        return self.directory / "server.log"

    def start(self) -> Self:
        """Start it and wait until it answers a stream header."""
        self.directory = self._given or Path(tempfile.mkdtemp(prefix=f"bed-{self.kind}-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self.port, self.tls_port = reserve_port(), reserve_port()
        argv, extra = self.prepare()
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
            **extra,
        }
        self.child = child = Child(
            argv, log=self.directory / "output.log", cwd=self.directory, environment=environment
        )

        def look() -> bool:
            child.require_running()
            return self.answers()

        wait_until(look, f"{self.kind} to answer", timeout=self.start_timeout, instead=self.tail)

    def answers(self) -> bool:
        """Whether a stream header is answered with stream features."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(STREAM_HEADER.format(domain=self.domain).encode())
                seen = b""
                while b"features>" not in seen and (more := connection.recv(4096)):
                    seen += more
                return b"features>" in seen
        except OSError:
            return False

    def account(self, name: str) -> Account:
        """Register a new account whose user name starts with *name* and has not been used before."""
        number = next(self._numbers)
        account = Account(user=f"{name}{number}", domain=self.domain, password=f"secret-{name}-{number}")
        self.register(account)
        return account

    def pair_of(self, one: str = "romeo", other: str = "juliet") -> tuple[Account, Account]:
        """Two new accounts that are on each other's roster."""
        first, second = self.account(one), self.account(other)
        self.befriend(first, second)
        return first, second

    def befriend(self, one: Account, other: Account) -> None:
        """Subscribe two accounts, neither logged in yet, to each other's presence."""
        self.add_contact(one, other)
        self.add_contact(other, one)

    def require_login(self, account: Account, *, secure: bool, timeout: float = 10) -> None:
        """Wait until the server's log tells of a login of *account*, over TLS (*secure*) or in plain text."""
        wanted = Login(jid=account.jid, secure=secure)
        wait_until(
            lambda: wanted in self.logins(), f"{wanted} in the log", timeout=timeout, instead=self.tail
        )

    def tail(self) -> str:
        """The end of the server's log, and what it wrote to its standard output and error."""
        return f"{self.log_text()[-4000:]}\n{self.child.tail() if self.child else ''}"

    def log_text(self) -> str:
        """The server's log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def stop(self) -> None:
        """End it the way an administrator would, or kill it if that does not help; remove its data."""
        if self.child is not None:
            self.child.terminate()
        self._clear()

    def terminate(self) -> None:
        """End it the way an administrator does (SIGTERM): it takes leave of its clients. Its data stays."""
        self._running().terminate()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); its data stays until ``stop``."""
        self._running().kill()

    def _running(self) -> Child:
        if self.child is None:
            raise BedError(f"{self.kind} has not been started")
        return self.child

    def _clear(self) -> None:
        if self._given is None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
