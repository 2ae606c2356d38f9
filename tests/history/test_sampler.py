"""What live readers are shown, compared with what is stored."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bursa.history.sampler import Compared, Sampled, Sampler, compare
from bursa.model.errors import Retry
from bursa.model.schema import OHLCV, topic
from bursa.ops.telemetry import Telemetry
from tests.fakes.store import Row
from tests.history.told import FRI, Told, at, bar

TOPICS = {"ohlcv": topic("idx", OHLCV)}


def market(count: int = 5, **told: Any) -> Told:
    made = Told()
    made.tell(OHLCV, *bars(count), **({"store": True} | told))
    return made


def bars(count: int, **other: Any) -> list[Row]:
    return [bar("BBCA", at(FRI, 9, n), 100.0 + n, **other) for n in range(count)]


def sampled(made: Told) -> Sampled:
    return Sampled(made.venue, made.rings, made.store, TOPICS)


def found(made: Told) -> Compared:
    return compare(sampled(made), "ohlcv", "BBCA", 100)


def spoil(made: Told, name: str, value: float, minute: int = 2) -> None:
    """Change a stored bar behind everybody's back."""
    (row,) = [r for r in made.store._all("idx", "ohlcv") if r["ts"] == at(FRI, 9, minute)]
    row[name] = value


def test_what_is_shown_is_what_is_stored() -> None:
    assert found(market()) == Compared(5, {})


@pytest.mark.parametrize(("name", "value"), [("close", 99.0), ("volume", 7.0), ("trades", 9)])
def test_a_stored_bar_that_differs_is_found(name: str, value: float) -> None:
    made = market()
    spoil(made, name, value)
    assert found(made) == Compared(5, {at(FRI, 9, 2): name})


def test_a_bar_that_is_not_stored_is_found() -> None:
    made = market()
    rows = made.store._all("idx", "ohlcv")
    made.store._rows["idx.ohlcv"] = [r for r in rows if r["ts"] != at(FRI, 9, 3)]
    assert found(made) == Compared(5, {at(FRI, 9, 3): "absent"})


def test_what_is_not_committed_yet_is_not_compared() -> None:
    made = market()
    made.tell(OHLCV, bar("BBCA", at(FRI, 9, 5), 1.0))
    assert found(made) == Compared(5, {})
    assert found(market(store=False)) == Compared(0, {})


def test_a_newer_revision_in_the_store_is_not_compared() -> None:
    made = market()
    made.tell(OHLCV, bar("BBCA", at(FRI, 9, 2), 500.0, rev=1), memory=False, store=True)
    assert found(made) == Compared(4, {})


def test_days_that_are_kept_no_more_are_not_missed() -> None:
    made = market()
    rows = made.store._all("idx", "ohlcv")
    made.store._rows["idx.ohlcv"] = [r for r in rows if r["ts"] >= at(FRI, 9, 2)]
    assert found(made) == Compared(3, {})


def test_a_null_is_like_a_null() -> None:
    made = Told()
    made.tell(OHLCV, *bars(3, vwap=None), store=True)
    assert found(made) == Compared(3, {})
    spoil(made, "vwap", 100.0, 1)
    assert found(made) == Compared(3, {at(FRI, 9, 1): "vwap"})


def test_it_is_counted_and_looked_at_without_being_read() -> None:
    made, telemetry = market(), Telemetry()
    sampler = Sampler([], telemetry)
    sampler.look(sampled(made))
    spoil(made, "close", 1.0)
    sampler.look(sampled(made))
    assert Telemetry.total(telemetry.live_compared) == 10
    assert Telemetry.total(telemetry.live_mismatched) == 1
    sampler.look(sampled(Told()))
    assert Telemetry.total(telemetry.live_compared) == 10, "nothing is in memory there"


def test_the_thread_goes_on_when_the_store_is_away() -> None:
    made, telemetry = market(), Telemetry()
    looks: list[str] = []

    class Away:
        def names(self) -> Sequence[str]:
            looks.append("look")
            if len(looks) == 1:
                raise Retry("the store is away")
            if len(looks) == 2:
                raise ValueError("a bug, told and survived")
            return made.rings.names()

        def sample(self, kind: str, ticker: str, n: int) -> Any:
            return made.rings.sample(kind, ticker, n)

    sampler = Sampler([replace(sampled(made), memory=Away())], telemetry, every_s=0.001)
    sampler.start()
    while not Telemetry.total(telemetry.live_compared):
        assert sampler._thread.is_alive()
    sampler.stop(10)
    assert not sampler._thread.is_alive()
    assert np.isclose(Telemetry.total(telemetry.live_mismatched), 0)
