"""The statements that move positions: in few words where all go to one place, else one by one."""

import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from bursa.ports import Committed
from bursa.store import tables

TOPICS = [f"{venue}.{kind}" for venue in ("idx", "idx2", "nasdaq") for kind in ("ohlcv", "ticks")]


@pytest.fixture
def positions() -> Iterator[Any]:
    connection = duckdb.connect(":memory:")
    for statement in tables.OWN_TABLES:
        connection.execute(statement)
    yield connection
    connection.close()


def stored(connection: Any) -> dict[str, Committed]:
    found = connection.execute(f"select * from {tables.POSITIONS_TABLE}").fetchall()
    assert len({topic for topic, _, _ in found}) == len(found)
    return {topic: Committed(position, epoch) for topic, epoch, position in found}


def test_what_is_stored_follows_whatever_is_moved(positions: Any) -> None:
    chance = random.Random(7)
    committed: dict[str, Committed] = {}
    for at in range(1, 300):
        one, other = Committed(at, 1), Committed(1000 + at, 2)
        venue = chance.choice(("idx", "idx2", "nasdaq", ""))
        named = [name for name in TOPICS if name.startswith(f"{venue}." if venue else "")]
        if chance.random() < 0.5:
            named = chance.sample(named, chance.randint(1, len(named)))
        marks = {name: one if chance.random() < 0.8 else other for name in named}
        for text, values in tables.move(committed, marks):
            positions.execute(text, values)
        committed |= marks
        assert stored(positions) == committed, f"after {marks}"


@pytest.mark.parametrize(
    ("marks", "statements"),
    [
        ("idx.ohlcv 5, idx.ticks 5", [tables.advance_venue()]),
        ("idx.ohlcv 5, idx.ticks 6", [tables.advance(2)]),
        ("idx.ohlcv 5", [tables.advance(1)]),
        ("idx.ohlcv 5, idx.ticks 5, idx2.ohlcv 5", [tables.advance_venue(), tables.advance(1)]),
        ("idx.ohlcv 5, idx.ticks 5, idx.index 5", [tables.advance_venue(), tables.enter(1)]),
    ],
)
def test_topics_of_a_venue_that_go_to_one_place_go_together(
    marks: str, statements: list[str]
) -> None:
    topics = ("idx.ohlcv", "idx.ticks", "idx2.ohlcv", "idx2.ticks")
    wanted = dict(mark.split(" ") for mark in marks.split(", "))
    found = tables.move(
        dict.fromkeys(topics, Committed(1, 1)),
        {topic: Committed(int(at), 1) for topic, at in wanted.items()},
    )
    assert [text for text, _ in found] == statements
