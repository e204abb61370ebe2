"""Fuzz everything that reads what a client or a server sends: only ``RemoteError`` may come out (law 6).

    python tests/faults/fuzz.py --seconds 3600 [--seed N] [--only TARGET]

Streams of real logins and stanzas of every spelling are damaged, cut and fed to the framer, to what looks into
elements, and to a whole session between two connections in memory; OTR's part is in ``fuzz_otr``. Besides the kind of error it checks that cutting
does not matter, that a strict framer gives back only what came, and that no call takes long. A finding is printed with
the seed and the number of the round that brings it back.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from twisted.logger import LogLevel, globalLogPublisher

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from bed.memory_session import DOMAIN, MemorySession  # noqa: E402 - needs the path set above
from fuzz_otr import fuzz_otr  # noqa: E402 - same

from e2eproxy.errors import RemoteError  # noqa: E402 - same
from e2eproxy.xmpp import features, tree  # noqa: E402 - same
from e2eproxy.xmpp.framer import Framer  # noqa: E402 - same
from e2eproxy.xmpp.pieces import Element, Header, Limits  # noqa: E402 - same
from e2eproxy.xmpp.redirect import see_other_host  # noqa: E402 - same
from e2eproxy.xmpp.starttls import StartTLS  # noqa: E402 - same

#: Seconds of processor time that one input of a few kilobytes may cost; thousands of times what it does.
SLOW = 2.0

NAMESPACES = b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
CLIENT_STREAM = [
    b"<?xml version='1.0'?>",
    b"<stream:stream to='" + DOMAIN.encode() + b"' version='1.0' xml:lang='en' " + NAMESPACES + b">",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1yb21lbyxyPTE=</auth>",
    b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdzLHI9MQ==</response>",
    b"<?xml version='1.0'?><stream:stream to='" + DOMAIN.encode() + b"' version='1.0' " + NAMESPACES + b">",
    b"<iq id='b' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>",
    b"<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>r</username><resource>x</resource></query></iq>",
    b"<presence/>",
    b"<message to='juliet@example.test'><body>a &lt; b <![CDATA[</body>]]> \xf0\x9f\x94\x92</body></message>",
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b"<enable xmlns='urn:xmpp:sm:3'/>",
    b"<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<stream:stream to='" + DOMAIN.encode() + b"' version='1.0' " + NAMESPACES + b">",
    b" ",
    b"<presence type='unavailable'/></stream:stream>",
]
SERVER_STREAM = [
    b"<?xml version='1.0'?><stream:stream from='"
    + DOMAIN.encode()
    + b"' id='1' version='1.0' "
    + NAMESPACES
    + b">",
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
    (
        b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
        b"</mechanisms><sm xmlns='urn:xmpp:sm:3'/></stream:features>"
    ),
    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj0x</challenge>",
    b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj0x</success>",
    b"<?xml version='1.0'?><stream:stream from='"
    + DOMAIN.encode()
    + b"' id='2' version='1.0' "
    + NAMESPACES
    + b">",
    b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    b"<iq id='b' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>romeo@"
    + DOMAIN.encode()
    + b"/x</jid></bind></iq>",
    b"<message from='juliet@example.test'><body>wherefore</body></message>",
    b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a:5</see-other-host></stream:error>",
    b"</stream:stream>",
]
TOKENS = [
    *(
        b"<",
        b">",
        b"/>",
        b"</",
        b"&",
        b"&amp;",
        b"&#0;",
        b"&#x10FFFF;",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"-->",
        b"<?x",
    ),
    *(
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"'",
        b'"',
        b"\x00",
        b"\xff",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b" ",
        b"\r\n",
    ),
    *(
        b"xmlns=''",
        b"xmlns:x='\x01'",
        b"<x:y/>",
        b"<a>" * 70,
        b"</a>" * 70,
        b"<a b='" + b"c" * 3000,
        b"\xc0\x80",
    ),
    *(b" " + b" ".join(b"a%d=''" % n for n in range(150)) + b" ", b"<stream:stream>", b"</stream:stream>"),
]


class Finding(AssertionError):  # noqa: N818 - it names what it is
    """Something that must not happen did."""


def damaged(rng: random.Random, parts: list[bytes]) -> bytes:
    """Return a stream made of *parts*, most in order, with some damage."""
    chosen = [part for part in parts if rng.random() < 0.9]
    if rng.random() < 0.3:
        chosen.insert(rng.randrange(len(chosen) + 1), rng.choice(CLIENT_STREAM + SERVER_STREAM))
    data = bytearray(b"".join(chosen))
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 40)]
            case 2:
                data[at:at] = rng.choice(TOKENS)
            case _:
                data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randint(1, 200)]
    return bytes(data)


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """Return *data* cut somehow."""
    size = rng.choice([1, 2, 3, 7, 50, 1000, len(data) or 1])
    return [data[at : at + size] for at in range(0, len(data), size)]


def fuzz_framer(rng: random.Random) -> None:
    """The framer, and what looks into its elements."""
    strict = rng.random() < 0.5
    data = damaged(rng, CLIENT_STREAM if strict else SERVER_STREAM)
    outcomes = []
    for parts in (pieces(rng, data), pieces(rng, data)):
        framer = Framer(Limits(rng.choice([500, 20_000]) if len(parts) == 1 else 20_000, strict=strict))
        root, out, outcome = b"", [], ""
        try:
            for part in parts:
                out += framer.receive(part)
        except RemoteError:
            out += framer.completed
            outcome = "refused"
        outcomes.append((outcome, len(parts)))
        raw = b"".join(piece.raw for piece in out)
        if strict and not data.startswith(raw):
            raise Finding(f"{raw!r} is not how {data!r} begins")
        for piece in out:
            root = piece.root if isinstance(piece, Header) else root
            if isinstance(piece, Element) and piece.excess is None:
                look_into(piece, root)


def look_into(element: Element, root: bytes) -> None:
    """Read an element with everything that reads elements."""
    node = tree.parse(root, element.raw)
    if node.name != element.name:
        raise Finding(f"{element.raw!r} is {element.name!r} to the framer and {node.name!r} to the tree")
    features.shown(root, element.raw)
    see_other_host(element, root)


def fuzz_starttls(rng: random.Random) -> None:
    """The negotiation of TLS."""
    machine = StartTLS(DOMAIN)
    machine.opening()
    try:
        for part in pieces(rng, damaged(rng, SERVER_STREAM[:4])):
            machine.receive(part)
            if machine.proceed:
                return
    except RemoteError:
        return


def fuzz_session(rng: random.Random) -> None:
    """A whole session: both sides talk in turns, and somebody hangs up."""
    session = MemorySession()
    queues = [pieces(rng, damaged(rng, CLIENT_STREAM)), pieces(rng, damaged(rng, SERVER_STREAM))]
    reached = False
    while any(queues):
        if session.domains and not reached:
            reached = True
            session.reach_server()
        side = rng.randrange(2)
        transport = (session.client, session.server)[side]
        if queues[side] and not transport.finished and (side == 0 or reached):
            transport.deliver(queues[side].pop(0))
        elif transport.finished or not queues[side] or not reached:
            queues[side].clear()
        if rng.random() < 0.001:
            session.clock.advance(rng.choice([1, 10, 60]))
    if not session.client.finished:
        session.client.hang_up()
    session.clock.advance(100)
    if session.clock.getDelayedCalls():
        raise Finding("a timer is left behind")


TARGETS = {"framer": fuzz_framer, "starttls": fuzz_starttls, "session": fuzz_session, "otr": fuzz_otr}


def fuzz(
    seconds: float, seed: int, *, first: int = 0, rounds: int | None = None, only: str | None = None
) -> dict[str, int]:
    """Fuzz for a time, or for a number of rounds; return how many inputs each target had. Raises Finding."""
    failures: list[object] = []

    def observe(event: dict[str, object]) -> None:
        if event.get("log_level") is LogLevel.critical:
            failures.append(event.get("log_failure"))

    globalLogPublisher.addObserver(observe)
    names = [only] if only else list(TARGETS)
    counts = dict.fromkeys(names, 0)
    until = time.monotonic() + seconds
    number = first
    try:
        while time.monotonic() < until if rounds is None else number < first + rounds:
            name = names[number % len(names)]
            began = time.process_time()
            try:
                TARGETS[name](random.Random(f"{seed} {number}"))
            except Exception as error:
                raise Finding(f"{name}, --seed {seed} --round {number}: {error!r}") from error
            spent = time.process_time() - began
            if spent > SLOW or failures:
                raise Finding(f"{name}, --seed {seed} --round {number}: {spent:.1f} s, {failures}")
            counts[name] += 1
            number += 1
    finally:
        globalLogPublisher.removeObserver(observe)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--round", type=int, help="bring back one round")
    parser.add_argument("--only", choices=TARGETS, help="one target alone")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    if options.round is None:
        counts = fuzz(options.seconds, options.seed, only=options.only)
    else:
        counts = fuzz(0, options.seed, first=options.round, rounds=1, only=options.only)
    print(f"no finding in {counts}")


if __name__ == "__main__":
    main()
