"""Loopback ports chosen by the kernel, for programs that cannot say which port they got."""

from __future__ import annotations

import socket


def reserve_port() -> int:
    """Return a TCP port of 127.0.0.1 that the kernel will not give to anybody else for the next minute.

    A connection to the port, closed from the listening side first, leaves it in TIME_WAIT: the kernel then passes
    it over when it chooses ports, but a server that sets SO_REUSEADDR (all of ours do) may listen there.
    """
    with socket.socket() as listener:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # both sides of the deal have to set it
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        address = listener.getsockname()
        with socket.create_connection(address, 5) as client:
            accepted, _ = listener.accept()
            accepted.close()
            client.recv(1)  # the close has arrived: the listening side was first
    return int(address[1])
