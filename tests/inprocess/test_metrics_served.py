"""The metrics of a real daemon: over its control socket, and on loopback if a port is named, where nothing else is served."""

from __future__ import annotations

import http.client
import re
import socket
import tempfile
from pathlib import Path

import pytest
from bed import exposition
from bed.polling import wait_until
from test_control_socket import Running

from e2eproxy.control.scraping import MOST_CONNECTIONS

PLACE = re.compile(r"the metrics are at http://127\.0\.0\.1:(\d+)/metrics")


@pytest.fixture(scope="module")
def running():
    with tempfile.TemporaryDirectory(prefix="e2e") as folder:
        daemon = Running(Path(folder) / "data", "--metrics", "tcp:0:interface=127.0.0.1")
        # The log names the place before the clients' ports, for which Running has waited.
        daemon.metrics = int(PLACE.search(daemon.child.text())[1])
        yield daemon
        assert daemon.child.terminate() in {0, -15}
        assert "Traceback" not in daemon.child.text()


def ask(port, verb="GET", path="/metrics", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(verb, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_both_places_serve_the_same(running):
    status, headers, raw = ask(running.metrics)
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert int(headers["content-length"]) == len(raw)
    said = running.speak(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, over_socket = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"version=0.0.4" in head
    if b"chunked" in head.lower():
        over_socket = b"".join(over_socket.split(b"\r\n")[1::2])
    assert exposition.read(raw) == exposition.read(over_socket)
    assert exposition.value(exposition.read(raw), "e2eproxy_clients") == 0


def clients(running):
    return exposition.value(exposition.read(ask(running.metrics)[2]), "e2eproxy_clients")


def test_a_client_is_counted(running):
    port = int(re.search(r"listening on 127\.0\.0\.1:(\d+)", running.child.text())[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"<stream:stream xmlns='jabber:client'")
        wait_until(lambda: clients(running) == 1, "the client to be counted")
    wait_until(lambda: clients(running) == 0, "the client to be gone")


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/commands", 404),
        ("POST", "/v1/commands/status", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/metrics%00", 404),
        ("GET", "//metrics", 404),
        ("GET", "*", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("HEAD", "/metrics", 405),
    ],
)
def test_there_is_nothing_else(running, verb, path, status):
    assert ask(running.metrics, verb, path)[0] == status


def test_no_body_is_taken(running):
    assert ask(running.metrics, body=b"x")[0] == 413
    assert ask(running.metrics, body=iter([b"x" * 1000]))[0] == 413
    assert ask(running.metrics)[0] == 200


def test_a_web_page_cannot_read_along(running):
    for host in ("evil.example", f"evil.example:{running.metrics}", ""):
        status, _, raw = ask(running.metrics, Host=host)
        assert (status, b"e2eproxy_" in raw) == (403, False)
    assert ask(running.metrics, Host="localhost")[0] == 200


def test_there_are_not_any_number_of_connections(running):
    held = []
    try:
        while len(held) < MOST_CONNECTIONS:
            held.append(socket.create_connection(("127.0.0.1", running.metrics)))
        assert ask(running.metrics)[0] == 503
    finally:
        for one in held:
            one.close()
    wait_until(lambda: ask(running.metrics)[0] == 200, "room for one more")


def test_a_port_that_is_taken_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Exception, match=f"the metrics cannot be served on port {port} of 127.0.0.1"):
            Running(tmp_path / "data", "--metrics", f"tcp:{port}:interface=127.0.0.1")


def test_other_addresses_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(Exception, match="what is counted is for this machine alone"):
        Running(tmp_path / "data", "--metrics", "tcp:0:interface=0.0.0.0")
    assert not (tmp_path / "data").exists()
