"""A Redis or a Valkey server of Debian's package, on a loopback port, that keeps nothing on disk.

Both speak one protocol, so tests talk to either by one client; bursa to each by that one's own.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from tests.servers.broker import Broker, free_port, missing
from tests.servers.certificates import Certificates

# Wants to be quoted in a URL: `p@ss/` there.
PASSWORD, QUOTED = "p@ss/", "p%40ss%2F"


class Redis(Broker):
    """One server; empty after each start. With certificates it speaks TLS alone, and to nobody
    without the password."""

    scheme = "redis"
    required = True

    def __init__(self, folder: Path, tls: Certificates | None = None) -> None:
        found = shutil.which(f"{self.scheme}-server")
        if found is None:
            missing(f"{self.scheme}-server is not installed", self.required)
        self._program, self.tls = str(found), tls
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
        if self.tls is not None:
            settings |= {
                "port": "0",
                "bind": "127.0.0.1 127.0.0.2",  # of the second its certificate knows nothing
                "tls-port": str(self.port),
                "tls-cert-file": str(self.tls.certificate),
                "tls-key-file": str(self.tls.key),
                "tls-ca-cert-file": str(self.tls.authority),
                "tls-auth-clients": "no",
                "requirepass": PASSWORD,
            }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [self._program, *options], os.environ

    def url(self, scheme: str = "", host: str = "127.0.0.1") -> str:
        """Where it is, for its own client or for another scheme's."""
        scheme = scheme or self.scheme
        if self.tls is None:
            return f"{scheme}://{host}:{self.port}/0"
        trusted = f"ssl_ca_certs={self.tls.authority}"
        return f"{scheme}s://:{QUOTED}@{host}:{self.port}/0?{trusted}"

    def client(self) -> "redis.Redis":
        """A client of the test's own; closed by the test."""
        more: dict[str, Any] = {}
        if self.tls is not None:
            more = {"ssl": True, "ssl_ca_certs": str(self.tls.authority), "password": PASSWORD}
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=30, **more)

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


class Valkey(Redis):
    """The same of Valkey's. Not every Debian has it: where there is none, tests are skipped."""

    scheme = "valkey"
    required = False


EVERY = {kind.scheme: kind for kind in (Redis, Valkey)}
