"""A served floor with three days behind it, for tests that only read; a morning for the others."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.floor import DAYS, Floor, Served, at, serve


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two whole days and the third one's first ten minutes, all but the last stored."""
    floor = Floor(tmp_path_factory.mktemp("floor"), depth=400)
    floor.day(DAYS[0])
    floor.day(DAYS[1])
    floor.commit()
    floor.day(DAYS[2], minutes=10)
    floor.clock.ns = at(DAYS[2], 9, 10, 1.5)
    with serve(floor) as found:
        yield found
    floor.close()


@pytest.fixture(scope="package")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=90) as found:
        yield found


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    """A day's first three minutes lie behind; 09:03 is open with one trade."""
    floor = Floor(tmp_path)
    floor.day(DAYS[1], minutes=3, auction=False)
    floor.trade(at(DAYS[1], 9, 3, 3), 9_100)
    yield floor
    floor.close()
