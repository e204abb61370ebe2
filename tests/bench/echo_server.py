"""A server for the bench: logs anybody in, from then on sends back every byte that comes.

A real server would be the slowest part of each row and hide what a relay costs; this one reads no XML (a login is
four known patterns) and copies bytes, so it answers faster than any relay can ask. Back pressure holds: what a
peer does not take back is not read from it. Each kind of TLS session is named once on standard error, so that
the table can say that all rows used the same.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import socket
import ssl
import sys

import wire
from processes import raise_descriptor_limit

READ_BYTES = 256 * 1024
#: (what the peer has to have sent, how that ends, what it gets)
LOGIN = (
    (b"<stream:stream", b">", wire.SERVER_HEADER + wire.SASL_FEATURES),
    (b"<auth", b"</auth>", wire.SUCCESS),
    (b"<stream:stream", b">", wire.SERVER_HEADER + wire.BIND_FEATURES),
    (b"<bind", b"</iq>", wire.BOUND),
)


class Connection:
    """One client: TLS handshake if there is any, login, echo."""

    def __init__(self, server: Server, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self.shaken = not isinstance(sock, ssl.SSLSocket)
        self.step = 0
        self.seen = b""
        self.unsent = b""
        self.watched = selectors.EVENT_READ

    def ready(self) -> None:
        """Do what can be done without waiting; close on any end of the connection."""
        try:
            wanted = self._advance()
        except ssl.SSLWantReadError:
            wanted = selectors.EVENT_READ
        except (ssl.SSLWantWriteError, BlockingIOError):
            wanted = selectors.EVENT_WRITE if self.unsent else selectors.EVENT_READ
        except OSError:
            wanted = 0
        if not wanted:
            self.server.drop(self)
        elif wanted != self.watched:
            self.watched = wanted
            self.server.selector.modify(self.sock, wanted, self)

    def _advance(self) -> int:
        if not self.shaken:
            self.sock.do_handshake()
            self.shaken = True
            self.server.name_session(self.sock)
        if self.unsent:
            self._send(self.unsent)
        while not self.unsent:
            data = self.sock.recv(READ_BYTES)
            if not data:
                return 0
            self._send(data if self.step == len(LOGIN) else self._login(data))
            if not self.server.tls:
                break  # the selector tells of more; an SSL socket may hold some that it cannot see
        return selectors.EVENT_WRITE if self.unsent else selectors.EVENT_READ

    def _send(self, data: bytes) -> None:
        self.unsent = data
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]

    def _login(self, data: bytes) -> bytes:
        self.seen += data
        answers = b""
        while self.step < len(LOGIN):
            begin, end, answer = LOGIN[self.step]
            at = self.seen.find(begin)
            stop = self.seen.find(end, at) if at >= 0 else -1
            if stop < 0:
                return answers
            self.seen = self.seen[stop + len(end) :]
            self.step += 1
            answers += answer % self.number if answer is wire.BOUND else answer
        rest, self.seen = self.seen, b""
        return answers + rest


class Server:
    """Accept and serve until told to end."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.tls = context is not None
        self.selector = selectors.DefaultSelector()
        self.accepted = 0
        self.sessions: set[tuple[str, str]] = set()

    def run(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, None)
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    self._accept(listener)
                else:
                    key.data.ready()

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.accepted += 1
        self.selector.register(sock, selectors.EVENT_READ, Connection(self, sock, self.accepted))

    def drop(self, connection: Connection) -> None:
        self.selector.unregister(connection.sock)
        connection.sock.close()

    def name_session(self, sock: ssl.SSLSocket) -> None:
        session = (sock.version(), sock.cipher()[0])
        if session not in self.sessions:
            self.sessions.add(session)
            print(f"session {session[0]} {session[1]}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--certificate", help="PEM file with certificate and key: speak direct TLS")
    arguments = parser.parse_args()
    context = None
    if arguments.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)
        context.set_alpn_protocols(["xmpp-client"])
    raise_descriptor_limit()
    Server(context).run()


if __name__ == "__main__":
    main()
