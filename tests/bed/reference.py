"""The daemon with the reference methods, and a relay that records, holds and cuts what it says to its server."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from bed.daemon import Daemon
from bed.reference_daemon import PARTING, VARIABLE
from bed.shaper import RECEIVE_SIZE, Shaper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bed.certificates import Certificates
    from bed.shaper import Way

PROGRAM = Path(__file__).with_name("reference_daemon.py")
STANZA = re.compile(rb"<(?:message|presence|iq)[\s/>]")
ACKNOWLEDGED = re.compile(rb"<a (?=[^>]*urn:xmpp:sm:3)[^>]*h=['\"](\d+)['\"]")
ENABLE = b"<enable xmlns='urn:xmpp:sm:3'/>"
SESSION, OBJECT = "reference-session", "reference-object"


class ReferenceDaemon(Daemon):
    """``reference_daemon.py`` in clear to a server; *kill* and *parting* as its environment variables, None: unarmed."""

    def __init__(
        self,
        certificates: Certificates,
        upstream_port: int,
        *,
        methods: str = SESSION,
        policy: str = "require",
        kill: str | None = None,
        parting: bool = False,
        options: Sequence[str] = (),
        directory: Path | None = None,
    ) -> None:
        wanted = ["--policy", policy, "--methods", methods, *options]
        super().__init__(certificates, upstream_port, "none", options=wanted, directory=directory)
        self.kill = kill
        self.environment = [] if kill is None else [f"{VARIABLE}={kill}"]
        if parting:
            self.environment.append(f"{PARTING}=yes")

    def _command(self, data: Path) -> list[str]:
        command = super()._command(data)
        command[1:3] = [str(PROGRAM)]
        return ["env", *self.environment, *command] if self.environment else command


class Wiretap(Shaper):
    """A relay between daemon and server that changes nothing, keeps what it carries, and can stop or break it."""

    def __init__(self, target_port: int) -> None:
        """Nothing listens before it is started."""
        super().__init__(target_port, "join", seed=0)
        self._said: dict[bool, list[bytes]] = {True: [], False: []}
        self._open = {True: threading.Event(), False: threading.Event()}
        self._waiting: dict[bool, list[tuple[Way, bytes]]] = {True: [], False: []}
        self._order = threading.Lock()
        for gate in self._open.values():
            gate.set()

    def said(self, *, up: bool) -> bytes:
        """All that came from the daemon (*up*) or from the server, of all connections, carried on or not."""
        return b"".join(self._said[up])

    def forget(self) -> None:
        """Begin anew to keep what is carried."""
        with self._order:
            for said in self._said.values():
                said.clear()

    def acknowledged(self) -> bool:
        """Whether the server has said, on the newest connection, that it has all the stanzas that it was sent."""
        sent = len(STANZA.findall(self.said(up=True).rpartition(ENABLE)[2]))
        found = ACKNOWLEDGED.findall(self.said(up=False).rpartition(b"<enabled ")[2])
        return bool(found) and int(found[-1]) == sent

    def hold(self, *, up: bool) -> None:
        """Carry nothing more in one direction, until ``release`` or ``cut``."""
        with self._order:
            self._open[up].clear()

    def release(self, *, up: bool) -> None:
        """Carry on."""
        with self._order:
            waiting, self._waiting[up] = self._waiting[up], []
            for way, data in waiting:
                self._send(way, data)
            self._open[up].set()

    def cut(self) -> None:
        """End all connections; what is held is lost. Later ones are carried again."""
        with self._order:
            for connection in self._connections:
                connection.shut()
            for up, gate in self._open.items():
                self._waiting[up] = []
                gate.set()

    def _join(self, way: Way) -> None:
        up = way.traffic is self.up
        while data := way.source.recv(RECEIVE_SIZE):
            with self._order:
                self._said[up].append(data)
                if self._open[up].is_set():
                    self._send(way, data)
                else:
                    self._waiting[up].append((way, data))
        self._open[up].wait()  # the end of the stream comes behind what is held

    def stop(self) -> None:
        """End all connections and stop listening."""
        self.cut()
        super().stop()
