"""A PostgreSQL server of Debian's package, in a folder of the test run, on a loopback port.

Root may not run it, so root hands it to the user `postgres` (or `nobody`). The user is bursa, with
a password; each test has a database of its own.
"""

import itertools
import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree

import psycopg

from tests.servers.broker import STOP_S, Broker, free_port, missing

USER, PASSWORD = "bursa", "state-secret"
_LIBRARY = Path("/usr/lib/postgresql")
# Tests end the server as a power loss would not: what it wrote the kernel has.
_CONFIG = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 16MB
max_connections = 60
fsync = off
full_page_writes = off
logging_collector = off
autovacuum = off
"""


def _binaries() -> Path:
    found = sorted(_LIBRARY.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        missing("postgresql is not installed")
    return found[-1].parent


def _other_user() -> pwd.struct_passwd | None:
    """Who runs it where root may not."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


class Postgres(Broker):
    """One server. Its folder lies by itself: another user may not enter those of the test run."""

    def __init__(self) -> None:
        self._binaries, user = _binaries(), _other_user()
        super().__init__(Path(tempfile.mkdtemp(prefix="bursa-postgres-")), free_port())
        self._numbers = itertools.count(1)
        self._uid = None if user is None else user.pw_uid
        self._gid = None if user is None else user.pw_gid
        self._hand_over(self.folder)
        self._make()

    def _make(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        made = ["-D", str(self.folder / "data"), "-U", USER, "-A", "scram-sha-256"]
        made += [f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._hand_over(secret)
        subprocess.run(
            [str(self._binaries / "initdb"), *made],
            check=True,
            capture_output=True,
            timeout=150,
            cwd=self.folder,
            user=self._uid,
            group=self._gid,
        )
        with open(self.folder / "data" / "postgresql.conf", "a") as config:
            config.write(f"{_CONFIG}port = {self.port}\n")

    def _hand_over(self, path: Path) -> None:
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run, and its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return [str(self._binaries / "postgres"), "-D", str(self.folder / "data")], kept

    def launch(self) -> None:
        """Begin to start; `ready` waits for the rest."""
        assert self.process is None or self.process.poll() is not None, "it runs"
        command, environment = self.command()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd=self.folder,
                user=self._uid,
                group=self._gid,
            )

    def answers(self) -> bool:
        """Is it ready for clients?"""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        """Where one of its databases is."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The URL of a database that nobody has."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return self.url(name)

    def kill(self) -> None:
        """It ends where it stands, with all that it started (SIGQUIT: a SIGKILL would leave those).
        `start` brings it back."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(STOP_S)

    def cut(self, database: str, listening: bool = False) -> int:
        """End the connections to a database (of a URL), or those alone that listen; how many."""
        name = database.rpartition("/")[2]
        ours = "datname = %s and pid <> pg_backend_pid()"
        if listening:
            ours += " and (query ilike 'listen%%' or query like 'select n from versions%%')"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            found = connection.execute(
                f"select pg_terminate_backend(pid) from pg_stat_activity where {ours}", (name,)
            ).fetchall()
        return len(found)

    def stand_still(self) -> None:
        """Every process of it stops where it is, until `go_on`: connections stay, answers do not
        come."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `stand_still`."""
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in [self.process.pid, *map(int, children.split())]:
            os.kill(pid, what)

    def stop(self) -> None:
        """Be it gone, with all that it started, and its folder too."""
        if self.process is not None and self.process.poll() is None:
            self.go_on()
            self.kill()
        rmtree(self.folder, ignore_errors=True)
