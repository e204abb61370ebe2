"""The load generator for a real server: pairs of users, each sender keeping a few messages on the way to its partner.

Takes orders like load.py: one JSON object a line on standard input, one answer a line on standard output. One thread, one
selector; a message is a stanza of the bench's shape, addressed to the partner's full JID.

commands:
    login  {pairs, password, first, manages}
                                       log 2*pairs users in, the first of them u*first*, available; the first of a pair
                                       sends. *manages*: with stream management (XEP-0198), asking and answering ten times a
                                       second at most
    chat   {seconds, window, watch}    keep *window* messages under way in each pair
"""

from __future__ import annotations

import base64
import json
import selectors
import socket
import ssl
import statistics
import sys
import time
from collections import deque

import wire
from processes import cpu_ns

PATIENCE_SECONDS = 20
RESOURCE = "bench"
END_LENGTH = len(wire.STANZA_END)
SM = b"urn:xmpp:sm:3"
ENABLE, REQUEST = b"<enable xmlns='%s'/>" % SM, b"<r xmlns='%s'/>" % SM
ASKED = (b"<r xmlns='%s'" % SM, b'<r xmlns="%s"' % SM)
MANAGE_SECONDS = 0.1
BIND = (
    f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{RESOURCE}</resource></bind></iq>"
).encode()
# The server's own answer to this shows that it has taken the presence before it.
AVAILABLE = b"<presence/><iq type='get' id='p' to='example.test'><ping xmlns='urn:xmpp:ping'/></iq>"


class User:
    """One logged-in connection; a sender knows what it has under way, a receiver how much came."""

    def __init__(
        self, name: str, password: str, port: int, context: ssl.SSLContext | None, manages: bool
    ) -> None:
        self.jid = f"{name}@{wire.DOMAIN}"
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname=wire.DOMAIN)
        self.tail = b""
        self.manages = manages
        # The server may have asked during the login.
        self.handled, self.owes, self.sent, self.managed_at = 0, manages, False, 0.0
        secret = base64.b64encode(f"\0{name}\0{password}".encode())
        for text, answer in (
            (wire.CLIENT_HEADER, b"</stream:features>"),
            (wire.AUTH % secret, b"<success"),
            (wire.CLIENT_HEADER, b"</stream:features>"),
            (BIND, b"</iq>"),
            *(((ENABLE, b"<enabled"),) if manages else ()),
            (AVAILABLE, b"'p'"),
        ):
            self._exchange(text, answer)

    def _exchange(self, text: bytes, answer: bytes) -> None:
        self.sock.sendall(text)
        seen = b""
        while answer not in seen.replace(b'"', b"'"):
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"{self.jid}: closed during login, after {seen!r}")
            seen += data

    def receive(self) -> int:
        """Take what is there; return how many messages ended in it."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError(f"{self.jid}: closed")
        while isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            data += self.sock.recv(65536)
        data = self.tail + data
        self.tail = b"" if data.endswith(b">") else data[1 - END_LENGTH :]
        count = data.count(wire.STANZA_END)
        if self.manages:
            # What else came (presence) is not counted: the server is told of fewer stanzas, which it allows.
            self.handled += count
            self.owes = self.owes or any(asked in data for asked in ASKED)
        return count

    def manage(self) -> None:
        """Answer the server, and ask it for what was sent, if it is time."""
        if (self.owes or self.sent) and (now := time.monotonic()) >= self.managed_at + MANAGE_SECONDS:
            said = b"<a xmlns='%s' h='%d'/>" % (SM, self.handled) if self.owes else b""
            self.sock.send(said + (REQUEST if self.sent else b""))
            self.owes, self.sent, self.managed_at = False, False, now


class Pair:
    """A sender, its partner, and when each message under way was sent."""

    def __init__(self, sender: User, receiver: User) -> None:
        self.sender, self.receiver = sender, receiver
        to = f"{receiver.jid}/{RESOURCE}".encode()
        self.message = wire.stanza(0).replace(b"juliet@example.test/balcony", to)
        assert to in self.message
        self.under_way: deque[int] = deque()

    def send(self) -> None:
        self.under_way.append(time.perf_counter_ns())
        self.sender.sent = self.sender.manages
        self.sender.sock.send(self.message)


class Chat:
    """The commands."""

    def __init__(self, port: int, ca_file: str | None = None) -> None:
        self.port = port
        self.context = None
        if ca_file is not None:
            self.context = ssl.create_default_context(cafile=ca_file)
        self.pairs: list[Pair] = []
        self.selector = selectors.DefaultSelector()

    def login(self, pairs: int, password: str, first: int, manages: bool) -> dict:
        for number in range(first, first + 2 * pairs, 2):
            sender, receiver = (
                User(f"u{number + side}", password, self.port, self.context, manages) for side in (0, 1)
            )
            pair = Pair(sender, receiver)
            self.pairs.append(pair)
            self.selector.register(sender.sock, selectors.EVENT_READ, (sender, None))
            self.selector.register(receiver.sock, selectors.EVENT_READ, (receiver, pair))
        return {"users": 2 * pairs}

    def chat(self, seconds: float, window: int, watch: int | None) -> dict:
        times: list[int] = []
        cpu = cpu_ns(watch)
        began = now = time.perf_counter_ns()
        until = began + int(seconds * 1e9)
        for pair in self.pairs:
            for _ in range(window):
                pair.send()
        under_way = window * len(self.pairs)
        while under_way:
            ready = self.selector.select(PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"{under_way} messages did not arrive in {PATIENCE_SECONDS} s")
            for key, _ in ready:
                user, pair = key.data
                came = user.receive()
                user.manage()
                if pair is None:
                    continue  # a sender gets its contacts' presence and nothing that is counted
                pair.sender.manage()
                now = time.perf_counter_ns()
                for _ in range(came):
                    times.append(now - pair.under_way.popleft())
                    if now < until:
                        pair.send()
                    else:
                        under_way -= 1
        cuts = statistics.quantiles(times, n=100)
        return {
            "messages_per_second": len(times) / (now - began) * 1e9,
            "median_ms": cuts[49] / 1e6,
            "p99_ms": cuts[98] / 1e6,
            "cpu_us": (cpu_ns(watch) - cpu) / len(times) / 1e3,
        }


def main() -> None:
    chat = Chat(int(sys.argv[1]), *sys.argv[2:])
    commands = {"login": chat.login, "chat": chat.chat}
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(commands[order.pop("do")](**order)), flush=True)


if __name__ == "__main__":
    main()
