"""HD, one story a step of its definition, computed by hand."""

from typing import Any

from bursa.metrics.engine import MetricEngine
from bursa.model.venue import BINANCE, IDX
from tests.metrics.bars import Bar, at, batch, rows, words


def hd(*bars: Bar) -> list[tuple[Any, ...]]:
    """value, mapo, dmapo, direction of each bar."""
    vocabulary = words()
    found = rows(MetricEngine(IDX, vocabulary).push(batch(bars, vocabulary)))
    return [(r["hd"], r["hd_mapo"], r["hd_dmapo"], r["hd_direction"]) for r in found]


NULL = (None, None, None, None)


def test_null_until_the_first_bar_between_the_gate_and_the_freeze() -> None:
    assert hd(Bar(at("09:00"), 10), Bar(at("09:04"), 11)) == [NULL, NULL]
    assert hd(Bar(at("15:00"), 10), Bar(at("15:30"), 11)) == [NULL, NULL]
    # The bar before the gate only lends its close: 11 is up from 10.
    found = hd(Bar(at("09:04"), 10), Bar(at("09:05"), 11, 300))
    assert found == [NULL, (0.0, 300.0, 300.0, 0)]


def test_the_first_bar_ever_counts_its_volume_as_bought() -> None:
    assert hd(Bar(at("09:05"), 10, 700)) == [(0.0, 700.0, 700.0, 0)]


def test_signed_volume_its_net_and_the_average() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100),
        Bar(at("09:06"), 9, 300),  # down: net -200
        Bar(at("09:07"), 9, 50),  # unchanged counts as up: net -150
    )
    second = 100 + (-200 - 100) * 2 / 21
    third = second + (-150 - second) * 2 / 21
    assert found == [
        (0.0, 100.0, 100.0, 0),
        (-200 - second, second, second, -1),
        (-150 - third, third, third, 1),
    ]


def test_from_the_closing_gate_on_volume_counts_nothing() -> None:
    found = hd(Bar(at("14:49"), 10, 100), Bar(at("14:50"), 12, 9000))
    mapo = 100 + (100 - 100) * 2 / 21
    assert found[1] == (100 - mapo, mapo, mapo, 0)


def test_from_the_freeze_on_the_average_stands_still() -> None:
    found = hd(
        Bar(at("14:48"), 10, 100), Bar(at("14:49"), 9, 400),
        Bar(at("15:00"), 8, 1000), Bar(at("15:50"), 7, 1000),
    )  # fmt: skip
    mapo = 100 + (-300 - 100) * 2 / 21
    assert found[1] == (-300 - mapo, mapo, mapo, -1)
    assert found[2:] == [(-300 - mapo, mapo, mapo, 0)] * 2


def test_a_new_day_starts_from_the_average_frozen_the_day_before() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100), Bar(at("15:01"), 10, 5),  # mapo 100, frozen
        Bar(at("09:05", day=1), 11, 40),  # net 40
    )  # fmt: skip
    mapo = 100 + (40 - 100) * 2 / 21
    dmapo = mapo - 100
    assert found[2] == (40 - dmapo, mapo, dmapo, 1)


def test_a_day_without_a_bar_past_the_freeze_leaves_its_last_average() -> None:
    found = hd(Bar(at("09:05"), 10, 100), Bar(at("09:06"), 11, 60), Bar(at("10:00", 1), 9, 10))
    left = 100 + (160 - 100) * 2 / 21
    mapo = left + (-10 - left) * 2 / 21
    assert found[2] == (-10 - (mapo - left), mapo, mapo - left, -1)


def test_before_the_gate_a_new_day_repeats_the_last_values() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100), Bar(at("09:06"), 9, 300),
        Bar(at("09:00", 1), 20, 900), Bar(at("09:05", 1), 19, 10),
    )  # fmt: skip
    assert found[2] == (*found[1][:3], 0)
    left = found[1][1]
    mapo = left + (-10 - left) * 2 / 21  # 19 is down from the 20 before the gate
    assert found[3][:3] == (-10 - (mapo - left), mapo, mapo - left)


def test_symbols_do_not_mix() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100), Bar(at("09:05"), 50, 7, symbol=3), Bar(at("09:06"), 11, 1)
    )
    assert found[1] == (0.0, 7.0, 7.0, 0)
    assert found[2][1] == 100 + (101 - 100) * 2 / 21


def test_a_venue_without_gates_has_none() -> None:
    vocabulary = words()
    bars = [Bar(at("10:00"), 10), Bar(at("10:01"), 11)]
    found = rows(MetricEngine(BINANCE, vocabulary).push(batch(bars, vocabulary)))
    assert [r["hd"] for r in found] == [None, None]
