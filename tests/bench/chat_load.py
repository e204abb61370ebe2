"""The load generator for a real server: pairs of users, each sender keeping a few messages on the way to its partner.

Takes orders like load.py: one JSON object a line on standard input, one answer a line on standard output. One thread, one
selector; a message is a stanza of the bench's shape, addressed to the partner's full JID.

commands:
    login  {pairs, password}           log users u0..u(2*pairs-1) in, available; the first of a pair sends
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
BIND = (
    f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{RESOURCE}</resource></bind></iq>"
).encode()
# The server's own answer to this shows that it has taken the presence before it.
AVAILABLE = b"<presence/><iq type='get' id='p' to='example.test'><ping xmlns='urn:xmpp:ping'/></iq>"


class User:
    """One logged-in connection; a sender knows what it has under way, a receiver how much came."""

    def __init__(self, name: str, password: str, port: int, context: ssl.SSLContext | None) -> None:
        self.jid = f"{name}@{wire.DOMAIN}"
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname=wire.DOMAIN)
        self.tail = b""
        secret = base64.b64encode(f"\0{name}\0{password}".encode())
        for text, answer in (
            (wire.CLIENT_HEADER, b"</stream:features>"),
            (wire.AUTH % secret, b"<success"),
            (wire.CLIENT_HEADER, b"</stream:features>"),
            (BIND, b"</iq>"),
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
        return data.count(wire.STANZA_END)


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

    def login(self, pairs: int, password: str) -> dict:
        for number in range(pairs):
            sender, receiver = (
                User(f"u{2 * number + side}", password, self.port, self.context) for side in (0, 1)
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
                if pair is None:
                    continue  # a sender gets its contacts' presence and nothing that is counted
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
