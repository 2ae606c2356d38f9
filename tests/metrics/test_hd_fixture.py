"""The gate of HD: 606 tickers on nine days, every number of every column equal in every bit."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bursa.metrics.engine import compute
from bursa.metrics.metric import Terms
from bursa.model.venue import IDX
from tests.metrics import hd_bars
from tests.metrics.hd_bars import DAYS, OUTPUTS, SCHEDULE, at
from tests.metrics.hd_fixture import Fixture, batch, bits, check, read, through_engine
from tests.metrics.hd_plain import AHEAD_S, DAY_S, SECOND_NS, PlainHd

TOP = Path(__file__).parents[2]
# Where a failure of the gate writes what differs.
DIFFERENCES = TOP / "build" / "hd_differences.csv"

fixture = cache(read)


def test_the_engine_gives_every_number_of_the_fixture() -> None:
    check(fixture(), through_engine(fixture()), DIFFERENCES)


def test_so_it_does_whatever_the_cuts(tmp_path: Path) -> None:
    count = len(fixture().ts)
    cuts = np.sort(np.random.default_rng(5).integers(0, count, 300))
    check(fixture(), through_engine(fixture(), cuts.tolist()), tmp_path / "cut.csv")


def test_so_does_a_computation_from_cold(tmp_path: Path) -> None:
    rows = compute("hd", batch(fixture()), Terms(IDX, fixture().schedule))
    check(fixture(), {name: rows.column(name) for name in OUTPUTS}, tmp_path / "cold.csv")


def test_the_plain_hd_still_gives_what_is_stored(tmp_path: Path) -> None:
    found = {name: np.full(len(fixture().ts), np.nan) for name in OUTPUTS}
    symbols = [PlainHd(SCHEDULE) for _ in fixture().tickers]
    bars = zip(
        fixture().symbol.tolist(),
        fixture().ts.tolist(),
        fixture().close.tolist(),
        fixture().volume.astype(np.int64).tolist(),
        strict=True,
    )
    for place, (symbol, *bar) in enumerate(bars):
        row = symbols[symbol].push(*bar)
        for name, number in zip(OUTPUTS, row or (np.nan,) * len(OUTPUTS), strict=True):
            found[name][place] = number
    check(fixture(), found, tmp_path / "plain.csv")


def test_the_script_still_makes_the_same_bars() -> None:
    made = sorted(hd_bars.bars(), key=lambda bar: (bar.ts, bar.ticker))
    names = np.array(fixture().tickers)[fixture().symbol].tolist()
    stored = zip(names, fixture().ts, fixture().close, fixture().volume, strict=True)
    assert made == list(stored)


def test_one_number_that_is_not_hds_fails_the_gate_and_is_told(tmp_path: Path) -> None:
    found = {name: column.copy() for name, column in fixture().expected.items()}
    last = int(np.flatnonzero(~np.isnan(found["hd_mapo"]))[-1])
    found["hd_mapo"][last] = np.nextafter(found["hd_mapo"][last], np.inf)
    found["hd_direction"][0] = 0.0  # null is expected
    file = tmp_path / "build" / "differences.csv"
    with pytest.raises(AssertionError, match=r"2 of [0-9,]+ numbers") as failed:
        check(fixture(), found, file)
    assert str(file) in str(failed.value)
    with file.open(newline="") as said:
        rows = {row["column"]: row for row in csv.DictReader(said)}
    assert rows.keys() == {"hd_mapo", "hd_direction"}
    assert rows["hd_direction"]["expected"] == "" and rows["hd_direction"]["got"] == "0.0"
    mapo = rows["hd_mapo"]
    assert mapo["ticker"] == fixture().tickers[fixture().symbol[last]]
    assert int(mapo["ts"]) == fixture().ts[last]
    assert float(mapo["got"]) > float(mapo["expected"]) == fixture().expected["hd_mapo"][last]
    zero = {name: np.where(column == 0.0, -0.0, column) for name, column in found.items()}
    with pytest.raises(AssertionError, match="numbers are not HD's"):
        check(fixture(), zero, tmp_path / "signs.csv")


def test_the_fixture_holds_what_can_befall_hd() -> None:
    """Else the gate says little."""
    said: Fixture = fixture()
    local = said.ts // SECOND_NS + AHEAD_S
    day, second = local // DAY_S, local % DAY_S
    days = {(symbol, one) for symbol, one in zip(said.symbol, day, strict=True)}
    assert len(said.tickers) == 606 and len(np.unique(day)) == len(DAYS) == 9
    assert max(np.abs(said.volume)) * len(said.ts) / 606 < 2**53
    opens = {key: DAY_S for key in days}
    closes = dict.fromkeys(days, 0)
    for key, at_s in zip(zip(said.symbol, day, strict=True), second.tolist(), strict=True):
        opens[key], closes[key] = min(opens[key], at_s), max(closes[key], at_s)
    assert sum(at_s < 15 * 3600 for at_s in closes.values()) > 100, "days without a bar past it"
    assert sum(at_s >= 15 * 3600 for at_s in opens.values()) > 100, "days with none before it"
    assert sum(at_s < 9 * 3600 + 300 for at_s in opens.values()) > 100, "days from before the gate"
    assert sum(at_s > 13 * 3600 for at_s in opens.values()) > 100, "late first bars"
    assert len(days) < 606 * 8, "symbols that skip days"
    null = np.isnan(said.expected["hd"])
    late = set(said.symbol[~null]) - set(said.symbol[day == day.min()])
    assert null.sum() > 1000 and len(late) > 20, "first days that are not the first"
    assert {float(d) for d in np.unique(said.expected["hd_direction"][~null])} == {-1.0, 0.0, 1.0}
    changes = [gates.from_ns for gates in said.schedule[1:]]
    assert changes == [gates.from_ns for gates in SCHEDULE[1:]]
    assert at(DAYS[6][0], "13:45") in changes, "in the midst of a day"
    assert (bits(said.expected["hd"]) != bits(np.full(len(said.ts), -0.0))).all()
