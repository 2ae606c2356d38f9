"""A Redis server of Debian's package, on a loopback port, that keeps nothing on disk.

It speaks to Valkey's client as well: the protocol is the same.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from tests.servers.broker import Broker, free_port, missing


class Redis(Broker):
    """One server; empty after each start."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            missing("redis-server is not installed")
        self._program = str(found)
        super().__init__(folder, free_port())

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run, and its environment."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
            "daemonize": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [self._program, *options], os.environ

    def url(self, scheme: str = "redis") -> str:
        """Where it is; `valkey` for that client."""
        return f"{scheme}://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        """A client of the test's own; closed by the test."""
        return redis.Redis(port=self.port, socket_timeout=30)

    def answers(self) -> bool:
        """Is it ready for clients?"""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def counted(self) -> dict[str, int]:
        """How often each command was called since it started: `scan` -> 3."""
        with self.client() as client:
            told = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in told.items()}
