"""The log's lines: nothing that comes from afar can forge one, nothing that is logged can break one."""

from __future__ import annotations

import io
import json
import sys
from datetime import datetime
from pathlib import Path

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure

from e2eproxy.lines import MOST_CHARACTERS, one_line
from e2eproxy.log import LineObserver, observer_for_twistd


class Log:
    """A log in memory, with the loggers that write to it."""

    def __init__(self, level: str = "debug", form: str = "text") -> None:
        self.stream = io.StringIO()
        self.observer = LineObserver(self.stream, level, form)
        self.publisher = LogPublisher(self.observer)

    def logger(self, namespace: str = "e2eproxy.test") -> Logger:
        return Logger(namespace, observer=self.publisher)

    @property
    def lines(self) -> list[str]:
        assert self.stream.getvalue().endswith("\n")
        return self.stream.getvalue()[:-1].split("\n")

    @property
    def record(self) -> dict:
        (line,) = self.lines
        assert line.isascii()

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(line, parse_constant=refuse)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text here")

    __repr__ = __str__


FORGERIES = [
    "x\n2026-01-01T00:00:00.000Z info  e2eproxy: all is well",
    "x\r\nforged",
    "x\x0b\x0cforged",
    "x\x85forged",
    "x\u2028forged\u2029forged",
    "\x1b[2J\x1b[31mred",
    "\x9b31mred",
    "\u202eright to left\u2066",
    "\ud800 lone",
    "tab\there \x00 \x7f",
]


@pytest.mark.parametrize("text", FORGERIES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_remote_text_stays_in_its_line(text: str, form: str):
    log = Log(form=form)
    log.logger().info("said {what}", what=text)
    (line,) = log.lines
    assert len(line.splitlines()) == 1
    assert all(character.isprintable() for character in line)
    line.encode()


def test_text_line():
    log = Log()
    log.logger("e2eproxy.proxy.login").info("bound {jid}, {size} bytes", jid="romeo@example.test", size=3)
    (line,) = log.lines
    time, rest = line.split(" ", 1)
    assert rest == "info  e2eproxy.proxy.login: bound romeo@example.test, 3 bytes"
    assert time.endswith("Z")
    assert datetime.fromisoformat(time).utcoffset().total_seconds() == 0


def test_escapes_are_readable():
    assert one_line("a\nb\tc\x1bd\u2028é€") == r"a\nb\tc\x1bd\u2028é€"


def test_json_line():
    log = Log(form="json")
    log.logger("e2eproxy.x").warn("{size} bytes for {jid}", size=7, jid="é@x", nested={"a": [1, None, True]})
    record = log.record
    assert datetime.fromisoformat(record.pop("time")).utcoffset().total_seconds() == 0
    assert record == {
        "level": "warn", "logger": "e2eproxy.x", "event": "7 bytes for é@x",
        "size": 7, "jid": "é@x", "nested": {"a": [1, None, True]},
    }  # fmt: skip


def test_json_fields_cannot_take_the_place_of_ours():
    log = Log(form="json")
    log.logger().info("real", event="forged", logger="other")
    record = log.record
    assert (record["event"], record["logger"]) == ("real", "e2eproxy.test")
    assert (record["event_"], record["logger_"]) == ("forged", "other")


def test_json_holds_whatever_is_logged():
    log = Log(form="json")
    loop: list = []
    loop.append(loop)
    log.logger().info(
        "odd",
        path=Path("/x"), raw=b"\xff\x00a", inf=float("inf"), nan=float("nan"), hostile=Hostile(), loop=loop,
        keys={1: 2, (3, 4): 5}, set={1}, long="x" * 100_000, surrogate="\udfff", level_object=LogLevel.info,
    )  # fmt: skip
    record = log.record
    assert record["path"] == "/x"
    assert record["raw"] == "\\xff\x00a"
    assert (record["inf"], record["nan"]) == ("inf", "nan")
    assert record["hostile"] == "(Hostile that cannot be shown: RuntimeError)"
    assert record["keys"] == {"1": 2, "(3, 4)": 5}
    assert record["set"] == [1]
    assert record["long"].endswith(f"... ({100_000 - MOST_CHARACTERS} more characters)")


@pytest.mark.parametrize("form", ["text", "json"])
def test_failure_has_its_traceback_in_the_line(form: str):
    log = Log(form=form)
    with log.logger().failureHandler("while testing"):
        raise ValueError("broken\nbadly")
    (line,) = log.lines
    if form == "json":
        record = log.record
        assert record["event"] == "while testing"
        assert record["level"] == "critical"
        assert "Traceback" in record["traceback"]
        assert "ValueError: broken\nbadly" in record["traceback"]
        assert set(record) == {"time", "level", "logger", "event", "traceback"}
    else:
        assert " critical e2eproxy.test: while testing | Traceback" in line
        assert r"ValueError: broken\nbadly" in line


def test_failure_whose_text_fails():
    class BadError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    for form in ("text", "json"):
        log = Log(form=form)
        log.logger().failure("hm", failure=Failure(BadError()))
        assert len(log.lines) == 1


def test_format_that_fails():
    log = Log()
    log.logger().info("hello {nobody.home}")
    (line,) = log.lines
    assert "Unable to format event" in line


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["d", "i", "w", "e", "c"]),
        ("info", ["i", "w", "e", "c"]),
        ("warn", ["w", "e", "c"]),
        ("error", ["e", "c"]),
    ],
)
def test_levels(level: str, seen: list[str]):
    log = Log(level)
    logger = log.logger()
    for emit, text in (
        (logger.debug, "d"), (logger.info, "i"), (logger.warn, "w"), (logger.error, "e"), (logger.critical, "c"),
    ):  # fmt: skip
        emit(text)
    assert [line[-1] for line in log.lines] == seen


def test_level_and_format_change_at_run_time():
    log = Log("error")
    log.logger().info("unseen")
    log.observer.level, log.observer.form = "info", "json"
    log.logger().info("seen")
    assert log.record["event"] == "seen"


def test_twisteds_own_news_is_for_developers():
    log = Log("info")
    log.logger("twisted.internet.tcp").info("starting on 5222")
    log.logger("e2eproxyish").info("not ours")
    log.logger("twisted.internet").warn("shown")
    log.logger("e2eproxy").info("ours")
    assert [line.split(": ")[1] for line in log.lines] == ["shown", "ours"]


def test_legacy_events():
    log = Log(form="json")
    publisher = legacy.LogPublisher(observerPublisher=LogPublisher(), publishPublisher=log.publisher)
    publisher.msg("old\nstyle", size=4)
    record = log.record
    assert (record["event"], record["size"]) == ("old\nstyle", 4)
    assert "isError" not in record
    assert "message" not in record


def test_a_stream_that_breaks_stops_nobody():
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    heard = []
    publisher = LogPublisher(LineObserver(Full()), heard.append)
    Logger("e2eproxy", observer=publisher).info("x")
    closed = io.StringIO()
    closed.close()
    Logger("e2eproxy", observer=LogPublisher(LineObserver(closed), heard.append)).info("y")
    assert [event["log_format"] for event in heard] == [
        "x",
        "y",
    ]  # and no event about an observer that failed


def test_where_twistd_logs(tmp_path: Path):
    background = {"nodaemon": False, "logfile": str(tmp_path / "t.log"), "syslog": False, "debug": False}
    foreground = background | {"nodaemon": True, "logfile": None}
    assert observer_for_twistd(foreground, "info", "text").stream is sys.stderr
    assert observer_for_twistd(foreground | {"logfile": "-"}, "info", "text").stream is sys.stdout
    assert observer_for_twistd(background | {"syslog": True}, "info", "text") is None
    assert observer_for_twistd({}, "info", "text") is None
    observer = observer_for_twistd(background, "warn", "json")
    assert (observer.level, observer.form) == ("warn", "json")
    Logger("e2eproxy", observer=LogPublisher(observer)).error("é")
    observer.stream.close()
    text = (tmp_path / "t.log").read_text()
    assert json.loads(text)["event"] == "é"
    assert (tmp_path / "t.log").stat().st_mode & 0o777 == 0o600
