"""What the bench's Twisted programs share: options, the way upstream, and the line that says where they listen.

All of them run on the reactor that e2eproxy gets (Twisted's default), reach the server over the same kind of
transport, verify its certificate, and switch Nagle's algorithm off, so that they differ in what they do with the bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import wire
from processes import raise_descriptor_limit
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS

if TYPE_CHECKING:
    from twisted.python.failure import Failure


def options(about: str) -> argparse.Namespace:
    """Return the options every relay takes."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--upstream", type=int, required=True, help="the server's port on 127.0.0.1")
    parser.add_argument("--ca", type=Path, help="PEM file of the CA: speak direct TLS to the server")
    return parser.parse_args()


def upstream(arguments: argparse.Namespace):
    """Return the endpoint of the server; one TLS context serves all connections."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", arguments.upstream, timeout=10)
    if arguments.ca is None:
        return endpoint
    context = ssl.optionsForClientTLS(
        wire.DOMAIN,
        trustRoot=ssl.Certificate.loadPEM(arguments.ca.read_bytes()),
        acceptableProtocols=[b"xmpp-client"],
    )
    return wrapClientTLS(context, endpoint)


def run(factory) -> None:
    """Listen on a port from the kernel, name it, run until killed."""
    raise_descriptor_limit()

    def failed(failure: Failure) -> None:
        failure.printTraceback(sys.stderr)
        reactor.stop()

    def listening(port) -> None:
        name = type(reactor).__name__
        print(f"listening on 127.0.0.1:{port.getHost().port} ({name})", file=sys.stderr, flush=True)

    endpoint = TCP4ServerEndpoint(reactor, 0, backlog=1024, interface="127.0.0.1")
    reactor.callWhenRunning(lambda: endpoint.listen(factory).addCallbacks(listening, failed))
    reactor.run()
