"""The load generator: XMPP clients in one process, told what to do by lines on standard input.

Each line is a JSON object whose ``do`` names a command below; each answer is one JSON line on standard output. Clients are
blocking sockets with a receive timeout in the kernel, so that next to nothing lies between a stanza and the clock.
The CPU time of the process under test (``watch``) is read here, right before the first stanza and right after
the last one has come back, by which time that process has nothing left to do.

Arguments: the port and, only for the row without a relay, the CA file of a server that speaks direct TLS.

commands:
    connect  {count, login}        open *count* more connections; without login, wait for one byte of greeting
    window   {seconds, size, watch, clients, times}
                                   keep *size* stanzas under way (1: ping-pong), each on the next of *clients* connections;
                                   *times*: return how long each took as well
    bulk     {seconds, watch}      send as fast as the other side takes it, over the first connection
"""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import ssl
import statistics
import struct
import sys
import time
from collections import deque

import wire
from processes import cpu_ns, raise_descriptor_limit

PATIENCE_SECONDS = 20
BATCH = 190  # stanzas in one buffer of a bulk load: about 64 KiB
END_LENGTH = len(wire.STANZA_END)


class Client:
    """One connection; counts the stanzas that came back."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname=wire.DOMAIN)
        # Not settimeout(): with it Python calls poll() before each recv().
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE_SECONDS, 0))
        self.tail = b""

    def login(self) -> None:
        """Log in, each step only after the answer to the one before."""
        secret = base64.b64encode(b"\0romeo\0pw")
        for text, answer in (
            (wire.CLIENT_HEADER, b"</stream:features>"),
            (wire.AUTH % secret, b"<success"),
            (wire.CLIENT_HEADER, b"</stream:features>"),
            (wire.BIND, b"</iq>"),
        ):
            self.sock.sendall(text)
            seen = b""
            while answer not in seen:
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionError(f"closed during login, after {seen!r}")
                seen += data

    def receive(self, size: int = 65536) -> int:
        """Wait for bytes; return how many stanzas ended in them."""
        data = self.sock.recv(size)
        if not data:
            raise ConnectionError("closed under load")
        if data.endswith(wire.STANZA_END) and not self.tail:
            return data.count(wire.STANZA_END)
        data = self.tail + data
        # Whatever of an end may stand at the end of this data is looked at again with the next.
        self.tail = b"" if data.endswith(wire.STANZA_END) else data[1 - END_LENGTH :]
        return data.count(wire.STANZA_END)


class Load:
    """The commands."""

    def __init__(self, port: int, ca_file: str | None = None) -> None:
        self.port = port
        self.context = None
        if ca_file is not None:
            self.context = ssl.create_default_context(cafile=ca_file)
            self.context.set_alpn_protocols(["xmpp-client"])
        self.clients: list[Client] = []
        self.batch = wire.stanzas(BATCH)
        self.single = [wire.stanza(number) for number in range(1000)]

    def connect(self, count: int, login: bool) -> dict:
        for _ in range(count):
            client = Client(self.port, self.context)
            if login:
                client.login()
            elif not client.sock.recv(1):
                raise ConnectionError("closed instead of a greeting")
            self.clients.append(client)
        return {"clients": len(self.clients)}

    def window(
        self, seconds: float, size: int, watch: int | None, clients: int = 1, times: bool = False
    ) -> dict:
        if size == 1:
            return self._ping_pong(seconds, watch, self.clients[:clients], times)
        assert clients == 1, "a window over many clients is not something this can measure"
        return self._window(seconds, size, watch, self.clients[0])

    def _ping_pong(self, seconds: float, watch: int | None, clients: list[Client], each: bool) -> dict:
        times, count = [], 0
        clock, single = time.perf_counter_ns, self.single
        cpu = cpu_ns(watch)
        began = clock()
        until = began + int(seconds * 1e9)
        now = began
        while now < until:
            client = clients[count % len(clients)]
            before = clock()
            client.sock.send(single[count % 1000])
            while not client.receive():
                pass
            now = clock()
            times.append(now - before)
            count += 1
        result = _result(count, now - began, cpu_ns(watch) - cpu, times)
        return result | {"times_us": [one / 1e3 for one in times]} if each else result

    def _window(self, seconds: float, size: int, watch: int | None, client: Client) -> dict:
        times, sent_at, sent, returned = [], deque(), 0, 0
        clock, single, send = time.perf_counter_ns, self.single, client.sock.send
        cpu = cpu_ns(watch)
        began = now = clock()
        until = began + int(seconds * 1e9)
        while True:
            if now < until:
                for _ in range(size - (sent - returned)):
                    # One by one, as a client with many things to say would; the relay may find them joined.
                    sent_at.append(clock())
                    send(single[sent % 1000])
                    sent += 1
            elif returned == sent:
                break
            came = client.receive()
            now = clock()
            returned += came
            times.extend(now - sent_at.popleft() for _ in range(came))
        return _result(sent, now - began, cpu_ns(watch) - cpu, times)

    def bulk(self, seconds: float, watch: int | None) -> dict:
        client = self.clients[0]
        client.sock.setblocking(False)
        poll = select.poll()
        sent = returned = 0
        rest = memoryview(b"")
        clock = time.perf_counter_ns
        cpu = cpu_ns(watch)
        began = now = clock()
        until = began + int(seconds * 1e9)
        while True:
            now = clock()
            if not rest and now < until:
                rest, sent = memoryview(self.batch), sent + BATCH
            elif not rest and returned == sent:
                break
            poll.register(client.sock, select.POLLIN | (select.POLLOUT if rest else 0))
            events = poll.poll(PATIENCE_SECONDS * 1000)
            if not events:
                raise TimeoutError(f"nothing moved for {PATIENCE_SECONDS} s")
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                returned += client.receive(256 * 1024)
                while self.context is not None and client.sock.pending():
                    returned += client.receive(256 * 1024)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                if rest:
                    rest = rest[client.sock.send(rest) :]
        client.sock.setblocking(True)
        return _result(sent, now - began, cpu_ns(watch) - cpu, None)


def _result(round_trips: int, wall: int, cpu: int, times: list[int] | None) -> dict:
    """Return the row's numbers; a stanza through and back has passed the relay twice, and counts as two."""
    passages = 2 * round_trips
    result = {
        "round_trips": round_trips,
        "stanzas_per_second": passages / wall * 1e9,
        "cpu_us": cpu / passages / 1e3,
        "cpu_share": cpu / wall,
    }
    if times is not None:
        cuts = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
        result |= {"median_us": cuts[49] / 1e3, "p99_us": cuts[98] / 1e3}
    return result


def main() -> None:
    raise_descriptor_limit()
    load = Load(int(sys.argv[1]), *sys.argv[2:])
    commands = {"connect": load.connect, "window": load.window, "bulk": load.bulk}
    for line in sys.stdin:
        order = json.loads(line)
        answer = commands[order.pop("do")](**order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
