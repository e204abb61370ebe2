"""The log: one line for each event, as text or as JSON, from ``twisted.logger``.

Law 8: what is logged are JIDs and sizes. Much of it is remote input all the same, so it goes through
``e2eproxy.lines`` (or JSON's escapes), and whatever a field holds, the observer writes its line.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, cast

from twisted.logger import ILogObserver, LogLevel, formatEvent
from twisted.python.logfile import LogFile
from zope.interface import implementer

from e2eproxy.complaints import standard_error
from e2eproxy.lines import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.logger import LogEvent
    from twisted.python.failure import Failure

MOST_DEPTH = 4
"""Containers nested deeper than this become text."""

LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}

OURS = "e2eproxy"
"""The namespace of our own events; Twisted's news (factories, ports) is of interest to developers only."""


@implementer(ILogObserver)
class LineObserver:
    """Writes each event that is important enough as one line to *stream*.

    *level* (debug, info, warn, error) and *form* (text, json) may be replaced at run time.
    """

    def __init__(self, stream: TextIO | LogFile, level: str = "info", form: str = "text") -> None:
        """Write to *stream*, which takes str."""
        self.stream = stream
        self.level = level
        self.form = form

    def __call__(self, event: LogEvent) -> None:
        """Write *event* if its level is high enough; what cannot be written is lost, for there is nowhere to tell."""
        if weight(event) < LEVELS[self.level]:
            return
        line = json_line(event) if self.form == "json" else text_line(event)
        try:
            self.stream.write(f"{line}\n")
            self.stream.flush()
        except (OSError, ValueError):  # a full disk, a reader that has gone, a closed stream
            return

    @property
    def rotatable(self) -> bool:
        """Whether the stream is a log file that can begin anew."""
        return isinstance(self.stream, LogFile)

    def rotate(self) -> None:
        """Begin a new log file, the old one gets a number; nothing where there is no file."""
        if isinstance(self.stream, LogFile):
            self.stream.rotate()  # type: ignore[no-untyped-call]  # Twisted has no type for it


def weight(event: LogEvent) -> Any:  # noqa: ANN401  # constantly's constants have no type of their own
    """The event's level; Twisted's own news counts as debug."""
    level = event.get("log_level") or LogLevel.info
    namespace = str(event.get("log_namespace", ""))
    ours = namespace == OURS or namespace.startswith(f"{OURS}.")
    return LogLevel.debug if level == LogLevel.info and not ours else level


def text_line(event: LogEvent) -> str:
    """``TIME LEVEL LOGGER: MESSAGE``, a traceback behind it on the same line with its line breaks escaped."""
    message = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        message = f"{message} | {traceback(failure)}" if message else traceback(failure)
    level = (event.get("log_level") or LogLevel.info).name
    return f"{_time(event)} {level:<5} {one_line(str(event.get('log_namespace', '-')))}: {one_line(message)}"


def json_line(event: LogEvent) -> str:
    """One JSON object: time (ISO 8601, UTC), level, logger, event, traceback if any, and the event's own fields."""
    record: dict[str, Any] = {
        "time": _time(event),
        "level": (event.get("log_level") or LogLevel.info).name,
        "logger": str(event.get("log_namespace", "-")),
        "event": cut(formatEvent(event)),
    }
    failure = event.get("log_failure")
    if failure is not None:
        record["traceback"] = cut(traceback(failure))
    for key, value in event.items():
        name = str(key)
        if not name.startswith("log_") and name not in _LEGACY:
            record[f"{name}_" if name in record else name] = _plain(value)
    return json.dumps(record, ensure_ascii=True, allow_nan=False)


_LEGACY = {"message", "time", "isError", "system", "format", "failure", "why", "logLevel"}
"""What Twisted adds to each event for the observers of before 2014."""


def traceback(failure: Failure) -> str:
    """The failure's traceback, without the values of variables (law 8)."""
    try:
        return failure.getTraceback(detail="default").strip()
    except Exception as error:  # noqa: BLE001  # any __str__ may run in there, and the log must not break on it
        return f"(a traceback that cannot be shown: {type(error).__name__})"


def _time(event: LogEvent) -> str:
    seconds = event.get("log_time")
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object, depth: int = 0) -> object:
    """*Value* as what JSON can hold, whatever it is."""
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, bytes | bytearray):
        return cut(bytes(value).decode(errors="backslashreplace"))
    if depth < MOST_DEPTH:
        if isinstance(value, dict):
            return {cut(str(key)): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in value]
    try:
        return cut(str(value))
    except Exception as error:  # noqa: BLE001  # a foreign __str__ must not break the log
        return f"({type(value).__name__} that cannot be shown: {type(error).__name__})"


def observer_for_twistd(options: Mapping[str, Any], level: str, form: str) -> LineObserver | None:
    """Where twistd's own options (*options*) send the log, in our form; None for syslog, which stays twistd's.

    In the foreground that is standard error unless a file is named, as under ``e2eproxy run``.
    """
    if options.get("syslog") or "nodaemon" not in options:  # the latter: twist(1), which logs by itself
        return None
    name = options.get("logfile")
    foreground = bool(options.get("nodaemon") or options.get("debug"))
    if foreground and name in {None, ""}:
        return LineObserver(standard_error(), level, form)
    if name == "-":
        # Without -n twistd refuses this itself; it is left to do so.
        return LineObserver(sys.stdout, level, form) if foreground else None
    return LineObserver(_log_file(name or "twistd.log"), level, form)


def _log_file(path: str) -> LogFile:
    return cast(
        "LogFile",
        LogFile.fromFullPath(path, defaultMode=0o600),  # type: ignore[no-untyped-call]  # Twisted has no type for it
    )
