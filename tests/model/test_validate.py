"""The row validator: each rule by itself, the venue's life, and that columns and SQL agree."""

import math
from dataclasses import replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.model import validate
from bursa.model.batch import Batch, Span
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import (
    INT_NULL,
    MARKET_KINDS,
    OHLCV,
    ORDERBOOK,
    SNAPSHOT,
    TICKS,
    Column,
    Kind,
    metrics_kind,
)
from bursa.model.validate import GOOD, REASONS, Life
from bursa.model.venue import IDX, VENUES
from bursa.store import tables

NOW = 1_760_000_000 * 1_000_000_000
LIFE = validate.life(IDX, NOW)
MINUTE = NOW // MINUTE_NS * MINUTE_NS
SPAN = Span("idx", 1, 0, 0)
METRICS = metrics_kind((Column("rsi_14", "float", "0 to 100", True),))
KINDS = (*MARKET_KINDS, METRICS)
BAR: dict[str, Any] = {
    "ticker": "BBCA",
    "freq": "1m",
    "ts": MINUTE,
    "rev": 0,
    "open": 9_000.0,
    "high": 9_100.0,
    "low": 8_950.0,
    "close": 9_050.0,
    "volume": 500.0,
    "value": 4_525_000.0,
    "trades": 7,
    "vwap": 9_050.0,
    "delta": -100.0,
    "ruled": -100.0,
    "bid_volume": math.nan,
    "ask_volume": math.nan,
    "final": 1,
    "known_at": MINUTE + 62 * 1_000_000_000,
    "ts_recv": MINUTE,
    "position": 1_000,
    "nth": INT_NULL,
}


def batch_of(kind: Kind, rows: list[dict[str, Any]], levels: Any = None) -> Batch:
    """Rows by name (None: null) as a batch; columns that a row lacks are 1 or their first word."""
    words = IDX.words()
    block = np.empty((len(kind.scalars), len(rows)), np.int64)
    for at, column in enumerate(kind.scalars):
        for n, row in enumerate(rows):
            value = row.get(column.name, 1 if column.dtype != "text" else "")
            if column.dtype == "float":
                block.view(np.float64)[at, n] = math.nan if value is None else value
            elif column.dtype == "text" and column.words == "symbols":
                block[at, n] = -1 if value is None else words.symbol_id(value)
            elif column.dtype == "text":
                block[at, n] = -1 if value is None else 0
            else:
                block[at, n] = INT_NULL if value is None else value
    if kind.lists and levels is None:
        levels = np.empty((3, int(block[kind.index["depth"]].sum())), np.int64)
        levels[:2].view(np.float64)[:] = 1.0
        levels[2] = 1
    return Batch(kind, block, words, SPAN, levels)


def reason_of(batch: Batch) -> str | None:
    [at] = validate.judge(batch, LIFE).tolist()
    return None if at == GOOD else list(REASONS)[at]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"volume": 0.0, "vwap": None}, None),
        ({"volume": float(2**53)}, None),
        ({"delta": -1e12}, None),
        ({"ticker": None}, "null"),
        ({"ts": None}, "null"),
        ({"close": math.nan}, "null"),
        ({"volume": None}, "null"),
        ({"high": math.inf}, "infinite"),
        ({"delta": -math.inf}, "infinite"),
        ({"ts": LIFE.start_ns - MINUTE_NS}, "time"),
        ({"ts": LIFE.start_ns}, None),
        ({"ts": MINUTE + MINUTE_NS}, "time"),
        ({"ts": MINUTE - 1}, "off_minute"),
        ({"low": 0.0}, "price"),
        ({"open": -5.0}, "price"),
        ({"vwap": 0.0}, "price"),
        ({"high": 9_049.0}, "high"),
        ({"high": 8_999.0, "close": 8_990.0}, "high"),
        ({"high": 8_900.0, "open": 8_900.0, "close": 8_900.0}, "high"),
        ({"low": 9_001.0}, "low"),
        ({"low": 9_060.0, "open": 9_060.0}, "low"),
        ({"volume": -1.0}, "negative"),
        ({"trades": -1}, "negative"),
        ({"value": -0.01}, "negative"),
        # The first reason in the order of REASONS is told.
        ({"volume": -1.0, "close": None}, "null"),
        ({"volume": -1.0, "low": 0.0}, "price"),
    ],
)
def test_each_rule_of_a_bar(changed: dict[str, Any], reason: str | None) -> None:
    assert reason_of(batch_of(OHLCV, [{**BAR, **changed}])) == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"price": 0.0}, "price"),
        ({"volume": -1.0}, "negative"),
        ({"aggressor": None}, None),
        ({"ts": MINUTE + 1}, None),
        ({"ts": NOW + 1}, "time"),
    ],
)
def test_each_rule_of_a_trade(changed: dict[str, Any], reason: str | None) -> None:
    trade = {"ticker": "BBCA", "ts": MINUTE, "price": 9_000.0, "volume": 100.0}
    assert reason_of(batch_of(TICKS, [{**trade, **changed}])) == reason


def test_a_trade_that_takes_another_back_is_none_that_cannot_be() -> None:
    back = batch_of(TICKS, [{"ticker": "AAPL", "ts": MINUTE, "price": 9_000.0, "volume": -100.0}])
    judged = {name: validate.judge(back, validate.life(v, NOW))[0] for name, v in VENUES.items()}
    negative = list(REASONS).index("negative")
    assert judged == {"idx": negative, "binance": negative, "xnas": GOOD}


def test_a_book_is_judged_level_by_level() -> None:
    rows = [{"ts": MINUTE, "depth": depth} for depth in (2, 0, 3, 1)]
    levels = np.ones((3, 6), np.int64)
    levels[:2].view(np.float64)[:] = 100.0
    levels[0].view(np.float64)[1] = 0.0
    levels[1].view(np.float64)[4] = -1.0
    broken = validate.judge(batch_of(ORDERBOOK, rows, levels), LIFE)
    words = list(REASONS)
    assert [words[at] if at >= 0 else None for at in broken] == ["price", None, "negative", None]


def test_columns_that_are_absent_are_not_asked() -> None:
    columns = {"ts": np.array([MINUTE, MINUTE + 1]), "open": np.array([1.0, 1.0])}
    assert validate.judge_columns(OHLCV, columns, LIFE).tolist() == [
        GOOD,
        list(REASONS).index("off_minute"),
    ]
    assert validate.judge_columns(OHLCV, {}, LIFE).tolist() == []


def test_counts_are_by_reason_and_leave_none_out() -> None:
    rows = [BAR, {**BAR, "close": None}, {**BAR, "low": 0.0}, {**BAR, "open": 0.0}]
    broken = validate.judge(batch_of(OHLCV, rows), LIFE)
    assert validate.counts(broken) == {"null": 1, "price": 2}
    assert validate.counts(broken[:1]) == {}


def test_a_venue_lives_from_its_first_day_by_its_own_clock() -> None:
    venue = replace(IDX, since=date(2020, 1, 2))
    assert validate.life(venue, NOW).start_ns == venue.calendar.midnight_ns(date(2020, 1, 2))
    for known in VENUES.values():
        assert known.since > date(1970, 1, 1), known.name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rules_speak_of_columns_that_are_there(kind: Kind) -> None:
    known = {column.name for column in kind.columns}
    for rule in validate.rules(kind, LIFE):
        assert rule.reason in REASONS
        for one in rule.comparisons:
            assert {one.left, one.right if isinstance(one.right, str) else one.left} <= known


# -- that columns and SQL agree ------------------------------------------------------------------

FLOATS = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 0.5, 1.0, 2.0, 2.0**53])
INTS = st.sampled_from([INT_NULL, -1, 0, 1, 2**62])
TIMES = st.sampled_from(
    [INT_NULL, LIFE.start_ns - 1, LIFE.start_ns, -MINUTE_NS, MINUTE, MINUTE + 1, NOW, NOW + 1]
)


def _values(column: Column) -> st.SearchStrategy[Any]:
    if column.dtype == "float":
        return FLOATS
    if column.dtype == "time":
        return TIMES
    if column.dtype == "flag":
        return st.sampled_from([0, 1])
    if column.dtype == "text":
        return st.sampled_from([None, "A"])
    return st.integers(0, 3) if column.name == "depth" else INTS


def _rows(kind: Kind) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({c.name: _values(c) for c in kind.scalars}), max_size=12)


@pytest.mark.parametrize("kind", [OHLCV, TICKS, SNAPSHOT, ORDERBOOK, METRICS], ids=lambda k: k.name)
def test_columns_and_sql_agree(kind: Kind) -> None:
    engine = duckdb.connect()
    engine.execute(tables.create(f"idx_{kind.name}", kind))
    asked = f"select {validate.reason_sql(kind, LIFE)} from idx_{kind.name} order by rowid"
    counted = ", ".join(f"count(*) filter ({c})" for c in validate.conditions(kind, LIFE).values())

    @settings(max_examples=25, deadline=None)
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        rows = data.draw(_rows(kind))
        levels = None
        if kind.lists:
            many = sum(row["depth"] for row in rows)
            levels = np.empty((3, many), np.int64)
            for at, values in ((0, FLOATS), (1, FLOATS), (2, INTS)):
                drawn = data.draw(st.lists(values, min_size=many, max_size=many))
                if at < 2:
                    levels[at].view(np.float64)[:] = drawn
                else:
                    levels[at] = drawn
        batch = batch_of(kind, rows, levels)
        engine.execute(f"delete from idx_{kind.name}")
        engine.register("fresh", batch.to_arrow())
        engine.execute(tables.insert("idx", kind, "fresh"))
        by_sql = [row[0] for row in engine.execute(asked).fetchall()]
        words = list(REASONS)
        by_columns = [
            None if at == GOOD else words[at] for at in validate.judge(batch, LIFE).tolist()
        ]
        assert by_sql == by_columns
        # Said one by one, no rule is true of fewer rows than it is the first reason of.
        [found] = engine.execute(f"select {counted} from idx_{kind.name}").fetchall()
        for word, many in zip(validate.conditions(kind, LIFE), found, strict=True):
            assert many >= by_columns.count(word)

    agree()


def test_a_life_is_half_open() -> None:
    kind = TICKS
    life = Life(100, 200)
    columns = {"ts": np.array([99, 100, 199, 200])}
    assert (validate.judge_columns(kind, columns, life) == GOOD).tolist() == [0, 1, 1, 0]
