"""HD's fixture as arrays, the engine over it, and what to say where the two differ."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bursa.metrics.engine import MetricEngine
from bursa.model.batch import Batch
from bursa.model.schema import FREQS, OHLCV
from bursa.model.venue import IDX, Gates
from tests.metrics.bars import SPAN, words
from tests.metrics.hd_bars import FILE, OUTPUTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Fixture:
    """Bars in order of time, and of one minute by ticker, with the rows expected of them.

    tickers    names; `symbol` is each bar's index in it
    expected   column -> float64, NaN where null
    schedule   the gates
    """

    tickers: tuple[str, ...]
    symbol: Ints
    ts: Ints
    close: Floats
    volume: Floats
    expected: Mapping[str, Floats]
    schedule: tuple[Gates, ...]


def read(file: Path = FILE) -> Fixture:
    """The fixture of the repository."""
    table = pq.read_table(file)
    names = np.array(table.column("ticker").to_pylist())
    tickers, symbol = np.unique(names, return_inverse=True)
    ts = table.column("ts").to_numpy()
    order = np.lexsort((symbol, ts))

    def column(name: str) -> Floats:
        found = table.column(name).cast("double").to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(found[order], np.float64)

    said = json.loads(table.schema.metadata[b"gates"])
    gates = [Gates(g["opens"], g["closes"], g["freezes"], g["from_ns"]) for g in said]
    return Fixture(
        tuple(tickers.tolist()),
        symbol[order].astype(np.int64),
        ts[order],
        column("close"),
        column("volume"),
        {name: column(name) for name in OUTPUTS},
        tuple(gates),
    )


def batch(fixture: Fixture) -> Batch:
    """The bars as rows of OHLCV; symbol ids are places in `tickers`."""
    block = np.zeros((len(OHLCV.columns), len(fixture.ts)), np.int64)
    found = Batch(OHLCV, block, words(len(fixture.tickers)), SPAN)
    for name in ("delta", "ruled", "bid_volume", "ask_volume"):
        found.column(name)[:] = np.nan
    for name in ("open", "high", "low", "close", "vwap"):
        found.column(name)[:] = fixture.close
    found.column("ticker")[:] = fixture.symbol
    found.column("ts")[:] = fixture.ts
    found.column("freq")[:] = FREQS.index("1m")
    found.column("volume")[:] = fixture.volume
    found.column("value")[:] = fixture.volume * fixture.close
    found.column("trades")[:] = fixture.volume > 0
    found.column("final")[:] = 1
    found.column("position")[:] = np.arange(len(fixture.ts))
    return found


def through_engine(fixture: Fixture, cuts: Sequence[int] = ()) -> dict[str, Floats]:
    """HD's columns as the engine gives them, with all other metrics beside; the bars come in pieces
    that end at `cuts`."""
    bars = batch(fixture)
    engine = MetricEngine(IDX, bars.words)
    engine.set_gates(fixture.schedule)
    found: dict[str, list[Floats]] = {name: [] for name in OUTPUTS}
    for block in np.split(bars.block, cuts, axis=1):
        rows = engine.push(Batch(OHLCV, np.ascontiguousarray(block), bars.words, SPAN))
        for name, parts in found.items():
            parts.append(rows.column(name).copy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def bits(values: Floats) -> Ints:
    """float64 as their bits, every NaN the same; -0.0 is not 0.0."""
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


def differences(fixture: Fixture, found: Mapping[str, Floats]) -> list[tuple[str, ...]]:
    """(ticker, ts, column, expected, got) of each number that is not the same in every bit."""
    rows: list[tuple[str, ...]] = []
    for name, expected in fixture.expected.items():
        for at in np.flatnonzero(bits(expected) != bits(found[name])).tolist():
            pair = [_text(float(column[at])) for column in (expected, found[name])]
            rows.append((fixture.tickers[fixture.symbol[at]], str(fixture.ts[at]), name, *pair))
    return sorted(rows)


def _text(value: float) -> str:
    return "" if value != value else repr(value)


def check(fixture: Fixture, found: Mapping[str, Floats], file: Path) -> None:
    """Every number of every column is the same. AssertionError names the file that says which are
    not: CSV of ticker, ts, column, expected, got; "" is null."""
    differing = differences(fixture, found)
    if not differing:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("ticker", "ts", "column", "expected", "got"))
        writer.writerows(differing)
    every = sum(len(column) for column in fixture.expected.values())
    told = f"{len(differing):,} of {every:,} numbers are not HD's, the first {differing[0]}"
    raise AssertionError(f"{told}: see {file}")
