"""The daemon's own stream management with real servers: asked for, hidden from the client, and counted right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from bed.daemon import Daemon
from bed.polling import wait_until
from bed.raw_client import RawClient
from bed.route import through, upstream_port
from bed.shaper import Shaper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.shaper import Way
    from bed.shared import SharedBed

SM = b"urn:xmpp:sm:3"
MESSAGES = 12
STANZA = re.compile(rb"<(?:message|presence|iq)[\s/>]")
ACKNOWLEDGED = re.compile(rb"<a (?=[^>]*urn:xmpp:sm:3)[^>]*h=['\"](\d+)['\"]")


class Recorder(Shaper):
    """A relay between daemon and server that keeps what it carries."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port, "join")
        self.said: dict[bool, bytearray] = {True: bytearray(), False: bytearray()}

    def _send(self, way: Way, piece: bytes) -> None:
        self.said[way.traffic is self.up] += piece
        super()._send(way, piece)

    def behind(self, up: bool, mark: bytes) -> bytes:
        """What was said in one direction behind *mark*."""
        return bytes(self.said[up]).partition(mark)[2]

    def sent(self) -> int:
        """Stanzas to the server since it was asked to count."""
        return len(STANZA.findall(self.behind(True, b"<enable xmlns='" + SM + b"'/>")))

    def got(self) -> int:
        """Stanzas of the server since it counts."""
        return len(STANZA.findall(self.behind(False, b"<enabled ")))

    def h(self, up: bool) -> int:
        """What was acknowledged last in one direction."""
        found = ACKNOWLEDGED.findall(bytes(self.said[up]))
        return int(found[-1]) if found else -1


@pytest.fixture
def recorded(bed: SharedBed, server_kind: str) -> Iterator[tuple[Recorder, RawClient, RawClient]]:
    """Two friends online, one of them by way of a daemon whose words to the server are recorded."""
    if bed.through == "direct":
        pytest.skip("without a daemon there is nothing to look at")
    server = bed.server(server_kind)
    romeo, juliet = server.pair_of()
    with (
        Recorder(upstream_port(server, "none")) as recorder,
        Daemon(server.certificates, recorder.port, "none") as daemon,
        RawClient(through(daemon, server)) as one,
        RawClient(bed.route(server_kind, "starttls")) as other,
    ):
        one.login(romeo)
        assert SM not in one.received
        one.available()
        other.login(juliet)
        other.available()
        one.read_presence(other.jid)
        other.read_presence(one.jid)
        yield recorder, one, other
        daemon.require_no_traceback()


def test_both_sides_count_the_same(recorded: tuple[Recorder, RawClient, RawClient]) -> None:
    recorder, one, other = recorded
    assert SM in bytes(recorder.said[False]), "the server does not offer it"
    for number in range(MESSAGES):
        one.message(other.jid, f"there {number}")
        other.message(one.jid, f"back {number}")
    for number in range(MESSAGES):
        other.read_message(f"there {number}")
        one.read_message(f"back {number}")
    # The daemon asks after five stanzas, and about the rest after a silence.
    wait_until(
        lambda: recorder.sent() > MESSAGES and recorder.h(up=False) == recorder.sent(),
        "the server to acknowledge everything",
        instead=lambda: f"{recorder.h(up=False)} of {recorder.sent()}: {bytes(recorder.said[False])!r}",
    )
    assert SM not in one.received
    one.close()
    wait_until(
        lambda: (
            recorder.behind(True, b"</stream:stream>") == b""
            and recorder.said[True].endswith(b"</stream:stream>")
        ),
        "the daemon to end its stream",
    )
    assert recorder.got() >= MESSAGES
    assert recorder.h(up=True) == recorder.got()


def test_a_client_that_vanishes_is_seen_off_in_good_order(
    recorded: tuple[Recorder, RawClient, RawClient],
) -> None:
    recorder, one, other = recorded
    one.message(other.jid, "last words")
    other.read_message("last words")
    one.abort()
    other.read_presence(one.jid, "unavailable")
    wait_until(
        lambda: recorder.said[False].rstrip().endswith(b"</stream:stream>"),
        "the server to end its stream",
        instead=lambda: repr(bytes(recorder.said[False])[-500:]),
    )
    assert recorder.said[True].endswith(b"</stream:stream>")
    assert recorder.h(up=False) == recorder.sent()
    assert recorder.h(up=True) == recorder.got()
