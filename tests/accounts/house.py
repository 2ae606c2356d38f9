"""Accounts of a process on a database of their own, and a floor served with them."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from bursa.accounts.mail import Server
from bursa.accounts.parts import Accounts, Beside
from bursa.accounts.who import CLI
from bursa.api.front import Front
from bursa.api.services import Services
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock
from bursa.state.database import Database
from tests.api.floor import Floor, HandClock, Served, serve
from tests.servers.smtp import MailServer, Received

PASSWORD = "kopi susu 7 gelas"
MINUTE_NS = 60_000_000_000


def accounts(
    folder: Path,
    clock: Clock,
    telemetry: Telemetry,
    post: MailServer | None,
    limits: str,
    database: str = "",
) -> Accounts:
    """Accounts in a folder, or a server's database by its URL, not started."""
    server = None
    if post is not None:
        server = Server("127.0.0.1", post.port, "none", "", "", "no-reply@bursa.example")
    beside = Beside(folder, folder / "secrets", limits, server)
    return Accounts(Database(database or folder / "state.db"), clock, telemetry, beside)


class House(Floor):
    """A floor whose services have accounts, and a front."""

    def __init__(self, folder: Path, make: Callable[[HandClock, Telemetry], Accounts]) -> None:
        super().__init__(folder)
        self.clock.ns = time.time_ns()
        self.accounts = make(self.clock, self.telemetry)
        self.front = Front()

    def services(self) -> Services:
        return replace(super().services(), accounts=self.accounts, front=self.front)


@dataclass
class Site:
    """A served house, and the post that its letters go to."""

    served: Served
    house: House
    post: MailServer

    @property
    def accounts(self) -> Accounts:
        return self.house.accounts

    def later(self, ns: int = 2 * MINUTE_NS) -> None:
        """Let time go by; by default what was tried too often may be tried again."""
        self.house.clock.ns += ns

    def client(self, **options: Any) -> httpx.Client:
        """Somebody, so far nobody."""
        return httpx.Client(base_url=self.served.url, timeout=60, **options)

    def user(self, email: str, tier: str = "free", role: str = "user") -> str:
        """A user who can sign in with PASSWORD; his id."""
        return self.accounts.people.create(email, role, tier, PASSWORD, CLI)

    def key(self, user: str, name: str = "key") -> str:
        """A key of a user."""
        return self.accounts.keys.make(user, name, None, CLI)[0]

    @contextlib.contextmanager
    def session(self, email: str) -> Iterator[httpx.Client]:
        """A client that has signed in, and shows the CSRF token."""
        with self.client() as client:
            answer = client.post("/auth/login", json={"email": email, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers["X-CSRF-Token"] = answer.json()["data"]["csrf"]
            yield client

    def letter(self, count: int) -> Received:
        """The letter with that number, 1 the first, once it has come."""
        return self.post.wait(count)[count - 1]


def secret(letter: Received) -> str:
    """The secret of a letter's link."""
    found = re.search(r"[?]token=(\S+)", letter.text)
    assert found is not None, letter.text
    return found[1]


@contextlib.contextmanager
def open_house(
    folder: Path, limits: str = "memory", front: Front | None = None, database: str = ""
) -> Iterator[Site]:
    """A served house with a mail server, until the block ends."""
    with MailServer() as post:

        def make(clock: HandClock, telemetry: Telemetry) -> Accounts:
            return accounts(folder, clock, telemetry, post, limits, database)

        house = House(folder, make)
        house.front = front or house.front
        house.accounts.start()
        try:
            with serve(house) as served:
                yield Site(served, house, post)
        finally:
            house.accounts.stop()
            house.accounts.database.close()
            house.close()
