"""A start whose store is away waits for it, says so, and goes on where it was."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest

from bursa.model.batch import Batch, Span
from bursa.model.errors import Retry
from bursa.ops.telemetry import Telemetry
from bursa.pipeline import waiting as waiting_module
from bursa.pipeline.waiting import Interrupted, Waiting
from tests.pipeline import market, rows, running
from tests.pipeline.running import until

SCRIPT = market.channels(minutes=3, share=0.0)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "BACK_OFF_S", (0.005,))


class Away:
    """Any ports.Store behind a door: while it is shut nothing is read."""

    def __init__(self, store: Any) -> None:
        self._store, self.shut, self.asked = store, True, set[str]()

    def __getattr__(self, name: str) -> Any:
        if name in ("hot", "cold"):  # what has tiers
            return getattr(self._store, name)

        def ask(*given: Any, **named: Any) -> Any:
            if self.shut:
                self.asked.add(name)
                raise Retry("nobody answers")
            return getattr(self._store, name)(*given, **named)

        return ask


def test_a_start_waits_for_its_store_and_says_so(tmp_path: Path) -> None:
    store = running.open_store(tmp_path)
    away = Away(store)
    feed = running.Script(SCRIPT, Random(1), 50)
    venue = running.runtime(tmp_path, away, running.knobs())
    heard: list[str] = []

    def open_the_door() -> None:
        until(lambda: bool(venue.waits_for), "the start to wait")
        heard.append(venue.waits_for)
        assert not venue.started and venue.ingest is None, "it is not ready"
        away.shut = False

    opening = Thread(target=open_the_door)
    opening.start()
    venue.start([feed])
    opening.join(running.RUN_S)
    assert heard == ["the store, which is away: nobody answers"]
    assert venue.waits_for == "" and venue.started
    until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    found = rows.hashes(running.stored(tmp_path / "hot.duckdb"))
    assert found == rows.hashes(running.rebuilt(tmp_path / "journal" / "idx"))


def test_a_start_that_waits_can_be_ended(tmp_path: Path) -> None:
    venue = running.runtime(tmp_path, Away(None), running.knobs())
    ended = []

    def begin() -> None:
        try:
            venue.start([])
        except Interrupted:
            ended.append(True)

    starting = Thread(target=begin)
    starting.start()
    until(lambda: bool(venue.waits_for), "the start to wait")
    venue.interrupt()
    starting.join(running.RUN_S)
    assert ended and not venue.started


class Log:
    """What was said of a wait."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, event: str, **named: Any) -> None:
        self.said.append(event)

    info = warning


def test_a_wait_is_said_when_it_begins_and_when_it_is_over() -> None:
    log = Log()
    waits = Waiting("idx", Telemetry(), log)
    waits.at, answers = "recovering", iter([Retry("no"), Retry("no"), None])

    def ask() -> int:
        if (answer := next(answers)) is not None:
            raise answer
        assert waits.at == "the store, which is away: no"
        return 5

    assert waits.until_there(ask) == 5 and waits.at == "recovering"
    away = "store is away, the start waits"
    assert log.said == [away, away, "store is back, the start goes on"]


class Torn:
    """A store that gives its bars in pieces, and is away now and then between two of them."""

    def __init__(self, ends: list[int], random: Random) -> None:
        self.ends, self._random = ends, random

    def emitted(
        self, venue: str, after: int, upto: int, *, start_ns: int, end_ns: int
    ) -> Iterator[Batch]:
        if self._random.random() < 0.3:
            raise Retry("away at once")
        low = after
        for end in self.ends:
            if after < end <= upto:
                yield Batch(None, None, None, Span(venue, 1, low, end))  # type: ignore[arg-type]
                low = end
                if self._random.random() < 0.3:
                    raise Retry("away in the midst")


@pytest.mark.parametrize("seed", range(8))
def test_stored_bars_come_once_each_however_often_the_store_is_away(seed: int) -> None:
    ends = [3, 4, 9, 20, 21, 40]
    waits = Waiting("idx", Telemetry(), Log())
    found = list(waits.bars(Torn(ends, Random(seed)), 21))  # type: ignore[arg-type]
    assert [batch.span.last for batch in found] == ends[:-1]
    assert [batch.span.first for batch in found] == [-1, *ends[:-2]]
    assert waits.at == ""
