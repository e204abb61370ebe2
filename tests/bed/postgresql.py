"""A PostgreSQL server with throw-away data that listens on a Unix socket only, run by a user without rights."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bed.child import Child
from bed.polling import wait_until
from bed.programs import NotInstalledError

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path("/usr/lib/postgresql")
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
    # As weak as a careless administrator could make it: the store has to ask for durability itself.
    "synchronous_commit": "off",
    "fsync": "off",
}


def programs() -> Path:
    """The folder with the newest installed server's programs; Debian keeps them off the PATH."""
    found = sorted(ROOT.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise NotInstalledError("PostgreSQL is not installed (apt-get install postgresql)")
    return found[-1].parent


def _whose() -> tuple[str, dict[str, Any]]:
    """The user to run it as, since it refuses root, and how ``subprocess`` is told so."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name, {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return name, {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NotInstalledError("PostgreSQL does not run as root, and there is no user postgres or nobody")


class PostgreSQL:
    """One server; each ``database`` is new and empty."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self.directory = Path()
        self.user, self._identity = _whose()
        self._child: Child | None = None
        self._numbers = itertools.count(1)
        self._free: list[str] = []

    def start(self) -> Self:
        """Make a cluster and wait until it answers."""
        folder = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="bed-postgresql-"))
        try:
            if self._identity:
                shutil.chown(self.directory, self._identity["user"], self._identity["group"])
            environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
            data = self.directory / "data"
            subprocess.run(
                [folder / "initdb", "--no-sync", "-A", "trust", "-U", "e2eproxy", "-E", "UTF8", "-D", data],
                check=True,
                capture_output=True,
                cwd=self.directory,
                env=environment,
                timeout=120,
                **self._identity,
            )
            options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
            command = [str(folder / "postgres"), "-D", str(data), "-k", str(self.directory), *options]
            if self._identity:
                group = str(self._identity["group"])
                change = ["--reuid", self.user, "--regid", group, "--clear-groups", "--pdeathsig", "KILL"]
                command = ["setpriv", *change, *command]
            self._child = Child(
                command, log=self.directory / "output.log", cwd=self.directory, environment=environment
            )
            wait_until(self._answers, "PostgreSQL to answer", timeout=30, instead=self._child.tail)
        except BaseException:
            self.stop()
            raise
        return self

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.address("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def address(self, name: str) -> str:
        """The URL of the database *name*."""
        return f"postgresql://e2eproxy@/{name}?host={self.directory}"

    def database(self) -> str:
        """The URL of an empty database; give it back with ``release``, since a new one costs 7 MB."""
        if self._free:
            return self.address(self._free.pop())
        name = f"store{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        return self.address(name)

    def release(self, url: str) -> None:
        """Empty the database at *url* for another test, whoever still uses it."""
        name = self.name(url)
        self.disconnect(url)
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database=name)
        self._free.append(name)

    def disconnect(self, url: str) -> None:
        """End all connections to the database at *url*, as an administrator can; they are gone afterwards."""
        self.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self.name(url)}'"
        )

    @staticmethod
    def name(url: str) -> str:
        """The database that *url* names."""
        return url.split("/")[3].split("?", maxsplit=1)[0]

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run *statement* as an administrator would."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """End it and remove its data."""
        if self._child is not None:
            if self._child.running():
                os.kill(self._child.pid, signal.SIGINT)  # or it would wait for its clients
            self._child.terminate()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
