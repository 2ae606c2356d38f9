"""A floor with accounts, years long, and readers of it of every tier and view of HD."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from bursa.accounts import hd
from bursa.accounts.who import CLI
from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import IDX
from bursa.ports import DayFile
from tests.accounts.house import PASSWORD, House, accounts
from tests.api.clients import Socket
from tests.api.floor import DAYS, Served, at, serve

# Before pro's history, in pro's but not in free's, in everybody's, and the present day.
OLD, MIDDLE, LATE, TODAY = date(2024, 6, 5), date(2026, 3, 4), DAYS[1], DAYS[2]
# Where histories begin, seen from TODAY.
FREE_FROM, PRO_FROM = "2026-08-22", "2024-11-20"


class Shelf:
    """ports.DayFiles that has every day, of one byte."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "one_byte"
        self.path.write_bytes(b"x")

    def find(self, venue: str, kind: str, day: date) -> DayFile | None:
        return DayFile(self.path, 1, 7, "00" * 32)


@dataclass
class Reader:
    """A user with a token."""

    market: "Market"
    user: str
    key: str
    token: str

    @cached_property
    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.market.served.url,
            timeout=90,
            headers={"Authorization": f"Bearer {self.token}"},
        )

    @property
    def factor(self) -> float:
        return hd.factor(self.market.house.accounts.secrets.hd, self.user)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(path, params=query)

    def rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        answer = self.get(path, **query)
        assert answer.status_code == 200, (path, query, answer.text)
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def refused(self, path: str, **query: Any) -> tuple[int, str, str]:
        """Status, code and words of a refusal."""
        answer = self.get(path, **query)
        body = answer.json()
        words = body["errmsg"] if path.startswith("/udf") else body["error"]
        return answer.status_code, body["code"], words

    def override(self, **fields: Any) -> None:
        """Give him other rights beside his tier's; no limit of requests."""
        self.market.house.accounts.people.set_override(self.user, {"rate": None, **fields}, CLI)

    def socket(self) -> Socket:
        served, shown = self.market.served, {"Authorization": f"Bearer {self.token}"}
        return Socket(served.hub, served.ws, additional_headers=shown)


@dataclass
class Market:
    """The served floor, and its readers by name."""

    house: House
    served: Served
    readers: dict[str, Reader] = field(default_factory=dict)
    _ahead: Iterator[int] = field(default_factory=lambda: itertools.count(21))

    def next_minute_ns(self) -> int:
        """When the minute begins that comes behind all that the market saw, whichever test was
        before. It begins with twenty of them."""
        return minute_ns(next(self._ahead))

    def reader(self, name: str, tier: str, **override: Any) -> Reader:
        people, keys = self.house.accounts.people, self.house.accounts.keys
        user = people.create(f"{name}@example.org", "user", tier, PASSWORD, CLI)
        key, _ = keys.make(user, "key", None, CLI)
        body = {"api_key": key}
        answer = httpx.post(f"{self.served.url}/v1/auth/token", json=body, timeout=90)
        assert answer.status_code == 200, answer.text
        found = Reader(self, user, key, answer.json()["data"]["token"])
        found.override(**override)
        self.readers[name] = found
        return found

    def __getitem__(self, name: str) -> Reader:
        return self.readers[name]


@contextlib.contextmanager
def open_market(
    folder: Path, wanted: Mapping[str, tuple[str, Mapping[str, Any]]], minutes: int = 20
) -> Iterator[Market]:
    """Years of days, so many minutes each, and readers: name -> (tier, what he has beside it)."""
    house = House(folder, lambda clock, told: accounts(folder, clock, told, None, "memory"))
    for day in (OLD, MIDDLE, LATE):
        house.day(day, minutes=minutes)
        house.heartbeat(IDX.calendar.day_end_ns(day))
    house.commit()
    house.day(TODAY, minutes=minutes)
    house.trade(at(TODAY, 9, minutes, 2.5), 9_100)
    house.bulk = Shelf(folder)
    house.accounts.start()
    readers: dict[str, Reader] = {}
    try:
        with serve(house) as served:
            market = Market(house, served, readers)
            for name, (tier, override) in wanted.items():
                market.reader(name, tier, **override)
            yield market
    finally:
        for reader in readers.values():
            reader.client.close()
        house.accounts.stop()
        house.accounts.database.close()
        house.close()


def minute_ns(number: int) -> int:
    """When a minute of TODAY begins, counted from 09:00."""
    return at(TODAY, 9, 0) + number * MINUTE_NS
