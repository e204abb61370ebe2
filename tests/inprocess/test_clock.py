"""A daemon whose clock is an hour off, as its user meets it: the process has another time than the server."""

from __future__ import annotations

import datetime as dt
import re
import socket
import ssl
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from bed.daemon import Daemon
from cryptography.hazmat.primitives import serialization
from tls_servers import Authority

DOMAIN = "example.test"
HOUR = dt.timedelta(hours=1)
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
HEADER = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
).encode()
ANSWER = (
    f"<?xml version='1.0'?><stream:stream from='{DOMAIN}' id='1' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>"
).encode()

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian: faketime)")


class Server:
    """Takes one connection with TLS and answers the stream's header."""

    def __init__(self, identity, directory):
        pem = directory / "server.pem"
        pem.write_bytes(
            identity.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + identity.certificate.public_bytes(serialization.Encoding.PEM)
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(30)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        connection, _ = self._socket.accept()
        try:
            with self._context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(4096)
                secure.sendall(ANSWER)
                secure.recv(4096)
        except OSError:
            connection.close()  # whoever does not like the certificate says so, or goes

    def close(self):
        self._socket.close()
        self._thread.join(10)


def tried(tmp_path, clock, start, end):
    """What a client reads, and the log, of a daemon whose clock is *clock* (as libfaketime writes it) off."""
    authority = Authority(tmp_path)
    server = Server(authority.issue(DOMAIN, start=start, end=end), tmp_path)
    before = ("env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME={clock}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    daemon = Daemon(SimpleNamespace(ca_file=authority.file), server.port, "direct", before=before)
    try:
        with daemon, socket.create_connection(("127.0.0.1", daemon.port), 30) as client:
            client.sendall(HEADER)
            said = b""
            while b"</stream:error>" not in said and b"<stream:features/>" not in said:
                more = client.recv(65536)
                assert more, said
                said += more
            return said.decode(), daemon.log_text()
    finally:
        server.close()


WRONG = [
    ("+1h", -2 * HOUR, HOUR / 2, "expired on", 1),
    ("-1h", -HOUR / 2, 2 * HOUR, "is not valid before", -1),
]


@pytest.mark.parametrize("wrong", WRONG, ids=["ahead", "behind"])
def test_the_user_is_asked_whether_the_clock_is_right(tmp_path, wrong):
    """The certificate is one of today, and good: it is the clock that makes it old, or too new."""
    clock, start, end, said, hours = wrong
    told, log = tried(tmp_path, clock, start, end)
    there = dt.datetime.now(dt.UTC) + hours * HOUR
    for text in (told, log):
        assert said in text
        shown = re.search(r"this machine's clock says (\d{4}-\d\d-\d\d, \d\d:\d\d) UTC; is it right\?", text)
        clock_said = dt.datetime.strptime(f"{shown.group(1)} +0000", "%Y-%m-%d, %H:%M %z")
        assert abs(clock_said - there) < dt.timedelta(minutes=5)


@pytest.mark.parametrize("clock", ["+1h", "-1h"])
def test_nothing_else_is_stopped_by_it(tmp_path, clock):
    """A certificate with days before and behind it: the stream begins as with the right clock."""
    told, log = tried(tmp_path, clock, -24 * HOUR, 24 * HOUR)
    assert "<stream:features/>" in told
    assert "WARN" not in log.upper().replace("WARNING:", "")
