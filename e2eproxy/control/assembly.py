"""Puts the faces that are reached by stanzas onto the guards of a daemon, and gives the API to those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2eproxy.control import metrics
from e2eproxy.control.adhoc import AdHoc
from e2eproxy.control.api import Api, Daemon
from e2eproxy.control.contact import Contact
from e2eproxy.control.faces import Faces
from e2eproxy.control.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.proxy.computations import InThread
    from e2eproxy.proxy.guards import Guards


class Control:
    """Makes the steering of *guards* (``Guards`` takes this object's ``steering``); the rest is there once it has.

    *wall*: seconds since 1970. *random*: secret bytes. *in_thread*: calls a slow function elsewhere. *clients*: how many are
    connected.
    """

    api: Api

    def __init__(
        self,
        *,
        version: str,
        wall: Callable[[], float],
        random: Callable[[int], bytes],
        in_thread: InThread,
        clients: Callable[[], int],
    ) -> None:
        self._daemon = Daemon(version=version, started=wall(), now=wall, clients=clients)
        self._random = random
        self._in_thread = in_thread

    def steering(self, guards: Guards) -> Faces:
        """Make what takes the users' words."""
        wall = self._daemon.now
        stored = Stored(guards, in_thread=self._in_thread, wall=wall, random=self._random)
        self.api = Api(guards, stored, self._daemon)
        self._source = metrics.Source(guards=guards, daemon=self._daemon)
        contact = Contact(AdHoc(self.api, wall), guards.proxy, self._daemon.version)
        return Faces(self.api, contact, guards.proxy)

    def metrics(self) -> tuple[str, bytes]:
        """Return the page for monitoring: its content type, and what is shown."""
        return metrics.CONTENT_TYPE, metrics.text(self._source)
