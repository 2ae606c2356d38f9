"""A place for a state database that is not there yet, on each engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursa.state.database import Database

# Opens one more connection to the same database; closed at the test's end.
Opened = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A path, or the URL of an empty database."""
    if request.param == "sqlite":
        return tmp_path / "state.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


@pytest.fixture
def opened(where: Path | str) -> Iterator[Opened]:
    made: list[Database] = []

    def more() -> Database:
        made.append(Database(where))
        return made[-1]

    yield more
    for one in made:
        one.close()
