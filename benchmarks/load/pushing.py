"""Closed bars pushed into a stream at a steady pace: one bar of each of some tickers a push.

A bar's volume is the monotonic clock (us) when it was handed over, so that whoever is told of it
knows how long it was under way. `Pushing` offers them to bursa's hub as a venue's line would,
metric rows along; `frames` makes the same frames for a server that has no hub.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.load.market import LAST_DAY
from bursa.api.stream.frames import Frames, bar_rows, payload
from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX

METRICS = STANDARD.kind

TICKERS = 5
NAMES = tuple(f"T{n:03d}" for n in range(TICKERS))
_FIRST_NS = IDX.calendar.day_end_ns(LAST_DAY)
_POSITION = 1 << 40


@dataclass(frozen=True)
class Pushed:
    """What one push of a line gives (live.Derived)."""

    closed: Batch
    metrics: Batch
    batches: tuple[Batch, ...] = ()
    minutes: Block = field(default_factory=lambda: np.empty((4, 0), np.int64))
    touched: Block = field(default_factory=lambda: np.empty(0, np.int64))
    entered: tuple[Batch, ...] = ()


class Bars:
    """Makes the nth push."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._ids = np.array([words.symbol_id(name) for name in NAMES], np.int64)

    def push(self, nth: int) -> Pushed:
        """Bars of the nth minute, with the present clock inside."""
        closed = self._block(OHLCV, nth)
        floats, row = closed.view(np.float64), OHLCV.index
        for name, value in (("open", 1000.0), ("high", 1025.0), ("low", 990.0), ("close", 1005.5)):
            floats[row[name]] = value + nth % 50
        closed[row["final"]] = 1
        floats[row["volume"]] = time.monotonic_ns() // 1_000
        metrics = self._block(METRICS, nth)
        metrics.view(np.float64)[METRICS.index["hd"]] = 0.25 + nth % 100 / 1e4
        span = Span("idx", 1, _POSITION + nth, _POSITION + nth + 1)
        return Pushed(
            Batch(OHLCV, closed, self._words, span),
            Batch(METRICS, metrics, self._words, span),
        )

    def _block(self, kind: object, nth: int) -> Block:
        assert kind is OHLCV or kind is METRICS
        block = np.zeros((len(kind.scalars), TICKERS), np.int64)
        block[kind.index["ticker"]] = self._ids
        block[kind.index["ts"]] = _FIRST_NS + nth * MINUTE_NS
        block[kind.index["position"]] = _POSITION + nth + 1
        return block

    def payloads(self, nth: int, frames: Frames) -> list[bytes]:
        """The nth push as bursa's frames, without their WebSocket headers."""
        pushed = self.push(nth)
        hd = pushed.metrics.column("hd")
        rows = bar_rows(pushed.closed, np.arange(TICKERS), hd)
        return [payload(frames.bar(row, "1m", f"{0:016x}-{nth}")) for row in rows]


class Pushing:
    """A thread that pushes at a pace, while it is told to."""

    def __init__(self, push: Callable[[int], None]) -> None:
        self._push, self._nth, self._first = push, 0, 0
        self._over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def begin(self, every_s: float) -> None:
        """Push every so many seconds until `end`."""
        self._over, self._first = threading.Event(), self._nth
        over = self._over

        def run() -> None:
            due = time.monotonic()
            while not over.wait(max(due - time.monotonic(), 0.0)):
                self._push(self._nth)
                self._nth += 1
                due = max(due + every_s, time.monotonic())

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """Push no more. Returns how many pushes there were since `begin`."""
        if self._over is not None and self._thread is not None:
            self._over.set()
            self._thread.join()
        return self._nth - self._first
