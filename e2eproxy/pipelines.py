"""What all pipelines of the daemon share: the open store with its thread, the rules, and the methods that were found.

The store is opened before the first listener, so that a daemon that runs can also keep what it promises (law 5); it is
closed when the last client has gone, after everything that waited for it.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from e2eproxy.control.assembly import Control
from e2eproxy.methods.registry import BUILT_IN, load
from e2eproxy.proxy.guards import Guards
from e2eproxy.proxy.rules import METHODS, NOTICES, OTR_HTML, SPEAKS, WHEN, WHOM
from e2eproxy.proxy.stored_rules import StoredRules
from e2eproxy.store_setup import open_store
from e2eproxy.trust.writer import Writer
from e2eproxy.version import version
from e2eproxy.xmpp.jid import JID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from e2eproxy.config import Settings
    from e2eproxy.methods.door import Method
    from e2eproxy.store_setup import Ask

_log = Logger()


class Pipelines:
    """*built_in* are methods beside those that come with the program and those that are installed; *clients* counts those there are.

    Raises LocalError.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several interfaces of Twisted's reactor in one object
        settings: Settings,
        data: Path,
        *,
        ask: Ask | None,
        built_in: Sequence[Method] = (),
        clients: Callable[[], int] = lambda: 0,
    ) -> None:
        store = open_store(settings, data, os.environ, ask=ask)
        if store.complaint is not None:
            _log.error("{complaint}", complaint=store.complaint)
        self._pool = ThreadPool(0, 1, "store")
        self._pool.start()
        self._writer = Writer(store, self._pool, reactor.callFromThread)
        self._rules = StoredRules(self._writer.book, defaults(settings))
        registry = load(built_in=(*BUILT_IN, *built_in))
        for broken in registry.broken:
            _log.error("the plug-in {name} is left out: {why}", name=broken.name, why=broken.why)
        in_thread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
        self.control = Control(
            version=version(),
            wall=time.time,
            random=os.urandom,
            in_thread=in_thread,
            clients=clients,
        )
        self.guards = Guards(
            reactor,
            self._writer,
            self._rules,
            tuple(registry.methods.values()),
            wall=time.time,
            random=os.urandom,
            in_thread=in_thread,
            steering=self.control.steering,
            settings=settings.of_methods,
            proxy=JID("", settings.contact_name),
        )

    def start(self) -> None:
        """Read what holds for all accounts, once the reactor runs; whatever is asked of the store comes after it."""
        self._writer.start().addErrback(self._failed)
        self.guards.start()

    def _failed(self, failure: Failure) -> None:
        _log.failure("the store could not be read", failure)

    def apply(self, settings: Settings) -> None:
        """Change over to the policy of *settings*, and to what they have for methods."""
        self._rules.defaults = defaults(settings)
        self.guards.settings = settings.of_methods

    def abandon(self) -> None:
        """Close the store of a daemon that does not start after all."""
        self._pool.stop()
        self._writer.store.close()

    def close(self) -> Deferred[None]:
        """Finish what waits and close the store; fires when that is done."""
        self.guards.stop()
        return self._writer.stop().addBoth(self._closed)

    def _closed(self, result: object) -> None:
        self._pool.stop()
        if result is not None:
            _log.error("the store could not be closed: {why}", why=result)


def defaults(settings: Settings) -> Mapping[str, str]:
    """Return the rules that *settings* have for what nothing else is set for."""
    return {
        WHEN: settings.policy,
        WHOM: settings.trust,
        METHODS: " ".join(settings.methods),
        OTR_HTML: settings.otr_html,
        SPEAKS: " ".join(sorted(settings.client_speaks)),
        NOTICES: settings.notices,
    }
