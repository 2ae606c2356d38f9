"""The present state of a venue, read by one thread while another feeds it."""

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from bursa.model.batch import END_OF_FILE, Batch, Span, Words
from bursa.model.schema import TICKS
from bursa.model.venue import IDX, XNAS
from bursa.pipeline.facts import Facts
from bursa.pipeline.line import Derived, Line
from bursa.wire.idx.decoder import IdxDecoder
from tests.wire.idx import encoder as idx

ENOUGH = 20_000


@pytest.fixture
def turns() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def pushed(words: Words) -> Derived:
    line = Line(IDX, words, IdxDecoder(IDX, words), {})
    record = idx.frames([idx.status(1, idx.TS, "H")], 0, idx.TS)
    ends = idx.positions([record], 0)
    return line.push(idx.chunk([record], ends, 0))


def test_the_rate_is_told_while_messages_come(turns: None) -> None:
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    facts, derived, ended = Facts(IDX, words), pushed(words), threading.Event()
    told: list[float] = []
    faults: list[Exception] = []

    def read() -> None:
        try:
            while not ended.is_set():
                told.append(facts.rate(0))
        except RuntimeError as fault:
            faults.append(fault)

    reading = threading.Thread(target=read)
    reading.start()
    for turn in range(ENOUGH):
        facts.take(derived, [idx.TS, idx.TS], turn * 1_000_000_000)
    ended.set()
    reading.join()
    assert not faults and told
    assert facts.rate((ENOUGH - 1) * 1_000_000_000) == 1.0


class Trades:
    """The facts of a venue to which trades are told as (symbol, number, volume)."""

    def __init__(self) -> None:
        self.words = XNAS.words()
        for ticker in ("A", "B"):
            self.words.symbol_id(ticker)
        self.facts = Facts(XNAS, self.words)

    def push(self, *rows: tuple[int, int, float]) -> None:
        block = np.zeros((len(TICKS.scalars), len(rows)), np.int64)
        for at, (symbol, number, volume) in enumerate(rows):
            block[TICKS.index["ticker"], at] = symbol
            block[TICKS.index["trade_no"], at] = number
            block.view(np.float64)[TICKS.index["volume"], at] = volume
        span = Span("xnas", 1, 0, 1)
        batch = Batch(TICKS, block, self.words, span)
        none = Batch(TICKS, block[:, :0], self.words, span)
        empty = np.zeros((4, 0), np.int64)
        derived = Derived(span, (batch,), none, empty, empty[0], none, {}, (batch,))
        self.facts.take(derived, [1], 1)

    def last(self) -> dict[str, int]:
        found = self.facts.last("ticks")
        tickers = [ticker or "" for ticker in found.text("ticker")]
        return dict(zip(tickers, found.column("trade_no").tolist(), strict=True))


def test_a_trade_that_was_taken_back_is_not_the_last_one() -> None:
    trades = Trades()
    trades.push((0, 1, 100.0), (1, 2, 100.0), (0, 3, 100.0), (0, 4, 100.0))
    trades.push((0, 3, -100.0))
    assert trades.last() == {"A": 4, "B": 2}
    trades.push((0, 4, -100.0))
    assert trades.last() == {"B": 2}, "what was before the two is not known any more"
    trades.push((0, 5, 100.0), (0, 6, 100.0), (0, 6, -100.0))
    assert trades.last() == {"A": 5, "B": 2}
    trades.push((0, 7, 100.0))
    trades.push((1, 8, 100.0))
    trades.push((0, 7, -100.0), (1, 8, -100.0))
    assert trades.last() == {"A": 5, "B": 2}


def test_a_restart_remembers_the_last_trade_and_the_one_before() -> None:
    trades, restarted = Trades(), Trades()
    trades.push((0, 1, 100.0), (0, 2, 100.0))
    restarted.facts.resume(trades.facts.snapshot())
    assert restarted.last() == {"A": 2}
    restarted.push((0, 2, -100.0))
    assert restarted.last() == {"A": 1}


def test_a_recording_that_is_over_leaves_its_day_as_it_stood() -> None:
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    facts, line = Facts(IDX, words), Line(IDX, words, IdxDecoder(IDX, words), {})
    name, told, end = IDX.channels[0].name, [], 0
    for record in (
        idx.frames([idx.status(1, idx.TS, "E")], 0, idx.TS),
        idx.Record(kind=END_OF_FILE),
        idx.frames([idx.status(1, idx.TS + 1, "P")], 0, idx.TS + 1),
    ):
        ends = idx.positions([record], end)
        derived = line.push(idx.chunk([record], ends, end))
        end = ends[-1]
        facts.take(derived, line.watermarks(), idx.TS)
        told.append((facts.state.get(name), name in facts.ended))
    assert told == [("E", False), ("E", True), ("P", False)]
