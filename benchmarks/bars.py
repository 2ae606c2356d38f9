"""Trades to 1-minute bars: ns a trade, against C, polars and DuckDB.

The trades are those of idx: a million a day of 700 tickers over 330 minutes, busy ones and quiet
ones, about five to a bar, on one channel; one in 500 comes late, one in 20 tells no aggressor.
`trades_to_1m` is the builder's whole `push` for tapes of 65,536 rows: watermark, closes, revisions,
signed volume, markers, and the rows in memory of their own. The C peer, called through ctypes, does
the same work on the same tape into the same kind of blocks, out of which its rows are copied as
ours are; they are compared first.
`trades_to_1m_64` is the same in tapes of 64. polars and DuckDB group the same columns, all at once
and already in their own form in memory; they know no watermark and make no revisions.
"""

import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter_ns

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks import report
from bursa.bars.build import REVISABLE_S, BarBuilder
from bursa.model.batch import TAPE_ROWS, Block, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import IDX

TAPE = 65_536
TAPES = 16
TICKERS = 700
TRADES_A_DAY, MINUTES_A_DAY = 1_000_000, 330
T = 1_775_527_200 * SECOND_NS
LATE_S = 90
# Of the C peer; rows of one tape at most (no power of two, as in bars/build.py).
PAGES, SLOT, PAGE, NEVER, ROWS = 16, 16, 3, -(2**62), 32_768 + 8


def trades(count: int) -> Block:
    """A tape of `count` trades, the same every time."""
    dice = np.random.default_rng(20261120)
    weights = 1 / np.arange(1, TICKERS + 1) ** 0.7
    tape = np.zeros((TAPE_ROWS, count), np.int64)
    floats = tape.view(np.float64)
    row = TICKS.index
    span_ns = MINUTES_A_DAY * MINUTE_NS * count // TRADES_A_DAY
    stream = np.sort(dice.integers(0, span_ns, count)) + T
    late = dice.random(count) < 1 / 500
    tape[row["ticker"]] = dice.permutation(TICKERS)[
        dice.choice(TICKERS, count, p=weights / weights.sum())
    ]
    tape[row["ts"]] = np.maximum(stream - late * LATE_S * SECOND_NS, T)
    tape[row["trade_no"]] = tape[row["seq"]] = np.arange(1, count + 1)
    floats[row["price"]] = 5.0 * dice.integers(10, 2000, count)
    floats[row["volume"]] = 100.0 * dice.integers(1, 500, count)
    tape[row["aggressor"]] = dice.integers(0, 2, count)
    tape[row["aggressor"], dice.random(count) < 1 / 20] = -1
    tape[row["ts_recv"]] = stream + 400_000
    tape[row["position"]] = 120 * np.arange(1, count + 1)
    return tape


def cut(tape: Block, size: int) -> list[Block]:
    return [np.ascontiguousarray(tape[:, at : at + size]) for at in range(0, tape.shape[1], size)]


def words() -> Words:
    found = Words(IDX.boards, [channel.name for channel in IDX.channels])
    for number in range(TICKERS):
        found.symbol_id(f"T{number:03d}")
    return found


def ours(tapes: list[Block]) -> Iterator[Block]:
    """All tapes through a cold builder; the rows that each closes."""
    builder = BarBuilder(IDX, words())
    for tape in tapes:
        yield builder.push(tape, Span("idx", 1, 0, 1)).closed.block


class Rules(ctypes.Structure):
    """`rules` of c/bars.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("board", "close_ns", "forget_ns")),
        *((name, ctypes.c_int64) for name in ("symbols", "pages", "capacity")),
        *((name, ctypes.c_double) for name in ("volume_units", "value_units")),
    ]


class Twin:
    """The C builder. Its blocks have room for the rows of one tape; each writes them anew."""

    def __init__(self) -> None:
        self._build = report.compile_c("bars").build
        self.out = np.zeros((len(OHLCV.columns), ROWS), np.int64)
        self.minutes = np.zeros((4, ROWS), np.int64)
        close_ns = MINUTE_NS + IDX.grace_s * SECOND_NS
        forget_ns = close_ns + REVISABLE_S * SECOND_NS
        self._rules = Rules(0, close_ns, forget_ns, TICKERS, PAGES, ROWS, 1.0, 1.0)
        self._touched = np.zeros(TICKERS, np.uint8)

    def run(self, tapes: list[Block]) -> Iterator[Block]:
        """All tapes from cold; the rows that each closes."""
        slots = np.zeros((PAGES * TICKERS, SLOT), np.int64)
        pages = np.zeros((PAGES, PAGE), np.int64)
        pages[:, 0] = NEVER
        levels = np.array([NEVER] * 3 + [-NEVER] + [0] * 4 + [NEVER] * 2, np.int64)
        known = np.zeros((TICKERS, 2), np.int64)
        known[:, 0] = np.float64(np.nan).view(np.int64)
        state = [pointer(array) for array in (slots, pages, levels, known, self._touched)]
        blocks = [pointer(self.out), pointer(self.minutes)]
        for tape in tapes:
            levels[6:8] = 0
            size = ctypes.c_int64(tape.shape[1])
            self._build(pointer(tape), size, ctypes.byref(self._rules), *state, *blocks)
            yield self.out[:, : levels[6]].copy()


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def frame(tape: Block) -> pa.Table:
    floats, row = tape.view(np.float64), TICKS.index
    return pa.table(
        {
            "ticker": tape[row["ticker"]],
            "ts": tape[row["ts"]],
            "seq": tape[row["seq"]],
            "price": floats[row["price"]],
            "volume": floats[row["volume"]],
            "ts_recv": tape[row["ts_recv"]],
        }
    )


def with_polars(table: pa.Table) -> Callable[[], int]:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)

    def run() -> int:
        order = pl.struct("ts", "seq")
        bars = found.group_by("ticker", minute=pl.col("ts") // MINUTE_NS).agg(
            open=pl.col("price").get(order.arg_min()),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").get(order.arg_max()),
            volume=pl.col("volume").sum(),
            value=(pl.col("price") * pl.col("volume")).round().sum(),
            trades=pl.len(),
        )
        return len(bars)

    return run


def with_duckdb(found: pa.Table) -> Callable[[], int]:
    connection = duckdb.connect()
    connection.execute("create table trades as select * from found")

    def run() -> int:
        bars = connection.sql(
            f"""
            select ticker, ts // {MINUTE_NS} as minute, arg_min(price, (ts, seq)) as open,
                   max(price) as high, min(price) as low, arg_max(price, (ts, seq)) as close,
                   sum(volume) as volume, sum(round(price * volume)) as value, count(*) as trades
            from trades group by all
            """
        )
        return len(bars.to_arrow_table())

    return run


def timed(run: Callable[[], object], count: int) -> Callable[[], float]:
    """ns a trade of one run over `count` trades."""

    def measure() -> float:
        start = perf_counter_ns()
        run()
        return (perf_counter_ns() - start) / count

    return measure


def main() -> None:
    options = report.arguments(__doc__)
    tape = trades(TAPE * (4 if options.quick else TAPES))
    tapes, small = cut(tape, TAPE), cut(tape, 64)
    twin = Twin()
    for rows, theirs in zip(ours(tapes), twin.run(tapes), strict=True):
        assert np.array_equal(rows, theirs), "C makes the same rows"
    table, count = frame(tape), tape.shape[1]

    runs = {
        "ours": timed(lambda: deque(ours(tapes), maxlen=0), count),
        "c": timed(lambda: deque(twin.run(tapes), maxlen=0), count),
        "polars": timed(with_polars(table), count),
        "duckdb": timed(with_duckdb(table), count),
    }
    rounds = 5 if options.quick else 11
    results = report.against("trades_to_1m", report.interleave(runs, rounds), "ours", "ns a trade")
    runs = {
        "ours": timed(lambda: deque(ours(small), maxlen=0), count),
        "c": timed(lambda: deque(twin.run(small), maxlen=0), count),
    }
    results += report.against("trades_to_1m_64", report.interleave(runs, 3), "ours", "ns a trade")
    report.emit("bars", results, options)


if __name__ == "__main__":
    main()
