"""The bars of HD's fixture, from a seed: 606 tickers on nine days, and all that can befall HD.

    python -m tests.metrics.hd_bars

writes `hd_fixture.parquet` anew: these bars with the rows that the plain HD (hd_plain.py) gives for
them. Chance is `Random.random` alone, whose numbers are the same in every version of Python.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tests.metrics.hd_plain import AHEAD_S, ALWAYS, DAY_S, SECOND_NS, PlainGates, PlainHd

FILE = Path(__file__).with_name("hd_fixture.parquet")
SEED = 1962
TICKERS = 606
# Tickers of the exchange's size that trade in nearly every minute.
BUSY = 9
OUTPUTS = ("hd", "hd_mapo", "hd_dmapo", "hd_direction")

# A half day ends at noon, before any closing gate; on a late one nothing trades before 11:05.
# Three weeks, with weekends and a holiday between.
WHOLE, FRIDAY, HALF, LATE = "whole", "friday", "half", "late"
DAYS = (
    (date(2026, 1, 7), WHOLE),
    (date(2026, 1, 8), WHOLE),
    (date(2026, 1, 9), FRIDAY),
    (date(2026, 1, 12), LATE),
    (date(2026, 1, 13), HALF),
    (date(2026, 1, 14), WHOLE),
    (date(2026, 1, 15), WHOLE),
    (date(2026, 1, 19), WHOLE),
    (date(2026, 1, 20), WHOLE),
)


def clock(text: str) -> int:
    """ "09:05" as minutes after midnight."""
    hour, minute = map(int, text.split(":"))
    return hour * 60 + minute


def at(day: date, text: str) -> int:
    """ns UTC of a time of Jakarta's clock."""
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    return (days * DAY_S + clock(text) * 60 - AHEAD_S) * SECOND_NS


def _gates(day: date, text: str, opens: str, closes: str, freezes: str) -> PlainGates:
    return PlainGates(at(day, text), clock(opens) * 60, clock(closes) * 60, clock(freezes) * 60)


# Changed before a day begins, then in the midst of one, then back again.
SCHEDULE = (
    ALWAYS,
    _gates(date(2026, 1, 14), "09:00", "09:30", "14:30", "14:45"),
    _gates(date(2026, 1, 15), "13:45", "09:10", "15:30", "16:05"),
    _gates(date(2026, 1, 20), "00:00", "09:05", "14:50", "15:00"),
)

_SESSIONS = {
    WHOLE: (("09:00", "12:00"), ("13:30", "16:16")),
    FRIDAY: (("09:00", "11:30"), ("14:00", "16:16")),
    HALF: (("09:00", "12:00"),),
    LATE: (("11:05", "12:00"), ("13:30", "16:16")),
}
# What sort of ticker: it trades from and until these times, and only on days from this one on.
_SORTS = (
    ("usual", "09:00", "16:16", 0),
    ("usual", "09:00", "16:16", 0),
    ("early", "09:00", "09:05", 0),  # before the gate alone: without a value, mostly for ever
    ("closing", "15:50", "16:16", 0),  # past the freeze alone
    ("afternoon", "13:45", "15:10", 0),
    ("morning", "09:00", "14:30", 0),  # no bar past the freeze, on any day
    ("listed later", "09:00", "16:16", 5),
    ("steady", "09:00", "16:16", 0),  # its price never changes
    ("heavy", "09:00", "16:16", 0),  # volumes near what a float64 holds exactly
    ("rare", "09:00", "16:16", 0),  # most days without a bar
)


class FixtureBar(NamedTuple):
    """A 1-minute bar, as far as HD reads it."""

    ticker: str
    ts: int
    close: float
    volume: int


def bars(seed: int = SEED) -> Iterator[FixtureBar]:
    """Ticker by ticker, each in order of time."""
    rng = Random(seed)
    for number in range(TICKERS):
        yield from _ticker(rng, number)


def _ticker(rng: Random, number: int) -> Iterator[FixtureBar]:
    sort, begins, ends, first_day = _SORTS[number % len(_SORTS)]
    busy = number < BUSY and sort in ("usual", "steady", "heavy")
    share = 0.9 if busy else 0.01 + 0.12 * rng.random() ** 2
    if sort in ("early", "closing"):
        share = 0.3
    price = 50 + int(10_000 * rng.random() ** 3)
    for day, what in DAYS[first_day:]:
        skips = rng.random() < (0.6 if sort == "rare" else 0.0 if busy else 0.1)
        for begin, end in _SESSIONS[what]:
            for minute in range(max(clock(begin), clock(begins)), min(clock(end), clock(ends))):
                traded = rng.random() < share
                if skips or not traded:
                    continue
                if sort != "steady":
                    price = max(50, price + int(rng.random() * 5 - 2) * _tick(price))
                ts = at(day, "00:00") + minute * 60 * SECOND_NS
                yield FixtureBar(f"F{number:03d}", ts, float(price), _volume(rng, sort))


def _tick(price: int) -> int:
    return 1 if price < 200 else 2 if price < 500 else 5 if price < 2000 else 25


def _volume(rng: Random, sort: str) -> int:
    """Whole lots, mostly; 0 where every trade of the minute was taken back."""
    if rng.random() < 0.01:
        return 0
    lots = 1 + int(2_000 * rng.random() ** 4)
    return lots * 100 if sort != "heavy" else lots * 10_000_000_000 + 1


def rows(found: list[FixtureBar]) -> dict[str, list[float | None]]:
    """The four columns that the plain HD gives for bars, a ticker's in order of time."""
    symbols: dict[str, PlainHd] = {}
    columns: dict[str, list[float | None]] = {name: [] for name in OUTPUTS}
    for bar in found:
        plain = symbols.setdefault(bar.ticker, PlainHd(SCHEDULE))
        row = plain.push(bar.ts, bar.close, bar.volume) or (None,) * len(OUTPUTS)
        for name, number in zip(OUTPUTS, row, strict=True):
            columns[name].append(number)
    return columns


def table(seed: int = SEED) -> pa.Table:
    """Bars and rows, by ticker and time; the schedule of gates is in the metadata."""
    found = list(bars(seed))
    columns = {
        "ticker": pa.array([bar.ticker for bar in found]),
        "ts": pa.array([bar.ts for bar in found], pa.int64()),
        "close": pa.array([bar.close for bar in found], pa.float64()),
        "volume": pa.array([bar.volume for bar in found], pa.int64()),
    }
    columns |= {name: pa.array(column, pa.float64()) for name, column in rows(found).items()}
    said = json.dumps([gates._asdict() for gates in SCHEDULE])
    return pa.table(columns).replace_schema_metadata({"gates": said})


if __name__ == "__main__":
    made = table()
    pq.write_table(
        made,
        FILE,
        compression="zstd",
        compression_level=19,
        use_dictionary=["ticker", "close", "hd_direction"],
        column_encoding={
            "ts": "DELTA_BINARY_PACKED",
            "volume": "DELTA_BINARY_PACKED",
            **{name: "BYTE_STREAM_SPLIT" for name in OUTPUTS[:3]},
        },
    )
    print(f"{FILE.name}: {made.num_rows:,} bars, {FILE.stat().st_size:,} bytes")
