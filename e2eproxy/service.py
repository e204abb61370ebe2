"""The daemon as a Twisted service: one implementation for ``e2eproxy run`` and ``twistd e2eproxy``.

It starts completely or not at all, changes its settings completely or not at all (SIGHUP), and ends by saying
good-bye to every client (SIGTERM, SIGINT). Exit status: 0 ended as told, 1 could not start, 2 bad settings.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import DeferredList, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python import usage

from e2eproxy import config, log
from e2eproxy.complaints import CANNOT_START, complain, load_or_exit, standard_error
from e2eproxy.config import ConfigError, Settings
from e2eproxy.data_directory import DataDirectory
from e2eproxy.descriptors import Descriptors, raise_limit
from e2eproxy.endpoints import read_metrics_endpoint
from e2eproxy.errors import LocalError
from e2eproxy.hardening import harden
from e2eproxy.lines import one_line
from e2eproxy.options import OPTIONS
from e2eproxy.pipelines import Pipelines
from e2eproxy.ports import Ports, address
from e2eproxy.proxy.listener import ClientListener
from e2eproxy.sd_notify import Notifier
from e2eproxy.store_setup import ask_on_terminal
from e2eproxy.xmpp.connect import Connector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort
    from twisted.python.components import Componentized

    from e2eproxy.methods.door import Method
    from e2eproxy.store_setup import Ask

_log = Logger()


class Daemon(Service):
    """The running proxy.

    *load* makes the settings anew, as at start-up: it is called for each SIGHUP and raises ConfigError when they
    are bad. *observer* is where the log goes, if its level and format are ours to set. *ask* shows a prompt where there
    is a terminal. *built_in* are methods beside those that are installed.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  # half a dozen reactor interfaces
        settings: Settings,
        load: Callable[[], Settings],
        observer: log.LineObserver | None,
        notifier: Notifier,
        *,
        ask: Ask | None = None,
        built_in: Sequence[Method] = (),
    ) -> None:
        """Touch nothing yet."""
        self.settings = settings
        self._reactor = reactor
        self._load = load
        self._observer = observer
        self._notifier = notifier
        self._ask = ask
        self._built_in = built_in
        self._pipelines: Pipelines | None = None
        self._descriptors = Descriptors(0, 0)
        self._data: DataDirectory | None = None
        self._listener: ClientListener | None = None
        self._ports: Ports | None = None
        self._watchdog: LoopingCall | None = None
        self._control: IListeningPort | None = None
        self._metrics: IListeningPort | None = None

    def startService(self) -> None:  # noqa: N802  # Twisted's name
        """Take the data directory and open all listeners; raises LocalError with nothing left open or locked."""
        settings = self.settings
        self._take_signals()
        harden()
        self._descriptors = raise_limit()
        self._data = DataDirectory(settings.data)
        try:
            self._pipelines = pipelines = Pipelines(
                self._reactor,
                settings,
                self._data.path,
                ask=self._ask,
                built_in=self._built_in,
                clients=self._clients,
            )
            self._listener = ClientListener(
                self._reactor,
                Connector(self._reactor, settings.upstream),
                max_clients=self._clients_that_fit(settings),
                max_stanza_bytes=settings.max_stanza_bytes,
                make_pipeline=pipelines.guards,
            )
            self._control = self._open_control(pipelines)
            self._metrics = self._open_metrics(pipelines)
            self._ports = Ports(self._reactor, self._listener)
            opened = self._ports.open(settings.listen, ipv6_optional=settings.listen_by_default)
        except BaseException:
            self._give_back()
            raise
        self._ports.keep(opened)
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._reactor.callWhenRunning(self._running, opened.warnings)

    def _open_control(self, pipelines: Pipelines) -> IListeningPort | None:
        """Let the commands of the command line in; nothing of HTTP is loaded if nobody wants it."""
        if self.settings.control is None:
            return None
        from e2eproxy.control.listening import listen  # noqa: PLC0415 - loads Klein

        pages = {"metrics": pipelines.control.metrics}
        return listen(self._reactor, self.settings.control, pipelines.control.api, pages)

    def _open_metrics(self, pipelines: Pipelines) -> IListeningPort | None:
        if self.settings.metrics is None:
            return None
        from e2eproxy.control import scraping  # noqa: PLC0415 - loads HTTP

        at = read_metrics_endpoint(self.settings.metrics)
        return scraping.listen(self._reactor, at.host, at.port, at.backlog, pipelines.control.metrics)

    def stopService(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        """Stop listening, take leave of all clients, give the data directory back."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        self._notifier.send(STOPPING=1, STATUS="Taking leave of the clients")
        if self._watchdog is not None and self._watchdog.running:
            self._watchdog.stop()
        closings = [] if self._ports is None else self._ports.close()
        closings += [port.stopListening() for port in (self._control, self._metrics) if port is not None]
        waiting = [closing for closing in closings if closing is not None]
        if self._listener is not None:
            waiting.append(self._listener.close("The proxy on this machine is shutting down."))
        done = DeferredList(waiting, consumeErrors=True).addCallback(self._stopped)
        return done.addCallback(lambda _: self._close_store())

    def _stopped(self, results: list[tuple[bool, Any]]) -> None:
        for succeeded, result in results:
            if not succeeded:
                _log.failure("could not stop cleanly", failure=result)

    def _close_store(self) -> Deferred[None]:
        closing = succeed(None) if self._pipelines is None else self._pipelines.close()
        return closing.addBoth(self._closed)

    def _closed(self, _result: object) -> None:
        if self._data is not None:
            self._data.release()
        _log.info("stopped")

    def _give_back(self) -> None:
        """The start failed: leave nothing open or locked."""
        for port in (self._control, self._metrics):
            if port is not None:
                port.stopListening()
        if self._pipelines is not None:
            self._pipelines.abandon()
        if self._data is not None:
            self._data.release()

    def _take_signals(self) -> None:
        signal.signal(signal.SIGHUP, self._on_hangup)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        if self._observer is not None and self._observer.rotatable:
            signal.signal(signal.SIGUSR1, self._on_rotate)  # as twistd does with a log file of its own

    def _running(self, warnings: list[str]) -> None:
        """Once the reactor runs: say so, in the log and to systemd."""
        # Again, since the reactor has put its own in between, which make twistd die of the signal; a daemon that
        # ends as told ends with 0.
        self._take_signals()
        if self._pipelines is not None:
            self._pipelines.start()
        self._tell(warnings)
        self._notifier.send(READY=1, STATUS=self._status())
        if self._notifier.watchdog is not None:
            self._watchdog = LoopingCall(self._alive)
            self._watchdog.clock = self._reactor
            self._watchdog.start(self._notifier.watchdog / 2)

    def _alive(self) -> None:
        self._notifier.send(WATCHDOG=1, STATUS=self._status())

    def _clients(self) -> int:
        return 0 if self._listener is None else self._listener.clients

    def _status(self) -> str:
        clients = self._clients()
        addresses = [] if self._ports is None else self._ports.addresses
        return f"{clients} client{'' if clients == 1 else 's'}; listening on {', '.join(addresses)}"

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        if self.running:
            _log.info("stopping on {signal}", signal=name)
            self._reactor.stop()

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.reload)

    def _on_rotate(self, _number: int, _frame: FrameType | None) -> None:
        if self._observer is not None:
            self._reactor.callFromThread(self._observer.rotate)

    def reload(self) -> None:
        """Read the settings again; apply all of them, or keep all old ones and log why."""
        if not self.running:
            return
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notifier.send(RELOADING=1, MONOTONIC_USEC=now, STATUS="Reading the settings again")
        try:
            self._apply(self._load())
        except ConfigError as error:
            for problem in error.problems:
                _log.error("settings kept as they were: {problem}", problem=problem)
        except LocalError as error:
            _log.error("settings kept as they were: {problem}", problem=str(error))
        finally:
            self._notifier.send(READY=1, STATUS=self._status())

    def _apply(self, settings: Settings) -> None:
        """Change over to *settings*; raises LocalError with nothing changed."""
        if self._listener is None or self._ports is None:
            raise LocalError("the daemon has not started")
        connector = Connector(self._reactor, settings.upstream)
        opened = self._ports.open(settings.listen, ipv6_optional=settings.listen_by_default)
        self._ports.keep(opened)
        self._listener.connector = connector
        self._listener.max_clients = self._clients_that_fit(settings)
        self._listener.max_stanza_bytes = settings.max_stanza_bytes
        if self._observer is not None:
            self._observer.level = settings.log_level
            self._observer.form = settings.log_format
        for key in self.settings.fixed_changes(settings):
            # A store's URL may hold a password.
            still = "" if key == "store" else f": still {getattr(self.settings, key)}"
            _log.warn(
                "{key} cannot change while the daemon runs{still}; restart it for that", key=key, still=still
            )
        self.settings = settings.with_fixed_of(self.settings)
        if self._pipelines is not None:
            self._pipelines.apply(self.settings)
        self._tell(opened.warnings)
        _log.info("settings read again")

    def _clients_that_fit(self, settings: Settings) -> int:
        return min(settings.max_clients, self._descriptors.clients)

    def _tell(self, warnings: list[str]) -> None:
        """Log where clients can connect, and what is less than was asked for."""
        for warning in warnings:
            _log.warn("{warning}", warning=warning)
        if self._data is not None and self._data.open_to_others():
            _log.warn(
                "other users can look into the data directory {data}; chmod 700 it", data=str(self._data.path)
            )
        wanted, fitting = self.settings.max_clients, self._descriptors.clients
        if fitting < wanted:
            _log.warn(
                "max_clients lowered from {wanted} to {fitting}: the process may open {limit} descriptors and"
                " each client takes 2; raise the hard limit (LimitNOFILE=, ulimit -Hn)",
                wanted=wanted,
                fitting=fitting,
                limit=self._descriptors.now,
            )
        else:
            _log.info(
                "at most {clients} clients; descriptor limit {limit} (was {before})",
                clients=wanted,
                limit=self._descriptors.now,
                before=self._descriptors.before,
            )
        if self._control is not None:
            _log.info("the control socket is {path}", path=str(self.settings.control))
        if self._metrics is not None:
            _log.info("the metrics are at http://{address}/metrics", address=address(self._metrics))
        for where in [] if self._ports is None else self._ports.addresses:
            _log.info("listening on {address}", address=where)


class Options(usage.Options):
    """The options of ``twistd e2eproxy``, made from the one table."""

    synopsis = "Usage: twistd [twistd's options] e2eproxy [options]"
    longdesc = "An XMPP proxy on localhost that adds end-to-end encryption to clients that have none."
    optParameters: ClassVar = [  # noqa: N815  # Twisted's name
        [option.name, None, None, option.help]
        for option in OPTIONS
        if option.kind != "flag" and not option.repeatable
    ]
    optFlags: ClassVar = [  # noqa: N815  # Twisted's name
        [option.name, None, option.help] for option in OPTIONS if option.kind == "flag"
    ]

    def __init__(self) -> None:
        """Nothing is given yet."""
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.given: dict[str, Any] = {}
        self.settings: Settings | None = None
        for option in OPTIONS:
            if option.repeatable:
                self[option.name] = []

    def opt_version(self) -> None:
        """Show the version and exit."""
        from e2eproxy.version import version  # noqa: PLC0415  # reads the package's metadata

        sys.stdout.write(f"e2eproxy {version()}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:  # noqa: N802  # Twisted's name
        """Make the settings; what is wrong with them goes to standard error, and the exit status is 2."""
        self.given = {option.key: self[option.name] for option in OPTIONS}
        self.settings = load_or_exit(self.given)


def _collecting(name: str, text: str) -> Callable[[Options, str], None]:
    def collect(self: Options, value: str) -> None:
        self[name].append(value)

    collect.__doc__ = f"{text} May be given more than once."
    return collect


for _option in OPTIONS:
    if _option.repeatable:
        setattr(Options, f"opt_{_option.key}", _collecting(_option.name, _option.help))


def run(given: Mapping[str, Any], *, built_in: Sequence[Method] = ()) -> int:
    """Run in the foreground with *given* (as ``config.load`` takes it) until told to stop; the exit status.

    *built_in* are methods beside those that are installed.
    """
    from twisted.internet import reactor  # noqa: PLC0415  # importing it installs it
    from twisted.logger import globalLogBeginner  # noqa: PLC0415  # as above, only where a log begins

    settings = load_or_exit(given)
    base = Path.cwd()
    observer = log.LineObserver(standard_error(), settings.log_level, settings.log_format)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    daemon = Daemon(
        reactor,
        settings,
        lambda: config.load(given, base=base),
        observer,
        Notifier.from_environment(),
        ask=ask_on_terminal,
        built_in=built_in,
    )
    try:
        daemon.startService()
    except LocalError as error:
        complain(str(error))
        return CANNOT_START
    running: Any = reactor
    running.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    running.run()
    return 0


class TwistdDaemon(Daemon):
    """The daemon under twistd, which logs and fails in twistd's ways unless told better."""

    def setServiceParent(self, parent: Componentized) -> None:  # noqa: N802  # Twisted's name
        """Have twistd log in our form."""
        if self._observer is not None:
            parent.setComponent(ILogObserver, self._observer)  # type: ignore[no-untyped-call]  # Twisted's
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted's

    def startService(self) -> None:  # noqa: N802  # Twisted's name
        """Start; a reason why not goes in one line to the terminal, even from the background, and to the log file."""
        try:
            super().startService()
        except LocalError as error:
            with suppress(OSError):
                os.write(self._terminal, f"e2eproxy: {one_line(str(error))}\n".encode())
            if self._observer is None or self._observer.stream is not sys.__stderr__:
                _log.critical("cannot start: {reason}", reason=str(error))
            raise
        finally:
            with suppress(OSError):
                os.close(self._terminal)

    def remember_terminal(self) -> None:
        """Keep standard error beyond twistd's fork, which closes it, until the start is over."""
        # Without one from the start, number 2 is by now something else.
        self._terminal = -1 if sys.__stderr__ is None else os.dup(sys.__stderr__.fileno())
        sys.excepthook = _quietly(sys.excepthook)


def _quietly(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """An excepthook for twistd, which lets exceptions through to the interpreter: ours have been told already."""

    def hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:  # noqa: ANN401  # as sys has it
        if not isinstance(error, LocalError):
            otherwise(kind, error, traceback)

    return hook


def makeService(options: Options) -> Service:  # noqa: N802  # twistd's name for it
    """Make what twistd runs, from parsed *options*."""
    from twisted.internet import reactor  # noqa: PLC0415  # importing it installs it, and twistd may want another

    if options.settings is None:
        raise LocalError("the options have not been parsed")
    settings = options.settings
    given, base = options.given, Path.cwd()  # twistd may go elsewhere before the next look at the settings
    observer = log.observer_for_twistd(options.parent or {}, settings.log_level, settings.log_format)
    daemon = TwistdDaemon(
        reactor,
        settings,
        lambda: config.load(given, base=base),
        observer,
        Notifier.from_environment(),
    )
    daemon.remember_terminal()
    return daemon
