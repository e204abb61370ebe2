"""The rows of the table: what stands between client and server, and how each is started."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import wire
from bed.certificates import make_certificates
from processes import HERE, Cores, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TLS_KINDS = ("none", "direct")


def data_of(tested: Process) -> Path:
    """The data directory that ``Bench.e2eproxy`` gave to *tested*."""
    return Path(tested.argv[tested.argv.index("--data") + 1])


class Bench:
    """What all rows need: cores, a scratch directory, a certificate."""

    def __init__(self, scratch: Path) -> None:
        self.cores = Cores()
        self.scratch = scratch
        self.certificates = make_certificates(scratch / "certificates")
        self.ca = self.certificates.ca_file

    @contextlib.contextmanager
    def echo_server(self, tls: str) -> Iterator[Process]:
        """Run a fresh echo server; yield its process."""
        argv = [sys.executable, str(HERE / "echo_server.py")]
        if tls == "direct":
            argv += ["--certificate", str(self.certificates.server.both)]
        with Process(argv, self.cores.server, self.scratch) as server:
            yield server

    def twisted(self, program: str, upstream: int, tls: str) -> Process:
        """Start one of the bench's Twisted programs."""
        argv = [sys.executable, str(HERE / program), "--upstream", str(upstream)]
        if tls == "direct":
            argv += ["--ca", str(self.ca)]
        return Process(argv, self.cores.tested, self.scratch)

    def raw(self, upstream: int, tls: str) -> Process:
        return self.twisted("raw_relay.py", upstream, tls)

    def domish(self, upstream: int, tls: str) -> Process:
        return self.twisted("domish_relay.py", upstream, tls)

    def holder(self, upstream: int, tls: str) -> Process:
        return self.twisted("bare_holder.py", upstream, tls)

    def e2eproxy(self, upstream: int, tls: str) -> Process:
        data = tempfile.mkdtemp(prefix="data-", dir=self.scratch)
        argv = [sys.executable, "-m", "e2eproxy", "run", "--listen", "tcp:0:interface=127.0.0.1"]
        argv += ["--upstream", f"127.0.0.1:{upstream}", "--upstream-tls", tls, "--data", data]
        if tls == "direct":
            argv += ["--upstream-ca", str(self.ca)]
        return Process(argv, self.cores.tested, self.scratch)

    def haproxy(self, upstream: int, tls: str) -> Process:
        """Start HAProxy in TCP mode with one thread, on a socket that already listens (no port to guess)."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        port = listener.getsockname()[1]
        secured = f" ssl verify required ca-file {self.ca} verifyhost {wire.DOMAIN} sni str({wire.DOMAIN})"
        secured += " alpn xmpp-client"
        config = self.scratch / f"haproxy-{port}.cfg"
        config.write_text(
            f"global\n  nbthread 1\n  maxconn 4000\n"
            f"defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n"
            f"listen xmpp\n  bind fd@{listener.fileno()}\n"
            f"  server upstream 127.0.0.1:{upstream}{secured if tls == 'direct' else ''}\n"
        )
        argv = ["haproxy", "-db", "-f", str(config)]
        with listener:
            process = Process(argv, self.cores.tested, self.scratch, pass_fds=(listener.fileno(),))
        process.port = lambda: port
        return process


def relays(bench: Bench) -> dict[str, Callable[[int, str], Process] | None]:
    """Return the rows in the table's order; None stands for no process in between."""
    rows: dict[str, Callable[[int, str], Process] | None] = {"direct": None}
    if shutil.which("haproxy"):
        rows["HAProxy"] = bench.haproxy
    else:
        print("HAProxy is not installed: its row is left out", file=sys.stderr)
    # e2eproxy runs next to both relays that it is compared with.
    rows |= {"raw relay": bench.raw, "e2eproxy": bench.e2eproxy, "domish relay": bench.domish}
    return rows


def alternated(names: list[str], repetition: int) -> list[str]:
    """Return the rows' order for one repetition: every other one backwards, so that none always runs last."""
    return names if repetition % 2 == 0 else names[::-1]
