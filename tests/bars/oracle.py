"""Bars by the rules, in plain Python: what the compiled builder is compared with.

Keeps every trade of every bar and works a bar out anew whenever it is emitted. Slow and plain.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from bursa.model.batch import (
    AGAIN,
    BROKEN,
    CHANNEL_DOWN,
    CHANNEL_UP,
    FILE_END,
    SESSION_END,
    TAPE_ROWS,
    TRADE,
    Batch,
    Block,
)
from bursa.model.schema import TICKS
from bursa.model.venue import IDX, Channel, Venue

MINUTE = 60 * 10**9
SECOND = 10**9
# Two channels that carry trades and one that does not; trades of volume 0.01 and value 0.01.
VENUE = replace(
    IDX,
    name="test",
    channels=(Channel("a", ticks=True), Channel("b", ticks=True), Channel("c", ticks=False)),
    price_decimals=1,
    volume_decimals=2,
    grace_s=2,
)


class Row(NamedTuple):
    """One row of a tape."""

    role: int
    ts: int
    channel: int = 0
    symbol: int = -1
    price: float = 0.0
    volume: float = 0.0
    seq: int = 0
    recv: int = 0
    position: int = 0
    board: int = 0
    number: int = 0
    aggressor: int = -1


def tape_of(rows: Sequence[Row]) -> Block:
    tape = np.zeros((TAPE_ROWS, len(rows)), np.int64)
    floats = tape.view(np.float64)
    for at, row in enumerate(rows):
        tape[TICKS.index["ticker"], at] = row.symbol
        tape[TICKS.index["ts"], at] = row.ts
        tape[TICKS.index["board"], at] = row.board
        tape[TICKS.index["trade_no"], at] = row.number
        floats[TICKS.index["price"], at] = row.price
        floats[TICKS.index["volume"], at] = row.volume
        tape[TICKS.index["aggressor"], at] = row.aggressor
        tape[TICKS.index["seq"], at] = row.seq
        tape[TICKS.index["ts_recv"], at] = row.recv
        tape[TICKS.index["position"], at] = row.position
        tape[TAPE_ROWS - 2, at] = row.role
        tape[TAPE_ROWS - 1, at] = row.channel
    return tape


Emitted = tuple[Any, ...]


class TickRule:
    """Signs trades in the order in which they come: 1, -1, 0; and whether it had to be guessed."""

    def __init__(self) -> None:
        self.price: float | None = None
        self.sign = 0

    def signed(self, row: Row) -> tuple[int, bool]:
        before, self.price = self.price, row.price
        told = {0: 1, 1: -1}.get(row.aggressor)
        if told is not None:
            self.sign = told
        elif before is not None and row.price != before:
            self.sign = 1 if row.price > before else -1
        return self.sign, told is None and self.sign != 0


@dataclass
class Bar:
    trades: list[tuple[int, int, int, Row]] = field(default_factory=list)
    signs: dict[int, tuple[int, bool]] = field(default_factory=dict)  # by arrival
    emissions: int = 0
    said: tuple[Any, ...] = ()  # what it was then, less when its newest trade came
    before: tuple[Any, ...] = ()  # what it was before its last break

    def content(self, venue: Venue) -> tuple[Any, ...]:
        if not self.trades:
            return (*self.before[:4], 0.0, 0.0, 0, None, 0.0, 0.0, self.before[-1])
        first, last = min(self.trades)[3], max(self.trades)[3]
        rows = [trade[3] for trade in self.trades]
        scale = 10**venue.volume_decimals
        volume = sum(round(r.volume * scale) for r in rows) / scale
        signed = [(*self.signs[n], round(r.volume * scale)) for _, _, n, r in self.trades]
        delta = sum(sign * units for sign, _, units in signed) / scale
        ruled = sum(units for _, guessed, units in signed if guessed) / scale
        scale = 10**venue.value_decimals
        value = sum(round(r.price * r.volume * scale) for r in rows) / scale
        prices = [r.price for r in rows]
        vwap = value / volume if volume else None
        return (
            first.price, max(prices), min(prices), last.price, volume, value, len(rows), vwap,
            delta, ruled, last.recv,
        )  # fmt: skip


class Oracle:
    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.marks: dict[int, int | None] = {}
        self.ended: dict[int, int | None] = {}
        self.live: set[int] = set()
        self.watermark: int | None = None
        self.closed: int | None = None
        self.bars: dict[tuple[int, int], Bar] = {}
        self.out: list[Emitted] = []
        self.markers: list[tuple[int, int, int, int]] = []
        self.rules: defaultdict[int, TickRule] = defaultdict(TickRule)
        self.nths: list[int] = []
        self.late = 0
        self.late_breaks = 0
        self.arrivals = 0
        self.wait_ns = MINUTE + venue.grace_s * SECOND

    def push(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.role == FILE_END:
                self.revise(row)
                for key in sorted(self.bars):
                    if not self.is_closed(key[0]):
                        self.emit(key, row, final=0, changed=True)
                continue
            if row.role == BROKEN and row.board == 0:
                self.take_back(row)
            if row.role in (BROKEN, AGAIN):
                continue  # what is left of the bar is known here: nothing need be said again
            self.move(row)
            self.settle(row)
            if row.role == TRADE and row.board == 0:
                self.trade(row)

    def is_closed(self, minute: int) -> bool:
        return self.closed is not None and minute <= self.closed

    def move(self, row: Row) -> None:
        if not self.venue.channels[row.channel].ticks:
            return
        if row.role == CHANNEL_DOWN:
            self.live.discard(row.channel)
            return
        self.live.add(row.channel)
        self.marks.setdefault(row.channel, None)
        self.ended.setdefault(row.channel, None)
        if row.role == CHANNEL_UP:
            return
        mark = self.marks[row.channel]
        whole = row.ts // SECOND * SECOND
        self.marks[row.channel] = whole if mark is None else max(mark, whole)
        if row.role == SESSION_END:
            ended = self.ended[row.channel]
            self.ended[row.channel] = row.ts if ended is None else max(ended, row.ts)

    def settle(self, row: Row) -> None:
        before, closed = self.watermark, self.closed
        marks = [self.marks[c] for c in self.live]
        known = [m for m in marks if m is not None]
        if marks and len(known) == len(marks):
            self.watermark = max([min(known)] + ([before] if before is not None else []))
        levels = [] if closed is None else [closed]
        if self.watermark is not None:
            levels.append(self.watermark - self.wait_ns)
        ends = [self.ended[c] for c in self.live]
        known = [e for e in ends if e is not None]
        by_end = min(known) if ends and len(known) == len(ends) else None
        session_moved = by_end is not None and (closed is None or by_end > closed)
        if by_end is not None:
            levels.append(by_end)
        if self.watermark != before or session_moved:
            self.revise(row)
            self.close(max(levels), row)
            self.forget()

    def close(self, through: int, row: Row) -> None:
        keys = sorted(k for k in self.bars if k[0] <= through and not self.is_closed(k[0]))
        for at, key in enumerate(keys):
            self.emit(key, row, final=1, changed=False)
            if at + 1 == len(keys) or keys[at + 1][0] != key[0]:
                self.markers.append((key[0], len(self.out), row.recv, row.position))
        self.closed = through

    def revise(self, row: Row) -> None:
        for key in sorted(self.bars):
            if self.is_closed(key[0]):
                self.emit(key, row, final=1, changed=True)

    def forgotten(self, minute: int) -> bool:
        return self.watermark is not None and minute <= self.watermark - self.wait_ns - 480 * SECOND

    def forget(self) -> None:
        self.bars = {k: bar for k, bar in self.bars.items() if not self.forgotten(k[0])}

    def emit(self, key: tuple[int, int], row: Row, final: int, changed: bool) -> None:
        bar = self.bars[key]
        *numbers, recv = bar.content(self.venue)
        if changed and bar.said == tuple(numbers):
            return
        rev = bar.emissions
        second = max(self.watermark or 0, 0) // SECOND
        same = [n & (2**30 - 1) for n in self.nths if n >> 30 == second]
        nth = (second << 30) + max(same, default=-1) + 1
        self.nths.append(nth)
        self.out.append((key[1], key[0], rev, *numbers, final, row.recv, recv, row.position, nth))
        bar.emissions += 1
        bar.said = tuple(numbers)

    def take_back(self, row: Row) -> None:
        minute = row.ts // MINUTE * MINUTE
        if self.forgotten(minute):
            self.late_breaks += 1
            return
        bar = self.bars[minute, row.symbol]
        bar.before = bar.content(self.venue)
        bar.trades = [trade for trade in bar.trades if trade[3].number != row.number]
        rule = TickRule()
        bar.signs = {n: rule.signed(trade) for _, _, n, trade in bar.trades}

    def trade(self, row: Row) -> None:
        minute = row.ts // MINUTE * MINUTE
        if self.forgotten(minute):
            self.late += 1
            return
        self.arrivals += 1
        bar = self.bars.setdefault((minute, row.symbol), Bar())
        bar.trades.append((row.ts, row.seq, self.arrivals, row))
        bar.signs[self.arrivals] = self.rules[row.symbol].signed(row)


COLUMNS = (
    "ticker", "ts", "rev", "open", "high", "low", "close", "volume", "value", "trades", "vwap",
    "delta", "ruled", "final", "known_at", "ts_recv", "position", "nth",
)  # fmt: skip


def rows_of(batch: Batch) -> list[Emitted]:
    """The rows of a batch of bars in the oracle's form; NaN is None."""
    assert set(batch.column("freq").tolist()) <= {0}
    columns = [batch.column(name).tolist() for name in COLUMNS]
    return [tuple(None if v != v else v for v in row) for row in zip(*columns, strict=True)]
